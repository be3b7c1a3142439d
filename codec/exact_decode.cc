#include "codec/exact_decode.h"

#include <cstring>
#include <new>
#include <string_view>

#include "codec/exact_layout.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_simd.h"
#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint32_t kMaxWaiting = 3;

class FrameDecoder {
 public:
  FrameDecoder(const FrameView& frame, const DecodeRequest& request,
               const ExactProfile* profile, CodecScratch* scratch)
      : frame_(frame),
        request_(request),
        profile_(profile),
        scratch_(scratch) {}

  Status Run();

 private:
  struct Target {
    uint8_t* data = nullptr;
    uint64_t stride = 0;
    uint32_t element_bytes = 0;
    uint32_t row_bytes = 0;
  };

  Status ReadTables(size_t* index);
  Status NextStream(const FrameSection& section);
  Status DecodeStream(const FrameSection& section, const PlaneSlice& slice,
                      const Target& target);
  Status DecodeRaw(const FrameSection& section, const Target& target);
  Status DecodeConstant(const FrameSection& section, const Target& target);
  Status DecodeRans(const FrameSection& section, const PlaneSlice& slice,
                    const Target& target);
  // Fills in split and lanes, and the tables to decode with.
  Status Prepare(const FrameSection& section, const PlaneSlice& slice,
                 ExactChannels* lanes, ExactDecodeJob* job);
  const uint8_t* WithSlack(const FrameSection& section, uint32_t slot);
  // Decodes waiting_[index], with the one that has the same tables if there
  // is one.
  Status DecodeWaiting(uint32_t index);
  Status Finish();
  Status Damaged(const FrameSection& section, std::string_view what,
                 uint64_t is, uint64_t wanted) const;

  const FrameView& frame_;
  const DecodeRequest& request_;
  const ExactProfile* profile_;
  CodecScratch* scratch_;

  // In scratch; null while the frame has shown none.
  const ExactOwnTables* own_tables_ = nullptr;
  // Streams wait for another with the same tables, to be decoded in step with
  // it: keys of one layer for those of the next, values alike.
  struct Waiting {
    bool used = false;
    const FrameSection* section = nullptr;
    ExactDecodeJob job;
    ExactChannels lanes;
  };
  Waiting waiting_[kMaxWaiting];
  // The slice whose streams come next, and its first channel not yet seen.
  size_t slice_ = 0;
  uint32_t channel_ = 0;
};

Status FrameDecoder::Damaged(const FrameSection& section, std::string_view what,
                             uint64_t is, uint64_t wanted) const {
  return DataLossError(CatMessage("exact: layer ", section.layer, " plane ",
                                  section.plane, ": ", what, " is ", is,
                                  ", wanted is ", wanted));
}

Status FrameDecoder::ReadTables(size_t* index) {
  if (frame_.sections.empty() || profile_ != nullptr) return Status::Ok();
  const FrameSection& section = frame_.sections[0];
  if (section.mode != kExactTables) return Status::Ok();
  const PlaneSlice* first =
      request_.slices.empty() ? nullptr : &request_.slices[0];
  if (first == nullptr || section.layer != first->layer ||
      section.plane != first->plane || section.words != 0 ||
      section.channel_count != 0 ||
      section.channel_first != first->channel_first()) {
    return Damaged(section, "channel count of the tables",
                   section.channel_count, 0);
  }
  *index = 1;
  auto* tables = new (scratch_->Get(1, sizeof(ExactOwnTables))) ExactOwnTables;
  own_tables_ = tables;
  return LoadExactOwnTables(frame_.Section(section), tables);
}

