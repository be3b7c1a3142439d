#include "codec/vector_profile.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "codec/float_element.h"
#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint8_t kMagic[8] = {'R', 'P', 'R', 'V', 'P', 'R', 'O', 'F'};
constexpr uint16_t kVersion = 1;
constexpr uint64_t kSizeOffset = 24;
constexpr uint64_t kChecksumOffset = 40;
constexpr uint64_t kHeaderBytes = 48;
constexpr uint64_t kPlaneBytes = 16;
constexpr uint32_t kMaxBooks = 16;
constexpr uint64_t kMaxEntryBytes = 2 * kMaxProfileBytes;

Status Damaged(std::string_view what, uint64_t is, uint64_t bound) {
  return DataLossError(CatMessage("vector profile: ", what, " is ", is,
                                  ", the rule says ", bound));
}

Status CheckShape(const VectorProfileParts& parts) {
  const VectorShape& shape = parts.shape;
  if (shape.block == 0 || shape.block > kVectorMaxBlock) {
    return Damaged("block", shape.block, kVectorMaxBlock);
  }
  if (shape.sinks > kSegmentTokens) {
    return Damaged("sinks", shape.sinks, kSegmentTokens);
  }
  if (shape.centroids < 2 || shape.centroids > kVectorMaxCentroids ||
      !std::has_single_bit(shape.centroids)) {
    return Damaged("centroids", shape.centroids, kVectorMaxCentroids);
  }
  const uint32_t books = parts.book_count;
  if (parts.is_pq() ? books != 0 : books == 0 || books > kMaxBooks) {
    return Damaged("number of codebooks", books, parts.is_pq() ? 0 : kMaxBooks);
  }
  return Status();
}

Status ReadHeader(ByteView bytes, ByteReader* reader, VectorProfileParts* parts,
                  uint32_t* plane_count) {
  const ByteView magic = reader->View(sizeof(kMagic));
  const uint16_t version = reader->U16();
  const uint16_t codec = reader->U16();
  parts->shape.block = reader->U8();
  parts->shape.sinks = reader->U8();
  parts->shape.centroids = reader->U16();
  parts->book_count = reader->U32();
  *plane_count = reader->U32();
  const uint64_t size = reader->U64();
  const uint64_t reserved = reader->U64();
  const uint64_t checksum = reader->U64();
  REPRISE_RETURN_IF_ERROR(reader->Check("vector profile"));
  if (!BytesEqual(magic, kMagic)) {
    return DataLossError(CatMessage("vector profile: the magic is ",
                                    ToHex(magic), ", wanted is ",
                                    ToHex(kMagic)));
  }
  const uint64_t actual =
      Checksum(bytes.first(kChecksumOffset), bytes.subspan(kHeaderBytes));
  if (actual != checksum) return Damaged("checksum", actual, checksum);
  if (version != kVersion) {
    return UnimplementedError(
        CatMessage("vector profile: version is ", version, ", 1 is known"));
  }
  if (size != bytes.size()) return Damaged("size", bytes.size(), size);
  if (codec != static_cast<uint16_t>(parts->codec)) {
    return InvalidArgumentError(
        CatMessage("vector profile: is of codec ", codec, ", wanted is ",
                   static_cast<uint16_t>(parts->codec)));
  }
  if (reserved != 0) return Damaged("reserved field", reserved, 0);
  constexpr uint32_t kMaxPlanes = kMaxLayers * kMaxPlanesPerLayer;
  if (*plane_count > kMaxPlanes) {
    return Damaged("number of planes", *plane_count, kMaxPlanes);
  }
  return CheckShape(*parts);
}

