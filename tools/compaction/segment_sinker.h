// Brings segments down to the tier that is wanted of them, in the cheapest way
// that there is:
//
//   drop     a rendition of this tier is there already, or all frames go
//   derive   the first stages of a better rendition are of this tier: its
//            record changes, no byte is read or written
//   encode   the best rendition that can be decoded is encoded anew
//
// What was encoded anew is put, synced, read back and decoded, before anything
// is published: it must be the very bytes that the encoder gave, so it decodes
// to what they decode to, bit for bit (sink_batch.h says why), and its values
// must be within the tier's limit of the source. Then it is published beside
// the better renditions, and only then those go. So a crash leaves a segment
// with its old renditions, its new one, or both; and what was saved meanwhile
// stays, since only what was looked at is dropped.
//
// Nothing is promoted: a rendition's basis is what its source counted as.
// Frames that nothing names any more are the collector's, which honours leases.
#ifndef REPRISE_TOOLS_COMPACTION_SEGMENT_SINKER_H_
#define REPRISE_TOOLS_COMPACTION_SEGMENT_SINKER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/ladder.h"
#include "tools/compaction/byte_rate.h"
#include "tools/compaction/codec_shelf.h"

namespace reprise {

class SinkWorker;

// One unit of work: one segment's (or tail's) renditions are to be sunk to the
// first of `tiers` that `ladder`, which is not owned, can make of its model.
// REQUIRES: `tiers` are near to tokens, the worst first.
struct SinkTask {
  DomainId domain;
  SegmentId segment;
  std::vector<Tier> tiers;
  const Ladder* ladder = nullptr;
};

// What became of a task. Stored in job records: never reused.
enum class SinkResult : uint8_t {
  kNotDone = 0,      // stopped, or the store failed, before its turn
  kNothingToDo = 1,  // it is in this tier or below, or nothing is stored
  kDropped = 2,      // one of this tier was there, or only tokens are left
  kDerived = 3,      // from stages that were there
  kEncoded = 4,      // anew
  // --- It has what it had. ---
  kSkipped = 5,      // its ladder or profiles can't make a tier; see reason
  kChanged = 6,      // somebody else changed it meanwhile; try again later
  kUnreadable = 7,   // no rendition of it can be decoded
  kFailedCheck = 8,  // what was encoded is not what it must be
};
inline constexpr size_t kSinkResultCount = 9;
// "not-done", "nothing-to-do", ...
std::string_view SinkResultName(SinkResult result);

struct SinkReport {
  SinkResult result = SinkResult::kNotDone;
  std::string reason;  // empty where it did what it was to do
  // The tier that it sank to because a worse one can't be made, of which
  // `reason` says why; exact: none.
  Tier instead = Tier::kExact;
  // Of the frames that its renditions name, each once.
  uint64_t bytes_before = 0;
  uint64_t bytes_after = 0;
  // By this task: frames read (the verification included) and written, and
  // what they decode to.
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t raw_bytes = 0;
  double worst_error = 0;  // of what was encoded or compared; relative
};

struct SinkerOptions {
  // That encode; each has another beside it that writes, reads back and
  // publishes.
  uint32_t threads = 1;
  uint64_t bytes_per_s = 0;  // read and written, of all threads; 0: no limit
  // A batch is what is synced, read back and published together: one sync
  // serves many segments. It ends with the segment by which its frames are so
  // many bytes, or what they were made of, which is kept until it was compared;
  // or after a second.
  // A thread holds two batches, and keeps the memory of a third's rows.
  uint64_t batch_bytes = 16ull << 20;
  uint64_t batch_row_bytes = 32ull << 20;
};

// Thread-safe, but for Sink, which is called by one thread at a time.
class SegmentSinker {
 public:
  // The catalogue is not owned. No snapshot or iterator of its engine is held.
  SegmentSinker(Catalogue* catalogue, const SinkerOptions& options);
  ~SegmentSinker();

  // (*out)[i] answers tasks[i]. What concerns a task alone is in its report;
  // not OK when the store as a whole fails (it is full, can't be written): some
  // tasks are kNotDone then, and each segment is as it was or as it was to
  // become. kUnavailable once stopped.
  Status Sink(std::span<const SinkTask> tasks, std::vector<SinkReport>* out);
  // Ends Sink soon, after the segments under way, and from then on at once.
  void Stop();

 private:
  Catalogue* const catalogue_;
  const SinkerOptions options_;
  CodecShelf shelf_;
  ByteRate rate_;
  std::atomic<bool> stopped_ = false;
  // Kept for their memory. Of Sink alone.
  std::vector<std::unique_ptr<SinkWorker>> workers_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SEGMENT_SINKER_H_
