// The bytes of a profile, read and written, and the rules that it keeps.
#include "codec/klt_profile_format.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint8_t kMagic[8] = {'R', 'P', 'R', 'K', 'P', 'R', 'O', 'F'};
constexpr uint16_t kVersion = 1;
constexpr uint64_t kSizeOffset = 16;
constexpr uint64_t kChecksumOffset = 24;
constexpr uint64_t kHeaderBytes = 128;
constexpr uint64_t kReservedBytes = 32;
constexpr uint64_t kPlaneBytes = 12;
constexpr uint64_t kGroupHeaderBytes = 16;
constexpr uint32_t kMaxRotaryDims = 4096;
constexpr uint32_t kMaxPlanes = kMaxLayers * kMaxPlanesPerLayer;
constexpr uint32_t kMaxNotesBytes = 65536;
constexpr float kMaxMu = 0x1p40f;
constexpr float kMinScale = 0x1p-40f;
constexpr float kMaxScale = 0x1p40f;
constexpr float kMaxFinite = std::numeric_limits<float>::max();
constexpr uint32_t kMaxLo1OverLo0 = 5;

// Fails unless `is` lies within [min, max]; a NaN lies nowhere.
template <typename T>
Status Within(std::string_view what, T is, T min, T max) {
  if (is >= min && is <= max) return Status();
  return DataLossError(CatMessage("klt profile: ", what, " is ", is, ", ", min,
                                  " to ", max, " is right"));
}

Status AllWithin(std::string_view what, const std::vector<float>& values,
                 float min, float max) {
  for (const float value : values) {
    REPRISE_RETURN_IF_ERROR(Within(what, value, min, max));
  }
  return Status();
}

Status Equal(std::string_view what, uint64_t is, uint64_t wanted) {
  return Within(what, is, wanted, wanted);
}

// ------------------------------------------------------------------- rules

Status CheckHeader(const KltProfileParts& parts) {
  const auto pairing = static_cast<uint32_t>(parts.pairing);
  const bool rotates = pairing != 0;
  REPRISE_RETURN_IF_ERROR(Within("rotary pairing", pairing, 0u, 2u));
  REPRISE_RETURN_IF_ERROR(Within("rotary dims", parts.rotary_dims,
                                 rotates ? 2u : 0u,
                                 rotates ? kMaxRotaryDims : 0u));
  REPRISE_RETURN_IF_ERROR(
      Equal("odd part of the rotary dims", parts.rotary_dims % 2, 0));
  REPRISE_RETURN_IF_ERROR(
      Equal("number of turns", parts.turns.size(), parts.rotary_dims / 2));
  REPRISE_RETURN_IF_ERROR(Within("step", parts.step, 0x1p-40, 0x1p40));
  REPRISE_RETURN_IF_ERROR(
      Within<uint64_t>("number of planes", parts.planes.size(), 1, kMaxPlanes));
  REPRISE_RETURN_IF_ERROR(
      Within<uint64_t>("number of groups", parts.groups.size(), 1, kMaxLayers));
  REPRISE_RETURN_IF_ERROR(
      Within("kind", static_cast<uint32_t>(parts.kind), 0u, 1u));
  REPRISE_RETURN_IF_ERROR(
      Within("raw first", parts.raw_first, 0u, kSegmentTokens));
  REPRISE_RETURN_IF_ERROR(Within("lo0", parts.lo0, 0u, 255u));
  REPRISE_RETURN_IF_ERROR(
      Within("lo1", parts.lo1, 0u, std::min(parts.lo0 + kMaxLo1OverLo0, 255u)));
  REPRISE_RETURN_IF_ERROR(Within<uint64_t>(
      "tables of stage 0", parts.magnitudes.size(), 1, kKltMaxTables));
  REPRISE_RETURN_IF_ERROR(Within<uint64_t>(
      "refining tables", parts.refining.size(), 1, kKltMaxTables));
  REPRISE_RETURN_IF_ERROR(Within("largest exponent", parts.largest_exponent, 0u,
                                 kKltExponents - 1));
  REPRISE_RETURN_IF_ERROR(Within("least exponent", parts.least_exponent, 0u,
                                 parts.largest_exponent));
  REPRISE_RETURN_IF_ERROR(Within("exponent of sensitivities",
                                 parts.sensitivity_exponent, 0.0f, 4.0f));
  return Within<uint64_t>("bytes of the notes", parts.notes.size(), 0,
                          kMaxNotesBytes);
}

