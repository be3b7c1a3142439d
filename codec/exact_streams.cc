#include "codec/exact_streams.h"

#include "codec/exact_kernel.h"
#include "codec/message.h"

namespace reprise {
namespace {

Status Damaged(const FrameSection& section, std::string_view what, uint64_t is,
               uint64_t wanted) {
  return DataLossError(CatMessage("exact: layer ", section.layer, " plane ",
                                  section.plane, ": ", what, " is ", is,
                                  ", wanted is ", wanted));
}

}  // namespace

Result<const ExactProfile*> ProfileOfExactFrame(
    const FrameView& frame, std::span<const PlaneSlice> slices,
    const CodecProfile* given) {
  if (frame.info.stage != 0) {
    return DataLossError(
        CatMessage("exact: stage is ", frame.info.stage, ", 0 is wanted"));
  }
  if (frame.info.profile.IsZero()) {
    return static_cast<const ExactProfile*>(nullptr);
  }
  REPRISE_ASSIGN_OR_RETURN(const ExactProfile* profile, AsExactProfile(given));
  if (profile == nullptr || profile->id() != frame.info.profile) {
    return FailedPreconditionError(
        CatMessage("exact: the frame was made with profile ",
                   frame.info.profile.ShortHex(), ", given is ",
                   profile == nullptr ? "none" : profile->id().ShortHex()));
  }
  REPRISE_RETURN_IF_ERROR(profile->CheckShape(slices));
  return profile;
}

Status ExactFrameReader::ReadTables() {
  if (frame_.sections.empty() || profile_ != nullptr) return Status::Ok();
  const FrameSection& section = frame_.sections[0];
  if (section.mode != kExactTables) return Status::Ok();
  const PlaneSlice* first = slices_.empty() ? nullptr : &slices_[0];
  if (first == nullptr || section.layer != first->layer ||
      section.plane != first->plane || section.words != 0 ||
      section.channel_count != 0 ||
      section.channel_first != first->channel_first()) {
    return Damaged(section, "channel count of the tables",
                   section.channel_count, 0);
  }
  index_ = 1;
  has_tables_ = true;
  return LoadExactOwnTables(frame_.Section(section), tables_);
}

Status ExactFrameReader::Next(ExactFrameStream* out) {
  const FrameSection& section = frame_.sections[index_];
  if (slice_ == slices_.size()) {
    return Damaged(section, "a stream beyond the last slice", slice_, slice_);
  }
  const PlaneSlice& slice = slices_[slice_];
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
  out->section = &section;
  out->slice = slice_;
  out->channel_first = channel_;
  out->element_bytes = DTypeBytes(slice.spec->dtype);
  ++index_;
  channel_ += section.channel_count;
  if (channel_ == slice.channels()) {
    channel_ = 0;
    ++slice_;
  }
  return Status::Ok();
}

Status ExactFrameReader::Inspect(ExactFrameStream* stream) const {
  const FrameSection& section = *stream->section;
  if (section.mode == kExactRans) return InspectRans(stream);
  if (section.words != 0) {
    return Damaged(section, "number of words", section.words, 0);
  }
  if (section.mode == kExactRaw) {
    const uint64_t wanted = uint64_t{section.channel_count} *
                            stream->element_bytes * frame_.info.token_count;
    if (section.bytes == wanted) return Status::Ok();
    return Damaged(section, "size of a raw stream", section.bytes, wanted);
  }
  if (section.mode == kExactConstant) {
    if (section.bytes == stream->element_bytes) return Status::Ok();
    return Damaged(section, "size of a constant stream", section.bytes,
                   stream->element_bytes);
  }
  return Damaged(section, "mode", section.mode, kExactRans);
}

Status ExactFrameReader::InspectRans(ExactFrameStream* stream) const {
  const FrameSection& section = *stream->section;
  uint32_t head_bytes = 0;
  if (profile_ != nullptr) {
    stream->plane = profile_->FindPlane(section.layer, section.plane);
    if (stream->plane == nullptr) {
      return Damaged(section, "mode of a plane without a profile", kExactRans,
                     kExactRaw);
    }
    stream->split = stream->plane->split;
  } else {
    if (!has_tables_) {
      return Damaged(section, "mode without tables", kExactRans, kExactRaw);
    }
    REPRISE_RETURN_IF_ERROR(
        LoadExactOwnStream(frame_.Section(section), section.channel_count,
                           stream->element_bytes, *tables_, &stream->own));
    stream->split = tables_->kinds[stream->own.table].split;
    head_bytes = ExactOwnStreamBytes(section.channel_count);
  }
  const ExactStream shape{.tokens = frame_.info.token_count,
                          .channels = section.channel_count,
                          .split = stream->split,
                          .lanes = nullptr};
  stream->layout = LayOutExactStream(shape, head_bytes, section.words);
  if (section.bytes == stream->layout.end) return Status::Ok();
  return Damaged(section, "size of a stream", section.bytes,
                 stream->layout.end);
}

Status ExactFrameReader::CheckEnd() const {
  if (slice_ == slices_.size()) return Status::Ok();
  return DataLossError(CatMessage("exact: has streams for ", slice_,
                                  " slices, ", slices_.size(), " are wanted"));
}

}  // namespace reprise
