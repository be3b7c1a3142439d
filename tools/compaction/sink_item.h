// One segment on its way down, and how its frames are read. Inside of a
// SegmentSinker only.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_ITEM_H_
#define REPRISE_TOOLS_COMPACTION_SINK_ITEM_H_

#include <atomic>
#include <cstdint>
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

// What the threads of a sinker have in common. Nothing is owned.
struct SinkShared {
  Catalogue* catalogue = nullptr;
  CodecShelf* shelf = nullptr;
  ByteRate* rate = nullptr;
  const std::atomic<bool>* stopped = nullptr;
  uint64_t batch_bytes = 0;
  uint64_t batch_row_bytes = 0;

  // Waits until so many bytes may be read or written; kUnavailable once
  // stopped.
  Status Pass(uint64_t bytes) const;
};

// For one thread at a time.
struct SinkItem {
  const SinkTask* task = nullptr;
  SinkReport* report = nullptr;
  SegmentRecord segment;
  RenditionSet set;
  std::vector<Tier> tiers;   // the task's that are left to be tried
  SinkPlan plan;             // points into `set`
  Tier tier = Tier::kExact;  // where it leads
  TierCodec codec;           // of this tier, where one is needed
  std::string skips;         // why tiers were passed over

  // Without a reason, the report says what was passed over, if anything was.
  void Settle(SinkResult result, std::string reason = {});
};

// A rendition's frames, read from the store and checked against their
// checksums.
struct LoadedFrames {
  std::vector<Result<PinnedBytes>> pins;
  std::vector<ByteView> bytes;
  const Codec* codec = nullptr;
  ProfilePtr profile;
  StoredFrames frames;  // points into these and the rendition
};
Status LoadFrames(const SinkShared& shared, SinkItem* item,
                  const Rendition& rendition, LoadedFrames* loaded);

// The store as a whole fails: nothing that another task could do better.
bool IsStoreFailure(const Status& status);
// What a codec says of some frames never means that the store fails.
Status OfFrames(const Status& status);

// Of the item's frames, once `added` is there (null: nothing) and what its plan
// drops is gone.
uint64_t BytesAfter(const SinkItem& item, const Rendition* added);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_ITEM_H_
