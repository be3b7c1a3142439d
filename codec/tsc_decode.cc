#include "codec/tsc_decode.h"

#include <cmath>
#include <cstring>

#include "codec/message.h"
#include "codec/tsc_layout.h"
#include "codec/tsc_simd.h"

namespace reprise {
namespace {

constexpr uint16_t kInfinity = 0x7c00;

// A section, checked, and what its bytes are.
struct Section {
  TscShape shape;
  TscHeader header;
  TscLayout layout;
  const uint8_t* bytes = nullptr;
};

Status Damaged(const FrameSection& section, std::string_view what, uint64_t is,
               uint64_t wanted) {
  return DataLossError(CatMessage("tsc: layer ", section.layer, " plane ",
                                  section.plane, ": ", what, " is ", is,
                                  ", wanted is ", wanted));
}

Status CheckPlace(const FrameSection& section, const PlaneSlice& slice) {
  if (section.layer != slice.layer || section.plane != slice.plane) {
    return DataLossError(CatMessage(
        "tsc: a section is of layer ", section.layer, " plane ", section.plane,
        ", wanted are layer ", slice.layer, " plane ", slice.plane));
  }
  if (section.channel_first != slice.channel_first()) {
    return Damaged(section, "first channel", section.channel_first,
                   slice.channel_first());
  }
  if (section.channel_count != slice.channels()) {
    return Damaged(section, "channel count", section.channel_count,
                   slice.channels());
  }
  if (section.mode != 4 && section.mode != 8) {
    return Damaged(section, "number of bits", section.mode, 4);
  }
  return Status();
}

Status LoadSection(const FrameView& frame, const FrameSection& section,
                   const PlaneSlice& slice, Section* out) {
  REPRISE_RETURN_IF_ERROR(CheckPlace(section, slice));
  if (section.bytes < kTscHeaderBytes) {
    return Damaged(section, "size", section.bytes, kTscHeaderBytes);
  }
  out->bytes = frame.Section(section).data();
  REPRISE_RETURN_IF_ERROR(LoadTscHeader(out->bytes, &out->header));
  const TscHeader& header = out->header;
  const TokenMask beyond = ~FirstTokens(frame.info.token_count);
  if ((header.kept & beyond) != 0) {
    return Damaged(section, "number of tokens past the frame's",
                   std::popcount(header.kept & beyond), 0);
  }
  if (TscIsRawOnly(slice.spec->dtype) && header.raw != header.kept) {
    return Damaged(section, "number of deltas of a plane without",
                   std::popcount(header.deltas()), 0);
  }
  if (TscIsRawOnly(slice.spec->dtype) && header.reference != 0) {
    return Damaged(section, "number of references of a plane without",
                   std::popcount(header.reference), 0);
  }
  if (section.words != header.fallbacks()) {
    return Damaged(section, "number of fallbacks", section.words,
                   header.fallbacks());
  }
  out->shape = TscShapeOf(slice, section.mode);
  out->layout = LayOutTsc(header, out->shape);
  if (section.bytes != out->layout.end) {
    return Damaged(section, "size", section.bytes, out->layout.end);
  }
  return Status();
}

// So that no NaN, whose bits would depend on the machine, can arise.
Status CheckScales(const FrameSection& entry, const Section& section) {
  uint16_t most = 0;
  for (uint64_t i = 0; i < section.layout.scale_count; ++i) {
    const auto scale =
        LoadLe<uint16_t>(section.bytes + section.layout.scales + 2 * i);
    most = scale > most ? scale : most;
  }
  if (most < kInfinity) return Status();
  return Damaged(entry, "largest scale", most, kInfinity - 1u);
}

// References are finite even where no row leans on them. REQUIRES: a plane of
// floats; LoadSection let no other have references.
Status CheckReference(const FrameSection& entry, const Section& section,
                      const uint8_t* row, float* largest) {
  TscLargest(section.shape, row, nullptr, largest);
  for (uint32_t h = 0; h < section.shape.heads; ++h) {
    if (std::isfinite(largest[h])) continue;
    return DataLossError(CatMessage("tsc: layer ", entry.layer, " plane ",
                                    entry.plane,
                                    ": a reference is not finite"));
  }
  return Status();
}

Status DecodeSection(const FrameSection& entry, const Section& section,
                     uint32_t token_count, const PlaneRows& rows,
                     float* scales) {
  const TscHeader& header = section.header;
  const uint64_t row_bytes = section.shape.row_bytes();
  const uint8_t* raw = section.bytes + section.layout.raw;
  const uint8_t* codes = section.bytes + section.layout.codes;
  const uint8_t* const stored = section.bytes + section.layout.scales;
  const uint8_t* reference = nullptr;
  uint64_t index = 0;
  REPRISE_RETURN_IF_ERROR(CheckScales(entry, section));
  for (uint32_t t = 0; t < token_count; ++t) {
    uint8_t* const row = rows.data + t * rows.token_stride_bytes;
    const TokenMask bit = TokenMask{1} << t;
    if ((header.kept & bit) == 0) {
      std::memset(row, 0, row_bytes);
    } else if ((header.raw & bit) != 0) {
      std::memcpy(row, raw, row_bytes);
      if ((header.reference & bit) != 0) {
        reference = raw;
        REPRISE_RETURN_IF_ERROR(CheckReference(entry, section, raw, scales));
      }
      raw += row_bytes;
    } else {
      LoadTscScales(header.page, stored, index, section.shape.heads, scales);
      TscDecode(section.shape, reference, scales, codes, row);
      codes += section.shape.row_code_bytes();
      ++index;
    }
  }
  return Status();
}

// All sections agree on what is kept; the answer is checked against what the
// caller can take.
Status CheckKept(const FrameView& frame, const DecodeRequest& request,
                 TokenMask kept) {
  const TokenMask missing = FirstTokens(request.token_count) & ~kept;
  if (missing == 0 || request.kept != nullptr) return Status();
  return FailedPreconditionError(
      CatMessage("tsc: the frame lacks ", std::popcount(missing), " of the ",
                 request.token_count, " tokens that are wanted, of ",
                 frame.info.token_count));
}

}  // namespace

Status DecodeTscFrame(const FrameView& frame, const DecodeRequest& request,
                      CodecScratch* scratch) {
  const size_t count = request.slices.size();
  if (frame.sections.size() != count) {
    return DataLossError(CatMessage("tsc: has ", frame.sections.size(),
                                    " sections, ", count, " are wanted"));
  }
  TokenMask kept = 0;
  Section section;
  for (size_t i = 0; i < count; ++i) {
    REPRISE_RETURN_IF_ERROR(
        LoadSection(frame, frame.sections[i], request.slices[i], &section));
    if (i == 0) kept = section.header.kept;
    if (section.header.kept != kept) {
      return Damaged(frame.sections[i], "number of tokens kept otherwise",
                     std::popcount(section.header.kept ^ kept), 0);
    }
  }
  REPRISE_RETURN_IF_ERROR(CheckKept(frame, request, kept));
  for (size_t i = 0; i < count; ++i) {
    if (request.rows[i].data == nullptr) continue;
    REPRISE_RETURN_IF_ERROR(
        LoadSection(frame, frame.sections[i], request.slices[i], &section));
    auto* const scales = reinterpret_cast<float*>(
        scratch->Get(0, section.shape.heads * sizeof(float)));
    REPRISE_RETURN_IF_ERROR(DecodeSection(frame.sections[i], section,
                                          request.token_count, request.rows[i],
                                          scales));
  }
  if (request.kept != nullptr) {
    *request.kept &= kept | ~FirstTokens(frame.info.token_count);
  }
  return Status();
}

}  // namespace reprise
