// The trainers that are built. One line a codec.
#include "codec/profile_trainer.h"

#include "base/limits.h"
#include "codec/exact_profile.h"
#include "codec/klt_codec.h"
#include "codec/klt_trainer.h"
#include "codec/message.h"
#include "codec/tsc_trainer.h"
#include "codec/vector_trainer.h"

namespace reprise {
namespace {

class ExactTrainer final : public ProfileTrainer {
 public:
  explicit ExactTrainer(const ModelSpec& spec) : fitter_(spec) {}

  uint64_t min_tokens() const override { return kSegmentTokens; }
  uint64_t wanted_tokens() const override {
    return ExactProfileFitter::kWantedTokens;
  }
  Status Add(uint32_t first_token, uint32_t token_count,
             std::span<const PlaneSlice> slices,
             std::span<const ConstPlaneRows> rows) override {
    fitter_.Add(first_token, token_count, slices, rows);
    return Status();
  }
  Result<Bytes> Fit(const std::function<bool(double)>&) override {
    return fitter_.Fit();
  }

 private:
  ExactProfileFitter fitter_;
};

Result<std::unique_ptr<ProfileTrainer>> MakeKltTrainer(
    const ModelSpec& spec, const TrainerOptions& options) {
  KltTraining training;
  if (options.codec_options != nullptr) {
    const auto& klt = static_cast<const KltOptions&>(*options.codec_options);
    training = {.layers = klt.layers, .raw_first = klt.raw_first};
  }
  return KltTrainer::Make(spec, training, options.max_memory_bytes);
}

}  // namespace

Result<std::unique_ptr<ProfileTrainer>> MakeProfileTrainer(
    CodecId codec, const ModelSpec& spec, const TrainerOptions& options) {
  if (options.codec_options != nullptr &&
      options.codec_options->codec() != codec) {
    return InvalidArgumentError(
        CatMessage("trainer: options are of codec ",
                   CodecIdName(options.codec_options->codec()),
                   ", the profile is of ", CodecIdName(codec)));
  }
  switch (codec) {
    case CodecId::kExact:
      return std::unique_ptr<ProfileTrainer>(new ExactTrainer(spec));
    case CodecId::kTsc:
      return MakeTscTrainer(spec, options);
    case CodecId::kVq:
    case CodecId::kPq:
      return VectorTrainer::Make(codec, spec, options);
    case CodecId::kKlt:
      return MakeKltTrainer(spec, options);
    default:
      return UnimplementedError(CatMessage(
          "trainer: codec ", CodecIdName(codec), " has no profiles"));
  }
}

}  // namespace reprise
