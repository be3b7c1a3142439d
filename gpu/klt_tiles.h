// What goes from one kernel of `klt` to the other: the coefficients of one
// group of a frame, in the shape that matrix products want, and the tokens'
// steps.
//
// Coefficients lie in tiles of 16 tokens and 32 coefficients, each as two
// limbs: q = low + 256 * high with low from -128 to 127, and high, at most 128,
// of which what is above 127 stands apart as a bit (*top*). A tile of limbs is
// the fragment of one mma.m16n8k32, 16 bytes a lane (executor.h, MmaLeft).
// Tiles that are all zero are not written, and marked so; most are: high limbs
// are those of |q| above 127, and top bits of q from 32640 on.
//
//   offset  type                        what
//   0       f32 [64]                    steps by token; raw ones: anything
//   256     u32 [4 tiles of tokens]     marks of low; bit of word is rows of
//               [4 words]               32 coefficients
//   320     the same                    marks of high
//   384     the same                    marks of top
//   512     512 bytes [tiles][rows]     low
//           512 bytes [tiles][rows]     high
//           u32 [16] [tiles][rows]      top: bits of coefficients, by token
#ifndef REPRISE_GPU_KLT_TILES_H_
#define REPRISE_GPU_KLT_TILES_H_

#include <cstdint>

#include "gpu/executor.h"

namespace reprise {

inline constexpr uint32_t kKltTileTokens = 16;
inline constexpr uint32_t kKltTileRow = 32;  // coefficients
inline constexpr uint32_t kKltTileBytes = 512;
inline constexpr uint32_t kKltTopBytes = 64;
inline constexpr uint32_t kKltMarkWords = 4;  // 128 rows are the most

REPRISE_GPU constexpr uint32_t KltTokenTiles(uint32_t tokens) {
  return (tokens + kKltTileTokens - 1) / kKltTileTokens;
}

enum class KltLimb : uint8_t { kLow = 0, kHigh = 1, kTop = 2 };

// Where the parts lie of a group with `rows` rows of 32 coefficients.
struct KltTiles {
  uint32_t token_tiles = 0;
  uint32_t rows = 0;

  static constexpr uint64_t kMarksAt = 256;
  static constexpr uint64_t kTilesAt = 512;

  REPRISE_GPU static constexpr uint64_t StepAt(uint32_t token) {
    return token * sizeof(float);
  }
  // Of a tile of tokens: its words.
  REPRISE_GPU static constexpr uint64_t MarksAt(KltLimb limb, uint32_t tile) {
    return kMarksAt + sizeof(uint32_t) * kKltMarkWords *
                          (4 * static_cast<uint32_t>(limb) + tile);
  }
  REPRISE_GPU constexpr uint64_t TileAt(KltLimb limb, uint32_t tile,
                                        uint32_t row) const {
    const uint64_t tiles = uint64_t{token_tiles} * rows;
    const uint64_t index = uint64_t{tile} * rows + row;
    const uint64_t bytes = limb == KltLimb::kTop ? kKltTopBytes : kKltTileBytes;
    return kTilesAt + static_cast<uint32_t>(limb) * tiles * kKltTileBytes +
           index * bytes;
  }
  constexpr uint64_t bytes() const {
    return kTilesAt +
           uint64_t{token_tiles} * rows * (2 * kKltTileBytes + kKltTopBytes);
  }
};

// Where a limb of a coefficient lies in its tile.
REPRISE_GPU constexpr uint32_t KltByteInTile(uint32_t token,
                                             uint32_t coefficient) {
  const uint32_t lane = token % 8 * 4 + coefficient % 16 / 4;
  const uint32_t part = token / 8 + coefficient / 16 * 2;
  return lane * 16 + part * 4 + coefficient % 4;
}

// 16 bytes that a lane loads or stores at once.
struct alignas(16) KltLaneBytes {
  uint32_t of[4];
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_TILES_H_
