#include "codec/klt_table_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace reprise {
namespace {

constexpr int kStages = 4;
// What a row's index loses by the step of a stage.
constexpr int kStageOffsets[kStages] = {10, 5, 0, -5};
// Exponents other than the mean one, in octaves of the step.
constexpr int kOtherExponents[] = {-9, -6, -3, 3, 6, 9};
constexpr uint64_t kWeight = 16;
constexpr uint64_t kOtherWeight = 1;
// Indices above the highest that was met at the profile's own step.
constexpr int kSpareIndices = 6;
// Symbols of a table that nothing is known for: nearly all zeros.
constexpr uint64_t kUnknownZeros = 1000;

constexpr int kMaxLevel = 255;
constexpr float kMostMagnitude = 32767;

// Frequencies that sum up to 4096: of those with counts, in proportion and at
// least 1. REQUIRES: some count is above zero; at most 64 of them.
void Normalise(const uint64_t* counts, uint32_t size, uint32_t* frequencies) {
  uint64_t total = 0;
  for (uint32_t s = 0; s < size; ++s) total += counts[s];
  uint32_t sum = 0;
  for (uint32_t s = 0; s < size; ++s) {
    frequencies[s] = static_cast<uint32_t>(counts[s] * kKltSlots / total);
    if (counts[s] > 0) frequencies[s] = std::max(frequencies[s], 1u);
    sum += frequencies[s];
  }
  uint32_t* largest = std::max_element(frequencies, frequencies + size);
  while (sum > kKltSlots) {
    --*largest;
    --sum;
    largest = std::max_element(frequencies, frequencies + size);
  }
  *largest += kKltSlots - sum;
}

KltMagnitudeTable MagnitudeTable(std::array<uint64_t, kKltMagnitudes> counts) {
  // A zero and the escape are always possible.
  counts[0] = std::max<uint64_t>(counts[0], 1);
  counts[kKltEscape] = std::max<uint64_t>(counts[kKltEscape], 1);
  uint32_t frequencies[kKltMagnitudes];
  Normalise(counts.data(), kKltMagnitudes, frequencies);
  KltMagnitudeTable table;
  std::copy(std::begin(frequencies), std::end(frequencies), table.begin());
  return table;
}

KltRefiningTable RefiningTable(
    std::array<std::array<uint64_t, 3>, kKltContexts> counts) {
  KltRefiningTable table;
  for (uint32_t context = 0; context < kKltContexts; ++context) {
    for (uint32_t s = 0; s < 3; ++s) {
      const bool is_possible = context > 0 || s < 2;
      counts[context][s] =
          is_possible ? std::max<uint64_t>(counts[context][s], 1) : 0;
    }
    uint32_t frequencies[3];
    Normalise(counts[context].data(), 3, frequencies);
    table[context] = {static_cast<uint16_t>(frequencies[1]),
                      static_cast<uint16_t>(frequencies[2])};
  }
  return table;
}

uint64_t Total(const std::array<uint64_t, kKltMagnitudes>& counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}
uint64_t Total(const std::array<std::array<uint64_t, 3>, kKltContexts>& all) {
  uint64_t total = 0;
  for (const auto& counts : all) {
    total = std::accumulate(counts.begin(), counts.end(), total);
  }
  return total;
}

// The counts of each of `tables` indices from `lowest` on; the last one has
// those of all above it. Where there are none, those of the nearest index.
template <class Counts>
std::vector<Counts> Gather(const std::vector<Counts>& all, int lowest) {
  int highest = lowest;
  for (int i = lowest; i < static_cast<int>(all.size()); ++i) {
    if (Total(all[static_cast<size_t>(i)]) >= kWeight) highest = i;
  }
  const int tables = std::clamp(highest - lowest + 1 + kSpareIndices, 1,
                                static_cast<int>(kKltMaxTables));
  std::vector<Counts> found;
  for (int i = lowest; i < lowest + tables; ++i) {
    int nearest = -1;
    for (int j = lowest; j < static_cast<int>(all.size()); ++j) {
      if (Total(all[static_cast<size_t>(j)]) == 0) continue;
      if (nearest < 0 || std::abs(j - i) < std::abs(nearest - i)) nearest = j;
    }
    found.push_back(nearest < 0 ? Counts{} : all[static_cast<size_t>(nearest)]);
  }
  return found;
}

}  // namespace

