// `tsc`, the research series' codec: a keyframe each kappa tokens as it is,
// the other tokens as symmetric 4-bit or 8-bit deltas to the keyframe before
// them. Format: docs/format/codecs/tsc.md.
//
// A token whose delta error would be over a bound is stored as it is too and
// becomes the keyframe of those after it: a *fallback*. The delta error of a
// token is half of the finest step that its largest delta allows,
// max|delta| / (2 * (2^(bits-1) - 1)), so no value of it is off by more. The
// bound comes from the options or, plane by plane, from a profile that was
// calibrated on real states; without either nothing falls back.
#ifndef REPRISE_CODEC_TSC_CODEC_H_
#define REPRISE_CODEC_TSC_CODEC_H_

#include <optional>

#include "codec/codec.h"

namespace reprise {

// The values that share a scale. Stored; never reused.
enum class TscPage : uint8_t {
  kToken = 0,    // one token of one head: the finest
  kSegment = 1,  // all of a frame's tokens, of one head
  kLayer = 2,    // one token, all heads of the frame
};

class TscOptions final : public CodecOptions {
 public:
  CodecId codec() const override { return CodecId::kTsc; }

  uint32_t bits = 4;    // of a delta: 4 or 8
  uint32_t kappa = 64;  // tokens from keyframe to keyframe; divides 64
  TscPage page = TscPage::kToken;
  // The bound on a token's delta error, in units of the values, for all
  // planes; comes before the profile's.
  std::optional<double> max_delta_error;
};

// Options: bits=4|8, kappa=1|2|4|...|64, page=token|segment|layer,
// max_delta_error=NUMBER.
//
// A profile is the encoder's alone: frames name the one that their bounds came
// from, and decode without it. Elements that are no floats of 16 or 32 bits
// (f8, opaque bytes) are stored as they are.
class TscCodec final : public Codec {
 public:
  CodecId id() const override { return CodecId::kTsc; }
  std::string_view name() const override { return "tsc"; }
  bool needs_profile() const override { return false; }
  bool is_exact() const override { return false; }
  Tier tier(const CodecOptions* options) const override;
  bool can_drop_tokens() const override { return true; }

  Result<std::shared_ptr<const CodecOptions>> ParseOptions(
      std::string_view text) const override;
  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;
};

// How the rows of a frame are stored; a row is one token of one plane.
struct TscStats {
  uint64_t rows = 0;  // kept; the sum of the four below
  uint64_t deltas = 0;
  uint64_t keyframes = 0;  // by schedule
  uint64_t fallbacks = 0;  // over the bound, or too large for a scale
  uint64_t raw = 0;        // not finite, or of a plane that is never coded

  // Of the rows that could have been deltas.
  double fallback_share() const {
    const uint64_t all = deltas + fallbacks;
    return all == 0 ? 0 : static_cast<double>(fallbacks) / all;
  }
  TscStats& operator+=(const TscStats& other);
};
// kInvalidArgument for a frame of another codec, kDataLoss for one that no
// encoder writes. REQUIRES: the frame was parsed.
Result<TscStats> TscFrameStats(const FrameView& frame);

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_CODEC_H_
