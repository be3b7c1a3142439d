// What a compaction would do, worked out without doing it: for each tier how
// many segments and bytes are there now and would be afterwards, what dropping
// frees and what encoding anew, how long it would take, and what is skipped.
// It goes through the store as the job does (tools/compaction/sink_plan.h says
// what becomes of a segment), in steps, and writes nothing.
//
// Bytes that are dropped are counted exactly, from records. What frames will
// take that have yet to be encoded is an estimate, and says where it is from.
#ifndef REPRISE_TOOLS_COMPACTION_PLAN_H_
#define REPRISE_TOOLS_COMPACTION_PLAN_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/status.h"
#include "codec/frame.h"
#include "codec/tier.h"
#include "store/catalogue.h"
#include "store/ladder.h"
#include "store/policy_rules.h"
#include "tools/compaction/plan_estimate.h"
#include "tools/compaction/session_walk.h"
#include "tools/compaction/sink_plan.h"
#include "tools/compaction/wanted_tiers.h"

namespace reprise {

// Segments and tails whose best rendition counts as a tier.
struct PlanRow {
  uint64_t segments_now = 0;
  uint64_t bytes_now = 0;  // of all frames that their renditions name
  uint64_t segments_after = 0;
  uint64_t bytes_after = 0;
  // By those that sink to this tier.
  uint64_t dropped_bytes = 0;       // freed, no byte of it is encoded again
  uint64_t encode_freed_bytes = 0;  // freed by encoding anew, estimated
  bool operator==(const PlanRow&) const = default;
};
inline constexpr size_t kPlanRows = 6;  // by Tier

// Segments that are encoded anew in one way.
struct PlanEncode {
  ModelId model;
  Tier tier = Tier::kNear;  // of the codec
  Tier row = Tier::kNear;   // what they count as, by the prefix they are of
  TierWay way;
  uint64_t segments = 0;
  uint64_t bytes_now = 0;  // that they take the place of
  uint64_t raw_bytes = 0;  // decoded and encoded
  Estimate estimate;       // of what they become
  double seconds = 0;      // on one thread
};

// A tier that can't be made, and what is due for it: it sinks as if the ladder
// had no such tier.
struct PlanSkip {
  ModelId model;
  std::string ladder;
  Tier tier = Tier::kNear;
  std::string reason;
  // The better tier that it sinks to; exact: it stays as it is.
  Tier instead = Tier::kExact;
  uint64_t segments = 0;
  uint64_t bytes = 0;
};

// A tier of a ladder that some session is on, for its model. Another domain may
// have another profile, and then a line of its own.
struct PlanLadderTier {
  ModelId model;
  std::string ladder;
  Tier tier = Tier::kNear;
  std::string choice;                 // as the ladder has it: "klt:tier=near"
  std::optional<double> measured_kl;  // of TierWay
  std::string problem;                // why it can't be made; empty: it can
  auto operator<=>(const PlanLadderTier&) const = default;
};

struct CompactionPlan {
  WantedReport sessions;
  std::array<PlanRow, kPlanRows> rows;
  PlanRow total() const;
  // Of these, by pins, leases and problems.
  uint64_t left_alone_segments = 0;
  uint64_t left_alone_bytes = 0;
  // Nobody refers to them: the collector's, and in no row.
  uint64_t unreferenced_segments = 0;
  uint64_t unreferenced_bytes = 0;
  // Their records are damaged: in no row.
  uint64_t unreadable_segments = 0;
  uint64_t dropped_segments = 0;
  std::vector<PlanLadderTier> ladders;  // what lies below exact
  std::vector<PlanEncode> encodes;
  std::vector<PlanSkip> skips;
  double drop_seconds = 0;
  double encode_seconds = 0;
  bool is_rate_configured = false;  // else assumed, tools/compaction/
                                    // plan_estimate.h
};

// How a tier is made of a model's state, or an error that says why not: which
// ladder, tier, codec and model, and what to do.
using TierCheck = std::function<Result<TierWay>(const DomainId&, const ModelId&,
                                                const Ladder&, Tier)>;

// Whether such an error concerns the tier alone, and not the store as a whole:
// kFailedPrecondition, kNotFound, kDataLoss and kUnimplemented do.
bool SkipsTier(const Status& status);

// Not thread-safe.
class CompactionPlanner {
 public:
  struct Options {
    int64_t now_ms = 0;  // may be a time to come
    uint32_t step_segments = 4096;
    uint64_t seed = 1;
    // Decoded and encoded, in all; 0: what is assumed of each codec.
    double encode_bytes_per_s = 0;
  };
  // Neither is owned; both must outlive this.
  CompactionPlanner(Catalogue* catalogue, const PolicyRules* rules,
                    TierCheck check, const Options& options);

  // A bounded piece of work. After an error the same step may be tried again.
  Status Step();
  bool done() const { return phase_ == Phase::kDone; }
  uint64_t segments_seen() const { return seen_; }
  uint64_t segments_known() const { return wanted_.map().size(); }
  // REQUIRES: done().
  const CompactionPlan& plan() const { return plan_; }

 private:
  enum class Phase : uint8_t { kMark, kSessions, kGarbage, kDone };
  using WayKey = std::tuple<DomainId, ModelId, std::string, Tier>;
  using LadderKey = std::tuple<DomainId, ModelId, std::string>;
  using EncodeKey = std::tuple<ModelId, std::string, Tier, Tier>;
  using SkipKey = std::tuple<ModelId, std::string, Tier, std::string, Tier>;

  Status NextSession();
  Status NextUses();
  Status NextGarbage();
  void Finish();
  // What the session's ladder can make of its model, once for each ladder.
  Status NoteLadder();
  // One segment that is looked at for the first time.
  Status Count(const SegmentUse& use, const HeadRecord& record, Wanted wanted);
  // Of a segment that holds `set`.
  Status CountSkip(const RenditionSet& set, const SinkChoice& choice,
                   Tier tier);
  void CountDrop(const RenditionSet& set, const SinkChoice& choice);
  Status CountEncode(const RenditionSet& set, const SinkChoice& choice);
  // Of the session's ladder; valid until the next call.
  Result<const Result<TierWay>*> WayTo(Tier tier);

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const TierCheck check_;
  const Options options_;
  Phase phase_ = Phase::kMark;
  WantedTiers wanted_;
  SessionWalk walk_;
  // Of the session that is gone through.
  WalkedSession session_;
  SessionWish wish_;
  const Ladder* ladder_ = nullptr;
  std::optional<SessionRenditions> renditions_;
  std::string garbage_cursor_;
  uint64_t seen_ = 0;
  uint64_t step_done_ = 0;
  std::map<WayKey, Result<TierWay>> ways_;
  std::map<EncodeKey, PlanEncode> encodes_;
  std::map<SkipKey, PlanSkip> skips_;
  std::set<LadderKey> noted_ladders_;
  std::set<PlanLadderTier> ladder_tiers_;
  MeasuredRatios ratios_;
  CompactionPlan plan_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_PLAN_H_