Status CheckPlane(const VectorPlane& plane, const VectorProfileParts& parts) {
  if (!IsFloatDType(plane.dtype)) {
    return Damaged("dtype", static_cast<uint64_t>(plane.dtype),
                   static_cast<uint64_t>(DType::kF16));
  }
  if (plane.layer >= kMaxLayers) {
    return Damaged("layer", plane.layer, kMaxLayers - 1);
  }
  if (plane.plane >= kMaxPlanesPerLayer) {
    return Damaged("plane", plane.plane, kMaxPlanesPerLayer - 1);
  }
  if (plane.heads == 0 || plane.heads > kMaxHeads) {
    return Damaged("number of heads", plane.heads, kMaxHeads);
  }
  if (plane.dim == 0 || plane.dim > kMaxHeadDim) {
    return Damaged("dim of a head", plane.dim, kMaxHeadDim);
  }
  if (parts.is_pq() ? plane.book != 0 : plane.book >= parts.book_count) {
    return Damaged("codebook", plane.book, parts.book_count);
  }
  if (parts.planes.empty()) return Status();
  const VectorPlane& last = parts.planes.back();
  if (std::tie(plane.layer, plane.plane) <= std::tie(last.layer, last.plane)) {
    return Damaged("order of planes, layer", plane.layer, last.layer);
  }
  return Status();
}

Status ReadPlane(ByteReader* reader, VectorProfileParts* parts) {
  VectorPlane plane;
  plane.layer = reader->U16();
  plane.plane = reader->U8();
  plane.dtype = static_cast<DType>(reader->U8());
  plane.heads = reader->U32();
  plane.dim = reader->U32();
  plane.book = reader->U32();
  REPRISE_RETURN_IF_ERROR(reader->Check("vector profile"));
  REPRISE_RETURN_IF_ERROR(CheckPlane(plane, *parts));
  parts->planes.push_back(plane);
  return Status();
}

}  // namespace

VectorProfileSizes LayOutVectorProfile(VectorProfileParts* parts) {
  VectorProfileSizes sizes;
  const uint64_t centroids = parts->shape.centroids;
  const bool is_pq = parts->is_pq();
  if (!is_pq) {
    sizes.half_norms = parts->book_count * centroids;
    sizes.centroids = sizes.half_norms * parts->shape.block;
  }
  for (VectorPlane& plane : parts->planes) {
    plane.first_norm = sizes.norms;
    plane.first_centroid = is_pq ? sizes.centroids : 0;
    plane.first_half_norm = is_pq ? sizes.half_norms : 0;
    plane.first_entry = sizes.entry_bytes;
    const uint64_t channels = uint64_t{plane.heads} * plane.dim;
    const uint64_t bytes = DTypeBytes(plane.dtype);
    sizes.norms += plane.heads;
    if (is_pq) {
      sizes.centroids += channels * centroids;
      sizes.half_norms += plane.heads * centroids * parts->blocks(plane.dim);
      sizes.entry_bytes += channels * centroids * bytes;
    } else {
      sizes.entry_bytes += plane.heads * centroids * parts->shape.block * bytes;
    }
  }
  return sizes;
}

Bytes EncodeVectorProfile(const VectorProfileParts& parts) {
  ByteWriter writer;
  writer.Raw(kMagic);
  writer.U16(kVersion);
  writer.U16(static_cast<uint16_t>(parts.codec));
  writer.U8(static_cast<uint8_t>(parts.shape.block));
  writer.U8(static_cast<uint8_t>(parts.shape.sinks));
  writer.U16(static_cast<uint16_t>(parts.shape.centroids));
  writer.U32(parts.book_count);
  writer.U32(static_cast<uint32_t>(parts.planes.size()));
  writer.U64(0);  // the size
  writer.U64(0);
  writer.U64(0);  // the checksum
  for (const VectorPlane& plane : parts.planes) {
    writer.U16(plane.layer);
    writer.U8(plane.plane);
    writer.U8(static_cast<uint8_t>(plane.dtype));
    writer.U32(plane.heads);
    writer.U32(plane.dim);
    writer.U32(plane.book);
  }
  for (const float norm : parts.norms) writer.F32(norm);
  writer.Raw({reinterpret_cast<const uint8_t*>(parts.centroids.data()),
              parts.centroids.size() * sizeof(uint16_t)});
  StoreLe<uint64_t>(writer.At(kSizeOffset), writer.size());
  const ByteView bytes = writer.bytes();
  StoreLe<uint64_t>(
      writer.At(kChecksumOffset),
      Checksum(bytes.first(kChecksumOffset), bytes.subspan(kHeaderBytes)));
  return writer.Take();
}