Status CheckPlane(const KltPlane& plane, const KltProfileParts& parts) {
  REPRISE_RETURN_IF_ERROR(
      Within<uint32_t>("layer of a plane", plane.layer, 0, kMaxLayers - 1));
  REPRISE_RETURN_IF_ERROR(Within<uint32_t>("index of a plane", plane.plane, 0,
                                           kMaxPlanesPerLayer - 1));
  const bool may_rotate = parts.pairing != RopePairing::kNone;
  REPRISE_RETURN_IF_ERROR(Within<uint32_t>(
      "rotation of a plane", plane.is_rotated, 0, may_rotate ? 1 : 0));
  REPRISE_RETURN_IF_ERROR(
      Within("heads of a plane", plane.heads, 1u, kMaxHeads));
  return Within("dim of a plane", plane.dim,
                plane.is_rotated ? parts.rotary_dims : 1u, kMaxHeadDim);
}

Status CheckPlanes(const KltProfileParts& parts) {
  const KltPlane* last = nullptr;
  for (const KltPlane& plane : parts.planes) {
    REPRISE_RETURN_IF_ERROR(CheckPlane(plane, parts));
    if (last != nullptr && std::tie(plane.layer, plane.plane) <=
                               std::tie(last->layer, last->plane)) {
      return DataLossError(CatMessage(
          "klt profile: layer ", plane.layer, " plane ", plane.plane,
          " stands after layer ", last->layer, " plane ", last->plane));
    }
    last = &plane;
  }
  return Status();
}

Status CheckTables(const KltProfileParts& parts) {
  uint64_t sum = 0;
  for (const uint32_t f : parts.exponents) {
    REPRISE_RETURN_IF_ERROR(
        Within("frequency of an exponent", f, 1u, kKltSlots));
    sum += f;
  }
  REPRISE_RETURN_IF_ERROR(
      Equal("sum of the exponents' frequencies", sum, kKltSlots));
  for (const KltMagnitudeTable& table : parts.magnitudes) {
    sum = 0;
    for (const uint32_t f : table) {
      REPRISE_RETURN_IF_ERROR(
          Within("frequency of a magnitude", f, 0u, kKltSlots - 1));
      sum += f;
    }
    REPRISE_RETURN_IF_ERROR(
        Equal("sum of the magnitudes' frequencies", sum, kKltSlots));
    REPRISE_RETURN_IF_ERROR(Within<uint32_t>(
        "frequency of the escape", table[kKltEscape], 1, kKltSlots - 1));
  }
  for (const KltRefiningTable& table : parts.refining) {
    for (uint32_t context = 0; context < kKltContexts; ++context) {
      const uint32_t one = table[context][0];
      const uint32_t two = table[context][1];
      const uint32_t least = context == 0 ? 0 : 1;
      REPRISE_RETURN_IF_ERROR(
          Within("frequency of +1", one, 1u, kKltSlots - 1 - least));
      REPRISE_RETURN_IF_ERROR(Within("frequency of -1", two, least,
                                     context == 0 ? 0 : kKltSlots - 1 - one));
    }
  }
  return Status();
}

Status CheckSizes(const KltGroupParts& group, uint64_t plane_count) {
  const uint64_t n = group.n;
  REPRISE_RETURN_IF_ERROR(Equal("number of means", group.mu.size(), n));
  REPRISE_RETURN_IF_ERROR(Equal("number of dec", group.dec.size(), n));
  REPRISE_RETURN_IF_ERROR(Equal("number of enc", group.enc.size(), n));
  REPRISE_RETURN_IF_ERROR(
      Equal("size of a regressor", group.regressor.by_channel.size(), n));
  REPRISE_RETURN_IF_ERROR(Equal("norms of a regressor",
                                group.regressor.by_norm.size(), plane_count));
  REPRISE_RETURN_IF_ERROR(
      Equal("number of levels", group.levels.size(), group.rows()));
  REPRISE_RETURN_IF_ERROR(Equal("size of hi", group.hi.size(), n * n));
  return Equal("size of lo", group.lo.size(), group.lead * n);
}

Status CheckLimbs(std::string_view what, const std::vector<int8_t>& limbs) {
  // The one byte that is no limb.
  const bool has_least = !limbs.empty() && std::memchr(limbs.data(), 0x80,
                                                       limbs.size()) != nullptr;
  return Within(what, has_least ? -128 : 0, -127, 127);
}

