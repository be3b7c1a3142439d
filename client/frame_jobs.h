// What codec threads do: the planes of one segment and layer group, from the
// engine's memory into a frame and back.
#ifndef REPRISE_CLIENT_FRAME_JOBS_H_
#define REPRISE_CLIENT_FRAME_JOBS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/codec_pool.h"
#include "client/kv_gather.h"
#include "client/manifest.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/tier.h"

namespace reprise {

struct EncodeJob {
  const Codec* codec = nullptr;
  const CodecProfile* profile = nullptr;  // null: without
  const CodecOptions* options = nullptr;  // null: the defaults
  Tier tier = Tier::kExact;
  TokenMask kept = kAllTokens;
  const KvSource* source = nullptr;
  // Of the group and the source's heads.
  std::span<const PlaneSlice> slices;
  LayerGroup group;
  ModelId model;
  SegmentId segment;  // or the TailId
  uint64_t first_token = 0;
  uint32_t token_count = 0;
};

// REQUIRES: job.source->CheckTokens was OK for the job's tokens.
Result<PooledBytes> EncodeFrame(const EncodeJob& job, WorkerMemory* memory,
                                BufferPool* buffers);

// Of one segment, for all layer groups whose slices are given: what an
// ExactProfileFitter takes.
struct GatheredRows {
  std::vector<Bytes> packed;
  std::vector<ConstPlaneRows> rows;
};
GatheredRows GatherGroup(const KvSource& source,
                         std::span<const PlaneSlice> slices,
                         uint64_t first_token, uint32_t token_count);

struct DecodeJob {
  const ModelSpec* spec = nullptr;
  ModelId model;
  const Codec* codec = nullptr;
  const CodecProfile* profile = nullptr;
  const KvTarget* target = nullptr;
  std::span<const PlaneSlice> slices;  // of the frame
  // What the manifest says that this is.
  const ManifestSegment* segment = nullptr;
  const ManifestFrame* frame = nullptr;
  ByteView bytes;
  // As in DecodeRequest; null: a frame that lacks tokens is refused.
  TokenMask* kept = nullptr;
};

// Checks every byte, and that the frame is the one that was announced, then
// writes the heads that the target holds. kDataLoss; the rows may then be
// partly written.
// REQUIRES: job.target->CheckTokens was OK for the segment's token_count.
Status DecodeFrame(const DecodeJob& job, WorkerMemory* memory);

}  // namespace reprise

#endif  // REPRISE_CLIENT_FRAME_JOBS_H_
