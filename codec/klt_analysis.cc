#include "codec/klt_analysis.h"

#include <algorithm>
#include <cmath>

#include "codec/klt_solve.h"

namespace reprise {
namespace {

constexpr float kLargestWeight = 32767;
// Of a channel's entries in the profile, as integers.
constexpr float kEntryScale = 0x1p-8f;
// About what the transpose of an orthonormal matrix 768 wide leaves when that
// was rounded to 8 bits.
constexpr float kLargestResidual = 0x1p-6f;
// Of coefficients that are differences of values much larger than they are.
constexpr float kLargestGain = 0x1p14f;

// Vectors that are multiplied together.
constexpr uint32_t kProbes = 8;
struct Probe {
  float of[kProbes] = {};
};
using Probes = std::vector<Probe>;

// Plus and minus one, the same in each run: SplitMix64, as in Steele and
// others, "Fast splittable pseudorandom number generators".
Probe Signs(uint64_t* state) {
  *state += 0x9e3779b97f4a7c15;
  uint64_t bits = *state;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  Probe signs;
  for (uint32_t p = 0; p < kProbes; ++p) {
    signs.of[p] = (bits >> (63 - p) & 1) != 0 ? 1.0f : -1.0f;
  }
  return signs;
}

Probe Scaled(const Probe& probe, float scale) {
  Probe scaled;
  for (uint32_t p = 0; p < kProbes; ++p) scaled.of[p] = probe.of[p] * scale;
  return scaled;
}

Probe Product(const std::vector<float>& row, const Probes& vectors) {
  Probe sums;
  for (size_t k = 0; k < row.size(); ++k) {
    for (uint32_t p = 0; p < kProbes; ++p) {
      sums.of[p] += row[k] * vectors[k].of[p];
    }
  }
  return sums;
}

// Whether they are the same but for the residual; false for a NaN.
bool IsClose(const Probe& a, const Probe& b) {
  return std::equal(a.of, a.of + kProbes, b.of, [](float x, float y) {
    return std::fabs(x - y) <= kLargestResidual;
  });
}

// M of the page, row by row.
class Synthesis {
 public:
  explicit Synthesis(const KltTransform& transform)
      : transform_(transform),
        entries_(transform.padded()),
        row_(transform.n()) {}

  const std::vector<float>& Row(uint32_t channel) {
    transform_.LoadChannel(channel, entries_.data());
    for (size_t j = 0; j < row_.size(); ++j) {
      row_[j] = static_cast<float>(entries_[j]) * kEntryScale;
    }
    return row_;
  }

 private:
  const KltTransform& transform_;
  std::vector<int16_t> entries_;
  std::vector<float> row_;
};

// How large M is: what makes the checks blind to the units of channels and of
// coefficients.
struct Sizes {
  std::vector<float> channels;      // the largest entry of each
  std::vector<float> coefficients;  // likewise
  std::vector<float> norms;         // of coefficients, by channels' units
  bool has_zero = false;

  explicit Sizes(const KltTransform& transform)
      : channels(transform.n()),
        coefficients(transform.n()),
        norms(transform.n()) {
    Synthesis synthesis(transform);
    const auto is_zero = [](float size) { return size == 0; };
    for (uint32_t i = 0; i < transform.n(); ++i) {
      const std::vector<float>& row = synthesis.Row(i);
      for (const float value : row) {
        channels[i] = std::max(channels[i], std::fabs(value));
      }
      const float unit = is_zero(channels[i]) ? 1 : channels[i];
      for (size_t j = 0; j < row.size(); ++j) {
        coefficients[j] = std::max(coefficients[j], std::fabs(row[j]));
        norms[j] += (row[j] / unit) * (row[j] / unit);
      }
    }
    for (float& norm : norms) norm = std::sqrt(norm);
    has_zero = std::any_of(channels.begin(), channels.end(), is_zero) ||
               std::any_of(coefficients.begin(), coefficients.end(), is_zero);
  }
};

// Whether an analysis, as it was rounded, undoes M.
class Check {
 public:
  Check(const KltTransform& transform, const Sizes& sizes,
        const KltAnalysis& analysis)
      : transform_(transform),
        sizes_(sizes),
        analysis_(analysis),
        synthesis_(transform),
        n_(transform.n()) {
    uint64_t state = 1;
    for (uint32_t i = 0; i < n_; ++i) signs_.push_back(Signs(&state));
  }

