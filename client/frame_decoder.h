// The decoding of one restore: jobs on the codec threads that write into the
// sink, and what is known of it at each moment.
//
// A *unit* is one segment, layer group and range of heads; it has a frame a
// stage. Frames of a unit are decoded together, in a restore that wants the
// base first more than once: with more stages each time. Of one unit at most
// one job runs.
#ifndef REPRISE_CLIENT_FRAME_DECODER_H_
#define REPRISE_CLIENT_FRAME_DECODER_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/client_core.h"
#include "client/device_decoder.h"
#include "client/frame_jobs.h"
#include "client/kv_gather.h"
#include "client/manifest.h"
#include "client/model.h"
#include "codec/codec.h"
#include "gpu/gpu_codec.h"

namespace reprise {

// What a ticket and its restore share. Guarded by the context's mutex.
struct RestoreState {
  RestoreState(std::shared_ptr<CallContext> call, Model of_model);

  // Queued: the device has all kernels that write it.
  enum class Layer : uint8_t { kComing, kQueued, kHere, kLost };
  // A segment's tokens, and what of them is in the sink.
  struct Placed {
    uint64_t first_token = 0;
    uint64_t end_token = 0;
    Tier basis = Tier::kExact;
    std::vector<Tier> tiers;  // by layer group; kTokens: nothing yet
  };

  const std::shared_ptr<CallContext> context;
  const Model model;
  std::vector<Layer> layers;
  std::vector<Placed> placed;
  std::optional<Result<RestoreResult>> result;
};

// Thread-safe for jobs; all of its methods are for the restore's thread.
class FrameDecoder {
 public:
  struct Options {
    ClientCore* core = nullptr;
    std::shared_ptr<RestoreState> state;
    // Its model, tiers and callbacks.
    const RestoreRequest* request = nullptr;
  };
  explicit FrameDecoder(const Options& options);
  // Waits for jobs that run: after it nothing touches the sink.
  ~FrameDecoder();

  // The next segment. It and the profile must outlive this. kDataLoss when
  // its heads can't be cut so. REQUIRES: CheckCoverage was OK.
  Status AddSegment(const ManifestSegment* segment,
                    const CodecProfile* profile);
  // Must come before Submit, and outlive this.
  void set_target(const KvTarget* target) { target_ = target; }
  // The target's memory is a device's, which decodes. Must come before Submit;
  // `device` must outlive this.
  using DeviceProfiles =
      std::map<const CodecProfile*, std::shared_ptr<const GpuProfile>>;
  void UseDevice(DeviceDecoder* device, const KvDevice& memory,
                 DeviceProfiles profiles) {
    device_ = device;
    device_memory_ = memory;
    device_profiles_ = std::move(profiles);
  }

  // Decodes what is here of a unit, from stage 0 on. With `is_last` nothing
  // better will come: without any frame it is lost then, unless something is
  // in place; and what is submitted of it after that counts for nothing.
  void Submit(uint32_t segment, uint32_t unit, std::vector<FrameBytes> frames,
              bool is_last);
  void WaitForJobs();

  // Up to which segment nothing is known to be lost.
  uint32_t GoodSegments();
  // Whether all segments are in place, no worse than the request's lowest.
  bool IsUsable();
  // Of what is in place of a segment in all layers; kTokens: not all is.
  Tier TierInPlace(uint32_t segment);
  // Positions before `end` that some frame lacks.
  std::vector<uint64_t> Dropped(uint64_t end);
  void AddStats(RestoreResult* result);

 private:
  struct Unit {
    uint8_t stages_in_place = 0;
    bool running = false;
    bool counted = false;  // of units_left_
    bool queued = false;   // counted of units_to_queue_
    bool decided = false;  // its last task was submitted
  };
  struct Segment {
    const ManifestSegment* manifest = nullptr;
    const CodecProfile* profile = nullptr;
    // By unit.
    std::vector<uint32_t> groups;
    std::vector<const std::vector<PlaneSlice>*> slices;
    std::vector<Unit> units;
    TokenMask kept = kAllTokens;  // in all its frames
  };
  struct Task {
    std::vector<FrameBytes> frames;
    bool is_last = false;
  };
  using UnitKey = std::pair<uint32_t, uint32_t>;  // segment, unit
  // What became of one task, to be told once the mutex is free.
  struct News {
    bool layers_done = false;
    std::optional<TierRange> range;  // it has a better tier now
  };

  // As the unit's job: it goes on with what was submitted meanwhile.
  void Queue(UnitKey key, Task task);
  void Run(UnitKey key, Task task, WorkerMemory* memory);
  DecodeJob JobOf(UnitKey key, const Task& task);
  // Decodes on the device, and goes on from there with EndJob. False when there
  // is nothing that it can take.
  bool RunOnDevice(UnitKey key, std::shared_ptr<Task> task, DecodeJob job,
                   WorkerMemory* memory);
  // The device has the unit's kernels, on this stream.
  void NoteQueued(UnitKey key, GpuStream kernels);
  // What a task came to.
  struct Outcome {
    uint32_t stages = 0;  // in place now
    TokenMask kept = kAllTokens;
    uint64_t packed_bytes = 0;  // of frames that were copied for a device
    int64_t start_ns = 0;
    bool is_last = false;
  };
  void Settle(UnitKey key, const Outcome& outcome);
  void EndJob(UnitKey key);
  // Under the mutex.
  News Note(UnitKey key, uint32_t stages_in_place, bool is_last);
  std::optional<TierRange> NotePlaced(UnitKey key);
  bool IsGoodEnough(const Segment& segment, Tier tier) const;
  Tier WorstOf(const Segment& segment,
               std::optional<uint32_t> group = std::nullopt) const;
  void Tell(uint32_t group, const News& news);

  ClientCore* const core_;
  const std::shared_ptr<RestoreState> state_;
  const std::shared_ptr<CallContext> call_;
  const RestoreRequest& request_;
  const std::vector<LayerGroup>& groups_;
  const KvTarget* target_ = nullptr;
  DeviceDecoder* device_ = nullptr;  // null: codec threads decode
  KvDevice device_memory_;
  DeviceProfiles device_profiles_;
  // By layer group and heads.
  std::map<std::array<uint32_t, 4>, std::vector<PlaneSlice>> slices_;

  // Guarded by the call's mutex once jobs run.
  std::vector<Segment> segments_;
  std::vector<uint64_t> units_left_;      // by group
  std::vector<uint64_t> units_to_queue_;  // the same, on a device
  std::map<UnitKey, Task> next_;          // of units whose job runs
  uint32_t first_lost_ = UINT32_MAX;      // segment
  size_t running_ = 0;
  int64_t decode_ns_ = 0;
  uint64_t raw_bytes_ = 0;
  uint64_t packed_bytes_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_FRAME_DECODER_H_
