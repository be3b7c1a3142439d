// Options of `vq` and `pq`.
#ifndef REPRISE_CODEC_VECTOR_OPTIONS_H_
#define REPRISE_CODEC_VECTOR_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "codec/codec.h"

namespace reprise {

// What a profile fixes. An encoder that is given these compares them with its
// profile's; a trainer uses them, or its codec's defaults.
struct VectorShape {
  uint32_t block = 0;      // values a code stands for
  uint32_t centroids = 0;  // a power of two
  uint32_t sinks = 0;      // first tokens of a session, always stored exactly
};

// "block" (pq: "d"), "centroids" and "sinks" belong to training; "worst" and
// "threshold", of which at most one is given, to encoding.
class VectorOptions final : public CodecOptions {
 public:
  // REQUIRES: codec is kVq or kPq. Errors as Codec::ParseOptions.
  static Result<std::shared_ptr<const CodecOptions>> Parse(
      CodecId codec, std::string_view text);
  // The options as they were given, or none: `options` may be null.
  // kInvalidArgument for those of another codec.
  static Result<const VectorOptions*> Of(CodecId codec,
                                         const CodecOptions* options);

  CodecId codec() const override { return codec_; }

  // The shape to train, defaults filled in: vq 8, pq 4 values a block; 256
  // centroids; 1 sink.
  static VectorShape ShapeOf(CodecId codec, const VectorOptions* options);
  // kFailedPrecondition, with both numbers, when what was given is not so in
  // the profile.
  Status CheckShape(const VectorShape& profile) const;

  // The share of each plane's token-heads that stay as they are: those with
  // the largest relative squared errors. 0: none.
  double worst() const { return worst_; }
  // The relative squared error above which a token-head stays as it is.
  const std::optional<double>& threshold() const { return threshold_; }

  Tier tier() const;

 private:
  explicit VectorOptions(CodecId codec) : codec_(codec) {}

  CodecId codec_;
  VectorShape given_;  // 0: not given
  bool sinks_given_ = false;
  double worst_ = 0;
  std::optional<double> threshold_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_OPTIONS_H_