  bool Passes() {
    // Coefficients to values, and values to coefficients.
    Probes values;
    Probes coefficients;
    for (uint32_t j = 0; j < n_; ++j) {
      coefficients.push_back(Scaled(signs_[j], 1 / sizes_.coefficients[j]));
    }
    for (uint32_t i = 0; i < n_; ++i) {
      values.push_back(Product(synthesis_.Row(i), coefficients));
    }
    Probes given;
    for (uint32_t i = 0; i < n_; ++i) {
      given.push_back(Scaled(signs_[i], sizes_.channels[i]));
    }
    std::vector<float> row(n_);
    for (uint32_t j = 0; j < n_; ++j) {
      LoadRow(j, &row);
      if (!(Gain(j, row) <= kLargestGain)) return false;
      const Probe back = Product(row, values);
      if (!IsClose(Scaled(back, sizes_.coefficients[j]), signs_[j])) {
        return false;
      }
      coefficients[j] = Product(row, given);
    }
    for (uint32_t i = 0; i < n_; ++i) {
      const Probe back = Product(synthesis_.Row(i), coefficients);
      if (!IsClose(Scaled(back, 1 / sizes_.channels[i]), signs_[i])) {
        return false;
      }
    }
    return true;
  }

 private:
  // Of values by dec.
  void LoadRow(uint32_t coefficient, std::vector<float>* row) const {
    const float scale = analysis_.scales()[coefficient];
    for (uint32_t i = 0; i < n_; ++i) {
      const float factor = analysis_.factors()[i] * transform_.dec()[i];
      (*row)[i] = analysis_.weight(coefficient, i) * factor * scale;
    }
  }

  // One over the cosine of the angle between a row of the inverse and the
  // column of M that it belongs to.
  float Gain(uint32_t coefficient, const std::vector<float>& row) const {
    float squares = 0;
    for (uint32_t i = 0; i < n_; ++i) {
      const float value = row[i] * sizes_.channels[i];
      squares += value * value;
    }
    return std::sqrt(squares) * sizes_.norms[coefficient];
  }

  const KltTransform& transform_;
  const Sizes& sizes_;
  const KltAnalysis& analysis_;
  Synthesis synthesis_;
  uint32_t n_;
  Probes signs_;
};

}  // namespace

KltAnalysis::KltAnalysis(const KltTransform& transform, Arithmetic arithmetic)
    : padded_(transform.padded()),
      factors_(padded_),
      scales_(padded_),
      weights_(uint64_t{padded_} * padded_ / (kChunkChannels * kQuad)) {
  const Sizes sizes(transform);
  is_solved_ = !sizes.has_zero && TakeInverse(transform, arithmetic) &&
               Check(transform, sizes, *this).Passes();
  if (!is_solved_) TakeTranspose(transform);
}

void KltAnalysis::SetWeight(uint32_t coefficient, uint32_t channel,
                            float weight) {
  const uint64_t quad = coefficient / kQuad;
  const uint64_t chunk = (quad * padded_ + channel) / kChunkChannels;
  const uint32_t at = channel % kChunkChannels * kQuad + coefficient % kQuad;
  weights_[chunk].of[at] = static_cast<int16_t>(weight);
}

bool KltAnalysis::TakeInverse(const KltTransform& transform,
                              Arithmetic arithmetic) {
  const uint32_t n = transform.n();
  KltSquare matrix(n);
  Synthesis synthesis(transform);
  for (uint32_t i = 0; i < n; ++i) {
    const std::vector<float>& row = synthesis.Row(i);
    std::copy(row.begin(), row.end(), matrix.Row(i));
  }
  const bool has_inverse = arithmetic == Arithmetic::kNative
                               ? KltInvert(&matrix)
                               : KltInvertScalar(&matrix);
  if (!has_inverse) return false;
  std::vector<float> channels(n);
  for (uint32_t j = 0; j < n; ++j) {
    for (uint32_t i = 0; i < n; ++i) {
      channels[i] = std::max(channels[i], std::fabs(matrix.Row(j)[i]));
    }
  }
  for (uint32_t i = 0; i < n; ++i) {
    factors_[i] = channels[i] / transform.dec()[i];
    if (!std::isnormal(channels[i]) || !std::isnormal(factors_[i])) {
      return false;
    }
  }
  for (uint32_t j = 0; j < n; ++j) {
    float* const row = matrix.Row(j);
    float largest = 0;
    for (uint32_t i = 0; i < n; ++i) {
      row[i] /= channels[i];
      largest = std::max(largest, std::fabs(row[i]));
    }
    scales_[j] = largest / kLargestWeight;
    if (!std::isnormal(scales_[j])) return false;
    for (uint32_t i = 0; i < n; ++i) {
      SetWeight(j, i, std::nearbyint(row[i] / largest * kLargestWeight));
    }
  }
  return true;
}

void KltAnalysis::TakeTranspose(const KltTransform& transform) {
  const uint32_t n = transform.n();
  std::copy_n(transform.enc(), n, factors_.begin());
  std::fill_n(scales_.begin(), n, kEntryScale);
  std::vector<int16_t> entries(padded_);
  for (uint32_t i = 0; i < n; ++i) {
    transform.LoadChannel(i, entries.data());
    for (uint32_t j = 0; j < n; ++j) {
      SetWeight(j, i, static_cast<float>(entries[j]));
    }
  }
}

}  // namespace reprise
