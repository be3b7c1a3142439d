#include <algorithm>
#include <cstring>

#include "codec/exact_encode.h"
#include "codec/exact_layout.h"
#include "codec/message.h"
#include "gpu/exact_gpu_codec.h"
#include "gpu/exact_gpu_profile.h"

namespace reprise {
namespace {

// Words that a row may have beyond the limit, before it is looked at.
constexpr uint32_t kRowWords = 2 * kExactLanes;

// Turns the slices of one frame into tasks.
class FramePlanner {
 public:
  FramePlanner(const GpuEncodeRequest& request, const ExactProfile& profile,
               EncodePlan* plan)
      : request_(request), profile_(profile), plan_(plan) {}

  Status AddStream(const ExactStreamPlace& place);

 private:
  // Fills in how a stream is coded, if it is.
  Status Prepare(const ExactStreamPlace& place, ExactEncodeTask* task);

  const GpuEncodeRequest& request_;
  const ExactProfile& profile_;
  EncodePlan* const plan_;
  uint32_t rows_ = 0;  // of the slice at hand
};

Status FramePlanner::Prepare(const ExactStreamPlace& place,
                             ExactEncodeTask* task) {
  const PlaneSlice& slice = request_.slices[place.slice];
  const ExactPlane* plane = profile_.FindPlane(slice.layer, slice.plane);
  if (plane == nullptr) return Status();
  const ExactStream stream{.tokens = task->tokens,
                           .channels = place.channels,
                           .split = plane->split,
                           .lanes = nullptr};
  task->word_limit = ExactWordLimit(stream, 0);
  if (task->word_limit == 0) return Status();
  const Result<uint8_t*> words =
      plan_->AddScratch((task->word_limit + kRowWords) * sizeof(uint16_t));
  if (!words.ok()) return words.status();
  const auto& profile = static_cast<const ExactGpuProfile&>(*request_.profile);
  task->words = reinterpret_cast<uint16_t*>(*words);
  task->tables = profile.encode(plane->set);
  task->table_count =
      static_cast<uint8_t>(profile_.set(plane->set).table_count());
  task->channels =
      profile.Channels(*plane, slice.channel_first() + place.channel_first,
                       request_.info.first_token);
  task->raw_bits = static_cast<uint8_t>(plane->split.raw_bits);
  task->sign_bit = static_cast<uint8_t>(plane->split.sign_bit);
  return Status();
}

Status FramePlanner::AddStream(const ExactStreamPlace& place) {
  if (place.channel_first == 0) {
    const Result<uint32_t> rows = plan_->AddRows(request_.rows[place.slice]);
    if (!rows.ok()) return rows.status();
    rows_ = *rows;
  }
  const uint32_t tokens = request_.info.token_count;
  const uint64_t row_bytes =
      uint64_t{place.channels} * request_.rows[place.slice].element_bytes;
  const Result<GpuOutput> output =
      plan_->AddOutput(sizeof(ExactEncodeHead) + row_bytes * tokens);
  if (!output.ok()) return output.status();
  ExactEncodeTask task{.out = output->data,
                       .tokens = tokens,
                       .channel_first = place.channel_first,
                       .channel_count = place.channels,
                       .rows = rows_};
  REPRISE_RETURN_IF_ERROR(Prepare(place, &task));
  return plan_->Add<ExactEncodeKernel>(task);
}

// Copies one result to the frame. kInternal for one that no kernel leaves.
Status AddSection(const GpuOutput& output, FrameSection section,
                  FrameBuilder* builder) {
  ExactEncodeHead head;
  std::memcpy(&head, output.data, sizeof head);
  const uint64_t room = output.bytes - sizeof head;
  if (head.mode > kExactRans || head.bytes > room) {
    return InternalError(CatMessage("gpu: exact left a stream of mode ",
                                    head.mode, " and ", head.bytes,
                                    " bytes, with room for ", room));
  }
  section.mode = static_cast<uint8_t>(head.mode);
  section.words = head.words;
  std::memcpy(builder->BeginSection(head.bytes).data(),
              output.data + sizeof head, head.bytes);
  builder->EndSection(section, head.bytes);
  return Status();
}

}  // namespace

Status ExactGpuCodec::AddEncodeTasks(const GpuEncodeRequest& request, uint32_t,
                                     EncodePlan* plan) const {
  const EncodeRequest on_host = WithoutRows(request);
  const Result<const ExactProfile*> profile = CheckExactEncode(on_host);
  if (!profile.ok()) return profile.status();
  if (*profile == nullptr) {
    return UnimplementedError(
        "gpu: exact without a profile encodes on the host");
  }
  FramePlanner planner(request, **profile, plan);
  Status status;
  ForEachExactPlace(request.slices, [&](const ExactStreamPlace& place) {
    if (status.ok()) status = planner.AddStream(place);
  });
  return status;
}

Status ExactGpuCodec::BuildFrames(
    const GpuEncodeRequest& request, const EncodePlan& plan, uint32_t unit,
    std::span<FrameBuilder* const> builders) const {
  const EncodeRequest on_host = WithoutRows(request);
  const Result<const ExactProfile*> profile = CheckExactEncode(on_host);
  if (!profile.ok()) return profile.status();
  const std::span<const GpuOutput> outputs = plan.Outputs(unit);
  const uint32_t count = CountExactPlaces(request.slices);
  if (builders.size() != 1 || outputs.size() != count) {
    return InvalidArgumentError(CatMessage(
        "gpu: ", builders.size(), " frames are wanted of a unit with ",
        outputs.size(), " streams, it is 1 with ", count));
  }
  builders[0]->Start(ExactFrameInfo(on_host, *profile), count);
  Status status;
  size_t index = 0;
  ForEachExactPlace(request.slices, [&](const ExactStreamPlace& place) {
    const GpuOutput& output = outputs[index++];
    if (!status.ok()) return;
    status =
        AddSection(output, ExactSectionOf(request.slices, place), builders[0]);
  });
  return status;
}

}  // namespace reprise
