// k-means, deterministic: the same values and seed give the same centroids on
// any machine. Seeds by k-means++ (Arthur, Vassilvitskii: "k-means++: the
// advantages of careful seeding", 2007), then a fixed number of Lloyd's
// iterations. Distances are those of the encoder (vector_kernel.h); means are
// sums in f64 in the order of the vectors.
#ifndef REPRISE_CODEC_VECTOR_KMEANS_H_
#define REPRISE_CODEC_VECTOR_KMEANS_H_

#include <cstdint>
#include <vector>

#include "codec/vector_kernel.h"

namespace reprise {

struct KMeansJob {
  // [width, stride]; finite, and readable up to RoundUpToLanes(count) in each
  // row.
  const float* values = nullptr;
  uint64_t stride = 0;
  uint32_t count = 0;
  uint32_t width = 0;
  uint32_t centroid_count = 0;
  uint32_t iterations = 0;
  uint64_t seed = 0;
};

// Keeps its memory between jobs. Not thread-safe.
class VectorKMeans {
 public:
  // What Fit holds beside the values.
  static uint64_t BytesFor(uint32_t count);

  // centroids [centroid_count, width]: all zeros without values. A centroid
  // that no value is nearest to stays where it was seeded.
  void Fit(const KMeansJob& job, float* centroids);

 private:
  void Seed(const KMeansJob& job, float* centroids);
  uint32_t Pick(uint32_t count, uint64_t random) const;
  void MoveToMeans(const KMeansJob& job, float* centroids);

  std::vector<float> seeds_;
  std::vector<float> distances_;
  std::vector<float> half_norms_;
  std::vector<uint8_t> codes_;
  std::vector<double> sums_;
  std::vector<uint32_t> members_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_KMEANS_H_
