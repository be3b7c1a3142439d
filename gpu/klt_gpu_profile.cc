#include "gpu/klt_gpu_profile.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/limits.h"
#include "codec/klt_turn.h"

namespace reprise {
namespace {

template <typename T>
ByteView BytesOf(const std::vector<T>& of) {
  return {reinterpret_cast<const uint8_t*>(of.data()), of.size() * sizeof(T)};
}

KltGpuTable TableOf(std::span<const uint16_t> frequencies) {
  KltGpuTable table{};
  uint32_t start = 0;
  for (uint32_t s = 0; s < frequencies.size(); ++s) {
    table.entries[s] = frequencies[s] | start << 16;
    std::fill_n(table.symbols + start, frequencies[s], static_cast<uint8_t>(s));
    start += frequencies[s];
  }
  return table;
}

// Of a plane without rotation, or of what of a head it leaves.
void AppendPlain(uint32_t begin, uint32_t end,
                 std::vector<KltPairPlace>* pairs) {
  for (uint32_t c = begin; c < end; c += 2) {
    KltPairPlace pair;
    pair.channel[0] = static_cast<uint16_t>(c);
    if (c + 1 < end) pair.channel[1] = static_cast<uint16_t>(c + 1);
    pairs->push_back(pair);
  }
}

// How four pairs lie in a row.
KltQuadOrder OrderOf(std::span<const KltPairPlace> pairs, uint32_t dim) {
  const uint32_t first = pairs[0].channel[0];
  const uint32_t second = pairs[0].channel[1];
  bool is_pairs = true;
  bool is_halves = true;
  for (uint32_t p = 0; p < kKltQuadPairs; ++p) {
    for (const uint16_t channel : pairs[p].channel) {
      if (channel == kKltNone || channel / dim != first / dim) {
        return KltQuadOrder::kAny;
      }
    }
    is_pairs = is_pairs && pairs[p].channel[0] == first + 2 * p &&
               pairs[p].channel[1] == first + 2 * p + 1;
    is_halves = is_halves && pairs[p].channel[0] == first + p &&
                pairs[p].channel[1] == second + p;
  }
  if (is_pairs) return KltQuadOrder::kPairs;
  return is_halves ? KltQuadOrder::kHalves : KltQuadOrder::kAny;
}

KltGpuQuad QuadOf(std::span<const KltPairPlace> pairs,
                  const KltTransform& transform, uint32_t first_channel,
                  uint32_t dim) {
  KltGpuQuad quad{};
  for (uint32_t p = 0; p < kKltQuadPairs; ++p) {
    quad.turn[p] = pairs[p].turn;
    for (uint32_t side = 0; side < 2; ++side) {
      const uint32_t i = 2 * p + side;
      const uint32_t channel = pairs[p].channel[side];
      quad.head[i] = kKltNone;
      if (channel == kKltNone) continue;
      quad.head[i] = static_cast<uint16_t>(channel / dim);
      quad.element[i] = static_cast<uint16_t>(channel % dim);
      quad.dec[i] = transform.dec()[first_channel + channel];
      quad.mu[i] = transform.mu()[first_channel + channel];
    }
  }
  quad.order = OrderOf(pairs, dim);
  return quad;
}

// The first and last head of a strip's channels.
std::pair<uint16_t, uint16_t> HeadsOf(std::span<const KltPairPlace> strip,
                                      uint32_t dim) {
  uint32_t last = 0;
  for (const KltPairPlace& pair : strip) {
    if (pair.channel[0] != kKltNone) last = pair.channel[0];
  }
  return {static_cast<uint16_t>(strip[0].channel[0] / dim),
          static_cast<uint16_t>(last / dim)};
}

// A strip's part of one limb of a matrix, which lies as KltTransform has it:
// [channels / 32][quads][32 channels][4]. What lane l of product p multiplies
// by is four entries of one channel, twice.
void AppendStrip(std::span<const KltPairPlace> strip, uint32_t first_channel,
                 const uint8_t* limb, uint32_t quads, uint32_t rows,
                 std::vector<uint8_t>* out) {
  constexpr uint32_t kBiases = 0x80808080;  // which KltTransform adds
  const size_t begin = out->size();
  out->resize(begin + uint64_t{rows} * kKltStripBytes);
  for (uint32_t product = 0; product < KltInverseKernel::kProducts; ++product) {
    for (uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      const KltPairPlace& pair = strip[lane / 8 * kKltQuadPairs + product];
      const uint32_t channel = pair.channel[lane / 4 % 2];
      if (channel == kKltNone) continue;
      const uint32_t c = first_channel + channel;
      const uint8_t* from = limb +
                            uint64_t{c / KltTransform::kBlock} * quads *
                                KltTransform::kQuadBytes +
                            c % KltTransform::kBlock * KltTransform::kQuad +
                            lane % 4 * KltTransform::kQuadBytes;
      uint8_t* to = out->data() + begin + product / 2 * (kKltStripBytes / 2) +
                    lane * 16 + product % 2 * 8;
      for (uint32_t r = 0; r < rows; ++r, to += kKltStripBytes) {
        for (uint32_t part = 0; part < 2; ++part) {
          StoreLe(to + 4 * part, LoadLe<uint32_t>(from) ^ kBiases);
          from += 4 * KltTransform::kQuadBytes;
        }
      }
    }
  }
}

}  // namespace

std::vector<KltPairPlace> KltPairsOf(const KltProfileParts& parts,
                                     const KltPlane& plane) {
  std::vector<KltPairPlace> pairs;
  if (!plane.is_rotated) {
    AppendPlain(0, static_cast<uint32_t>(plane.channels()), &pairs);
  } else {
    const uint32_t turned = parts.rotary_dims / 2;
    const bool is_adjacent = parts.pairing == RopePairing::kAdjacent;
    for (uint32_t h = 0; h < plane.heads; ++h) {
      const uint32_t first = h * plane.dim;
      for (uint32_t j = 0; j < turned; ++j) {
        const uint32_t c = first + (is_adjacent ? 2 * j : j);
        const uint32_t other = is_adjacent ? c + 1 : c + turned;
        pairs.push_back({.channel = {static_cast<uint16_t>(c),
                                     static_cast<uint16_t>(other)},
                         .turn = static_cast<uint16_t>(j)});
      }
      AppendPlain(first + 2 * turned, first + plane.dim, &pairs);
    }
  }
  pairs.resize((pairs.size() + kKltStripPairs - 1) / kKltStripPairs *
               kKltStripPairs);
  return pairs;
}

void AppendKltTurns(const KltProfileParts& parts, uint64_t first,
                    uint32_t tokens, std::vector<KltGpuTurn>* turns) {
  const auto pairs = static_cast<uint32_t>(parts.turns.size());
  std::vector<float> cosines(uint64_t{tokens} * pairs);
  std::vector<float> sines(cosines.size());
  KltTurnTable({.turns = parts.turns.data(),
                .pairs = pairs,
                .first_position = first,
                .tokens = tokens},
               cosines.data(), sines.data());
  for (size_t i = 0; i < cosines.size(); ++i) {
    turns->push_back({.c = cosines[i], .s = sines[i]});
  }
}

Result<const uint8_t*> KltGpuProfile::Upload(ByteView bytes,
                                             std::shared_ptr<Device> device) {
  REPRISE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           DeviceBuffer::Upload(std::move(device), bytes));
  memory_.push_back(std::move(buffer));
  return static_cast<const uint8_t*>(memory_.back().data());
}

