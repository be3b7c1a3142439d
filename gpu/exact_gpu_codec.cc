#include "gpu/exact_gpu_codec.h"

#include <utility>

#include "codec/exact_streams.h"
#include "gpu/exact_gpu_profile.h"

namespace reprise {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

// Turns the streams of one frame into tasks.
class FramePlanner {
 public:
  FramePlanner(const GpuDecodeRequest& request, const ExactProfile* profile,
               uint32_t unit, DecodePlan* plan)
      : request_(request),
        frame_(*request.frames[0]),
        profile_(profile),
        unit_(unit),
        plan_(plan),
        reader_(frame_, request.slices, profile, &tables_) {}

  Status Run();

 private:
  Status AddStream(const ExactFrameStream& stream);
  Status AddCopy(const ExactFrameStream& stream, uint32_t rows);
  Status AddDecode(const ExactFrameStream& stream, uint32_t rows);
  // Whether one of its heads is.
  bool IsWanted(const ExactFrameStream& stream) const;
  // The index of a slice's rows, which are added once.
  Result<uint32_t> RowsOf(size_t slice);
  Result<const uint8_t*> OwnTables();

  const ExactGpuProfile& gpu_profile() const {
    return static_cast<const ExactGpuProfile&>(*request_.profile);
  }

  const GpuDecodeRequest& request_;
  const FrameView& frame_;
  const ExactProfile* const profile_;
  const uint32_t unit_;
  DecodePlan* const plan_;
  ExactOwnTables tables_;
  ExactFrameReader reader_;
  const uint8_t* own_tables_ = nullptr;  // on the device
  // Of the slice whose streams are at hand.
  size_t rows_slice_ = 0;
  uint32_t rows_ = kNone;
};

bool FramePlanner::IsWanted(const ExactFrameStream& stream) const {
  const GpuRows& rows = request_.rows[stream.slice];
  if (rows.base == nullptr) return false;
  const uint32_t last =
      stream.channel_first + stream.section->channel_count - 1;
  return last / rows.dim >= rows.head_first &&
         stream.channel_first / rows.dim < rows.head_first + rows.head_count;
}

Result<uint32_t> FramePlanner::RowsOf(size_t slice) {
  if (rows_ != kNone && rows_slice_ == slice) return rows_;
  const Result<uint32_t> rows = plan_->AddRows(request_.rows[slice]);
  if (!rows.ok()) return rows;
  rows_slice_ = slice;
  rows_ = *rows;
  return rows;
}

Result<const uint8_t*> FramePlanner::OwnTables() {
  if (own_tables_ != nullptr) return own_tables_;
  const uint64_t bytes = tables_.count * kExactSlots * sizeof(uint32_t);
  const Result<const uint8_t*> added = plan_->AddConstants(
      ByteView(reinterpret_cast<const uint8_t*>(tables_.decode), bytes));
  if (added.ok()) own_tables_ = *added;
  return added;
}

Status FramePlanner::AddCopy(const ExactFrameStream& stream, uint32_t rows) {
  const FrameSection& section = *stream.section;
  const bool is_constant = section.mode == kExactConstant;
  return plan_->Add<CopyRowsKernel>(
      {.from = DeviceSection(request_, 0, section),
       .from_stride =
           is_constant ? 0
                       : uint64_t{section.channel_count} * stream.element_bytes,
       .tokens = FirstTokens(frame_.info.token_count),
       .rows = rows,
       .channel_first = stream.channel_first,
       .channel_count = section.channel_count});
}

Status FramePlanner::AddDecode(const ExactFrameStream& stream, uint32_t rows) {
  const FrameSection& section = *stream.section;
  const uint8_t* const bytes = DeviceSection(request_, 0, section);
  ExactDecodeTask task{
      .section = bytes + stream.layout.states,
      .words_at =
          static_cast<uint32_t>(stream.layout.words - stream.layout.states),
      .raw_at = static_cast<uint32_t>(stream.layout.raw - stream.layout.states),
      .word_count = section.words,
      .tokens = frame_.info.token_count,
      .channel_first = stream.channel_first,
      .channel_count = section.channel_count,
      .rows = rows,
      .unit = unit_,
      .raw_bits = static_cast<uint8_t>(stream.split.raw_bits),
      .sign_bit = static_cast<uint8_t>(stream.split.sign_bit)};
  if (profile_ != nullptr) {
    const uint32_t set = stream.plane->set;
    task.tables = gpu_profile().decode(set);
    task.table_count = static_cast<uint8_t>(profile_->set(set).table_count());
    task.channels = gpu_profile().Channels(*stream.plane, section.channel_first,
                                           frame_.info.first_token);
    return plan_->Add<ExactDecodeKernel>(task);
  }
  const Result<const uint8_t*> tables = OwnTables();
  if (!tables.ok()) return tables.status();
  task.tables = reinterpret_cast<const uint32_t*>(*tables);
  task.table_count = static_cast<uint8_t>(tables_.count);
  task.channels = {.base = stream.own.base,
                   .steps4 = bytes + kExactOwnStreamHeadBytes,
                   .table = static_cast<uint8_t>(stream.own.table),
                   .unit_bits = static_cast<uint8_t>(
                       tables_.kinds[stream.own.table].unit_bits)};
  return plan_->Add<ExactDecodeKernel>(task);
}

Status FramePlanner::AddStream(const ExactFrameStream& stream) {
  const Result<uint32_t> rows = RowsOf(stream.slice);
  if (!rows.ok()) return rows.status();
  return stream.section->mode == kExactRans ? AddDecode(stream, *rows)
                                            : AddCopy(stream, *rows);
}

Status FramePlanner::Run() {
  REPRISE_RETURN_IF_ERROR(reader_.ReadTables());
  ExactFrameStream stream;
  while (reader_.HasNext()) {
    REPRISE_RETURN_IF_ERROR(reader_.Next(&stream));
    if (!IsWanted(stream)) continue;
    REPRISE_RETURN_IF_ERROR(reader_.Inspect(&stream));
    REPRISE_RETURN_IF_ERROR(AddStream(stream));
  }
  return reader_.CheckEnd();
}

}  // namespace

Result<std::shared_ptr<const GpuProfile>> ExactGpuCodec::Upload(
    std::shared_ptr<const CodecProfile> profile, uint64_t,
    std::shared_ptr<Device> device) const {
  Result<std::shared_ptr<const ExactGpuProfile>> made =
      ExactGpuProfile::Make(std::move(profile), std::move(device));
  if (!made.ok()) return made.status();
  return std::shared_ptr<const GpuProfile>(*std::move(made));
}

Status ExactGpuCodec::AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                               DecodePlan* plan) const {
  const CodecProfile* const given =
      request.profile == nullptr ? nullptr : &request.profile->profile();
  const Result<const ExactProfile*> profile =
      ProfileOfExactFrame(*request.frames[0], request.slices, given);
  if (!profile.ok()) return profile.status();
  return FramePlanner(request, *profile, unit, plan).Run();
}

}  // namespace reprise
