#include "tests/support/hex_dump.h"

#include <algorithm>

namespace reprise {

std::string HexDump(ByteView bytes) {
  std::string text;
  for (size_t line = 0; line < bytes.size(); line += 16) {
    const uint8_t offset[4] = {
        static_cast<uint8_t>(line >> 24), static_cast<uint8_t>(line >> 16),
        static_cast<uint8_t>(line >> 8), static_cast<uint8_t>(line)};
    text += ToHex(offset) + " ";
    for (uint8_t byte :
         bytes.subspan(line).first(std::min<size_t>(16, bytes.size() - line))) {
      text += " " + ToHex({&byte, 1});
    }
    text += "\n";
  }
  return text;
}

}  // namespace reprise
