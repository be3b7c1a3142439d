#include "codec/tsc_kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/bytes.h"
#include "codec/exact_simd.h"
#include "codec/float_element.h"
#include "codec/tsc_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBf16, DType::kF16};

// The value of f16 bits by the book.
double HalfValue(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const double mantissa = bits & 1023;
  const double magnitude = exponent == 0
                               ? std::ldexp(mantissa, -24)
                               : std::ldexp(1024 + mantissa, exponent - 25);
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

TEST(TscKernelTest, ConvertsEveryHalf) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = F16ToF32(half);
    if ((bits & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      continue;
    }
    if ((bits & 0x7fff) == 0x7c00) {
      EXPECT_TRUE(std::isinf(value)) << bits;
    } else {
      EXPECT_EQ(value, HalfValue(bits)) << bits;
    }
    EXPECT_EQ(std::signbit(value), bits >> 15 != 0);
    EXPECT_EQ(F32ToF16(value), half);
  }
}

// Between any two neighbours: just below the middle, the middle, just above.
TEST(TscKernelTest, RoundsToTheNearestHalf) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const double low = HalfValue(bits);
    const auto middle = static_cast<float>((low + HalfValue(bits + 1)) / 2);
    const uint32_t even = bits + (bits & 1);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, 0.0f)), bits);
    EXPECT_EQ(F32ToF16(middle), even);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, 1e9f)), bits + 1);
    EXPECT_EQ(F32ToF16(-middle), even | 0x8000);
  }
  EXPECT_EQ(F32ToF16(65519.996f), 0x7bff);
  EXPECT_EQ(F32ToF16(65520), 0x7c00);
  EXPECT_EQ(F32ToF16(3e38f), 0x7c00);
}

TEST(TscKernelTest, ScalesHoldTheirLargestDelta) {
  Random random(1);
  for (int i = 0; i < 100000; ++i) {
    const int octave = static_cast<int>(random.Below(60)) - 42;
    const auto largest =
        static_cast<float>(std::ldexp(1 + random.Unit(), octave));
    for (const int32_t max_code : {7, 127}) {
      const float scale = F16ToF32(TscScale(largest, max_code));
      EXPECT_GE(scale * static_cast<float>(max_code), largest);
      const auto code =
          static_cast<int32_t>(std::nearbyint(largest * (1 / scale)));
      EXPECT_LE(code, max_code);
    }
  }
  EXPECT_EQ(TscScale(0, 7), 0);
  EXPECT_EQ(TscScale(1e-45f, 7), 1);
  EXPECT_LT(TscScale(0x1p18f, 7), 0x7c00);
}

TEST(TscKernelTest, NibblesLieAsThePageSays) {
  const TscShape shape{DType::kF32, 1, 37, 4};
  std::vector<float> row(37);
  const std::vector<float> zeros(37);
  for (int c = 0; c < 37; ++c) row[c] = static_cast<float>(c % 15 - 7);
  const float scale = 1;
  std::vector<uint8_t> codes(shape.row_code_bytes());
  ASSERT_EQ(codes.size(), 19u);
  TscEncode(shape, reinterpret_cast<const uint8_t*>(row.data()),
            reinterpret_cast<const uint8_t*>(zeros.data()), &scale,
            codes.data());
  const auto nibble = [&](int c) { return static_cast<int>(row[c]) & 15; };
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(codes[i], nibble(i) | nibble(16 + i) << 4) << i;
  }
  EXPECT_EQ(codes[16], nibble(32) | nibble(35) << 4);
  EXPECT_EQ(codes[17], nibble(33) | nibble(36) << 4);
  EXPECT_EQ(codes[18], nibble(34));
}

TEST(TscKernelTest, VectorsFindTheSameScales) {
  Random random(3);
  std::vector<float> largest;
  for (int i = 0; i < 20011; ++i) {
    const int octave = static_cast<int>(random.Below(60)) - 42;
    largest.push_back(static_cast<float>(
        random.OneIn(16) ? 0 : std::ldexp(1 + random.Unit(), octave)));
  }
  for (const int64_t target : ExactTargets()) {
    ChooseExactTarget(target);
    for (const int32_t max_code : {7, 127}) {
      Bytes scales(2 * largest.size());
      Bytes wanted(2 * largest.size());
      TscScales(largest.data(), largest.size(), max_code, scales.data());
      TscScalesScalar(largest.data(), largest.size(), max_code, wanted.data());
      EXPECT_EQ(scales, wanted) << ExactTargetName(target);
    }
    ChooseExactTarget(0);
  }
}

// A row and a reference of finite values of all sizes, or of any bits at all.
struct Rows {
  Bytes row;
  Bytes reference;
  std::vector<float> scales;
  Bytes codes;
};

Rows MakeRows(const TscShape& shape, bool finite, Random* random) {
  Rows rows;
  for (Bytes* bytes : {&rows.row, &rows.reference}) {
    bytes->resize(shape.row_bytes());
    random->Fill(*bytes);
    if (!finite) continue;
    const uint32_t element = DTypeBytes(shape.dtype);
    // Exponents below the middle: no sum overflows.
    for (size_t i = element - 1; i < bytes->size(); i += element) {
      (*bytes)[i] &= 0xbf;
    }
  }
  for (uint32_t h = 0; h < shape.heads; ++h) {
    rows.scales.push_back(F16ToF32(
        static_cast<uint16_t>(random->OneIn(8) ? 0 : random->Below(0x7c00))));
  }
  rows.codes.resize(shape.row_code_bytes());
  random->Fill(rows.codes);
  return rows;
}

