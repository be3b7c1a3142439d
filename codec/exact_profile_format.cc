#include "codec/exact_profile_format.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/limits.h"
#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint8_t kMagic[8] = {'R', 'P', 'R', 'X', 'P', 'R', 'O', 'F'};
constexpr uint16_t kVersion = 1;
constexpr uint64_t kChecksumOffset = 40;
constexpr uint64_t kHeaderBytes = 48;
constexpr uint32_t kMaxRotaryDims = 4096;

Status Damaged(std::string_view what, uint64_t is, uint64_t bound) {
  return DataLossError(CatMessage("exact profile: ", what, " is ", is,
                                  ", the rule says ", bound));
}

struct Header {
  uint32_t set_count = 0;
  uint32_t plane_count = 0;
};

Status ReadHeader(ByteView bytes, ByteReader* reader, Header* header,
                  ExactProfileParts* parts) {
  const ByteView magic = reader->View(sizeof(kMagic));
  const uint16_t version = reader->U16();
  const uint16_t pairing = reader->U16();
  parts->rotary_dims = reader->U32();
  header->set_count = reader->U32();
  header->plane_count = reader->U32();
  const uint64_t size = reader->U64();
  const uint64_t reserved = reader->U64();
  const uint64_t checksum = reader->U64();
  REPRISE_RETURN_IF_ERROR(reader->Check("exact profile"));
  if (!BytesEqual(magic, kMagic)) {
    return DataLossError(CatMessage("exact profile: the magic is ",
                                    ToHex(magic), ", wanted is ",
                                    ToHex(kMagic)));
  }
  if (size != bytes.size()) return Damaged("size", bytes.size(), size);
  const uint64_t actual =
      Checksum(bytes.first(kChecksumOffset), bytes.subspan(kHeaderBytes));
  if (actual != checksum) return Damaged("checksum", actual, checksum);
  if (version != kVersion) {
    return UnimplementedError(
        CatMessage("exact profile: version is ", version, ", 1 is known"));
  }
  if (reserved != 0) return Damaged("reserved field", reserved, 0);
  if (pairing > 2) return Damaged("rotary pairing", pairing, 2);
  parts->pairing = static_cast<RopePairing>(pairing);
  const uint32_t dims = parts->rotary_dims;
  if (dims > kMaxRotaryDims || dims % 2 != 0 || (dims == 0) != (pairing == 0)) {
    return Damaged("number of rotary dims", dims, kMaxRotaryDims);
  }
  if (header->set_count == 0 || header->set_count > kExactMaxSets) {
    return Damaged("number of table sets", header->set_count, kExactMaxSets);
  }
  constexpr uint32_t kMaxPlanes = kMaxLayers * kMaxPlanesPerLayer;
  if (header->plane_count == 0 || header->plane_count > kMaxPlanes) {
    return Damaged("number of planes", header->plane_count, kMaxPlanes);
  }
  return Status::Ok();
}

Status ReadSet(ByteReader* reader, ExactTableSet* set) {
  const uint8_t tables = reader->U8();
  const uint8_t zero = reader->U8();
  if (tables == 0 || tables > kExactMaxTables) {
    return Damaged("number of tables", tables, kExactMaxTables);
  }
  if (zero != 0) return Damaged("reserved byte of a set", zero, 0);
  set->frequencies.resize(tables);
  for (ExactFrequencies& frequencies : set->frequencies) {
    REPRISE_RETURN_IF_ERROR(ReadExactFrequencies(reader, &frequencies));
  }
  BuildExactTables(set);
  return Status::Ok();
}

Status CheckPlane(const ExactPlane& plane, const ExactProfileParts& parts) {
  const uint64_t token_bytes =
      uint64_t{plane.heads} * plane.dim * plane.split.element_bytes;
  if (plane.split.element_bytes == 0) {
    return Damaged("dtype", static_cast<uint64_t>(plane.dtype), 6);
  }
  if (plane.layer >= kMaxLayers) {
    return Damaged("layer", plane.layer, kMaxLayers - 1);
  }
  if (plane.heads == 0 || plane.heads > kMaxHeads) {
    return Damaged("number of heads", plane.heads, kMaxHeads);
  }
  // Opaque rows have a dim in bytes: only their size is limited.
  if (token_bytes == 0 || token_bytes > kMaxPlaneTokenBytes) {
    return Damaged("size of a token", token_bytes, kMaxPlaneTokenBytes);
  }
  if (plane.set >= parts.sets.size()) {
    return Damaged("table set", plane.set, parts.sets.size() - 1);
  }
  REPRISE_RETURN_IF_ERROR(CheckExactSplit(plane.split));
  const bool rotates = parts.pairing != RopePairing::kNone;
  if (plane.angles != 1 && (plane.angles != kExactAngles || !rotates)) {
    return Damaged("number of angles", plane.angles, kExactAngles);
  }
  return Status::Ok();
}

