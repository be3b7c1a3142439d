#include "codec/vector_options.h"

#include <bit>
#include <string_view>

#include "base/limits.h"
#include "codec/message.h"
#include "codec/option_list.h"
#include "codec/vector_kernel.h"

namespace reprise {
namespace {

// A quarter of the values' energy lost in the worst token-head at most; above
// it, no better than no bound.
constexpr double kCoarseThreshold = 0.25;
constexpr double kCoarseShare = 0.05;

std::string_view BlockKey(CodecId codec) {
  return codec == CodecId::kPq ? "d" : "block";
}

Status CheckOne(std::string_view what, uint32_t given, uint32_t profile) {
  if (given == profile) return Status();
  return FailedPreconditionError(CatMessage(
      what, " is ", given, ", the profile was trained with ", profile));
}

}  // namespace

Result<std::shared_ptr<const CodecOptions>> VectorOptions::Parse(
    CodecId codec, std::string_view text) {
  const std::string_view name = CodecIdName(codec);
  std::shared_ptr<VectorOptions> options(new VectorOptions(codec));
  OptionList list(name, text);
  VectorShape& given = options->given_;
  list.Take(BlockKey(codec), 1, kVectorMaxBlock, &given.block);
  list.Take("centroids", 2, kVectorMaxCentroids, &given.centroids);
  constexpr uint32_t kNone = ~0u;
  given.sinks = kNone;
  list.Take("sinks", 0, kSegmentTokens, &given.sinks);
  options->sinks_given_ = given.sinks != kNone;
  list.Take("worst", 0.0, 1.0, &options->worst_);
  double threshold = -1;
  list.Take("threshold", 0.0, 1e9, &threshold);
  REPRISE_RETURN_IF_ERROR(list.Finish());
  if (threshold >= 0) options->threshold_ = threshold;
  if (given.centroids != 0 && !std::has_single_bit(given.centroids)) {
    return InvalidArgumentError(CatMessage(
        name, ": centroids are ", given.centroids, ", a power of 2 is wanted"));
  }
  if (options->threshold_ && options->worst_ > 0) {
    return InvalidArgumentError(CatMessage(
        name, ": worst=", options->worst_, " and threshold=", threshold,
        " are given, at most 1 of them is wanted"));
  }
  return std::shared_ptr<const CodecOptions>(std::move(options));
}

Result<const VectorOptions*> VectorOptions::Of(CodecId codec,
                                               const CodecOptions* options) {
  if (options == nullptr) return static_cast<const VectorOptions*>(nullptr);
  if (options->codec() != codec) {
    return InvalidArgumentError(CatMessage(CodecIdName(codec),
                                           ": options are of codec ",
                                           CodecIdName(options->codec())));
  }
  return static_cast<const VectorOptions*>(options);
}

VectorShape VectorOptions::ShapeOf(CodecId codec,
                                   const VectorOptions* options) {
  VectorShape shape{.block = codec == CodecId::kPq ? 4u : 8u,
                    .centroids = kVectorMaxCentroids,
                    .sinks = 1};
  if (options == nullptr) return shape;
  const VectorShape& given = options->given_;
  if (given.block != 0) shape.block = given.block;
  if (given.centroids != 0) shape.centroids = given.centroids;
  if (options->sinks_given_) shape.sinks = given.sinks;
  return shape;
}

Status VectorOptions::CheckShape(const VectorShape& profile) const {
  const std::string name(CodecIdName(codec_));
  if (given_.block != 0) {
    REPRISE_RETURN_IF_ERROR(CheckOne(CatMessage(name, ": ", BlockKey(codec_)),
                                     given_.block, profile.block));
  }
  if (given_.centroids != 0) {
    REPRISE_RETURN_IF_ERROR(
        CheckOne(name + ": centroids", given_.centroids, profile.centroids));
  }
  if (!sinks_given_) return Status();
  return CheckOne(name + ": sinks", given_.sinks, profile.sinks);
}

Tier VectorOptions::tier() const {
  const bool coarse =
      worst_ >= kCoarseShare || (threshold_ && *threshold_ <= kCoarseThreshold);
  return coarse ? Tier::kCoarse : Tier::kArchive;
}

}  // namespace reprise
