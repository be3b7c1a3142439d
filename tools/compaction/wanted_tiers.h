// One pass over all sessions that finds out what a compaction may do: which
// segments anybody refers to, and to which tier each may sink. A segment of
// several sessions keeps the best tier that any of them asks for. It takes
// under 64 MiB for ten million segments (store/tier_map.h) and works in steps,
// beside live traffic; nothing is held open in the store between two steps.
//
// A pass describes the sessions as it came by. A session that is made, used or
// given another policy later is what the next pass sees: whoever sinks by a
// pass looks at each session's record again before, and makes a new pass now
// and then. Nothing that it says can lose state: where nobody can tell what is
// referred to, it says to leave everything alone.
#ifndef REPRISE_TOOLS_COMPACTION_WANTED_TIERS_H_
#define REPRISE_TOOLS_COMPACTION_WANTED_TIERS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "store/tier_map.h"
#include "tools/compaction/session_walk.h"

namespace reprise {

// What one session asks for.
struct SessionWish {
  Wanted wanted = Wanted::kLeftAlone;
  // What it asks for, and where it may sink when that can't be made: as of
  // TiersDownTo.
  std::vector<Tier> tiers;
  std::string ladder;  // of its policy; empty when it is left alone
  bool is_pinned = false;
  bool is_expired = false;  // its TTL is over: to be removed
  std::string problem;      // why it is left alone, but for a pin
};
// Pure. What can't be read, and a policy that can't be followed, leaves a
// session alone.
SessionWish WishOf(const PolicyRules& rules, const WalkedSession& session,
                   int64_t now_ms);

struct WantedReport {
  struct Problem {
    std::string session;  // empty: a commit that only a lease names
    std::string reason;
  };
  uint64_t sessions = 0;
  uint64_t pinned_sessions = 0;
  uint64_t expired_sessions = 0;
  uint64_t leases = 0;  // that are not over
  uint64_t problem_count = 0;
  std::vector<Problem> problems;  // the first 100
};

// Not thread-safe.
class WantedTiers {
 public:
  struct Options {
    // The present, by the wall clock, all the way through.
    int64_t now_ms = 0;
    // A step ends after so many segments, or with the commit that led to them.
    uint32_t step_segments = 4096;
    uint64_t seed = 1;  // of the map; best drawn at random
  };
  // Neither is owned; both must outlive this. The clock that `now_ms` comes
  // from is the caller's to check (store/clock_guard.h).
  WantedTiers(Catalogue* catalogue, const PolicyRules* rules,
              const Options& options);

  // A bounded piece of work. After an error the same step may be tried again.
  Status Step();
  bool done() const { return phase_ == Phase::kDone; }

  // The rest REQUIRES: done().
  // Nothing: no session, kept commit or lease refers to it, it is garbage.
  std::optional<TierMap::Entry> Find(const DomainId& domain,
                                     const SegmentId& id) const;
  // As TierMap::Visit.
  bool Visit(const DomainId& domain, const SegmentId& id) {
    return map_.Visit(SegmentHash(domain, id));
  }
  const TierMap& map() const { return map_; }
  const WantedReport& report() const { return report_; }

 private:
  enum class Phase : uint8_t { kBegin, kSessions, kLeases, kDone };
  // Whose segments are being added.
  struct Current {
    WalkedSession session;  // nameless for a lease's commit
    bool is_lease = false;
    bool was_read_again = false;
    Wanted wanted = Wanted::kLeftAlone;
    SessionSegments segments;
  };

  Status NextSession();
  Status NextLease();
  Status Expand();
  // A commit that is not there, or damaged.
  Status MissCommit(const Status& missed);
  void AddProblem(const std::string& session, const std::string& reason);

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const Options options_;
  Phase phase_ = Phase::kBegin;
  SessionWalk walk_;
  std::string lease_cursor_;
  std::optional<Current> current_;
  uint64_t step_added_ = 0;
  std::vector<SegmentUse> uses_;
  TierMap map_;
  // Nobody can say what is referred to in them.
  std::set<DomainId> left_alone_;
  WantedReport report_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_WANTED_TIERS_H_
