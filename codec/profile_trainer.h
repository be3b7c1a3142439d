// Training a codec's profile from exact KV of one model: the common face of
// all trainers, for `reprise calibrate`, the evaluation tool and benchmarks.
#ifndef REPRISE_CODEC_PROFILE_TRAINER_H_
#define REPRISE_CODEC_PROFILE_TRAINER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/model_spec.h"

namespace reprise {

struct TrainerOptions {
  // What is fixed in the profile (sub-vector size, ...); null: the defaults.
  const CodecOptions* codec_options = nullptr;
  // Of everything that the trainer holds; more is kResourceExhausted.
  uint64_t max_memory_bytes = 2ull << 30;
  uint64_t seed = 1;
};

// Deterministic: the same rows in the same order with the same options give
// the same bytes on any machine. Not thread-safe.
class ProfileTrainer {
 public:
  virtual ~ProfileTrainer() = default;
  // Fit refuses fewer tokens than the first, and Add ignores what comes after
  // the second.
  virtual uint64_t min_tokens() const = 0;
  virtual uint64_t wanted_tokens() const = 0;

  // Exact rows of all planes of one layer group and all heads, `token_count`
  // tokens (at most 64) from position `first_token` on. A token counts when
  // the rows of all groups were added. kResourceExhausted with both numbers.
  virtual Status Add(uint32_t first_token, uint32_t token_count,
                     std::span<const PlaneSlice> slices,
                     std::span<const ConstPlaneRows> rows) = 0;

  // The profile's bytes. kFailedPrecondition with both numbers when there were
  // too few tokens. `progress`, which may be null, is told how much is done,
  // from 0 to 1; false from it ends the work with kUnavailable.
  virtual Result<Bytes> Fit(const std::function<bool(double)>& progress) = 0;
};

// kUnimplemented for a codec without profiles; kInvalidArgument for options
// of another codec. Copies what it needs of the spec.
// REQUIRES: ValidateModelSpec(spec).ok().
Result<std::unique_ptr<ProfileTrainer>> MakeProfileTrainer(
    CodecId codec, const ModelSpec& spec, const TrainerOptions& options);

}  // namespace reprise

#endif  // REPRISE_CODEC_PROFILE_TRAINER_H_
