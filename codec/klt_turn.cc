#include "codec/klt_turn.h"

#include <cmath>

#include "codec/klt_turn_series.h"

namespace reprise {

namespace {

template <int kCount>
double SeriesOf(double b, const double (&terms)[kCount]) {
  double sum = terms[kCount - 1];
  for (int k = kCount - 2; k >= 0; --k) sum = terms[k] + b * sum;
  return 1 + b * sum;
}

void TurnRow(const KltHeads& shape, const float* cosines, const float* sines,
             float sign, float* row) {
  const bool adjacent = shape.pairing == KltPairing::kAdjacent;
  for (uint32_t h = 0; h < shape.heads; ++h, row += shape.dim) {
    for (uint32_t j = 0; j < shape.pairs; ++j) {
      float* const p0 = row + (adjacent ? 2 * j : j);
      float* const p1 = adjacent ? p0 + 1 : p0 + shape.pairs;
      const float c = cosines[j];
      const float s = sign * sines[j];
      const float x0 = *p0;
      *p0 = std::fma(x0, c, -(*p1 * s));
      *p1 = std::fma(*p1, c, x0 * s);
    }
  }
}

}  // namespace

KltTurn KltTurnOf(uint64_t phase) {
  const uint64_t quarter = (phase + (uint64_t{1} << 61)) >> 62;
  const auto rest = static_cast<int64_t>(phase - (quarter << 62));
  const double a = static_cast<double>(rest) * kKltRadians;
  const double b = a * a;
  const auto sine = static_cast<float>(a * SeriesOf(b, kKltSineTerms));
  const auto cosine = static_cast<float>(SeriesOf(b, kKltCosineTerms));
  switch (quarter) {
    case 0:
      return {cosine, sine};
    case 1:
      return {-sine, cosine};
    case 2:
      return {-cosine, -sine};
    default:
      return {sine, -cosine};
  }
}

void KltTurnTableScalar(const KltTurnJob& job, float* cosines, float* sines) {
  for (uint32_t t = 0; t < job.tokens; ++t) {
    for (uint32_t j = 0; j < job.pairs; ++j) {
      const KltTurn turn = KltTurnOf((job.first_position + t) * job.turns[j]);
      *cosines++ = turn.c;
      *sines++ = turn.s;
    }
  }
}

void KltRotateScalar(const KltHeads& shape, const float* cosines,
                     const float* sines, float* row) {
  TurnRow(shape, cosines, sines, 1, row);
}

void KltUnrotateScalar(const KltHeads& shape, const float* cosines,
                       const float* sines, float* row) {
  TurnRow(shape, cosines, sines, -1, row);
}

}  // namespace reprise
