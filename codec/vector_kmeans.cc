#include "codec/vector_kmeans.h"

#include <algorithm>
#include <limits>

#include "codec/vector_simd.h"

namespace reprise {
namespace {

// Seeds are drawn from this many values a centroid: more cost time and change
// the error by less than 1 % (SmolLM2, pq d=4).
constexpr uint32_t kSeedsPerCentroid = 8;

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
// generators", 2014).
uint64_t NextRandom(uint64_t* state) {
  *state += 0x9e3779b97f4a7c15;
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t VectorKMeans::BytesFor(uint32_t count) {
  constexpr uint64_t kSeeds = kSeedsPerCentroid * kVectorMaxCentroids;
  return count + kSeeds * (kVectorMaxBlock + 1) * sizeof(float) +
         kVectorMaxCentroids * (kVectorMaxBlock + 1) * sizeof(double);
}

void VectorKMeans::Fit(const KMeansJob& job, float* centroids) {
  const uint64_t size = uint64_t{job.centroid_count} * job.width;
  std::fill(centroids, centroids + size, 0.0f);
  if (job.count == 0) return;
  Seed(job, centroids);
  half_norms_.resize(job.centroid_count);
  codes_.resize(RoundUpToLanes(job.count));
  for (uint32_t i = 0; i < job.iterations; ++i) {
    VectorHalfNorms(centroids, job.centroid_count, job.width,
                    half_norms_.data());
    VectorNearest({.centroids = centroids,
                   .half_norms = half_norms_.data(),
                   .centroid_count = job.centroid_count,
                   .width = job.width,
                   .values = job.values,
                   .value_stride = job.stride,
                   .count = job.count},
                  codes_.data());
    MoveToMeans(job, centroids);
  }
}

// Each seed is drawn with a probability that grows with its squared distance
// from those drawn before.
void VectorKMeans::Seed(const KMeansJob& job, float* centroids) {
  const uint32_t count =
      std::min(job.count, kSeedsPerCentroid * job.centroid_count);
  const uint32_t stride = RoundUpToLanes(count);
  seeds_.assign(uint64_t{stride} * job.width, 0.0f);
  for (uint32_t j = 0; j < job.width; ++j) {
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t from = uint64_t{i} * job.count / count;
      seeds_[uint64_t{j} * stride + i] = job.values[j * job.stride + from];
    }
  }
  distances_.assign(stride, std::numeric_limits<float>::max());
  uint64_t state = job.seed;
  for (uint32_t c = 0; c < job.centroid_count; ++c) {
    float* centroid = centroids + uint64_t{c} * job.width;
    const uint32_t drawn =
        c == 0 ? static_cast<uint32_t>(NextRandom(&state) % count)
               : Pick(count, NextRandom(&state));
    for (uint32_t j = 0; j < job.width; ++j) {
      centroid[j] = seeds_[uint64_t{j} * stride + drawn];
    }
    VectorNearer({.centroids = centroid,
                  .centroid_count = 1,
                  .width = job.width,
                  .values = seeds_.data(),
                  .value_stride = stride,
                  .count = count},
                 distances_.data());
  }
}

uint32_t VectorKMeans::Pick(uint32_t count, uint64_t random) const {
  double total = 0;
  for (uint32_t i = 0; i < count; ++i) total += double{distances_[i]};
  const double wanted = static_cast<double>(random >> 11) * 0x1p-53 * total;
  double sum = 0;
  for (uint32_t i = 0; i < count; ++i) {
    sum += double{distances_[i]};
    if (sum > wanted) return i;
  }
  return 0;  // all are drawn, or equal to one that is
}

void VectorKMeans::MoveToMeans(const KMeansJob& job, float* centroids) {
  const uint32_t count = job.centroid_count;
  sums_.assign(uint64_t{count} * job.width, 0.0);
  members_.assign(count, 0);
  for (uint32_t i = 0; i < job.count; ++i) ++members_[codes_[i]];
  for (uint32_t j = 0; j < job.width; ++j) {
    const float* row = job.values + j * job.stride;
    double* sums = sums_.data() + uint64_t{j} * count;
    for (uint32_t i = 0; i < job.count; ++i) sums[codes_[i]] += double{row[i]};
  }
  for (uint32_t c = 0; c < count; ++c) {
    if (members_[c] == 0) continue;
    for (uint32_t j = 0; j < job.width; ++j) {
      centroids[uint64_t{c} * job.width + j] = static_cast<float>(
          sums_[uint64_t{j} * count + c] / static_cast<double>(members_[c]));
    }
  }
}

}  // namespace reprise
