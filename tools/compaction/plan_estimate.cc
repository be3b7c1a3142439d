#include "tools/compaction/plan_estimate.h"

#include <cmath>

#include "store/stages.h"

namespace reprise {
namespace {

uint64_t Scaled(uint64_t bytes, uint64_t by, uint64_t over) {
  return static_cast<uint64_t>(
      std::llround(static_cast<double>(bytes) * static_cast<double>(by) /
                   static_cast<double>(over)));
}

}  // namespace

std::string_view EstimateName(EstimateFrom from) {
  switch (from) {
    case EstimateFrom::kMeasured:
      return "measured";
    case EstimateFrom::kOtherModels:
      return "measured on other models";
    case EstimateFrom::kNominal:
      break;
  }
  return "nominal";
}

// SmolLM2-135M, 1,024 tokens, docs/quality.md; klt: docs/codecs/klt_notes.md,
// the middle of each range.
double NominalBits(CodecId codec, Tier tier) {
  switch (codec) {
    case CodecId::kExact:
      return 13.5;
    case CodecId::kPredict:
      return 8.5;
    case CodecId::kTsc:
      return tier <= Tier::kNear ? 8.5 : 4.5;
    case CodecId::kVq:
      return tier <= Tier::kCoarse ? 2.6 : 1.1;
    case CodecId::kPq:
      return tier <= Tier::kNear ? 4.1 : 2.1;
    case CodecId::kKlt:
      if (tier <= Tier::kNear) return 3.2;
      return tier == Tier::kCoarse ? 1.8 : 0.82;
    case CodecId::kRaw:
      break;
  }
  return 16.1;
}

// In memory, one thread, bench/RESULTS.md, rounded down; what is faster than a
// disk is cut to 1 GB/s.
double AssumedEncodeRate(CodecId codec) {
  switch (codec) {
    case CodecId::kKlt:
      return 100e6;
    case CodecId::kPq:
      return 400e6;
    case CodecId::kVq:
      return 500e6;
    default:
      return 1e9;
  }
}

void MeasuredRatios::Add(const ModelId& model, const RenditionSet& set) {
  for (const Rendition& rendition : set.renditions) {
    for (const StagePrefix& prefix : PrefixesOf(rendition)) {
      AddOne(model, rendition.codec, prefix.tier,
             Offer{&rendition, prefix}.stored_bytes(), rendition.raw_bytes);
    }
  }
}

void MeasuredRatios::AddOne(const ModelId& model, CodecId codec, Tier tier,
                            uint64_t stored_bytes, uint64_t raw_bytes) {
  for (Sums* sums :
       {&by_model_[{model, codec, tier}], &by_codec_[{codec, tier}]}) {
    sums->stored_bytes += stored_bytes;
    sums->raw_bytes += raw_bytes;
  }
}

Estimate MeasuredRatios::Of(const ModelId& model, const TierWay& way, Tier tier,
                            uint64_t segments, uint64_t raw_bytes) const {
  const auto of_model = by_model_.find({model, way.codec, tier});
  if (of_model != by_model_.end() && of_model->second.raw_bytes > 0) {
    const Sums& sums = of_model->second;
    return {Scaled(raw_bytes, sums.stored_bytes, sums.raw_bytes),
            EstimateFrom::kMeasured};
  }
  const auto of_codec = by_codec_.find({way.codec, tier});
  if (of_codec != by_codec_.end() && of_codec->second.raw_bytes > 0) {
    const Sums& sums = of_codec->second;
    return {Scaled(raw_bytes, sums.stored_bytes, sums.raw_bytes),
            EstimateFrom::kOtherModels};
  }
  const double bits = static_cast<double>(segments) * way.values_a_segment *
                      NominalBits(way.codec, tier);
  return {static_cast<uint64_t>(std::llround(bits / 8)),
          EstimateFrom::kNominal};
}

}  // namespace reprise