Status FrameDecoder::NextStream(const FrameSection& section) {
  if (slice_ == request_.slices.size()) {
    return Damaged(section, "a stream beyond the last slice", slice_, slice_);
  }
  const PlaneSlice& slice = request_.slices[slice_];
  if (section.layer != slice.layer || section.plane != slice.plane) {
    return Damaged(section, "layer of the next slice", section.layer,
                   slice.layer);
  }
  if (section.channel_first != slice.channel_first() + channel_) {
    return Damaged(section, "first channel", section.channel_first,
                   slice.channel_first() + channel_);
  }
  const uint32_t left = slice.channels() - channel_;
  if (section.channel_count == 0 || section.channel_count > kExactMaxChannels ||
      section.channel_count > left) {
    return Damaged(section, "channel count", section.channel_count, left);
  }
  const PlaneRows& rows = request_.rows[slice_];
  Target target;
  target.element_bytes = DTypeBytes(slice.spec->dtype);
  target.row_bytes = section.channel_count * target.element_bytes;
  target.stride = rows.token_stride_bytes;
  if (rows.data != nullptr) {
    target.data = rows.data + uint64_t{channel_} * target.element_bytes;
    REPRISE_RETURN_IF_ERROR(DecodeStream(section, slice, target));
  }
  channel_ += section.channel_count;
  if (channel_ == slice.channels()) {
    channel_ = 0;
    ++slice_;
  }
  return Status::Ok();
}

Status FrameDecoder::DecodeStream(const FrameSection& section,
                                  const PlaneSlice& slice,
                                  const Target& target) {
  if (section.mode != kExactRans && section.words != 0) {
    return Damaged(section, "number of words", section.words, 0);
  }
  switch (section.mode) {
    case kExactRaw:
      return DecodeRaw(section, target);
    case kExactConstant:
      return DecodeConstant(section, target);
    case kExactRans:
      return DecodeRans(section, slice, target);
    default:
      return Damaged(section, "mode", section.mode, kExactRans);
  }
}

Status FrameDecoder::DecodeRaw(const FrameSection& section,
                               const Target& target) {
  const uint64_t wanted = uint64_t{target.row_bytes} * frame_.info.token_count;
  if (section.bytes != wanted) {
    return Damaged(section, "size of a raw stream", section.bytes, wanted);
  }
  const uint8_t* from = frame_.Section(section).data();
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    std::memcpy(target.data + t * target.stride,
                from + uint64_t{t} * target.row_bytes, target.row_bytes);
  }
  return Status::Ok();
}

Status FrameDecoder::DecodeConstant(const FrameSection& section,
                                    const Target& target) {
  if (section.bytes != target.element_bytes) {
    return Damaged(section, "size of a constant stream", section.bytes,
                   target.element_bytes);
  }
  const uint8_t* value = frame_.Section(section).data();
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    uint8_t* row = target.data + t * target.stride;
    for (uint32_t at = 0; at < target.row_bytes; at += target.element_bytes) {
      std::memcpy(row + at, value, target.element_bytes);
    }
  }
  return Status::Ok();
}

Status FrameDecoder::Prepare(const FrameSection& section,
                             const PlaneSlice& slice, ExactChannels* lanes,
                             ExactDecodeJob* job) {
  job->stream.tokens = frame_.info.token_count;
  job->stream.channels = section.channel_count;
  job->stream.lanes = lanes;
  if (profile_ != nullptr) {
    const ExactPlane* plane = profile_->FindPlane(slice.layer, slice.plane);
    if (plane == nullptr) {
      return Damaged(section, "mode of a plane without a profile", kExactRans,
                     kExactRaw);
    }
    job->stream.split = plane->split;
    job->decode = profile_->set(plane->set).decode.data();
    profile_->FillChannels(*plane, frame_.info.first_token,
                           section.channel_first, section.channel_count, lanes);
    return Status::Ok();
  }
  if (own_tables_ == nullptr) {
    return Damaged(section, "mode without tables", kExactRans, kExactRaw);
  }
  ExactOwnStream own;
  REPRISE_RETURN_IF_ERROR(
      LoadExactOwnStream(frame_.Section(section), section.channel_count,
                         DTypeBytes(slice.spec->dtype), *own_tables_, &own));
  job->stream.split = own_tables_->kinds[own.table].split;
  job->decode = own_tables_->decode;
  FillExactChannels(own, section.channel_count, *own_tables_, lanes);
  return Status::Ok();
}

