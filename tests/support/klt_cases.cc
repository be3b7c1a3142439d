#include "tests/support/klt_cases.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/limits.h"
#include "codec/float_element.h"
#include "tests/support/kv_values.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr uint32_t kSampleTokens = 16;

using Matrix = std::vector<std::vector<double>>;  // [coefficient][channel]

// A product of rotations of two rows: each row then has a share of 16 others,
// so that the spreads of the channels stay visible.
Matrix MakeRotation(uint32_t n, Random* random) {
  Matrix u(n, std::vector<double>(n));
  for (uint32_t i = 0; i < n; ++i) u[i][i] = 1;
  for (const uint32_t stride : {1u, 2u, 5u, n / 2}) {
    if (stride == 0) continue;
    for (uint32_t i = 0; i + stride < n; ++i) {
      if (i / stride % 2 != 0) continue;
      const double angle = 6.2831853 * random->Unit();
      const double c = std::cos(angle);
      const double s = std::sin(angle);
      for (uint32_t k = 0; k < n; ++k) {
        const double a = u[i][k];
        const double b = u[i + stride][k];
        u[i][k] = c * a - s * b;
        u[i + stride][k] = s * a + c * b;
      }
    }
  }
  return u;
}

// [token][channel]
Matrix Sample(const ModelSpec& spec, const KltProfileParts& parts,
              const KltGroupParts& group) {
  const auto slices = SlicePlanes(spec, {group.first_layer, group.layer_count},
                                  HeadRange::All());
  KvRows rows(*slices, kSampleTokens);
  rows.Fill(KvKind::kTypical, 7, 0);
  Matrix x(kSampleTokens);
  for (size_t i = 0; i < slices->size(); ++i) {
    const PlaneSlice& slice = (*slices)[i];
    if (!IsFloatDType(slice.spec->dtype)) continue;
    for (uint32_t t = 0; t < kSampleTokens; ++t) {
      const ByteView row = rows.RowView(i, t);
      for (uint32_t c = 0; c < slice.channels(); ++c) {
        x[t].push_back(LoadElement(
            slice.spec->dtype,
            row.data() + uint64_t{c} * DTypeBytes(slice.spec->dtype)));
      }
    }
  }
  return x;
}

void FillScales(uint32_t n, Random* random, const Matrix& x, const Matrix& u,
                KltGroupParts* group) {
  for (uint32_t i = 0; i < n; ++i) {
    double sum = 0;
    for (const std::vector<double>& row : x) sum += row[i];
    group->mu.push_back(static_cast<float>(sum / kSampleTokens));
    double largest = 1e-3;
    for (uint32_t j = 0; j < n; ++j) {
      largest = std::max(largest, std::abs(u[j][i]));
    }
    const double r = largest / 126;
    const double a = 0.5 + random->Unit();
    group->enc.push_back(static_cast<float>(r * a));
    group->dec.push_back(static_cast<float>(r / a));
    group->regressor.by_channel.push_back(
        static_cast<float>(0.02 * random->Normal()));
  }
}

// Variances of the coefficients, and their order by it.
std::vector<double> Variances(const Matrix& x, const Matrix& u,
                              const KltGroupParts& group) {
  const uint32_t n = group.n;
  std::vector<double> variances(n);
  std::vector<double> y(n);
  for (const std::vector<double>& row : x) {
    for (uint32_t i = 0; i < n; ++i) {
      const double a = std::sqrt(double{group.enc[i]} / group.dec[i]);
      y[i] = a * (row[i] - group.mu[i]);
    }
    for (uint32_t j = 0; j < n; ++j) {
      const double z =
          std::inner_product(y.begin(), y.end(), u[j].begin(), 0.0);
      variances[j] += z * z / kSampleTokens;
    }
  }
  return variances;
}

void FillLimbs(const Matrix& u, const std::vector<uint32_t>& order,
               KltGroupParts* group) {
  const uint32_t n = group->n;
  for (uint32_t j = 0; j < n; ++j) {
    for (uint32_t i = 0; i < n; ++i) {
      const double r = std::sqrt(double{group->enc[i]} * group->dec[i]);
      const double exact = u[order[j]][i] / r;
      const double hi = std::clamp(std::nearbyint(exact), -127.0, 127.0);
      group->hi.push_back(static_cast<int8_t>(hi));
      if (j >= group->lead) continue;
      const double lo = std::nearbyint(256 * (exact - hi));
      group->lo.push_back(static_cast<int8_t>(std::clamp(lo, -127.0, 127.0)));
    }
  }
}

