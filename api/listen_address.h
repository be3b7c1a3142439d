// Where a daemon listens: "127.0.0.1:7077", "[::1]:0", "localhost:7077" or
// "unix:/run/reprise.sock".
#ifndef REPRISE_API_LISTEN_ADDRESS_H_
#define REPRISE_API_LISTEN_ADDRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace reprise {

struct ListenAddress {
  bool is_unix = false;
  std::string path;   // of a unix socket, at most 107 bytes
  std::string host;   // an IP address as text, without brackets
  uint16_t port = 0;  // 0: any that is free
  bool operator==(const ListenAddress&) const = default;
};

// kInvalidArgument with what is wrong. "localhost" is 127.0.0.1; other names
// are not looked up.
Result<ListenAddress> ParseListenAddress(std::string_view text);

// "127.0.0.1:7077", as ParseListenAddress takes it.
std::string ToString(const ListenAddress& address);

}  // namespace reprise

#endif  // REPRISE_API_LISTEN_ADDRESS_H_
