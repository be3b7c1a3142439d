// The bytes of one sequence of llama.cpp, as llama_state_seq_get_data writes
// them and as slot files hold them, read and written without libllama and
// without copying the cache: what a state holds is described as a KvView (or
// KvSink) over the very same bytes.
//
// Versions 3 and 4 of llama.cpp's format for models with one attention cache:
//
//   memory:  magic u32 | sequence i32 | streams
//   file:    "ggsq" | version u32 | n u32 | n words of tokens | streams
//   streams: count u32 | for each: cells u32, and where there are cells:
//            cells x (position i32, 1 u32, [x, y, token i32,] sequence i32)
//            transposed u32 | layers u32 | [rotation of K, of V u32]
//            layers x (type i32, row bytes u64, cells x row)          K
//            layers x the same, or, transposed:                       V
//                     (type i32, element bytes u32, d u32, d x cells elements)
//
// (Version 4 alone has the rotations; only models with M-RoPE have x, y and
// token.) Integers are little endian, nothing is aligned. Sliding-window,
// recurrent and hybrid caches have a second part: kUnimplemented.
//
// All functions are pure, never throw and never read or write outside the
// bytes that they are given, whatever these hold. No error holds cached data.
#ifndef REPRISE_CLIENT_LLAMA_SEQ_STATE_H_
#define REPRISE_CLIENT_LLAMA_SEQ_STATE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/model_spec.h"
#include "codec/segment.h"

namespace reprise {

// "f16", "q8_0", ...; "type 99" for one that is not known here.
std::string GgmlTypeName(int32_t ggml_type);
// kF32, kF16 and kBf16 for the types that are these; kOpaque for blocks of
// quantised values, and for every type that is not known here.
DType DTypeOfGgml(int32_t ggml_type);

// One layer's K or V: a row of `row_bytes` for each cell, [head][dim].
struct SeqTensor {
  int32_t ggml_type = 1;  // f16
  uint64_t row_bytes = 0;
  bool operator==(const SeqTensor&) const = default;
};

// Everything about a state but its cells: what a reader insists on.
struct SeqLayout {
  uint32_t version = 3;
  uint32_t stream_count = 1;
  // V is [dim][cell] instead of [cell][dim]: flash attention was off.
  bool transposed_values = false;
  // Size of the Hadamard blocks in which K and V are stored; 0: none. Bytes of
  // version 3 do not say; parsing leaves them 0.
  uint32_t rotation_k = 0;
  uint32_t rotation_v = 0;
  std::vector<SeqTensor> keys;    // layer by layer
  std::vector<SeqTensor> values;  // as many
  bool operator==(const SeqLayout&) const = default;
};

// "layer 3 K: row is 384 bytes, 768 are wanted", or "" when a state of `given`
// can stand for one of `wanted` as far as its tensors go. Versions, streams
// and transposition are forms of the same tensors and are not compared.
std::string DescribeLayoutDifference(const SeqLayout& given,
                                     const SeqLayout& wanted);

// A parsed state: where its tensors are. Holds no pointer to the bytes.
struct SeqState {
  SeqLayout layout;  // without layers when there are no cells
  uint32_t first_position = 0;
  uint32_t cell_count = 0;  // of the positions from there on, each once
  // cell_of_token[i] holds position first_position + i. Empty: cell i does.
  // llama.cpp reuses freed cells, so the order of a state is not to be relied
  // on.
  std::vector<int32_t> cell_of_token;
  // Of each layer's first row (or first transposed element) in the bytes.
  std::vector<uint64_t> key_offsets;
  std::vector<uint64_t> value_offsets;
};

struct SeqParseOptions {
  uint32_t version = 3;  // bytes in memory do not name it
  // The model rotates by M-RoPE: cells are 12 bytes longer.
  bool extended_cells = false;
};

// Parses what llama_state_seq_get_data[_ext] wrote.
// kDataLoss: the bytes end early or contradict themselves, a position is
// there twice. kUnimplemented: another version, cells in several streams,
// gaps between positions, bytes after the last layer (another kind of cache).
Result<SeqState> ParseSeqState(ByteView bytes, const SeqParseOptions& options);

// A slot file: of llama_state_seq_save_file, or of llama-server, which packs
// its tokens. Offsets in `state` count from the start of the file.
struct SlotFile {
  std::vector<TokenId> tokens;  // as many as cells, or more: see below
  bool packed = false;
  SeqState state;
};
// Errors as ParseSeqState; kUnimplemented for images among the tokens.
// The file's tokens and cells are counted apart: llama-server may save tokens
// whose cells are not there yet. `version` of the options is not used.
Result<SlotFile> ParseSlotFile(ByteView bytes, const SeqParseOptions& options);

// Bytes of a state in memory with so many cells. kInvalidArgument for a layout
// that no state has, and over kMaxSessionTokens cells.
Result<uint64_t> SeqStateBytes(const SeqLayout& layout, uint64_t cell_count);

// Writes all of a state in memory but its rows: heads, cells in the order of
// their positions, a header for each layer. `out` is exactly SeqStateBytes.
// Tell libllama's set_data only after the rows are there: see SinkOver.
// kInvalidArgument for a layout or size that does not fit.
Result<SeqState> WriteSeqState(const SeqLayout& layout, uint32_t first_position,
                               uint64_t cell_count, MutableByteView out);

// The same for a slot file with plain tokens, one for each cell, which both
// llama.cpp's functions and llama-server load.
Result<uint64_t> SlotFileBytes(const SeqLayout& layout, uint64_t token_count);
Result<SeqState> WriteSlotFile(const SeqLayout& layout,
                               std::span<const TokenId> tokens,
                               MutableByteView out);

// The state's tensors for Save, layer by layer K and V, without a copy: cells
// out of order become a block table of one-token pages.
// `bytes` are those that were parsed; they and `state` must outlive the view.
// kFailedPrecondition with the layer and both numbers when the spec's planes
// are not these tensors.
Result<KvView> ViewOver(const SeqState& state, ByteView bytes,
                        const ModelSpec& spec);
// For Restore: the rows of a state that was just written.
Result<KvSink> SinkOver(const SeqState& state, MutableByteView bytes,
                        const ModelSpec& spec);

// The layers of a ModelSpec for these tensors, one plane "k" and one "v" each.
// Quantised rows are opaque bytes, split by head where heads divide them.
// `kv_heads` has one number a layer, or a single one for all.
// kInvalidArgument when heads do not divide a row of plain values.
Result<std::vector<LayerSpec>> LayersOf(const SeqLayout& layout,
                                        std::span<const uint32_t> kv_heads);

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_SEQ_STATE_H_