Status ReadPlane(ByteReader* reader, ExactProfileParts* parts) {
  ExactPlane plane;
  plane.layer = reader->U16();
  plane.plane = reader->U8();
  plane.dtype = static_cast<DType>(reader->U8());
  plane.heads = reader->U32();
  plane.dim = reader->U32();
  plane.set = reader->U8();
  plane.split.element_bytes = DTypeBytes(plane.dtype);
  plane.split.raw_bits = reader->U8();
  plane.split.sign_bit = reader->U8();
  plane.angles = reader->U8();
  const uint32_t reserved = reader->U32();
  REPRISE_RETURN_IF_ERROR(reader->Check("exact profile"));
  if (reserved != 0) return Damaged("reserved field", reserved, 0);
  REPRISE_RETURN_IF_ERROR(CheckPlane(plane, *parts));
  if (!parts->planes.empty()) {
    const ExactPlane& last = parts->planes.back();
    if (std::pair(plane.layer, plane.plane) <=
        std::pair(last.layer, last.plane)) {
      return Damaged("layer of an unordered plane", plane.layer, last.layer);
    }
    plane.first_word =
        last.first_word + uint64_t{last.channels()} * last.angles;
  }
  parts->planes.push_back(plane);
  return Status::Ok();
}

Status ReadChannelWords(ByteReader* reader, ExactProfileParts* parts) {
  const ExactPlane& last = parts->planes.back();
  const uint64_t count =
      last.first_word + uint64_t{last.channels()} * last.angles;
  if (reader->left() != count * 2) {
    return Damaged("size of the channel words", reader->left(), count * 2);
  }
  parts->channel_words.resize(count);
  std::memcpy(parts->channel_words.data(), reader->View(count * 2).data(),
              count * 2);
  for (const ExactPlane& plane : parts->planes) {
    const uint32_t tables = parts->sets[plane.set].table_count();
    const uint64_t words = uint64_t{plane.channels()} * plane.angles;
    for (uint64_t i = 0; i < words; ++i) {
      const uint16_t word = parts->channel_words[plane.first_word + i];
      if ((word & 7u) >= tables) {
        return Damaged("table of a channel", word & 7u, tables - 1);
      }
      if ((word >> 3u) > plane.split.key_mask()) {
        return Damaged("offset of a channel", word >> 3u,
                       plane.split.key_mask());
      }
    }
  }
  return Status::Ok();
}

}  // namespace

Bytes EncodeExactProfile(const ExactProfileParts& parts) {
  ByteWriter writer;
  writer.Raw(kMagic);
  writer.U16(kVersion);
  writer.U16(static_cast<uint16_t>(parts.pairing));
  writer.U32(parts.rotary_dims);
  writer.U32(static_cast<uint32_t>(parts.sets.size()));
  writer.U32(static_cast<uint32_t>(parts.planes.size()));
  writer.U64(0);
  writer.U64(0);
  writer.U64(0);
  for (uint32_t step : parts.steps) writer.U32(step);
  for (const ExactTableSet& set : parts.sets) {
    writer.U8(static_cast<uint8_t>(set.table_count()));
    writer.U8(0);
    for (const ExactFrequencies& frequencies : set.frequencies) {
      for (uint16_t frequency : frequencies) writer.U16(frequency);
    }
  }
  for (const ExactPlane& plane : parts.planes) {
    writer.U16(plane.layer);
    writer.U8(plane.plane);
    writer.U8(static_cast<uint8_t>(plane.dtype));
    writer.U32(plane.heads);
    writer.U32(plane.dim);
    writer.U8(plane.set);
    writer.U8(static_cast<uint8_t>(plane.split.raw_bits));
    writer.U8(static_cast<uint8_t>(plane.split.sign_bit));
    writer.U8(static_cast<uint8_t>(plane.angles));
    writer.U32(0);
  }
  for (uint16_t word : parts.channel_words) writer.U16(word);
  StoreLe<uint64_t>(writer.At(24), writer.size());
  const ByteView bytes = writer.bytes();
  StoreLe<uint64_t>(
      writer.At(kChecksumOffset),
      Checksum(bytes.first(kChecksumOffset), bytes.subspan(kHeaderBytes)));
  return writer.Take();
}

