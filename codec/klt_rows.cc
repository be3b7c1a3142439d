#include "codec/klt_rows.h"

#include "base/bytes.h"

namespace reprise {
namespace {

// Side by side, a compiler may keep them in a vector.
constexpr uint32_t kSums = kKltRowSums;

template <typename Bits, Bits kExponent>
bool IsFinite(const uint8_t* row, uint32_t count) {
  uint32_t bad = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const Bits bits = LoadLe<Bits>(row + i * sizeof(Bits));
    bad |= (bits & kExponent) == kExponent;
  }
  return bad == 0;
}

}  // namespace

bool KltIsFinite(DType dtype, const uint8_t* row, uint32_t count) {
  if (dtype == DType::kF32) return IsFinite<uint32_t, 0x7f800000>(row, count);
  if (dtype == DType::kF16) return IsFinite<uint16_t, 0x7c00>(row, count);
  return IsFinite<uint16_t, 0x7f80>(row, count);
}

KltRowSums KltSumRow(const float* x, const float* mu, const float* weights,
                     uint32_t count) {
  float weighted[kSums] = {};
  float squares[kSums] = {};
  uint32_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (uint32_t l = 0; l < kSums; ++l) {
      const float d = x[i + l] - mu[i + l];
      weighted[l] += weights[i + l] * d;
      squares[l] += d * d;
    }
  }
  for (; i < count; ++i) {
    const float d = x[i] - mu[i];
    weighted[i % kSums] += weights[i] * d;
    squares[i % kSums] += d * d;
  }
  KltRowSums sums;
  for (uint32_t l = 0; l < kSums; ++l) {
    sums.weighted += weighted[l];
    sums.squares += squares[l];
  }
  return sums;
}

KltHeads KltHeadsOf(const KltProfileParts& parts, const KltPlane& plane) {
  return {.pairing = static_cast<KltPairing>(parts.pairing),
          .heads = plane.heads,
          .dim = plane.dim,
          .pairs = parts.rotary_dims / 2};
}

void MakeKltTurnTables(const KltProfileParts& parts, uint32_t first_token,
                       uint32_t tokens, KltWork* work) {
  const uint32_t pairs = parts.rotary_dims / 2;
  if (pairs == 0) return;
  KltWork::Room(&work->cosines, uint64_t{tokens} * pairs);
  KltWork::Room(&work->sines, uint64_t{tokens} * pairs);
  KltTurnTable({.turns = parts.turns.data(),
                .pairs = pairs,
                .first_position = first_token,
                .tokens = tokens},
               work->cosines.data(), work->sines.data());
}

}  // namespace reprise
