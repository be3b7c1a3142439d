// Sorts histograms of keys into at most eight classes, each with one table, and
// gives each histogram the offset at which its class codes it best: k-means
// with code length for distance. Integers only: the same on every machine.
#ifndef REPRISE_CODEC_EXACT_CLUSTER_H_
#define REPRISE_CODEC_EXACT_CLUSTER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "codec/exact_tables.h"

namespace reprise {

// Counts of keys, ascending in key; keys with a count only.
struct ExactHistogram {
  struct Bin {
    uint32_t key;
    uint32_t count;
  };
  std::vector<Bin> bins;
};

// Counts into a histogram. Keeps its memory between histograms.
class ExactHistogramBuilder {
 public:
  explicit ExactHistogramBuilder(uint32_t key_count) : counts_(key_count) {}
  void Add(uint32_t key) {
    if (counts_[key]++ == 0) keys_.push_back(key);
  }
  // What was added since the last Take.
  ExactHistogram Take();

 private:
  std::vector<uint32_t> counts_;
  std::vector<uint32_t> keys_;
};

struct ExactAssignment {
  uint32_t table = 0;
  uint32_t offset = 0;
  uint64_t cost = 0;  // bits of all symbols and escapes, in 2^-16
};

struct ExactClusterRules {
  uint32_t key_mask = 0;
  // Offsets are multiples of it: 2 where a key's lowest bit is a sign.
  uint32_t unit = 1;
};

class ExactClusters {
 public:
  // REQUIRES: tables is 1 to 8.
  ExactClusters(std::span<const ExactHistogram> histograms, uint32_t tables,
                const ExactClusterRules& rules);

  // The cheapest table and offset for a histogram.
  ExactAssignment Assign(const ExactHistogram& histogram) const;

  const std::vector<ExactFrequencies>& frequencies() const {
    return frequencies_;
  }

 private:
  ExactAssignment First(const ExactHistogram& histogram) const;
  ExactAssignment Search(const ExactHistogram& histogram, uint32_t offset,
                         uint32_t reach) const;
  // Takes a table and this offset into *best where that is cheaper.
  void Try(const ExactHistogram& histogram, uint32_t offset,
           ExactAssignment* best) const;
  void Refit(std::span<const ExactHistogram> histograms,
             std::span<const ExactAssignment> assignments);

  ExactClusterRules rules_;
  std::vector<ExactFrequencies> frequencies_;
  // [symbol][table]: a bin is looked up for all tables at once.
  uint32_t costs_[kExactSymbols][kExactMaxTables] = {};
};

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_CLUSTER_H_
