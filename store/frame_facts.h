// What frames that this daemon has checked are known to be, so that Publish
// need not read them back: a bounded memory, never the only proof.
#ifndef REPRISE_STORE_FRAME_FACTS_H_
#define REPRISE_STORE_FRAME_FACTS_H_

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "codec/frame.h"
#include "store/records.h"

namespace reprise {

struct FrameFacts {
  FrameInfo info;
  uint32_t bytes = 0;
  uint64_t checksum = 0;  // of the whole frame
};

// REQUIRES: the frame was parsed.
FrameFacts FactsOf(const FrameView& frame);

// Parses a frame, all checksums included, and checks it against its model.
// Errors are ParseFrame's and CheckFrameAgainstModel's; kInvalidArgument when
// the frame names another model than `model`.
Status CheckFrame(ByteView bytes, const ModelId& model, const ModelSpec& spec,
                  FrameView* view);

// kInvalidArgument with both values unless a rendition's frame `ref`, of
// `segment`, is what is stored.
Status CompareFacts(const FrameFacts& stored, const FrameRef& ref,
                    const SegmentRecord& segment, const SegmentId& id);

// Thread-safe.
class FrameFactsCache {
 public:
  void Add(ObjectSpace space, std::string_view key, const FrameFacts& facts);
  std::optional<FrameFacts> Find(ObjectSpace space, std::string_view key);

 private:
  static constexpr size_t kMaxEntries = 32768;

  std::mutex mutex_;
  std::unordered_map<std::string, FrameFacts> facts_;  // guarded by mutex_
  std::deque<std::string> order_;  // oldest first; guarded by mutex_
};

}  // namespace reprise

#endif  // REPRISE_STORE_FRAME_FACTS_H_
