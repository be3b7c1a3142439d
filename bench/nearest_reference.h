// Brute-force nearest-centroid search through OpenBLAS, on one core: what a
// user would write instead.
#ifndef REPRISE_BENCH_NEAREST_REFERENCE_H_
#define REPRISE_BENCH_NEAREST_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace reprise::bench {

// Not thread-safe. Sets OpenBLAS to one thread for the whole process.
class NearestReference {
 public:
  NearestReference();

  // The index of the nearest of `count` centroids for each vector:
  // |c|^2 - 2 c . x from one sgemm a chunk of vectors, then its minimum.
  //   centroids [count, width], values [width, vectors], codes [vectors]
  void Find(const float* centroids, uint32_t count, uint32_t width,
            const float* values, uint32_t vectors, uint8_t* codes);

 private:
  std::vector<float> scores_;  // [count, chunk]
  std::vector<float> norms_;
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_NEAREST_REFERENCE_H_