Status KltGpuProfile::UploadTables(std::shared_ptr<Device> device) {
  const KltProfileParts& parts = profile_->parts();
  std::vector<KltGpuTable> tables{TableOf(parts.exponents)};
  for (const KltMagnitudeTable& table : parts.magnitudes) {
    tables.push_back(TableOf(table));
  }
  std::vector<uint32_t> refining;
  for (const KltRefiningTable& table : parts.refining) {
    for (const auto& [one, two] : table) {
      const uint32_t start = kKltSlots - one - two;
      refining.push_back(start | (start + one) << 16);
    }
    refining.push_back(0);
  }
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* at, Upload(BytesOf(tables), device));
  tables_ = reinterpret_cast<const KltGpuTable*>(at);
  REPRISE_ASSIGN_OR_RETURN(at, Upload(BytesOf(refining), device));
  refining_ = reinterpret_cast<const uint32_t*>(at);
  return Status();
}

Status KltGpuProfile::UploadLevels(std::shared_ptr<Device> device) {
  std::vector<uint8_t> levels;
  std::vector<uint16_t> rows_from;
  for (const KltGroup& group : profile_->groups()) {
    const std::vector<uint8_t>& own = group.parts->levels;
    levels.insert(levels.end(), own.begin(), own.end());
    for (uint32_t level = 0; level <= kKltGpuLevels; ++level) {
      rows_from.push_back(static_cast<uint16_t>(std::count_if(
          own.begin(), own.end(), [&](uint8_t of) { return of >= level; })));
    }
  }
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* levels_at,
                           Upload(BytesOf(levels), device));
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* at,
                           Upload(BytesOf(rows_from), device));
  const auto* from = reinterpret_cast<const uint16_t*>(at);
  std::vector<KltGpuGroup> groups;
  for (const KltGroup& group : profile_->groups()) {
    groups.push_back({.levels = levels_at,
                      .rows_from = from,
                      .coefficients = group.parts->n,
                      .rows = group.parts->rows()});
    levels_at += group.parts->rows();
    from += kKltGpuLevels + 1;
  }
  REPRISE_ASSIGN_OR_RETURN(at, Upload(BytesOf(groups), device));
  entropy_groups_ = reinterpret_cast<const KltGpuGroup*>(at);
  return Status();
}

