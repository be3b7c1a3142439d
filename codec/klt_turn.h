// Angles of rotary positions, and heads turned by them: docs/format/codecs/
// klt.md, sections 2 and 5. Nothing here asks the C library for a sine, and no
// product is fused with a sum but where the page says so: every machine gets
// the same bits. The plain functions run in the vectors of the machine at hand
// (ChooseExactTarget of exact_simd.h switches them too); those in ...Scalar
// are what they equal bit for bit. None of them allocates or can fail.
#ifndef REPRISE_CODEC_KLT_TURN_H_
#define REPRISE_CODEC_KLT_TURN_H_

#include <cstdint>

namespace reprise {

// The cosine and sine of a phase in units of 2^-64 turns.
struct KltTurn {
  float c = 1;
  float s = 0;
};
KltTurn KltTurnOf(uint64_t phase);

// The same of position * turn for positions from `first_position` on.
//
//   turns           [pairs]  of the profile
//   cosines, sines  [tokens, pairs]
struct KltTurnJob {
  const uint64_t* turns = nullptr;
  uint32_t pairs = 0;
  uint64_t first_position = 0;
  uint32_t tokens = 0;
};
void KltTurnTable(const KltTurnJob& job, float* cosines, float* sines);
void KltTurnTableScalar(const KltTurnJob& job, float* cosines, float* sines);

// Which channels of a head make a pair: a profile's `rotary pairing`.
enum class KltPairing : uint8_t { kNone = 0, kAdjacent = 1, kHalves = 2 };

// The heads of one row of a rotated plane.
// REQUIRES: 2 * pairs <= dim; pairing is not kNone.
struct KltHeads {
  KltPairing pairing = KltPairing::kHalves;
  uint32_t heads = 0;
  uint32_t dim = 0;
  uint32_t pairs = 0;  // R / 2
};

// Turns a row by the angles of its position, in place, as a decoder must.
//
//   cosines, sines  [pairs]      of KltTurnTable, the row of this token
//   row             [heads, dim]
void KltRotate(const KltHeads& shape, const float* cosines, const float* sines,
               float* row);
void KltRotateScalar(const KltHeads& shape, const float* cosines,
                     const float* sines, float* row);

// Turns it back, for encoders and trainers: the same with the sines negated,
// so that unrotated keys too are the same everywhere.
void KltUnrotate(const KltHeads& shape, const float* cosines,
                 const float* sines, float* row);
void KltUnrotateScalar(const KltHeads& shape, const float* cosines,
                       const float* sines, float* row);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_TURN_H_
