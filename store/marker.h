// One mark pass of the collector: what roots reach. Inside of the collector
// only.
//
// Roots are read in this order: sessions, leases, then commits touched in the
// collector's epoch. The last are there because sessions are not listed all
// at once: a fork made behind the listing, of a session that is removed before
// the listing comes to it, touches its commit and so shows here.
#ifndef REPRISE_STORE_MARKER_H_
#define REPRISE_STORE_MARKER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/mark_set.h"

namespace reprise {

class Marker {
 public:
  struct Options {
    Epoch epoch = 0;
    uint32_t step_objects = 1000;
    // Leases count that much longer than they say: one that is renewed in its
    // last moment must not be missed.
    int64_t lease_grace_ms = 0;
  };
  Marker(Catalogue* catalogue, const Options& options)
      : catalogue_(catalogue), options_(options) {}

  // A bounded piece of work. kDataLoss when a session's record is damaged:
  // then nobody can say what is garbage.
  Status Step();
  bool done() const { return phase_ == Phase::kDone; }

  // The rest REQUIRES: done(). Keys begin with a domain and an id.
  bool IsMarkedSegment(std::string_view key) const;
  bool IsMarkedCommit(std::string_view key) const;
  // Whether a lease names the rendition by which this frame is keyed.
  bool IsLeasedFrame(std::string_view key) const;
  uint64_t marked() const { return segments_.size() + commits_.size(); }
  uint64_t expired_leases() const { return expired_leases_; }
  // Of which nothing is garbage. What a lost commit referred to might be
  // anything in its domain.
  uint64_t kept_domains() const { return kept_domains_.size(); }

 private:
  enum class Phase : uint8_t {
    kSessions,
    kLeases,
    kYoungCommits,
    kExpand,
    kDone,
  };
  struct Root {
    DomainId domain;
    CommitId commit;
    bool of_session = false;
  };

  Status StepSessions();
  Status KeepOfLostSessions();
  Status StepLeases();
  Status StepYoungCommits();
  Status StepExpand();
  Status AddLease(const HeadStore::ListedHead& listed);
  Status Expand(const Root& root, uint64_t* added);
  bool IsKept(std::string_view key) const;

  Catalogue* const catalogue_;
  const Options options_;
  Phase phase_ = Phase::kSessions;
  std::string cursor_;
  std::vector<Root> roots_;  // not expanded yet
  MarkSet segments_;         // and tails
  std::unordered_set<uint64_t> commits_;
  MarkSet leased_;
  // Domains of which a root can't be read: nothing of theirs is garbage.
  std::unordered_set<std::string> kept_domains_;
  uint64_t expired_leases_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_STORE_MARKER_H_
