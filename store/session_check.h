// Whether what sessions refer to is there, and which of them are touched by
// what was found before. Inside of the walk over a store only.
#ifndef REPRISE_STORE_SESSION_CHECK_H_
#define REPRISE_STORE_SESSION_CHECK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/finding_book.h"
#include "store/rendition_check.h"
#include "store/segment_reader.h"

namespace reprise {

// One session after the other, each in steps: its head, then the commits that
// it keeps. Not thread-safe.
class SessionChecker {
 public:
  // Keys of commits, segments and tails that a session refers to.
  using Mark = std::function<void(std::string_view key)>;

  SessionChecker(Catalogue* catalogue, CheckedModels* models, FindingBook* book,
                 bool set_aside, Mark mark)
      : catalogue_(catalogue),
        engine_(catalogue->engine()),
        models_(models),
        book_(book),
        set_aside_(set_aside),
        mark_(std::move(mark)) {}

  // REQUIRES: !busy().
  Status Begin(const HeadStore::ListedHead& head);
  bool busy() const { return session_.has_value(); }
  // REQUIRES: busy().
  Status Step();

 private:
  struct Session {
    std::string key;  // domain of the tenant, then the name
    DomainId tenant;
    std::string name;
    SessionRecord record;
    std::vector<CommitId> roots;  // the head first
    size_t root = 0;
    std::optional<CommitRecord> commit;
    std::vector<SegmentRef> refs;  // of it
    size_t next = 0;               // among them
    std::vector<SegmentId> head_segments;
    TouchedSession touched;
    bool is_touched = false;

    bool at_head() const { return root == 0; }
  };

  Status FindDamagedRecord(const HeadStore::ListedHead& head,
                           const Status& status);
  Status OpenRoot();
  Status LostRoot(const Status& status);
  void CheckModel();
  Status CheckBatch();
  Status CheckOne(const SegmentRef& ref, uint64_t token,
                  const StoredSegment& stored);
  Status ProblemOf(const SegmentRef& ref, uint64_t token,
                   const StoredSegment& stored) const;
  Tier LeftOf(const StoredSegment& stored, const FindingBook::Bad* bad) const;
  void Touch(uint64_t token, Tier left);
  void NextRoot();
  // Whether the session still names its root: what was removed while we read
  // is no damage.
  bool StillNames() const;

  Catalogue* const catalogue_;
  Engine* const engine_;
  CheckedModels* const models_;
  FindingBook* const book_;
  const bool set_aside_;
  const Mark mark_;
  std::optional<Session> session_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_SESSION_CHECK_H_
