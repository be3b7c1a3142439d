#include "codec/klt_encode.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/limits.h"
#include "codec/float_rows.h"
#include "codec/klt_entropy_simd.h"
#include "codec/klt_exponent.h"
#include "codec/klt_rows.h"
#include "codec/klt_step.h"
#include "codec/klt_transform_simd.h"
#include "codec/klt_turn.h"
#include "codec/message.h"

namespace reprise {
namespace {

Status CheckKeepsAll(const EncodeRequest& request) {
  const TokenMask all = FirstTokens(request.info.token_count);
  if ((request.kept & all) == all) return Status();
  return UnimplementedError(
      CatMessage("klt: can't drop tokens, ", std::popcount(request.kept & all),
                 " are to be kept of ", request.info.token_count));
}

}  // namespace

Result<const KltOptions*> OwnKltOptions(const CodecOptions* options) {
  static const KltOptions& defaults = *new KltOptions;
  if (options == nullptr) return &defaults;
  if (options->codec() != CodecId::kKlt) {
    return InvalidArgumentError(CatMessage("klt: the options are of codec ",
                                           CodecIdName(options->codec())));
  }
  return static_cast<const KltOptions*>(options);
}

Result<KltChoices> CheckKltChoices(const EncodeRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckKeepsAll(request));
  KltChoices choices;
  REPRISE_ASSIGN_OR_RETURN(choices.options, OwnKltOptions(request.options));
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage("klt: stage is ", request.info.stage, ", 0 is wanted"));
  }
  REPRISE_ASSIGN_OR_RETURN(choices.profile, OwnKltProfile(request.profile));
  REPRISE_ASSIGN_OR_RETURN(
      choices.groups,
      choices.profile->GroupsFor(request.info.layers, request.slices));
  return choices;
}

Status CheckKltBuilders(const KltChoices& choices, size_t count) {
  if (count == choices.options->stages) return Status();
  return InvalidArgumentError(CatMessage("klt: makes ", choices.options->stages,
                                         " frames by these options, ", count,
                                         " builders were given"));
}

FrameInfo KltStageInfo(const EncodeRequest& request, const KltProfile& profile,
                       uint32_t stage) {
  FrameInfo info = request.info;
  info.codec = CodecId::kKlt;
  info.stage = static_cast<uint8_t>(stage);
  info.profile = profile.id();
  info.raw_bytes = RawBytesOf(request.slices, request.info.token_count);
  return info;
}

KltFrameEncoder::KltFrameEncoder(const EncodeRequest& request,
                                 const KltChoices& choices, KltWork* work,
                                 std::span<FrameBuilder* const> builders)
    : request_(request),
      options_(*choices.options),
      profile_(*choices.profile),
      groups_(choices.groups),
      work_(work),
      builders_(builders),
      tokens_(request.info.token_count),
      last_stage_(static_cast<uint32_t>(builders.size()) - 1) {}

template <typename Visit>
void KltFrameEncoder::ForEachGroup(Visit visit) const {
  Place place;
  for (const KltGroup& group : groups_) {
    place.group = &group;
    visit(place);
    place.first_q += uint64_t{tokens_} * place.stride();
    place.first_coded += static_cast<uint32_t>(group.planes.size());
    ++place.index;
  }
}

template <typename Visit>
void KltFrameEncoder::ForEachGroupFromLast(Visit visit) const {
  Place place;
  place.first_q = coefficients_;
  place.index = static_cast<uint32_t>(groups_.size());
  place.first_coded = static_cast<uint32_t>(work_->coded.size());
  while (place.index > 0) {
    place.group = &groups_[--place.index];
    place.first_q -= uint64_t{tokens_} * place.stride();
    place.first_coded -= static_cast<uint32_t>(place.group->planes.size());
    visit(place);
  }
}

