#include "client/llama/seq_state.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "client/llama/seq_state_format.h"

namespace reprise {
namespace {

using namespace seq_state;

// Reads the positions of `count` cells; finds where each one's token is.
Status ParseCells(ByteReader* reader, uint32_t count, bool extended,
                  SeqState* state) {
  const uint64_t cell_bytes = extended ? kExtendedCellBytes : kCellBytes;
  if (count > kMaxSessionTokens || count > reader->left() / cell_bytes) {
    return DataLossError(Text(count) + " cells, but " + Text(reader->left()) +
                         " bytes are left");
  }
  std::vector<int32_t> positions(count);
  for (uint32_t i = 0; i < count; ++i) {
    positions[i] = static_cast<int32_t>(reader->U32());
    const uint32_t sequences = reader->U32();
    reader->View(cell_bytes - 8);  // x, y and token; the sequence's number
    if (positions[i] < 0 || sequences != 1) {
      return DataLossError("cell " + Text(i) + " has position " +
                           std::to_string(positions[i]) + " and " +
                           Text(sequences) + " sequences, 1 is wanted");
    }
  }
  const int32_t first = *std::min_element(positions.begin(), positions.end());
  const int32_t last = *std::max_element(positions.begin(), positions.end());
  state->first_position = static_cast<uint32_t>(first);
  state->cell_count = count;
  bool ordered = true;
  state->cell_of_token.assign(count, -1);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t token = static_cast<uint32_t>(positions[i] - first);
    ordered = ordered && token == i;
    if (token >= count) {
      return UnimplementedError("positions " + std::to_string(first) + " to " +
                                std::to_string(last) + " in " + Text(count) +
                                " cells: gaps are not supported");
    }
    if (state->cell_of_token[token] >= 0) {
      return DataLossError("position " + std::to_string(positions[i]) +
                           " is there twice");
    }
    state->cell_of_token[token] = static_cast<int32_t>(i);
  }
  if (ordered) state->cell_of_token.clear();
  return Status::Ok();
}

Status ParseTensor(ByteReader* reader, uint64_t base, uint32_t cell_count,
                   bool transposed, SeqTensor* tensor, uint64_t* offset) {
  tensor->ggml_type = static_cast<int32_t>(reader->U32());
  if (transposed) {
    const uint32_t element_bytes = reader->U32();
    const uint32_t elements = reader->U32();
    tensor->row_bytes = uint64_t{element_bytes} * elements;
    const DType dtype = DTypeOfGgml(tensor->ggml_type);
    if (dtype != DType::kOpaque && element_bytes != DTypeBytes(dtype)) {
      return DataLossError("element is " + Text(element_bytes) +
                           " bytes, one of " + GgmlTypeName(tensor->ggml_type) +
                           " is " + Text(DTypeBytes(dtype)));
    }
  } else {
    tensor->row_bytes = reader->U64();
  }
  REPRISE_RETURN_IF_ERROR(reader->Check("tensor"));
  REPRISE_RETURN_IF_ERROR(CheckTensor(*tensor, transposed));
  *offset = base + reader->position();
  if (tensor->row_bytes > reader->left() / cell_count) {
    return DataLossError(Text(cell_count) + " rows of " +
                         Text(tensor->row_bytes) + " bytes, but " +
                         Text(reader->left()) + " are left");
  }
  reader->View(tensor->row_bytes * cell_count);
  return Status::Ok();
}

Status ParseTensors(ByteReader* reader, uint64_t base, bool is_key,
                    SeqState* state) {
  SeqLayout& layout = state->layout;
  std::vector<SeqTensor>& tensors = is_key ? layout.keys : layout.values;
  std::vector<uint64_t>& offsets =
      is_key ? state->key_offsets : state->value_offsets;
  offsets.resize(tensors.size());
  for (size_t layer = 0; layer < tensors.size(); ++layer) {
    const bool transposed = !is_key && layout.transposed_values;
    const Status status =
        ParseTensor(reader, base, state->cell_count, transposed,
                    &tensors[layer], &offsets[layer]);
    if (!status.ok()) return status.WithContext(TensorName(layer, is_key));
  }
  return Status::Ok();
}

// Everything of the one stream that has cells.
Status ParseStream(ByteReader* reader, uint64_t base, uint32_t cell_count,
                   bool extended, SeqState* state) {
  if (state->cell_count != 0) {
    return UnimplementedError("two streams have cells: not one sequence");
  }
  REPRISE_RETURN_IF_ERROR(ParseCells(reader, cell_count, extended, state));
  SeqLayout& layout = state->layout;
  const uint32_t transposed = reader->U32();
  const uint32_t layers = reader->U32();
  if (layout.version >= 4) {
    layout.rotation_k = reader->U32();
    layout.rotation_v = reader->U32();
  }
  REPRISE_RETURN_IF_ERROR(reader->Check("cells"));
  if (transposed > 1 || layers == 0 || layers > kMaxLayers) {
    return DataLossError("transposed is " + Text(transposed) + ", layers are " +
                         Text(layers) + ", at most 1 and 1 to " +
                         Text(kMaxLayers) + " are allowed");
  }
  layout.transposed_values = transposed == 1;
  layout.keys.resize(layers);
  layout.values.resize(layers);
  REPRISE_RETURN_IF_ERROR(ParseTensors(reader, base, true, state));
  return ParseTensors(reader, base, false, state);
}

// From the number of streams on, which is `base` bytes into the whole.
Result<SeqState> ParseStreams(ByteView bytes, uint64_t base,
                              const SeqParseOptions& options) {
  if (options.version != 3 && options.version != 4) {
    return UnimplementedError("version is " + Text(options.version) +
                              ", 3 and 4 are known");
  }
  ByteReader reader(bytes);
  SeqState state;
  SeqLayout& layout = state.layout;
  layout.version = options.version;
  layout.stream_count = reader.U32();
  REPRISE_RETURN_IF_ERROR(reader.Check("streams"));
  if (layout.stream_count == 0 || layout.stream_count > kMaxStreams) {
    return DataLossError(Text(layout.stream_count) + " streams, 1 to " +
                         Text(kMaxStreams) + " are allowed");
  }
  for (uint32_t i = 0; i < layout.stream_count; ++i) {
    const uint32_t cells = reader.U32();
    if (cells == 0) continue;
    REPRISE_RETURN_IF_ERROR(
        ParseStream(&reader, base, cells, options.extended_cells, &state));
  }
  REPRISE_RETURN_IF_ERROR(reader.Check("streams"));
  if (reader.left() != 0) {
    return UnimplementedError(
        Text(reader.left()) +
        " bytes after the last layer: a sliding-window, recurrent or other "
        "cache, which is not supported");
  }
  return state;
}

// The token list of a slot file, plain or as llama-server packs it:
// -1, 1, count, tokens, media count, ...
Status UnpackTokens(ByteView list, SlotFile* file) {
  const uint64_t words = list.size() / 4;
  const auto word = [&](uint64_t i) {
    return LoadLe<int32_t>(list.data() + 4 * i);
  };
  uint64_t first = 0;
  uint64_t count = words;
  if (words >= 4 && word(0) == -1) {
    if (word(1) != 1) {
      return UnimplementedError("packed tokens of version " +
                                std::to_string(word(1)) + ", 1 is known");
    }
    first = 3;
    count = static_cast<uint32_t>(word(2));
    if (count > words - 4) {
      return DataLossError(Text(count) + " packed tokens in " + Text(words) +
                           " words");
    }
    if (word(first + count) != 0) {
      return UnimplementedError("images among the tokens");
    }
    file->packed = true;
  }
  file->tokens.resize(count);
  if (count != 0) {
    std::memcpy(file->tokens.data(), list.data() + 4 * first, 4 * count);
  }
  return Status::Ok();
}

Result<SlotFile> ParseSlot(ByteView bytes, const SeqParseOptions& options) {
  ByteReader reader(bytes);
  const uint32_t magic = reader.U32();
  const uint32_t version = reader.U32();
  const uint32_t words = reader.U32();
  REPRISE_RETURN_IF_ERROR(reader.Check("head"));
  if (magic != kFileMagic) {
    return DataLossError("magic is " + Text(magic) + ", " + Text(kFileMagic) +
                         " is wanted");
  }
  const ByteView list = reader.View(uint64_t{words} * 4);
  REPRISE_RETURN_IF_ERROR(reader.Check("tokens"));
  SlotFile file;
  REPRISE_RETURN_IF_ERROR(UnpackTokens(list, &file));
  SeqParseOptions of_file = options;
  of_file.version = version;
  const uint64_t base = reader.position();
  REPRISE_ASSIGN_OR_RETURN(file.state,
                           ParseStreams(bytes.subspan(base), base, of_file));
  return file;
}

}  // namespace

Result<SeqState> ParseSeqState(ByteView bytes, const SeqParseOptions& options) {
  ByteReader reader(bytes);
  const uint32_t magic = reader.U32();
  reader.U32();  // the sequence's number, of no meaning to a reader
  REPRISE_RETURN_IF_ERROR(reader.Check("seq state: head"));
  if (magic != kMemoryMagic) {
    return DataLossError("seq state: magic is " + Text(magic) + ", " +
                         Text(kMemoryMagic) + " is wanted");
  }
  Result<SeqState> state =
      ParseStreams(bytes.subspan(kMemoryHeadBytes), kMemoryHeadBytes, options);
  if (!state.ok()) return state.status().WithContext("seq state");
  return state;
}

Result<SlotFile> ParseSlotFile(ByteView bytes, const SeqParseOptions& options) {
  Result<SlotFile> file = ParseSlot(bytes, options);
  if (!file.ok()) return file.status().WithContext("slot file");
  return file;
}

}  // namespace reprise
