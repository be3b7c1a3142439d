#include "codec/klt_solve.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace reprise {
namespace {

using Update = void (*)(const KltUpdateJob&);

// Outside of these no pivot has an inverse that is worth having.
constexpr float kLeastPivot = 0x1p-100f;
constexpr float kLargestPivot = 0x1p100f;

struct alignas(128) PanelRow {
  float of[kKltPanel];
};

// The work on one matrix.
class Inversion {
 public:
  Inversion(KltSquare* matrix, Update update)
      : matrix_(*matrix),
        update_(update),
        panel_(matrix->padded()),
        pivot_rows_(matrix->padded()),
        order_(matrix->n()) {
    std::iota(order_.begin(), order_.end(), 0u);
  }

  bool Run() {
    for (uint32_t first = 0; first < matrix_.n(); first += kKltPanel) {
      const uint32_t end = std::min(first + kKltPanel, matrix_.n());
      LoadPanel(first);
      for (uint32_t k = first; k < end; ++k) {
        if (!Eliminate(first, k)) return false;
      }
      TakePivotRows(first, end);
      StorePanel(first);
      update_({.a = panel_[0].of,
               .b = pivot_rows_[0].of,
               .c = matrix_.Row(0),
               .c_stride = matrix_.stride(),
               .rows = matrix_.padded(),
               .columns = matrix_.padded()});
    }
    return ReorderColumns();
  }

 private:
  void LoadPanel(uint32_t first) {
    for (uint32_t i = 0; i < matrix_.padded(); ++i) {
      std::memcpy(panel_[i].of, matrix_.Row(i) + first, sizeof panel_[i].of);
    }
  }

  void StorePanel(uint32_t first) {
    for (uint32_t i = 0; i < matrix_.padded(); ++i) {
      std::memcpy(matrix_.Row(i) + first, panel_[i].of, sizeof panel_[i].of);
    }
  }

  uint32_t FindPivot(uint32_t first, uint32_t k) const {
    uint32_t pivot = k;
    float largest = 0;
    for (uint32_t i = k; i < matrix_.n(); ++i) {
      const float size = std::fabs(panel_[i].of[k - first]);
      if (size <= largest) continue;
      largest = size;
      pivot = i;
    }
    return pivot;
  }

  // Step k, in the panel; the matrix only has its rows swapped.
  bool Eliminate(uint32_t first, uint32_t k) {
    const uint32_t pivot = FindPivot(first, k);
    if (pivot != k) {
      std::swap(panel_[k], panel_[pivot]);
      std::swap_ranges(matrix_.Row(k), matrix_.Row(k) + matrix_.padded(),
                       matrix_.Row(pivot));
      std::swap(order_[k], order_[pivot]);
    }
    const uint32_t column = k - first;
    PanelRow row = panel_[k];
    const float size = std::fabs(row.of[column]);
    if (!(size > kLeastPivot && size < kLargestPivot)) return false;
    const float scale = 1 / row.of[column];
    row.of[column] = 1;
    for (float& value : row.of) value *= scale;
    for (uint32_t i = 0; i < matrix_.n(); ++i) {
      float* const other = panel_[i].of;
      const float factor = other[column];
      other[column] = 0;
      for (uint32_t c = 0; c < kKltPanel; ++c) other[c] -= factor * row.of[c];
    }
    panel_[k] = row;
    return true;
  }

  // The panel's steps make new rows of the pivots' rows and add to the others:
  // so these are set aside, and nothing is left to add to. What the panel has
  // already is not to be multiplied again.
  void TakePivotRows(uint32_t first, uint32_t end) {
    std::memset(pivot_rows_[0].of, 0, pivot_rows_.size() * sizeof(PanelRow));
    for (uint32_t k = first; k < end; ++k) {
      float* const row = matrix_.Row(k);
      for (uint32_t c = 0; c < matrix_.padded(); c += kKltPanel) {
        if (c == first) continue;
        std::memcpy(pivot_rows_[c + k - first].of, row + c, sizeof(PanelRow));
      }
      std::fill_n(row, matrix_.padded(), 0.0f);
    }
  }

  // The inverse is that of the matrix with its rows swapped; swapping back
  // touches columns. False if something is not finite.
  bool ReorderColumns() {
    std::vector<float> ordered(matrix_.n());
    float sum = 0;
    for (uint32_t j = 0; j < matrix_.n(); ++j) {
      float* const row = matrix_.Row(j);
      for (uint32_t i = 0; i < matrix_.n(); ++i) {
        ordered[order_[i]] = row[i];
        sum += row[i] * 0;  // a NaN from there on
      }
      std::copy(ordered.begin(), ordered.end(), row);
    }
    return sum == 0;
  }

  KltSquare& matrix_;
  const Update update_;
  std::vector<PanelRow> panel_;       // [padded row]
  std::vector<PanelRow> pivot_rows_;  // [padded column / 32, row of 32]
  std::vector<uint32_t> order_;       // where the rows come from
};

}  // namespace

KltSquare::KltSquare(uint32_t n) : n_(n) {
  // An odd number of chunks, so that rows below each other don't all compete
  // for the same few lines of a cache.
  row_chunks_ = chunks() | 1;
  lines_.resize(row_chunks_ * padded());
}

bool KltInvert(KltSquare* matrix) { return Inversion(matrix, KltUpdate).Run(); }

bool KltInvertScalar(KltSquare* matrix) {
  return Inversion(matrix, KltUpdateScalar).Run();
}

void KltUpdateScalar(const KltUpdateJob& job) {
  for (uint32_t i = 0; i < job.rows; ++i) {
    const float* const a = job.a + uint64_t{i} * kKltPanel;
    const float* b = job.b;
    for (uint32_t j = 0; j < job.columns; j += kKltPanel) {
      float* const c = job.c + i * job.c_stride + j;
      float sums[kKltPanel];
      std::memcpy(sums, c, sizeof sums);
      for (uint32_t k = 0; k < kKltPanel; ++k, b += kKltPanel) {
        for (uint32_t v = 0; v < kKltPanel; ++v) sums[v] += a[k] * b[v];
      }
      std::memcpy(c, sums, sizeof sums);
    }
  }
}

}  // namespace reprise
