#include "base/bytes.h"

#include <algorithm>

namespace reprise {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string ToHex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

Result<Bytes> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) {
    return InvalidArgumentError("hex: " + std::to_string(hex.size()) +
                                " digits, an even number is wanted");
  }
  Bytes bytes(hex.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      return InvalidArgumentError("hex: no digit near character " +
                                  std::to_string(2 * i));
    }
    bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return bytes;
}

ByteView ByteReader::View(uint64_t count) {
  if (failed_ || count > left()) {
    Fail(count);
    return {};
  }
  ByteView view = bytes_.subspan(position_, count);
  position_ += count;
  return view;
}

void ByteReader::Copy(MutableByteView out) {
  ByteView view = View(out.size());
  if (view.size() == out.size()) {
    std::copy(view.begin(), view.end(), out.begin());
  } else {
    std::fill(out.begin(), out.end(), uint8_t{0});
  }
}

void ByteReader::Fail(uint64_t wanted) {
  if (failed_) return;
  failed_ = true;
  wanted_ = wanted;
}

Status ByteReader::Check(std::string_view name) const {
  if (!failed_) return Status();
  return DataLossError(std::string(name) + ": " + std::to_string(left()) +
                       " bytes are left at byte " + std::to_string(position_) +
                       ", " + std::to_string(wanted_) + " are wanted");
}

Status ByteReader::Finish(std::string_view name) const {
  REPRISE_RETURN_IF_ERROR(Check(name));
  if (left() == 0) return Status();
  return DataLossError(std::string(name) + ": " + std::to_string(left()) +
                       " bytes after its end at byte " +
                       std::to_string(position_));
}

void ByteWriter::Text16(std::string_view text) {
  REPRISE_DCHECK(text.size() <= 0xffff);
  const size_t count = std::min<size_t>(text.size(), 0xffff);
  U16(static_cast<uint16_t>(count));
  Raw(AsBytes(text.substr(0, count)));
}

void ByteWriter::Align(uint64_t alignment) {
  while (bytes_.size() % alignment != 0) bytes_.push_back(0);
}

}  // namespace reprise
