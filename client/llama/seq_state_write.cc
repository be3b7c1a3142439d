#include "base/limits.h"
#include "client/llama/seq_state.h"
#include "client/llama/seq_state_format.h"

namespace reprise {
namespace {

using namespace seq_state;

Status CheckLayout(const SeqLayout& layout, uint64_t cell_count) {
  if (layout.version != 3 && layout.version != 4) {
    return InvalidArgumentError("seq state: version is " +
                                Text(layout.version) + ", 3 and 4 are known");
  }
  if (layout.keys.empty() || layout.keys.size() > kMaxLayers ||
      layout.keys.size() != layout.values.size()) {
    return InvalidArgumentError("seq state: " + Text(layout.keys.size()) +
                                " layers of K, " + Text(layout.values.size()) +
                                " of V, 1 to " + Text(kMaxLayers) +
                                " of both are wanted");
  }
  if (layout.stream_count == 0 || layout.stream_count > kMaxStreams ||
      cell_count == 0 || cell_count > kMaxSessionTokens) {
    return InvalidArgumentError(
        "seq state: " + Text(layout.stream_count) + " streams and " +
        Text(cell_count) + " cells, at most " + Text(kMaxStreams) + " and " +
        Text(kMaxSessionTokens) + " are allowed");
  }
  for (size_t layer = 0; layer < layout.keys.size(); ++layer) {
    for (const bool is_key : {true, false}) {
      const Status status =
          CheckTensor(is_key ? layout.keys[layer] : layout.values[layer],
                      !is_key && layout.transposed_values);
      if (!status.ok()) {
        return InvalidArgumentError("seq state: " + TensorName(layer, is_key) +
                                    ": " + std::string(status.message()));
      }
    }
  }
  return Status::Ok();
}

// REQUIRES: CheckLayout is ok, so no product overflows: 2 x 1024 layers of
// 2^22 rows of 2^24 bytes are 2^57 bytes.
uint64_t StreamsBytes(const SeqLayout& layout, uint64_t cell_count) {
  uint64_t bytes = 4 + 4 * uint64_t{layout.stream_count};
  bytes += cell_count * kCellBytes + 8 + (layout.version >= 4 ? 8 : 0);
  for (size_t layer = 0; layer < layout.keys.size(); ++layer) {
    bytes +=
        2 * kTensorHeadBytes + cell_count * (layout.keys[layer].row_bytes +
                                             layout.values[layer].row_bytes);
  }
  return bytes;
}

// Writes forward into memory whose size was checked before.
class Cursor {
 public:
  Cursor(MutableByteView out, uint64_t position)
      : out_(out), position_(position) {}
  void U32(uint32_t value) { Put(value); }
  void U64(uint64_t value) { Put(value); }
  // Leaves room; where it starts.
  uint64_t Skip(uint64_t bytes) {
    const uint64_t start = position_;
    position_ += bytes;
    return start;
  }

 private:
  template <typename T>
  void Put(T value) {
    REPRISE_DCHECK(position_ + sizeof(T) <= out_.size());
    StoreLe(out_.data() + position_, value);
    position_ += sizeof(T);
  }
  MutableByteView out_;
  uint64_t position_;
};

void WriteTensor(Cursor* cursor, const SeqTensor& tensor, bool transposed,
                 uint64_t cell_count, uint64_t* offset) {
  cursor->U32(static_cast<uint32_t>(tensor.ggml_type));
  if (transposed) {
    const uint32_t element_bytes = DTypeBytes(DTypeOfGgml(tensor.ggml_type));
    cursor->U32(element_bytes);
    cursor->U32(static_cast<uint32_t>(tensor.row_bytes / element_bytes));
  } else {
    cursor->U64(tensor.row_bytes);
  }
  *offset = cursor->Skip(cell_count * tensor.row_bytes);
}

// REQUIRES: CheckLayout is ok and StreamsBytes of room.
SeqState WriteStreams(const SeqLayout& layout, uint32_t first_position,
                      uint64_t cell_count, Cursor* cursor) {
  SeqState state;
  state.layout = layout;
  state.first_position = first_position;
  state.cell_count = static_cast<uint32_t>(cell_count);
  const size_t layers = layout.keys.size();
  state.key_offsets.resize(layers);
  state.value_offsets.resize(layers);
  cursor->U32(layout.stream_count);
  cursor->U32(state.cell_count);
  for (uint32_t i = 0; i < state.cell_count; ++i) {
    cursor->U32(first_position + i);
    cursor->U32(1);
    cursor->U32(0);  // the sequence; a reader puts its own
  }
  cursor->U32(layout.transposed_values ? 1 : 0);
  cursor->U32(static_cast<uint32_t>(layers));
  if (layout.version >= 4) {
    cursor->U32(layout.rotation_k);
    cursor->U32(layout.rotation_v);
  }
  for (size_t i = 0; i < layers; ++i) {
    WriteTensor(cursor, layout.keys[i], false, cell_count,
                &state.key_offsets[i]);
  }
  for (size_t i = 0; i < layers; ++i) {
    WriteTensor(cursor, layout.values[i], layout.transposed_values, cell_count,
                &state.value_offsets[i]);
  }
  for (uint32_t i = 1; i < layout.stream_count; ++i) cursor->U32(0);
  return state;
}

Status CheckOutput(Result<uint64_t> wanted, uint64_t first_position,
                   uint64_t cell_count, MutableByteView out) {
  if (!wanted.ok()) return std::move(wanted).status();
  if (out.size() != *wanted) {
    return InvalidArgumentError("seq state: room for " + Text(out.size()) +
                                " bytes, " + Text(*wanted) + " are wanted");
  }
  if (first_position + cell_count > kMaxSessionTokens) {
    return InvalidArgumentError("seq state: ends at position " +
                                Text(first_position + cell_count) + ", " +
                                Text(kMaxSessionTokens) + " is the limit");
  }
  return Status::Ok();
}

}  // namespace

Result<uint64_t> SeqStateBytes(const SeqLayout& layout, uint64_t cell_count) {
  REPRISE_RETURN_IF_ERROR(CheckLayout(layout, cell_count));
  return kMemoryHeadBytes + StreamsBytes(layout, cell_count);
}

Result<SeqState> WriteSeqState(const SeqLayout& layout, uint32_t first_position,
                               uint64_t cell_count, MutableByteView out) {
  REPRISE_RETURN_IF_ERROR(CheckOutput(SeqStateBytes(layout, cell_count),
                                      first_position, cell_count, out));
  Cursor cursor(out, 0);
  cursor.U32(kMemoryMagic);
  cursor.U32(0);
  return WriteStreams(layout, first_position, cell_count, &cursor);
}

Result<uint64_t> SlotFileBytes(const SeqLayout& layout, uint64_t token_count) {
  REPRISE_RETURN_IF_ERROR(CheckLayout(layout, token_count));
  return kFileHeadBytes + 4 * token_count + StreamsBytes(layout, token_count);
}

Result<SeqState> WriteSlotFile(const SeqLayout& layout,
                               std::span<const TokenId> tokens,
                               MutableByteView out) {
  REPRISE_RETURN_IF_ERROR(
      CheckOutput(SlotFileBytes(layout, tokens.size()), 0, tokens.size(), out));
  Cursor cursor(out, 0);
  cursor.U32(kFileMagic);
  cursor.U32(layout.version);
  cursor.U32(static_cast<uint32_t>(tokens.size()));
  for (const TokenId token : tokens) cursor.U32(static_cast<uint32_t>(token));
  return WriteStreams(layout, 0, tokens.size(), &cursor);
}

}  // namespace reprise
