#include "client/frame_jobs.h"

#include <algorithm>
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

Status CheckIsAnnounced(const FrameInfo& info, const DecodeJob& job) {
  const ManifestSegment& segment = *job.segment;
  if (info.model != job.model) return NotTheOne("model");
  if (info.segment != segment.id) return NotTheOne("segment");
  if (info.codec != segment.codec) return NotTheOne("codec");
  if (info.profile != segment.profile) return NotTheOne("profile");
  if (info.first_token != segment.first_token ||
      info.token_count != segment.tokens.size()) {
    return NotTheOne("range of tokens");
  }
  if (info.stage != job.frame->stage) return NotTheOne("stage");
  if (info.layers != job.frame->layers) return NotTheOne("range of layers");
  if (info.heads != job.frame->heads) return NotTheOne("range of heads");
  return Status();
}

}  // namespace

Result<PooledBytes> EncodeFrame(const EncodeJob& job, WorkerMemory* memory,
                                BufferPool* buffers) {
  uint8_t* packed =
      memory->rows.Get(0, PackedBytes(job.slices, job.token_count));
  memory->source_rows.clear();
  for (const PlaneSlice& slice : job.slices) {
    memory->source_rows.push_back(GatherRows(
        *job.source, slice, job.first_token, job.token_count, packed));
    packed += Aligned(job.token_count * slice.token_bytes());
  }
  EncodeRequest request;
  request.info.is_tail = job.token_count < kSegmentTokens;
  request.info.model = job.model;
  request.info.segment = job.segment;
  request.info.first_token = static_cast<uint32_t>(job.first_token);
  request.info.token_count = static_cast<uint16_t>(job.token_count);
  request.info.layers = job.group;
  request.info.heads = job.source->heads();
  request.slices = job.slices;
  request.rows = memory->source_rows;
  request.profile = job.profile;
  request.options = job.options;
  request.kept = job.kept;
  REPRISE_RETURN_IF_ERROR(
      job.codec->Encode(request, &memory->codec, &memory->builder));
  REPRISE_ASSIGN_OR_RETURN(const ByteView frame, memory->builder.Finish());
  PooledBytes out = buffers->Take(frame.size());
  std::copy(frame.begin(), frame.end(), out.data());
  return out;
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

Status DecodeFrame(const DecodeJob& job, WorkerMemory* memory) {
  REPRISE_RETURN_IF_ERROR(ParseFrame(job.bytes, &memory->frame));
  REPRISE_RETURN_IF_ERROR(CheckIsAnnounced(memory->frame.info, job));
  if (Status s = CheckFrameAgainstModel(memory->frame, *job.spec); !s.ok()) {
    return DataLossError(std::string(s.message()));
  }
  const uint32_t count = job.segment->token_count;
  const uint64_t first = job.segment->first_token;
  uint8_t* const buffer = memory->rows.Get(0, PackedBytes(job.slices, count));
  uint8_t* packed = buffer;
  memory->target_rows.clear();
  bool any = false;
  for (const PlaneSlice& slice : job.slices) {
    PlaneRows rows;
    if (HoldsPart(*job.target, slice)) {
      any = true;
      rows = DirectRows(*job.target, slice, first, count);
      if (rows.data == nullptr) rows = {packed, slice.token_bytes()};
    }
    memory->target_rows.push_back(rows);
    packed += Aligned(count * slice.token_bytes());
  }
  if (!any) return Status();
  DecodeRequest request;
  request.slices = job.slices;
  request.rows = memory->target_rows;
  request.token_count = count;
  request.profile = job.profile;
  request.kept = job.kept;
  REPRISE_RETURN_IF_ERROR(
      job.codec->Decode(memory->frame, request, &memory->codec));

  packed = buffer;
  for (size_t i = 0; i < job.slices.size(); ++i) {
    if (memory->target_rows[i].data == packed) {
      ScatterRows(*job.target, job.slices[i], first, count, packed);
    }
    packed += Aligned(count * job.slices[i].token_bytes());
  }
  return Status();
}

}  // namespace reprise
