#include "codec/exact_own_tables.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint32_t kMaxUnitBits = 4;
constexpr uint32_t kSteps = 16;
// The symbol that a channel's mean key is put at: KV values reach three
// octaves above the mean of their logarithm and have long tails below.
constexpr uint32_t kMeanSymbol = 46;

Status Damaged(std::string_view what, uint64_t is, uint64_t bound) {
  return DataLossError(
      CatMessage("exact frame: ", what, " is ", is, ", the rule says ", bound));
}

// Which planes share a table: keys apart from the rest, each type apart.
struct Kind {
  DType dtype;
  bool is_key;
  bool operator==(const Kind&) const = default;
};

Kind KindOf(const PlaneSpec& spec) {
  return {spec.dtype, spec.role == PlaneRole::kKey};
}

uint32_t LoadElement(const uint8_t* p, uint32_t bytes) {
  if (bytes == 2) return LoadLe<uint16_t>(p);
  if (bytes == 4) return LoadLe<uint32_t>(p);
  return *p;
}

// Calls visit(channel of the stream, key) for each value.
template <typename Visit>
void ForEachKey(const ConstPlaneRows& rows, uint32_t tokens,
                const ExactStreamPlace& place, const ExactSplit& split,
                const Visit& visit) {
  const uint32_t bytes = split.element_bytes;
  for (uint32_t t = 0; t < tokens; ++t) {
    const uint8_t* in = rows.data + t * rows.token_stride_bytes +
                        uint64_t{place.channel_first} * bytes;
    for (uint32_t c = 0; c < place.channels; ++c, in += bytes) {
      visit(c, ExactCode(LoadElement(in, bytes), split) >> split.raw_bits);
    }
  }
}

// Offsets from the mean key of each channel. Key spaces that hardly exceed
// the symbols keep one offset, found with the table.
void FitOffsets(const ConstPlaneRows& rows, uint32_t tokens,
                const ExactStreamPlace& place, const ExactOwnTable& kind,
                ExactOwnStream* out) {
  std::memset(out->steps, 0, sizeof out->steps);
  if (kind.unit_bits == 0) return;
  uint64_t sums[kExactMaxChannels] = {};
  ForEachKey(rows, tokens, place, kind.split,
             [&](uint32_t c, uint32_t key) { sums[c] += key; });
  uint32_t wanted[kExactMaxChannels];
  uint32_t least = kind.split.key_mask();
  uint32_t most = 0;
  for (uint32_t c = 0; c < place.channels; ++c) {
    const uint32_t mean =
        static_cast<uint32_t>((sums[c] + tokens / 2) / tokens);
    wanted[c] = mean > kMeanSymbol ? mean - kMeanSymbol : 0;
    least = std::min(least, wanted[c]);
    most = std::max(most, wanted[c]);
  }
  // Too wide a range: channels of small values give way.
  const uint32_t reach = (kSteps - 1) << kind.unit_bits;
  out->base = std::max(least, most > reach ? most - reach : 0);
  for (uint32_t c = 0; c < place.channels; ++c) {
    const uint32_t over = wanted[c] > out->base ? wanted[c] - out->base : 0;
    const uint32_t step = (over + (1u << kind.unit_bits) / 2) >> kind.unit_bits;
    out->steps[c] = static_cast<uint8_t>(std::min(step, kSteps - 1));
  }
}

using Counts = std::array<uint64_t, kExactSymbols>;

void CountSymbols(const ConstPlaneRows& rows, uint32_t tokens,
                  const ExactStreamPlace& place, const ExactOwnTable& kind,
                  const ExactOwnStream& stream, Counts* counts) {
  const uint32_t mask = kind.split.key_mask();
  ForEachKey(rows, tokens, place, kind.split, [&](uint32_t c, uint32_t key) {
    const uint32_t offset =
        stream.base + (uint32_t{stream.steps[c]} << kind.unit_bits);
    ++(*counts)[std::min((key - offset) & mask, kExactEscape)];
  });
}