void FillLevels(const std::vector<double>& variances,
                const std::vector<uint32_t>& order, double step,
                KltGroupParts* group) {
  for (uint32_t r = 0; r < group->rows(); ++r) {
    const uint32_t begin = r * kKltLanes;
    const uint32_t end = std::min(begin + kKltLanes, group->n);
    double sum = 1e-12;
    for (uint32_t j = begin; j < end; ++j) sum += variances[order[j]];
    const double octaves =
        0.5 * std::log2(sum / (end - begin)) - std::log2(step);
    const double level = kKltLevelOfStep + std::nearbyint(3 * octaves);
    const double most = r > 0 ? group->levels[r - 1] : 255;
    group->levels.push_back(static_cast<uint8_t>(std::clamp(level, 0.0, most)));
  }
}

KltGroupParts MakeGroup(const ModelSpec& spec, const KltProfileParts& parts,
                        const LayerGroup& layers, const KltMaking& making,
                        Random* random) {
  KltGroupParts group;
  group.first_layer = static_cast<uint16_t>(layers.first_layer);
  group.layer_count = static_cast<uint16_t>(layers.layer_count);
  const auto planes = parts.PlanesOf(group);
  for (const KltPlane& plane : planes) {
    group.n += static_cast<uint32_t>(plane.channels());
    group.regressor.by_norm.push_back(static_cast<float>(0.3 * random->Unit()));
  }
  const uint32_t lanes = kKltLanes;
  if (making.lead_divisor == 1) {
    group.lead = group.n;
  } else if (making.lead_divisor > 1) {
    group.lead = group.n / making.lead_divisor / lanes * lanes;
  }
  group.regressor.by_position = -0.1f;
  group.regressor.constant = 0.2f;
  const Matrix u = MakeRotation(group.n, random);
  const Matrix x = layers.first_layer < spec.layers.size()
                       ? Sample(spec, parts, group)
                       : Matrix(kSampleTokens, std::vector<double>(group.n));
  FillScales(group.n, random, x, u, &group);
  const std::vector<double> variances = Variances(x, u, group);
  std::vector<uint32_t> order(group.n);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return variances[a] > variances[b];
  });
  FillLimbs(u, order, &group);
  FillLevels(variances, order, parts.step, &group);
  return group;
}

// Of a Laplace distribution of this deviation, in steps.
KltMagnitudeTable MakeTable(double deviation) {
  const double ratio = std::exp(-1.4142135 / deviation);
  KltMagnitudeTable table{};
  uint32_t left = kKltSlots - 1;
  for (uint32_t m = 0; m < kKltEscape; ++m) {
    const double p =
        m == 0 ? 1 - std::sqrt(ratio) : (1 - ratio) * std::pow(ratio, m - 0.5);
    table[m] = static_cast<uint16_t>(std::min<double>(left, 4000 * p));
    left -= table[m];
  }
  table[kKltEscape] = 1;
  // A frequency that no rule forbids, whatever is left.
  const uint32_t first = std::min<uint32_t>(left, kKltSlots - 2 - table[0]);
  table[0] = static_cast<uint16_t>(table[0] + first);
  table[kKltEscape] = static_cast<uint16_t>(1 + left - first);
  return table;
}

void MakeTables(KltProfileParts* parts) {
  parts->lo0 = 122;
  parts->lo1 = 124;
  parts->exponents.fill(kKltSlots / kKltExponents);
  for (uint32_t i = 0; i < 18; ++i) {
    parts->magnitudes.push_back(
        MakeTable(std::exp2((int(i + parts->lo0) - kKltLevelOfStep) / 3.0)));
  }
  for (uint16_t i = 0; i < 11; ++i) {
    const auto one = static_cast<uint16_t>(300 + 80 * i);
    const auto two = static_cast<uint16_t>(900 + 20 * i);
    parts->refining.push_back({{{one, 0}, {two, one}, {two, two}}});
  }
}

void AddPlanes(const ModelSpec& spec, KltProfileParts* parts) {
  for (uint32_t l = 0; l < spec.layers.size(); ++l) {
    const std::vector<PlaneSpec>& planes = spec.layers[l].planes;
    for (uint32_t p = 0; p < planes.size(); ++p) {
      if (!IsFloatDType(planes[p].dtype)) continue;
      const bool is_key = planes[p].role == PlaneRole::kKey ||
                          planes[p].role == PlaneRole::kRopeKey;
      parts->planes.push_back(
          {.layer = static_cast<uint16_t>(l),
           .plane = static_cast<uint8_t>(p),
           .is_rotated = is_key && parts->pairing != RopePairing::kNone &&
                         planes[p].dim >= parts->rotary_dims,
           .heads = planes[p].heads,
           .dim = planes[p].dim});
    }
  }
}

