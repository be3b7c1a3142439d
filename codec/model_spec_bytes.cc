// The stored form of a ModelSpec (docs/format/model.md), its id, and what
// tells two specs apart.
#include <string>

#include "base/limits.h"
#include "codec/message.h"
#include "codec/model_spec.h"

namespace reprise {
namespace {

constexpr uint32_t kMagic = 0x314d5052;  // "RPM1"
constexpr uint16_t kVersion = 1;
// Magic, version, reserved, bytes of identity, bytes of notes.
constexpr uint64_t kHeaderBytes = 16;
constexpr uint64_t kChecksumBytes = 8;

// Opens the identity part, so that a ModelId is the digest of nothing else.
constexpr std::string_view kIdentityTag("reprise/model/1\0", 16);

// Minus zero equals zero, so it must be stored as zero.
template <typename T>
T Canonical(T value) {
  return value == 0 ? T{0} : value;
}

void WriteRope(const RopeSpec& rope, ByteWriter* writer) {
  writer->U8(static_cast<uint8_t>(rope.pairing));
  writer->U8(static_cast<uint8_t>(rope.scaling));
  writer->U16(0);
  writer->U32(rope.rotary_dims);
  writer->F64(Canonical(rope.theta));
  writer->F64(Canonical(rope.scale));
  writer->U32(rope.original_context);
  writer->U32(static_cast<uint32_t>(rope.factors.size()));
  for (float factor : rope.factors) writer->F32(Canonical(factor));
}

void WriteLayer(const LayerSpec& layer, ByteWriter* writer) {
  writer->U8(static_cast<uint8_t>(layer.kind));
  writer->U8(static_cast<uint8_t>(layer.planes.size()));
  writer->U16(0);
  writer->U32(layer.window);
  for (const PlaneSpec& plane : layer.planes) {
    writer->Text16(plane.name);
    writer->U8(static_cast<uint8_t>(plane.role));
    writer->U8(static_cast<uint8_t>(plane.granularity));
    writer->U8(static_cast<uint8_t>(plane.split));
    writer->U8(static_cast<uint8_t>(plane.dtype));
    writer->U32(plane.heads);
    writer->U32(plane.dim);
  }
}

void WriteIdentity(const ModelSpec& spec, ByteWriter* writer) {
  writer->Raw(AsBytes(kIdentityTag));
  writer->Raw(spec.weights_hash.view());
  writer->Raw(spec.tokenizer_hash.view());
  writer->Raw(spec.adapter_hash.view());
  WriteRope(spec.rope, writer);
  writer->Text16(spec.value_encoding);
  writer->U32(static_cast<uint32_t>(spec.layers.size()));
  for (const LayerSpec& layer : spec.layers) WriteLayer(layer, writer);
}

// The readers below build whatever the bytes say; reserved fields, unknown
// enumerators and numbers out of range are found afterwards, by comparing with
// the canonical form and by ValidateModelSpec. Only what would make them
// allocate too much is checked at once.
void ReadRope(ByteReader* reader, RopeSpec* rope) {
  rope->pairing = static_cast<RopePairing>(reader->U8());
  rope->scaling = static_cast<RopeScaling>(reader->U8());
  reader->U16();
  rope->rotary_dims = reader->U32();
  rope->theta = reader->F64();
  rope->scale = reader->F64();
  rope->original_context = reader->U32();
  const uint32_t factor_count = reader->U32();
  for (uint32_t i = 0; i < factor_count && !reader->failed(); ++i) {
    rope->factors.push_back(reader->F32());
  }
}

void ReadLayer(ByteReader* reader, LayerSpec* layer) {
  layer->kind = static_cast<LayerKind>(reader->U8());
  const uint8_t plane_count = reader->U8();
  reader->U16();
  layer->window = reader->U32();
  for (uint8_t p = 0; p < plane_count && !reader->failed(); ++p) {
    PlaneSpec plane;
    plane.name = reader->Text16();
    plane.role = static_cast<PlaneRole>(reader->U8());
    plane.granularity = static_cast<Granularity>(reader->U8());
    plane.split = static_cast<HeadSplit>(reader->U8());
    plane.dtype = static_cast<DType>(reader->U8());
    plane.heads = reader->U32();
    plane.dim = reader->U32();
    layer->planes.push_back(std::move(plane));
  }
}

Status ReadIdentity(ByteView bytes, ModelSpec* spec) {
  ByteReader reader(bytes);
  if (!BytesEqual(reader.View(kIdentityTag.size()), AsBytes(kIdentityTag))) {
    return DataLossError(
        "model spec: its identity does not begin with the tag");
  }
  spec->weights_hash = ReadId<Sha256Digest>(&reader);
  spec->tokenizer_hash = ReadId<Sha256Digest>(&reader);
  spec->adapter_hash = ReadId<Sha256Digest>(&reader);
  ReadRope(&reader, &spec->rope);
  spec->value_encoding = reader.Text16();
  const uint32_t layer_count = reader.U32();
  for (uint32_t l = 0; l < layer_count && !reader.failed(); ++l) {
    ReadLayer(&reader, &spec->layers.emplace_back());
  }
  return reader.Finish("model spec identity");
}

Status ReadNotes(ByteView bytes, ModelSpec* spec) {
  ByteReader reader(bytes);
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    std::string key(reader.Text16());
    std::string value(reader.Text16());
    spec->notes.emplace_back(std::move(key), std::move(value));
  }
  return reader.Finish("model spec notes");
}

// The two parts of a stored spec, once its frame has been checked.
struct SpecParts {
  ByteView identity;
  ByteView notes;
};

Result<SpecParts> SplitSpec(ByteView bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes ||
      bytes.size() > kMaxModelSpecBytes) {
    return DataLossError(CatMessage("model spec: has ", bytes.size(),
                                    " bytes, ", kHeaderBytes + kChecksumBytes,
                                    " to ", kMaxModelSpecBytes, " are wanted"));
  }
  ByteReader reader(bytes);
  const uint32_t magic = reader.U32();
  if (magic != kMagic) {
    return DataLossError(
        CatMessage("model spec: magic is ", magic, ", ", kMagic, " is wanted"));
  }
  const ByteView checked = bytes.first(bytes.size() - kChecksumBytes);
  const uint64_t stored = LoadLe<uint64_t>(bytes.data() + checked.size());
  const uint64_t computed = Checksum(checked);
  if (stored != computed) {
    return DataLossError(CatMessage("model spec: checksum is ", computed,
                                    ", stored is ", stored));
  }
  const uint16_t version = reader.U16();
  if (version != kVersion) {
    return UnimplementedError(CatMessage("model spec: version is ", version,
                                         ", ", kVersion, " is built"));
  }
  const uint16_t reserved = reader.U16();
  if (reserved != 0) {
    return DataLossError(CatMessage("model spec: reserved field is ", reserved,
                                    ", 0 is wanted"));
  }
  const uint64_t identity_bytes = reader.U32();
  const uint64_t notes_bytes = reader.U32();
  const uint64_t wanted = kHeaderBytes + identity_bytes + notes_bytes;
  if (wanted != checked.size()) {
    return DataLossError(CatMessage("model spec: has ", checked.size(),
                                    " bytes, its header says ", wanted));
  }
  return SpecParts{.identity = checked.subspan(kHeaderBytes, identity_bytes),
                   .notes = checked.subspan(kHeaderBytes + identity_bytes)};
}

