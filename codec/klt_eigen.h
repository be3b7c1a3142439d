// Eigenvectors of symmetric matrices, for the trainer of `klt`: the one place
// that knows the Eigen library.
#ifndef REPRISE_CODEC_KLT_EIGEN_H_
#define REPRISE_CODEC_KLT_EIGEN_H_

#include <cstdint>
#include <vector>

namespace reprise {

// Of a symmetric matrix [n, n], of which the part on and right of the diagonal
// is read. On return its row j is the unit eigenvector of values[j], and the
// values fall. False if the iteration does not converge: then the matrix
// was not finite.
//
// The same matrix gives the same bits on every machine of one kind (x86-64,
// say), whatever its vectors and caches are like. About 4 n^2 numbers of
// memory.
bool KltEigen(uint32_t n, std::vector<double>* matrix,
              std::vector<double>* values);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_EIGEN_H_