Result<std::shared_ptr<const VectorProfile>> VectorProfile::Parse(
    CodecId codec, ByteView bytes) {
  auto profile = std::make_shared<VectorProfile>();
  profile->parts_.codec = codec;
  REPRISE_RETURN_IF_ERROR(profile->Read(bytes));
  profile->id_.bytes = Sha256(bytes).bytes;
  profile->BuildHalfNorms();
  profile->BuildTables();
  return std::shared_ptr<const VectorProfile>(std::move(profile));
}

Result<const VectorProfile*> VectorProfile::Of(CodecId codec,
                                               const CodecProfile* profile) {
  if (profile == nullptr) {
    return FailedPreconditionError(
        CatMessage(CodecIdName(codec), ": needs a profile, there is none"));
  }
  if (profile->codec() != codec) {
    return FailedPreconditionError(CatMessage(CodecIdName(codec),
                                              ": the profile is of codec ",
                                              CodecIdName(profile->codec())));
  }
  return static_cast<const VectorProfile*>(profile);
}

Status VectorProfile::Read(ByteView bytes) {
  ByteReader reader(bytes);
  uint32_t plane_count = 0;
  REPRISE_RETURN_IF_ERROR(ReadHeader(bytes, &reader, &parts_, &plane_count));
  for (uint32_t i = 0; i < plane_count; ++i) {
    REPRISE_RETURN_IF_ERROR(ReadPlane(&reader, &parts_));
  }
  sizes_ = LayOutVectorProfile(&parts_);
  const uint64_t wanted = kHeaderBytes + kPlaneBytes * plane_count +
                          sizes_.norms * sizeof(float) +
                          sizes_.centroids * sizeof(uint16_t);
  if (bytes.size() != wanted) return Damaged("size", bytes.size(), wanted);
  if (sizes_.entry_bytes > kMaxEntryBytes) {
    return Damaged("bytes of decoding tables", sizes_.entry_bytes,
                   kMaxEntryBytes);
  }
  parts_.norms.resize(sizes_.norms);
  for (float& norm : parts_.norms) {
    norm = reader.F32();
    if (!(norm > 0) || !std::isfinite(norm)) {
      return DataLossError(CatMessage("vector profile: a norm is ", norm,
                                      ", above 0 and finite is wanted"));
    }
  }
  parts_.centroids.resize(sizes_.centroids);
  reader.Copy({reinterpret_cast<uint8_t*>(parts_.centroids.data()),
               sizes_.centroids * sizeof(uint16_t)});
  for (const uint16_t centroid : parts_.centroids) {
    if ((centroid & 0x7c00) == 0x7c00) {
      return Damaged("centroid, its bits", centroid, 0x7bff);
    }
  }
  return reader.Finish("vector profile");
}

void VectorProfile::BuildHalfNorms() {
  half_norms_.resize(sizes_.half_norms);
  const uint32_t count = parts_.shape.centroids;
  std::vector<float> wide(uint64_t{count} * kVectorMaxBlock);
  const auto build = [&](const Book& book) {
    const uint32_t width = book.stored_width;
    for (uint64_t i = 0; i < uint64_t{count} * width; ++i) {
      wide[i] = F16ToF32(LoadLe<uint16_t>(book.centroids + 2 * i));
    }
    float* out = half_norms_.data() + (book.half_norms - half_norms_.data());
    VectorHalfNorms(wide.data(), count, width, out);
  };
  if (!parts_.is_pq()) {
    VectorPlane plane;
    for (plane.book = 0; plane.book < parts_.book_count; ++plane.book) {
      build(book(plane, 0, 0));
    }
    return;
  }
  for (const VectorPlane& plane : parts_.planes) {
    for (uint32_t h = 0; h < plane.heads; ++h) {
      for (uint32_t b = 0; b < blocks(plane); ++b) build(book(plane, h, b));
    }
  }
}

