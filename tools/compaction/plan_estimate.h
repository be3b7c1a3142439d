// How many bytes a segment will take once it is encoded anew, and how fast
// that goes: from what the store holds already, else from figures that were
// taken on other models (docs/quality.md, bench/RESULTS.md).
#ifndef REPRISE_TOOLS_COMPACTION_PLAN_ESTIMATE_H_
#define REPRISE_TOOLS_COMPACTION_PLAN_ESTIMATE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "codec/frame.h"
#include "codec/tier.h"
#include "store/records.h"

namespace reprise {

// How a tier is made of one model's state.
struct TierWay {
  CodecId codec = CodecId::kRaw;
  std::string choice;           // as the ladder has it: "klt:tier=near"
  double values_a_segment = 0;  // two opaque bytes count as one
  // KL of the tier that was measured when the profile was made.
  std::optional<double> measured_kl;
};

enum class EstimateFrom : uint8_t {
  kMeasured = 1,     // renditions of this model, codec and tier in the store
  kOtherModels = 2,  // the same of other models
  kNominal = 3,      // NominalBits
};
// "measured", "measured on other models", "nominal".
std::string_view EstimateName(EstimateFrom from);

struct Estimate {
  uint64_t bytes = 0;
  EstimateFrom from = EstimateFrom::kNominal;
  bool operator==(const Estimate&) const = default;
};

// Bits a value that this codec takes at this tier, headers included.
double NominalBits(CodecId codec, Tier tier);

// Bytes a second, of planes as decoded, that one thread encodes.
double AssumedEncodeRate(CodecId codec);
// Segments a second that sink without a frame being touched: a rendition
// derived, and the better one dropped, each synced. 3,300 on a busy machine of
// two cores.
inline constexpr double kAssumedDropRate = 3'000;

// What stored renditions take. Plain values; not thread-safe.
class MeasuredRatios {
 public:
  // Every rendition of a set, and of staged ones each tier that they give.
  void Add(const ModelId& model, const RenditionSet& set);
  // For `segments` that decode to `raw_bytes`.
  Estimate Of(const ModelId& model, const TierWay& way, Tier tier,
              uint64_t segments, uint64_t raw_bytes) const;

 private:
  struct Sums {
    uint64_t stored_bytes = 0;
    uint64_t raw_bytes = 0;
  };
  void AddOne(const ModelId& model, CodecId codec, Tier tier,
              uint64_t stored_bytes, uint64_t raw_bytes);

  std::map<std::tuple<ModelId, CodecId, Tier>, Sums> by_model_;
  std::map<std::pair<CodecId, Tier>, Sums> by_codec_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_PLAN_ESTIMATE_H_
