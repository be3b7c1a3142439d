#include "codec/klt_basis.h"

#include <algorithm>
#include <cmath>

#include "codec/klt_analysis.h"
#include "codec/klt_eigen.h"
#include "codec/klt_statistics.h"

namespace reprise {
namespace {

constexpr int kMaxLimb = 127;
constexpr int kLimbBase = 256;

// To nearest, ties to even.
int8_t Limb(double value) {
  const double limb = std::nearbyint(value);
  return static_cast<int8_t>(
      std::clamp(limb, double{-kMaxLimb}, double{kMaxLimb}));
}

// Channel i of all coefficients, by a scale of its own.
void StoreChannel(const std::vector<double>& vectors, uint32_t i, double weight,
                  KltGroupParts* group) {
  const uint32_t n = group->n;
  double largest = 0;
  for (uint32_t j = 0; j < n; ++j) {
    largest = std::max(largest, std::abs(vectors[uint64_t{j} * n + i]));
  }
  const double scale = largest / kMaxLimb;
  group->dec[i] = static_cast<float>(scale / weight);
  group->enc[i] = static_cast<float>(scale * weight);
  for (uint32_t j = 0; j < n; ++j) {
    const uint64_t at = uint64_t{j} * n + i;
    const double value = vectors[at] / scale;
    group->hi[at] = Limb(value);
    if (j < group->lead) {
      group->lo[at] = Limb((value - group->hi[at]) * kLimbBase);
    }
  }
}

}  // namespace

uint32_t KltLeadOf(uint32_t n) {
  const uint32_t eighth = (n + 7) / 8;
  return std::min(n, (eighth + kKltLanes - 1) / kKltLanes * kKltLanes);
}

bool FitKltBasis(std::span<const double> weights,
                 std::vector<double>* covariance, KltGroupParts* group,
                 std::vector<double>* variances) {
  const auto n = static_cast<uint32_t>(weights.size());
  group->n = n;
  group->lead = KltLeadOf(n);
  group->dec.resize(n);
  group->enc.resize(n);
  group->hi.resize(uint64_t{n} * n);
  group->lo.resize(uint64_t{group->lead} * n);
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t j = i; j < n; ++j) {
      (*covariance)[uint64_t{i} * n + j] *= weights[i] * weights[j];
    }
  }
  if (!KltEigen(n, covariance, variances)) return false;
  for (double& variance : *variances) variance = std::max(variance, 0.0);
  for (uint32_t i = 0; i < n; ++i) {
    StoreChannel(*covariance, i, weights[i], group);
  }
  return true;
}

std::vector<float> KltForwardMatrix(const KltGroupParts& group) {
  const uint32_t n = group.n;
  const KltTransform transform({.n = n,
                                .lead = group.lead,
                                .mu = group.mu.data(),
                                .dec = group.dec.data(),
                                .enc = group.enc.data(),
                                .hi = group.hi.data(),
                                .lo = group.lo.data()});
  const KltAnalysis analysis(transform, KltAnalysis::Arithmetic::kPortable);
  const uint64_t stride = KltRowFloats(n);
  std::vector<float> matrix(n * stride);
  for (uint32_t j = 0; j < n; ++j) {
    const float scale = analysis.scales()[j];
    for (uint32_t i = 0; i < n; ++i) {
      matrix[i * stride + j] =
          analysis.weight(j, i) * scale * analysis.factors()[i];
    }
  }
  return matrix;
}

uint64_t KltBasisBytes(uint32_t n) {
  // What Eigen copies the matrix to, and the vectors' own.
  return 4 * uint64_t{n} * n * sizeof(double);
}

}  // namespace reprise
