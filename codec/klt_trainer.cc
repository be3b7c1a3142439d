#include "codec/klt_trainer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/limits.h"
#include "codec/float_element.h"
#include "codec/klt_basis.h"
#include "codec/klt_products_simd.h"
#include "codec/klt_table_fit.h"
#include "codec/klt_turn.h"
#include "codec/message.h"

namespace reprise {
namespace {

// A transform 768 wide is poor with 8,192 tokens, good with 16,384.
constexpr uint64_t kMinTokensPerChannel = 8;
constexpr uint64_t kWantedTokensPerChannel = 24;
constexpr uint64_t kLeastTokens = 512;
constexpr uint64_t kLeastWantedTokens = 4096;
// One call of Add in so many is held out, and which of them.
constexpr uint64_t kHeldOutOf = 8;
constexpr uint64_t kHeldOut = 3;
constexpr uint64_t kMaxHeldTokens = 2048;
// Tokens at positions below it are no examples: their values are far away.
constexpr uint32_t kSkippedTokens = 4;
constexpr float kLargestValue = 0x1p40f;

// The share of the values' energy that is lost at stage 2: see
// docs/codecs/klt_notes.md.
constexpr double kRelativeError = 0.0015;
constexpr double kSmallestStep = 0x1p-40;
constexpr double kLargestStep = 0x1p40;
// Rows whose deviation is below a fifth of the step (7 thirds of an octave)
// are nearly all zeros.
constexpr uint32_t kLowestIndex = kKltLevelOfStep - 7;
// Tokens that are transformed at a time.
constexpr uint64_t kTile = 4;
// Of Fit's time, what the eigenvectors take.
constexpr double kBasesShare = 0.7;

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// JSON text in quotes; what needs an escape is left out.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') {
      out.push_back(c);
    }
  }
  return out + "\"";
}

KltHeads HeadsOf(const KltProfileParts& parts, const KltPlane& plane) {
  return {.pairing = parts.pairing == RopePairing::kAdjacent
                         ? KltPairing::kAdjacent
                         : KltPairing::kHalves,
          .heads = plane.heads,
          .dim = plane.dim,
          .pairs = parts.rotary_dims / 2};
}

bool IsUsable(const float* row, uint32_t n) {
  return std::all_of(row, row + n, [](float value) {
    return std::abs(value) < kLargestValue;  // false for a NaN
  });
}

}  // namespace

Result<std::unique_ptr<ProfileTrainer>> KltTrainer::Make(
    const ModelSpec& spec, const KltTraining& training,
    uint64_t max_memory_bytes) {
  std::unique_ptr<KltTrainer> trainer(new KltTrainer);
  KltProfileParts& parts = trainer->parts_;
  REPRISE_RETURN_IF_ERROR(PlanKltGroups(spec, training.layers, &parts));
  parts.kind = KltProfileKind::kStatistics;
  parts.raw_first = training.raw_first;
  parts.lo0 = kLowestIndex;
  parts.lo1 = kLowestIndex;
  for (const auto& [key, value] : spec.notes) {
    if (key == "name") trainer->model_name_ = value;
  }
  REPRISE_RETURN_IF_ERROR(trainer->SetLimits(max_memory_bytes));
  uint32_t widest = 0;
  for (const KltGroupParts& group : parts.groups) {
    trainer->groups_.emplace_back(group.n);
    widest = std::max(widest, group.n);
  }
  trainer->rows_.resize(kSegmentTokens * KltRowFloats(widest));
  trainer->cosines_.resize(kSegmentTokens * parts.turns.size());
  trainer->sines_.resize(kSegmentTokens * parts.turns.size());
  return std::unique_ptr<ProfileTrainer>(std::move(trainer));
}

Status KltTrainer::SetLimits(uint64_t max_memory_bytes) {
  uint64_t widest = 0;
  uint64_t statistics = 0;
  uint64_t profile = 0;
  uint64_t held_floats = 0;
  for (const KltGroupParts& group : parts_.groups) {
    widest = std::max<uint64_t>(widest, group.n);
    statistics += KltStatistics::BytesFor(group.n);
    profile += uint64_t{group.n} * (group.n + KltLeadOf(group.n) + 16);
    held_floats += KltRowFloats(group.n);
  }
  // Tables, notes, turns and planes.
  profile += 64 * 1024 + parts_.turns.size() * 8 + parts_.planes.size() * 12;
  if (profile > kMaxProfileBytes) {
    return ResourceExhaustedError(
        CatMessage("klt trainer: the profile would have ", profile, " bytes, ",
                   kMaxProfileBytes, " are allowed: a smaller layers= helps"));
  }
  min_tokens_ = std::max(RoundUp(kMinTokensPerChannel * widest, kSegmentTokens),
                         kLeastTokens);
  wanted_tokens_ =
      std::max(RoundUp(kWantedTokensPerChannel * widest, kSegmentTokens),
               kLeastWantedTokens);
  // The profile is held as parts and as bytes. Of a group at a time: what
  // finds eigenvectors, the forward matrix, and coefficients.
  const auto n = static_cast<uint32_t>(widest);
  const uint64_t needed =
      statistics + 2 * profile + KltBasisBytes(n) +
      (widest + kSegmentTokens + kMaxHeldTokens) * KltRowFloats(n) * 4 +
      kMaxHeldTokens * held_floats * 4;
  if (needed > max_memory_bytes) {
    return ResourceExhaustedError(
        CatMessage("klt trainer: groups of up to ", widest, " channels take ",
                   needed, " bytes, ", max_memory_bytes,
                   " are allowed: a smaller layers= takes less"));
  }
  return Status();
}

