#include "tools/eval/plane_rows.h"

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "client/kv_gather.h"
#include "ggml.h"

namespace reprise {
namespace {

void ToFloats(DType dtype, const uint8_t* from, std::span<float> to) {
  const auto count = static_cast<int64_t>(to.size());
  if (dtype == DType::kF16) {
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t*>(from), to.data(),
                          count);
  } else if (dtype == DType::kBf16) {
    ggml_bf16_to_fp32_row(reinterpret_cast<const ggml_bf16_t*>(from), to.data(),
                          count);
  } else {
    std::memcpy(to.data(), from, to.size_bytes());
  }
}

void FromFloats(DType dtype, std::span<const float> from, uint8_t* to) {
  const auto count = static_cast<int64_t>(from.size());
  if (dtype == DType::kF16) {
    ggml_fp32_to_fp16_row(from.data(), reinterpret_cast<ggml_fp16_t*>(to),
                          count);
  } else if (dtype == DType::kBf16) {
    ggml_fp32_to_bf16_row(from.data(), reinterpret_cast<ggml_bf16_t*>(to),
                          count);
  } else {
    std::memcpy(to, from.data(), from.size_bytes());
  }
}

bool IsPlain(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

}  // namespace

Status VisitRows(const ModelSpec& spec, const KvView& view, const KvSink* sink,
                 const RowVisitor& visit) {
  REPRISE_ASSIGN_OR_RETURN(const KvSource source, KvSource::Make(spec, view));
  REPRISE_RETURN_IF_ERROR(source.CheckTokens(0, view.token_count));
  std::optional<KvTarget> target;
  if (sink != nullptr) {
    REPRISE_ASSIGN_OR_RETURN(target, KvTarget::Make(spec, *sink));
    REPRISE_RETURN_IF_ERROR(target->CheckTokens(0, view.token_count));
  }
  const LayerGroup all = {0, static_cast<uint32_t>(spec.layers.size())};
  REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                           SlicePlanes(spec, all, HeadRange::All()));
  for (const PlaneSlice& slice : slices) {
    const DType dtype = slice.spec->dtype;
    if (!IsPlain(dtype)) {
      return UnimplementedError(
          "eval: values of layer " + std::to_string(slice.layer) + " are " +
          std::string(DTypeName(dtype)) + "; f32, f16 and bf16 can be judged");
    }
    std::vector<float> row(slice.channels());
    Bytes packed(slice.token_bytes());
    for (uint64_t token = 0; token < view.token_count; ++token) {
      const ConstPlaneRows rows =
          GatherRows(source, slice, token, 1, packed.data());
      // States are not aligned.
      if (rows.data != packed.data()) {
        std::memcpy(packed.data(), rows.data, packed.size());
      }
      ToFloats(dtype, packed.data(), row);
      visit(slice, token, row);
      if (!target) continue;
      FromFloats(dtype, row, packed.data());
      ScatterRows(*target, slice, token, 1, packed.data());
    }
  }
  return Status();
}

}  // namespace reprise
