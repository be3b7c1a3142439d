#include "api/session_census.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/clock.h"
#include "store/catalogue.h"
#include "store/memory_engine.h"
#include "tests/support/failing_engine.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class SessionCensusTest : public testing::Test {
 protected:
  SessionCensusTest()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &clock_, {})),
        worker_(catalogue_.get(), TenantDomain("default"), TinyModel()) {}

  void Save(const std::string& name, size_t tokens) {
    ASSERT_TRUE(worker_.Save(name, ToyTokens(1, tokens)).ok());
  }

  ManualClock clock_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ToyWorker worker_;
};

TEST_F(SessionCensusTest, CountsSessionsAndTheirTokens) {
  SessionCensus census(engine_.get(), &clock_);
  EXPECT_EQ(census.Get().sessions, 0u);
  EXPECT_FALSE(census.Get().at_least);
  ASSERT_NO_FATAL_FAILURE(Save("a", 200));
  ASSERT_NO_FATAL_FAILURE(Save("b", 70));
  clock_.AdvanceMs(30'000);
  const SessionFigures figures = census.Get();
  EXPECT_EQ(figures.sessions, 2u);
  EXPECT_EQ(figures.tokens, 270u);
  EXPECT_EQ(figures.age_ms, 0);
}

TEST_F(SessionCensusTest, AnswersWhatItKnowsUntilThatIsOld) {
  SessionCensus census(engine_.get(), &clock_,
                       {.max_sessions = 10, .max_age_ms = 1'000});
  ASSERT_NO_FATAL_FAILURE(Save("a", 64));
  EXPECT_EQ(census.Get().sessions, 1u);
  ASSERT_TRUE(catalogue_->RemoveSession(TenantDomain("default"), "a").ok());
  clock_.AdvanceMs(999);
  EXPECT_EQ(census.Get().sessions, 1u);
  EXPECT_EQ(census.Get().age_ms, 999);
  clock_.AdvanceMs(1);
  EXPECT_EQ(census.Get().sessions, 0u);
  EXPECT_EQ(census.Get().age_ms, 0);
}

TEST_F(SessionCensusTest, StopsAtItsLimitAndSaysSo) {
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_NO_FATAL_FAILURE(Save(name, 64));
  }
  for (uint64_t limit : {2, 3, 4}) {
    SessionCensus census(engine_.get(), &clock_,
                         {.max_sessions = limit, .max_age_ms = 0});
    const SessionFigures figures = census.Get();
    EXPECT_EQ(figures.sessions, std::min<uint64_t>(limit, 3));
    EXPECT_EQ(figures.tokens, 64 * figures.sessions);
    EXPECT_EQ(figures.at_least, limit == 2) << limit;
  }
}

TEST_F(SessionCensusTest, KeepsWhatItKnewWhileTheStoreCantBeRead) {
  FailingEngine failing(engine_.get());
  SessionCensus census(&failing, &clock_,
                       {.max_sessions = 10, .max_age_ms = 1'000});
  failing.before = [] { return UnavailableError("no disk"); };
  EXPECT_TRUE(census.Get().at_least);
  EXPECT_EQ(census.Get().sessions, 0u);
  failing.before = nullptr;
  ASSERT_NO_FATAL_FAILURE(Save("a", 64));
  clock_.AdvanceMs(1'000);
  EXPECT_EQ(census.Get().sessions, 1u);
  failing.before = [] { return UnavailableError("no disk"); };
  clock_.AdvanceMs(5'000);
  EXPECT_EQ(census.Get().sessions, 1u);
  EXPECT_EQ(census.Get().age_ms, 5'000);
}

// More than one page of records.
TEST_F(SessionCensusTest, CountsEachRecordOnce) {
  const DomainId tenant = TenantDomain("default");
  ASSERT_NO_FATAL_FAILURE(Save("first", 70));
  const auto first = catalogue_->GetSession(tenant, "first");
  ASSERT_TRUE(first.ok());
  const Bytes record = EncodeSession(first->record);
  for (int i = 0; i < 2'000; i++) {
    const std::string key = DomainKey(tenant, AsBytes("s" + std::to_string(i)));
    ASSERT_TRUE(engine_
                    ->CompareAndSwap(HeadSpace::kSession, key, 0, record,
                                     Durability::kWritten)
                    .ok());
  }
  const SessionFigures figures = SessionCensus(engine_.get(), &clock_).Get();
  EXPECT_EQ(figures.sessions, 2'001u);
  EXPECT_EQ(figures.tokens, 70u * 2'001u);
  EXPECT_FALSE(figures.at_least);
}

}  // namespace
}  // namespace reprise