// What a code decodes to is a function of plane, head, block and code: each
// product of centroid and norm is made and rounded here, once.
void VectorProfile::BuildTables() {
  entries_.resize(sizes_.entry_bytes);
  uint8_t* out = entries_.data();
  for (const VectorPlane& plane : parts_.planes) {
    const uint64_t head_values =
        uint64_t{parts_.shape.centroids} *
        (parts_.is_pq() ? plane.dim : parts_.shape.block);
    for (uint32_t h = 0; h < plane.heads; ++h) {
      const uint8_t* centroids = book(plane, h, 0).centroids;
      for (uint64_t i = 0; i < head_values; ++i) {
        const float centroid = F16ToF32(LoadLe<uint16_t>(centroids + 2 * i));
        StoreElementSaturated(plane.dtype, centroid * norm(plane, h), out);
        out += DTypeBytes(plane.dtype);
      }
    }
  }
}

const VectorPlane* VectorProfile::FindPlane(uint16_t layer,
                                            uint8_t plane) const {
  const auto found = std::lower_bound(
      parts_.planes.begin(), parts_.planes.end(), std::pair(layer, plane),
      [](const VectorPlane& p, const std::pair<uint16_t, uint8_t>& key) {
        return std::pair(p.layer, p.plane) < key;
      });
  if (found == parts_.planes.end() || found->layer != layer ||
      found->plane != plane) {
    return nullptr;
  }
  return &*found;
}

Status VectorProfile::CheckSlices(std::span<const PlaneSlice> slices) const {
  for (const PlaneSlice& slice : slices) {
    const VectorPlane* plane = FindPlane(slice.layer, slice.plane);
    if (plane == nullptr && !IsFloatDType(slice.spec->dtype)) continue;
    const std::string_view name = CodecIdName(codec());
    if (plane == nullptr) {
      return FailedPreconditionError(
          CatMessage(name, ": the profile lacks layer ", slice.layer, " plane ",
                     slice.plane, ", the model has it"));
    }
    if (plane->dtype != slice.spec->dtype ||
        plane->heads != slice.spec->heads || plane->dim != slice.spec->dim) {
      return FailedPreconditionError(CatMessage(
          name, ": layer ", slice.layer, " plane ", slice.plane, " is ",
          plane->heads, " heads of ", plane->dim, " ", DTypeName(plane->dtype),
          " in the profile, ", slice.spec->heads, " of ", slice.spec->dim, " ",
          DTypeName(slice.spec->dtype), " in the model"));
    }
  }
  return Status();
}

uint32_t VectorProfile::code_bits() const {
  return static_cast<uint32_t>(std::countr_zero(parts_.shape.centroids));
}

VectorProfile::Book VectorProfile::book(const VectorPlane& plane, uint32_t head,
                                        uint32_t block) const {
  const uint64_t count = parts_.shape.centroids;
  uint64_t first = uint64_t{plane.book} * count * parts_.shape.block;
  uint64_t first_half = uint64_t{plane.book} * count;
  uint32_t width = parts_.shape.block;
  if (parts_.is_pq()) {
    first = plane.first_centroid +
            count * (uint64_t{head} * plane.dim + block * parts_.shape.block);
    first_half = plane.first_half_norm +
                 count * (uint64_t{head} * blocks(plane) + block);
    width = parts_.width(plane.dim, block);
  }
  return {reinterpret_cast<const uint8_t*>(parts_.centroids.data() + first),
          half_norms_.data() + first_half, width};
}

VectorTable VectorProfile::table(const VectorPlane& plane,
                                 uint32_t head) const {
  const uint32_t bytes = DTypeBytes(plane.dtype);
  const uint32_t block = parts_.shape.block;
  const uint32_t tail = plane.dim % block;
  VectorTable table;
  table.full_blocks = plane.dim / block;
  table.entry_bytes = block * bytes;
  table.tail_bytes = tail * bytes;
  if (parts_.is_pq()) {
    table.block_stride = uint64_t{parts_.shape.centroids} * table.entry_bytes;
    table.tail_stride = table.tail_bytes;
  } else {
    table.tail_stride = table.entry_bytes;
  }
  table.entries =
      entries_.data() + plane.first_entry + head * head_entry_bytes(plane);
  return table;
}

}  // namespace reprise
