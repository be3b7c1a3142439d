#include "gpu/klt_gpu_codec.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "codec/klt_frames.h"
#include "gpu/copy_rows_kernel.h"
#include "gpu/klt_gpu_profile.h"

namespace reprise {
namespace {

static_assert(kKltGpuStages == kMaxStages && kKltGpuSlots == kKltSlots &&
              kKltGpuSymbols >= kKltMagnitudes &&
              kKltGpuTables == kKltMaxTables && kKltGpuContexts > kKltContexts);
static_assert(KltEntropyKernel::kStatesAt == kKltStatesOffset &&
              KltEntropyKernel::kWordsAt == kKltWordsOffset &&
              KltEntropyKernel::kLowState == kKltLowState &&
              KltEntropyKernel::kEscape == kKltEscape &&
              KltEntropyKernel::kMaxMagnitude == kKltMaxCoefficient &&
              KltEntropyKernel::kMaxSum == kKltMaxSum);
static_assert(kKltTileRow == kKltRow &&
              kKltMarkWords * 32 * kKltTileRow == kKltMaxChannels);

// Strips that one task of the inverse takes.
constexpr uint32_t kTaskStrips = 4;

// One request on its way into a plan.
class Planner {
 public:
  Planner(const GpuDecodeRequest& request, const KltFrames& checked,
          uint32_t unit, DecodePlan* plan)
      : request_(request),
        checked_(checked),
        profile_(static_cast<const KltGpuProfile&>(*request.profile)),
        unit_(unit),
        plan_(plan),
        first_group_(static_cast<size_t>(checked.groups.data() -
                                         profile_.klt().groups().data())) {}

  Status Run();

 private:
  const KltGpuProfile::Group& GroupOf(size_t index) const {
    return profile_.groups()[first_group_ + index];
  }
  KltTiles TilesOf(size_t group) const {
    return {.token_tiles = KltTokenTiles(request_.token_count),
            .rows = GroupOf(group).rows};
  }
  // Tokens to be written that are not raw.
  TokenMask WrittenTokens() const {
    return FirstTokens(request_.token_count) & ~checked_.raw;
  }

  Status AddRows();
  Status AddScratch();
  Status AddEntropy();
  Status AddInverse(size_t group, size_t plane, uint32_t rows_index,
                    const PlaneSlice& slice);
  Status AddInverses();
  Status AddRawTokens();
  Status AddPlanes();
  bool IsCoded(const PlaneSlice& slice) const {
    return profile_.klt().FindPlane(slice.layer, slice.plane) != nullptr;
  }

  const GpuDecodeRequest& request_;
  const KltFrames& checked_;
  const KltGpuProfile& profile_;
  const uint32_t unit_;
  DecodePlan* const plan_;
  const size_t first_group_;

