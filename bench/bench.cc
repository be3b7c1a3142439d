#include "bench/bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace reprise::bench {
namespace {

// A function's static: other files' statics register before main, in any
// order.
std::vector<Benchmark>& Benchmarks() {
  static auto* const list = new std::vector<Benchmark>;
  return *list;
}

double Quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] +
         (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

bool Register(Benchmark benchmark) {
  Benchmarks().push_back(std::move(benchmark));
  return true;
}

const std::vector<Benchmark>& AllBenchmarks() { return Benchmarks(); }

double SecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - start;
  return taken.count();
}

Spread MedianOf(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  Spread spread;
  spread.median = Quantile(samples, 0.5);
  if (spread.median != 0) {
    spread.relative =
        (Quantile(samples, 0.75) - Quantile(samples, 0.25)) / spread.median;
  }
  return spread;
}

Paired TimeInTurn(int repetitions, const std::function<void()>& ours,
                  const std::function<void()>& theirs) {
  ours();
  theirs();
  std::vector<double> ratios;
  std::vector<double> our_seconds;
  std::vector<double> their_seconds;
  for (int i = 0; i < repetitions; ++i) {
    our_seconds.push_back(SecondsOf(ours));
    their_seconds.push_back(SecondsOf(theirs));
    ratios.push_back(their_seconds.back() / our_seconds.back());
  }
  return {MedianOf(ratios), MedianOf(our_seconds).median,
          MedianOf(their_seconds).median};
}

BenchRow SpeedRow(const std::string& name, const Paired& paired, double bytes,
                  const char* reference, double target) {
  char note[96];
  std::snprintf(note, sizeof note, "%.2f GB/s of raw bytes against %.2f",
                bytes / paired.ours_seconds / 1e9,
                bytes / paired.theirs_seconds / 1e9);
  BenchRow row;
  row.name = name;
  row.value = paired.ratio.median;
  row.spread = paired.ratio.relative;
  row.unit = "x";
  row.reference = reference;
  row.reference_value = bytes / paired.theirs_seconds / 1e9;
  row.target = target;
  row.has_target = true;
  row.note = note;
  return row;
}

}  // namespace reprise::bench
