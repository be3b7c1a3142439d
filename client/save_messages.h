// The messages that end a save, from and to plain structs.
#ifndef REPRISE_CLIENT_SAVE_MESSAGES_H_
#define REPRISE_CLIENT_SAVE_MESSAGES_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/connection.h"
#include "client/save_planner.h"
#include "codec/frame.h"
#include "codec/tier.h"

namespace reprise {

// What is to be said of a frame when it is published.
struct UploadedFrame {
  uint32_t bytes = 0;
  uint64_t checksum = 0;
};

// What the renditions of one save have in common.
struct RenditionParts {
  RenditionId id;
  Tier tier = Tier::kExact;
  CodecId codec = CodecId::kRaw;
  ProfileId profile;           // zero: none
  bool other_weights = false;  // the profile's
  uint64_t writer = 0;
  uint64_t token_bytes = 0;  // of the model
  // What the frames of an item hold, in their order.
  struct Part {
    LayerGroup layers;
    HeadRange heads;
    uint8_t stage = 0;
    Tier tier = Tier::kExact;  // of the stages up to this one
  };
  std::vector<Part> frames;
};

// A segment or tail, and what its rendition was computed from.
struct PublishedItem {
  SegmentId id;
  SegmentId parent;
  uint64_t first_token = 0;
  std::span<const TokenId> tokens;
  Tier basis = Tier::kExact;
};
PublishedItem ItemOf(const TokenChain& chain, const PlannedItem& planned);

// `frames` holds those of the first item, then those of the second, ...
// REQUIRES: frames.size() == items.size() * parts.frames.size().
WireRequestPtr MakePublish(const ModelId& model, const RenditionParts& parts,
                           std::span<const PublishedItem> items,
                           std::span<const UploadedFrame> frames);
// (*missing)[i]: frames of item i are to be put again. kDataLoss.
Status ReadPublish(Result<WireAnswer> answer, size_t item_count,
                   std::vector<bool>* missing);

struct CommitParts {
  std::string_view session;
  SessionVersion expected;
  bool synced = true;
  std::span<const std::pair<std::string, std::string>> labels;
};
WireRequestPtr MakeCommitRequest(const CommitParts& parts, ByteView commit);

// Also what Fork and Rewind answer.
struct CommitAnswer {
  SessionVersion version;
  std::vector<SegmentId> missing;  // not empty: nothing was swung
};
Result<CommitAnswer> ReadCommit(Result<WireAnswer> answer);

}  // namespace reprise

#endif  // REPRISE_CLIENT_SAVE_MESSAGES_H_
