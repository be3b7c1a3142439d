#include "codec/klt_statistics.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "codec/klt_products_simd.h"

namespace reprise {
namespace {

// Rows of products at a time.
constexpr uint32_t kBand = 32;

}  // namespace

KltStatistics::KltStatistics(uint32_t n)
    : n_(n),
      stride_(KltRowFloats(n)),
      sums_(n),
      products_(uint64_t{n} * n),
      centred_(kSegmentTokens * stride_),
      band_(kBand * stride_) {}

uint64_t KltStatistics::BytesFor(uint32_t n) {
  return uint64_t{n} * (n + 1) * sizeof(double) +
         (kSegmentTokens + kBand + 1) * KltRowFloats(n) * sizeof(float);
}

void KltStatistics::Add(const float* rows, uint32_t tokens) {
  if (tokens == 0) return;
  if (offset_.empty()) {
    offset_.resize(n_);
    for (uint32_t i = 0; i < n_; ++i) {
      double sum = 0;
      for (uint32_t t = 0; t < tokens; ++t) sum += rows[t * stride_ + i];
      offset_[i] = static_cast<float>(sum / tokens);
    }
  }
  for (uint32_t t = 0; t < tokens; ++t) {
    for (uint32_t i = 0; i < n_; ++i) {
      const float value = rows[t * stride_ + i] - offset_[i];
      centred_[t * stride_ + i] = value;
      sums_[i] += double{value};
    }
  }
  for (uint32_t first = 0; first < n_; first += kBand) {
    KltProducts({.a = centred_.data() + first,
                 .a_stride = stride_,
                 .b = centred_.data() + first,
                 .b_stride = stride_,
                 .c = band_.data(),
                 .c_stride = stride_,
                 .depth = tokens,
                 .rows = kBand,
                 .columns = (n_ - first + 31) / 32 * 32});
    for (uint32_t i = first; i < std::min(n_, first + kBand); ++i) {
      const float* from = band_.data() + (i - first) * stride_;
      double* to = products_.data() + uint64_t{i} * n_ + first;
      for (uint32_t j = i - first; j < n_ - first; ++j)
        to[j] += double{from[j]};
    }
  }
  tokens_ += tokens;
}

std::vector<double> KltStatistics::Means() const {
  std::vector<double> means(n_);
  const auto count = static_cast<double>(tokens_);
  for (uint32_t i = 0; i < n_; ++i) {
    means[i] = double{offset_[i]} + sums_[i] / count;
  }
  return means;
}

std::vector<double> KltStatistics::TakeCovariance() {
  const auto count = static_cast<double>(tokens_);
  for (uint32_t i = 0; i < n_; ++i) {
    double* row = products_.data() + uint64_t{i} * n_;
    for (uint32_t j = i; j < n_; ++j) {
      row[j] = row[j] / count - sums_[i] / count * (sums_[j] / count);
    }
    row[i] = std::max(row[i], 0.0);
  }
  return std::move(products_);
}

}  // namespace reprise