uint64_t KltTrainer::tokens() const {
  uint64_t tokens = wanted_tokens_;
  for (const Group& group : groups_) tokens = std::min(tokens, group.tokens);
  return tokens;
}

uint32_t KltTrainer::Load(const KltGroupParts& group, uint32_t first_token,
                          uint32_t token_count,
                          std::span<const PlaneSlice> slices,
                          std::span<const ConstPlaneRows> rows) {
  const uint64_t stride = KltRowFloats(group.n);
  const uint32_t pairs = parts_.rotary_dims / 2;
  std::fill(rows_.begin(), rows_.end(), 0.0f);
  uint64_t channel = 0;
  for (const KltPlane& plane : parts_.PlanesOf(group)) {
    for (size_t s = 0; s < slices.size(); ++s) {
      const PlaneSlice& slice = slices[s];
      if (slice.layer != plane.layer || slice.plane != plane.plane) continue;
      const DType dtype = slice.spec->dtype;
      for (uint32_t t = 0; t < token_count; ++t) {
        const uint8_t* from = rows[s].data + t * rows[s].token_stride_bytes;
        float* row = rows_.data() + t * stride + channel;
        for (uint64_t i = 0; i < plane.channels(); ++i) {
          row[i] = LoadElement(dtype, from + i * DTypeBytes(dtype));
        }
        if (!plane.is_rotated) continue;
        KltUnrotateScalar(HeadsOf(parts_, plane), cosines_.data() + t * pairs,
                          sines_.data() + t * pairs, row);
      }
    }
    channel += plane.channels();
  }
  uint32_t kept = 0;
  for (uint32_t t = 0; t < token_count; ++t) {
    const float* row = rows_.data() + t * stride;
    if (first_token + t < kSkippedTokens || !IsUsable(row, group.n)) continue;
    std::copy(row, row + stride, rows_.data() + kept * stride);
    ++kept;
  }
  return kept;
}

Status KltTrainer::Add(uint32_t first_token, uint32_t token_count,
                       std::span<const PlaneSlice> slices,
                       std::span<const ConstPlaneRows> rows) {
  if (slices.empty()) return Status();
  if (!parts_.turns.empty()) {
    KltTurnTableScalar({.turns = parts_.turns.data(),
                        .pairs = parts_.rotary_dims / 2,
                        .first_position = first_token,
                        .tokens = token_count},
                       cosines_.data(), sines_.data());
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    const KltGroupParts& parts = parts_.groups[g];
    if (parts.first_layer < slices.front().layer ||
        parts.first_layer > slices.back().layer) {
      continue;
    }
    Group& group = groups_[g];
    if (group.tokens >= wanted_tokens_) continue;
    const uint32_t kept = Load(parts, first_token, token_count, slices, rows);
    const uint64_t stride = KltRowFloats(parts.n);
    const bool is_held = group.calls++ % kHeldOutOf == kHeldOut &&
                         group.held_count + kept <= kMaxHeldTokens;
    if (is_held) {
      const auto end =
          rows_.begin() + static_cast<std::ptrdiff_t>(kept * stride);
      group.held.insert(group.held.end(), rows_.begin(), end);
      group.held_count += kept;
    } else {
      group.statistics.Add(rows_.data(), kept);
    }
    group.tokens += kept;
  }
  return Status();
}

double KltTrainer::FindStep() const {
  double total = 0;
  for (const Group& group : groups_) {
    for (const double variance : group.variances) total += variance;
  }
  // A coefficient is off by step^2 / 12, or by all of it.
  const auto error = [&](double step) {
    const double rounding = step * step / 12;
    double sum = 0;
    for (const Group& group : groups_) {
      for (const double variance : group.variances) {
        sum += std::min(variance, rounding);
      }
    }
    return sum;
  };
  double low = kSmallestStep;
  double high = kLargestStep;
  for (int i = 0; i < 64; ++i) {
    const double middle = std::sqrt(low * high);
    (error(middle) > kRelativeError * total ? high : low) = middle;
  }
  // A short number: what a reader of the profile sees is what it is.
  return std::max(double{static_cast<float>(low)}, kSmallestStep);
}

