// Writing and asking of quarantine records: docs/format/records.md, section 9.
#ifndef REPRISE_STORE_QUARANTINE_H_
#define REPRISE_STORE_QUARANTINE_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/engine.h"
#include "store/quarantine_record.h"
#include "store/records.h"

namespace reprise {

// Writes the record of what lies at `now`, over one that is there.
Status WriteQuarantine(Engine* engine, const StoredPlace& now,
                       const QuarantineRecord& record);
// The record of what lies at `now`, if there is one that can be read.
Result<std::optional<QuarantineRecord>> FindQuarantine(Engine* engine,
                                                       const StoredPlace& now);

struct Quarantined {
  StoredPlace now;
  QuarantineRecord record;
  HeadVersion version = 0;
};
// At most `limit` of them, in order of their keys, after `cursor` (a key;
// empty: from the start), which becomes that of the last. Records that are
// damaged themselves are left out. *end says whether there are no more.
Status ListQuarantine(Engine* engine, uint32_t limit, std::string* cursor,
                      std::vector<Quarantined>* out, bool* end);

// Leaves out what a record holds in its place: the collector's matter.
Status EraseQuarantined(Engine* engine, ObjectSpace space,
                        std::vector<ObjectStore::Listed>* listed);
// Removes records older than kQuarantineKeptMs, and what they hold; a page of
// at most `limit` after `cursor`. Nothing when the clock is in doubt.
Status ExpireQuarantine(Engine* engine, int64_t now_ms, uint32_t limit,
                        std::string* cursor, bool* end);

// The set without what lacks a frame: (*present)[i] frames of renditions[i] are
// there, from the first on. What stays of a staged one gets an id of `draw_id`.
RenditionSet WithoutMissing(const RenditionSet& set,
                            std::span<const size_t> present, int64_t now_ms,
                            const std::function<RenditionId()>& draw_id);

}  // namespace reprise

#endif  // REPRISE_STORE_QUARANTINE_H_
