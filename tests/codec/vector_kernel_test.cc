#include "codec/vector_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "codec/exact_simd.h"
#include "codec/float_element.h"
#include "codec/vector_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(FloatElementTest, EveryF16ComesBackAsItWas) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float x = F16ToF32(static_cast<uint16_t>(bits));
    const uint32_t exponent = bits >> 10 & 31;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(x), (bits & 1023) != 0);
      EXPECT_EQ(std::signbit(x), bits >> 15 != 0);
      continue;
    }
    const double magnitude =
        exponent == 0
            ? std::ldexp(bits & 1023, -24)
            : std::ldexp(1024 + (bits & 1023), static_cast<int>(exponent) - 25);
    ASSERT_EQ(std::fabs(double{x}), magnitude);
    ASSERT_EQ(F32ToF16Saturated(x), bits);
    const float wide = Bf16ToF32(static_cast<uint16_t>(bits));
    if (std::isfinite(wide)) {
      ASSERT_EQ(F32ToBf16Saturated(wide), bits);
    }
  }
}

// Between two neighbours, the middle goes to the even one and all else to the
// nearer one.
TEST(FloatElementTest, RoundsToNearestEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = F16ToF32(bits);
    const float high = F16ToF32(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    const uint16_t even = static_cast<uint16_t>(bits + (bits & 1));
    ASSERT_EQ(F32ToF16Saturated(middle), even);
    ASSERT_EQ(F32ToF16Saturated(-middle), even | 0x8000);
    ASSERT_EQ(F32ToF16Saturated(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(F32ToF16Saturated(std::nextafter(middle, kInf)), bits + 1);
  }
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {
    const uint32_t middle = bits << 16 | 0x8000;
    const auto round = [](uint32_t of) {
      return F32ToBf16Saturated(std::bit_cast<float>(of));
    };
    ASSERT_EQ(round(middle), bits + (bits & 1));
    ASSERT_EQ(round(middle - 1), bits);
    ASSERT_EQ(round(middle + 1), bits + 1);
  }
}

TEST(FloatElementTest, WhatIsTooLargeBecomesTheLargest) {
  EXPECT_EQ(F32ToF16Saturated(65519.9f), 0x7bff);
  EXPECT_EQ(F32ToF16Saturated(65520.0f), 0x7bff);
  EXPECT_EQ(F32ToF16Saturated(-1e30f), 0xfbff);
  EXPECT_EQ(F32ToF16Saturated(kInf), 0x7bff);
  EXPECT_EQ(F32ToBf16Saturated(kInf), 0x7f7f);
  EXPECT_EQ(F32ToBf16Saturated(-std::numeric_limits<float>::max()), 0xff7f);
  EXPECT_EQ(F32Saturated(-kInf), -std::numeric_limits<float>::max());
  EXPECT_EQ(F32Saturated(1.5f), 1.5f);
}

struct Problem {
  std::vector<float> centroids;
  std::vector<float> half_norms;
  std::vector<float> values;
  VectorSearch search;

  Problem(uint32_t count, uint32_t width, uint32_t centroid_count,
          Random* random) {
    const uint32_t stride = RoundUpToLanes(count) + 3;
    for (uint32_t i = 0; i < centroid_count * width; ++i) {
      centroids.push_back(static_cast<float>(random->Normal()));
    }
    for (uint32_t i = 0; i < stride * width; ++i) {
      values.push_back(static_cast<float>(random->Normal()));
    }
    half_norms.resize(centroid_count);
    VectorHalfNorms(centroids.data(), centroid_count, width, half_norms.data());
    search = {.centroids = centroids.data(),
              .half_norms = half_norms.data(),
              .centroid_count = centroid_count,
              .width = width,
              .values = values.data(),
              .value_stride = stride,
              .count = count};
  }

  std::vector<uint8_t> Scalar() const {
    std::vector<uint8_t> codes(RoundUpToLanes(search.count));
    VectorNearestScalar(search, codes.data());
    return codes;
  }
};

void ForEachTarget(const std::function<void()>& test) {
  for (const int64_t target : ExactTargets()) {
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    ChooseExactTarget(target);
    test();
  }
  ChooseExactTarget(0);
}

TEST(VectorKernelTest, FindsTheNearestCentroid) {
  Random random(1);
  for (const uint32_t width : {1u, 2u, 3u, 4u, 8u, 16u}) {
    const Problem problem(40, width, 256, &random);
    const std::vector<uint8_t> codes = problem.Scalar();
    for (uint32_t i = 0; i < 40; ++i) {
      const auto distance = [&](uint32_t c) {
        double sum = 0;
        for (uint32_t j = 0; j < width; ++j) {
          const double d =
              double{problem.values[j * problem.search.value_stride + i]} -
              double{problem.centroids[c * width + j]};
          sum += d * d;
        }
        return sum;
      };
      for (uint32_t c = 0; c < 256; ++c) {
        EXPECT_LE(distance(codes[i]), distance(c) + 1e-5);
      }
    }
  }
}

TEST(VectorKernelTest, EveryInstructionSetFindsTheSame) {
  ForEachTarget([] {
    Random random(2);
    for (uint32_t width = 1; width <= kVectorMaxBlock; ++width) {
      for (const uint32_t count : {1u, 15u, 16u, 17u, 64u, 129u}) {
        for (const uint32_t centroids : {2u, 16u, 256u}) {
          const Problem problem(count, width, centroids, &random);
          std::vector<uint8_t> codes(RoundUpToLanes(count));
          VectorNearest(problem.search, codes.data());
          ASSERT_EQ(codes, problem.Scalar()) << width << " " << count;
        }
      }
    }
  });
}

TEST(VectorKernelTest, TiesAndHopelessVectorsTakeTheLowestCode) {
  ForEachTarget([] {
    Random random(3);
    Problem problem(32, 4, 64, &random);
    // Each centroid is there twice.
    for (uint32_t c = 0; c < 64; ++c) {
      for (uint32_t j = 0; j < 4; ++j) {
        problem.centroids[c * 4 + j] = problem.centroids[c / 2 * 2 * 4 + j];
      }
    }
    VectorHalfNorms(problem.centroids.data(), 64, 4, problem.half_norms.data());
    const uint64_t stride = problem.search.value_stride;
    problem.values[0] = std::numeric_limits<float>::quiet_NaN();
    problem.values[1] = kInf;
    problem.values[stride + 1] = kInf;
    problem.values[2] = -3e38f;
    problem.values[stride + 2] = 3e38f;
    std::vector<uint8_t> codes(32);
    VectorNearest(problem.search, codes.data());
    EXPECT_EQ(codes, problem.Scalar());
    EXPECT_EQ(codes[0], 0);
    for (const uint8_t code : codes) EXPECT_EQ(code % 2, 0);
  });
}

TEST(VectorKernelTest, EveryInstructionSetMeasuresTheSameDistances) {
  ForEachTarget([] {
    Random random(4);
    for (const uint32_t width : {1u, 4u, 7u}) {
      const Problem problem(50, width, 1, &random);
      std::vector<float> wanted(64, 9.0f);
      std::vector<float> distances = wanted;
      VectorNearerScalar(problem.search, wanted.data());
      VectorNearer(problem.search, distances.data());
      EXPECT_EQ(distances, wanted);
      EXPECT_LT(*std::min_element(wanted.begin(), wanted.end()), 9.0f);
    }
  });
}

TEST(VectorKernelTest, CodesOfAnyWidthComeBack) {
  Random random(5);
  for (uint32_t bits = 1; bits <= 8; ++bits) {
    for (uint32_t count = 1; count <= 40; ++count) {
      std::vector<uint8_t> codes(count);
      for (uint8_t& code : codes) {
        code = static_cast<uint8_t>(random.Below(1u << bits));
      }
      const uint32_t bytes = (count * bits + 7) / 8;
      std::vector<uint8_t> packed(bytes + 1, 0xee);
      PackCodes(codes.data(), count, bits, packed.data());
      EXPECT_EQ(packed[bytes], 0xee);
      // The format: code i at bit i * bits.
      for (uint32_t i = 0; i < count * bits; ++i) {
        EXPECT_EQ(packed[i / 8] >> i % 8 & 1, codes[i / bits] >> i % bits & 1);
      }
      packed.resize(bytes);  // a read past it would be seen
      std::vector<uint8_t> again(count);
      UnpackCodes(packed.data(), count, bits, again.data());
      EXPECT_EQ(again, codes);
    }
  }
}

TEST(VectorKernelTest, DecodesRowsOfAnyEntrySize) {
  Random random(6);
  for (const uint32_t entry : {2u, 4u, 6u, 8u, 16u, 20u, 32u, 64u}) {
    for (const uint32_t tail : {0u, 2u}) {
      std::vector<uint8_t> entries(3 * 256 * entry);
      random.Fill(entries);
      const VectorTable table{.entries = entries.data(),
                              .full_blocks = 2,
                              .entry_bytes = entry,
                              .block_stride = 256 * entry,
                              .tail_bytes = tail,
                              .tail_stride = tail};
      const uint8_t codes[3] = {255, 0, 17};
      std::vector<uint8_t> out(2 * entry + tail + 1, 0xee);
      VectorDecodeRow(table, codes, out.data());
      for (uint32_t i = 0; i < entry; ++i) {
        EXPECT_EQ(out[i], entries[255 * entry + i]);
        EXPECT_EQ(out[entry + i], entries[256 * entry + i]);
      }
      for (uint32_t i = 0; i < tail; ++i) {
        EXPECT_EQ(out[2 * entry + i], entries[512 * entry + 17 * tail + i]);
      }
      EXPECT_EQ(out.back(), 0xee);
    }
  }
}

TEST(VectorKernelTest, TheRelativeErrorOfNothingIsNothing) {
  const float zeros[5] = {};
  const float ones[5] = {1, 1, 1, 1, 1};
  EXPECT_EQ(VectorRowError(zeros, zeros, 5).relative(), 0);
  EXPECT_EQ(VectorRowError(zeros, ones, 5).relative(), kInf);
  EXPECT_EQ(VectorRowError(ones, zeros, 5).relative(), 1);
}

}  // namespace
}  // namespace reprise