uint8_t KltLevelOf(double variance, double step) {
  // 3 log2(sigma / step) is half of the log2 of this, which rounds to L from
  // 2^(2L - 1) on: exponents of powers say it without a logarithm.
  const double ratio = variance / (step * step);
  const double cube = ratio * ratio * ratio;
  if (!(cube >= 0x1p-1000)) return 0;
  if (!(cube < 0x1p1000)) return kMaxLevel;
  const int power = std::ilogb(cube) + 1;
  const int rounded = power >= 0 ? power / 2 : -((1 - power) / 2);
  return static_cast<uint8_t>(
      std::clamp(kKltLevelOfStep + rounded, 0, kMaxLevel));
}

KltTableFit::KltTableFit(const KltProfileParts& parts)
    : step_(parts.step),
      lo0_(static_cast<int>(parts.lo0)),
      lo1_(static_cast<int>(parts.lo1)),
      magnitudes_(kIndices),
      refinings_(kIndices) {}

// Nested magnitudes of one coefficient, from its finest on.
void KltTableFit::CountOne(int index, uint32_t first_stage, uint64_t weight,
                           uint32_t magnitude) {
  uint32_t by_stage[kStages];
  by_stage[kStages - 1] = magnitude;
  for (int k = kStages - 1; k > 0; --k) {
    by_stage[k - 1] = (by_stage[k] + 1) / 3;
  }
  if (first_stage == 0) {
    const auto i = static_cast<size_t>(index - kStageOffsets[0]);
    const uint32_t symbol = std::min(by_stage[0], kKltEscape);
    magnitudes_[i][symbol] += weight;
  }
  for (int k = std::max(1, static_cast<int>(first_stage)); k < kStages; ++k) {
    const auto i = static_cast<size_t>(index - kStageOffsets[k]);
    const uint32_t below = by_stage[k - 1];
    const uint32_t symbol = (by_stage[k] + 3 - 3 * below) % 3;
    refinings_[i][std::min(below, 2u)][symbol] += weight;
  }
}

void KltTableFit::CountRow(int level, int exponent, const float* z,
                           uint32_t lanes) {
  const int index = level + exponent;
  const auto is_coded = [&](int k) {
    return index - kStageOffsets[k] >= (k == 0 ? lo0_ : lo1_);
  };
  int first_stage = 0;
  while (first_stage < kStages && !is_coded(first_stage)) ++first_stage;
  if (first_stage == kStages) return;
  // What is not coded is zero, so the stage after it has at most 1.
  float most = kMostMagnitude;
  if (first_stage > 0) {
    most = 1;
    for (int k = first_stage; k < kStages - 1; ++k) most = 3 * most + 1;
  }
  const auto step =
      static_cast<float>(std::ldexp(step_, -exponent / 3) * (1.0 / 3.0));
  const uint64_t weight = exponent == 0 ? kWeight : kOtherWeight;
  for (uint32_t l = 0; l < lanes; ++l) {
    const float size = std::floor(std::abs(z[l]) / step + 0.5f);
    // A NaN counts as a large one.
    const float magnitude = size < most ? size : most;
    CountOne(index, static_cast<uint32_t>(first_stage), weight,
             static_cast<uint32_t>(magnitude));
  }
}

void KltTableFit::Count(const std::vector<uint8_t>& levels, uint32_t n,
                        const float* z, uint64_t stride, uint64_t tokens) {
  for (uint64_t t = 0; t < tokens; ++t) {
    const float* token = z + t * stride;
    for (uint32_t r = 0; r < levels.size(); ++r) {
      const uint32_t first = r * kKltLanes;
      const uint32_t lanes = std::min(kKltLanes, n - first);
      CountRow(levels[r], 0, token + first, lanes);
      // One token in eight is enough to tell the shapes of the others.
      if (t % 8 != 0) continue;
      for (const int exponent : kOtherExponents) {
        CountRow(levels[r], exponent, token + first, lanes);
      }
    }
  }
}

void KltTableFit::Fill(KltProfileParts* parts) const {
  parts->exponents.fill(1);
  parts->exponents[kKltMeanExponent] = kKltSlots - (kKltExponents - 1);
  parts->magnitudes.clear();
  for (Magnitudes& counts : Gather(magnitudes_, lo0_)) {
    if (Total(counts) == 0) counts[0] = kUnknownZeros;
    parts->magnitudes.push_back(MagnitudeTable(counts));
  }
  parts->refining.clear();
  for (Refinings& counts : Gather(refinings_, lo1_)) {
    for (auto& of_context : counts) {
      if (of_context[0] + of_context[1] + of_context[2] == 0) {
        of_context[0] = kUnknownZeros;
      }
    }
    parts->refining.push_back(RefiningTable(counts));
  }
}

}  // namespace reprise
