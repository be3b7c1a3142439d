// The loops of `exact`, scalar: the reference that every other version equals
// bit for bit. They allocate nothing and cannot fail; exact_codec.cc checks
// everything before and what they return after.
//
// The coder is rANS (J. Duda, "Asymmetric numeral systems", 2013) in the
// interleaved form of F. Giesen ("Interleaved entropy coders", 2014): 32
// states take turns at one sequence of 16-bit words, so that the lanes of a
// vector decode in step. Format: docs/format/codecs/exact.md.
#ifndef REPRISE_CODEC_EXACT_KERNEL_H_
#define REPRISE_CODEC_EXACT_KERNEL_H_

#include <cstdint>

#include "codec/exact_split.h"
#include "codec/exact_tables.h"

namespace reprise {

// Loops may read this far behind words and behind raw bits: what they find
// there changes nothing.
inline constexpr uint32_t kExactSlackBytes = 128;

// Of each channel of a stream: where its table starts in the set (in slots,
// table * 1024) and its offset. Lanes that idle hold zeros.
struct ExactChannels {
  alignas(64) uint32_t table_slot[kExactMaxChannels];
  alignas(64) uint16_t offset[kExactMaxChannels];
};

struct ExactStream {
  uint32_t tokens = 0;    // 1 to 64
  uint32_t channels = 0;  // 1 to 256
  ExactSplit split;
  const ExactChannels* lanes = nullptr;

  uint32_t rows_per_token() const {
    return (channels + kExactLanes - 1) / kExactLanes;
  }
  uint32_t rows() const { return tokens * rows_per_token(); }
  uint32_t states() const {
    return channels < kExactLanes ? channels : kExactLanes;
  }
  uint32_t raw_bytes() const { return rows() * split.raw_bits * 4; }
};

// The parts of a stream's section. kExactSlackBytes behind the words and
// behind the raw bits must be readable.
struct ExactCoded {
  const uint8_t* states = nullptr;
  const uint8_t* words = nullptr;
  const uint8_t* raw = nullptr;
  uint32_t word_count = 0;
};

// One stream to be decoded: `decode` is its set's (exact_tables.h), `rows` are
// `stride` bytes apart.
struct ExactDecodeJob {
  ExactStream stream;
  ExactCoded coded;
  const uint32_t* decode = nullptr;
  uint8_t* rows = nullptr;
  uint64_t stride = 0;
};

// Decodes the first `token_count` tokens. False when the stream is damaged:
// then rows may be partly written, but nothing outside of them. The end is
// checked when token_count is the stream's.
bool ExactDecodeScalar(const ExactDecodeJob& job, uint32_t token_count);

// Where an encoder writes. Words are produced last first, so they are put at
// the end of their buffer.
struct ExactEncodeOut {
  uint32_t states[kExactLanes];
  // [ExactMaxWords(stream)], plus kExactSlackBytes in front.
  uint16_t* words = nullptr;
  // [stream.raw_bytes()] plus kExactSlackBytes.
  uint8_t* raw = nullptr;
  // [rows][32]: scratch.
  uint16_t* keys = nullptr;
};

inline uint32_t ExactMaxWords(const ExactStream& stream) {
  return stream.rows() * kExactLanes * 2;
}

// Encodes all tokens. Returns the number of words, which stand at the end of
// out->words; states and raw bits are complete. `encode` is the set's.
uint32_t ExactEncodeScalar(const ExactStream& stream,
                           const ExactEncodeEntry* encode, const uint8_t* rows,
                           uint64_t stride, ExactEncodeOut* out);

// --- Pieces of the above, for kernels that replace the others. ---

inline uint32_t ExactLaneCount(const ExactStream& stream,
                               uint32_t row_in_token) {
  const uint32_t left = stream.channels - row_in_token * kExactLanes;
  return left < kExactLanes ? left : kExactLanes;
}

// Loads the states. False when one is too low.
bool ExactLoadStates(const ExactStream& stream, const ExactCoded& coded,
                     uint32_t states[kExactLanes]);
// Whether states and cursor are those of a stream's end.
bool ExactIsEnd(const ExactStream& stream, const ExactCoded& coded,
                const uint32_t states[kExactLanes], uint32_t cursor);

// One row of `lanes` values from keys and raw bits.
void ExactJoinRow(const ExactSplit& split, const uint32_t* keys,
                  const uint8_t* raw, uint32_t lanes, uint8_t* out);
// One row of `lanes` values to keys and raw bits; `raw` holds zeros.
void ExactSplitRow(const ExactSplit& split, const uint8_t* in, uint32_t lanes,
                   uint16_t* keys, uint8_t* raw);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_KERNEL_H_
