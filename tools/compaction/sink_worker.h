// What one thread of a SegmentSinker does with some tasks. Inside of it only.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_WORKER_H_
#define REPRISE_TOOLS_COMPACTION_SINK_WORKER_H_

#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "tools/compaction/segment_coder.h"
#include "tools/compaction/segment_sinker.h"
#include "tools/compaction/sink_batch.h"
#include "tools/compaction/sink_item.h"

namespace reprise {

// Two batches are held at a time: one is encoded, on the thread that calls,
// while the other is settled (sink_batch.h) by a thread beside it. So a codec
// and a disk don't wait for each other.
class SinkWorker {
 public:
  explicit SinkWorker(const SinkShared& shared)
      : shared_(shared), settler_(shared) {}
  ~SinkWorker() { (void)Finish(); }

  // reports[i] answers tasks[i] once Finish has returned; errors as of
  // SegmentSinker::Sink. REQUIRES: all tasks are of one domain.
  Status Run(std::span<const SinkTask> tasks, std::span<SinkReport> reports);
  // Waits for what is on its way; its error, if nobody was told yet. To be
  // called whatever Run returned, before reports are looked at.
  Status Finish();

 private:
  Status ReadItems(std::span<const SinkTask> tasks,
                   std::span<SinkReport> reports);
  Status ReadFrom(ObjectSpace space, std::vector<SinkItem*> items);
  // For the first of its tiers that can be had.
  Status PlanItem(SinkItem* item);
  Result<bool> CanMake(SinkItem* item, Tier tier);

  // --- Without a codec. ---
  Status CompareExisting();
  // After the rendition of its tier turned out not to be readable.
  Status PlanAnew(SinkItem* item);
  Status Compare(SinkItem* item);
  Status Derive();
  Status Drop();

  // --- With one. ---
  Status Encode(SinkItem* item);
  // Settles the report, or puts it into the open batch. An error means that
  // this source can't be decoded, or that the store failed.
  Status EncodeFrom(const Rendition& source, SinkItem* item,
                    MadeRendition* made);
  // The last two settle the report where something is wrong.
  void EncodeGroup(size_t group, bool is_probe, MadeRendition* made);
  void Probe(size_t group, const StoredFrames& stored, MadeRendition* made);
  Status Flush();
  // Memory for so many bytes of rows: used before, if there is some of just
  // this size. Models take turns, and what fits each would grow to the largest.
  Bytes TakeRows(uint64_t bytes);
  void TakeBackRows(MadeRendition* made);

  const SinkShared shared_;
  DomainId domain_;
  std::shared_ptr<std::deque<SinkItem>> items_;
  SinkBatch open_;
  SegmentCoder coder_;
  Bytes rows_;
  Bytes decoded_;
  // No more than a batch of them is kept.
  std::deque<Bytes> spare_rows_;
  uint64_t spare_bytes_ = 0;

  // The other thread's, while `settled_` is valid.
  BatchSettler settler_;
  SinkBatch settling_;
  std::future<Status> settled_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_WORKER_H_
