#include "store/crc32c.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#if defined(__x86_64__)
// Bytes of each of the three lanes below.
constexpr size_t kLaneBytes = 1024;

// A register moved over kLaneBytes zero bytes is the XOR of what each of its
// bytes becomes: entry [k][b] for byte k with the value b.
using LaneTable = std::array<std::array<uint32_t, 256>, 4>;

constexpr LaneTable MakeLaneTable() {
  LaneTable table{};
  for (int bit = 0; bit < 32; ++bit) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kLaneBytes; ++i) {
      crc = (crc >> 8) ^ kTable[0][crc & 0xff];
    }
    for (uint32_t b = 0; b < 256; ++b) {
      if ((b >> (bit % 8)) & 1) table[bit / 8][b] ^= crc;
    }
  }
  return table;
}

constexpr LaneTable kLane = MakeLaneTable();

uint32_t SkipLane(uint64_t crc) {
  return kLane[0][crc & 0xff] ^ kLane[1][(crc >> 8) & 0xff] ^
         kLane[2][(crc >> 16) & 0xff] ^ kLane[3][(crc >> 24) & 0xff];
}

// The instruction takes 8 bytes, each cycle one, but needs 3 cycles for it:
// three lanes that lie one behind the other keep it busy.
__attribute__((target("sse4.2"))) uint32_t ExtendBySse42(uint32_t crc,
                                                         ByteView bytes) {
  uint64_t wide = static_cast<uint32_t>(~crc);
  const uint8_t* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 3 * kLaneBytes; left -= 3 * kLaneBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (const uint8_t* end = p + kLaneBytes; p < end; p += 8) {
      wide = _mm_crc32_u64(wide, LoadLe<uint64_t>(p));
      second = _mm_crc32_u64(second, LoadLe<uint64_t>(p + kLaneBytes));
      third = _mm_crc32_u64(third, LoadLe<uint64_t>(p + 2 * kLaneBytes));
    }
    p += 2 * kLaneBytes;
    wide = SkipLane(SkipLane(wide) ^ second) ^ third;
  }
  for (; left >= 8; left -= 8, p += 8) {
    wide = _mm_crc32_u64(wide, LoadLe<uint64_t>(p));
  }
  auto narrow = static_cast<uint32_t>(wide);
  for (; left > 0; --left, ++p) narrow = _mm_crc32_u8(narrow, *p);
  return ~narrow;
}

bool HasSse42() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}
#endif

}  // namespace

// Eight bytes a step, each through the table of the zeros that follow it
// ("slicing by 8", Kounavis and Berry 2005).
uint32_t ExtendCrc32cPortable(uint32_t crc, ByteView bytes) {
  crc = ~crc;
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

uint32_t ExtendCrc32c(uint32_t crc, ByteView bytes) {
#if defined(__x86_64__)
  if (HasSse42()) return ExtendBySse42(crc, bytes);
#endif
  return ExtendCrc32cPortable(crc, bytes);
}

uint32_t Crc32c(ByteView bytes) { return ExtendCrc32c(0, bytes); }

}  // namespace reprise
