// The inverse of a square matrix of f32, for the encoder of `klt`: it solves
// for coefficients (docs/format/codecs/klt.md, section 2).
//
// Gauss-Jordan in place: step k turns column k into that of the identity, and
// the column of the inverse that appears takes its place. By blocks of 32
// steps: those are done in their own 32 columns first, the panel, with the
// largest of the rows that are left as pivot. All that the steps do to the
// other columns is then one product of depth 32, which is nearly all of the
// 2 n^3 operations. See G. Quintana-Orti and others, "A note on parallel matrix
// inversion", SIAM J. Sci. Comput. 22 (2001).
#ifndef REPRISE_CODEC_KLT_SOLVE_H_
#define REPRISE_CODEC_KLT_SOLVE_H_

#include <cstdint>
#include <vector>

namespace reprise {

// Steps of a panel; rows and columns of a KltSquare are padded to it.
inline constexpr uint32_t kKltPanel = 32;

// A square matrix, zero to begin with. Rows stand at multiples of 128 bytes.
class KltSquare {
 public:
  explicit KltSquare(uint32_t n);

  uint32_t n() const { return n_; }
  // n and what pads it with zeros to a multiple of 32, in rows and columns.
  uint32_t padded() const { return chunks() * kKltPanel; }
  uint64_t stride() const { return uint64_t{row_chunks_} * kKltPanel; }
  float* Row(uint32_t row) { return lines_[row * row_chunks_].of; }
  const float* Row(uint32_t row) const { return lines_[row * row_chunks_].of; }

 private:
  struct alignas(128) Chunk {
    float of[kKltPanel];
  };

  uint32_t chunks() const { return (n_ + kKltPanel - 1) / kKltPanel; }

  uint32_t n_;
  uint64_t row_chunks_;
  std::vector<Chunk> lines_;
};

// Replaces a matrix by its inverse in the vectors of the machine at hand, so
// that the last bits differ from one kind to the next. False, and the matrix is
// anything, if it is not finite or singular; one that is nearly singular may
// pass and be far off, but finite. Allocates 256 n bytes.
bool KltInvert(KltSquare* matrix);
// The same in arithmetic that has the same bits everywhere.
bool KltInvertScalar(KltSquare* matrix);

// c += a b, of depth 32.
//
//   a  [rows, 32]
//   b  [columns / 32, 32, 32 columns]
//   c  [rows, c_stride]
//
// REQUIRES: rows % 8 == 0; columns and c_stride % 32 == 0; all of them at
// multiples of 64 bytes.
struct KltUpdateJob {
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  uint64_t c_stride = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
};
void KltUpdate(const KltUpdateJob& job);
void KltUpdateScalar(const KltUpdateJob& job);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_SOLVE_H_
