#include "codec/tsc_profile.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/limits.h"
#include "codec/message.h"
#include "codec/tsc_layout.h"

namespace reprise {
namespace {

constexpr uint64_t kMagic = 0x464f525043535452;  // "RTSCPROF"
constexpr uint16_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 32;
constexpr uint64_t kChecksumOffset = 24;
constexpr uint64_t kPlaneBytes = 16;
constexpr uint32_t kMaxPlanes = kMaxLayers * kMaxPlanesPerLayer;

Status Damaged(std::string message) {
  return DataLossError("tsc profile: " + std::move(message));
}

uint64_t ChecksumOf(ByteView bytes) {
  return Checksum(bytes.first(kChecksumOffset), bytes.subspan(kHeaderBytes));
}

uint32_t PlaceOf(const TscPlane& plane) {
  return uint32_t{plane.layer} << 8 | plane.plane;
}

TscPlane ReadPlane(ByteReader* reader) {
  TscPlane plane;
  plane.layer = reader->U16();
  plane.plane = reader->U8();
  plane.dtype = static_cast<DType>(reader->U8());
  plane.heads = reader->U16();
  plane.dim = reader->U16();
  plane.max_delta = reader->F32();
  reader->U32();
  return plane;
}

Status CheckPlane(const TscPlane& plane, const TscPlane* before) {
  if (plane.layer >= kMaxLayers || plane.plane >= kMaxPlanesPerLayer ||
      (before != nullptr && PlaceOf(*before) >= PlaceOf(plane))) {
    return Damaged(CatMessage("plane ", plane.plane, " of layer ", plane.layer,
                              " is not after the one before"));
  }
  if (TscIsRawOnly(plane.dtype) || plane.heads == 0 ||
      plane.heads > kMaxHeads || plane.dim == 0 || plane.dim > kMaxHeadDim) {
    return Damaged(CatMessage("layer ", plane.layer, " plane ", plane.plane,
                              " has ", plane.heads, " heads of ", plane.dim,
                              " ", DTypeName(plane.dtype)));
  }
  if (!std::isfinite(plane.max_delta) || std::signbit(plane.max_delta)) {
    return Damaged(CatMessage("layer ", plane.layer, " plane ", plane.plane,
                              ": largest delta is ", plane.max_delta));
  }
  return Status();
}

Status CheckHeader(ByteView bytes, uint64_t magic, uint16_t version,
                   uint32_t planes) {
  if (magic != kMagic) {
    return Damaged(CatMessage("magic is ", magic, ", ", kMagic, " is wanted"));
  }
  const uint64_t stored = LoadLe<uint64_t>(bytes.data() + kChecksumOffset);
  if (const uint64_t computed = ChecksumOf(bytes); computed != stored) {
    return Damaged(
        CatMessage("checksum is ", computed, ", stored is ", stored));
  }
  if (version != kVersion) {
    return UnimplementedError(CatMessage("tsc profile: version is ", version,
                                         ", ", kVersion, " is built"));
  }
  const uint64_t wanted = kHeaderBytes + kPlaneBytes * uint64_t{planes};
  if (planes > kMaxPlanes || bytes.size() != wanted) {
    return Damaged(CatMessage("has ", bytes.size(), " bytes, ", planes,
                              " planes take ", wanted));
  }
  return Status();
}

}  // namespace

Bytes EncodeTscProfile(const TscProfileParts& parts) {
  ByteWriter out;
  out.U64(kMagic);
  out.U16(kVersion);
  out.U16(static_cast<uint16_t>(parts.kappa));
  out.U32(static_cast<uint32_t>(parts.planes.size()));
  out.U32(parts.tokens);
  out.U32(0);
  out.U64(0);
  for (const TscPlane& plane : parts.planes) {
    out.U16(plane.layer);
    out.U8(plane.plane);
    out.U8(static_cast<uint8_t>(plane.dtype));
    out.U16(static_cast<uint16_t>(plane.heads));
    out.U16(static_cast<uint16_t>(plane.dim));
    out.F32(plane.max_delta);
    out.U32(0);
  }
  StoreLe(out.At(kChecksumOffset), ChecksumOf(out.bytes()));
  return out.Take();
}

Result<std::shared_ptr<const TscProfile>> TscProfile::Parse(ByteView bytes) {
  ByteReader reader(bytes);
  const uint64_t magic = reader.U64();
  const uint16_t version = reader.U16();
  auto profile = std::make_shared<TscProfile>();
  TscProfileParts& parts = profile->parts_;
  parts.kappa = reader.U16();
  const uint32_t planes = reader.U32();
  parts.tokens = reader.U32();
  const uint32_t reserved = reader.U32();
  reader.U64();
  REPRISE_RETURN_IF_ERROR(reader.Check("tsc profile"));
  REPRISE_RETURN_IF_ERROR(CheckHeader(bytes, magic, version, planes));
  if (reserved != 0 || !std::has_single_bit(parts.kappa) ||
      parts.kappa > kSegmentTokens) {
    return Damaged(
        CatMessage("kappa is ", parts.kappa, ", reserved bits are ", reserved));
  }
  parts.planes.reserve(planes);
  for (uint32_t i = 0; i < planes; ++i) {
    const TscPlane plane = ReadPlane(&reader);
    REPRISE_RETURN_IF_ERROR(
        CheckPlane(plane, i == 0 ? nullptr : &parts.planes.back()));
    parts.planes.push_back(plane);
  }
  // Reserved bits of planes, and whatever else is not written this way.
  if (!BytesEqual(EncodeTscProfile(parts), bytes)) {
    return Damaged("reserved bits are not 0");
  }
  profile->id_.bytes = Sha256(bytes).bytes;
  return std::shared_ptr<const TscProfile>(std::move(profile));
}

const TscPlane* TscProfile::Find(uint16_t layer, uint8_t plane) const {
  const uint32_t wanted = uint32_t{layer} << 8 | plane;
  const auto found = std::lower_bound(
      parts_.planes.begin(), parts_.planes.end(), wanted,
      [](const TscPlane& p, uint32_t place) { return PlaceOf(p) < place; });
  if (found == parts_.planes.end() || PlaceOf(*found) != wanted) return nullptr;
  return &*found;
}

Status TscProfile::CheckShape(std::span<const PlaneSlice> slices) const {
  for (const PlaneSlice& slice : slices) {
    const TscPlane* plane = Find(slice.layer, slice.plane);
    if (plane == nullptr) continue;
    const PlaneSpec& spec = *slice.spec;
    if (plane->dtype == spec.dtype && plane->heads == spec.heads &&
        plane->dim == spec.dim) {
      continue;
    }
    return FailedPreconditionError(CatMessage(
        "tsc: layer ", slice.layer, " plane ", slice.plane, " is ", spec.heads,
        " x ", spec.dim, " ", DTypeName(spec.dtype), ", the profile's is ",
        plane->heads, " x ", plane->dim, " ", DTypeName(plane->dtype)));
  }
  return Status();
}

}  // namespace reprise