uint32_t ExactRotaryPair(RopePairing pairing, uint32_t rotary_dims,
                         uint32_t channel_in_head) {
  return ExactPair(pairing == RopePairing::kAdjacent, rotary_dims / 2,
                   channel_in_head);
}

Result<std::shared_ptr<const ExactProfile>> ExactProfile::Parse(
    ByteView bytes) {
  auto profile = std::make_shared<ExactProfile>();
  REPRISE_RETURN_IF_ERROR(profile->Read(bytes));
  profile->id_.bytes = Sha256(bytes).bytes;
  return std::shared_ptr<const ExactProfile>(std::move(profile));
}

Status ExactProfile::Read(ByteView bytes) {
  if (bytes.size() < kHeaderBytes || bytes.size() > kMaxProfileBytes) {
    return Damaged("size", bytes.size(), kMaxProfileBytes);
  }
  ByteReader reader(bytes);
  Header header;
  REPRISE_RETURN_IF_ERROR(ReadHeader(bytes, &reader, &header, &parts_));
  for (uint32_t i = 0; i < parts_.rotary_dims / 2; ++i) {
    parts_.steps.push_back(reader.U32());
  }
  for (uint32_t i = 0; i < header.set_count; ++i) {
    REPRISE_RETURN_IF_ERROR(ReadSet(&reader, &parts_.sets.emplace_back()));
  }
  for (uint32_t i = 0; i < header.plane_count; ++i) {
    REPRISE_RETURN_IF_ERROR(ReadPlane(&reader, &parts_));
  }
  return ReadChannelWords(&reader, &parts_);
}

const ExactPlane* ExactProfile::FindPlane(uint16_t layer, uint8_t plane) const {
  const auto wanted = std::pair(layer, plane);
  const auto at = std::lower_bound(
      parts_.planes.begin(), parts_.planes.end(), wanted,
      [](const ExactPlane& p, const std::pair<uint16_t, uint8_t>& key) {
        return std::pair(p.layer, p.plane) < key;
      });
  if (at == parts_.planes.end()) return nullptr;
  return std::pair(at->layer, at->plane) == wanted ? &*at : nullptr;
}

Status ExactProfile::CheckShape(std::span<const PlaneSlice> slices) const {
  for (const PlaneSlice& slice : slices) {
    const ExactPlane* plane = FindPlane(slice.layer, slice.plane);
    if (plane == nullptr) continue;
    if (plane->dtype != slice.spec->dtype ||
        plane->heads != slice.spec->heads || plane->dim != slice.spec->dim) {
      return FailedPreconditionError(CatMessage(
          "exact profile: layer ", slice.layer, " plane ", slice.plane, " is ",
          DTypeName(plane->dtype), " ", plane->heads, " x ", plane->dim,
          ", the model's is ", DTypeName(slice.spec->dtype), " ",
          slice.spec->heads, " x ", slice.spec->dim));
    }
  }
  return Status::Ok();
}

void ExactProfile::FillChannels(const ExactPlane& plane, uint32_t first_token,
                                uint32_t channel_first, uint32_t channel_count,
                                ExactChannels* out) const {
  const uint32_t padded =
      (channel_count + kExactLanes - 1) / kExactLanes * kExactLanes;
  std::memset(out->table_slot, 0, padded * sizeof(uint32_t));
  std::memset(out->offset, 0, padded * sizeof(uint16_t));
  const uint16_t* words = parts_.channel_words.data() + plane.first_word;
  const uint32_t pairs = parts_.rotary_dims / 2;
  uint32_t in_head = channel_first % plane.dim;
  for (uint32_t c = 0; c < channel_count; ++c) {
    uint64_t index = uint64_t{channel_first + c} * plane.angles;
    if (plane.angles > 1) {
      const uint32_t pair =
          ExactRotaryPair(parts_.pairing, parts_.rotary_dims, in_head);
      if (pair < pairs) index += ExactAngle(parts_.steps[pair], first_token);
    }
    out->table_slot[c] = (words[index] & 7u) * kExactSlots;
    out->offset[c] = words[index] >> 3;
    if (++in_head == plane.dim) in_head = 0;
  }
}

Result<const ExactProfile*> AsExactProfile(const CodecProfile* profile) {
  if (profile == nullptr) return static_cast<const ExactProfile*>(nullptr);
  if (profile->codec() != CodecId::kExact) {
    return FailedPreconditionError(
        CatMessage("exact: the profile is of codec ",
                   static_cast<int>(profile->codec()), ", 2 is wanted"));
  }
  return static_cast<const ExactProfile*>(profile);
}

}  // namespace reprise
