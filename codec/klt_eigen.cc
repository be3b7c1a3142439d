#include "codec/klt_eigen.h"

// Its BUILD target fixes the instruction set as well: a fused product would
// change the last bits, and with them the profile's name.
#define EIGEN_DONT_VECTORIZE
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#include <eigen3/Eigen/Eigenvalues>

namespace reprise {
namespace {

using Matrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

// Eigen cuts its sums by the caches' sizes.
constexpr int kL1Bytes = 32 << 10;
constexpr int kL2Bytes = 256 << 10;
constexpr int kL3Bytes = 2 << 20;

}  // namespace

bool KltEigen(uint32_t n, std::vector<double>* matrix,
              std::vector<double>* values) {
  Eigen::setCpuCacheSizes(kL1Bytes, kL2Bytes, kL3Bytes);
  // Right of the diagonal by rows is left of it by columns.
  const Eigen::Map<const Matrix> given(matrix->data(), n, n);
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(given);
  if (solver.info() != Eigen::Success) return false;
  values->resize(n);
  for (uint32_t j = 0; j < n; ++j) {
    const uint32_t from = n - 1 - j;  // Eigen's ascend
    (*values)[j] = solver.eigenvalues()(from);
    for (uint32_t i = 0; i < n; ++i) {
      (*matrix)[uint64_t{j} * n + i] = solver.eigenvectors()(i, from);
    }
  }
  return true;
}

}  // namespace reprise
