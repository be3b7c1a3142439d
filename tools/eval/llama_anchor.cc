#include "tools/eval/llama_anchor.h"

#include <cmath>
#include <vector>

#include "base/bytes.h"
#include "ggml.h"
#include "tools/eval/plane_rows.h"

namespace reprise {
namespace {

// Of a slot file and its tensors (client/llama/seq_state.h).
constexpr uint64_t kFileHeadBytes = 32;
constexpr uint64_t kCellBytes = 12;
constexpr uint64_t kTensorHeadBytes = 12;
constexpr uint32_t kSmallestBlock = 64;

Result<ggml_type> QuantisedType(const std::string& name) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    const ggml_type_traits* const traits = ggml_get_type_traits(type);
    if (traits->type_name == nullptr || name != traits->type_name) continue;
    if (traits->is_quantized && traits->to_float != nullptr &&
        !ggml_quantize_requires_imatrix(type)) {
      return type;
    }
  }
  return InvalidArgumentError("eval: llama.cpp has no quantised cache type \"" +
                              name + "\"; q8_0 and q4_0 are usual");
}

// 0: rows are quantised as they are.
uint32_t BlockOf(const PlaneSpec& plane) {
  if (plane.dim % kSmallestBlock != 0) return 0;
  if (plane.role != PlaneRole::kKey) return kSmallestBlock;
  uint32_t block = kSmallestBlock;
  while (plane.dim % (2 * block) == 0) block *= 2;
  return block;
}

void TransformBlocks(std::span<float> row, uint32_t block) {
  if (block == 0) return;
  for (size_t at = 0; at < row.size(); at += block) {
    HadamardTransform(row.subspan(at, block));
  }
}

Status CheckRows(const ModelSpec& spec, ggml_type type) {
  const int64_t block = ggml_blck_size(type);
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      if (plane.channels() % block == 0) continue;
      return FailedPreconditionError(
          "eval: a row of " + std::to_string(plane.channels()) +
          " values is no whole number of " + ggml_type_name(type) +
          " blocks of " + std::to_string(block));
    }
  }
  return Status();
}

}  // namespace

void HadamardTransform(std::span<float> x) {
  for (size_t half = 1; half < x.size(); half *= 2) {
    for (size_t i = 0; i < x.size(); i += 2 * half) {
      for (size_t j = i; j < i + half; ++j) {
        const float a = x[j];
        const float b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
      }
    }
  }
  const float scale = 1 / std::sqrt(static_cast<float>(x.size()));
  for (float& value : x) value *= scale;
}

Result<StoredSize> RoundLikeLlama(const std::string& name,
                                  const ModelSpec& spec, const KvView& view,
                                  const KvSink& sink) {
  REPRISE_ASSIGN_OR_RETURN(const ggml_type type, QuantisedType(name));
  REPRISE_RETURN_IF_ERROR(CheckRows(spec, type));
  const ggml_to_float_t to_float = ggml_get_type_traits(type)->to_float;
  StoredSize size;
  size.tokens = view.token_count;
  Bytes quantised;
  REPRISE_RETURN_IF_ERROR(
      VisitRows(spec, view, &sink,
                [&](const PlaneSlice& slice, uint64_t, std::span<float> row) {
                  const auto count = static_cast<int64_t>(row.size());
                  const size_t bytes = ggml_row_size(type, count);
                  quantised.resize(bytes);
                  const uint32_t block = BlockOf(*slice.spec);
                  TransformBlocks(row, block);
                  ggml_quantize_chunk(type, row.data(), quantised.data(), 0, 1,
                                      count, nullptr);
                  to_float(quantised.data(), row.data(), count);
                  TransformBlocks(row, block);
                  size.frame_bytes += static_cast<double>(bytes);
                  size.values += row.size();
                }));
  uint64_t planes = 0;
  for (const LayerSpec& layer : spec.layers) planes += layer.planes.size();
  size.record_bytes =
      static_cast<double>(kFileHeadBytes + planes * kTensorHeadBytes +
                          size.tokens * (kCellBytes + sizeof(int32_t)));
  return size;
}

}  // namespace reprise
