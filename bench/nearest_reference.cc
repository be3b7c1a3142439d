#include "bench/nearest_reference.h"

#include <cblas.h>

#include <algorithm>
#include <limits>

namespace reprise::bench {
namespace {

// The scores of so many vectors with 256 centroids stay in a level-2 cache.
// Of 64, 128, 256 and 512 the fastest here.
constexpr uint32_t kChunk = 256;

// Compiled for the machine at hand, like what it is compared with.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define REPRISE_FAST                                                 \
  __attribute__((target_clones("arch=x86-64-v4", "avx2", "default"), \
                 optimize("O3")))
#else
#define REPRISE_FAST
#endif

// scores [count, chunk], without the centroids' squared lengths.
REPRISE_FAST void TakeMinimum(const float* scores, const float* norms,
                              uint32_t count, uint8_t* codes) {
  float best[kChunk];
  int32_t index[kChunk];
  for (uint32_t i = 0; i < kChunk; ++i) {
    best[i] = std::numeric_limits<float>::infinity();
    index[i] = 0;
  }
  for (uint32_t c = 0; c < count; ++c) {
    const float* row = scores + uint64_t{c} * kChunk;
    const float norm = norms[c];
    const auto code = static_cast<int32_t>(c);
    for (uint32_t i = 0; i < kChunk; ++i) {
      const float score = row[i] + norm;
      const bool nearer = score < best[i];
      best[i] = nearer ? score : best[i];
      index[i] = nearer ? code : index[i];
    }
  }
  for (uint32_t i = 0; i < kChunk; ++i) {
    codes[i] = static_cast<uint8_t>(index[i]);
  }
}

}  // namespace

NearestReference::NearestReference() { openblas_set_num_threads(1); }

void NearestReference::Find(const float* centroids, uint32_t count,
                            uint32_t width, const float* values,
                            uint32_t vectors, uint8_t* codes) {
  scores_.resize(uint64_t{count} * kChunk);
  norms_.assign(count, 0.0f);
  for (uint32_t c = 0; c < count; ++c) {
    for (uint32_t j = 0; j < width; ++j) {
      const float x = centroids[uint64_t{c} * width + j];
      norms_[c] += x * x;
    }
  }
  uint8_t of_chunk[kChunk];
  for (uint32_t first = 0; first < vectors; first += kChunk) {
    const uint32_t size = std::min(kChunk, vectors - first);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans,
                static_cast<int>(count), static_cast<int>(size),
                static_cast<int>(width), -2.0f, centroids,
                static_cast<int>(width), values + first,
                static_cast<int>(vectors), 0.0f, scores_.data(), kChunk);
    TakeMinimum(scores_.data(), norms_.data(), count, of_chunk);
    std::copy(of_chunk, of_chunk + size, codes + first);
  }
}

}  // namespace reprise::bench