std::string Show(std::string_view value) {
  return value.empty() ? "\"\"" : std::string(value);
}
std::string Show(const Sha256Digest& value) { return value.ShortHex(); }
std::string Show(uint32_t value) { return std::to_string(value); }
std::string Show(double value) { return CatMessage(value); }
std::string Show(float value) { return CatMessage(value); }
std::string Show(DType value) { return std::string(DTypeName(value)); }
std::string Show(PlaneRole value) { return std::string(PlaneRoleName(value)); }
std::string Show(Granularity value) {
  return value == Granularity::kToken ? "token" : "state";
}
std::string Show(HeadSplit value) {
  return value == HeadSplit::kByHead ? "by head" : "replicated";
}
std::string Show(LayerKind value) {
  if (value == LayerKind::kFull) return "full";
  return value == LayerKind::kWindow ? "window" : "state";
}
std::string Show(RopePairing value) {
  if (value == RopePairing::kNone) return "none";
  return value == RopePairing::kAdjacent ? "adjacent" : "halves";
}
std::string Show(RopeScaling value) {
  if (value == RopeScaling::kNone) return "none";
  if (value == RopeScaling::kLinear) return "linear";
  return value == RopeScaling::kYarn ? "yarn" : "factors";
}

// Keeps the first difference that it is shown.
class FirstDifference {
 public:
  template <typename T>
  void Field(std::string_view name, const T& given, const T& stored) {
    if (!text_.empty() || given == stored) return;
    text_ = CatMessage(where_, name, " is ", Show(given), ", stored is ",
                       Show(stored));
  }
  // What comes before the names of the fields that follow.
  void Enter(std::string where) { where_ = std::move(where); }
  bool found() const { return !text_.empty(); }
  std::string Take() { return std::move(text_); }

 private:
  std::string where_;
  std::string text_;
};

