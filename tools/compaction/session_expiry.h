// Removes the sessions whose TTL is over. Their state is the collector's then.
#ifndef REPRISE_TOOLS_COMPACTION_SESSION_EXPIRY_H_
#define REPRISE_TOOLS_COMPACTION_SESSION_EXPIRY_H_

#include <cstdint>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "tools/compaction/session_walk.h"

namespace reprise {

// One pass over all sessions, beside live traffic. A session that is used,
// saved, pinned or given another TTL at the same time stays. Not thread-safe.
class SessionExpiry {
 public:
  // Neither is owned; both outlive this. With `idle_plus_ms` as if nobody had
  // used anything for so long (RunOptions).
  SessionExpiry(Catalogue* catalogue, const PolicyRules* rules,
                int64_t idle_plus_ms = 0)
      : catalogue_(catalogue),
        rules_(rules),
        idle_plus_ms_(idle_plus_ms),
        walk_(catalogue->engine()) {}

  // A bounded piece of work. kFailedPrecondition when the clock jumped: then
  // nothing is removed. After an error it may be called again.
  Status Step();
  bool done() const { return is_done_; }
  uint64_t removed() const { return removed_; }

 private:
  Status Remove(const WalkedSession& session, int64_t now_ms);

  Catalogue* const catalogue_;
  const PolicyRules* const rules_;
  const int64_t idle_plus_ms_;
  SessionWalk walk_;
  bool is_done_ = false;
  uint64_t removed_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SESSION_EXPIRY_H_