  std::vector<uint32_t> coded_;         // indexes of slices
  std::vector<uint32_t> rows_;          // by slice, in the plan
  std::vector<uint8_t*> coefficients_;  // by group, null: not wanted
  const KltGpuTurn* turns_ = nullptr;
};

Status Planner::AddRows() {
  rows_.resize(request_.slices.size());
  for (uint32_t i = 0; i < request_.slices.size(); ++i) {
    if (IsCoded(request_.slices[i])) coded_.push_back(i);
    if (request_.rows[i].base == nullptr) continue;
    REPRISE_ASSIGN_OR_RETURN(rows_[i], plan_->AddRows(request_.rows[i]));
  }
  return Status();
}

Status Planner::AddScratch() {
  size_t at = 0;
  for (size_t g = 0; g < checked_.groups.size(); ++g) {
    const size_t end = at + checked_.groups[g].planes.size();
    bool is_wanted = false;
    for (; at < end; ++at) {
      is_wanted = is_wanted || request_.rows[coded_[at]].base != nullptr;
    }
    uint8_t* memory = nullptr;
    if (is_wanted && WrittenTokens() != 0) {
      REPRISE_ASSIGN_OR_RETURN(memory, plan_->AddScratch(TilesOf(g).bytes()));
    }
    coefficients_.push_back(memory);
  }
  return Status();
}

Status Planner::AddEntropy() {
  const KltProfile& profile = profile_.klt();
  const FrameInfo& info = request_.frames[0]->info;
  const ByteView bytes(reinterpret_cast<const uint8_t*>(coefficients_.data()),
                       coefficients_.size() * sizeof(uint8_t*));
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* coefficients,
                           plan_->AddConstants(bytes));
  KltEntropyTask task{
      .stage_count = static_cast<uint32_t>(request_.frames.size()),
      .group_count = static_cast<uint32_t>(checked_.groups.size()),
      .groups = profile_.entropy_groups() + first_group_,
      .coefficients = reinterpret_cast<uint8_t* const*>(coefficients),
      .tables = profile_.tables(),
      .refining = profile_.refining(),
      .tokens = FirstTokens(info.token_count) & ~checked_.raw,
      .step = profile.parts().step,
      .lo0 = profile.tables().lo0,
      .lo1 = profile.tables().lo1,
      .last_magnitudes = profile.tables().n0 - 1,
      .last_refining = profile.tables().n1 - 1,
      .token_count = info.token_count,
      .wanted_tokens = request_.token_count,
      .first_exponent = checked_.shift - kKltMeanExponent,
      .unit = unit_};
  for (size_t k = 0; k < request_.frames.size(); ++k) {
    const FrameSection& section = request_.frames[k]->sections[0];
    task.stages[k] = {
        .section = DeviceSection(request_, k, section),
        .words = section.words,
        .sign_bytes = section.bytes -
                      static_cast<uint32_t>(KltSignsOffset(section.words))};
  }
  return plan_->Add<KltEntropyKernel>(task);
}

Status Planner::AddInverse(size_t group, size_t plane, uint32_t rows_index,
                           const PlaneSlice& slice) {
  const KltGpuProfile::Group& of = GroupOf(group);
  const KltGpuProfile::Plane& place = of.planes[plane];
  const GpuRows& rows = request_.rows[rows_index];
  for (uint32_t at = 0; at < place.strips(); at += kTaskStrips) {
    const uint32_t end = std::min(at + kTaskStrips, place.strips());
    const uint32_t first_head = place.strip_heads[at].first;
    const uint32_t last_head = place.strip_heads[end - 1].second;
    if (last_head < rows.head_first ||
        first_head >= rows.head_first + rows.head_count) {
      continue;
    }
    const uint64_t strip = place.first_strip + at;
    REPRISE_RETURN_IF_ERROR(plan_->Add<KltInverseKernel>(
        {.coefficients = coefficients_[group],
         .hi = of.hi + strip * of.rows * kKltStripBytes,
         .lo = of.lo + strip * of.lead_rows * kKltStripBytes,
         .quads = of.quads + strip * kKltQuads,
         .turns = turns_,
         .tokens = WrittenTokens(),
         .rows_index = rows_[rows_index],
         .strips = end - at,
         .rows = of.rows,
         .lead_rows = of.lead_rows,
         .turn_pairs =
             static_cast<uint32_t>(profile_.klt().parts().turns.size()),
         .token_tiles = KltTokenTiles(request_.token_count),
         .dtype = slice.spec->dtype,
         .unit = unit_}));
  }
  return Status();
}

Status Planner::AddInverses() {
  size_t at = 0;
  for (size_t g = 0; g < checked_.groups.size(); ++g) {
    for (size_t p = 0; p < checked_.groups[g].planes.size(); ++p) {
      const uint32_t index = coded_[at++];
      if (coefficients_[g] == nullptr) continue;
      if (request_.rows[index].base == nullptr) continue;
      REPRISE_RETURN_IF_ERROR(AddInverse(g, p, index, request_.slices[index]));
    }
  }
  return Status();
}

Status Planner::AddRawTokens() {
  if (checked_.raw == 0) return Status();
  const uint8_t* from =
      DeviceSection(request_, 0, request_.frames[0]->sections[1]) +
      sizeof(TokenMask);
  const auto tokens = static_cast<uint64_t>(std::popcount(checked_.raw));
  for (const uint32_t i : coded_) {
    const PlaneSlice& slice = request_.slices[i];
    if (request_.rows[i].base != nullptr) {
      REPRISE_RETURN_IF_ERROR(
          plan_->Add<CopyRowsKernel>({.from = from,
                                      .from_stride = slice.token_bytes(),
                                      .tokens = checked_.raw,
                                      .rows = rows_[i],
                                      .channel_first = 0,
                                      .channel_count = slice.channels()}));
    }
    from += tokens * slice.token_bytes();
  }
  return Status();
}

Status Planner::AddPlanes() {
  const FrameView& frame = *request_.frames[0];
  size_t index = checked_.first_plane_section;
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (IsCoded(slice)) continue;
    const FrameSection& section = frame.sections[index++];
    if (request_.rows[i].base == nullptr) continue;
    REPRISE_RETURN_IF_ERROR(plan_->Add<CopyRowsKernel>(
        {.from = DeviceSection(request_, 0, section),
         .from_stride = slice.token_bytes(),
         .tokens = FirstTokens(frame.info.token_count),
         .rows = rows_[i],
         .channel_first = 0,
         .channel_count = slice.channels()}));
  }
  return Status();
}

Status Planner::Run() {
  REPRISE_RETURN_IF_ERROR(AddRows());
  REPRISE_RETURN_IF_ERROR(AddScratch());
  REPRISE_RETURN_IF_ERROR(AddEntropy());
  REPRISE_ASSIGN_OR_RETURN(
      turns_, KltTurnsFor(profile_, request_.frames[0]->info.first_token,
                          request_.token_count, plan_));
  REPRISE_RETURN_IF_ERROR(AddInverses());
  REPRISE_RETURN_IF_ERROR(AddRawTokens());
  return AddPlanes();
}

}  // namespace

Result<std::shared_ptr<const GpuProfile>> KltGpuCodec::Upload(
    std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
    std::shared_ptr<Device> device) const {
  REPRISE_ASSIGN_OR_RETURN(
      std::shared_ptr<const GpuProfile> made,
      KltGpuProfile::Make(std::move(profile), max_tokens, std::move(device)));
  return made;
}

Status KltGpuCodec::AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                             DecodePlan* plan) const {
  REPRISE_RETURN_IF_ERROR(CheckKltStages(request.frames));
  // The profile of a device is of the codec that its profile is of.
  const CodecProfile* const profile =
      request.profile == nullptr ? nullptr : &request.profile->profile();
  REPRISE_ASSIGN_OR_RETURN(
      const KltFrames checked,
      CheckKltFrames(request.frames, request.slices, profile));
  return Planner(request, checked, unit, plan).Run();
}

}  // namespace reprise
