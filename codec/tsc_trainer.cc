#include "codec/tsc_trainer.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"
#include "codec/message.h"
#include "codec/tsc_codec.h"
#include "codec/tsc_layout.h"
#include "codec/tsc_profile.h"
#include "codec/tsc_simd.h"

namespace reprise {
namespace {

// Of fewer tokens a percentile so high would be the luck of a few.
constexpr uint64_t kMinTokens = 512;
constexpr uint64_t kWantedTokens = 8192;
constexpr uint64_t kPerMille = 999;
constexpr float kMargin = 1.25f;

class TscTrainer final : public ProfileTrainer {
 public:
  TscTrainer(const ModelSpec& spec, uint32_t kappa) : kappa_(kappa) {
    for (size_t l = 0; l < spec.layers.size(); ++l) {
      first_.push_back(planes_.size());
      const std::vector<PlaneSpec>& planes = spec.layers[l].planes;
      for (size_t p = 0; p < planes.size(); ++p) {
        planes_.push_back({{.layer = static_cast<uint16_t>(l),
                            .plane = static_cast<uint8_t>(p),
                            .dtype = planes[p].dtype,
                            .heads = planes[p].heads,
                            .dim = planes[p].dim},
                           0,
                           {}});
      }
    }
  }

  static uint64_t MemoryBytes(const ModelSpec& spec) {
    uint64_t planes = 0;
    for (const LayerSpec& layer : spec.layers) planes += layer.planes.size();
    return planes * (sizeof(Plane) + kWantedTokens * sizeof(float));
  }

  uint64_t min_tokens() const override { return kMinTokens; }
  uint64_t wanted_tokens() const override { return kWantedTokens; }

  Status Add(uint32_t first_token, uint32_t token_count,
             std::span<const PlaneSlice> slices,
             std::span<const ConstPlaneRows> rows) override {
    for (size_t i = 0; i < slices.size(); ++i) {
      Plane& plane = planes_[first_[slices[i].layer] + slices[i].plane];
      if (plane.tokens >= kWantedTokens) continue;
      plane.tokens += token_count;
      if (TscIsRawOnly(plane.bound.dtype)) continue;
      Sample(first_token, token_count, slices[i], rows[i], &plane);
    }
    return Status();
  }

  Result<Bytes> Fit(const std::function<bool(double)>& progress) override {
    TscProfileParts parts;
    parts.kappa = kappa_;
    uint64_t tokens = kWantedTokens;
    for (const Plane& plane : planes_) tokens = std::min(tokens, plane.tokens);
    if (tokens < kMinTokens) {
      return FailedPreconditionError(CatMessage("tsc: calibration has ", tokens,
                                                " tokens, at least ",
                                                kMinTokens, " are wanted"));
    }
    parts.tokens = static_cast<uint32_t>(tokens);
    for (size_t i = 0; i < planes_.size(); ++i) {
      if (progress != nullptr &&
          !progress(static_cast<double>(i) /
                    static_cast<double>(planes_.size()))) {
        return UnavailableError("tsc: calibration was stopped");
      }
      Plane& plane = planes_[i];
      if (plane.samples.empty()) continue;
      plane.bound.max_delta = BoundOf(&plane.samples);
      parts.planes.push_back(plane.bound);
    }
    if (progress != nullptr) progress(1);
    return EncodeTscProfile(parts);
  }

 private:
  struct Plane {
    TscPlane bound;
    uint64_t tokens = 0;
    std::vector<float> samples;  // a token's largest |delta| each
  };

  // The deltas that an encoder without a bound would make.
  void Sample(uint32_t first_token, uint32_t token_count,
              const PlaneSlice& slice, const ConstPlaneRows& rows,
              Plane* plane) {
    const TscShape shape = TscShapeOf(slice, 4);
    largest_.resize(shape.heads);
    const uint8_t* reference = nullptr;
    for (uint32_t t = 0; t < token_count; ++t) {
      const uint8_t* const row = rows.data + t * rows.token_stride_bytes;
      if ((first_token + t) % kappa_ == 0) reference = nullptr;
      TscLargest(shape, row, reference, largest_.data());
      float most = 0;
      bool finite = true;
      for (const float value : largest_) {
        finite = finite && std::isfinite(value);
        most = std::max(most, value);
      }
      if (!finite) continue;
      if (reference == nullptr) {
        reference = row;
      } else if (plane->samples.size() < kWantedTokens) {
        plane->samples.push_back(most);
      }
    }
  }

  static float BoundOf(std::vector<float>* samples) {
    const uint64_t rank = (samples->size() * kPerMille + 999) / 1000 - 1;
    const auto at = samples->begin() + static_cast<ptrdiff_t>(rank);
    std::nth_element(samples->begin(), at, samples->end());
    return std::min(*at * kMargin, 0x1p100f);
  }

  uint32_t kappa_;
  std::vector<size_t> first_;  // by layer, in planes_
  std::vector<Plane> planes_;
  std::vector<float> largest_;
};

}  // namespace

Result<std::unique_ptr<ProfileTrainer>> MakeTscTrainer(
    const ModelSpec& spec, const TrainerOptions& options) {
  const uint64_t bytes = TscTrainer::MemoryBytes(spec);
  if (bytes > options.max_memory_bytes) {
    return ResourceExhaustedError(
        CatMessage("tsc: calibration takes ", bytes, " bytes, ",
                   options.max_memory_bytes, " are allowed"));
  }
  uint32_t kappa = TscOptions().kappa;
  if (options.codec_options != nullptr) {
    kappa = static_cast<const TscOptions*>(options.codec_options)->kappa;
  }
  return std::unique_ptr<ProfileTrainer>(new TscTrainer(spec, kappa));
}

}  // namespace reprise