void KltFrameEncoder::TakeScratch() {
  work_->coded.clear();
  for (uint32_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (profile_.FindPlane(slice.layer, slice.plane) == nullptr) continue;
    work_->coded.push_back(i);
  }
  uint64_t widest = 0;
  ForEachGroup([&](const Place& place) {
    widest = std::max<uint64_t>(widest, place.stride());
    coefficients_ += uint64_t{tokens_} * place.stride();
    max_words_ += 2 * uint64_t{tokens_} * place.stride() + kSegmentTokens;
  });
  KltWork::Room(&work_->x, tokens_ * widest);
  KltWork::Room(&work_->z, kKltTokens * widest);
  KltWork::Room(&work_->steps, tokens_);
  KltWork::Room(&work_->o, groups_.size() * kSegmentTokens);
  for (uint32_t k = 0; k <= last_stage_; ++k) {
    KltWork::Room(&work_->q[k], coefficients_);
  }
  KltWork::Room(&work_->words[0], 2 * max_words_ + kKltSlackBytes);
  KltWork::Room(&work_->signs[0], coefficients_ / 8 + 1 + kKltSlackBytes);
  MakeKltTurnTables(profile_.parts(), request_.info.first_token, tokens_,
                    work_);
}

void KltFrameEncoder::FindRawTokens() {
  const uint64_t first = request_.info.first_token;
  const uint64_t raw_first = profile_.parts().raw_first;
  if (work_->coded.empty()) return;
  if (raw_first > first) {
    raw_ = FirstTokens(
        static_cast<uint32_t>(std::min<uint64_t>(raw_first - first, tokens_)));
  }
  for (const uint32_t i : work_->coded) {
    const PlaneSlice& slice = request_.slices[i];
    for (uint32_t t = 0; t < tokens_; ++t) {
      const uint8_t* row =
          request_.rows[i].data + t * request_.rows[i].token_stride_bytes;
      if (!KltIsFinite(slice.spec->dtype, row, slice.channels())) {
        raw_ |= TokenMask{1} << t;
      }
    }
  }
}

void KltFrameEncoder::LoadGroup(const Place& place) {
  const uint32_t pairs = profile_.parts().rotary_dims / 2;
  float* column = work_->x.data();
  uint32_t coded = place.first_coded;
  for (const KltPlane& plane : place.group->planes) {
    const uint32_t index = work_->coded[coded++];
    const ConstPlaneRows& rows = request_.rows[index];
    const DType dtype = request_.slices[index].spec->dtype;
    const auto channels = static_cast<uint32_t>(plane.channels());
    const KltHeads heads = KltHeadsOf(profile_.parts(), plane);
    for (uint32_t t = 0; t < tokens_; ++t) {
      float* const x = column + uint64_t{t} * place.stride();
      if (IsRaw(t)) {
        std::fill_n(x, channels, 0.0f);
        continue;
      }
      LoadFloats(dtype, rows.data + t * rows.token_stride_bytes, channels, x);
      if (!plane.is_rotated) continue;
      KltUnrotate(heads, work_->cosines.data() + uint64_t{t} * pairs,
                  work_->sines.data() + uint64_t{t} * pairs, x);
    }
    column += channels;
  }
}

uint8_t KltFrameEncoder::ExponentOf(const Place& place, uint32_t token) const {
  const KltProfileParts& parts = profile_.parts();
  const KltRegressor& regressor = place.group->parts->regressor;
  const float* x = work_->x.data() + uint64_t{token} * place.stride();
  const float* mu = place.group->transform.mu();
  const float* weights = regressor.by_channel.data();
  double sum =
      KltSensitivityOf(regressor.constant, regressor.by_position,
                       uint64_t{request_.info.first_token} + 1 + token);
  for (size_t p = 0; p < place.group->planes.size(); ++p) {
    const auto count = static_cast<uint32_t>(place.group->planes[p].channels());
    const KltRowSums sums = KltSumRow(x, mu, weights, count);
    sum += KltSensitivityOfPlane(sums.weighted, regressor.by_norm[p],
                                 sums.squares);
    x += count;
    mu += count;
    weights += count;
  }
  return static_cast<uint8_t>(KltExponentOf(KltExponentRuleOf(parts), sum));
}

