#include "codec/tsc_encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

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

}  // namespace

float TscFrameEncoder::MaxDeltaOf(const PlaneSlice& slice) const {
  if (options_.max_delta_error.has_value()) {
    const int32_t max_code = TscShapeOf(slice, options_.bits).max_code();
    return static_cast<float>(*options_.max_delta_error * (2 * max_code));
  }
  const TscPlane* plane =
      profile_ == nullptr ? nullptr : profile_->Find(slice.layer, slice.plane);
  return plane == nullptr ? std::numeric_limits<float>::infinity()
                          : plane->max_delta;
}

void TscFrameEncoder::Sort(Work* work) const {
  const TscShape& shape = work->shape;
  TscHeader& header = work->header;
  if (TscIsRawOnly(shape.dtype) || CostsMoreThanRaw(shape)) {
    header.raw = header.kept;
    return;
  }
  const float delta_limit = std::min(work->max_delta, DeltaLimit(shape.dtype));
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
      if (LargestOf(largest, shape.heads) <= delta_limit) {
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
    is_reference_coded = size <= ReferenceLimit(shape.dtype);
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
  work.shape = TscShapeOf(slice, options_.bits);
  work.header.kept = request_.kept & FirstTokens(token_count);
  work.header.kappa = options_.kappa;
  work.header.page = options_.page;
  work.rows = request_.rows[index];
  work.max_delta = MaxDeltaOf(slice);
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
  builder_->EndSection({.layer = slice.layer,
                        .plane = slice.plane,
                        .mode = static_cast<uint8_t>(options_.bits),
                        .channel_first = slice.channel_first(),
                        .channel_count = slice.channels(),
                        .words = work.header.fallbacks()},
                       layout.end);
}

void TscFrameEncoder::Run() {
  FrameInfo info = request_.info;
  info.codec = CodecId::kTsc;
  info.profile = profile_ == nullptr ? ProfileId() : profile_->id();
  info.raw_bytes = RawBytesOf(request_.slices, info.token_count);
  builder_->Start(info, static_cast<uint32_t>(request_.slices.size()));
  for (size_t i = 0; i < request_.slices.size(); ++i) AddSlice(i);
}

}  // namespace reprise
