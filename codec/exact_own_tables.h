// What a frame of `exact` without a profile carries of its own: at most two
// tables, and for each stream the offsets of its channels. Format:
// docs/format/codecs/exact.md, section 5.
#ifndef REPRISE_CODEC_EXACT_OWN_TABLES_H_
#define REPRISE_CODEC_EXACT_OWN_TABLES_H_

#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/exact_kernel.h"
#include "codec/exact_tables.h"
#include "codec/frame.h"

namespace reprise {

inline constexpr uint32_t kExactMaxOwnTables = 2;

// How values of a type are cut where nothing better is known.
ExactSplit DefaultExactSplit(DType dtype);

struct ExactOwnTable {
  ExactSplit split;
  uint32_t unit_bits = 0;  // log2 of the offset unit
};

// Tables of one frame. Large, and without allocations: it lives in scratch.
struct ExactOwnTables {
  uint32_t count = 0;
  ExactOwnTable kinds[kExactMaxOwnTables];
  ExactFrequencies frequencies[kExactMaxOwnTables];
  uint32_t decode[kExactMaxOwnTables * kExactSlots];
  ExactEncodeEntry encode[kExactMaxOwnTables * kExactSymbols];
};

// The offsets of a stream's channels: base + (steps[c] << unit_bits).
struct ExactOwnStream {
  uint32_t table = 0;
  uint32_t base = 0;
  uint8_t steps[kExactMaxChannels];  // 0 to 15
};

// The head of a stream: these bytes, then 4 bits a channel.
inline constexpr uint32_t kExactOwnStreamHeadBytes = 4;
inline uint32_t ExactOwnStreamBytes(uint32_t channels) {
  return kExactOwnStreamHeadBytes + (channels + 7) / 8 * 4;
}

// The section of mode 3.
inline constexpr uint32_t kExactOwnTableBytes = 136;
// REQUIRES: kExactOwnTableBytes for each table at `p`.
void StoreExactOwnTables(const ExactOwnTables& tables, uint8_t* p);
// kDataLoss with the rule that it breaks.
Status LoadExactOwnTables(ByteView bytes, ExactOwnTables* out);

// The head of a stream. REQUIRES: ExactOwnStreamBytes(channels) bytes at `p`.
void StoreExactOwnStream(const ExactOwnStream& stream, uint32_t channels,
                         uint8_t* p);
// kDataLoss when the table or the base is out of range, or the table is for
// elements of another size.
Status LoadExactOwnStream(ByteView head, uint32_t channels,
                          uint32_t element_bytes, const ExactOwnTables& tables,
                          ExactOwnStream* out);
void FillExactChannels(const ExactOwnStream& stream, uint32_t channels,
                       const ExactOwnTables& tables, ExactChannels* out);

// One stream as an encoder meets it: which slice, which of its channels.
struct ExactStreamPlace {
  uint32_t slice = 0;
  uint32_t channel_first = 0;  // of the slice's
  uint32_t channels = 0;
};

// Fits tables and offsets to a frame. streams[i] is for places[i]; its table
// is kExactMaxOwnTables where the frame has none for it.
void FitExactOwnTables(const EncodeRequest& request,
                       std::span<const ExactStreamPlace> places,
                       ExactOwnTables* tables, ExactOwnStream* streams);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_OWN_TABLES_H_