Status KltTrainer::FitBases(const std::function<bool(double)>& progress) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    KltGroupParts& parts = parts_.groups[g];
    const std::vector<double> means = group.statistics.Means();
    for (const double mean : means) {
      parts.mu.push_back(static_cast<float>(mean));
    }
    parts.regressor.by_channel.assign(parts.n, 0.0f);
    parts.regressor.by_norm.assign(parts_.PlanesOf(parts).size(), 0.0f);
    std::vector<double> covariance = group.statistics.TakeCovariance();
    const std::vector<double> weights(parts.n, 1.0);
    if (!FitKltBasis(weights, &covariance, &parts, &group.variances)) {
      return InternalError(CatMessage("klt trainer: covariance of group ", g,
                                      " of ", groups_.size(),
                                      " has no eigenvectors"));
    }
    const double done =
        static_cast<double>(g + 1) / static_cast<double>(groups_.size());
    if (progress && !progress(kBasesShare * done)) {
      return UnavailableError("klt trainer: was stopped");
    }
  }
  return Status();
}

std::vector<float> KltTrainer::TransformHeld(const Group& group,
                                             const KltGroupParts& parts) const {
  const uint64_t stride = KltRowFloats(parts.n);
  const std::vector<float> matrix = KltForwardMatrix(parts);
  std::vector<float> z(RoundUp(group.held_count, kTile) * stride);
  std::vector<float> turned;  // [n, kTile]: channels are the depth
  for (uint64_t first = 0; first < group.held_count; first += kTile) {
    const uint64_t count = std::min(kTile, group.held_count - first);
    turned.assign(parts.n * kTile, 0.0f);
    for (uint64_t t = 0; t < count; ++t) {
      const float* row = group.held.data() + (first + t) * stride;
      for (uint32_t i = 0; i < parts.n; ++i) {
        turned[i * kTile + t] = row[i] - parts.mu[i];
      }
    }
    KltProducts({.a = turned.data(),
                 .a_stride = kTile,
                 .b = matrix.data(),
                 .b_stride = stride,
                 .c = z.data() + first * stride,
                 .c_stride = stride,
                 .depth = parts.n,
                 .rows = kTile,
                 .columns = parts.rows() * kKltLanes});
  }
  return z;
}

Status KltTrainer::FitTables(const std::function<bool(double)>& progress) {
  KltTableFit tables(parts_);
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    KltGroupParts& parts = parts_.groups[g];
    const std::vector<float> z = TransformHeld(group, parts);
    group.held = {};
    FitLevels(z.data(), group.held_count, &parts);
    tables.Count(parts.levels, parts.n, z.data(), KltRowFloats(parts.n),
                 group.held_count);
    const double done =
        static_cast<double>(g + 1) / static_cast<double>(groups_.size());
    if (progress && !progress(kBasesShare + (1 - kBasesShare) * done)) {
      return UnavailableError("klt trainer: was stopped");
    }
  }
  tables.Fill(&parts_);
  return Status();
}

void KltTrainer::FitLevels(const float* z, uint64_t count,
                           KltGroupParts* parts) const {
  const uint64_t stride = KltRowFloats(parts->n);
  uint8_t above = 255;
  for (uint32_t r = 0; r < parts->rows(); ++r) {
    const uint32_t first = r * kKltLanes;
    const uint32_t lanes = std::min(kKltLanes, parts->n - first);
    double sum = 0;
    for (uint64_t t = 0; t < count; ++t) {
      for (uint32_t l = 0; l < lanes; ++l) {
        const double value = z[t * stride + first + l];
        sum += value * value;
      }
    }
    const double terms = static_cast<double>(count * lanes);
    above = std::min(above, KltLevelOf(sum / terms, parts_.step));
    parts->levels.push_back(above);
  }
}

std::string KltTrainer::Notes() const {
  return CatMessage(
      "{\"made_by\":\"reprise calibrate\",\"kind\":\"statistics only\",",
      "\"model\":", Quoted(model_name_), ",\"tokens\":", tokens(),
      ",\"held_out_tokens\":", groups_[0].held_count,
      ",\"relative_error_at_near\":", kRelativeError, "}");
}

Result<Bytes> KltTrainer::Fit(const std::function<bool(double)>& progress) {
  if (tokens() < min_tokens_) {
    return FailedPreconditionError(
        CatMessage("klt trainer: has ", tokens(), " tokens (the first ",
                   kSkippedTokens, " of a session do not count), ", min_tokens_,
                   " are needed: ", min_tokens_ - tokens(),
                   " are missing, and ", wanted_tokens_, " are good"));
  }
  REPRISE_RETURN_IF_ERROR(FitBases(progress));
  parts_.step = FindStep();
  REPRISE_RETURN_IF_ERROR(FitTables(progress));
  parts_.notes = Notes();
  REPRISE_RETURN_IF_ERROR(CheckKltProfile(parts_).WithContext("klt trainer"));
  return EncodeKltProfile(parts_);
}

}  // namespace reprise
