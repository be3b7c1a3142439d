#include "codec/exact_decode.h"

#include <cstring>
#include <new>

#include "codec/exact_layout.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_simd.h"
#include "codec/exact_streams.h"
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
        scratch_(scratch),
        reader_(frame, request.slices, profile, Room(profile, scratch)) {}

  Status Run();

 private:
  // For the tables of a frame that has its own.
  static ExactOwnTables* Room(const ExactProfile* profile,
                              CodecScratch* scratch) {
    if (profile != nullptr) return nullptr;
    return new (scratch->Get(1, sizeof(ExactOwnTables))) ExactOwnTables;
  }

  struct Target {
    uint8_t* data = nullptr;
    uint64_t stride = 0;
    uint32_t element_bytes = 0;
    uint32_t row_bytes = 0;
  };

  Status DecodeStream(const ExactFrameStream& stream, const Target& target);
  void CopyRaw(const FrameSection& section, const Target& target);
  void RepeatConstant(const FrameSection& section, const Target& target);
  Status DecodeRans(const ExactFrameStream& stream, const Target& target);
  // Fills in split and lanes, and the tables to decode with.
  void Prepare(const ExactFrameStream& stream, ExactChannels* lanes,
               ExactDecodeJob* job);
  const uint8_t* WithSlack(const FrameSection& section, uint32_t slot);
  // Decodes waiting_[index], with the one that has the same tables if there
  // is one.
  Status DecodeWaiting(uint32_t index);
  Status Finish();

  const FrameView& frame_;
  const DecodeRequest& request_;
  const ExactProfile* profile_;
  CodecScratch* scratch_;
  ExactFrameReader reader_;

  // Streams wait for another with the same tables, to be decoded in step with
  // it: keys of one layer for those of the next, values alike.
  struct Waiting {
    bool used = false;
    const FrameSection* section = nullptr;
    ExactDecodeJob job;
    ExactChannels lanes;
  };
  Waiting waiting_[kMaxWaiting];
};

Status FrameDecoder::DecodeStream(const ExactFrameStream& stream,
                                  const Target& target) {
  if (stream.section->mode == kExactRans) return DecodeRans(stream, target);
  if (stream.section->mode == kExactRaw) {
    CopyRaw(*stream.section, target);
  } else {
    RepeatConstant(*stream.section, target);
  }
  return Status::Ok();
}

void FrameDecoder::CopyRaw(const FrameSection& section, const Target& target) {
  const uint8_t* from = frame_.Section(section).data();
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    std::memcpy(target.data + t * target.stride,
                from + uint64_t{t} * target.row_bytes, target.row_bytes);
  }
}

void FrameDecoder::RepeatConstant(const FrameSection& section,
                                  const Target& target) {
  const uint8_t* value = frame_.Section(section).data();
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    uint8_t* row = target.data + t * target.stride;
    for (uint32_t at = 0; at < target.row_bytes; at += target.element_bytes) {
      std::memcpy(row + at, value, target.element_bytes);
    }
  }
}

void FrameDecoder::Prepare(const ExactFrameStream& stream, ExactChannels* lanes,
                           ExactDecodeJob* job) {
  const FrameSection& section = *stream.section;
  job->stream.tokens = frame_.info.token_count;
  job->stream.channels = section.channel_count;
  job->stream.split = stream.split;
  job->stream.lanes = lanes;
  if (profile_ != nullptr) {
    job->decode = profile_->set(stream.plane->set).decode.data();
    profile_->FillChannels(*stream.plane, frame_.info.first_token,
                           section.channel_first, section.channel_count, lanes);
    return;
  }
  const ExactOwnTables& tables = *reader_.own_tables();
  job->decode = tables.decode;
  FillExactChannels(stream.own, section.channel_count, tables, lanes);
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

Status FrameDecoder::DecodeRans(const ExactFrameStream& stream,
                                const Target& target) {
  uint32_t index = 0;
  while (index < kMaxWaiting && waiting_[index].used) ++index;
  if (index == kMaxWaiting) {
    index = 0;
    REPRISE_RETURN_IF_ERROR(DecodeWaiting(index));
  }
  const FrameSection& section = *stream.section;
  Waiting& waiting = waiting_[index];
  Prepare(stream, &waiting.lanes, &waiting.job);
  waiting.job.coded =
      ExactParts(WithSlack(section, 2 + index), stream.layout, section.words);
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
  REPRISE_RETURN_IF_ERROR(reader_.ReadTables());
  ExactFrameStream stream;
  while (reader_.HasNext()) {
    REPRISE_RETURN_IF_ERROR(reader_.Next(&stream));
    const PlaneRows& rows = request_.rows[stream.slice];
    if (rows.data == nullptr) continue;
    REPRISE_RETURN_IF_ERROR(reader_.Inspect(&stream));
    const uint32_t bytes = stream.element_bytes;
    const Target target{
        .data = rows.data + uint64_t{stream.channel_first} * bytes,
        .stride = rows.token_stride_bytes,
        .element_bytes = bytes,
        .row_bytes = stream.section->channel_count * bytes};
    REPRISE_RETURN_IF_ERROR(DecodeStream(stream, target));
  }
  REPRISE_RETURN_IF_ERROR(reader_.CheckEnd());
  return Finish();
}

}  // namespace

Status DecodeExactFrame(const FrameView& frame, const DecodeRequest& request,
                        const ExactProfile* profile, CodecScratch* scratch) {
  return FrameDecoder(frame, request, profile, scratch).Run();
}

}  // namespace reprise
