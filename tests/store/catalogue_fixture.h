// A catalogue on a store in memory, with a clock that stands still.
#ifndef REPRISE_TESTS_STORE_CATALOGUE_FIXTURE_H_
#define REPRISE_TESTS_STORE_CATALOGUE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"
#include "store/catalogue.h"
#include "store/memory_engine.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {

#define REPRISE_ASSERT_OK(expression)                              \
  do {                                                             \
    const ::reprise::Status reprise_status = (expression);         \
    ASSERT_TRUE(reprise_status.ok()) << reprise_status.ToString(); \
  } while (false)

inline Status StatusOf(const Status& status) { return status; }
template <typename T>
Status StatusOf(const Result<T>& result) {
  return result.status();
}
#define REPRISE_EXPECT_CODE(expected, expression)                             \
  do {                                                                        \
    const ::reprise::Status reprise_status = ::reprise::StatusOf(expression); \
    EXPECT_EQ(::reprise::StatusCode::expected, reprise_status.code())         \
        << reprise_status.ToString();                                         \
  } while (false)

class CatalogueFixture : public testing::Test {
 protected:
  CatalogueFixture()
      : store_(MakeMemoryStore()),
        engine_(OpenMemoryEngine(store_)),
        catalogue_(OpenCatalogue(engine_.get())),
        worker_(catalogue_.get(), tenant_, TinyModel()) {}

  std::unique_ptr<Catalogue> OpenCatalogue(Engine* engine,
                                           CatalogueOptions options = {}) {
    auto catalogue = Catalogue::Open(engine, &clock_, options);
    REPRISE_CHECK(catalogue.ok());
    return *std::move(catalogue);
  }

  SessionRecord Session(std::string_view name) {
    const Result<SessionInfo> info = catalogue_->GetSession(tenant_, name);
    EXPECT_TRUE(info.ok()) << info.status().ToString();
    return info.ok() ? info->record : SessionRecord();
  }

  // Everything of a session's head, read as a fetch would. Not OK when a
  // segment or frame is missing or damaged.
  Status ReadAll(std::string_view name) {
    FetchRequest request;
    request.session = name;
    request.lowest = Tier::kArchive;
    request.lease_ms = 0;
    REPRISE_ASSIGN_OR_RETURN(const FetchPlan plan,
                             catalogue_->PlanFetch(tenant_, request));
    for (const FetchSegment& segment : plan.segments) {
      if (segment.rendition.tier == Tier::kTokens) {
        return DataLossError("a segment has no rendition");
      }
      std::vector<Result<PinnedBytes>> frames;
      catalogue_->GetFrames(plan.domain, segment.id, segment.rendition.frames,
                            &frames);
      for (const auto& frame : frames) {
        if (!frame.ok()) return frame.status();
      }
    }
    return Status();
  }

  const DomainId tenant_ = TenantDomain("acme");
  ManualClock clock_;
  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ToyWorker worker_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_STORE_CATALOGUE_FIXTURE_H_
