// Both ways in which the kernel copies, and that it takes the right one.
#include "gpu/copy_rows_kernel.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/bytes.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr uint32_t kTokens = 6;
constexpr uint32_t kHeads = 4;
constexpr uint32_t kDim = 24;
constexpr uint32_t kElement = 2;
constexpr uint64_t kMask = 0b011011;

// Channels of heads 1 to 3, of which 2 and 3 are wanted.
class CopyRowsKernelTest : public testing::Test {
 protected:
  CopyRowsKernelTest() {
    Random random(3);
    random.Fill(packed_);
    task_ = {.from = packed_,
             .from_stride = 3 * kDim * kElement,
             .tokens = kMask,
             .channel_first = kDim,
             .channel_count = 3 * kDim};
    rows_ = {.base = out_,
             .token_stride = 2 * kDim * kElement,
             .head_stride = kDim * kElement,
             .element_stride = kElement,
             .token_count = kTokens - 1,
             .head_first = 2,
             .head_count = 2,
             .dim = kDim,
             .element_bytes = kElement};
  }

  // Copies, and compares all of `out_`.
  void Check(bool is_wide) {
    EXPECT_EQ(CopyRowsKernel::IsWide(task_, rows_), is_wide);
    uint8_t wanted[sizeof out_];
    std::memset(wanted, 0xee, sizeof wanted);
    std::memset(out_, 0xee, sizeof out_);
    const uint8_t* from = task_.from;
    for (uint32_t t = 0; t < rows_.token_count; ++t) {
      if ((kMask >> t & 1) == 0) continue;
      for (uint32_t c = kDim; c < 3 * kDim; ++c) {
        const int64_t at = rows_.Row(t) - out_ + rows_.OffsetOf(c + kDim);
        std::memcpy(wanted + at, from + c * kElement, kElement);
      }
      from += task_.from_stride;
    }
    CopyRowsKernel::Shared shared;
    CopyRowsKernel::Run(Block({.threads = CopyRowsKernel::kThreads}),
                        {.tasks = &task_, .task_count = 1, .rows = &rows_},
                        &shared);
    EXPECT_EQ(std::memcmp(out_, wanted, sizeof out_), 0);
  }

  alignas(16) uint8_t packed_[kTokens * kHeads * kDim * kElement];
  alignas(16) uint8_t out_[2 * kTokens * kHeads * kDim * kElement];
  CopyRowsTask task_;
  GpuRows rows_;
};

TEST_F(CopyRowsKernelTest, Copies16BytesAtOnceWhereAllIsAligned) {
  Check(true);
  rows_.token_stride += 16;
  Check(true);
}

TEST_F(CopyRowsKernelTest, CopiesElementsWhereTheSourceIsNotAligned) {
  task_.from += 1;
  Check(false);
  task_.from = packed_;
  task_.from_stride += 8;
  Check(false);
}

TEST_F(CopyRowsKernelTest, CopiesElementsWhereTheRowsAreNotAligned) {
  rows_.base += kElement;
  Check(false);
  rows_.base = out_;
  rows_.head_stride += kElement;
  rows_.token_stride += 16;
  Check(false);
}

TEST_F(CopyRowsKernelTest, CopiesElementsThatLieApart) {
  rows_.element_stride = 2 * kElement;
  rows_.head_stride *= 2;
  rows_.token_stride *= 2;
  Check(false);
}

}  // namespace
}  // namespace reprise