Status CheckGroup(const KltGroupParts& group, uint64_t plane_count) {
  if (group.lead % kKltLanes != 0) {
    REPRISE_RETURN_IF_ERROR(Equal("lead of a group", group.lead, group.n));
  }
  REPRISE_RETURN_IF_ERROR(Within("lead of a group", group.lead, 0u, group.n));
  REPRISE_RETURN_IF_ERROR(CheckSizes(group, plane_count));
  REPRISE_RETURN_IF_ERROR(AllWithin("a mean", group.mu, -kMaxMu, kMaxMu));
  REPRISE_RETURN_IF_ERROR(AllWithin("a dec", group.dec, kMinScale, kMaxScale));
  REPRISE_RETURN_IF_ERROR(AllWithin("an enc", group.enc, kMinScale, kMaxScale));
  const KltRegressor& regressor = group.regressor;
  constexpr std::string_view kWeight = "a regressor's weight";
  REPRISE_RETURN_IF_ERROR(
      AllWithin(kWeight, regressor.by_channel, -kMaxFinite, kMaxFinite));
  REPRISE_RETURN_IF_ERROR(
      AllWithin(kWeight, regressor.by_norm, -kMaxFinite, kMaxFinite));
  REPRISE_RETURN_IF_ERROR(
      Within(kWeight, regressor.by_position, -kMaxFinite, kMaxFinite));
  REPRISE_RETURN_IF_ERROR(
      Within(kWeight, regressor.constant, -kMaxFinite, kMaxFinite));
  for (size_t r = 1; r < group.levels.size(); ++r) {
    REPRISE_RETURN_IF_ERROR(Within<uint32_t>("level of a row", group.levels[r],
                                             0, group.levels[r - 1]));
  }
  REPRISE_RETURN_IF_ERROR(CheckLimbs("an element of hi", group.hi));
  return CheckLimbs("an element of lo", group.lo);
}

// Where a group stands, and its n. `next_layer` and `planes_before` are what
// the groups before it leave.
Status CheckPlace(const KltProfileParts& parts, const KltGroupParts& group,
                  uint32_t next_layer, uint64_t planes_before) {
  REPRISE_RETURN_IF_ERROR(Within<uint32_t>(
      "first layer of a group", group.first_layer, next_layer, kMaxLayers - 1));
  REPRISE_RETURN_IF_ERROR(Within<uint32_t>("layer count of a group",
                                           group.layer_count, 1,
                                           kMaxLayers - group.first_layer));
  const std::span<const KltPlane> planes = parts.PlanesOf(group);
  REPRISE_RETURN_IF_ERROR(Within<uint64_t>("number of planes of a group",
                                           planes.size(), 1, kMaxPlanes));
  const auto first = static_cast<uint64_t>(planes.data() - parts.planes.data());
  REPRISE_RETURN_IF_ERROR(Equal("planes before a group", first, planes_before));
  uint64_t channels = 0;
  for (const KltPlane& plane : planes) channels += plane.channels();
  REPRISE_RETURN_IF_ERROR(
      Within<uint64_t>("channels of a group", channels, 1, kKltMaxChannels));
  return Equal("n of a group", group.n, channels);
}

uint64_t AlignTo4(uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; }

uint64_t BytesOfGroup(const KltGroupParts& group, uint64_t plane_count) {
  const uint64_t n = group.n;
  const uint64_t floats = 4 * n + plane_count + 2;
  return kGroupHeaderBytes + 4 * floats + AlignTo4(group.rows()) +
         AlignTo4(n * n + group.lead * n);
}

uint64_t BytesOfProfile(const KltProfileParts& parts) {
  uint64_t bytes = kHeaderBytes + 8 * parts.turns.size() +
                   kPlaneBytes * parts.planes.size() +
                   sizeof(KltExponentTable) +
                   sizeof(KltMagnitudeTable) * parts.magnitudes.size() +
                   sizeof(KltRefiningTable) * parts.refining.size();
  for (const KltGroupParts& group : parts.groups) {
    bytes += BytesOfGroup(group, parts.PlanesOf(group).size());
  }
  return bytes + parts.notes.size();
}

// ----------------------------------------------------------------- reading

struct Counts {
  uint32_t planes = 0;
  uint32_t groups = 0;
  uint32_t magnitudes = 0;
  uint32_t refining = 0;
  uint32_t notes_bytes = 0;
};

