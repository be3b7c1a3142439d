// Trains the profiles that tiers lack: where a session's policy names a tier
// whose codec has no profile for the session's model, and the store holds
// enough exact state of that model, one is trained on it and put. The trainers
// are those of `reprise calibrate` (codec/profile_trainer.h), and so is what
// they give: a profile of values alone.
#ifndef REPRISE_TOOLS_COMPACTION_PROFILE_MAKER_H_
#define REPRISE_TOOLS_COMPACTION_PROFILE_MAKER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/profile_trainer.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "tools/compaction/byte_rate.h"
#include "tools/compaction/codec_shelf.h"
#include "tools/compaction/segment_coder.h"

namespace reprise {

// A profile that some tier lacks, and what became of it.
struct ProfileNeed {
  DomainId domain;
  ModelId model;
  CodecChoice choice;
  // Of this model, from the first on that lacks it.
  uint64_t sessions = 0;
  // Exact, in whole segments, each distinct one once; counted no further than
  // `wanted_tokens`.
  uint64_t has_tokens = 0;
  uint64_t min_tokens = 0;
  uint64_t wanted_tokens = 0;
  bool is_made = false;
  // For people, where it is not made: "needs 16,384 tokens of exact state of
  // model 1a2b3c4d for codec klt, has 2,048".
  std::string waits_for;
};

// One pass. Not thread-safe.
class ProfileMaker {
 public:
  // At most so many needs are looked after in one pass.
  static constexpr size_t kMaxNeeds = 64;

  struct Options {
    uint64_t max_memory_bytes = 1ull << 30;  // of a trainer
    uint64_t bytes_per_s = 0;                // of frames read; 0: no limit
    uint64_t seed = 1;
  };
  // Neither is owned; both outlive this.
  ProfileMaker(Catalogue* catalogue, const PolicyRules* rules,
               const Options& options);

  // All of it: may read gigabytes and compute for minutes. kUnavailable soon
  // after `stop` became true. What concerns one profile alone is in its need.
  Status Run(const std::atomic<bool>& stop);
  const std::vector<ProfileNeed>& needs() const { return needs_; }
  uint64_t made() const;

 private:
  // A segment of a session's head that is exact.
  struct ExactSegment {
    SegmentId id;
    SegmentRecord segment;
    Rendition rendition;
  };
  using Visit = std::function<Result<bool>(const SessionRecord&)>;

  Status FindNeeds();
  Status AddNeeds(const SessionRecord& session);
  // Each session of the need's model until `visit` answers false.
  Status VisitSessions(const ProfileNeed& need, const Visit& visit);
  // None when its commit is gone or damaged.
  Status ExactOf(const SessionRecord& session, std::vector<ExactSegment>* out);
  Status Count(ProfileNeed* need);
  Status Make(ProfileNeed* need);
  Status Feed(const ProfileNeed& need, ProfileTrainer* trainer);
  // False: its frames can't be decoded.
  Result<bool> AddSegment(const DomainId& domain, const SegmentModel& model,
                          const ExactSegment& exact, ProfileTrainer* trainer);
  Status CheckStop() const;

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const Options options_;
  const std::atomic<bool>* stop_ = nullptr;
  CodecShelf shelf_;
  SegmentCoder coder_;
  ByteRate rate_;
  std::vector<ProfileNeed> needs_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_PROFILE_MAKER_H_
