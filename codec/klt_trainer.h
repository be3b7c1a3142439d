// Trains profiles of `klt` from values alone: the fall-back where no gradients
// of the model are at hand (tools/calibrate has them). Such a profile takes
// two to three times the bits for the same quality, and its notes say what it
// is.
#ifndef REPRISE_CODEC_KLT_TRAINER_H_
#define REPRISE_CODEC_KLT_TRAINER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/klt_groups.h"
#include "codec/klt_profile_format.h"
#include "codec/klt_statistics.h"
#include "codec/model_spec.h"
#include "codec/profile_trainer.h"

namespace reprise {

// What a trainer is told.
struct KltTraining {
  uint32_t layers = 0;     // of a group at most; 0: chosen by their width
  uint32_t raw_first = 1;  // tokens that open a session and are stored raw
};

// Sums up means and covariances as tokens come, and keeps an eighth of the
// tokens, 2,048 at most, out of them to count the tables from. Tokens with
// values that are not finite, or of 2^40 or more, are passed over, as are the
// first ones of a session, which are like no others.
class KltTrainer final : public ProfileTrainer {
 public:
  // kInvalidArgument when a layer group is wider than the format allows;
  // kFailedPrecondition for a model without planes of floating-point numbers;
  // kResourceExhausted when the memory does not hold it, or the profile would
  // be over kMaxProfileBytes.
  static Result<std::unique_ptr<ProfileTrainer>> Make(
      const ModelSpec& spec, const KltTraining& training,
      uint64_t max_memory_bytes);

  uint64_t min_tokens() const override { return min_tokens_; }
  uint64_t wanted_tokens() const override { return wanted_tokens_; }
  Status Add(uint32_t first_token, uint32_t token_count,
             std::span<const PlaneSlice> slices,
             std::span<const ConstPlaneRows> rows) override;
  Result<Bytes> Fit(const std::function<bool(double)>& progress) override;

 private:
  struct Group {
    explicit Group(uint32_t n) : statistics(n) {}

    KltStatistics statistics;
    uint64_t calls = 0;
    uint64_t tokens = 0;  // with those held out
    uint64_t held_count = 0;
    std::vector<float> held;        // [held_count, KltRowFloats(n)]
    std::vector<double> variances;  // of the coefficients
  };

  KltTrainer() = default;
  Status SetLimits(uint64_t max_memory_bytes);
  uint64_t tokens() const;
  // Rows of a group as f32, keys un-rotated, into rows_; how many tokens of
  // them count.
  uint32_t Load(const KltGroupParts& group, uint32_t first_token,
                uint32_t token_count, std::span<const PlaneSlice> slices,
                std::span<const ConstPlaneRows> rows);
  // The step at which the values' relative error is kRelativeError.
  double FindStep() const;
  Status FitBases(const std::function<bool(double)>& progress);
  // Coefficients of the tokens held out, [held_count, KltRowFloats(n)].
  std::vector<float> TransformHeld(const Group& group,
                                   const KltGroupParts& parts) const;
  void FitLevels(const float* z, uint64_t count, KltGroupParts* parts) const;
  Status FitTables(const std::function<bool(double)>& progress);
  std::string Notes() const;

  KltProfileParts parts_;
  std::string model_name_;
  std::vector<Group> groups_;  // as parts_.groups
  std::vector<float> rows_;    // [64, KltRowFloats(widest group)]
  std::vector<float> cosines_, sines_;
  uint64_t min_tokens_ = 0;
  uint64_t wanted_tokens_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_TRAINER_H_