Status CheckEnvelope(ByteView bytes) {
  REPRISE_RETURN_IF_ERROR(
      Within<uint64_t>("size", bytes.size(), kHeaderBytes, kMaxProfileBytes));
  if (!BytesEqual(bytes.first(sizeof(kMagic)), kMagic)) {
    return DataLossError(CatMessage("klt profile: the magic is ",
                                    ToHex(bytes.first(sizeof(kMagic))),
                                    ", wanted is ", ToHex(kMagic)));
  }
  const auto size = LoadLe<uint64_t>(bytes.data() + kSizeOffset);
  REPRISE_RETURN_IF_ERROR(Equal("size in the header", size, bytes.size()));
  const auto stored = LoadLe<uint64_t>(bytes.data() + kChecksumOffset);
  const uint64_t actual =
      Checksum(bytes.first(kChecksumOffset),
               bytes.subspan(kChecksumOffset + sizeof(uint64_t)));
  REPRISE_RETURN_IF_ERROR(Equal("checksum", stored, actual));
  const auto version = LoadLe<uint16_t>(bytes.data() + sizeof(kMagic));
  if (version == kVersion) return Status();
  return UnimplementedError(
      CatMessage("klt profile: version is ", version, ", 1 is known"));
}

Status ReadHeader(ByteReader* reader, KltProfileParts* parts, Counts* counts) {
  reader->View(sizeof(kMagic) + sizeof(kVersion));
  parts->pairing = static_cast<RopePairing>(reader->U16());
  parts->rotary_dims = reader->U32();
  reader->View(kChecksumOffset + sizeof(uint64_t) - kSizeOffset);
  parts->weights = ReadId<Sha256Digest>(reader);
  parts->step = reader->F64();
  counts->planes = reader->U32();
  counts->groups = reader->U32();
  parts->kind = static_cast<KltProfileKind>(reader->U8());
  parts->raw_first = reader->U8();
  parts->lo0 = reader->U8();
  parts->lo1 = reader->U8();
  counts->magnitudes = reader->U8();
  counts->refining = reader->U8();
  parts->least_exponent = reader->U8();
  parts->largest_exponent = reader->U8();
  parts->sensitivity_exponent = reader->F32();
  counts->notes_bytes = reader->U32();
  for (const uint8_t byte : reader->View(kReservedBytes)) {
    REPRISE_RETURN_IF_ERROR(Equal("a reserved byte", byte, 0));
  }
  REPRISE_RETURN_IF_ERROR(
      Within("rotary dims", parts->rotary_dims, 0u, kMaxRotaryDims));
  REPRISE_RETURN_IF_ERROR(
      Within("number of planes", counts->planes, 1u, kMaxPlanes));
  return Within("number of groups", counts->groups, 1u, kMaxLayers);
}

// RopePairing is an enum of 8 bits, stored in 16.
Status CheckPairing(ByteView bytes) {
  const auto pairing = LoadLe<uint16_t>(bytes.data() + 10);
  return Within<uint32_t>("rotary pairing", pairing, 0, 2);
}

void ReadPlane(ByteReader* reader, KltPlane* plane, uint8_t* rotation) {
  plane->layer = reader->U16();
  plane->plane = reader->U8();
  *rotation = reader->U8();
  plane->is_rotated = *rotation != 0;
  plane->heads = reader->U32();
  plane->dim = reader->U32();
}

Status ReadPlanes(ByteReader* reader, uint32_t count, KltProfileParts* parts) {
  for (uint32_t i = 0; i < count && !reader->failed(); ++i) {
    uint8_t rotation = 0;
    ReadPlane(reader, &parts->planes.emplace_back(), &rotation);
    REPRISE_RETURN_IF_ERROR(
        Within<uint32_t>("rotation of a plane", rotation, 0, 1));
  }
  return reader->Check("klt profile");
}

void ReadTables(ByteReader* reader, const Counts& counts,
                KltProfileParts* parts) {
  parts->magnitudes.resize(counts.magnitudes);
  parts->refining.resize(counts.refining);
  for (uint16_t& f : parts->exponents) f = reader->U16();
  for (KltMagnitudeTable& table : parts->magnitudes) {
    for (uint16_t& f : table) f = reader->U16();
  }
  for (KltRefiningTable& table : parts->refining) {
    for (auto& context : table) {
      for (uint16_t& f : context) f = reader->U16();
    }
  }
}

