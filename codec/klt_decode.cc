#include "codec/klt_decode.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/limits.h"
#include "codec/float_rows.h"
#include "codec/klt_entropy_simd.h"
#include "codec/klt_rows.h"
#include "codec/klt_transform_simd.h"
#include "codec/klt_turn.h"
#include "codec/message.h"

namespace reprise {
namespace {

Status Damaged(std::string_view what, uint64_t is, uint64_t wanted) {
  return DataLossError(
      CatMessage("klt: ", what, " is ", is, ", wanted is ", wanted));
}

class FrameDecoder {
 public:
  FrameDecoder(std::span<const FrameView* const> frames,
               const DecodeRequest& request, const KltProfile& profile,
               std::span<const KltGroup> groups, KltWork* work)
      : frames_(frames),
        request_(request),
        profile_(profile),
        groups_(groups),
        work_(work),
        tokens_(frames[0]->info.token_count) {}

  Status Run();

 private:
  void FindCoded();
  Status CheckSections();
  Status CheckSection(const FrameView& frame, size_t index,
                      const FrameSection& wanted) const;
  Status CheckRawTokens(const FrameSection& section);
  // Checks the head of a stage's section and gets its decoder ready.
  Status OpenStream(uint32_t stage);

  Status DecodeGroup(const KltGroup& group, uint32_t first_coded);
  Status DecodeCoefficients(const KltGroup& group);
  bool IsWanted(const KltGroup& group, uint32_t first_coded) const;
  void StoreGroup(const KltGroup& group, uint32_t first_coded);
  void CopyRawTokens() const;
  void CopyPlanes() const;

  int ExponentOf(uint32_t token) const {
    return work_->o[token] - kKltMeanExponent + shift_;
  }
  bool IsRaw(uint32_t token) const { return raw_ >> token & 1; }

  std::span<const FrameView* const> frames_;
  const DecodeRequest& request_;
  const KltProfile& profile_;
  std::span<const KltGroup> groups_;
  KltWork* work_;
  uint32_t tokens_;

