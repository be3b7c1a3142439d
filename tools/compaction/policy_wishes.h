// The tasks that sessions' policies give: each segment once, to the best tier
// that anybody asks of it, session by session.
#ifndef REPRISE_TOOLS_COMPACTION_POLICY_WISHES_H_
#define REPRISE_TOOLS_COMPACTION_POLICY_WISHES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "tools/compaction/session_walk.h"
#include "tools/compaction/wanted_tiers.h"
#include "tools/compaction/wish_source.h"

namespace reprise {

// Prepares by a mark pass. A session that was used, saved, pinned or given
// another policy since is seen as it is when its turn comes: then it asks for a
// better tier than the pass noted, and gives no task.
class PolicyWishes final : public WishSource {
 public:
  // Neither is owned; both outlive this and its tasks. With `idle_plus_ms`
  // everything is as if nobody had used, changed or made anything for so long:
  // for rehearsals. Nothing of it is written down.
  PolicyWishes(Catalogue* catalogue, const PolicyRules* rules,
               int64_t idle_plus_ms = 0);

  Status Prepare() override { return wanted_.Step(); }
  bool ready() const override { return wanted_.done(); }
  uint64_t total() const override;
  void SkipTo(const std::string& cursor) override { walked_ = cursor; }
  Result<Batch> Next(uint32_t limit) override;

  // REQUIRES: ready().
  const WantedReport& report() const { return wanted_.report(); }

 private:
  struct Current {
    std::string key;
    Wanted wanted = Wanted::kLeftAlone;
    std::vector<Tier> tiers;  // of SessionWish
    const Ladder* ladder = nullptr;
    SessionSegments segments;
    uint64_t given = 0;  // of its tasks
  };
  // The next session that asks for anything; false at the end.
  Result<bool> NextSession();
  void AddTasks(const std::vector<SegmentUse>& uses, Batch* batch);

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const int64_t now_ms_;
  WantedTiers wanted_;
  SessionWalk walk_;
  std::optional<Current> current_;
  std::string walked_;  // the session walked to last, or skipped to
  std::string done_;    // all up to this one was given
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_POLICY_WISHES_H_
