#include <array>
#include <string_view>

#include "base/limits.h"
#include "client/llama/seq_state.h"
#include "client/llama/seq_state_format.h"

namespace reprise {
namespace {

using namespace seq_state;

struct GgmlType {
  int32_t id;
  std::string_view name;
  uint32_t block_bytes;
  DType dtype;
};
constexpr std::array<GgmlType, 9> kGgmlTypes = {{
    {0, "f32", 4, DType::kF32},
    {1, "f16", 2, DType::kF16},
    {2, "q4_0", 18, DType::kOpaque},
    {3, "q4_1", 20, DType::kOpaque},
    {6, "q5_0", 22, DType::kOpaque},
    {7, "q5_1", 24, DType::kOpaque},
    {8, "q8_0", 34, DType::kOpaque},
    {20, "iq4_nl", 18, DType::kOpaque},
    {30, "bf16", 2, DType::kBf16},
}};

const GgmlType* FindType(int32_t id) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

template <typename Pointer, typename Byte>
Result<KvPlane<Pointer>> PlaneOver(const SeqTensor& tensor,
                                   std::span<Byte> bytes, uint64_t offset,
                                   bool transposed, uint64_t cell_count,
                                   const PlaneSpec& plane) {
  if (offset > bytes.size() ||
      tensor.row_bytes > (bytes.size() - offset) / cell_count) {
    return InvalidArgumentError(Text(cell_count) + " rows of " +
                                Text(tensor.row_bytes) + " bytes from byte " +
                                Text(offset) + " on, but there are " +
                                Text(bytes.size()));
  }
  const DType dtype = DTypeOfGgml(tensor.ggml_type);
  if (plane.dtype != dtype || plane.token_bytes() != tensor.row_bytes) {
    return FailedPreconditionError(
        "row is " + Text(tensor.row_bytes) + " bytes of " +
        GgmlTypeName(tensor.ggml_type) + ", the model's is " +
        Text(plane.token_bytes()) + " bytes of " +
        std::string(DTypeName(plane.dtype)));
  }
  const int64_t element = DTypeBytes(dtype);
  const int64_t cells = static_cast<int64_t>(cell_count);
  KvPlane<Pointer> memory;
  memory.base = bytes.data() + offset;
  memory.element_stride_bytes = transposed ? element * cells : element;
  memory.head_stride_bytes = plane.dim * memory.element_stride_bytes;
  memory.token_stride_bytes =
      transposed ? element : static_cast<int64_t>(tensor.row_bytes);
  memory.block_stride_bytes = memory.token_stride_bytes;
  return memory;
}

template <typename Pointer, typename Byte>
Result<KvMemory<Pointer>> MemoryOver(const SeqState& state,
                                     std::span<Byte> bytes,
                                     const ModelSpec& spec) {
  const SeqLayout& layout = state.layout;
  const size_t layers = layout.keys.size();
  if (layers != spec.layers.size()) {
    return FailedPreconditionError("seq state: " + Text(layers) +
                                   " layers, the model has " +
                                   Text(spec.layers.size()));
  }
  if (state.cell_count == 0) {
    return InvalidArgumentError("seq state: no cells");
  }
  KvMemory<Pointer> memory;
  memory.planes.reserve(2 * layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    if (spec.layers[layer].planes.size() != 2) {
      return FailedPreconditionError(
          "seq state: 2 planes a layer, the model's layer " + Text(layer) +
          " has " + Text(spec.layers[layer].planes.size()));
    }
    for (const bool is_key : {true, false}) {
      const uint64_t offset =
          (is_key ? state.key_offsets : state.value_offsets)[layer];
      auto plane = PlaneOver<Pointer>(
          (is_key ? layout.keys : layout.values)[layer], bytes, offset,
          !is_key && layout.transposed_values, state.cell_count,
          spec.layers[layer].planes[is_key ? 0 : 1]);
      if (!plane.ok()) {
        return plane.status().WithContext("seq state: " +
                                          TensorName(layer, is_key));
      }
      memory.planes.push_back(*plane);
    }
  }
  if (!state.cell_of_token.empty()) {
    KvPaging paging;
    paging.page_tokens = 1;
    paging.table32 = state.cell_of_token.data();
    paging.table_entries = state.cell_of_token.size();
    memory.paging.push_back(paging);
  }
  memory.first_token = state.first_position;
  memory.token_count = state.cell_count;
  return memory;
}

Result<PlaneSpec> PlaneOf(const SeqTensor& tensor, bool is_key,
                          uint32_t kv_heads) {
  PlaneSpec plane;
  plane.name = is_key ? "k" : "v";
  plane.role = is_key ? PlaneRole::kKey : PlaneRole::kValue;
  plane.dtype = DTypeOfGgml(tensor.ggml_type);
  const uint64_t elements = tensor.row_bytes / DTypeBytes(plane.dtype);
  const bool divides = kv_heads != 0 && elements % kv_heads == 0;
  if (!divides && plane.dtype != DType::kOpaque) {
    return InvalidArgumentError(Text(elements) + " values a token in " +
                                Text(kv_heads) + " heads");
  }
  plane.heads = divides ? kv_heads : 1;
  plane.dim = static_cast<uint32_t>(elements / plane.heads);
  return plane;
}

}  // namespace

namespace seq_state {

Status CheckTensor(const SeqTensor& tensor, bool transposed) {
  const uint64_t row = tensor.row_bytes;
  if (row == 0 || row > kMaxPlaneTokenBytes) {
    return DataLossError("row is " + Text(row) + " bytes, 1 to " +
                         Text(kMaxPlaneTokenBytes) + " are allowed");
  }
  const GgmlType* type = FindType(tensor.ggml_type);
  const uint32_t block = type != nullptr ? type->block_bytes : 1;
  if (row % block != 0) {
    return DataLossError("row is " + Text(row) + " bytes, a block of " +
                         GgmlTypeName(tensor.ggml_type) + " is " + Text(block));
  }
  if (transposed && DTypeOfGgml(tensor.ggml_type) == DType::kOpaque) {
    return UnimplementedError("transposed values of " +
                              GgmlTypeName(tensor.ggml_type));
  }
  return Status::Ok();
}

}  // namespace seq_state

std::string GgmlTypeName(int32_t ggml_type) {
  const GgmlType* type = FindType(ggml_type);
  return type != nullptr ? std::string(type->name)
                         : "type " + std::to_string(ggml_type);
}

DType DTypeOfGgml(int32_t ggml_type) {
  const GgmlType* type = FindType(ggml_type);
  return type != nullptr ? type->dtype : DType::kOpaque;
}

std::string DescribeLayoutDifference(const SeqLayout& given,
                                     const SeqLayout& wanted) {
  if (given.keys.size() != wanted.keys.size() ||
      given.values.size() != wanted.values.size()) {
    return Text(given.keys.size()) + " layers, " + Text(wanted.keys.size()) +
           " are wanted";
  }
  for (size_t layer = 0; layer < given.keys.size(); ++layer) {
    for (const bool is_key : {true, false}) {
      const SeqTensor& a = is_key ? given.keys[layer] : given.values[layer];
      const SeqTensor& b = is_key ? wanted.keys[layer] : wanted.values[layer];
      if (a == b) continue;
      return TensorName(layer, is_key) + ": row is " + Text(a.row_bytes) +
             " bytes of " + GgmlTypeName(a.ggml_type) + ", " +
             Text(b.row_bytes) + " of " + GgmlTypeName(b.ggml_type) +
             " are wanted";
    }
  }
  if (given.version >= 4 && (given.rotation_k != wanted.rotation_k ||
                             given.rotation_v != wanted.rotation_v)) {
    return "values are rotated in blocks of " + Text(given.rotation_k) +
           " (K) and " + Text(given.rotation_v) + " (V), " +
           Text(wanted.rotation_k) + " and " + Text(wanted.rotation_v) +
           " are wanted";
  }
  return "";
}

Result<KvView> ViewOver(const SeqState& state, ByteView bytes,
                        const ModelSpec& spec) {
  return MemoryOver<const void*>(state, bytes, spec);
}

Result<KvSink> SinkOver(const SeqState& state, MutableByteView bytes,
                        const ModelSpec& spec) {
  return MemoryOver<void*>(state, bytes, spec);
}

Result<std::vector<LayerSpec>> LayersOf(const SeqLayout& layout,
                                        std::span<const uint32_t> kv_heads) {
  const size_t layers = layout.keys.size();
  if (layout.values.size() != layers ||
      (kv_heads.size() != 1 && kv_heads.size() != layers)) {
    return InvalidArgumentError("seq state: " + Text(layers) +
                                " layers, heads for " + Text(kv_heads.size()));
  }
  std::vector<LayerSpec> specs(layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    const uint32_t heads = kv_heads[kv_heads.size() == 1 ? 0 : layer];
    for (const bool is_key : {true, false}) {
      Result<PlaneSpec> plane = PlaneOf(
          is_key ? layout.keys[layer] : layout.values[layer], is_key, heads);
      if (!plane.ok()) {
        return plane.status().WithContext("seq state: " +
                                          TensorName(layer, is_key));
      }
      specs[layer].planes.push_back(*std::move(plane));
    }
  }
  return specs;
}

}  // namespace reprise
