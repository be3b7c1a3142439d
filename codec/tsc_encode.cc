#include "codec/tsc_encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "codec/message.h"
#include "codec/tsc_simd.h"

namespace reprise {
namespace {

// Deltas and references beyond these are not coded: scales must fit f16, and
// no sum of a reference and a delta may round to infinity.
float DeltaLimit(DType dtype) {
  return dtype == DType::kF16 ? 0x1p14f : 0x1p18f;
}
float ReferenceLimit(DType dtype) {
  return dtype == DType::kF16 ? 0x1p15f : 0x1p126f;
}

// The largest of some magnitudes; not finite if one of them is not.
float LargestOf(const float* values, uint32_t count) {
  float largest = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!(values[i] <= largest)) largest = values[i];
    if (std::isnan(largest)) break;
  }
  return largest;
}

// Deltas of so few channels may take more bytes than the values.
bool CostsMoreThanRaw(const TscShape& shape) {
  return shape.row_code_bytes() + 2 * uint64_t{shape.heads} >=
         shape.row_bytes();
}

// Above it a row falls back.
float MaxDeltaOf(const TscChoices& choices, const PlaneSlice& slice) {
  const TscOptions& options = *choices.options;
  if (options.max_delta_error.has_value()) {
    const int32_t max_code = TscShapeOf(slice, options.bits).max_code();
    return static_cast<float>(*options.max_delta_error * (2 * max_code));
  }
  const TscPlane* plane = choices.profile == nullptr
                              ? nullptr
                              : choices.profile->Find(slice.layer, slice.plane);
  return plane == nullptr ? std::numeric_limits<float>::infinity()
                          : plane->max_delta;
}

// The defaults for null; the codec's own class is told by its id.
Result<const TscOptions*> OwnOptions(const CodecOptions* options) {
  static const TscOptions& defaults = *new TscOptions;
  if (options == nullptr) return &defaults;
  if (options->codec() != CodecId::kTsc) {
    return InvalidArgumentError(CatMessage("tsc: the options are of codec ",
                                           CodecIdName(options->codec())));
  }
  return static_cast<const TscOptions*>(options);
}

Result<const TscProfile*> OwnProfile(const CodecProfile* profile) {
  if (profile == nullptr) return static_cast<const TscProfile*>(nullptr);
  if (profile->codec() != CodecId::kTsc) {
    return FailedPreconditionError(CatMessage("tsc: the profile is of codec ",
                                              CodecIdName(profile->codec())));
  }
  return static_cast<const TscProfile*>(profile);
}

}  // namespace

Result<TscChoices> CheckTscChoices(const EncodeRequest& request) {
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage("tsc: stage is ", request.info.stage, ", 0 is wanted"));
  }
  TscChoices choices;
  REPRISE_ASSIGN_OR_RETURN(choices.options, OwnOptions(request.options));
  REPRISE_ASSIGN_OR_RETURN(choices.profile, OwnProfile(request.profile));
  if (choices.profile != nullptr) {
    REPRISE_RETURN_IF_ERROR(choices.profile->CheckShape(request.slices));
  }
  return choices;
}

TscSlicePlan PlanTscSlice(const EncodeRequest& request,
                          const TscChoices& choices, const PlaneSlice& slice) {
  TscSlicePlan plan;
  plan.shape = TscShapeOf(slice, choices.options->bits);
  plan.header.kept = request.kept & FirstTokens(request.info.token_count);
  plan.header.kappa = choices.options->kappa;
  plan.header.page = choices.options->page;
  const DType dtype = plan.shape.dtype;
  plan.is_raw = TscIsRawOnly(dtype) || CostsMoreThanRaw(plan.shape);
  plan.delta_limit = std::min(MaxDeltaOf(choices, slice), DeltaLimit(dtype));
  plan.reference_limit = ReferenceLimit(dtype);
  return plan;
}

FrameSection TscSectionOf(const PlaneSlice& slice, const TscHeader& header,
                          uint32_t bits) {
  return {.layer = slice.layer,
          .plane = slice.plane,
          .mode = static_cast<uint8_t>(bits),
          .channel_first = slice.channel_first(),
          .channel_count = slice.channels(),
          .words = header.fallbacks()};
}

FrameInfo TscInfoOf(const EncodeRequest& request, const TscChoices& choices) {
  FrameInfo info = request.info;
  info.codec = CodecId::kTsc;
  info.profile =
      choices.profile == nullptr ? ProfileId() : choices.profile->id();
  info.raw_bytes = RawBytesOf(request.slices, info.token_count);
  return info;
}

