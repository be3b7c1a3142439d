// Ways through a store that hold nothing open between their steps: from session
// to session of all tenants, and from a session to its segments. A few pages
// are in memory at a time; what is made, changed or removed meanwhile may be
// seen or not.
#ifndef REPRISE_TOOLS_COMPACTION_SESSION_WALK_H_
#define REPRISE_TOOLS_COMPACTION_SESSION_WALK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/engine.h"
#include "store/records.h"

namespace reprise {

struct WalkedSession {
  DomainId tenant;
  SessionInfo info;
  // kDataLoss: its record can't be read, and `info` has the name alone.
  Status record_status;
  // kDataLoss: nobody knows when it was last used.
  Status last_use_status;
};

// Not thread-safe.
class SessionWalk {
 public:
  // `engine` is not owned and must outlive this.
  explicit SessionWalk(Engine* engine) : engine_(engine) {}

  // The next session; nothing at the end. After an error it may be called
  // again, and no session is left out.
  Result<std::optional<WalkedSession>> Next();

 private:
  Status ReadPage();

  Engine* const engine_;
  std::string cursor_;
  bool is_at_end_ = false;
  std::vector<WalkedSession> page_;  // what is left of it, last one first
};

struct SegmentUse {
  SegmentId id;
  bool is_tail = false;
};

// All that a session keeps alive: the segments and tails of its head and of its
// kept former commits, each once. Movable; not thread-safe.
class SessionSegments {
 public:
  // The catalogue is not owned and must outlive this.
  SessionSegments(Catalogue* catalogue, const SessionRecord& session);
  // Of one commit.
  SessionSegments(Catalogue* catalogue, const DomainId& domain,
                  const CommitId& commit);

  bool done() const { return next_ == commits_.size(); }
  // Those of the next commit, the head being first, that none before led to, by
  // their ids. After an error, which is that of Catalogue::GetCommit, it may be
  // called again, or SkipCommit. REQUIRES: !done().
  Status Next(std::vector<SegmentUse>* out);
  const CommitId& next_commit() const { return commits_[next_]; }
  void SkipCommit() { ++next_; }
  const DomainId& domain() const { return domain_; }

 private:
  Catalogue* catalogue_;
  DomainId domain_;
  std::vector<CommitId> commits_;
  size_t next_ = 0;
  std::vector<uint64_t> seen_;  // hashes, in order
};

// The same with the record of each one's renditions, read in batches: for
// passes over all sessions that look at what is stored. Movable; not
// thread-safe.
class SessionRenditions {
 public:
  // The catalogue is not owned and must outlive this.
  SessionRenditions(Catalogue* catalogue, const SessionRecord& session)
      : catalogue_(catalogue), segments_(catalogue, session) {}

  const DomainId& domain() const { return segments_.domain(); }
  bool has_entry() const { return next_ < records_.size(); }
  // REQUIRES: has_entry(). A record of version 0: there is none.
  const SegmentUse& use() const { return uses_[first_ + next_]; }
  const HeadRecord& record() const { return records_[next_]; }
  void Pop() { ++next_; }

  // A bounded piece of reading, after which there may be an entry. A commit
  // that is lost or damaged is passed over: the mark pass tells of it. After an
  // error it may be called again. REQUIRES: !has_entry(), !done().
  Status Read();
  bool done() const {
    return !has_entry() && read_ == uses_.size() && segments_.done();
  }

 private:
  Catalogue* catalogue_;
  SessionSegments segments_;
  std::vector<SegmentUse> uses_;  // of one commit
  size_t read_ = 0;               // of them
  size_t first_ = 0;              // of which the records are here
  std::vector<HeadRecord> records_;
  size_t next_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SESSION_WALK_H_
