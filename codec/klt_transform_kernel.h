// The transform of `klt` for one group of a frame, there and back, and the
// rounding in between: docs/format/codecs/klt.md, section 2. Scalar; the same
// in vectors is in klt_transform_simd.h.
//
// The frame's tokens go through together: an encoder reads the matrix once for
// all of them, and a decoder, which skips what is zero, finds its part of the
// matrix in the cache. Tokens here are those that are not raw, without gaps;
// which ones they are is the caller's business.
//
//   encoder   x -> KltForward -> z -> KltQuantise -> q -> KltCoarser -> q ...
//   decoder   q -> KltInverse -> x
//
// No function allocates once its scratch has seen the largest group.
#ifndef REPRISE_CODEC_KLT_TRANSFORM_KERNEL_H_
#define REPRISE_CODEC_KLT_TRANSFORM_KERNEL_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace reprise {

class KltAnalysis;

// Of one call; what z's columns and a frame hold.
inline constexpr uint32_t kKltTokens = 64;
// Channels and coefficients are padded to a multiple of this in all rows.
inline constexpr uint32_t kKltRow = 32;
// Limits of the format: of |q|, and of its sum over a token and group.
inline constexpr int32_t kKltMaxCoefficient = 32767;
inline constexpr int32_t kKltMaxSum = 131071;

constexpr uint32_t KltPadded(uint32_t n) {
  return (n + kKltRow - 1) / kKltRow * kKltRow;
}

// A group of a profile, as the profile has it.
struct KltGroupData {
  uint32_t n = 0;              // 1 to 4096
  uint32_t lead = 0;           // at most n
  const float* mu = nullptr;   // [n]
  const float* dec = nullptr;  // [n]
  const float* enc = nullptr;  // [n]
  const int8_t* hi = nullptr;  // [n, n]     coefficient, channel
  const int8_t* lo = nullptr;  // [lead, n]
};

// The same as the loops want it; it copies all of the above. A limb lies as
//
//   [channels / 32, coefficients / 4, 32 channels, 4 coefficients]
//
// with 128 added, so that one instruction multiplies four coefficients of a
// channel by bytes of q and sums them up, and so that 32 channels of all
// coefficients lie together and stay in the nearest cache while the tokens of
// a frame pass. What pads it is zero (128). Immutable, and thread-safe.
class KltTransform {
 public:
  static constexpr uint32_t kBlock = 32;                  // channels
  static constexpr uint32_t kQuad = 4;                    // coefficients
  static constexpr uint32_t kQuadBytes = kBlock * kQuad;  // of a block
  static constexpr int32_t kBias = 128;

  explicit KltTransform(const KltGroupData& data);
  KltTransform(KltTransform&&) noexcept;
  KltTransform& operator=(KltTransform&&) noexcept;
  ~KltTransform();
  KltTransform(const KltTransform&) = delete;
  KltTransform& operator=(const KltTransform&) = delete;

  uint32_t n() const { return n_; }
  uint32_t padded() const { return KltPadded(n_); }
  uint32_t blocks() const { return padded() / kBlock; }
  uint32_t quads() const { return padded() / kQuad; }
  // Quads with a second limb: the first ones.
  uint32_t lead_quads() const { return lead_quads_; }

  // [padded()], zeros behind n.
  const float* mu() const { return mu_.data(); }
  const float* dec() const { return dec_.data(); }
  const float* enc() const { return enc_.data(); }

  // Block b: [quads() or lead_quads(), 32, 4], at a multiple of 64 bytes.
  const uint8_t* hi(uint32_t block) const {
    return limbs_.data() + hi_at_ + uint64_t{block} * quads() * kQuadBytes;
  }
  const uint8_t* lo(uint32_t block) const {
    return limbs_.data() + lo_at_ + uint64_t{block} * lead_quads_ * kQuadBytes;
  }

  // A channel's entries of the matrix times 256: [padded()], zeros behind n.
  void LoadChannel(uint32_t channel, int16_t* entries) const;

  // What an encoder multiplies by. The first call makes it, which takes 2 n^3
  // operations and 6 n^2 bytes, of which 2 n^2 stay; others wait meanwhile.
  const KltAnalysis& analysis() const;

  // All of it; more once there is an analysis.
  uint64_t memory_bytes() const;

 private:
  struct Lazy;

  void Pack(const int8_t* columns, uint32_t count, uint32_t quad_count,
            uint64_t at);

  uint32_t n_;
  uint32_t lead_quads_;
  uint64_t hi_at_ = 0;
  uint64_t lo_at_ = 0;
  std::vector<float> mu_, dec_, enc_;
  std::vector<uint8_t> limbs_;
  std::unique_ptr<Lazy> lazy_;
};

// What the loops keep from call to call. One a thread.
struct KltScratch {
  std::vector<uint8_t> bytes;
  std::vector<float> floats;
};

// --------------------------------------------------------------------- decode

// From coefficients to values: x[i] of the page, before any rotation.
//
//   q      [tokens, q_stride]    zeros behind n. Only the first used[t] of a
//                                token are looked at: those of coded rows.
//   used   [tokens]              each a multiple of 32, at most padded()
//   steps  [tokens]
//   x      [tokens, x_stride]    out; padded() of each are written
//
// REQUIRES: tokens <= 64; strides >= padded().
struct KltInverseJob {
  const KltTransform* transform = nullptr;
  uint32_t tokens = 0;
  const int16_t* q = nullptr;
  uint64_t q_stride = 0;
  const uint32_t* used = nullptr;
  const float* steps = nullptr;
  float* x = nullptr;
  uint64_t x_stride = 0;
};
// False, and x is anything, if a token breaks a limit on q: then the frame is
// damaged. (A magnitude that does not fit into i16 the caller finds himself;
// -32768 is found here.)
bool KltInverseScalar(const KltInverseJob& job, KltScratch* scratch);

// --------------------------------------------------------------------- encode

// From values to coefficients, in f32, by the transform's analysis():
//
//   x  [tokens, x_stride]  keys un-rotated; the first n of each
//   z  [padded(), 64]      out: coefficient, token; zeros for coefficients
//                          from n on, anything for tokens from `tokens` on
//
// What a machine fuses is its own, so the last bits of z differ from one to the
// next (klt_transform_simd.h says what most do). A NaN or infinity makes that
// token's z not finite, and no other's. REQUIRES: tokens <= 64; x_stride >= n.
struct KltForwardJob {
  const KltTransform* transform = nullptr;
  uint32_t tokens = 0;
  const float* x = nullptr;
  uint64_t x_stride = 0;
  float* z = nullptr;
};
void KltForwardScalar(const KltForwardJob& job, KltScratch* scratch);

// q = sign(z) floor(|z| / step + 1/2) in f32.
//
//   z      [padded(n), 64]     of KltForward
//   steps  [tokens]            of the last stage
//   q      [tokens, q_stride]  out; KltPadded(n) of each are written
//
// Returns a bit for each token that must be sent raw: some z is not finite,
// some |q| is above 32767 or their sum above 131071. Its q is anything.
struct KltQuantiseJob {
  uint32_t n = 0;
  uint32_t tokens = 0;
  const float* z = nullptr;
  const float* steps = nullptr;
  int16_t* q = nullptr;
  uint64_t q_stride = 0;
};
uint64_t KltQuantiseScalar(const KltQuantiseJob& job);

// The next coarser stage: the nearest integer to each q / 3.
//   q, coarser  [count], may be the same
void KltCoarserScalar(const int16_t* q, uint64_t count, int16_t* coarser);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_TRANSFORM_KERNEL_H_