void ExpectVectorsAgree(const TscShape& shape, Random* random) {
  const Rows any = MakeRows(shape, false, random);
  std::vector<float> largest(shape.heads);
  std::vector<float> wanted(shape.heads);
  for (const uint8_t* reference :
       {any.reference.data(), static_cast<const uint8_t*>(nullptr)}) {
    TscLargest(shape, any.row.data(), reference, largest.data());
    TscLargestScalar(shape, any.row.data(), reference, wanted.data());
    for (uint32_t h = 0; h < shape.heads; ++h) {
      EXPECT_EQ(std::isfinite(largest[h]), std::isfinite(wanted[h]));
      if (std::isfinite(wanted[h])) {
        EXPECT_EQ(largest[h], wanted[h]);
      }
    }
  }
  Rows rows = MakeRows(shape, true, random);
  Bytes out(shape.row_bytes());
  Bytes wanted_row(shape.row_bytes());
  TscDecode(shape, rows.reference.data(), rows.scales.data(), rows.codes.data(),
            out.data());
  TscDecodeScalar(shape, rows.reference.data(), rows.scales.data(),
                  rows.codes.data(), wanted_row.data());
  EXPECT_EQ(out, wanted_row);
  TscLargestScalar(shape, rows.row.data(), rows.reference.data(),
                   largest.data());
  for (uint32_t h = 0; h < shape.heads; ++h) {
    rows.scales[h] =
        F16ToF32(TscScale(std::min(largest[h], 0x1p18f), shape.max_code()));
    if (largest[h] > 0x1p18f) rows.scales[h] = 0;
  }
  Bytes codes(shape.row_code_bytes());
  Bytes wanted_codes(shape.row_code_bytes());
  TscEncode(shape, rows.row.data(), rows.reference.data(), rows.scales.data(),
            codes.data());
  TscEncodeScalar(shape, rows.row.data(), rows.reference.data(),
                  rows.scales.data(), wanted_codes.data());
  EXPECT_EQ(codes, wanted_codes);
}

TEST(TscKernelTest, VectorsAgreeWithTheScalarLoops) {
  Random random(2);
  for (const int64_t target : ExactTargets()) {
    ChooseExactTarget(target);
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    for (const DType dtype : kDTypes) {
      for (const uint32_t bits : {4u, 8u}) {
        for (const uint32_t dim : {1u, 5u, 16u, 31u, 32u, 64u, 80u, 129u}) {
          for (int round = 0; round < 20; ++round) {
            ExpectVectorsAgree({dtype, 3, dim, bits}, &random);
          }
        }
      }
    }
    ChooseExactTarget(0);
  }
}

// What no encoder here writes, and the page defines: the least codes, sums past
// 65,504, signs of zeros. A block and a channel more, so both in vectors and in
// what they leave over.
TEST(TscKernelTest, DecodesWhatNoEncoderWrites) {
  struct Case {
    uint32_t bits;
    uint8_t codes;  // each byte of them
    uint16_t reference;
    float scale;
    uint16_t low;   // the values of channels in low nibbles
    uint16_t high;  // in high ones
  };
  constexpr Case kCases[] = {
      {4, 0x78, 0x3c00, 1, 0xc700, 0x4800},         // 1 - 8, 1 + 7
      {8, 0x80, 0x0000, 0.5f, 0xd400, 0xd400},      // -128 / 2
      {4, 0x78, 0x7bff, 65504, 0xfc00, 0x7c00},     // both infinities
      {8, 0x7f, 0x7bff, 0x1p-3f, 0x7bff, 0x7bff},   // 65,519.875
      {8, 0x01, 0x7bff, 16, 0x7c00, 0x7c00},        // 65,520
      {4, 0x0f, 0x8000, 0, 0x8000, 0x0000},         // -1 * 0, 0 * 0
      {8, 0x01, 0x0003, 0x1p-24f, 0x0004, 0x0004},  // denormals
  };
  for (const int64_t target : ExactTargets()) {
    ChooseExactTarget(target);
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    for (const Case& c : kCases) {
      const TscShape shape{DType::kF16, 1, 33, c.bits};
      Bytes reference(shape.row_bytes());
      for (uint32_t i = 0; i < shape.dim; ++i) {
        StoreLe(&reference[2 * i], c.reference);
      }
      const Bytes codes(shape.row_code_bytes(), c.codes);
      Bytes row(shape.row_bytes());
      TscDecode(shape, reference.data(), &c.scale, codes.data(), row.data());
      for (uint32_t i = 0; i < shape.dim; ++i) {
        const bool is_low = i < 16 || i == 32;
        EXPECT_EQ(LoadLe<uint16_t>(&row[2 * i]), is_low ? c.low : c.high)
            << i << " of code byte " << int{c.codes};
      }
    }
    ChooseExactTarget(0);
  }
}

}  // namespace
}  // namespace reprise
