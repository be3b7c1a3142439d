#include "tools/eval/window_coder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tools/eval/importance.h"
#include "tools/eval/llama_anchor.h"
#include "tools/eval/plane_rows.h"
#include "tools/eval/text_windows.h"

namespace reprise {
namespace {

// Equal for variants that differ in how many stages are stored alone.
std::string EncodingName(const EvalVariant& variant) {
  std::string name = variant.choice_text;
  if (!variant.evicts()) return name;
  return name + " " + std::to_string(variant.keep) + " " +
         std::string(ImportanceName(variant.by));
}

}  // namespace

WindowCoder::WindowCoder(LlamaModelPtr model, JudgedModel* judged,
                         StateCoder* coder,
                         std::function<void(uint64_t)> on_tokens)
    : model_(std::move(model)),
      judged_(judged),
      coder_(coder),
      on_tokens_(std::move(on_tokens)) {}

Status WindowCoder::Begin(std::span<const TokenId> tokens, uint64_t seed) {
  tokens_ = tokens;
  seed_ = seed;
  attention_ = {};
  encoded_as_.clear();
  REPRISE_ASSIGN_OR_RETURN(state_, judged_->Prefill(tokens, on_tokens_));
  REPRISE_ASSIGN_OR_RETURN(view_, state_->View(coder_->spec()));
  return Status();
}

Status WindowCoder::MeasureAttention() {
  if (!attention_.all.empty()) return Status();
  REPRISE_ASSIGN_OR_RETURN(
      attention_,
      MeasureAttentionMass(model_, judged_->runner_options(), tokens_));
  if (on_tokens_) on_tokens_(tokens_.size());
  return Status();
}

Result<std::vector<double>> WindowCoder::Scores(Importance by) {
  if (by == Importance::kAttentionMass || by == Importance::kRecentAttention) {
    REPRISE_RETURN_IF_ERROR(MeasureAttention());
    return by == Importance::kAttentionMass ? attention_.all
                                            : attention_.recent;
  }
  std::vector<double> scores(tokens_.size());
  if (by == Importance::kRandom) {
    const auto order =
        ShuffledOrder(static_cast<uint32_t>(scores.size()), seed_ + 1);
    std::copy(order.begin(), order.end(), scores.begin());
    return scores;
  }
  const PlaneRole role =
      by == Importance::kKeyNorm ? PlaneRole::kKey : PlaneRole::kValue;
  const double sign = by == Importance::kKeyNorm ? -1 : 1;
  REPRISE_RETURN_IF_ERROR(VisitRows(
      coder_->spec(), view_, nullptr,
      [&](const PlaneSlice& slice, uint64_t token, std::span<float> row) {
        if (slice.spec->role != role) return;
        double squares = 0;
        for (const float value : row) squares += double{value} * value;
        scores[token] += sign * std::sqrt(squares);
      }));
  return scores;
}

Result<std::vector<uint8_t>> WindowCoder::Kept(const EvalVariant& variant) {
  if (!variant.evicts()) return std::vector<uint8_t>();
  REPRISE_ASSIGN_OR_RETURN(const std::vector<double> scores,
                           Scores(variant.by));
  return ChooseKept(scores, variant.keep);
}

Status WindowCoder::Code(const EvalVariant& variant, const EvalProfile* profile,
                         const KvSink& sink, ChangedState* out) {
  REPRISE_ASSIGN_OR_RETURN(out->keep, Kept(variant));
  CodeRequest request;
  request.tokens = tokens_;
  request.view = &view_;
  request.sink = &sink;
  request.choice = &variant.choice;
  request.profile = profile;
  request.keep = out->keep;
  const std::string name = EncodingName(variant);
  if (name != encoded_as_) {
    encoded_as_.clear();
    REPRISE_ASSIGN_OR_RETURN(encoded_, coder_->Encode(request));
    encoded_as_ = name;
  }
  REPRISE_ASSIGN_OR_RETURN(out->coded,
                           coder_->Store(request, encoded_, variant.stages));
  return Status();
}

Result<ChangedState> WindowCoder::Change(const EvalVariant& variant,
                                         const EvalProfile* profile) {
  ChangedState out;
  REPRISE_ASSIGN_OR_RETURN(out.state,
                           EmptySequence(judged_->cache(), 0, tokens_.size()));
  REPRISE_ASSIGN_OR_RETURN(const KvSink sink, out.state.Sink(coder_->spec()));
  if (variant.llama_type.empty()) {
    REPRISE_RETURN_IF_ERROR(Code(variant, profile, sink, &out));
    return out;
  }
  REPRISE_ASSIGN_OR_RETURN(
      out.coded.size,
      RoundLikeLlama(variant.llama_type, coder_->spec(), view_, sink));
  return out;
}

}  // namespace reprise
