#include "codec/tsc_codec.h"

#include "codec/message.h"
#include "codec/option_list.h"
#include "codec/tsc_decode.h"
#include "codec/tsc_encode.h"
#include "codec/tsc_layout.h"
#include "codec/tsc_profile.h"

namespace reprise {
namespace {

constexpr double kMaxBound = 1e30;

}  // namespace

Tier TscCodec::tier(const CodecOptions* options) const {
  if (options == nullptr || options->codec() != CodecId::kTsc) {
    return Tier::kCoarse;
  }
  const auto& own = static_cast<const TscOptions&>(*options);
  return own.bits == 8 ? Tier::kNear : Tier::kCoarse;
}

Result<std::shared_ptr<const CodecOptions>> TscCodec::ParseOptions(
    std::string_view text) const {
  static constexpr std::string_view kBits[] = {"4", "8"};
  static constexpr std::string_view kKappas[] = {"1",  "2",  "4", "8",
                                                 "16", "32", "64"};
  static constexpr std::string_view kPages[] = {"token", "segment", "layer"};
  uint32_t bits = 0;
  uint32_t kappa = 6;
  uint32_t page = 0;
  double bound = -1;
  OptionList list(name(), text);
  list.Take("bits", kBits, &bits);
  list.Take("kappa", kKappas, &kappa);
  list.Take("page", kPages, &page);
  list.Take("max_delta_error", 0.0, kMaxBound, &bound);
  REPRISE_RETURN_IF_ERROR(list.Finish());
  auto options = std::make_shared<TscOptions>();
  options->bits = 4 << bits;
  options->kappa = 1u << kappa;
  options->page = static_cast<TscPage>(page);
  if (bound >= 0) options->max_delta_error = bound;
  return std::shared_ptr<const CodecOptions>(std::move(options));
}

Result<std::shared_ptr<const CodecProfile>> TscCodec::ParseProfile(
    ByteView bytes) const {
  REPRISE_ASSIGN_OR_RETURN(std::shared_ptr<const CodecProfile> profile,
                           TscProfile::Parse(bytes));
  return profile;
}

Status TscCodec::Encode(const EncodeRequest& request, CodecScratch* scratch,
                        FrameBuilder* builder) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  REPRISE_ASSIGN_OR_RETURN(const TscChoices choices, CheckTscChoices(request));
  TscFrameEncoder(request, choices, scratch, builder).Run();
  return Status();
}

Status TscCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                        CodecScratch* scratch) const {
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(frame, request));
  return DecodeTscFrame(frame, request, scratch);
}

TscStats& TscStats::operator+=(const TscStats& other) {
  rows += other.rows;
  deltas += other.deltas;
  keyframes += other.keyframes;
  fallbacks += other.fallbacks;
  raw += other.raw;
  return *this;
}

Result<TscStats> TscFrameStats(const FrameView& frame) {
  if (frame.info.codec != CodecId::kTsc) {
    return InvalidArgumentError(CatMessage("tsc: the frame is of codec ",
                                           CodecIdName(frame.info.codec)));
  }
  TscStats stats;
  for (const FrameSection& section : frame.sections) {
    if (section.bytes < kTscHeaderBytes) {
      return DataLossError(CatMessage("tsc: a section has ", section.bytes,
                                      " bytes, its header ", kTscHeaderBytes));
    }
    TscHeader header;
    REPRISE_RETURN_IF_ERROR(
        LoadTscHeader(frame.Section(section).data(), &header));
    const auto references =
        static_cast<uint64_t>(std::popcount(header.reference));
    TscStats of_section;
    of_section.rows = static_cast<uint64_t>(std::popcount(header.kept));
    of_section.deltas = static_cast<uint64_t>(std::popcount(header.deltas()));
    of_section.fallbacks = header.fallbacks();
    of_section.keyframes = references - of_section.fallbacks;
    of_section.raw = of_section.rows - of_section.deltas - references;
    stats += of_section;
  }
  return stats;
}

}  // namespace reprise
