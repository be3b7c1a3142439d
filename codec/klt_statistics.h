// Means and covariances of the channels of one group of a profile of `klt`,
// summed up segment by segment.
#ifndef REPRISE_CODEC_KLT_STATISTICS_H_
#define REPRISE_CODEC_KLT_STATISTICS_H_

#include <cstdint>
#include <vector>

namespace reprise {

// Rows of tokens as the loops want them: channels are padded to a multiple of
// 32, and a stride is no multiple of a large power of two.
constexpr uint64_t KltRowFloats(uint32_t n) {
  return uint64_t{(n + 31) / 32} * 32 + 16;
}

class KltStatistics {
 public:
  explicit KltStatistics(uint32_t n);

  // Rows of `tokens` tokens (at most 64), KltRowFloats(n) apart, zeros behind
  // n. All finite, of a magnitude below 2^40.
  void Add(const float* rows, uint32_t tokens);

  uint32_t n() const { return n_; }
  uint64_t tokens() const { return tokens_; }
  // REQUIRES: tokens() > 0, here and below.
  std::vector<double> Means() const;
  // [n, n]; only the part on and right of the diagonal is filled in. Gives up
  // what was summed: nothing may be called after it.
  std::vector<double> TakeCovariance();

  static uint64_t BytesFor(uint32_t n);

 private:
  uint32_t n_;
  uint64_t stride_;
  uint64_t tokens_ = 0;
  // Sums are of what is left after the first segment's means were taken off:
  // some keys have means many times their spread.
  std::vector<float> offset_;
  std::vector<double> sums_;      // [n]
  std::vector<double> products_;  // [n, n]
  std::vector<float> centred_;    // [64, stride]
  std::vector<float> band_;       // [kBand, stride]
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_STATISTICS_H_