template <typename T>
void ReadArray(ByteReader* reader, uint64_t count, std::vector<T>* out) {
  out->resize(count);
  reader->Copy({reinterpret_cast<uint8_t*>(out->data()), count * sizeof(T)});
}

Status ReadPadding(ByteReader* reader) {
  const uint64_t position = reader->position();
  for (const uint8_t byte : reader->View(AlignTo4(position) - position)) {
    REPRISE_RETURN_IF_ERROR(Equal("a byte of padding", byte, 0));
  }
  return Status();
}

Status ReadGroup(ByteReader* reader, KltProfileParts* parts) {
  KltGroupParts& group = parts->groups.emplace_back();
  group.first_layer = reader->U16();
  group.layer_count = reader->U16();
  group.n = reader->U32();
  group.lead = reader->U32();
  REPRISE_RETURN_IF_ERROR(Equal("reserved field of a group", reader->U32(), 0));
  REPRISE_RETURN_IF_ERROR(Within("n of a group", group.n, 1u, kKltMaxChannels));
  REPRISE_RETURN_IF_ERROR(Within("lead of a group", group.lead, 0u, group.n));
  // Before its arrays are made: no more memory than there are bytes.
  const uint64_t plane_count = parts->PlanesOf(group).size();
  const uint64_t bytes = BytesOfGroup(group, plane_count) - kGroupHeaderBytes;
  REPRISE_RETURN_IF_ERROR(
      Within<uint64_t>("bytes of a group", bytes, 0, reader->left()));
  const uint64_t n = group.n;
  ReadArray(reader, n, &group.mu);
  ReadArray(reader, n, &group.dec);
  ReadArray(reader, n, &group.enc);
  ReadArray(reader, n, &group.regressor.by_channel);
  ReadArray(reader, plane_count, &group.regressor.by_norm);
  group.regressor.by_position = reader->F32();
  group.regressor.constant = reader->F32();
  ReadArray(reader, group.rows(), &group.levels);
  REPRISE_RETURN_IF_ERROR(ReadPadding(reader));
  ReadArray(reader, n * n, &group.hi);
  ReadArray(reader, group.lead * n, &group.lo);
  REPRISE_RETURN_IF_ERROR(ReadPadding(reader));
  return reader->Check("klt profile");
}

// ----------------------------------------------------------------- writing

void WriteHeader(const KltProfileParts& parts, ByteWriter* writer) {
  writer->Raw(kMagic);
  writer->U16(kVersion);
  writer->U16(static_cast<uint16_t>(parts.pairing));
  writer->U32(parts.rotary_dims);
  writer->U64(0);  // the size
  writer->U64(0);  // the checksum
  writer->Raw(parts.weights.bytes);
  writer->F64(parts.step);
  writer->U32(static_cast<uint32_t>(parts.planes.size()));
  writer->U32(static_cast<uint32_t>(parts.groups.size()));
  writer->U8(static_cast<uint8_t>(parts.kind));
  writer->U8(static_cast<uint8_t>(parts.raw_first));
  writer->U8(static_cast<uint8_t>(parts.lo0));
  writer->U8(static_cast<uint8_t>(parts.lo1));
  writer->U8(static_cast<uint8_t>(parts.magnitudes.size()));
  writer->U8(static_cast<uint8_t>(parts.refining.size()));
  writer->U8(static_cast<uint8_t>(parts.least_exponent));
  writer->U8(static_cast<uint8_t>(parts.largest_exponent));
  writer->F32(parts.sensitivity_exponent);
  writer->U32(static_cast<uint32_t>(parts.notes.size()));
  for (uint64_t i = 0; i < kReservedBytes; ++i) writer->U8(0);
}

template <typename T>
void WriteArray(const T& values, ByteWriter* writer) {
  writer->Raw({reinterpret_cast<const uint8_t*>(values.data()),
               values.size() * sizeof(values[0])});
}

void WriteTables(const KltProfileParts& parts, ByteWriter* writer) {
  WriteArray(parts.exponents, writer);
  for (const KltMagnitudeTable& table : parts.magnitudes) {
    WriteArray(table, writer);
  }
  for (const KltRefiningTable& table : parts.refining) {
    for (const auto& context : table) WriteArray(context, writer);
  }
}

