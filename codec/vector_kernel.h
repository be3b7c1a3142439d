// The loops of `vq` and `pq`, scalar: the reference that the vectors of
// vector_simd.h equal bit for bit. They allocate nothing and cannot fail.
//
// The search works on many vectors at once, one a lane, so that a centroid is
// loaded once for all of them and no sum crosses lanes. Of
//   |v - c|^2 = |v|^2 - 2 (v . c) + |c|^2
// the first term is the same for all centroids; half of the rest,
//   |c|^2 / 2 - v_0 c_0 - v_1 c_1 - ...
// is what is compared. Each product is rounded, then each difference, in this
// order, without fused operations.
#ifndef REPRISE_CODEC_VECTOR_KERNEL_H_
#define REPRISE_CODEC_VECTOR_KERNEL_H_

#include <cstdint>

namespace reprise {

inline constexpr uint32_t kVectorMaxBlock = 16;
inline constexpr uint32_t kVectorMaxCentroids = 256;
// Searches take vectors in runs of this many; what lies behind the last one
// must be readable, and its codes are written too.
inline constexpr uint32_t kVectorLanes = 16;

constexpr uint32_t RoundUpToLanes(uint32_t count) {
  return (count + kVectorLanes - 1) / kVectorLanes * kVectorLanes;
}

// Vectors of `width` components and the centroids to find them among.
struct VectorSearch {
  const float* centroids = nullptr;   // [centroid_count, width]
  const float* half_norms = nullptr;  // [centroid_count]: VectorHalfNorms
  uint32_t centroid_count = 0;        // 1 to 256
  uint32_t width = 0;                 // 1 to 16
  const float* values = nullptr;      // [width, value_stride]
  uint64_t value_stride = 0;          // floats from component to component
  uint32_t count = 0;                 // vectors
};

// half_norms[i] = (c_0 c_0 + c_1 c_1 + ...) / 2 of centroid i.
//   centroids [count, width], half_norms [count]
void VectorHalfNorms(const float* centroids, uint32_t count, uint32_t width,
                     float* half_norms);

// The index of the nearest centroid of each vector, the lowest of equal ones.
// A vector that is nowhere near (its scores are NaN or infinite) gets 0.
//   codes [RoundUpToLanes(count)]
void VectorNearestScalar(const VectorSearch& search, uint8_t* codes);

// distances[i] = min(distances[i], |v_i - c|^2) for the one centroid of the
// search: what seeding works on.
//   distances [RoundUpToLanes(count)]
void VectorNearerScalar(const VectorSearch& search, float* distances);

// Where a head's decoded blocks lie: for each block and code an entry, which
// is copied as it is.
struct VectorTable {
  const uint8_t* entries = nullptr;
  uint32_t full_blocks = 0;
  uint32_t entry_bytes = 0;
  uint64_t block_stride = 0;  // bytes from one block's entries to the next's
  // The shorter block at the end of a head, if tail_bytes is not 0: the first
  // tail_bytes of entries that are tail_stride apart.
  uint32_t tail_bytes = 0;
  uint32_t tail_stride = 0;

  uint32_t blocks() const { return full_blocks + (tail_bytes != 0 ? 1 : 0); }
};

// One head of one token: codes [table.blocks()] to elements. Every code has an
// entry. This is all there is to decoding, and copies need no vectors.
void VectorDecodeRow(const VectorTable& table, const uint8_t* codes,
                     uint8_t* out);

// `count` codes of `bits` bits (1 to 8), the first one in the low bits of the
// first byte, zeros up to a whole byte.
void PackCodes(const uint8_t* codes, uint32_t count, uint32_t bits,
               uint8_t* out);
void UnpackCodes(const uint8_t* packed, uint32_t count, uint32_t bits,
                 uint8_t* codes);

// Squared error and energy of one head of one token, in f64: four sums, one
// for each channel modulo 4, added as (0 + 1) + (2 + 3).
struct VectorError {
  double error = 0;
  double energy = 0;
  // error / energy; 0 when nothing was lost, infinite when all there is to
  // say is that zeros were not kept.
  double relative() const;
};
VectorError VectorRowError(const float* exact, const float* decoded,
                           uint32_t count);

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_KERNEL_H_
