// The sums that a relative error is made of, in the vectors of the machine at
// hand. What a compaction compares decoded planes by.
#ifndef REPRISE_CODEC_SQUARED_SUMS_H_
#define REPRISE_CODEC_SQUARED_SUMS_H_

#include <cstdint>

namespace reprise {

// Of elements whose source is a finite number.
struct SquaredSums {
  double difference = 0;
  double reference = 0;     // of the source
  bool not_finite = false;  // a decoded value is none
};

// AddSquares takes so many: what is missing is filled up with zeros.
inline constexpr uint64_t kSquaresBlock = 1024;

// Adds those of a block. Differences are of 32 bits, their squares and the sums
// of 64: the order of the terms is the machine's, and shows in the last bits.
//
//   source, decoded  [kSquaresBlock]
void AddSquares(const float* source, const float* decoded, SquaredSums* sums);
void AddSquaresScalar(const float* source, const float* decoded,
                      SquaredSums* sums);

}  // namespace reprise

#endif  // REPRISE_CODEC_SQUARED_SUMS_H_
