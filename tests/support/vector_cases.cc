#include "tests/support/vector_cases.h"

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "base/limits.h"
#include "codec/float_element.h"
#include "codec/profile_trainer.h"
#include "codec/vector_profile.h"
#include "tests/support/kv_values.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr double kNoBound = std::numeric_limits<double>::infinity();

struct Promise {
  uint32_t sinks = 1;
  double threshold = kNoBound;
};

bool HasFloats(const ModelSpec& spec) {
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      if (IsFloatDType(plane.dtype)) return true;
    }
  }
  return false;
}

std::string ProblemOfHead(DType dtype, ByteView before, ByteView after,
                          double threshold) {
  const uint32_t element = DTypeBytes(dtype);
  double error = 0;
  double energy = 0;
  for (size_t i = 0; i < before.size(); i += element) {
    const double x = LoadElement(dtype, before.data() + i);
    const double y = LoadElement(dtype, after.data() + i);
    if (!std::isfinite(x)) return "a value that is not finite was changed";
    if (!std::isfinite(y)) return "a finite value became another";
    error += (x - y) * (x - y);
    energy += x * x;
  }
  if (threshold == kNoBound || error <= threshold * energy) return "";
  return "the squared error is " + std::to_string(error) + " of " +
         std::to_string(energy);
}

std::string ProblemOf(const CodedSlice& coded, const Promise& promise) {
  const DType dtype = coded.slice.spec->dtype;
  const uint64_t head_bytes =
      uint64_t{coded.slice.spec->dim} * DTypeBytes(dtype);
  for (uint32_t t = 0; t < coded.token_count; ++t) {
    const ByteView before = coded.rows.RowView(coded.index, t);
    const ByteView after = coded.decoded.RowView(coded.index, t);
    const bool is_sink = coded.frame.info.first_token + t < promise.sinks;
    for (uint32_t h = 0; h < coded.slice.head_count; ++h) {
      const ByteView x = before.subspan(h * head_bytes, head_bytes);
      const ByteView y = after.subspan(h * head_bytes, head_bytes);
      if (BytesEqual(x, y)) continue;
      const std::string what =
          !IsFloatDType(dtype) ? "bytes were changed"
          : is_sink            ? "a sink was changed"
                               : ProblemOfHead(dtype, x, y, promise.threshold);
      if (!what.empty()) {
        return "token " + std::to_string(t) + " head " + std::to_string(h) +
               ": " + what;
      }
    }
  }
  return "";
}

}  // namespace

Result<Bytes> TrainVectors(CodecId codec, std::string_view options,
                           const ModelSpec& spec) {
  REPRISE_ASSIGN_OR_RETURN(const auto parsed,
                           FindCodec(codec)->ParseOptions(options));
  TrainerOptions of_trainer;
  of_trainer.codec_options = parsed.get();
  REPRISE_ASSIGN_OR_RETURN(const std::unique_ptr<ProfileTrainer> trainer,
                           MakeProfileTrainer(codec, spec, of_trainer));
  if (!HasFloats(spec)) return trainer->Fit(nullptr);
  // The sinks of the first segment do not count.
  const uint64_t wanted = trainer->min_tokens() + kSegmentTokens;
  for (uint32_t t = 0; t < wanted; t += kSegmentTokens) {
    for (const LayerGroup& group : LayerGroupsOf(spec)) {
      REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                               SlicePlanes(spec, group, HeadRange::All()));
      KvRows rows(slices, kSegmentTokens);
      rows.Fill(KvKind::kTypical, 7, t);
      REPRISE_RETURN_IF_ERROR(
          trainer->Add(t, kSegmentTokens, slices, rows.Const()));
    }
  }
  return trainer->Fit(nullptr);
}

Result<Bytes> FitVq(const ModelSpec& spec) {
  return TrainVectors(CodecId::kVq, kVqOptions, spec);
}
Result<Bytes> FitVqThreshold(const ModelSpec& spec) {
  return TrainVectors(CodecId::kVq, kVqThresholdOptions, spec);
}
Result<Bytes> FitPqWorst(const ModelSpec& spec) {
  return TrainVectors(CodecId::kPq, kPqWorstOptions, spec);
}

Result<Bytes> MakePqProfile(const ModelSpec& spec) {
  VectorProfileParts parts;
  parts.codec = CodecId::kPq;
  parts.shape = {.block = 4, .centroids = 256, .sinks = 1};
  for (uint32_t l = 0; l < spec.layers.size(); ++l) {
    const std::vector<PlaneSpec>& planes = spec.layers[l].planes;
    for (uint32_t p = 0; p < planes.size(); ++p) {
      if (!IsFloatDType(planes[p].dtype)) continue;
      parts.planes.push_back({.layer = static_cast<uint16_t>(l),
                              .plane = static_cast<uint8_t>(p),
                              .dtype = planes[p].dtype,
                              .heads = planes[p].heads,
                              .dim = planes[p].dim});
    }
  }
  const VectorProfileSizes sizes = LayOutVectorProfile(&parts);
  Random random(11);
  for (uint64_t i = 0; i < sizes.norms; ++i) {
    parts.norms.push_back(static_cast<float>(0.5 + random.Unit()));
  }
  for (uint64_t i = 0; i < sizes.centroids; ++i) {
    parts.centroids.push_back(
        F32ToF16Saturated(static_cast<float>(2 * random.Unit() - 1)));
  }
  return EncodeVectorProfile(parts);
}

std::string VqProblem(const CodedSlice& coded) { return ProblemOf(coded, {}); }
std::string VqThresholdProblem(const CodedSlice& coded) {
  // The codec's sums have another order.
  return ProblemOf(coded, {.sinks = 4, .threshold = 0.1 * (1 + 1e-12)});
}
std::string PqProblem(const CodedSlice& coded) { return ProblemOf(coded, {}); }

}  // namespace reprise