void KltFrameEncoder::ChooseExponents(const Place& place) {
  uint8_t* const o = work_->o.data() + place.index * kSegmentTokens;
  for (uint32_t t = 0; t < tokens_; ++t) {
    o[t] = IsRaw(t) ? 0 : ExponentOf(place, t);
    work_->steps[t] = KltStep(profile_.parts().step, last_stage_,
                              o[t] - kKltMeanExponent + options_.shift);
  }
}

void KltFrameEncoder::QuantiseGroup(const Place& place) {
  LoadGroup(place);
  ChooseExponents(place);
  KltForward({.transform = &place.group->transform,
              .tokens = tokens_,
              .x = work_->x.data(),
              .x_stride = place.stride(),
              .z = work_->z.data()},
             &work_->transform);
  raw_ |= KltQuantise({.n = place.n(),
                       .tokens = tokens_,
                       .z = work_->z.data(),
                       .steps = work_->steps.data(),
                       .q = work_->q[last_stage_].data() + place.first_q,
                       .q_stride = place.stride()});
  ClipGroup(place);
}

KltRows KltFrameEncoder::RowsOf(const Place& place, uint32_t token,
                                uint32_t stage) const {
  const int o = work_->o[place.index * kSegmentTokens + token];
  return KltRowsOf(profile_.tables(), *place.group->parts, stage,
                   o - kKltMeanExponent + options_.shift);
}

void KltFrameEncoder::ClipGroup(const Place& place) {
  int16_t* q = work_->q[last_stage_].data() + place.first_q;
  for (uint32_t t = 0; t < tokens_; ++t, q += place.stride()) {
    if (IsRaw(t)) continue;
    // A row that stage k > 0 is the first to code has 0 or 1 there.
    int bound = 1;
    uint32_t end = RowsOf(place, t, last_stage_).count * kKltLanes;
    std::fill(q + end, q + place.stride(), int16_t{0});
    for (uint32_t k = last_stage_; k > 0; --k, bound = 3 * bound + 1) {
      const uint32_t begin = RowsOf(place, t, k - 1).count * kKltLanes;
      for (uint32_t i = begin; i < end; ++i) {
        q[i] = static_cast<int16_t>(std::clamp<int>(q[i], -bound, bound));
      }
      end = begin;
    }
  }
}

void KltFrameEncoder::EncodeGroup(const Place& place, uint32_t stage,
                                  KltEncoder* encoder) {
  const KltTables& tables = profile_.tables();
  for (uint32_t t = tokens_; t-- > 0;) {
    if (IsRaw(t)) continue;
    const uint64_t at = place.first_q + uint64_t{t} * place.stride();
    const int16_t* q = work_->q[stage].data() + at;
    const KltRows rows = RowsOf(place, t, stage);
    if (stage == 0) {
      KltEncodeMagnitudes(tables, rows, q, encoder);
    } else {
      KltEncodeRefining(tables, rows, work_->q[stage - 1].data() + at, q,
                        encoder);
    }
  }
  if (stage > 0) return;
  KltEncodeExponentsScalar(tables, FirstTokens(tokens_) & ~raw_,
                           work_->o.data() + place.index * kSegmentTokens,
                           encoder);
}

