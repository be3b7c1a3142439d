#include "codec/tsc_layout.h"

#include "codec/message.h"

namespace reprise {
namespace {

uint64_t AlignPart(uint64_t offset) {
  return (offset + kTscPartAlignment - 1) / kTscPartAlignment *
         kTscPartAlignment;
}

}  // namespace

void StoreTscHeader(const TscHeader& header, uint8_t* out) {
  StoreLe(out + 0, header.kept);
  StoreLe(out + 8, header.raw);
  StoreLe(out + 16, header.reference);
  StoreLe(out + 24, static_cast<uint8_t>(header.kappa));
  StoreLe(out + 25, static_cast<uint8_t>(header.page));
  StoreLe(out + 26, uint16_t{0});
  StoreLe(out + 28, uint32_t{0});
}

Status LoadTscHeader(const uint8_t* in, TscHeader* out) {
  out->kept = LoadLe<uint64_t>(in + 0);
  out->raw = LoadLe<uint64_t>(in + 8);
  out->reference = LoadLe<uint64_t>(in + 16);
  out->kappa = in[24];
  const uint32_t page = in[25];
  const uint32_t reserved =
      LoadLe<uint16_t>(in + 26) | LoadLe<uint32_t>(in + 28);
  if (!std::has_single_bit(out->kappa) || out->kappa > kSegmentTokens) {
    return DataLossError(CatMessage("tsc: kappa is ", out->kappa,
                                    ", a power of 2 up to 64 is wanted"));
  }
  if (page > static_cast<uint32_t>(TscPage::kLayer)) {
    return DataLossError(
        CatMessage("tsc: page shape is ", page, ", at most 2 is known"));
  }
  out->page = static_cast<TscPage>(page);
  if (reserved != 0) {
    return DataLossError(
        CatMessage("tsc: reserved bits are ", reserved, ", 0 is wanted"));
  }
  if ((out->raw & ~out->kept) != 0 || (out->reference & ~out->raw) != 0) {
    return DataLossError(
        CatMessage("tsc: ", std::popcount(out->raw & ~out->kept),
                   " raw rows of ", std::popcount(out->raw), " are not kept, ",
                   std::popcount(out->reference & ~out->raw), " references of ",
                   std::popcount(out->reference), " are not raw"));
  }
  const int first_delta = std::countr_zero(out->deltas());
  const int first_reference = std::countr_zero(out->reference);
  if (first_delta < 64 && first_delta < first_reference) {
    return DataLossError(CatMessage("tsc: token ", first_delta,
                                    " is a delta, the first reference is ",
                                    first_reference));
  }
  return Status();
}

TscLayout LayOutTsc(const TscHeader& header, const TscShape& shape) {
  const auto raw_rows = static_cast<uint64_t>(std::popcount(header.raw));
  const auto delta_rows = static_cast<uint64_t>(std::popcount(header.deltas()));
  TscLayout layout;
  switch (header.page) {
    case TscPage::kToken:
      layout.scale_count = delta_rows * shape.heads;
      break;
    case TscPage::kSegment:
      layout.scale_count = delta_rows == 0 ? 0 : shape.heads;
      break;
    case TscPage::kLayer:
      layout.scale_count = delta_rows;
      break;
  }
  layout.scales = AlignPart(layout.raw + raw_rows * shape.row_bytes());
  layout.codes = AlignPart(layout.scales + 2 * layout.scale_count);
  layout.end = layout.codes + delta_rows * shape.row_code_bytes();
  return layout;
}

}  // namespace reprise
