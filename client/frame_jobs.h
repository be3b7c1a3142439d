// What codec threads do: the planes of one segment and layer group, from the
// engine's memory into a frame and back.
#ifndef REPRISE_CLIENT_FRAME_JOBS_H_
#define REPRISE_CLIENT_FRAME_JOBS_H_

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/codec_pool.h"
#include "client/device_encoder.h"
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
  Tier tier = Tier::kExact;               // of all stages together
  TokenMask kept = kAllTokens;
  const KvSource* source = nullptr;
  // Of the device whose memory the source is; null: the host's.
  DeviceEncoder* device = nullptr;
  // The profile there. Null beside one: it is not to be had there, and the
  // host encodes.
  const GpuProfile* device_profile = nullptr;
  // Of the group and the source's heads.
  std::span<const PlaneSlice> slices;
  LayerGroup group;
  ModelId model;
  SegmentId segment;  // or the TailId
  uint64_t first_token = 0;
  uint32_t token_count = 0;
};

// How many frames the job makes, one a stage; at most kMaxStages.
uint32_t StageCountOf(const EncodeJob& job);
// What stages 0 to `stage` decode to: where the stage's frame is put.
Tier StageTierOf(const EncodeJob& job, uint32_t stage);

// The frames of all stages. kInternal when they are not StageCountOf(job).
// REQUIRES: job.source->CheckTokens was OK for the job's tokens; it is the
// host's memory.
Result<std::vector<PooledBytes>> EncodeFrames(const EncodeJob& job,
                                              WorkerMemory* memory,
                                              BufferPool* buffers);

// The job as a device is asked for it. REQUIRES: job.device is not null.
DeviceEncodeUnit DeviceUnitOf(const EncodeJob& job);
// The frames of what the device made of it.
Result<std::vector<PooledBytes>> EncodeFrames(const EncodeJob& job,
                                              const EncodedUnit& unit,
                                              WorkerMemory* memory,
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

// A frame's bytes, for as long as anybody needs them.
struct FrameBytes {
  ByteView bytes;
  std::shared_ptr<const void> owner;  // null: it is not here
  bool is_here() const { return owner != nullptr; }
};

// The frames of one segment, layer group and heads, one a stage.
struct DecodeJob {
  const ModelSpec* spec = nullptr;
  ModelId model;
  const Codec* codec = nullptr;
  const CodecProfile* profile = nullptr;
  const KvTarget* target = nullptr;
  std::span<const PlaneSlice> slices;  // of each of the frames
  // What the manifest says that they are: those at `unit`, unit + units(), ...
  const ManifestSegment* segment = nullptr;
  uint32_t unit = 0;
  std::span<const FrameBytes> frames;  // of stage 0, 1, ...
  // So many stages were decoded there before: the rows are valid. What takes
  // their place is decoded elsewhere and then copied, under the lock if there
  // is one; without success nothing is written.
  uint32_t stages_in_place = 0;
  std::shared_mutex* rows_lock = nullptr;
  // As in DecodeRequest; null: a frame that lacks tokens is refused.
  TokenMask* kept = nullptr;
};

// Checks every byte of the frames, and that they are those that were announced.
// How many of them, from the first on, are whole: they are parsed in
// memory->frames.
uint32_t CheckFrames(const DecodeJob& job, WorkerMemory* memory);

// Checks them so, then
// writes the heads that the target holds, from as many stages as are whole.
// How many are in place then: none when the first frame is damaged, and the
// rows may then be partly written; never fewer than before.
// REQUIRES: job.target->CheckTokens was OK for the segment's token_count;
// frames are no more than the segment has stages.
uint32_t DecodeFrames(const DecodeJob& job, WorkerMemory* memory);

}  // namespace reprise

#endif  // REPRISE_CLIENT_FRAME_JOBS_H_
