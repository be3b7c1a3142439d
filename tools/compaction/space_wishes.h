// The tasks that a lack of space gives: sessions of the least value sink before
// their time, as far as their policies ever let them (tools/compaction/value.h,
// docs/operations/space.md). To be run after what policies ask for anyhow
// (policy_wishes.h) was done and did not get the store below its high
// watermark.
#ifndef REPRISE_TOOLS_COMPACTION_SPACE_WISHES_H_
#define REPRISE_TOOLS_COMPACTION_SPACE_WISHES_H_

#include <cstdint>
#include <string>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "store/watermarks.h"
#include "tools/compaction/session_walk.h"
#include "tools/compaction/space_survey.h"
#include "tools/compaction/value.h"
#include "tools/compaction/wish_source.h"

namespace reprise {

// Prepares by a survey. A session that was used, changed or pinned since gives
// no task when its turn comes; of the others only what nobody shares does. It
// has no cursor: whoever goes on later looks at the store anew, and what has
// sunk already is worth less then and not chosen again.
class SpaceWishes final : public WishSource {
 public:
  struct Options {
    Watermarks marks;
    RestoreRates rates;
    // What is taken now; garbage that only waits for the collector should not
    // be in it.
    uint64_t used_bytes = 0;
    uint64_t seed = 1;
  };
  // Neither is owned; both outlive this and its tasks.
  SpaceWishes(Catalogue* catalogue, const PolicyRules* rules, TierCheck check,
              const Options& options);

  Status Prepare() override;
  bool ready() const override { return is_planned_; }
  uint64_t total() const override { return total_; }
  void SkipTo(const std::string& cursor) override { (void)cursor; }
  Result<Batch> Next(uint32_t limit) override;

  // REQUIRES: ready().
  const SpacePlan& plan() const { return plan_; }

 private:
  // The tasks of one session, or none if it is in use now.
  Status AddTasks(const SpaceChoice& choice, Batch* batch);

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const Options options_;
  const int64_t now_ms_;
  SpaceSurvey survey_;
  bool is_planned_ = false;
  SpacePlan plan_;
  size_t next_choice_ = 0;
  uint64_t total_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SPACE_WISHES_H_
