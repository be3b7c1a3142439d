#include "client/llama/seq_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/limits.h"

namespace reprise {
namespace {

// A state written field by field, from the format's description alone.
struct BlobShape {
  bool in_memory = true;
  uint32_t version = 3;
  uint32_t streams = 1;
  uint32_t stream = 0;
  bool extended = false;
  bool transposed = false;
  int32_t type = 1;  // f16
  uint32_t element_bytes = 2;
  uint32_t row_elements = 8;  // two heads of four
  uint32_t layers = 2;
  std::vector<int32_t> positions = {0, 1, 2};
};

// What the element holds: a function of its place and of nothing else.
uint8_t ByteAt(uint32_t layer, bool is_key, int32_t position, uint32_t i) {
  return static_cast<uint8_t>(layer * 101 + (is_key ? 7 : 0) + position * 37 +
                              i);
}

void WriteRows(const BlobShape& shape, uint32_t layer, bool is_key,
               ByteWriter* out) {
  const uint32_t row_bytes = shape.row_elements * shape.element_bytes;
  out->U32(static_cast<uint32_t>(shape.type));
  if (is_key || !shape.transposed) {
    out->U64(row_bytes);
    for (const int32_t position : shape.positions) {
      for (uint32_t i = 0; i < row_bytes; ++i) {
        out->U8(ByteAt(layer, is_key, position, i));
      }
    }
    return;
  }
  out->U32(shape.element_bytes);
  out->U32(shape.row_elements);
  for (uint32_t e = 0; e < shape.row_elements; ++e) {
    for (const int32_t position : shape.positions) {
      for (uint32_t b = 0; b < shape.element_bytes; ++b) {
        out->U8(ByteAt(layer, is_key, position, e * shape.element_bytes + b));
      }
    }
  }
}

Bytes MakeBlob(const BlobShape& shape) {
  ByteWriter out;
  if (shape.in_memory) {
    out.U32(0xaf143cd8);
    out.U32(5);
  }
  out.U32(shape.streams);
  for (uint32_t stream = 0; stream < shape.streams; ++stream) {
    if (stream != shape.stream) {
      out.U32(0);
      continue;
    }
    out.U32(static_cast<uint32_t>(shape.positions.size()));
    for (const int32_t position : shape.positions) {
      out.U32(static_cast<uint32_t>(position));
      out.U32(1);
      if (shape.extended) {
        out.U32(1);
        out.U32(2);
        out.U32(3);
      }
      out.U32(5);
    }
    out.U32(shape.transposed ? 1 : 0);
    out.U32(shape.layers);
    if (shape.version >= 4) {
      out.U32(64);
      out.U32(0);
    }
    for (uint32_t i = 0; i < shape.layers; ++i) WriteRows(shape, i, true, &out);
    for (uint32_t i = 0; i < shape.layers; ++i) {
      WriteRows(shape, i, false, &out);
    }
  }
  return out.Take();
}

ModelSpec SpecFor(const SeqLayout& layout, uint32_t heads) {
  ModelSpec spec;
  spec.layers = *LayersOf(layout, std::vector<uint32_t>{heads});
  return spec;
}

template <typename Pointer>
const uint8_t* Address(const KvMemory<Pointer>& memory, size_t plane,
                       uint64_t position, uint32_t head, uint32_t element) {
  const KvPlane<Pointer>& p = memory.planes[plane];
  const uint64_t i = position - memory.first_token;
  int64_t offset =
      head * p.head_stride_bytes + element * p.element_stride_bytes;
  if (memory.paging.empty()) {
    offset += static_cast<int64_t>(i) * p.token_stride_bytes;
  } else {
    offset += memory.paging[0].table32[i] * p.block_stride_bytes;
  }
  return static_cast<const uint8_t*>(p.base) + offset;
}

// Every byte of every plane is where the view says.
void ExpectViewHolds(const BlobShape& shape, ByteView bytes,
                     const SeqState& state) {
  const bool opaque = DTypeOfGgml(shape.type) == DType::kOpaque;
  const uint32_t element_bytes = opaque ? 1 : shape.element_bytes;
  const ModelSpec spec = SpecFor(state.layout, 2);
  Result<KvView> view = ViewOver(state, bytes, spec);
  ASSERT_TRUE(view.ok()) << view.status().ToString();
  ASSERT_EQ(view->planes.size(), 2 * shape.layers);
  ASSERT_EQ(view->token_count, shape.positions.size());
  for (size_t plane = 0; plane < view->planes.size(); ++plane) {
    const PlaneSpec& p = spec.layers[plane / 2].planes[plane % 2];
    for (const int32_t position : shape.positions) {
      for (uint32_t e = 0; e < p.channels(); ++e) {
        const uint8_t* at =
            Address(*view, plane, position, e / p.dim, e % p.dim);
        for (uint32_t b = 0; b < element_bytes; ++b) {
          ASSERT_EQ(at[b], ByteAt(plane / 2, plane % 2 == 0, position,
                                  e * element_bytes + b));
        }
      }
    }
  }
}

void ExpectParses(const BlobShape& shape) {
  const Bytes blob = MakeBlob(shape);
  Result<SeqState> state = ParseSeqState(
      blob, {.version = shape.version, .extended_cells = shape.extended});
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  EXPECT_EQ(state->layout.stream_count, shape.streams);
  EXPECT_EQ(state->layout.transposed_values, shape.transposed);
  ExpectViewHolds(shape, blob, *state);
}

StatusCode ParseCode(const Bytes& blob, uint32_t version = 3) {
  return ParseSeqState(blob, {.version = version}).status().code();
}

TEST(SeqStateTest, ViewsRowsInPlace) { ExpectParses({}); }

TEST(SeqStateTest, ViewsTransposedValuesInPlace) {
  ExpectParses({.transposed = true});
}

TEST(SeqStateTest, ViewsEveryPlainType) {
  for (const bool transposed : {false, true}) {
    ExpectParses({.transposed = transposed, .type = 0, .element_bytes = 4});
    ExpectParses({.transposed = transposed, .type = 30, .element_bytes = 2});
  }
}

TEST(SeqStateTest, TakesQuantisedRowsAsOpaqueBytesOfEachHead) {
  const BlobShape shape = {.type = 8, .element_bytes = 34, .row_elements = 4};
  ExpectParses(shape);
  const Bytes blob = MakeBlob(shape);
  Result<SeqState> state = ParseSeqState(blob, {});
  ASSERT_TRUE(state.ok());
  const PlaneSpec plane = SpecFor(state->layout, 2).layers[0].planes[1];
  EXPECT_EQ(plane.dtype, DType::kOpaque);
  EXPECT_EQ(plane.heads, 2u);
  EXPECT_EQ(plane.dim, 68u);
  const PlaneSpec whole = SpecFor(state->layout, 3).layers[0].planes[1];
  EXPECT_EQ(whole.heads, 1u);
  EXPECT_EQ(whole.dim, 136u);
}

TEST(SeqStateTest, FindsCellsThatAreOutOfOrder) {
  for (const bool transposed : {false, true}) {
    const BlobShape shape = {.transposed = transposed,
                             .positions = {4, 0, 3, 1, 2}};
    ExpectParses(shape);
    const Bytes blob = MakeBlob(shape);
    EXPECT_EQ(ParseSeqState(blob, {})->cell_of_token,
              (std::vector<int32_t>{1, 3, 4, 2, 0}));
  }
}

TEST(SeqStateTest, TakesDeltasThatStartLater) {
  const BlobShape shape = {.positions = {66, 64, 65}};
  ExpectParses(shape);
  const Bytes blob = MakeBlob(shape);
  EXPECT_EQ(ParseSeqState(blob, {})->first_position, 64u);
}

TEST(SeqStateTest, TakesAnyStreamAndVersion4AndExtendedCells) {
  ExpectParses({.streams = 4, .stream = 2});
  ExpectParses({.version = 4});
  ExpectParses({.extended = true});
  const Bytes blob = MakeBlob({.version = 4});
  EXPECT_EQ(ParseSeqState(blob, {.version = 4})->layout.rotation_k, 64u);
}

TEST(SeqStateTest, SaysThatThereAreNoCells) {
  const Bytes blob = MakeBlob({.streams = 3, .stream = 9});
  Result<SeqState> state = ParseSeqState(blob, {});
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->cell_count, 0u);
  EXPECT_EQ(ViewOver(*state, blob, ModelSpec()).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(SeqStateTest, RejectsEveryTruncationAndWhatFollows) {
  for (const bool transposed : {false, true}) {
    Bytes blob = MakeBlob({.transposed = transposed});
    for (size_t size = 0; size < blob.size(); ++size) {
      const Bytes cut(blob.begin(), blob.begin() + size);
      EXPECT_EQ(ParseCode(cut), StatusCode::kDataLoss) << size;
    }
    blob.push_back(0);
    EXPECT_EQ(ParseCode(blob), StatusCode::kUnimplemented);
  }
}

TEST(SeqStateTest, RejectsGapsAndPositionsThatAreThereTwice) {
  EXPECT_EQ(ParseCode(MakeBlob({.positions = {0, 1, 3}})),
            StatusCode::kUnimplemented);
  EXPECT_EQ(ParseCode(MakeBlob({.positions = {0, 1, 1}})),
            StatusCode::kDataLoss);
  EXPECT_EQ(ParseCode(MakeBlob({.positions = {0, 1, -1}})),
            StatusCode::kDataLoss);
  EXPECT_EQ(ParseCode(MakeBlob({.positions = {0, INT32_MAX}})),
            StatusCode::kUnimplemented);
}

TEST(SeqStateTest, RejectsOtherVersionsMagicsAndTwoStreams) {
  Bytes blob = MakeBlob({});
  EXPECT_EQ(ParseCode(blob, 2), StatusCode::kUnimplemented);
  EXPECT_EQ(ParseCode(blob, 5), StatusCode::kUnimplemented);
  blob[0] ^= 1;
  EXPECT_EQ(ParseCode(blob), StatusCode::kDataLoss);
  Bytes twice = MakeBlob({});
  const Bytes stream(twice.begin() + 12, twice.end());
  twice[8] = 2;
  twice.insert(twice.end(), stream.begin(), stream.end());
  EXPECT_EQ(ParseCode(twice), StatusCode::kUnimplemented);
}

TEST(SeqStateTest, RejectsRowsThatAreNoWholeBlocks) {
  EXPECT_EQ(ParseCode(MakeBlob({.type = 8, .element_bytes = 1})),
            StatusCode::kDataLoss);
  EXPECT_EQ(ParseCode(MakeBlob({.transposed = true,
                                .type = 0,
                                .element_bytes = 2,
                                .row_elements = 4})),
            StatusCode::kDataLoss);
}

// Damage may pass for another state, but nothing is read outside the bytes:
// each address of the view lies inside (ASan watches the reads).
TEST(SeqStateTest, StaysInsideTheBytesWhateverIsFlipped) {
  const Bytes blob = MakeBlob({.transposed = true, .positions = {2, 0, 1}});
  for (size_t bit = 0; bit < blob.size() * 8; ++bit) {
    Bytes damaged = blob;
    damaged[bit / 8] ^= 1 << bit % 8;
    Result<SeqState> state = ParseSeqState(damaged, {});
    if (!state.ok() || state->cell_count == 0) continue;
    Result<std::vector<LayerSpec>> layers =
        LayersOf(state->layout, std::vector<uint32_t>{1});
    ASSERT_TRUE(layers.ok());
    ModelSpec spec;
    spec.layers = *layers;
    Result<KvView> view = ViewOver(*state, damaged, spec);
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    for (size_t plane = 0; plane < view->planes.size(); ++plane) {
      const PlaneSpec& p = spec.layers[plane / 2].planes[plane % 2];
      const uint8_t* last =
          Address(*view, plane, view->first_token + view->token_count - 1,
                  p.heads - 1, p.dim - 1);
      EXPECT_LE(last + DTypeBytes(p.dtype), damaged.data() + damaged.size());
    }
  }
}

TEST(SeqStateTest, RefusesAModelOfOtherPlanes) {
  const Bytes blob = MakeBlob({});
  Result<SeqState> state = ParseSeqState(blob, {});
  ModelSpec spec = SpecFor(state->layout, 2);
  spec.layers[1].planes[1].dim = 5;
  const Status status = ViewOver(*state, blob, spec).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "seq state: layer 1 V: row is 16 bytes of f16, the model's is 20 "
            "bytes of f16");
  spec.layers.pop_back();
  EXPECT_EQ(ViewOver(*state, blob, spec).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST(SeqStateTest, RefusesAViewOverFewerBytesThanWereParsed) {
  Bytes blob = MakeBlob({});
  Result<SeqState> state = ParseSeqState(blob, {});
  const ModelSpec spec = SpecFor(state->layout, 2);
  blob.pop_back();
  EXPECT_EQ(ViewOver(*state, blob, spec).status().code(),
            StatusCode::kInvalidArgument);
}

// Copies all values of `from` to `to`, address by address.
void CopyPlanes(const KvView& from, const KvSink& to, const ModelSpec& spec) {
  for (size_t plane = 0; plane < from.planes.size(); ++plane) {
    const PlaneSpec& p = spec.layers[plane / 2].planes[plane % 2];
    for (uint64_t i = 0; i < to.token_count; ++i) {
      for (uint32_t e = 0; e < p.channels(); ++e) {
        const uint32_t head = e / p.dim;
        const uint64_t position = to.first_token + i;
        std::memcpy(
            const_cast<uint8_t*>(Address(to, plane, position, head, e % p.dim)),
            Address(from, plane, position, head, e % p.dim),
            DTypeBytes(p.dtype));
      }
    }
  }
}

// Whatever form the state has, a written one holds the same.
void ExpectWrites(const BlobShape& shape, bool transposed, uint32_t streams) {
  const Bytes blob = MakeBlob(shape);
  Result<SeqState> state = ParseSeqState(blob, {.version = shape.version});
  ASSERT_TRUE(state.ok());
  const ModelSpec spec = SpecFor(state->layout, 2);
  SeqLayout layout = state->layout;
  layout.transposed_values = transposed;
  layout.stream_count = streams;
  Result<uint64_t> size = SeqStateBytes(layout, state->cell_count);
  ASSERT_TRUE(size.ok());
  Bytes out(*size);
  Result<SeqState> written =
      WriteSeqState(layout, state->first_position, state->cell_count, out);
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  CopyPlanes(*ViewOver(*state, blob, spec), *SinkOver(*written, out, spec),
             spec);
  BlobShape expected = shape;
  expected.transposed = transposed;
  expected.streams = streams;
  expected.stream = 0;
  std::sort(expected.positions.begin(), expected.positions.end());
  ExpectViewHolds(expected, out, *written);
  Bytes canonical = MakeBlob(expected);
  for (uint32_t cell = 0; cell < state->cell_count; ++cell) {
    canonical[8 + 8 + cell * 12 + 8] = 0;  // the sequence's number
  }
  canonical[4] = 0;
  EXPECT_EQ(out, canonical);
}

TEST(SeqStateTest, WritesWhatItReadsInAnyForm) {
  for (const bool transposed : {false, true}) {
    ExpectWrites({}, transposed, 1);
    ExpectWrites({.transposed = true}, transposed, 3);
    ExpectWrites({.positions = {66, 64, 65}}, transposed, 1);
    ExpectWrites({.version = 4}, transposed, 2);
  }
}

TEST(SeqStateTest, RefusesToWriteWhatNoStateHas) {
  SeqLayout layout = ParseSeqState(MakeBlob({}), {})->layout;
  EXPECT_FALSE(SeqStateBytes(layout, 0).ok());
  EXPECT_FALSE(SeqStateBytes(layout, kMaxSessionTokens + 1).ok());
  Bytes out(*SeqStateBytes(layout, 3));
  EXPECT_FALSE(WriteSeqState(layout, 0, 2, out).ok());
  EXPECT_FALSE(WriteSeqState(layout, kMaxSessionTokens - 2, 3, out).ok());
  layout.keys[0].row_bytes = 17;
  EXPECT_FALSE(SeqStateBytes(layout, 3).ok());
  layout.keys.pop_back();
  EXPECT_FALSE(SeqStateBytes(layout, 3).ok());
}

TEST(SeqStateTest, SaysWhichTensorDiffers) {
  const SeqLayout layout = ParseSeqState(MakeBlob({}), {})->layout;
  SeqLayout other = layout;
  other.stream_count = 4;
  other.transposed_values = true;
  EXPECT_EQ(DescribeLayoutDifference(layout, other), "");
  other.values[1] = {8, 34};
  EXPECT_EQ(DescribeLayoutDifference(layout, other),
            "layer 1 V: row is 16 bytes of f16, 34 of q8_0 are wanted");
}

Bytes MakeSlotFile(const std::vector<int32_t>& words, uint32_t version) {
  ByteWriter out;
  out.U32(0x67677371);
  out.U32(version);
  out.U32(static_cast<uint32_t>(words.size()));
  for (const int32_t word : words) out.U32(static_cast<uint32_t>(word));
  const Bytes state = MakeBlob({.in_memory = false, .version = version});
  out.Raw(state);
  return out.Take();
}

TEST(SlotFileTest, ReadsPlainTokens) {
  const Bytes bytes = MakeSlotFile({11, 12, 13}, 3);
  Result<SlotFile> file = ParseSlotFile(bytes, {});
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->tokens, (std::vector<TokenId>{11, 12, 13}));
  EXPECT_FALSE(file->packed);
  ExpectViewHolds({}, bytes, file->state);
}

TEST(SlotFileTest, ReadsTokensAsLlamaServerPacksThem) {
  const Bytes bytes = MakeSlotFile({-1, 1, 3, 11, 12, 13, 0}, 4);
  Result<SlotFile> file = ParseSlotFile(bytes, {});
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->tokens, (std::vector<TokenId>{11, 12, 13}));
  EXPECT_TRUE(file->packed);
  EXPECT_EQ(file->state.layout.version, 4u);
  ExpectViewHolds({.version = 4}, bytes, file->state);
}

TEST(SlotFileTest, RejectsImagesCountsThatDisagreeAndTruncations) {
  const auto code = [](const Bytes& bytes) {
    return ParseSlotFile(bytes, {}).status().code();
  };
  EXPECT_EQ(code(MakeSlotFile({-1, 1, 2, 11, 12, 1, 0}, 3)),
            StatusCode::kUnimplemented);
  EXPECT_EQ(code(MakeSlotFile({-1, 2, 2, 11, 12, 0, 0}, 3)),
            StatusCode::kUnimplemented);
  EXPECT_EQ(code(MakeSlotFile({-1, 1, 9, 11, 12, 0, 0}, 3)),
            StatusCode::kDataLoss);
  EXPECT_EQ(code(MakeSlotFile({-1, 1, -5, 11, 12, 0, 0}, 3)),
            StatusCode::kDataLoss);
  const Bytes bytes = MakeSlotFile({-1, 1, 3, 11, 12, 13, 0}, 3);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(code(Bytes(bytes.begin(), bytes.begin() + size)),
              StatusCode::kDataLoss)
        << size;
  }
}

TEST(SlotFileTest, WritesWhatItReads) {
  const Bytes bytes = MakeSlotFile({11, 12, 13}, 3);
  Result<SlotFile> file = ParseSlotFile(bytes, {});
  ASSERT_TRUE(file.ok());
  const SeqLayout& layout = file->state.layout;
  Bytes out(*SlotFileBytes(layout, file->tokens.size()));
  Result<SeqState> written = WriteSlotFile(layout, file->tokens, out);
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  const ModelSpec spec = SpecFor(layout, 2);
  CopyPlanes(*ViewOver(file->state, bytes, spec),
             *SinkOver(*written, out, spec), spec);
  Result<SlotFile> again = ParseSlotFile(out, {});
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->tokens, file->tokens);
  ExpectViewHolds({}, out, again->state);
}

