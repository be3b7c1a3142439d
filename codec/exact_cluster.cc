#include "codec/exact_cluster.h"

#include <algorithm>
#include <numeric>

namespace reprise {
namespace {

// Later rounds change the code length by less than a thousandth (SmolLM2,
// Qwen2.5: f16 and bf16 caches of WikiText-2).
constexpr int kRounds = 8;
// The symbol that the mean key starts at.
constexpr uint32_t kMeanSymbol = 40;
constexpr uint32_t kReach = 4;       // offsets tried each way, in a round
constexpr uint32_t kFinalReach = 8;  // and for a histogram never seen
constexpr uint32_t kEscapeCost = 16u << 16;

struct Moments {
  uint64_t count = 0;
  uint64_t mean16 = 0;  // 16 times the mean
  // Mean distance from the mean, with the share of odd keys as a second
  // feature: where signs are coded, leaning ones are another shape.
  uint64_t spread = 0;
};

Moments MomentsOf(const ExactHistogram& histogram, bool signs) {
  Moments m;
  uint64_t sum = 0;
  uint64_t odd = 0;
  for (const auto& bin : histogram.bins) {
    m.count += bin.count;
    sum += uint64_t{bin.key} * bin.count;
    odd += bin.key % 2 * uint64_t{bin.count};
  }
  if (m.count == 0) return m;
  m.mean16 = 16 * sum / m.count;
  uint64_t distance = 0;
  for (const auto& bin : histogram.bins) {
    const uint64_t key16 = uint64_t{bin.key} * 16;
    distance +=
        (key16 > m.mean16 ? key16 - m.mean16 : m.mean16 - key16) * bin.count;
  }
  m.spread = distance / m.count + (signs ? 96 * odd / m.count : 0);
  return m;
}

}  // namespace

ExactHistogram ExactHistogramBuilder::Take() {
  std::sort(keys_.begin(), keys_.end());
  ExactHistogram histogram;
  histogram.bins.reserve(keys_.size());
  for (uint32_t key : keys_) {
    histogram.bins.push_back({key, counts_[key]});
    counts_[key] = 0;
  }
  keys_.clear();
  return histogram;
}

ExactClusters::ExactClusters(std::span<const ExactHistogram> histograms,
                             uint32_t tables, const ExactClusterRules& rules)
    : rules_(rules), frequencies_(tables) {
  const size_t n = histograms.size();
  std::vector<uint64_t> spreads(n);
  for (size_t i = 0; i < n; ++i) {
    spreads[i] = MomentsOf(histograms[i], rules.unit == 2).spread;
  }
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return spreads[a] < spreads[b];
  });
  std::vector<ExactAssignment> assignments(n);
  for (size_t i = 0; i < n; ++i) {
    assignments[order[i]] = First(histograms[order[i]]);
    assignments[order[i]].table = static_cast<uint32_t>(i * tables / n);
  }
  Refit(histograms, assignments);
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < n; ++i) {
      assignments[i] = Search(histograms[i], assignments[i].offset, kReach);
    }
    Refit(histograms, assignments);
  }
}

ExactAssignment ExactClusters::First(const ExactHistogram& histogram) const {
  const Moments m = MomentsOf(histogram, false);
  const uint64_t mean = (m.mean16 + 8) / 16;
  const uint32_t offset = static_cast<uint32_t>(
      (mean + rules_.key_mask + 1 - kMeanSymbol) & rules_.key_mask);
  return {.offset = offset / rules_.unit * rules_.unit};
}

void ExactClusters::Try(const ExactHistogram& histogram, uint32_t offset,
                        ExactAssignment* best) const {
  offset &= rules_.key_mask;
  uint64_t sums[kExactMaxTables] = {};
  for (const auto& bin : histogram.bins) {
    const uint32_t symbol =
        std::min((bin.key - offset) & rules_.key_mask, kExactEscape);
    for (uint32_t t = 0; t < kExactMaxTables; ++t) {
      sums[t] += uint64_t{bin.count} * costs_[symbol][t];
    }
  }
  for (uint32_t t = 0; t < frequencies_.size(); ++t) {
    if (sums[t] < best->cost) *best = {t, offset, sums[t]};
  }
}

// Every second offset, then the neighbours of the best.
ExactAssignment ExactClusters::Search(const ExactHistogram& histogram,
                                      uint32_t offset, uint32_t reach) const {
  ExactAssignment best{.cost = ~uint64_t{0}};
  for (uint32_t i = 0; i <= 2 * reach; i += 2) {
    Try(histogram, offset + (i - reach) * rules_.unit, &best);
  }
  const uint32_t middle = best.offset;
  Try(histogram, middle - rules_.unit, &best);
  Try(histogram, middle + rules_.unit, &best);
  return best;
}

ExactAssignment ExactClusters::Assign(const ExactHistogram& histogram) const {
  return Search(histogram, First(histogram).offset, kFinalReach);
}

void ExactClusters::Refit(std::span<const ExactHistogram> histograms,
                          std::span<const ExactAssignment> assignments) {
  std::vector<std::array<uint64_t, kExactSymbols>> counts(frequencies_.size());
  for (size_t i = 0; i < histograms.size(); ++i) {
    for (const auto& bin : histograms[i].bins) {
      const uint32_t symbol = std::min(
          (bin.key - assignments[i].offset) & rules_.key_mask, kExactEscape);
      counts[assignments[i].table][symbol] += bin.count;
    }
  }
  for (size_t t = 0; t < frequencies_.size(); ++t) {
    frequencies_[t] = FitExactFrequencies(counts[t]);
    const uint32_t escape =
        ExactCost(frequencies_[t][kExactEscape]) + kEscapeCost;
    for (uint32_t s = 0; s < kExactSymbols; ++s) {
      const uint32_t f = frequencies_[t][s];
      costs_[s][t] = f == 0 || s == kExactEscape ? escape : ExactCost(f);
    }
  }
}

}  // namespace reprise
