#include "codec/vector_encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/limits.h"
#include "codec/float_element.h"
#include "codec/float_rows.h"
#include "codec/vector_simd.h"

namespace reprise {
namespace {

// Slots of the scratch.
enum : uint32_t { kFloats, kCodes, kMasks, kCandidates, kRow };

}  // namespace

VectorFrameEncoder::VectorFrameEncoder(const EncodeRequest& request,
                                       const VectorProfile& profile,
                                       const VectorOptions* options,
                                       CodecScratch* scratch,
                                       FrameBuilder* builder)
    : request_(request),
      profile_(profile),
      options_(options),
      scratch_(scratch),
      builder_(builder),
      token_count_(request.info.token_count),
      lanes_(RoundUpToLanes(token_count_)) {}

template <typename Visit>
void VectorFrameEncoder::ForEachHead(Visit visit) const {
  uint32_t index = 0;
  uint64_t code_row = 0;
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    const VectorPlane* plane = profile_.FindPlane(slice.layer, slice.plane);
    if (plane == nullptr) continue;
    Head head{.slice = &slice,
              .plane = plane,
              .rows = request_.rows[i].data,
              .stride = request_.rows[i].token_stride_bytes};
    for (uint32_t h = 0; h < slice.head_count; ++h) {
      head.head = slice.head_first + h;
      visit(head, index++, code_row);
      code_row += profile_.blocks(*plane);
      head.rows += head.row_bytes();
    }
  }
}

void VectorFrameEncoder::TakeScratch() {
  ForEachHead([&](const Head& head, uint32_t, uint64_t) {
    ++head_count_;
    code_rows_ += profile_.blocks(*head.plane);
    max_dim_ = std::max(max_dim_, head.plane->dim);
  });
  const uint64_t head_floats = uint64_t{max_dim_} * lanes_;
  constexpr uint64_t kBookFloats = kVectorMaxCentroids * (kVectorMaxBlock + 1);
  exact_ = reinterpret_cast<float*>(
      scratch_->Get(kFloats, (2 * head_floats + kBookFloats) * sizeof(float)));
  values_ = exact_ + head_floats;
  wide_ = values_ + head_floats;
  codes_ = scratch_->Get(kCodes, code_rows_ * lanes_);
  raw_ = reinterpret_cast<TokenMask*>(
      scratch_->Get(kMasks, head_count_ * sizeof(TokenMask)));
  row_ = scratch_->Get(kRow, max_dim_ * (1 + sizeof(float)));
  if (options_ == nullptr) return;
  candidates_ = reinterpret_cast<Candidate*>(scratch_->Get(
      kCandidates, uint64_t{head_count_} * token_count_ * sizeof(Candidate)));
}

void VectorFrameEncoder::Run() {
  FrameInfo info = request_.info;
  info.codec = profile_.codec();
  info.profile = profile_.id();
  info.raw_bytes = RawBytesOf(request_.slices, token_count_);
  const PlaneSlice* first = nullptr;
  uint32_t raw_planes = 0;
  for (const PlaneSlice& slice : request_.slices) {
    if (profile_.FindPlane(slice.layer, slice.plane) == nullptr) {
      ++raw_planes;
    } else if (first == nullptr) {
      first = &slice;
    }
  }
  builder_->Start(info, raw_planes + (first != nullptr ? 1 : 0));
  if (first != nullptr) WriteCodes(*first);
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (profile_.FindPlane(slice.layer, slice.plane) != nullptr) continue;
    WritePlane(slice, request_.rows[i]);
  }
}

void VectorFrameEncoder::LoadBook(const Head& head, uint32_t block,
                                  uint32_t width) {
  const VectorProfile::Book book = profile_.book(*head.plane, head.head, block);
  if (book_.centroids == book.centroids && book_.width == width) return;
  book_ = {book.centroids, width, book.half_norms};
  const uint32_t count = profile_.parts().shape.centroids;
  if (width == book.stored_width) {
    LoadFloats(DType::kF16, book.centroids, count * width, wide_);
    return;
  }
  // The shorter block at the end of a head, by the first components.
  for (uint32_t c = 0; c < count; ++c) {
    LoadFloatsScalar(DType::kF16,
                     book.centroids + 2 * uint64_t{c} * book.stored_width,
                     width, wide_ + uint64_t{c} * width);
  }
  float* half_norms = wide_ + kVectorMaxCentroids * kVectorMaxBlock;
  VectorHalfNorms(wide_, count, width, half_norms);
  book_.half_norms = half_norms;
}

