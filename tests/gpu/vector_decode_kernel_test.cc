// Parts of the kernel that no codec case reaches in all their forms.
#include "gpu/vector_decode_kernel.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "codec/vector_kernel.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

TEST(VectorDecodeKernelTest, ReadsCodesOfAnyNumberOfBits) {
  constexpr uint32_t kCount = 37;
  Random random(2);
  for (uint32_t bits = 1; bits <= 8; ++bits) {
    SCOPED_TRACE(bits);
    uint8_t codes[kCount];
    random.Fill(codes);
    for (uint8_t& code : codes) code &= (1u << bits) - 1;
    // No byte behind it: the last code must not look for one.
    Bytes packed((kCount * bits + 7) / 8);
    PackCodes(codes, kCount, bits, packed.data());
    for (uint32_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(VectorDecodeKernel::CodeAt(packed.data(), i, bits), codes[i])
          << "code " << i;
    }
  }
}

}  // namespace
}  // namespace reprise