  int shift_ = 0;
  TokenMask raw_ = 0;
  const uint8_t* raw_rows_ = nullptr;
  size_t first_plane_section_ = 1;
  KltDecoder decoders_[kMaxStages];
};

void FrameDecoder::FindCoded() {
  work_->coded.clear();
  for (uint32_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (profile_.FindPlane(slice.layer, slice.plane) == nullptr) continue;
    work_->coded.push_back(i);
  }
}

Status FrameDecoder::CheckSection(const FrameView& frame, size_t index,
                                  const FrameSection& wanted) const {
  const FrameSection& section = frame.sections[index];
  if (section.layer == wanted.layer && section.plane == wanted.plane &&
      section.mode == wanted.mode &&
      section.channel_first == wanted.channel_first &&
      section.channel_count == wanted.channel_count) {
    return Status();
  }
  return DataLossError(CatMessage(
      "klt: stage ", frame.info.stage, " section ", index, " is of layer ",
      section.layer, " plane ", section.plane, " mode ", section.mode, ", ",
      section.channel_count, " channels from ", section.channel_first,
      " on; wanted are layer ", wanted.layer, " plane ", wanted.plane, " mode ",
      wanted.mode, ", ", wanted.channel_count, " from ", wanted.channel_first,
      " on"));
}

Status FrameDecoder::CheckSections() {
  const PlaneSlice& first = request_.slices[0];
  const FrameView& base = *frames_[0];
  const size_t uncoded = request_.slices.size() - work_->coded.size();
  const bool has_raw = base.sections.size() == 2 + uncoded;
  first_plane_section_ = has_raw ? 2 : 1;
  for (const FrameView* frame : frames_) {
    const size_t wanted = frame == &base ? first_plane_section_ + uncoded : 1;
    if (frame->sections.size() != wanted) {
      return Damaged("number of sections", frame->sections.size(), wanted);
    }
    REPRISE_RETURN_IF_ERROR(CheckSection(
        *frame, 0, KltSectionOf(first, KltMode::kCoefficients, 0)));
  }
  if (has_raw) {
    REPRISE_RETURN_IF_ERROR(
        CheckSection(base, 1, KltSectionOf(first, KltMode::kRawTokens, 0)));
    REPRISE_RETURN_IF_ERROR(CheckRawTokens(base.sections[1]));
  }
  size_t index = first_plane_section_;
  for (const PlaneSlice& slice : request_.slices) {
    if (profile_.FindPlane(slice.layer, slice.plane) != nullptr) continue;
    REPRISE_RETURN_IF_ERROR(
        CheckSection(base, index, KltPlaneSectionOf(slice)));
    const FrameSection& section = base.sections[index++];
    if (section.bytes != slice.token_bytes() * tokens_) {
      return Damaged("size of a plane", section.bytes,
                     slice.token_bytes() * tokens_);
    }
    if (section.words != 0) return Damaged("words", section.words, 0);
  }
  return Status();
}

Status FrameDecoder::CheckRawTokens(const FrameSection& section) {
  if (work_->coded.empty()) {
    return DataLossError("klt: raw tokens of a frame without coded slices");
  }
  if (section.words != 0) return Damaged("words", section.words, 0);
  if (section.bytes < sizeof(TokenMask)) {
    return Damaged("size of the raw tokens", section.bytes, sizeof(TokenMask));
  }
  const uint8_t* const bytes = frames_[0]->Section(section).data();
  raw_ = LoadLe<TokenMask>(bytes);
  raw_rows_ = bytes + sizeof(TokenMask);
  if (raw_ == 0 || (raw_ & ~FirstTokens(tokens_)) != 0) {
    return DataLossError(CatMessage(
        "klt: the mask of raw tokens names ", std::popcount(raw_),
        ", up to token ", 63 - std::countl_zero(raw_ | 1), " of ", tokens_));
  }
  uint64_t token_bytes = 0;
  for (const uint32_t i : work_->coded) {
    token_bytes += request_.slices[i].token_bytes();
  }
  const uint64_t wanted =
      sizeof(TokenMask) +
      token_bytes * static_cast<uint64_t>(std::popcount(raw_));
  if (section.bytes == wanted) return Status();
  return Damaged("size of the raw tokens", section.bytes, wanted);
}

Status FrameDecoder::OpenStream(uint32_t stage) {
  const FrameSection& section = frames_[stage]->sections[0];
  const ByteView bytes = frames_[stage]->Section(section);
  const uint64_t signs_at = KltSignsOffset(section.words);
  if (bytes.size() < signs_at) {
    return Damaged("size of the coefficients", bytes.size(), signs_at);
  }
  const int shift = static_cast<int8_t>(bytes[0]);
  if (shift < -kKltMaxShift || shift > kKltMaxShift ||
      (stage > 0 && shift != shift_)) {
    return DataLossError(CatMessage("klt: stage ", stage, ": shift is ", shift,
                                    ", that of stage 0 ", shift_));
  }
  shift_ = shift;
  const uint32_t reserved = bytes[1] | bytes[2] | bytes[3];
  if (reserved != 0) return Damaged("reserved byte", reserved, 0);
  const auto parent = LoadLe<uint32_t>(bytes.data() + kKltParentOffset);
  const uint32_t wanted =
      stage == 0
          ? 0
          : static_cast<uint32_t>(frames_[stage - 1]->sections[0].checksum);
  if (parent != wanted) return Damaged("parent", parent, wanted);

  KltDecoder& decoder = decoders_[stage];
  for (uint32_t l = 0; l < kKltLanes; ++l) {
    decoder.x[l] = LoadLe<uint32_t>(bytes.data() + kKltStatesOffset + 4 * l);
    if (decoder.x[l] < kKltLowState) {
      return Damaged("a state", decoder.x[l], kKltLowState);
    }
  }
  const uint64_t words_end = kKltWordsOffset + 2 * uint64_t{section.words};
  for (uint64_t i = words_end; i < signs_at; ++i) {
    if (bytes[i] != 0) return Damaged("byte behind the words", bytes[i], 0);
  }
  const ByteView signs = bytes.subspan(signs_at);
  const uint64_t word_bytes = words_end - kKltWordsOffset;
  uint8_t* const to =
      KltWork::Room(&work_->words[stage], word_bytes + kKltSlackBytes);
  std::memcpy(to, bytes.data() + kKltWordsOffset, word_bytes);
  uint8_t* const signs_to =
      KltWork::Room(&work_->signs[stage], signs.size() + kKltSlackBytes);
  if (!signs.empty()) std::memcpy(signs_to, signs.data(), signs.size());
  decoder.words = to;
  decoder.word_count = section.words;
  decoder.signs = signs_to;
  decoder.sign_count = 8 * signs.size();
  return Status();
}

Status FrameDecoder::DecodeCoefficients(const KltGroup& group) {
  const KltTables& tables = profile_.tables();
  const uint32_t stride = group.transform.padded();
  uint8_t* const o = KltWork::Room(&work_->o, kSegmentTokens);
  bool whole = KltDecodeExponentsScalar(tables, FirstTokens(tokens_) & ~raw_,
                                        &decoders_[0], o);
  int16_t* q = KltWork::Room(&work_->q[0], uint64_t{tokens_} * stride);
  for (uint32_t t = 0; t < tokens_ && whole; ++t, q += stride) {
    std::fill_n(q, stride, int16_t{0});
    if (IsRaw(t)) continue;
    for (uint32_t k = 0; k < frames_.size() && whole; ++k) {
      const KltRows rows = KltRowsOf(tables, *group.parts, k, ExponentOf(t));
      whole = k == 0 ? KltDecodeMagnitudes(tables, rows, &decoders_[k], q)
                     : KltDecodeRefining(tables, rows, &decoders_[k], q);
    }
  }
  if (whole) return Status();
  return DataLossError(CatMessage("klt: coefficients of layers ",
                                  group.parts->first_layer, " to ",
                                  group.end_layer() - 1, " are damaged"));
}

bool FrameDecoder::IsWanted(const KltGroup& group, uint32_t first_coded) const {
  for (size_t p = 0; p < group.planes.size(); ++p) {
    if (request_.rows[work_->coded[first_coded + p]].data != nullptr) {
      return true;
    }
  }
  return false;
}

Status FrameDecoder::DecodeGroup(const KltGroup& group, uint32_t first_coded) {
  REPRISE_RETURN_IF_ERROR(DecodeCoefficients(group));
  const uint32_t wanted = request_.token_count;
  if (wanted == 0 || !IsWanted(group, first_coded)) return Status();
  const auto last = static_cast<uint32_t>(frames_.size()) - 1;
  const uint32_t stride = group.transform.padded();
  float* const steps = KltWork::Room(&work_->steps, wanted);
  uint32_t* const used = KltWork::Room(&work_->used, wanted);
  for (uint32_t t = 0; t < wanted; ++t) {
    steps[t] =
        IsRaw(t) ? 1 : KltStep(profile_.parts().step, last, ExponentOf(t));
    used[t] = IsRaw(t) ? 0
                       : kKltLanes * KltRowsOf(profile_.tables(), *group.parts,
                                               last, ExponentOf(t))
                                         .count;
  }
  const KltInverseJob job{
      .transform = &group.transform,
      .tokens = wanted,
      .q = work_->q[0].data(),
      .q_stride = stride,
      .used = used,
      .steps = steps,
      .x = KltWork::Room(&work_->x, uint64_t{wanted} * stride),
      .x_stride = stride};
  if (!KltInverse(job, &work_->transform)) {
    return DataLossError(CatMessage(
        "klt: a sum of coefficients of layers ", group.parts->first_layer,
        " to ", group.end_layer() - 1, " is above ", kKltMaxSum));
  }
  StoreGroup(group, first_coded);
  return Status();
}

void FrameDecoder::StoreGroup(const KltGroup& group, uint32_t first_coded) {
  const uint32_t pairs = profile_.parts().rotary_dims / 2;
  const uint32_t stride = group.transform.padded();
  float* column = work_->x.data();
  for (const KltPlane& plane : group.planes) {
    const uint32_t index = work_->coded[first_coded++];
    const auto channels = static_cast<uint32_t>(plane.channels());
    const PlaneRows& rows = request_.rows[index];
    const DType dtype = request_.slices[index].spec->dtype;
    const KltHeads heads = KltHeadsOf(profile_.parts(), plane);
    for (uint32_t t = 0; t < request_.token_count; ++t) {
      if (rows.data == nullptr || IsRaw(t)) continue;
      float* const x = column + uint64_t{t} * stride;
      if (plane.is_rotated) {
        KltRotate(heads, work_->cosines.data() + uint64_t{t} * pairs,
                  work_->sines.data() + uint64_t{t} * pairs, x);
      }
      StoreFloatsSaturated(dtype, x, channels,
                           rows.data + t * rows.token_stride_bytes);
    }
    column += channels;
  }
}

void FrameDecoder::CopyRawTokens() const {
  const uint8_t* from = raw_rows_;
  for (const uint32_t i : work_->coded) {
    const uint64_t row_bytes = request_.slices[i].token_bytes();
    const PlaneRows& rows = request_.rows[i];
    for (uint32_t t = 0; t < tokens_; ++t) {
      if (!IsRaw(t)) continue;
      if (rows.data != nullptr && t < request_.token_count) {
        std::memcpy(rows.data + t * rows.token_stride_bytes, from, row_bytes);
      }
      from += row_bytes;
    }
  }
}

void FrameDecoder::CopyPlanes() const {
  size_t index = first_plane_section_;
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (profile_.FindPlane(slice.layer, slice.plane) != nullptr) continue;
    const ByteView from = frames_[0]->Section(frames_[0]->sections[index++]);
    const PlaneRows& rows = request_.rows[i];
    if (rows.data == nullptr) continue;
    const uint64_t row_bytes = slice.token_bytes();
    for (uint32_t t = 0; t < request_.token_count; ++t) {
      std::memcpy(rows.data + t * rows.token_stride_bytes,
                  from.data() + t * row_bytes, row_bytes);
    }
  }
}

Status FrameDecoder::Run() {
  FindCoded();
  REPRISE_RETURN_IF_ERROR(CheckSections());
  for (uint32_t k = 0; k < frames_.size(); ++k) {
    REPRISE_RETURN_IF_ERROR(OpenStream(k));
  }
  MakeKltTurnTables(profile_.parts(), frames_[0]->info.first_token,
                    request_.token_count, work_);
  uint32_t first_coded = 0;
  for (const KltGroup& group : groups_) {
    REPRISE_RETURN_IF_ERROR(DecodeGroup(group, first_coded));
    first_coded += static_cast<uint32_t>(group.planes.size());
  }
  for (uint32_t k = 0; k < frames_.size(); ++k) {
    if (decoders_[k].IsEnd()) continue;
    return DataLossError(
        CatMessage("klt: the stream of stage ", k, " does not end as it must"));
  }
  CopyRawTokens();
  CopyPlanes();
  return Status();
}

}  // namespace

Status DecodeKltFrames(std::span<const FrameView* const> frames,
                       const DecodeRequest& request, const KltProfile& profile,
                       std::span<const KltGroup> groups, KltWork* work) {
  return FrameDecoder(frames, request, profile, groups, work).Run();
}

}  // namespace reprise