void WriteGroup(const KltGroupParts& group, ByteWriter* writer) {
  writer->U16(group.first_layer);
  writer->U16(group.layer_count);
  writer->U32(group.n);
  writer->U32(group.lead);
  writer->U32(0);
  WriteArray(group.mu, writer);
  WriteArray(group.dec, writer);
  WriteArray(group.enc, writer);
  WriteArray(group.regressor.by_channel, writer);
  WriteArray(group.regressor.by_norm, writer);
  writer->F32(group.regressor.by_position);
  writer->F32(group.regressor.constant);
  WriteArray(group.levels, writer);
  writer->Align(4);
  WriteArray(group.hi, writer);
  WriteArray(group.lo, writer);
  writer->Align(4);
}

}  // namespace

std::span<const KltPlane> KltProfileParts::PlanesOf(
    const KltGroupParts& group) const {
  const auto before = [](const KltPlane& plane, uint32_t layer) {
    return plane.layer < layer;
  };
  const auto first = std::lower_bound(planes.begin(), planes.end(),
                                      uint32_t{group.first_layer}, before);
  const auto last =
      std::lower_bound(first, planes.end(),
                       uint32_t{group.first_layer} + group.layer_count, before);
  return {first, last};
}

Status CheckKltProfile(const KltProfileParts& parts) {
  REPRISE_RETURN_IF_ERROR(CheckHeader(parts));
  REPRISE_RETURN_IF_ERROR(CheckPlanes(parts));
  REPRISE_RETURN_IF_ERROR(CheckTables(parts));
  uint32_t next_layer = 0;
  uint64_t plane_count = 0;
  for (const KltGroupParts& group : parts.groups) {
    REPRISE_RETURN_IF_ERROR(CheckPlace(parts, group, next_layer, plane_count));
    const uint64_t planes = parts.PlanesOf(group).size();
    REPRISE_RETURN_IF_ERROR(CheckGroup(group, planes));
    next_layer = uint32_t{group.first_layer} + group.layer_count;
    plane_count += planes;
  }
  REPRISE_RETURN_IF_ERROR(
      Equal("number of planes in groups", plane_count, parts.planes.size()));
  return Within<uint64_t>("size", BytesOfProfile(parts), kHeaderBytes,
                          kMaxProfileBytes);
}

Bytes EncodeKltProfile(const KltProfileParts& parts) {
  ByteWriter writer;
  writer.Reserve(BytesOfProfile(parts));
  WriteHeader(parts, &writer);
  WriteArray(parts.turns, &writer);
  for (const KltPlane& plane : parts.planes) {
    writer.U16(plane.layer);
    writer.U8(plane.plane);
    writer.U8(plane.is_rotated ? 1 : 0);
    writer.U32(plane.heads);
    writer.U32(plane.dim);
  }
  WriteTables(parts, &writer);
  for (const KltGroupParts& group : parts.groups) WriteGroup(group, &writer);
  writer.Raw(AsBytes(parts.notes));
  StoreLe<uint64_t>(writer.At(kSizeOffset), writer.size());
  const ByteView bytes = writer.bytes();
  StoreLe<uint64_t>(writer.At(kChecksumOffset),
                    Checksum(bytes.first(kChecksumOffset),
                             bytes.subspan(kChecksumOffset + 8)));
  return writer.Take();
}

Result<KltProfileParts> DecodeKltProfile(ByteView bytes) {
  REPRISE_RETURN_IF_ERROR(CheckEnvelope(bytes));
  REPRISE_RETURN_IF_ERROR(CheckPairing(bytes));
  ByteReader reader(bytes);
  KltProfileParts parts;
  Counts counts;
  REPRISE_RETURN_IF_ERROR(ReadHeader(&reader, &parts, &counts));
  ReadArray(&reader, parts.rotary_dims / 2, &parts.turns);
  REPRISE_RETURN_IF_ERROR(ReadPlanes(&reader, counts.planes, &parts));
  // Before the groups: theirs are found among them by their order.
  REPRISE_RETURN_IF_ERROR(CheckPlanes(parts));
  ReadTables(&reader, counts, &parts);
  parts.groups.reserve(counts.groups);
  for (uint32_t g = 0; g < counts.groups; ++g) {
    REPRISE_RETURN_IF_ERROR(ReadGroup(&reader, &parts));
  }
  parts.notes = AsText(reader.View(counts.notes_bytes));
  REPRISE_RETURN_IF_ERROR(reader.Finish("klt profile"));
  REPRISE_RETURN_IF_ERROR(CheckKltProfile(parts));
  return parts;
}

}  // namespace reprise
