// The host's side of the executor: what it does so that tests fail where a
// device would.
#include "gpu/executor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace reprise {
namespace {

// The threads, and the lanes of each warp, in the order of their turns.
std::vector<uint32_t> Turns(bool is_backwards) {
  const Block block({.threads = 96, .is_backwards = is_backwards});
  std::vector<uint32_t> turns;
  block.Threads([&](uint32_t thread) { turns.push_back(thread); });
  block.Warps([&](const Warp& warp) {
    warp.ForEach([&](uint32_t lane) {
      turns.push_back(warp.index() * kWarpLanes + lane);
    });
  });
  return turns;
}

TEST(ExecutorTest, GivesThreadsTheirTurnsInEitherOrder) {
  const std::vector<uint32_t> forwards = Turns(false);
  const std::vector<uint32_t> backwards = Turns(true);
  ASSERT_EQ(forwards.size(), 2u * 96);
  ASSERT_EQ(backwards.size(), 2u * 96);
  for (uint32_t i = 0; i < 2 * 96; ++i) {
    EXPECT_EQ(forwards[i], i % 96);
    EXPECT_EQ(backwards[i], 95 - i % 96);
  }
}

#ifndef NDEBUG
TEST(ExecutorDeathTest, EndsWhereADeviceFaults) {
  alignas(8) uint8_t bytes[16] = {};
  EXPECT_EQ(LoadAligned<uint64_t>(bytes + 8), 0u);
  StoreAligned<uint16_t>(bytes + 2, 1);
  EXPECT_DEATH((void)LoadAligned<uint64_t>(bytes + 4), "");
  EXPECT_DEATH(StoreAligned<uint16_t>(bytes + 1, 1), "");
}
#endif

}  // namespace
}  // namespace reprise
