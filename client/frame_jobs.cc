#include "client/frame_jobs.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <span>
#include <string>

#include "base/limits.h"

namespace reprise {
namespace {

constexpr uint64_t kRowAlignment = 64;

uint64_t Aligned(uint64_t bytes) {
  return (bytes + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

uint64_t PackedBytes(std::span<const PlaneSlice> slices, uint32_t tokens) {
  uint64_t bytes = 0;
  for (const PlaneSlice& slice : slices) {
    bytes += Aligned(tokens * slice.token_bytes());
  }
  return bytes;
}

Status NotTheOne(const char* field) {
  return DataLossError(std::string("frame: its ") + field +
                       " is not what the manifest says");
}

Status CheckIsAnnounced(const FrameInfo& info, const ManifestFrame& frame,
                        const DecodeJob& job) {
  const ManifestSegment& segment = *job.segment;
  if (info.model != job.model) return NotTheOne("model");
  if (info.segment != segment.id) return NotTheOne("segment");
  if (info.codec != segment.codec) return NotTheOne("codec");
  if (info.profile != segment.profile) return NotTheOne("profile");
  if (info.first_token != segment.first_token ||
      info.token_count != segment.tokens.size()) {
    return NotTheOne("range of tokens");
  }
  if (info.stage != frame.stage) return NotTheOne("stage");
  if (info.layers != frame.layers) return NotTheOne("range of layers");
  if (info.heads != frame.heads) return NotTheOne("range of heads");
  return Status();
}

// Parses and checks the frame of one stage.
Status TakeStage(const DecodeJob& job, uint32_t stage, FrameView* view) {
  const ManifestFrame& frame =
      job.segment->frames[stage * job.segment->units() + job.unit];
  REPRISE_RETURN_IF_ERROR(ParseFrame(job.frames[stage].bytes, view));
  REPRISE_RETURN_IF_ERROR(CheckIsAnnounced(view->info, frame, job));
  return CheckFrameAgainstModel(*view, *job.spec);
}

// Where the decoder is to write: the engine's own rows where it may, else
// rows in `buffer`. False when the target holds none of the slices.
bool PlaceRows(const DecodeJob& job, bool may_be_direct, uint8_t* buffer,
               std::vector<PlaneRows>* out) {
  const uint32_t count = job.segment->token_count;
  out->clear();
  bool any = false;
  for (const PlaneSlice& slice : job.slices) {
    PlaneRows rows;
    if (HoldsPart(*job.target, slice)) {
      any = true;
      if (may_be_direct) {
        rows = DirectRows(*job.target, slice, job.segment->first_token, count);
      }
      if (rows.data == nullptr) rows = {buffer, slice.token_bytes()};
    }
    out->push_back(rows);
    buffer += Aligned(count * slice.token_bytes());
  }
  return any;
}

// Copies what was not written where it belongs.
void ScatterPlaced(const DecodeJob& job, const uint8_t* buffer,
                   const std::vector<PlaneRows>& rows) {
  const uint32_t count = job.segment->token_count;
  for (size_t i = 0; i < job.slices.size(); ++i) {
    if (rows[i].data == buffer) {
      ScatterRows(*job.target, job.slices[i], job.segment->first_token, count,
                  buffer);
    }
    buffer += Aligned(count * job.slices[i].token_bytes());
  }
}

// From the first `stages` stages, which are parsed.
Status DecodeInto(const DecodeJob& job, uint32_t stages, WorkerMemory* memory) {
  const uint32_t count = job.segment->token_count;
  const bool is_refinement = job.stages_in_place > 0;
  uint8_t* const buffer = memory->rows.Get(0, PackedBytes(job.slices, count));
  if (!PlaceRows(job, !is_refinement, buffer, &memory->target_rows)) {
    return Status();
  }
  if (job.kept != nullptr) *job.kept = kAllTokens;
  DecodeRequest request;
  request.slices = job.slices;
  request.rows = memory->target_rows;
  request.token_count = count;
  request.profile = job.profile;
  request.kept = job.kept;
  std::array<const FrameView*, kMaxStages> views{};
  for (uint32_t s = 0; s < stages; ++s) views[s] = &memory->frames[s];
  REPRISE_RETURN_IF_ERROR(job.codec->DecodeStages(
      std::span(views).first(stages), request, &memory->codec));
  std::unique_lock<std::shared_mutex> lock;
  if (is_refinement && job.rows_lock != nullptr) {
    lock = std::unique_lock(*job.rows_lock);
  }
  ScatterPlaced(job, buffer, memory->target_rows);
  return Status();
}

FrameInfo InfoOf(const EncodeJob& job) {
  FrameInfo info;
  info.is_tail = job.token_count < kSegmentTokens;
  info.model = job.model;
  info.segment = job.segment;
  info.first_token = static_cast<uint32_t>(job.first_token);
  info.token_count = static_cast<uint16_t>(job.token_count);
  info.layers = job.group;
  info.heads = job.source->heads();
  return info;
}

// Has `make` fill one builder a stage, and copies what they hold.
template <typename Make>
Result<std::vector<PooledBytes>> MakeFrames(const EncodeJob& job, Make make,
                                            WorkerMemory* memory,
                                            BufferPool* buffers) {
  const uint32_t stages = StageCountOf(job);
  if (stages == 0 || stages > kMaxStages) {
    return InternalError("encode: " + std::to_string(stages) +
                         " stages, 1 to " + std::to_string(kMaxStages) +
                         " are possible");
  }
  std::array<FrameBuilder*, kMaxStages> builders{};
  for (uint32_t s = 0; s < stages; ++s) builders[s] = &memory->builders[s];
  REPRISE_RETURN_IF_ERROR(make(std::span(builders).first(stages)));
  std::vector<PooledBytes> out;
  for (uint32_t s = 0; s < stages; ++s) {
    REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builders[s]->Finish());
    out.push_back(buffers->Take(frame.size()));
    std::copy(frame.begin(), frame.end(), out.back().data());
  }
  return out;
}

// Of the rows in memory->source_rows.
Result<std::vector<PooledBytes>> EncodeGathered(const EncodeJob& job,
                                                WorkerMemory* memory,
                                                BufferPool* buffers) {
  EncodeRequest request;
  request.info = InfoOf(job);
  request.slices = job.slices;
  request.rows = memory->source_rows;
  request.profile = job.profile;
  request.options = job.options;
  request.kept = job.kept;
  const auto make = [&](std::span<FrameBuilder* const> builders) {
    return job.codec->EncodeStages(request, &memory->codec, builders);
  };
  return MakeFrames(job, make, memory, buffers);
}

}  // namespace

uint32_t StageCountOf(const EncodeJob& job) {
  return job.codec->stage_count(job.options);
}

Tier StageTierOf(const EncodeJob& job, uint32_t stage) {
  // What tokens were dropped from is worse than its codec says.
  return WorseOf(job.tier, job.codec->stage_tier(stage, job.options));
}

Result<std::vector<PooledBytes>> EncodeFrames(const EncodeJob& job,
                                              WorkerMemory* memory,
                                              BufferPool* buffers) {
  uint8_t* packed =
      memory->rows.Get(0, PackedBytes(job.slices, job.token_count));
  memory->source_rows.clear();
  for (const PlaneSlice& slice : job.slices) {
    memory->source_rows.push_back(GatherRows(
        *job.source, slice, job.first_token, job.token_count, packed));
    packed += Aligned(job.token_count * slice.token_bytes());
  }
  return EncodeGathered(job, memory, buffers);
}

DeviceEncodeUnit DeviceUnitOf(const EncodeJob& job) {
  DeviceEncodeUnit unit;
  unit.request.info = InfoOf(job);
  unit.request.slices = job.slices;
  unit.request.profile = job.device_profile;
  unit.request.options = job.options;
  unit.request.kept = job.kept;
  unit.codec = job.codec->id();
  unit.as_rows = job.profile != nullptr && job.device_profile == nullptr;
  unit.source = job.source;
  return unit;
}

Result<std::vector<PooledBytes>> EncodeFrames(const EncodeJob& job,
                                              const EncodedUnit& unit,
                                              WorkerMemory* memory,
                                              BufferPool* buffers) {
  if (unit.is_rows()) {
    memory->source_rows.clear();
    unit.AppendRows(&memory->source_rows);
    return EncodeGathered(job, memory, buffers);
  }
  const auto make = [&](std::span<FrameBuilder* const> builders) {
    return unit.BuildFrames(builders);
  };
  return MakeFrames(job, make, memory, buffers);
}

GatheredRows GatherGroup(const KvSource& source,
                         std::span<const PlaneSlice> slices,
                         uint64_t first_token, uint32_t token_count) {
  GatheredRows out;
  out.packed.reserve(slices.size());
  for (const PlaneSlice& slice : slices) {
    out.packed.emplace_back(token_count * slice.token_bytes());
    out.rows.push_back(GatherRows(source, slice, first_token, token_count,
                                  out.packed.back().data()));
  }
  return out;
}

uint32_t CheckFrames(const DecodeJob& job, WorkerMemory* memory) {
  uint32_t stages = 0;
  while (stages < job.frames.size() &&
         TakeStage(job, stages, &memory->frames[stages]).ok()) {
    ++stages;
  }
  return stages;
}

uint32_t DecodeFrames(const DecodeJob& job, WorkerMemory* memory) {
  uint32_t stages = CheckFrames(job, memory);
  // Damage that no checksum shows may be in any of them.
  for (; stages > job.stages_in_place; --stages) {
    if (DecodeInto(job, stages, memory).ok()) return stages;
  }
  return job.stages_in_place;
}

}  // namespace reprise