// A key space of 64: all fit but one, which had better be the rarest.
uint32_t RotateToRarest(Counts* counts) {
  uint32_t rarest = 0;
  for (uint32_t s = 1; s < kExactSymbols; ++s) {
    if ((*counts)[s] < (*counts)[rarest]) rarest = s;
  }
  const uint32_t base = (rarest + 1) % kExactSymbols;
  std::rotate(counts->begin(), counts->begin() + base, counts->end());
  return base;
}

// Kinds in the order in which they are met.
struct Kinds {
  Kind kinds[kExactMaxOwnTables];
  uint32_t count = 0;

  // kExactMaxOwnTables when there is no room for one more.
  uint32_t IndexOf(const Kind& kind) {
    uint32_t i = 0;
    while (i < count && kinds[i] != kind) ++i;
    if (i == count && count < kExactMaxOwnTables) kinds[count++] = kind;
    return i;
  }
};

}  // namespace

// On caches of SmolLM2 and Qwen2.5 one table codes quarters of an octave with
// the sign left raw in fewer bits than signs with halves.
ExactSplit DefaultExactSplit(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {.element_bytes = 4, .raw_bits = 22, .sign_bit = 21};
    case DType::kBf16:
      return {.element_bytes = 2, .raw_bits = 6, .sign_bit = 5};
    case DType::kF16:
      return {.element_bytes = 2, .raw_bits = 9, .sign_bit = 8};
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      return {.element_bytes = 1, .raw_bits = 2, .sign_bit = 1};
    case DType::kOpaque:
      break;
  }
  return {.element_bytes = 1, .raw_bits = 2, .sign_bit = 7};
}

void StoreExactOwnTables(const ExactOwnTables& tables, uint8_t* p) {
  for (uint32_t i = 0; i < tables.count; ++i, p += kExactOwnTableBytes) {
    const ExactOwnTable& kind = tables.kinds[i];
    p[0] = static_cast<uint8_t>(kind.split.element_bytes);
    p[1] = static_cast<uint8_t>(kind.split.raw_bits);
    p[2] = static_cast<uint8_t>(kind.split.sign_bit);
    p[3] = static_cast<uint8_t>(kind.unit_bits);
    StoreLe<uint32_t>(p + 4, 0);
    std::memcpy(p + 8, tables.frequencies[i].data(), 2 * kExactSymbols);
  }
}

Status LoadExactOwnTables(ByteView bytes, ExactOwnTables* out) {
  const uint64_t count = bytes.size() / kExactOwnTableBytes;
  if (bytes.size() % kExactOwnTableBytes != 0 || count == 0 ||
      count > kExactMaxOwnTables) {
    return Damaged("size of the tables", bytes.size(), kExactOwnTableBytes);
  }
  ByteReader reader(bytes);
  for (uint64_t i = 0; i < count; ++i) {
    ExactOwnTable& kind = out->kinds[i];
    kind.split.element_bytes = reader.U8();
    kind.split.raw_bits = reader.U8();
    kind.split.sign_bit = reader.U8();
    kind.unit_bits = reader.U8();
    const uint32_t reserved = reader.U32();
    if (reserved != 0) return Damaged("reserved field", reserved, 0);
    REPRISE_RETURN_IF_ERROR(CheckExactSplit(kind.split));
    if (kind.unit_bits > kMaxUnitBits) {
      return Damaged("offset unit", kind.unit_bits, kMaxUnitBits);
    }
    REPRISE_RETURN_IF_ERROR(
        ReadExactFrequencies(&reader, &out->frequencies[i]));
    BuildExactTable(out->frequencies[i], out->decode + i * kExactSlots,
                    out->encode + i * kExactSymbols);
  }
  out->count = static_cast<uint32_t>(count);
  return Status::Ok();
}

