// The matrix that an encoder of `klt` multiplies values by, its analysis
// matrix: the inverse of what the decoder multiplies coefficients by, so that
// the format's rounding of that to bytes costs nothing, and the profile's
// matrix need not be orthonormal. docs/format/codecs/klt.md, section 2.
#ifndef REPRISE_CODEC_KLT_ANALYSIS_H_
#define REPRISE_CODEC_KLT_ANALYSIS_H_

#include <cstdint>
#include <vector>

#include "codec/klt_transform_kernel.h"

namespace reprise {

//   z[j] = scale[j] * sum over i of weight[j][i] * factor[i] * (x[i] - mu[i])
//
// 16 bits a weight. Each of a coefficient's weights is rounded by less than its
// largest / 2^16, with the channels brought to one size by their factors first.
// Immutable; what pads channels and coefficients is zero.
class KltAnalysis {
 public:
  enum class Arithmetic {
    kNative,    // the vectors of the machine at hand: bits may differ
    kPortable,  // the same bits everywhere; several times slower
  };

  // Solves, and looks at what comes out: the inverse must lead from random
  // coefficients to values and back, and the other way round, to 2^-6 of their
  // size, and no coefficient may be the difference of values 2^14 times its
  // size. Where the matrix does not allow it, singular for one, takes the
  // transpose with the profile's enc.
  //
  // 2 n^3 operations. Besides what it keeps, holds 4 n^2 bytes and some.
  KltAnalysis(const KltTransform& transform, Arithmetic arithmetic);

  bool is_solved() const { return is_solved_; }
  uint32_t quads() const { return padded_ / kQuad; }
  // [padded channels], [padded coefficients]
  const float* factors() const { return factors_.data(); }
  const float* scales() const { return scales_.data(); }
  // Of four coefficients: [padded channels, 4], at a multiple of 64 bytes.
  const int16_t* weights(uint32_t quad) const {
    return weights_[uint64_t{quad} * padded_ / kChunkChannels].of;
  }
  float weight(uint32_t coefficient, uint32_t channel) const {
    return weights(coefficient / kQuad)[channel * kQuad + coefficient % kQuad];
  }

  uint64_t memory_bytes() const {
    return weights_.size() * sizeof(Chunk) + 2 * padded_ * sizeof(float);
  }

 private:
  static constexpr uint32_t kQuad = KltTransform::kQuad;
  static constexpr uint32_t kChunkChannels = 8;
  struct alignas(64) Chunk {
    int16_t of[kChunkChannels * kQuad];
  };

  void SetWeight(uint32_t coefficient, uint32_t channel, float weight);
  bool TakeInverse(const KltTransform& transform, Arithmetic arithmetic);
  void TakeTranspose(const KltTransform& transform);

  uint32_t padded_;
  bool is_solved_ = false;
  std::vector<float> factors_, scales_;
  std::vector<Chunk> weights_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_ANALYSIS_H_