// From `layer` on: as many layers as fit, within `end`; at least one.
LayerGroup NextGroup(const KltProfileParts& parts, uint32_t layer, uint32_t end,
                     const KltMaking& making) {
  LayerGroup layers{layer, 0};
  uint64_t n = 0;
  while (layer + layers.layer_count < end &&
         layers.layer_count < making.layers) {
    for (const KltPlane& plane : parts.planes) {
      if (plane.layer == layer + layers.layer_count) n += plane.channels();
    }
    if (n > making.channels && layers.layer_count > 0) break;
    ++layers.layer_count;
  }
  return layers;
}

}  // namespace

KltProfileParts MakeKltParts(const ModelSpec& spec, const KltMaking& making) {
  Random random(making.seed);
  KltProfileParts parts;
  if (spec.rope.pairing != RopePairing::kNone) {
    parts.pairing = making.pairing;
    parts.rotary_dims = spec.rope.rotary_dims;
  }
  for (uint32_t j = 0; j < parts.rotary_dims / 2; ++j) {
    parts.turns.push_back(random.U64() >> j % 16);
  }
  parts.weights = spec.weights_hash;
  parts.step = 0.05;
  parts.raw_first = making.raw_first;
  parts.least_exponent = 0;
  parts.largest_exponent = 12;
  parts.sensitivity_exponent = 0.5f;
  parts.notes = "{\"name\": \"made up\"}";
  MakeTables(&parts);
  AddPlanes(spec, &parts);
  if (parts.planes.empty()) {
    parts.planes.push_back({.layer = kMaxLayers - 1, .heads = 1, .dim = 3});
    parts.groups.push_back(
        MakeGroup(spec, parts, {kMaxLayers - 1, 1}, making, &random));
    return parts;
  }
  for (const LayerGroup& of_model : LayerGroupsOf(spec)) {
    const uint32_t end = of_model.first_layer + of_model.layer_count;
    for (uint32_t layer = of_model.first_layer; layer < end;) {
      const LayerGroup layers = NextGroup(parts, layer, end, making);
      layer += layers.layer_count;
      parts.groups.push_back(MakeGroup(spec, parts, layers, making, &random));
    }
  }
  return parts;
}

Result<Bytes> MakeKltProfile(const ModelSpec& spec) {
  return EncodeKltProfile(MakeKltParts(spec, {}));
}

Result<Bytes> MakeWideKltProfile(const ModelSpec& spec) {
  return EncodeKltProfile(
      MakeKltParts(spec, {.seed = 2,
                          .layers = 3,
                          .lead_divisor = 2,
                          .raw_first = 0,
                          .pairing = RopePairing::kAdjacent}));
}

Bytes MakeTinyKltProfile(const ModelSpec& spec) {
  KltProfileParts parts = MakeKltParts(spec, {.raw_first = 1});
  parts.magnitudes.resize(1);
  parts.refining.resize(1);
  // An exponent for which even the last row is coded.
  parts.lo0 = 100;
  parts.lo1 = 105;
  parts.notes = "{}";
  // 14 levels finer, so that small differences show.
  parts.step = 0.002;
  for (KltGroupParts& group : parts.groups) {
    for (uint8_t& level : group.levels) {
      level = static_cast<uint8_t>(std::min(level + 14, 255));
    }
  }
  return EncodeKltProfile(parts);
}

Result<Bytes> FitTinyKltProfile(const ModelSpec& spec) {
  return MakeTinyKltProfile(spec);
}

std::string KltProblem(const CodedSlice& coded) {
  const DType dtype = coded.slice.spec->dtype;
  for (uint32_t t = 0; t < coded.token_count; ++t) {
    const ByteView before = coded.rows.RowView(coded.index, t);
    const ByteView after = coded.decoded.RowView(coded.index, t);
    if (BytesEqual(before, after)) continue;
    const std::string token = "token " + std::to_string(t) + ": ";
    if (!IsFloatDType(dtype)) return token + "bytes were changed";
    for (uint32_t c = 0; c < coded.slice.channels(); ++c) {
      const uint64_t at = uint64_t{c} * DTypeBytes(dtype);
      if (!std::isfinite(LoadElement(dtype, before.data() + at))) {
        return token + "a token that is not finite was changed";
      }
      if (!std::isfinite(LoadElement(dtype, after.data() + at))) {
        return token + "a finite value became another";
      }
    }
  }
  return "";
}

}  // namespace reprise
