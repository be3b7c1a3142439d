#include "tests/support/tsc_bounds.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/bytes.h"
#include "codec/float_element.h"
#include "codec/message.h"
#include "codec/tsc_layout.h"

namespace reprise {
namespace {

// One delta row on its way through the checks.
struct DeltaRow {
  uint32_t token = 0;
  uint32_t reference = 0;
  uint64_t index = 0;  // among the deltas
};

std::vector<DeltaRow> DeltaRowsOf(const TscHeader& header) {
  std::vector<DeltaRow> rows;
  uint32_t reference = 0;
  for (uint32_t t = 0; t < 64; ++t) {
    const TokenMask bit = TokenMask{1} << t;
    if ((header.reference & bit) != 0) reference = t;
    if ((header.deltas() & bit) == 0) continue;
    rows.push_back({t, reference, rows.size()});
  }
  return rows;
}

// Half a step of the dtype at this value.
double HalfUlp(DType dtype, double value) {
  const int mantissa = dtype == DType::kF32   ? 23
                       : dtype == DType::kF16 ? 10
                                              : 7;
  const int least = dtype == DType::kF16 ? -14 : -126;
  const int exponent = value == 0 ? least : std::max(least, std::ilogb(value));
  return std::ldexp(1.0, exponent - mantissa - 1);
}

class Checker {
 public:
  Checker(const CodedSlice& coded, const TscHeader& header,
          const FrameSection& section)
      : coded_(coded),
        header_(header),
        shape_(TscShapeOf(coded.slice, section.mode)),
        scales_(coded.frame.Section(section).data() +
                LayOutTsc(header, shape_).scales) {}

  std::string Problem() {
    for (const DeltaRow& row : DeltaRowsOf(header_)) {
      for (uint32_t c = 0; c < coded_.slice.channels(); ++c) {
        if (std::string problem = CheckValue(row, c); !problem.empty()) {
          return problem;
        }
      }
    }
    for (const auto& [page, scale] : scale_of_) {
      const double ideal = largest_[page] / shape_.max_code();
      const double most = std::max(ideal * (1 + 0x1p-10), ideal + 0x1p-24);
      // f32 rounds a delta before it is measured.
      if (scale <= most * (1 + 0x1p-22) && scale >= ideal * (1 - 0x1p-22)) {
        continue;
      }
      return CatMessage("page ", page, ": scale is ", scale, ", ideal is ",
                        ideal);
    }
    return "";
  }

 private:
  double Value(const KvRows& rows, uint32_t token, uint32_t channel) const {
    const uint32_t bytes = DTypeBytes(shape_.dtype);
    const ByteView row = rows.RowView(coded_.index, token);
    return ElementValue(shape_.dtype, row.data() + uint64_t{channel} * bytes);
  }

  uint64_t PageOf(const DeltaRow& row, uint32_t channel) const {
    const uint32_t head = channel / shape_.dim;
    switch (header_.page) {
      case TscPage::kToken:
        return row.index * shape_.heads + head;
      case TscPage::kSegment:
        return head;
      case TscPage::kLayer:
        break;
    }
    return row.index;
  }

  std::string CheckValue(const DeltaRow& row, uint32_t channel) {
    const double value = Value(coded_.rows, row.token, channel);
    const double decoded = Value(coded_.decoded, row.token, channel);
    const double reference = Value(coded_.rows, row.reference, channel);
    const uint64_t page = PageOf(row, channel);
    const double scale = F16ToF32(LoadLe<uint16_t>(scales_ + 2 * page));
    scale_of_[page] = scale;
    largest_[page] = std::max(largest_[page], std::fabs(value - reference));
    // Delta, inverse and sum are rounded to f32 on the way.
    const double magnitude = std::fabs(value) + std::fabs(reference);
    const double f32 = 4 * HalfUlp(DType::kF32, magnitude);
    const double limit =
        scale / 2 * (1 + 0x1p-16) + HalfUlp(shape_.dtype, decoded) + f32;
    if (std::fabs(value - decoded) <= limit) return "";
    return CatMessage("token ", row.token, " channel ", channel, ": ", value,
                      " became ", decoded, ", scale is ", scale);
  }

  const CodedSlice& coded_;
  const TscHeader& header_;
  TscShape shape_;
  const uint8_t* scales_;
  std::map<uint64_t, double> scale_of_;
  std::map<uint64_t, double> largest_;
};

}  // namespace

double ElementValue(DType dtype, const uint8_t* element) {
  return LoadElement(dtype, element);
}

std::string TscProblem(const CodedSlice& coded) {
  const FrameSection& section = coded.frame.sections[coded.index];
  TscHeader header;
  const Status status =
      LoadTscHeader(coded.frame.Section(section).data(), &header);
  if (!status.ok()) return status.ToString();
  const TokenMask kept = coded.kept & FirstTokens(coded.token_count);
  if (header.kept != kept) {
    return CatMessage("keeps ", header.kept, ", not ", kept);
  }
  for (uint32_t t = 0; t < coded.token_count; ++t) {
    if ((header.raw >> t & 1) == 0) continue;
    if (!BytesEqual(coded.rows.RowView(coded.index, t),
                    coded.decoded.RowView(coded.index, t))) {
      return CatMessage("token ", t, " is raw and has other bits");
    }
  }
  if (header.deltas() == 0) return "";
  return Checker(coded, header, section).Problem();
}

}  // namespace reprise
