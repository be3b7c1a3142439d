// A codec of three stages for tests, for planes of 16-bit elements: a frame of
// the high bytes (tier archive), one of the low bytes' high halves (coarse),
// and one of all low bytes once more (exact, so that nothing is lost).
#ifndef REPRISE_TESTS_TOOLS_EVAL_STAGED_CODEC_H_
#define REPRISE_TESTS_TOOLS_EVAL_STAGED_CODEC_H_

#include "codec/codec.h"

namespace reprise {

class StagedCodec final : public Codec {
 public:
  static constexpr uint32_t kStages = 3;

  CodecId id() const override { return CodecId::kKlt; }
  std::string_view name() const override { return "staged"; }
  bool needs_profile() const override { return false; }
  bool is_exact() const override { return true; }
  uint32_t stage_count(const CodecOptions*) const override { return kStages; }
  Tier stage_tier(uint32_t stage, const CodecOptions*) const override;

  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;
  Status EncodeStages(const EncodeRequest& request, CodecScratch* scratch,
                      std::span<FrameBuilder* const> builders) const override;
  Status DecodeStages(std::span<const FrameView* const> frames,
                      const DecodeRequest& request,
                      CodecScratch* scratch) const override;

  // What a row's 16-bit element is after so many stages.
  static uint16_t Decoded(uint16_t element, uint32_t stages);

  // How often EncodeStages was called.
  mutable int encodings = 0;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_TOOLS_EVAL_STAGED_CODEC_H_