TokenMask VectorFrameEncoder::LoadHead(const Head& head) {
  const uint32_t dim = head.plane->dim;
  const float scale = 1.0f / profile_.norm(*head.plane, head.head);
  std::fill(values_, values_ + uint64_t{dim} * lanes_, 0.0f);
  TokenMask raw = 0;
  for (uint32_t t = 0; t < token_count_; ++t) {
    float* exact = exact_ + uint64_t{t} * dim;
    LoadFloats(head.plane->dtype, head.rows + t * head.stride, dim, exact);
    // Infinite or NaN as soon as one of the terms is.
    float sum = 0;
    for (uint32_t i = 0; i < dim; ++i) {
      const float value = exact[i] * scale;
      values_[uint64_t{i} * lanes_ + t] = value;
      sum += std::fabs(value);
    }
    if (!std::isfinite(sum)) raw |= TokenMask{1} << t;
  }
  return raw;
}

void VectorFrameEncoder::EncodeHead(const Head& head, uint8_t* codes) {
  const VectorShape& shape = profile_.parts().shape;
  for (uint32_t b = 0; b < profile_.blocks(*head.plane); ++b) {
    const uint32_t width = profile_.parts().width(head.plane->dim, b);
    LoadBook(head, b, width);
    VectorNearest({.centroids = wide_,
                   .half_norms = book_.half_norms,
                   .centroid_count = shape.centroids,
                   .width = width,
                   .values = values_ + uint64_t{b} * shape.block * lanes_,
                   .value_stride = lanes_,
                   .count = token_count_},
                  codes + uint64_t{b} * lanes_);
  }
}

const uint8_t* VectorFrameEncoder::CodesOf(const uint8_t* codes,
                                           uint32_t blocks,
                                           uint32_t token) const {
  for (uint32_t b = 0; b < blocks; ++b) {
    row_[b] = codes[uint64_t{b} * lanes_ + token];
  }
  return row_;
}

void VectorFrameEncoder::MeasureHead(const Head& head, uint32_t head_index,
                                     const uint8_t* codes) {
  const uint32_t dim = head.plane->dim;
  const VectorTable table = profile_.table(*head.plane, head.head);
  uint8_t* const decoded = row_ + max_dim_;
  for (uint32_t t = 0; t < token_count_; ++t) {
    if (raw_[head_index] >> t & 1) continue;
    VectorDecodeRow(table, CodesOf(codes, table.blocks(), t), decoded);
    // The values of the search have been used.
    LoadFloats(head.plane->dtype, decoded, dim, values_);
    const VectorError error =
        VectorRowError(exact_ + uint64_t{t} * dim, values_, dim);
    candidates_[candidate_count_++] = {error.relative(), head_index, t};
  }
}

// The worst share of a plane, or what is above the threshold. Each plane gives
// up its own: values are always quantised worse than keys, and a share of all
// together would go to them, while it is the keys that the model notices.
void VectorFrameEncoder::ChooseRaw(uint32_t heads) {
  uint64_t wanted = 0;
  Candidate* const end = candidates_ + candidate_count_;
  if (options_->threshold()) {
    const double threshold = *options_->threshold();
    Candidate* const above =
        std::partition(candidates_, end, [&](const Candidate& candidate) {
          return candidate.error > threshold;
        });
    wanted = static_cast<uint64_t>(above - candidates_);
  } else {
    const uint64_t all = uint64_t{heads} * token_count_;
    const auto share = static_cast<uint64_t>(
        options_->worst() * static_cast<double>(all) + 0.5);
    // Those that are raw anyway count.
    const uint64_t already = all - candidate_count_;
    wanted = share > already
                 ? std::min<uint64_t>(share - already, candidate_count_)
                 : 0;
    std::nth_element(candidates_, candidates_ + wanted, end,
                     [](const Candidate& a, const Candidate& b) {
                       if (a.error != b.error) return a.error > b.error;
                       if (a.head_index != b.head_index) {
                         return a.head_index < b.head_index;
                       }
                       return a.token < b.token;
                     });
  }
  for (uint64_t i = 0; i < wanted; ++i) {
    raw_[candidates_[i].head_index] |= TokenMask{1} << candidates_[i].token;
  }
  candidate_count_ = 0;
}