void CompareRopes(const RopeSpec& given, const RopeSpec& stored,
                  FirstDifference* first) {
  first->Enter("rope: ");
  first->Field("pairing", given.pairing, stored.pairing);
  first->Field("rotary_dims", given.rotary_dims, stored.rotary_dims);
  first->Field("theta", given.theta, stored.theta);
  first->Field("scaling", given.scaling, stored.scaling);
  first->Field("scale", given.scale, stored.scale);
  first->Field("original_context", given.original_context,
               stored.original_context);
  const auto given_count = static_cast<uint32_t>(given.factors.size());
  const auto stored_count = static_cast<uint32_t>(stored.factors.size());
  first->Field("number of factors", given_count, stored_count);
  for (uint32_t i = 0; i < given_count && !first->found(); ++i) {
    first->Field(CatMessage("factor ", i), given.factors[i], stored.factors[i]);
  }
}

void ComparePlanes(const PlaneSpec& given, const PlaneSpec& stored,
                   FirstDifference* first) {
  first->Field<std::string_view>("name", given.name, stored.name);
  first->Field("role", given.role, stored.role);
  first->Field("granularity", given.granularity, stored.granularity);
  first->Field("split", given.split, stored.split);
  first->Field("dtype", given.dtype, stored.dtype);
  first->Field("heads", given.heads, stored.heads);
  first->Field("dim", given.dim, stored.dim);
}

void CompareLayers(const LayerSpec& given, const LayerSpec& stored,
                   uint32_t layer, FirstDifference* first) {
  first->Enter(CatMessage("layer ", layer, ": "));
  first->Field("kind", given.kind, stored.kind);
  first->Field("window", given.window, stored.window);
  const auto given_count = static_cast<uint32_t>(given.planes.size());
  const auto stored_count = static_cast<uint32_t>(stored.planes.size());
  first->Field("number of planes", given_count, stored_count);
  for (uint32_t p = 0; p < given_count && !first->found(); ++p) {
    const PlaneSpec& plane = given.planes[p];
    first->Enter(CatMessage("layer ", layer, " plane ", plane.name, ": "));
    ComparePlanes(plane, stored.planes[p], first);
  }
}

}  // namespace

Bytes EncodeModelSpec(const ModelSpec& spec) {
  ByteWriter writer;
  writer.U32(kMagic);
  writer.U16(kVersion);
  writer.U16(0);
  writer.U32(0);
  writer.U32(0);
  WriteIdentity(spec, &writer);
  const uint64_t identity_end = writer.size();
  writer.U32(static_cast<uint32_t>(spec.notes.size()));
  for (const auto& [key, value] : spec.notes) {
    writer.Text16(key);
    writer.Text16(value);
  }
  StoreLe(writer.At(8), static_cast<uint32_t>(identity_end - kHeaderBytes));
  StoreLe(writer.At(12), static_cast<uint32_t>(writer.size() - identity_end));
  writer.U64(Checksum(writer.bytes()));
  return writer.Take();
}

Result<ModelSpec> DecodeModelSpec(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(const SpecParts parts, SplitSpec(bytes));
  ModelSpec spec;
  REPRISE_RETURN_IF_ERROR(ReadIdentity(parts.identity, &spec));
  REPRISE_RETURN_IF_ERROR(ReadNotes(parts.notes, &spec));
  REPRISE_RETURN_IF_ERROR(ValidateModelSpec(spec));
  ByteWriter canonical;
  WriteIdentity(spec, &canonical);
  if (!BytesEqual(canonical.bytes(), parts.identity)) {
    return DataLossError("model spec: its identity is not in canonical form");
  }
  return spec;
}

ModelId ModelIdOf(const ModelSpec& spec) {
  ByteWriter writer;
  WriteIdentity(spec, &writer);
  ModelId id;
  id.bytes = Sha256(writer.bytes()).bytes;
  return id;
}

std::string DescribeDifference(const ModelSpec& given,
                               const ModelSpec& stored) {
  FirstDifference first;
  first.Field("weights_hash", given.weights_hash, stored.weights_hash);
  first.Field("tokenizer_hash", given.tokenizer_hash, stored.tokenizer_hash);
  first.Field("adapter_hash", given.adapter_hash, stored.adapter_hash);
  first.Field<std::string_view>("value_encoding", given.value_encoding,
                                stored.value_encoding);
  CompareRopes(given.rope, stored.rope, &first);
  first.Enter("");
  const auto given_count = static_cast<uint32_t>(given.layers.size());
  const auto stored_count = static_cast<uint32_t>(stored.layers.size());
  first.Field("number of layers", given_count, stored_count);
  for (uint32_t l = 0; l < given_count && !first.found(); ++l) {
    CompareLayers(given.layers[l], stored.layers[l], l, &first);
  }
  return first.Take();
}

}  // namespace reprise
