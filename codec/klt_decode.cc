#include "codec/klt_decode.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "codec/float_rows.h"
#include "codec/klt_entropy_simd.h"
#include "codec/klt_rows.h"
#include "codec/klt_step.h"
#include "codec/klt_transform_simd.h"
#include "codec/klt_turn.h"
#include "codec/message.h"

namespace reprise {
namespace {

class FrameDecoder {
 public:
  FrameDecoder(std::span<const FrameView* const> frames,
               const DecodeRequest& request, const KltFrames& checked,
               KltWork* work)
      : frames_(frames),
        request_(request),
        checked_(checked),
        profile_(*checked.profile),
        work_(work),
        tokens_(frames[0]->info.token_count) {}

  Status Run();

 private:
  void FindCoded();
  // Gets a stage's decoder ready.
  void OpenStream(uint32_t stage);

  Status DecodeGroup(const KltGroup& group, uint32_t first_coded);
  Status DecodeCoefficients(const KltGroup& group);
  bool IsWanted(const KltGroup& group, uint32_t first_coded) const;
  void StoreGroup(const KltGroup& group, uint32_t first_coded);
  void CopyRawTokens() const;
  void CopyPlanes() const;

  int ExponentOf(uint32_t token) const {
    return work_->o[token] - kKltMeanExponent + checked_.shift;
  }
  bool IsRaw(uint32_t token) const { return checked_.raw >> token & 1; }

  std::span<const FrameView* const> frames_;
  const DecodeRequest& request_;
  const KltFrames& checked_;
  const KltProfile& profile_;
  KltWork* work_;
  uint32_t tokens_;

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

void FrameDecoder::OpenStream(uint32_t stage) {
  const FrameSection& section = frames_[stage]->sections[0];
  const ByteView bytes = frames_[stage]->Section(section);
  KltDecoder& decoder = decoders_[stage];
  std::memcpy(decoder.x, bytes.data() + kKltStatesOffset, sizeof decoder.x);
  const ByteView signs = bytes.subspan(KltSignsOffset(section.words));
  const uint64_t word_bytes = 2 * uint64_t{section.words};
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
}

Status FrameDecoder::DecodeCoefficients(const KltGroup& group) {
  const KltTables& tables = profile_.tables();
  const uint32_t stride = group.transform.padded();
  uint8_t* const o = KltWork::Room(&work_->o, kSegmentTokens);
  bool whole = KltDecodeExponentsScalar(
      tables, FirstTokens(tokens_) & ~checked_.raw, &decoders_[0], o);
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
  if (checked_.raw == 0) return;
  const uint8_t* from =
      frames_[0]->Section(frames_[0]->sections[1]).data() + sizeof(TokenMask);
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
  size_t index = checked_.first_plane_section;
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
  for (uint32_t k = 0; k < frames_.size(); ++k) OpenStream(k);
  MakeKltTurnTables(profile_.parts(), frames_[0]->info.first_token,
                    request_.token_count, work_);
  uint32_t first_coded = 0;
  for (const KltGroup& group : checked_.groups) {
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
                       const DecodeRequest& request, const KltFrames& checked,
                       KltWork* work) {
  return FrameDecoder(frames, request, checked, work).Run();
}

}  // namespace reprise
