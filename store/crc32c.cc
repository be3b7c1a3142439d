#include "store/crc32c.h"

#include <array>

namespace reprise {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

// table[k][b] is the CRC of byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables table{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
    }
    table[0][b] = crc;
  }
  for (size_t k = 1; k < table.size(); ++k) {
    for (uint32_t b = 0; b < 256; ++b) {
      const uint32_t before = table[k - 1][b];
      table[k][b] = (before >> 8) ^ table[0][before & 0xff];
    }
  }
  return table;
}

constexpr Tables kTable = MakeTables();

}  // namespace

// Eight bytes a step, each through the table of the zeros that follow it
// ("slicing by 8", Kounavis and Berry 2005).
uint32_t Crc32c(ByteView bytes) {
  uint32_t crc = ~0u;
  const uint8_t* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const uint64_t word = LoadLe<uint64_t>(p) ^ crc;
    crc = 0;
    for (int k = 0; k < 8; ++k) crc ^= kTable[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; left > 0; --left, ++p) {
    crc = (crc >> 8) ^ kTable[0][(crc ^ *p) & 0xff];
  }
  return ~crc;
}

}  // namespace reprise