void KltFrameEncoder::WriteCoefficients(uint32_t stage) {
  KltSignWriter signs{.bytes = work_->signs[0].data()};
  std::memset(signs.bytes, 0, coefficients_ / 8 + 1);
  ForEachGroup([&](const Place& place) {
    for (uint32_t t = 0; t < tokens_; ++t) {
      if (IsRaw(t)) continue;
      const uint64_t at = place.first_q + uint64_t{t} * place.stride();
      KltWriteSigns(RowsOf(place, t, stage),
                    stage == 0 ? nullptr : work_->q[stage - 1].data() + at,
                    work_->q[stage].data() + at, &signs);
    }
  });
  uint8_t* const end = work_->words[0].data() + kKltSlackBytes + 2 * max_words_;
  KltEncoder encoder{.word = reinterpret_cast<uint16_t*>(end)};
  std::fill_n(encoder.x, kKltLanes, kKltLowState);
  ForEachGroupFromLast(
      [&](const Place& place) { EncodeGroup(place, stage, &encoder); });

  const auto* const words = reinterpret_cast<const uint8_t*>(encoder.word);
  const auto words_bytes = static_cast<uint64_t>(end - words);
  const uint64_t sign_bytes = (signs.count + 7) / 8;
  const uint64_t signs_at = KltSignsOffset(words_bytes / 2);
  const uint64_t bytes = signs_at + sign_bytes;
  uint8_t* const out = builders_[stage]->BeginSection(bytes).data();
  std::memset(out, 0, kKltStatesOffset);
  out[0] = static_cast<uint8_t>(options_.shift);
  StoreLe(out + kKltParentOffset, parent_);
  std::memcpy(out + kKltStatesOffset, encoder.x, sizeof encoder.x);
  std::memcpy(out + kKltWordsOffset, words, words_bytes);
  std::memset(out + kKltWordsOffset + words_bytes, 0,
              signs_at - kKltWordsOffset - words_bytes);
  std::memcpy(out + signs_at, signs.bytes, sign_bytes);
  parent_ = static_cast<uint32_t>(Checksum({out, bytes}));
  builders_[stage]->EndSection(
      KltSectionOf(request_.slices[0], KltMode::kCoefficients,
                   static_cast<uint32_t>(words_bytes / 2)),
      bytes);
}

void KltFrameEncoder::WriteRawTokens() {
  uint64_t token_bytes = 0;
  for (const uint32_t i : work_->coded) {
    token_bytes += request_.slices[i].token_bytes();
  }
  const uint64_t bytes =
      sizeof(TokenMask) +
      token_bytes * static_cast<uint64_t>(std::popcount(raw_));
  uint8_t* out = builders_[0]->BeginSection(bytes).data();
  StoreLe(out, raw_);
  out += sizeof(TokenMask);
  for (const uint32_t i : work_->coded) {
    const uint64_t row_bytes = request_.slices[i].token_bytes();
    for (uint32_t t = 0; t < tokens_; ++t) {
      if (!IsRaw(t)) continue;
      const ConstPlaneRows& rows = request_.rows[i];
      std::memcpy(out, rows.data + t * rows.token_stride_bytes, row_bytes);
      out += row_bytes;
    }
  }
  builders_[0]->EndSection(
      KltSectionOf(request_.slices[0], KltMode::kRawTokens, 0), bytes);
}

void KltFrameEncoder::WritePlane(const PlaneSlice& slice,
                                 const ConstPlaneRows& rows) {
  const uint64_t row_bytes = slice.token_bytes();
  uint8_t* const out = builders_[0]->BeginSection(row_bytes * tokens_).data();
  for (uint32_t t = 0; t < tokens_; ++t) {
    std::memcpy(out + t * row_bytes, rows.data + t * rows.token_stride_bytes,
                row_bytes);
  }
  builders_[0]->EndSection(KltPlaneSectionOf(slice), row_bytes * tokens_);
}

void KltFrameEncoder::WriteStage(uint32_t stage) {
  const bool has_raw = stage == 0 && raw_ != 0;
  const size_t uncoded =
      stage == 0 ? request_.slices.size() - work_->coded.size() : 0;
  builders_[stage]->Start(KltStageInfo(request_, profile_, stage),
                          static_cast<uint32_t>(1 + has_raw + uncoded));
  WriteCoefficients(stage);
  if (stage > 0) return;
  if (has_raw) WriteRawTokens();
  size_t next_coded = 0;
  for (uint32_t i = 0; i < request_.slices.size(); ++i) {
    if (next_coded < work_->coded.size() && work_->coded[next_coded] == i) {
      ++next_coded;
    } else {
      WritePlane(request_.slices[i], request_.rows[i]);
    }
  }
}

void KltFrameEncoder::Run() {
  TakeScratch();
  FindRawTokens();
  ForEachGroup([&](const Place& place) { QuantiseGroup(place); });
  for (uint32_t k = last_stage_; k > 0; --k) {
    KltCoarser(work_->q[k].data(), coefficients_, work_->q[k - 1].data());
  }
  for (uint32_t k = 0; k <= last_stage_; ++k) WriteStage(k);
}

}  // namespace reprise
