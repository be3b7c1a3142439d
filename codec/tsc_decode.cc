#include "codec/tsc_decode.h"

#include <cstring>

#include "codec/tsc_section.h"
#include "codec/tsc_simd.h"

namespace reprise {
namespace {

void DecodeSection(const TscSection& section, uint32_t token_count,
                   const PlaneRows& rows, float* scales) {
  const TscHeader& header = section.header;
  const uint64_t row_bytes = section.shape.row_bytes();
  const uint8_t* raw = section.bytes + section.layout.raw;
  const uint8_t* codes = section.bytes + section.layout.codes;
  const uint8_t* const stored = section.bytes + section.layout.scales;
  const uint8_t* reference = nullptr;
  uint64_t index = 0;
  for (uint32_t t = 0; t < token_count; ++t) {
    uint8_t* const row = rows.data + t * rows.token_stride_bytes;
    const TokenMask bit = TokenMask{1} << t;
    if ((header.kept & bit) == 0) {
      std::memset(row, 0, row_bytes);
    } else if ((header.raw & bit) != 0) {
      std::memcpy(row, raw, row_bytes);
      if ((header.reference & bit) != 0) reference = raw;
      raw += row_bytes;
    } else {
      LoadTscScales(header.page, stored, index, section.shape.heads, scales);
      TscDecode(section.shape, reference, scales, codes, row);
      codes += section.shape.row_code_bytes();
      ++index;
    }
  }
}

}  // namespace

Status DecodeTscFrame(const FrameView& frame, const DecodeRequest& request,
                      CodecScratch* scratch) {
  REPRISE_ASSIGN_OR_RETURN(const TokenMask kept,
                           CheckTscFrame(frame, request.slices));
  REPRISE_RETURN_IF_ERROR(
      CheckTscKept(frame, kept, request.token_count, request.kept != nullptr));
  TscSection section;
  for (size_t i = 0; i < request.slices.size(); ++i) {
    if (request.rows[i].data == nullptr) continue;
    const FrameSection& entry = frame.sections[i];
    REPRISE_RETURN_IF_ERROR(
        LoadTscSection(frame, entry, request.slices[i], &section));
    REPRISE_RETURN_IF_ERROR(
        CheckTscValues(entry, section, request.token_count));
    auto* const scales = reinterpret_cast<float*>(
        scratch->Get(0, section.shape.heads * sizeof(float)));
    DecodeSection(section, request.token_count, request.rows[i], scales);
  }
  if (request.kept != nullptr) {
    *request.kept &= kept | ~FirstTokens(frame.info.token_count);
  }
  return Status();
}

}  // namespace reprise
