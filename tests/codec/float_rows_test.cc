#include "codec/float_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/exact_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBf16, DType::kF16};

void ForEachTarget(const std::function<void()>& test) {
  for (const int64_t target : ExactTargets()) {
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    ChooseExactTarget(target);
    test();
  }
  ChooseExactTarget(0);
}

TEST(FloatRowsTest, EveryInstructionSetLoadsTheSameBits) {
  Bytes elements(65536 * 2 + 4);
  for (uint32_t i = 0; i < 65536; ++i) {
    StoreLe(&elements[2 * i], static_cast<uint16_t>(i));
  }
  ForEachTarget([&] {
    for (const DType dtype : kDTypes) {
      for (const uint32_t count : {0u, 1u, 7u, 32767u, 32768u}) {
        // One more, which stays: no pointer is null.
        std::vector<float> wanted(count + 1);
        std::vector<float> out(count + 1);
        LoadFloatsScalar(dtype, elements.data(), count, wanted.data());
        LoadFloats(dtype, elements.data(), count, out.data());
        ASSERT_EQ(std::memcmp(out.data(), wanted.data(), (count + 1) * 4), 0);
      }
    }
  });
}

// All numbers with one of a few mantissas, so that each exponent meets ties
// and their neighbours, and many others at random.
std::vector<float> Numbers() {
  std::vector<float> numbers;
  const auto add = [&](uint32_t bits) {
    const auto x = std::bit_cast<float>(bits);
    if (!std::isnan(x)) numbers.push_back(x);
  };
  for (uint32_t high = 0; high < 512; ++high) {
    for (const uint32_t low :
         {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x2fffu, 0x3000u, 0x3001u, 0x7fffu,
          0x8000u, 0x8001u, 0x17fffu, 0x18000u, 0x18001u, 0x400000u, 0x7fefffu,
          0x7ff000u, 0x7fffffu}) {
      add(high << 23 | low);
    }
  }
  Random random(1);
  for (int i = 0; i < 100000; ++i) add(static_cast<uint32_t>(random.U64()));
  return numbers;
}

TEST(FloatRowsTest, EveryInstructionSetStoresTheSameBits) {
  const std::vector<float> numbers = Numbers();
  ForEachTarget([&] {
    for (const DType dtype : kDTypes) {
      for (const uint64_t count :
           {uint64_t{0}, uint64_t{1}, uint64_t{15}, numbers.size()}) {
        const uint64_t bytes = count * DTypeBytes(dtype);
        Bytes wanted(bytes + 1, 0xee);
        Bytes out(bytes + 1, 0xee);
        StoreFloatsSaturatedScalar(dtype, numbers.data(), count, wanted.data());
        StoreFloatsSaturated(dtype, numbers.data(), count, out.data());
        ASSERT_TRUE(out == wanted);
        EXPECT_EQ(out[bytes], 0xee);
      }
    }
  });
}

}  // namespace
}  // namespace reprise
