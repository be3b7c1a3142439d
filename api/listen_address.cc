#include "api/listen_address.h"

#include <charconv>

namespace reprise {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kMaxUnixPathBytes = 107;  // sockaddr_un, with a zero after

Status Bad(std::string_view text, std::string_view what) {
  return InvalidArgumentError("address '" + std::string(text) +
                              "': " + std::string(what));
}

Result<uint16_t> ParsePort(std::string_view text, std::string_view port) {
  uint16_t value = 0;
  auto [end, error] =
      std::from_chars(port.data(), port.data() + port.size(), value);
  if (error != std::errc() || end != port.data() + port.size()) {
    return Bad(text, "the port is no number from 0 to 65535");
  }
  return value;
}

}  // namespace

Result<ListenAddress> ParseListenAddress(std::string_view text) {
  ListenAddress address;
  if (text.starts_with(kUnixPrefix)) {
    address.is_unix = true;
    address.path = text.substr(kUnixPrefix.size());
    if (address.path.empty()) return Bad(text, "the path is empty");
    if (address.path.size() > kMaxUnixPathBytes) {
      return Bad(text, "the path has " + std::to_string(address.path.size()) +
                           " bytes, the limit is " +
                           std::to_string(kMaxUnixPathBytes));
    }
    return address;
  }
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return Bad(text, "host:port or unix:/path is wanted");
  }
  std::string_view host = text.substr(0, colon);
  bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Bad(text, "the host is empty");
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return Bad(text, "an IPv6 address stands in brackets: [::1]:7077");
  }
  REPRISE_ASSIGN_OR_RETURN(address.port,
                           ParsePort(text, text.substr(colon + 1)));
  address.host = host == "localhost" ? "127.0.0.1" : std::string(host);
  return address;
}

std::string ToString(const ListenAddress& address) {
  if (address.is_unix) return std::string(kUnixPrefix) + address.path;
  bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" +
         std::to_string(address.port);
}

}  // namespace reprise
