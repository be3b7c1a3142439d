#include "api/space_guard.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "store/memory_engine.h"

namespace reprise {
namespace {

class SpaceGuardTest : public testing::Test {
 protected:
  void Put(const std::string& key, size_t bytes) {
    const Bytes value(bytes);
    const ObjectPut put{ObjectSpace::kFrameExact, key, value};
    ASSERT_TRUE(engine_->Put({&put, 1}, 1, Durability::kWritten).ok());
  }
  void Remove(const std::string& key) {
    const ObjectRef ref{ObjectSpace::kFrameExact, key};
    ASSERT_TRUE(engine_->RemoveIfUntouched({&ref, 1}, 100).ok());
  }

  ManualClock clock_;
  std::unique_ptr<Engine> engine_ = OpenMemoryEngine(MakeMemoryStore());
};

TEST_F(SpaceGuardTest, WithoutALimitEverythingFits) {
  SpaceGuard guard(engine_.get(), &clock_, 0);
  EXPECT_TRUE(guard.Admit(UINT64_MAX).ok());
}

TEST_F(SpaceGuardTest, RefusesWhatDoesNotFitWithBothNumbers) {
  Put("a", 600);
  SpaceGuard guard(engine_.get(), &clock_, 1000);
  EXPECT_TRUE(guard.Admit(400).ok());
  const Status refused = guard.Admit(1);
  EXPECT_TRUE(refused.Is(StatusCode::kResourceExhausted));
  for (const char* number : {"takes 1000 bytes", "limit of 1000"}) {
    EXPECT_NE(std::string::npos, refused.message().find(number))
        << refused.ToString();
  }
  EXPECT_TRUE(guard.Admit(UINT64_MAX).Is(StatusCode::kResourceExhausted));
}

TEST_F(SpaceGuardTest, LooksAgainAfterASecond) {
  Put("a", 900);
  SpaceGuard guard(engine_.get(), &clock_, 1000);
  EXPECT_FALSE(guard.Admit(200).ok());
  Remove("a");
  EXPECT_FALSE(guard.Admit(200).ok());
  clock_.AdvanceMs(1000);
  EXPECT_TRUE(guard.Admit(200).ok());
  // What was admitted and never written is forgotten then.
  EXPECT_TRUE(guard.Admit(700).ok());
  EXPECT_FALSE(guard.Admit(700).ok());
  clock_.AdvanceMs(1000);
  EXPECT_TRUE(guard.Admit(700).ok());
}

TEST_F(SpaceGuardTest, AStoreBeyondTheLimitTakesNothing) {
  Put("a", 2000);
  SpaceGuard guard(engine_.get(), &clock_, 1000);
  EXPECT_TRUE(guard.Admit(0).Is(StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace reprise