// The loops read a little behind a stream's end: another section, or, of the
// frame's last one, a copy.
const uint8_t* FrameDecoder::WithSlack(const FrameSection& section,
                                       uint32_t slot) {
  const uint8_t* bytes = frame_.Section(section).data();
  const uint64_t end = uint64_t{section.offset} + section.bytes;
  if (frame_.bytes.size() - end >= kExactSlackBytes) return bytes;
  uint8_t* copy =
      scratch_->Get(slot, uint64_t{section.bytes} + kExactSlackBytes);
  std::memcpy(copy, bytes, section.bytes);
  std::memset(copy + section.bytes, 0, kExactSlackBytes);
  return copy;
}

Status FrameDecoder::DecodeRans(const FrameSection& section,
                                const PlaneSlice& slice, const Target& target) {
  uint32_t index = 0;
  while (index < kMaxWaiting && waiting_[index].used) ++index;
  if (index == kMaxWaiting) {
    index = 0;
    REPRISE_RETURN_IF_ERROR(DecodeWaiting(index));
  }
  Waiting& waiting = waiting_[index];
  REPRISE_RETURN_IF_ERROR(
      Prepare(section, slice, &waiting.lanes, &waiting.job));
  const uint32_t head_bytes =
      profile_ != nullptr ? 0 : ExactOwnStreamBytes(section.channel_count);
  const ExactLayout layout =
      LayOutExactStream(waiting.job.stream, head_bytes, section.words);
  if (section.bytes != layout.end) {
    return Damaged(section, "size of a stream", section.bytes, layout.end);
  }
  waiting.job.coded =
      ExactParts(WithSlack(section, 2 + index), layout, section.words);
  waiting.job.rows = target.data;
  waiting.job.stride = target.stride;
  waiting.section = &section;
  waiting.used = true;
  for (uint32_t i = 0; i < kMaxWaiting; ++i) {
    if (i != index && waiting_[i].used &&
        waiting_[i].job.decode == waiting.job.decode) {
      return DecodeWaiting(i);
    }
  }
  return Status::Ok();
}

Status FrameDecoder::DecodeWaiting(uint32_t index) {
  Waiting& first = waiting_[index];
  Waiting* second = nullptr;
  for (Waiting& other : waiting_) {
    if (&other != &first && other.used &&
        other.job.decode == first.job.decode) {
      second = &other;
    }
  }
  first.used = false;
  ExactPairResult result{true, true};
  if (second != nullptr) {
    second->used = false;
    result = ExactDecodePair(first.job, second->job, request_.token_count);
  } else {
    result.first = ExactDecode(first.job, request_.token_count);
  }
  if (result.first && result.second) return Status::Ok();
  const FrameSection& section =
      result.first ? *second->section : *first.section;
  return DataLossError(CatMessage("exact: layer ", section.layer, " plane ",
                                  section.plane, ": its ", section.words,
                                  " words do not end where its states do"));
}

Status FrameDecoder::Finish() {
  for (uint32_t i = 0; i < kMaxWaiting; ++i) {
    if (waiting_[i].used) REPRISE_RETURN_IF_ERROR(DecodeWaiting(i));
  }
  return Status::Ok();
}

Status FrameDecoder::Run() {
  size_t index = 0;
  REPRISE_RETURN_IF_ERROR(ReadTables(&index));
  for (; index < frame_.sections.size(); ++index) {
    REPRISE_RETURN_IF_ERROR(NextStream(frame_.sections[index]));
  }
  if (slice_ != request_.slices.size()) {
    return DataLossError(CatMessage("exact: has streams for ", slice_,
                                    " slices, ", request_.slices.size(),
                                    " are wanted"));
  }
  return Finish();
}

}  // namespace

Status DecodeExactFrame(const FrameView& frame, const DecodeRequest& request,
                        const ExactProfile* profile, CodecScratch* scratch) {
  return FrameDecoder(frame, request, profile, scratch).Run();
}

}  // namespace reprise
