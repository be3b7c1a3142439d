// The benchmark runner's vocabulary. A benchmark is a named function that
// returns rows; `./dev bench [NAME...] [--json FILE]` runs those asked for.
//
// Every figure is a ratio taken in one run against something a user would
// pick instead, or against the limit: the two are timed in turn, and the
// median and the spread of the pairwise ratios are reported.
#ifndef REPRISE_BENCH_BENCH_H_
#define REPRISE_BENCH_BENCH_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise::bench {

struct BenchRow {
  std::string name;
  double value = 0;   // median
  double spread = 0;  // (third - first quartile) / median
  std::string unit;   // "x", "ms", "MiB", "bpv", "GB/s", "s/GB"
  // What it is compared with, in words, and its own figure in `unit` or in
  // what the text names.
  std::string reference;
  double reference_value = 0;
  // The target, where there is one; met when value is at least (or, for
  // `lower_is_better`, at most) this.
  double target = 0;
  bool has_target = false;
  bool lower_is_better = false;
  std::string note;

  bool Met() const {
    return !has_target || (lower_is_better ? value <= target : value >= target);
  }
};

struct BenchContext {
  std::string data_dir;  // KV dumps of the demo model
  std::string work_dir;  // on the disk that is to be measured; emptied after
  bool quick = false;    // smaller sizes: to see that it runs
  int device = 0;        // ordinal, of what wants a GPU
  // Without one, on the host executor: to see that it runs.
  bool host_device = false;
};

using BenchFunction =
    std::function<Result<std::vector<BenchRow>>(const BenchContext&)>;

struct Benchmark {
  std::string name;
  std::string what;  // one line
  BenchFunction run;
  // Why it can't run on this machine; empty when it can. May be null.
  std::function<std::string(const BenchContext&)> why_not = nullptr;
};

// Adds to the list that the runner knows. Call before main, from one static
// object a file: `static const bool added = Register({...});`
bool Register(Benchmark benchmark);
const std::vector<Benchmark>& AllBenchmarks();

// Seconds that `work` takes by the steady clock.
double SecondsOf(const std::function<void()>& work);

struct Spread {
  double median = 0;
  double relative = 0;  // (third - first quartile) / median
};
Spread MedianOf(std::vector<double> samples);

// Runs `ours` and `theirs` in turn, `repetitions` times after one warm-up
// each, and returns the quotients seconds(theirs) / seconds(ours): above 1
// means that ours is faster.
struct Paired {
  Spread ratio;
  double ours_seconds = 0;  // medians
  double theirs_seconds = 0;
};
Paired TimeInTurn(int repetitions, const std::function<void()>& ours,
                  const std::function<void()>& theirs);

// The row of a race over `bytes` raw bytes; `reference` says what the other
// side does, in GB/s.
BenchRow SpeedRow(const std::string& name, const Paired& paired, double bytes,
                  const char* reference, double target);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_BENCH_H_