Status KltGpuProfile::UploadGroup(const KltGroup& group,
                                  std::shared_ptr<Device> device) {
  const KltTransform& transform = group.transform;
  Group made;
  made.rows = group.parts->rows();
  made.lead_rows = transform.lead_quads() * KltTransform::kQuad / kKltTileRow;
  std::vector<KltGpuQuad> quads;
  std::vector<uint8_t> hi, lo;
  uint32_t first_channel = 0;
  for (const KltPlane& plane : group.planes) {
    Plane& place = made.planes.emplace_back();
    place.first_strip = made.strips;
    const std::vector<KltPairPlace> pairs =
        KltPairsOf(profile_->parts(), plane);
    for (size_t at = 0; at < pairs.size(); at += kKltStripPairs) {
      const auto strip = std::span(pairs).subspan(at, kKltStripPairs);
      place.strip_heads.push_back(HeadsOf(strip, plane.dim));
      for (uint32_t p = 0; p < kKltStripPairs; p += kKltQuadPairs) {
        quads.push_back(QuadOf(strip.subspan(p, kKltQuadPairs), transform,
                               first_channel, plane.dim));
      }
      AppendStrip(strip, first_channel, transform.hi(0), transform.quads(),
                  made.rows, &hi);
      AppendStrip(strip, first_channel, transform.lo(0), transform.lead_quads(),
                  made.lead_rows, &lo);
    }
    made.strips += place.strips();
    first_channel += static_cast<uint32_t>(plane.channels());
  }
  REPRISE_ASSIGN_OR_RETURN(made.hi, Upload(hi, device));
  REPRISE_ASSIGN_OR_RETURN(made.lo, Upload(lo, device));
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* at, Upload(BytesOf(quads), device));
  made.quads = reinterpret_cast<const KltGpuQuad*>(at);
  groups_.push_back(std::move(made));
  return Status();
}

Status KltGpuProfile::UploadTurns(uint64_t positions,
                                  std::shared_ptr<Device> device) {
  constexpr uint64_t kAtOnce = 4096;
  const uint64_t position_bytes =
      profile_->parts().turns.size() * sizeof(KltGpuTurn);
  if (position_bytes == 0) return Status();
  // Whole segments.
  positions = std::min(positions, kKltMaxTurnBytes / position_bytes) /
              kSegmentTokens * kSegmentTokens;
  std::vector<KltGpuTurn> turns;
  for (uint64_t at = 0; at < positions; at += kAtOnce) {
    AppendKltTurns(profile_->parts(), at,
                   static_cast<uint32_t>(std::min(kAtOnce, positions - at)),
                   &turns);
  }
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* at, Upload(BytesOf(turns), device));
  turns_ = reinterpret_cast<const KltGpuTurn*>(at);
  turn_positions_ = positions;
  return Status();
}

Result<std::shared_ptr<const KltGpuProfile>> KltGpuProfile::Make(
    std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
    std::shared_ptr<Device> device) {
  REPRISE_ASSIGN_OR_RETURN(const KltProfile* own, OwnKltProfile(profile.get()));
  const std::shared_ptr<KltGpuProfile> made(new KltGpuProfile(
      std::shared_ptr<const KltProfile>(std::move(profile), own)));
  REPRISE_RETURN_IF_ERROR(made->UploadTables(device));
  REPRISE_RETURN_IF_ERROR(made->UploadLevels(device));
  for (const KltGroup& group : own->groups()) {
    REPRISE_RETURN_IF_ERROR(made->UploadGroup(group, device));
  }
  REPRISE_RETURN_IF_ERROR(made->UploadTurns(max_tokens, device));
  made->encoding_ = std::make_unique<KltGpuEncoding>(*own, std::move(device));
  return std::shared_ptr<const KltGpuProfile>(made);
}

}  // namespace reprise
