#include "tools/capacity_plan.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/model_specs.h"

namespace reprise {
namespace {

// The research series' example: a 7B model with full multi-head attention,
// 128K tokens, 125x, 80 GB.
TEST(CapacityPlanTest, RecomputesTheSeriesExampleInBothAccountings) {
  const CacheShape shape{.layers = 32, .kv_heads = 32, .head_dim = 128};
  EXPECT_EQ(shape.token_bytes(), 524288);
  const auto plan = PlanCapacity({.token_bytes = shape.token_bytes(),
                                  .context_tokens = 128'000,
                                  .memory_bytes = 80e9,
                                  .state_ratio = 1.8,
                                  .history_ratio = 125});
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_NEAR(plan->plain.user_bytes, 67.1e9, 0.05e9);
  EXPECT_EQ(plan->plain.users, 1);
  EXPECT_NEAR(plan->by_history.user_bytes, 537e6, 0.5e6);
  EXPECT_EQ(plan->by_history.users, 149);
  EXPECT_EQ(plan->by_state.users, 2);
}

TEST(CapacityPlanTest, CountsSixteenBitsAValueWhateverTheDtype) {
  EXPECT_EQ(TokenBytesAt16Bits(TinyModel()),
            TokenBytesAt16Bits(TinyModel(DType::kF32)));
  ModelSpec opaque = TinyModel();
  for (LayerSpec& layer : opaque.layers) {
    for (PlaneSpec& plane : layer.planes) plane.dtype = DType::kOpaque;
  }
  EXPECT_EQ(2 * TokenBytesAt16Bits(opaque), TokenBytesAt16Bits(TinyModel()));
}

TEST(CapacityPlanTest, LeavesAnUnknownHistoryOut) {
  const auto plan = PlanCapacity(
      {.token_bytes = 2, .context_tokens = 10, .memory_bytes = 100});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->by_state.users, 5);
  EXPECT_EQ(plan->by_history.users, 0);
}

TEST(CapacityPlanTest, RefusesWhatIsNotPositive) {
  const CapacityInput good{
      .token_bytes = 2, .context_tokens = 10, .memory_bytes = 100};
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    CapacityInput input = good;
    input.state_ratio = bad;
    EXPECT_TRUE(PlanCapacity(input).status().Is(StatusCode::kInvalidArgument));
    input = good;
    input.memory_bytes = bad;
    EXPECT_TRUE(PlanCapacity(input).status().Is(StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace reprise