void VectorFrameEncoder::FindCodes() {
  const uint32_t sinks = profile_.parts().shape.sinks;
  const TokenMask first_tokens =
      request_.info.first_token == 0
          ? FirstTokens(std::min(sinks, token_count_))
          : 0;
  const bool may_fall_back =
      options_ != nullptr &&
      (options_->worst() > 0 || options_->threshold().has_value());
  ForEachHead([&](const Head& head, uint32_t index, uint64_t code_row) {
    uint8_t* codes = codes_ + code_row * lanes_;
    raw_[index] = first_tokens | LoadHead(head);
    EncodeHead(head, codes);
    if (!may_fall_back) return;
    MeasureHead(head, index, codes);
    const uint32_t heads = head.slice->head_count;
    const bool is_last = head.head + 1 == head.slice->head_first + heads;
    if (is_last) ChooseRaw(heads);
  });
}

void VectorFrameEncoder::WriteHead(const Head& head, TokenMask raw,
                                   const uint8_t* codes, uint8_t** code_out,
                                   uint8_t** raw_out) {
  const uint32_t blocks = profile_.blocks(*head.plane);
  for (uint32_t t = 0; t < token_count_; ++t) {
    if (raw >> t & 1) {
      std::memcpy(*raw_out, head.rows + t * head.stride, head.row_bytes());
      *raw_out += head.row_bytes();
    } else {
      PackCodes(CodesOf(codes, blocks, t), blocks, profile_.code_bits(),
                *code_out);
      *code_out += profile_.code_bytes(*head.plane);
    }
  }
}

void VectorFrameEncoder::WriteCodes(const PlaneSlice& first_slice) {
  TakeScratch();
  FindCodes();
  VectorParts parts;
  ForEachHead([&](const Head& head, uint32_t index, uint64_t) {
    parts.Add(profile_, *head.plane, token_count_, raw_[index]);
  });
  const uint32_t mask_bytes = VectorMaskBytes(token_count_);
  const bool has_masks = parts.raw_token_heads > 0;
  if (has_masks) parts.mask_bytes = uint64_t{head_count_} * mask_bytes;
  const MutableByteView room = builder_->BeginSection(parts.bytes());
  std::fill(room.begin(), room.end(), uint8_t{0});
  uint8_t* mask_out = room.data();
  uint8_t* code_out = room.data() + parts.codes_at();
  uint8_t* raw_out = room.data() + parts.raw_at();
  ForEachHead([&](const Head& head, uint32_t index, uint64_t code_row) {
    if (has_masks) std::memcpy(mask_out, &raw_[index], mask_bytes);
    mask_out += mask_bytes;
    WriteHead(head, raw_[index], codes_ + code_row * lanes_, &code_out,
              &raw_out);
  });
  FrameSection section = VectorSectionOf(first_slice);
  section.mode = static_cast<uint8_t>(has_masks ? VectorMode::kCodesAndRaw
                                                : VectorMode::kCodes);
  section.words = parts.raw_token_heads;
  builder_->EndSection(section, parts.bytes());
}

void VectorFrameEncoder::WritePlane(const PlaneSlice& slice,
                                    const ConstPlaneRows& rows) {
  const uint64_t row_bytes = slice.token_bytes();
  const MutableByteView room = builder_->BeginSection(row_bytes * token_count_);
  for (uint32_t t = 0; t < token_count_; ++t) {
    std::memcpy(room.data() + t * row_bytes,
                rows.data + t * rows.token_stride_bytes, row_bytes);
  }
  FrameSection section = VectorSectionOf(slice);
  section.mode = static_cast<uint8_t>(VectorMode::kPlane);
  builder_->EndSection(section, room.size());
}

}  // namespace reprise
