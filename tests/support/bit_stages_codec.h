// A codec for tests, whose tiers are stages as plain as can be: stage 0 has
// the upper four bits of each byte, stage 1 the next two, stage 2 the rest. So
// all of them together give back what was encoded, and each prefix a value
// that anybody can compute.
#ifndef REPRISE_TESTS_SUPPORT_BIT_STAGES_CODEC_H_
#define REPRISE_TESTS_SUPPORT_BIT_STAGES_CODEC_H_

#include <functional>
#include <memory>
#include <string_view>

#include "codec/codec.h"

namespace reprise {

// Options: tier=near|coarse|archive, of all its stages together.
class StagedCodec final : public Codec {
 public:
  static constexpr CodecId kId = static_cast<CodecId>(4711);
  // Makes it known as "staged". May be called again.
  static void Install();
  // Called before stages are decoded, with their number. Null: nothing is. To
  // be set while nothing is decoded.
  static void OnDecode(std::function<void(uint32_t stages)> hook);

  // Bits that a byte keeps at this tier.
  static uint8_t MaskOf(Tier tier);

  CodecId id() const override { return kId; }
  std::string_view name() const override { return "staged"; }
  bool needs_profile() const override { return false; }
  bool is_exact() const override { return false; }
  Tier tier(const CodecOptions* options) const override;
  Result<std::shared_ptr<const CodecOptions>> ParseOptions(
      std::string_view text) const override;
  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  uint32_t stage_count(const CodecOptions* options) const override;
  Tier stage_tier(uint32_t stage, const CodecOptions* options) const override;
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;
  Status EncodeStages(const EncodeRequest& request, CodecScratch* scratch,
                      std::span<FrameBuilder* const> builders) const override;
  // Writes rows as it goes: bits that do not belong to a stage show late, as
  // kDataLoss.
  Status DecodeStages(std::span<const FrameView* const> frames,
                      const DecodeRequest& request,
                      CodecScratch* scratch) const override;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_BIT_STAGES_CODEC_H_