void StoreExactOwnStream(const ExactOwnStream& stream, uint32_t channels,
                         uint8_t* p) {
  std::memset(p, 0, ExactOwnStreamBytes(channels));
  p[0] = static_cast<uint8_t>(stream.table);
  StoreLe<uint16_t>(p + 2, static_cast<uint16_t>(stream.base));
  for (uint32_t c = 0; c < channels; ++c) {
    p[4 + c / 2] |= static_cast<uint8_t>(stream.steps[c] << (c % 2 * 4));
  }
}

Status LoadExactOwnStream(ByteView head, uint32_t channels,
                          uint32_t element_bytes, const ExactOwnTables& tables,
                          ExactOwnStream* out) {
  if (head.size() < ExactOwnStreamBytes(channels)) {
    return Damaged("size of a stream", head.size(),
                   ExactOwnStreamBytes(channels));
  }
  out->table = head[0];
  out->base = LoadLe<uint16_t>(head.data() + 2);
  if (out->table >= tables.count) {
    return Damaged("table of a stream", out->table, tables.count);
  }
  if (head[1] != 0) return Damaged("reserved byte of a stream", head[1], 0);
  const ExactSplit& split = tables.kinds[out->table].split;
  if (split.element_bytes != element_bytes) {
    return Damaged("element size of a table", split.element_bytes,
                   element_bytes);
  }
  if (out->base > split.key_mask()) {
    return Damaged("base offset of a stream", out->base, split.key_mask());
  }
  for (uint32_t c = 0; c < channels; ++c) {
    out->steps[c] = head[4 + c / 2] >> (c % 2 * 4) & 15;
  }
  return Status::Ok();
}

void FillExactChannels(const ExactOwnStream& stream, uint32_t channels,
                       const ExactOwnTables& tables, ExactChannels* out) {
  const ExactOwnTable& kind = tables.kinds[stream.table];
  std::memset(out, 0, sizeof *out);
  for (uint32_t c = 0; c < channels; ++c) {
    out->table_slot[c] = stream.table * kExactSlots;
    const uint32_t offset =
        stream.base + (uint32_t{stream.steps[c]} << kind.unit_bits);
    out->offset[c] = static_cast<uint16_t>(offset & kind.split.key_mask());
  }
}

void FitExactOwnTables(const EncodeRequest& request,
                       std::span<const ExactStreamPlace> places,
                       ExactOwnTables* tables, ExactOwnStream* streams) {
  const uint32_t tokens = request.info.token_count;
  Kinds kinds;
  Counts counts[kExactMaxOwnTables] = {};
  for (size_t i = 0; i < places.size(); ++i) {
    const PlaneSpec& spec = *request.slices[places[i].slice].spec;
    const uint32_t known = kinds.count;
    const uint32_t k = kinds.IndexOf(KindOf(spec));
    streams[i].table = k;
    streams[i].base = 0;
    if (k == kExactMaxOwnTables) continue;
    if (kinds.count > known) {
      const ExactSplit split = DefaultExactSplit(spec.dtype);
      tables->kinds[k] = {split, split.key_bits() > 6 ? 1u : 0u};
    }
    const ConstPlaneRows& rows = request.rows[places[i].slice];
    FitOffsets(rows, tokens, places[i], tables->kinds[k], &streams[i]);
    CountSymbols(rows, tokens, places[i], tables->kinds[k], streams[i],
                 &counts[k]);
  }
  tables->count = kinds.count;
  uint32_t bases[kExactMaxOwnTables + 1] = {};
  for (uint32_t k = 0; k < kinds.count; ++k) {
    if (tables->kinds[k].unit_bits == 0) bases[k] = RotateToRarest(&counts[k]);
    tables->frequencies[k] = FitExactFrequencies(counts[k]);
    BuildExactTable(tables->frequencies[k], tables->decode + k * kExactSlots,
                    tables->encode + k * kExactSymbols);
  }
  for (size_t i = 0; i < places.size(); ++i) {
    streams[i].base += bases[streams[i].table];
  }
}

}  // namespace reprise
