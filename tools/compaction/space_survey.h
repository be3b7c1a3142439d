// What each session holds and would free: the figures by which sessions are
// chosen when space runs short (tools/compaction/value.h). In steps, beside
// live traffic; writes nothing.
#ifndef REPRISE_TOOLS_COMPACTION_SPACE_SURVEY_H_
#define REPRISE_TOOLS_COMPACTION_SPACE_SURVEY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/ladder.h"
#include "store/policy.h"
#include "store/policy_rules.h"
#include "tools/compaction/plan.h"
#include "tools/compaction/plan_estimate.h"
#include "tools/compaction/session_walk.h"
#include "tools/compaction/value.h"
#include "tools/compaction/wanted_tiers.h"

namespace reprise {

// Of those that a policy names; tokens where it names none.
Tier LowestWithFrames(const Policy& policy);

struct SurveyedSession {
  DomainId tenant;
  std::string name;
  // The lowest tier with frames of its policy; tokens: its policy has none.
  // Where it can't be made the next better one counts.
  Tier sink_to = Tier::kTokens;
  uint64_t own_segments = 0;  // and tails, that no other session refers to
  SessionFacts facts;         // index: the position in SpaceSurvey::sessions()
};

// Not thread-safe.
class SpaceSurvey {
 public:
  struct Options {
    int64_t now_ms = 0;
    uint32_t step_segments = 4096;
    uint64_t seed = 1;
    RestoreRates rates;
    // Bounds memory, at some 400 bytes each: those of the least value are kept,
    // and a later survey sees the others.
    uint32_t max_sessions = 100'000;
  };
  // Neither is owned; both must outlive this. A tier that `check` refuses is
  // passed over.
  SpaceSurvey(Catalogue* catalogue, const PolicyRules* rules, TierCheck check,
              const Options& options);

  // A bounded piece of work. After an error the same step may be tried again.
  Status Step();
  bool done() const { return phase_ == Phase::kDone; }
  // REQUIRES: done(). By value, the least first; none that is left alone or
  // holds nothing of its own.
  const std::vector<SurveyedSession>& sessions() const { return sessions_; }
  // The facts alone, for PlanSpace.
  std::vector<SessionFacts> Facts() const;
  // Whether one session alone refers to it, and nothing forbids to sink it.
  bool IsOwn(const DomainId& domain, const SegmentId& id) const;

 private:
  enum class Phase : uint8_t { kMark, kSessions, kDone };
  // The session that is measured.
  struct Current {
    SurveyedSession session;
    ModelId model;
    // session.sink_to and the better tiers of its policy, and of them those
    // that can be made.
    std::vector<Tier> tiers;
    std::map<Tier, TierWay> ways;
    SessionRenditions renditions;
  };

  Status NextSession();
  Result<std::map<Tier, TierWay>> WaysOf(const SessionRecord& record,
                                         const Ladder& ladder,
                                         const std::vector<Tier>& tiers) const;
  Status Measure(const SegmentUse& use, const HeadRecord& record);
  void Keep(SurveyedSession session);
  void SortOut();

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const TierCheck check_;
  const Options options_;
  Phase phase_ = Phase::kMark;
  WantedTiers wanted_;
  SessionWalk walk_;
  std::optional<WalkedSession> walked_;  // read, and not begun yet
  std::optional<Current> current_;
  uint64_t step_done_ = 0;
  MeasuredRatios ratios_;
  std::vector<SurveyedSession> sessions_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SPACE_SURVEY_H_