void TscFrameEncoder::Sort(Work* work) const {
  const TscShape& shape = work->shape;
  TscHeader& header = work->header;
  if (work->plan.is_raw) {
    header.raw = header.kept;
    return;
  }
  const uint8_t* reference = nullptr;
  bool is_reference_coded = false;
  float* largest = work->largest;
  for (TokenMask left = header.kept; left != 0; left &= left - 1) {
    const TokenMask bit = left & ~(left - 1);
    const auto token = static_cast<uint32_t>(std::countr_zero(left));
    const uint8_t* const row = work->Row(token);
    const bool scheduled = (header.reference & header.IntervalOf(token)) == 0;
    if (!scheduled && is_reference_coded) {
      TscLargest(shape, row, reference, largest);
      if (LargestOf(largest, shape.heads) <= work->plan.delta_limit) {
        largest += shape.heads;
        continue;
      }
    }
    header.raw |= bit;
    TscLargest(shape, row, nullptr, largest);
    const float size = LargestOf(largest, shape.heads);
    if (!std::isfinite(size)) continue;  // nothing can lean on it
    header.reference |= bit;
    reference = row;
    is_reference_coded = size <= work->plan.reference_limit;
  }
}

void TscFrameEncoder::StoreRaw(const Work& work, uint8_t* out) const {
  const uint64_t row_bytes = work.shape.row_bytes();
  for (TokenMask left = work.header.raw; left != 0; left &= left - 1) {
    const auto token = static_cast<uint32_t>(std::countr_zero(left));
    std::memcpy(out, work.Row(token), row_bytes);
    out += row_bytes;
  }
}

void TscFrameEncoder::StoreScales(const Work& work, uint64_t count,
                                  uint8_t* out) const {
  const uint32_t heads = work.shape.heads;
  float* const largest = work.largest;
  // The largest of each page, in place of those of heads and tokens.
  if (work.header.page == TscPage::kSegment) {
    const auto deltas =
        static_cast<uint64_t>(std::popcount(work.header.deltas()));
    for (uint64_t i = heads; i < deltas * heads; ++i) {
      largest[i % heads] = std::max(largest[i % heads], largest[i]);
    }
  } else if (work.header.page == TscPage::kLayer) {
    for (uint64_t i = 0; i < count; ++i) {
      largest[i] = LargestOf(largest + i * heads, heads);
    }
  }
  TscScales(largest, count, work.shape.max_code(), out);
}

void TscFrameEncoder::StoreCodes(const Work& work, const uint8_t* stored_scales,
                                 uint8_t* out) const {
  const uint8_t* reference = nullptr;
  uint64_t index = 0;
  for (TokenMask left = work.header.kept; left != 0; left &= left - 1) {
    const TokenMask bit = left & ~(left - 1);
    const uint8_t* const row =
        work.Row(static_cast<uint32_t>(std::countr_zero(left)));
    if ((work.header.raw & bit) != 0) {
      if ((work.header.reference & bit) != 0) reference = row;
      continue;
    }
    LoadTscScales(work.header.page, stored_scales, index, work.shape.heads,
                  work.scales);
    TscEncode(work.shape, row, reference, work.scales, out);
    out += work.shape.row_code_bytes();
    ++index;
  }
}

void TscFrameEncoder::AddSlice(size_t index) {
  const PlaneSlice& slice = request_.slices[index];
  const uint32_t token_count = request_.info.token_count;
  Work work;
  work.plan = PlanTscSlice(request_, choices_, slice);
  work.shape = work.plan.shape;
  work.header = work.plan.header;
  work.rows = request_.rows[index];
  const uint64_t heads = work.shape.heads;
  work.largest = reinterpret_cast<float*>(
      scratch_->Get(0, (token_count + 1) * heads * sizeof(float)));
  work.scales =
      reinterpret_cast<float*>(scratch_->Get(1, heads * sizeof(float)));
  Sort(&work);

  const TscLayout layout = LayOutTsc(work.header, work.shape);
  uint8_t* const out = builder_->BeginSection(layout.end).data();
  StoreTscHeader(work.header, out);
  const auto raw_rows = static_cast<uint64_t>(std::popcount(work.header.raw));
  const uint64_t raw_end = layout.raw + raw_rows * work.shape.row_bytes();
  const uint64_t scales_end = layout.scales + 2 * layout.scale_count;
  std::memset(out + raw_end, 0, layout.scales - raw_end);
  std::memset(out + scales_end, 0, layout.codes - scales_end);
  StoreRaw(work, out + layout.raw);
  StoreScales(work, layout.scale_count, out + layout.scales);
  StoreCodes(work, out + layout.scales, out + layout.codes);
  builder_->EndSection(TscSectionOf(slice, work.header, work.shape.bits),
                       layout.end);
}

void TscFrameEncoder::Run() {
  builder_->Start(TscInfoOf(request_, choices_),
                  static_cast<uint32_t>(request_.slices.size()));
  for (size_t i = 0; i < request_.slices.size(); ++i) AddSlice(i);
}

}  // namespace reprise
