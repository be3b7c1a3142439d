// What was encoded, on its way into the store: written, synced, read back,
// decoded and compared, published, and only then without what it replaces.
// Inside of a SegmentSinker only.
//
// Why one decode is enough. A decoder is a pure function of the bytes of frames
// and profile (codec.h), and frozen. So frames that come back from the store as
// the very bytes that the encoder gave decode to what the encoder's frames
// decode to, bit for bit, without decoding both; and what they decode to, from
// the bytes that a reader will get, is compared with the values that were
// encoded. A decoder that is not pure is a bug that this would not see. So one
// rendition of a batch and maker is a *probe*: it is decoded before it is
// written too, and must decode to the same after it was read back, or all of
// its maker in the batch are refused. A probe that fails before is not written:
// a codec that can't make a tier costs the store no bytes.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_BATCH_H_
#define REPRISE_TOOLS_COMPACTION_SINK_BATCH_H_

#include <deque>
#include <memory>
#include <vector>

#include "tools/compaction/sink_item.h"

namespace reprise {

// Encoded, and not published yet.
struct MadeRendition {
  SinkItem* item = nullptr;
  std::shared_ptr<const SegmentModel> model;
  TierCodec codec;
  RenditionId source;
  Rendition rendition;        // its frames ascend by index
  std::vector<Bytes> frames;  // as rendition.frames
  std::vector<Bytes> rows;    // by group: what was encoded
  // Of a probe, by group: Checksum of what its frames decoded to.
  std::vector<uint64_t> values;

  // Of one model, by one codec and profile, for one tier.
  bool HasMakerOf(const MadeRendition& other) const;
};

struct SinkBatch {
  DomainId domain;
  std::shared_ptr<std::deque<SinkItem>> items;  // those of `made`, and more
  std::vector<MadeRendition> made;
  uint64_t frame_bytes = 0;
  uint64_t row_bytes = 0;
  std::chrono::steady_clock::time_point begun =
      std::chrono::steady_clock::now();
};

// For one thread at a time: it keeps scratch memory.
class BatchSettler {
 public:
  explicit BatchSettler(const SinkShared& shared) : shared_(shared) {}

  // Settles the reports of what was made. Not OK when the store as a whole
  // fails: some are kNotDone then.
  Status Settle(SinkBatch* batch);

 private:
  Status Put(const SinkBatch& batch);
  Status Check(SinkBatch* batch);
  Status ReadBack(const MadeRendition& made, bool* is_pure);
  Status Publish(const SinkBatch& batch);
  Status DropSources(const SinkBatch& batch);

  const SinkShared shared_;
  SegmentCoder coder_;
  Bytes decoded_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_BATCH_H_
