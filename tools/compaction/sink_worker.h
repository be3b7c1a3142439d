// What one thread of a SegmentSinker does with some tasks. Inside of it only.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_WORKER_H_
#define REPRISE_TOOLS_COMPACTION_SINK_WORKER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "tools/compaction/byte_rate.h"
#include "tools/compaction/codec_shelf.h"
#include "tools/compaction/segment_coder.h"
#include "tools/compaction/segment_sinker.h"
#include "tools/compaction/sink_plan.h"

namespace reprise {

class SinkWorker {
 public:
  struct Shared {
    Catalogue* catalogue = nullptr;
    CodecShelf* shelf = nullptr;
    ByteRate* rate = nullptr;
    const std::atomic<bool>* stopped = nullptr;
    uint64_t batch_bytes = 0;
  };
  explicit SinkWorker(const Shared& shared) : shared_(shared) {}

  // reports[i] answers tasks[i]; errors as of SegmentSinker::Sink.
  // REQUIRES: all tasks are of one domain.
  Status Run(std::span<const SinkTask> tasks, std::span<SinkReport> reports);

 private:
  struct Item {
    const SinkTask* task = nullptr;
    SinkReport* report = nullptr;
    SegmentRecord segment;
    RenditionSet set;
    SinkPlan plan;  // points into `set`
  };
  // Encoded, and not published yet.
  struct Made {
    Item* item = nullptr;
    std::shared_ptr<const SegmentModel> model;
    TierCodec codec;
    RenditionId source;
    Rendition rendition;
    std::vector<Bytes> frames;     // as rendition.frames
    std::vector<uint64_t> values;  // by group: Checksum of what they decode to
  };

  Status ReadItems(std::span<const SinkTask> tasks,
                   std::span<SinkReport> reports);
  Status ReadFrom(ObjectSpace space, std::vector<Item*> items);
  void PlanItem(Item* item);

  // --- Without a codec. ---
  Status CompareExisting();
  Status Compare(Item* item);
  Status Derive();
  Status Drop();

  // --- With one. ---
  Status Encode(Item* item);
  // Settles the report, or makes it wait for Flush. An error means that this
  // source can't be decoded, or that the store failed.
  Status EncodeFrom(const Rendition& source, Item* item, Made* made);
  // The encoder's own frames of one group, decoded and compared with `rows`.
  Status EncodeGroup(size_t group, const Bytes& rows, Made* made);
  Status Flush();
  Status PutMade();
  Status ReadBack(Made* made);
  Status PublishMade();
  Status DropSources();

  struct Loaded {
    std::vector<Result<PinnedBytes>> pins;
    std::vector<ByteView> bytes;
    const Codec* codec = nullptr;
    ProfilePtr profile;
    StoredFrames frames;
  };
  Status Load(Item* item, const Rendition& rendition, Loaded* loaded);
  Status Pass(uint64_t bytes);
  void Settle(Item* item, SinkResult result, std::string reason = {});

  const Shared shared_;
  DomainId domain_;
  std::deque<Item> items_;
  std::deque<Made> made_;
  uint64_t made_bytes_ = 0;
  SegmentCoder coder_;
  Bytes rows_;
  Bytes decoded_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_WORKER_H_
