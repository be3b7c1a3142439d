// `klt`, the flagship: the keys and values of one token and a few layers,
// turned together by a matrix that was fitted to the model, rounded by steps
// that depend on how much the token matters, and coded in stages of which every
// prefix is state of a tier of its own. Format: docs/format/codecs/klt.md;
// profiles: docs/format/profile.md.
#ifndef REPRISE_CODEC_KLT_CODEC_H_
#define REPRISE_CODEC_KLT_CODEC_H_

#include "codec/codec.h"

namespace reprise {

class KltOptions final : public CodecOptions {
 public:
  CodecId codec() const override { return CodecId::kKlt; }

  uint32_t stages = 3;  // 1 archive, 2 coarse, 3 and 4 near
  // All steps are 2^(-shift / 3) times those of the profile.
  int shift = 0;
  // For training; 0: chosen.
  uint32_t layers = 0;
  uint32_t raw_first = 1;
};

// Options: tier=near|coarse|archive, the tier of the last stage; stages=3|4 of
// tier near, of which the fourth makes the step three times finer; shift=N,
// -32 to 32, for steps that are finer (or coarser) by a cube root of 2 each.
// For training a profile, and of no effect afterwards: layers=N of a group at
// most, first=N tokens of a session that are stored raw.
//
// Frames hold all heads of their planes. Tokens with a NaN or an infinity are
// stored as they are, and so are planes that the profile doesn't list.
class KltCodec final : public Codec {
 public:
  CodecId id() const override { return CodecId::kKlt; }
  std::string_view name() const override { return "klt"; }
  bool needs_profile() const override { return true; }
  bool is_exact() const override { return false; }
  Tier tier(const CodecOptions* options) const override;

  Result<std::shared_ptr<const CodecOptions>> ParseOptions(
      std::string_view text) const override;
  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  // Of options with one stage, tier=archive.
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  // Of a frame of stage 0: what tier archive has.
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;

  uint32_t stage_count(const CodecOptions* options) const override;
  Tier stage_tier(uint32_t stage, const CodecOptions* options) const override;
  Status EncodeStages(const EncodeRequest& request, CodecScratch* scratch,
                      std::span<FrameBuilder* const> builders) const override;
  Status DecodeStages(std::span<const FrameView* const> frames,
                      const DecodeRequest& request,
                      CodecScratch* scratch) const override;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_CODEC_H_