Bytes ReadGolden(const std::string& name) {
  std::ifstream file("tests/golden/slot/" + name, std::ios::binary);
  return Bytes((std::istreambuf_iterator<char>(file)), {});
}

// SHA-256 of all rows: layer by layer, K and then V, token by token.
std::string HashOfRows(const SlotFile& file, ByteView bytes) {
  const ModelSpec spec = SpecFor(file.state.layout, 3);
  const KvView view = *ViewOver(file.state, bytes, spec);
  Sha256Stream stream;
  for (size_t i = 0; i < view.planes.size(); ++i) {
    const PlaneSpec& plane = spec.layers[i / 2].planes[i % 2];
    for (uint64_t token = 0; token < view.token_count; ++token) {
      for (uint32_t e = 0; e < plane.channels(); ++e) {
        stream.Update({Address(view, i, token, e / plane.dim, e % plane.dim),
                       DTypeBytes(plane.dtype)});
      }
    }
  }
  return stream.Finish().Hex();
}

// The hashes are those of a reader in Python, written apart from this one.
TEST(SlotFileTest, ReadsWhatLlamaCppWrote) {
  struct Golden {
    const char* name;
    bool transposed;
    const char* hash;
  };
  const Golden files[] = {
      {"smollm2_f16_transposed.slot", true,
       "cc30d1f7aa08784312cd6097f3332bff1244220c95646fa240f036b344051335"},
      {"smollm2_q8_0.slot", false,
       "e02d3417e6314ced403084b9bd8b2f128addc7ad411d26ec989320089ed8280a"},
  };
  for (const Golden& golden : files) {
    SCOPED_TRACE(golden.name);
    const Bytes bytes = ReadGolden(golden.name);
    Result<SlotFile> file = ParseSlotFile(bytes, {});
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    EXPECT_EQ(file->tokens, (std::vector<TokenId>{19556, 665}));
    EXPECT_EQ(file->state.layout.keys.size(), 30u);
    EXPECT_EQ(file->state.layout.transposed_values, golden.transposed);
    EXPECT_EQ(HashOfRows(*file, bytes), golden.hash);
  }
}

}  // namespace
}  // namespace reprise
