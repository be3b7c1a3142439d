#include "codec/exact_profile.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "codec/exact_cluster.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_profile_format.h"
#include "codec/exact_rope.h"
#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint32_t kLeastTokens = 64;
// Of large models fewer tokens are kept: a channel's shape needs no more.
constexpr uint64_t kMaxSampleBytes = 64ull << 20;
constexpr uint32_t kMostSkipped = 16;
// Shapes are sorted into classes on at most about this many histograms.
constexpr uint32_t kClusteredHistograms = 12288;

struct PlaneSamples {
  uint16_t layer = 0;
  uint8_t plane = 0;
  PlaneSpec spec;
  uint32_t tokens_seen = 0;
  std::vector<uint32_t> positions;
  Bytes rows;  // of the positions, without gaps

  uint32_t Value(size_t sample, uint32_t channel) const {
    const uint32_t bytes = DTypeBytes(spec.dtype);
    const uint8_t* p =
        rows.data() + (sample * spec.channels() + channel) * bytes;
    if (bytes == 2) return LoadLe<uint16_t>(p);
    if (bytes == 4) return LoadLe<uint32_t>(p);
    return *p;
  }
};

// Planes that share a table set.
struct Kind {
  std::vector<size_t> planes;
};

// One way to describe the planes of a kind.
struct Choice {
  ExactSplit split;
  uint32_t angles = 1;
};

struct Fitted {
  Choice choice;
  std::vector<ExactFrequencies> frequencies;
  std::vector<uint16_t> words;  // planes of the kind, one after the other
  uint64_t cost = 0;            // of the samples, in 2^-16 bits, raw bits in
};

ExactClusterRules RulesOf(const ExactSplit& split) {
  const bool signs = split.sign_bit == split.raw_bits;
  return {.key_mask = split.key_mask(), .unit = signs ? 2u : 1u};
}

class KindFitter {
 public:
  KindFitter(const std::vector<PlaneSamples>& planes, const Kind& kind,
             const RopeSpec& rope, std::span<const uint32_t> steps)
      : planes_(planes), kind_(kind), rope_(rope), steps_(steps) {}

  // The choice that codes the samples in the fewest bits.
  Fitted Best() const;

 private:
  std::vector<Choice> Choices() const;
  Fitted Fit(const Choice& choice) const;
  // Histograms of one channel, or of one pair of channels at each angle. What
  // belongs together is a group; groups of a plane are numbered from 0.
  uint32_t GroupCount(const PlaneSamples& plane, const Choice& choice) const;
  void Group(const PlaneSamples& plane, const Choice& choice, uint32_t group,
             ExactHistogramBuilder* builder,
             std::vector<ExactHistogram>* out) const;
  // Channel and angle of a group's histograms, in their order.
  uint32_t WordOf(const PlaneSamples& plane, const Choice& choice,
                  uint32_t group, uint32_t index) const;
  std::pair<uint32_t, uint32_t> PairOf(const PlaneSamples& plane,
                                       uint32_t group) const;
  void Turned(const PlaneSamples& plane, const Choice& choice, uint32_t group,
              uint32_t angle, ExactHistogramBuilder* builder,
              std::vector<ExactHistogram>* out) const;
  uint64_t CostOf(const Fitted& fitted) const;

  const std::vector<PlaneSamples>& planes_;
  const Kind& kind_;
  const RopeSpec& rope_;
  std::span<const uint32_t> steps_;
};

std::vector<Choice> KindFitter::Choices() const {
  const PlaneSpec& spec = planes_[kind_.planes[0]].spec;
  const ExactSplit raw_sign = DefaultExactSplit(spec.dtype);
  std::vector<Choice> choices = {{raw_sign, 1}};
  if (spec.dtype == DType::kOpaque) return choices;
  // The same number of raw bits: the sign in place of a mantissa bit.
  ExactSplit coded_sign = raw_sign;
  coded_sign.sign_bit = raw_sign.raw_bits;
  choices.push_back({coded_sign, 1});
  bool turns =
      !steps_.empty() && DTypeBytes(spec.dtype) > 1 &&
      (spec.role == PlaneRole::kKey || spec.role == PlaneRole::kRopeKey);
  for (size_t p : kind_.planes) {
    turns = turns && planes_[p].spec.dim >= rope_.rotary_dims;
  }
  if (turns) choices.push_back({coded_sign, kExactAngles});
  return choices;
}

// Groups of rotated planes, head by head: first the pairs, then each channel
// that is not rotated.
uint32_t KindFitter::GroupCount(const PlaneSamples& plane,
                                const Choice& choice) const {
  if (choice.angles == 1) return plane.spec.channels();
  return plane.spec.heads * (plane.spec.dim - rope_.rotary_dims / 2);
}

std::pair<uint32_t, uint32_t> KindFitter::PairOf(const PlaneSamples& plane,
                                                 uint32_t group) const {
  const uint32_t pairs = rope_.rotary_dims / 2;
  const uint32_t per_head = plane.spec.dim - pairs;
  const uint32_t head = group / per_head * plane.spec.dim;
  const uint32_t j = group % per_head;
  if (j >= pairs) return {head + j + pairs, head + j + pairs};
  if (rope_.pairing == RopePairing::kAdjacent) {
    return {head + 2 * j, head + 2 * j + 1};
  }
  return {head + j, head + j + pairs};
}

uint32_t KindFitter::WordOf(const PlaneSamples& plane, const Choice& choice,
                            uint32_t group, uint32_t index) const {
  if (choice.angles == 1) return group;
  const auto [a, b] = PairOf(plane, group);
  if (a == b) return a * choice.angles + index;
  return (index % 2 == 0 ? a : b) * choice.angles + index / 2;
}

// What the two channels of a pair would look like in a segment whose middle
// has turned by `angle`: the samples, turned from where they are to where they
// would be there. So every angle is known, also those that only positions far
// behind the samples reach.
void KindFitter::Turned(const PlaneSamples& plane, const Choice& choice,
                        uint32_t group, uint32_t angle,
                        ExactHistogramBuilder* builder,
                        std::vector<ExactHistogram>* out) const {
  const auto [a, b] = PairOf(plane, group);
  const uint32_t step =
      steps_[group % (plane.spec.dim - rope_.rotary_dims / 2)];
  const DType dtype = plane.spec.dtype;
  const uint32_t w = choice.split.raw_bits;
  std::vector<uint32_t> second;
  for (size_t i = angle % 2; i < plane.positions.size(); i += 2) {
    const uint32_t position = plane.positions[i];
    // Spread over the angle's sixteenth of a turn and over the segment.
    const uint32_t middle =
        (angle << 28) + (static_cast<uint32_t>(i * 7 % 16) << 24) + (1u << 23);
    const uint32_t there = middle + (position % kSegmentTokens - 32) * step;
    const ExactTurn turn = ExactTurnOf(there - position * step);
    const float x = ExactToFloat(dtype, plane.Value(i, a));
    const float y = ExactToFloat(dtype, plane.Value(i, b));
    const float u = x * turn.cosine - y * turn.sine;
    const float v = x * turn.sine + y * turn.cosine;
    builder->Add(ExactCode(ExactFromFloat(dtype, u), choice.split) >> w);
    second.push_back(ExactCode(ExactFromFloat(dtype, v), choice.split) >> w);
  }
  out->push_back(builder->Take());
  for (uint32_t key : second) builder->Add(key);
  out->push_back(builder->Take());
}

void KindFitter::Group(const PlaneSamples& plane, const Choice& choice,
                       uint32_t group, ExactHistogramBuilder* builder,
                       std::vector<ExactHistogram>* out) const {
  out->clear();
  uint32_t channel = group;
  if (choice.angles > 1) {
    const auto [a, b] = PairOf(plane, group);
    if (a != b) {
      for (uint32_t angle = 0; angle < choice.angles; ++angle) {
        Turned(plane, choice, group, angle, builder, out);
      }
      return;
    }
    channel = a;
  }
  for (size_t i = 0; i < plane.positions.size(); ++i) {
    builder->Add(ExactCode(plane.Value(i, channel), choice.split) >>
                 choice.split.raw_bits);
  }
  out->assign(choice.angles, builder->Take());
}

Fitted KindFitter::Fit(const Choice& choice) const {
  uint64_t groups = 0;
  for (size_t p : kind_.planes) groups += GroupCount(planes_[p], choice);
  const uint64_t per_group = choice.angles > 1 ? 2 * choice.angles : 1;
  // Odd, so that it has no beat with pairs and heads.
  const uint64_t every = (groups * per_group / kClusteredHistograms) | 1;
  ExactHistogramBuilder builder(choice.split.key_mask() + 1);
  std::vector<ExactHistogram> chosen;
  std::vector<ExactHistogram> group;
  uint64_t number = 0;
  for (size_t p : kind_.planes) {
    for (uint32_t g = 0; g < GroupCount(planes_[p], choice); ++g) {
      if (number++ % every != 0) continue;
      Group(planes_[p], choice, g, &builder, &group);
      std::move(group.begin(), group.end(), std::back_inserter(chosen));
    }
  }
  const auto tables =
      static_cast<uint32_t>(std::min<size_t>(kExactMaxTables, chosen.size()));
  const ExactClusters clusters(chosen, tables, RulesOf(choice.split));
  Fitted fitted{.choice = choice, .frequencies = clusters.frequencies()};
  for (size_t p : kind_.planes) {
    const PlaneSamples& plane = planes_[p];
    const size_t first = fitted.words.size();
    fitted.words.resize(first + plane.spec.channels() * choice.angles);
    for (uint32_t g = 0; g < GroupCount(plane, choice); ++g) {
      Group(plane, choice, g, &builder, &group);
      for (uint32_t i = 0; i < group.size(); ++i) {
        const ExactAssignment a = clusters.Assign(group[i]);
        fitted.words[first + WordOf(plane, choice, g, i)] =
            ExactChannelWord(a.offset, a.table);
      }
    }
  }
  fitted.cost = CostOf(fitted);
  return fitted;
}

// Of the samples as they are, at the angles that they are at.
uint64_t KindFitter::CostOf(const Fitted& fitted) const {
  const ExactSplit& split = fitted.choice.split;
  uint64_t cost = 0;
  size_t first = 0;
  for (size_t p : kind_.planes) {
    const PlaneSamples& plane = planes_[p];
    for (size_t i = 0; i < plane.positions.size(); ++i) {
      const uint32_t segment =
          plane.positions[i] / kSegmentTokens * kSegmentTokens;
      for (uint32_t c = 0; c < plane.spec.channels(); ++c) {
        size_t word = first + c * fitted.choice.angles;
        const uint32_t pair = ExactRotaryPair(rope_.pairing, rope_.rotary_dims,
                                              c % plane.spec.dim);
        if (fitted.choice.angles > 1 && pair < steps_.size()) {
          word += ExactAngle(steps_[pair], segment);
        }
        const uint32_t key =
            ExactCode(plane.Value(i, c), split) >> split.raw_bits;
        const uint32_t symbol =
            std::min((key - (fitted.words[word] >> 3u)) & split.key_mask(),
                     kExactEscape);
        const ExactFrequencies& table =
            fitted.frequencies[fitted.words[word] & 7u];
        const bool coded = symbol < kExactEscape && table[symbol] > 0;
        cost += coded ? ExactCost(table[symbol])
                      : ExactCost(table[kExactEscape]) + (16u << 16);
      }
    }
    cost += uint64_t{plane.positions.size()} * plane.spec.channels() *
            (split.raw_bits << 16);
    first += plane.spec.channels() * fitted.choice.angles;
  }
  return cost;
}

Fitted KindFitter::Best() const {
  Fitted best{.cost = ~uint64_t{0}};
  for (const Choice& choice : Choices()) {
    Fitted fitted = Fit(choice);
    if (fitted.cost < best.cost) best = std::move(fitted);
  }
  return best;
}

}  // namespace

struct ExactProfileFitter::State {
  RopeSpec rope;
  std::vector<PlaneSamples> planes;  // ascending in (layer, plane)
  uint32_t keep_every = 1;

  PlaneSamples* Find(uint16_t layer, uint8_t plane) {
    for (PlaneSamples& samples : planes) {
      if (samples.layer == layer && samples.plane == plane) return &samples;
    }
    return nullptr;
  }
  std::vector<Kind> Kinds() const;
};

// Planes of one name, role and type, in order, at most 64 kinds of them; what
// is beyond is left out of the profile.
std::vector<Kind> ExactProfileFitter::State::Kinds() const {
  std::vector<Kind> kinds;
  for (size_t p = 0; p < planes.size(); ++p) {
    const PlaneSpec& spec = planes[p].spec;
    const auto same = [&](const Kind& kind) {
      const PlaneSpec& other = planes[kind.planes[0]].spec;
      return other.name == spec.name && other.role == spec.role &&
             other.dtype == spec.dtype;
    };
    auto at = std::find_if(kinds.begin(), kinds.end(), same);
    if (at == kinds.end()) {
      if (kinds.size() == kExactMaxSets) continue;
      at = kinds.insert(kinds.end(), Kind());
    }
    at->planes.push_back(p);
  }
  return kinds;
}

ExactProfileFitter::ExactProfileFitter(const ModelSpec& spec)
    : state_(std::make_unique<State>()) {
  state_->rope = spec.rope;
  for (size_t l = 0; l < spec.layers.size(); ++l) {
    for (size_t p = 0; p < spec.layers[l].planes.size(); ++p) {
      PlaneSamples& samples = state_->planes.emplace_back();
      samples.layer = static_cast<uint16_t>(l);
      samples.plane = static_cast<uint8_t>(p);
      samples.spec = spec.layers[l].planes[p];
    }
  }
  const uint64_t all = spec.token_bytes() * kWantedTokens;
  state_->keep_every = static_cast<uint32_t>(std::clamp<uint64_t>(
      (all + kMaxSampleBytes - 1) / kMaxSampleBytes, 1, kMostSkipped));
}

ExactProfileFitter::~ExactProfileFitter() = default;

void ExactProfileFitter::Add(uint32_t first_token, uint32_t token_count,
                             std::span<const PlaneSlice> slices,
                             std::span<const ConstPlaneRows> rows) {
  for (size_t s = 0; s < slices.size() && s < rows.size(); ++s) {
    PlaneSamples* plane = state_->Find(slices[s].layer, slices[s].plane);
    if (plane == nullptr || rows[s].data == nullptr ||
        slices[s].channels() != plane->spec.channels()) {
      continue;
    }
    const uint64_t bytes = plane->spec.token_bytes();
    for (uint32_t t = 0; t < token_count; ++t) {
      if (plane->tokens_seen == kWantedTokens) break;
      ++plane->tokens_seen;
      const uint32_t position = first_token + t;
      if (position % state_->keep_every != 0) continue;
      plane->positions.push_back(position);
      const uint8_t* row = rows[s].data + t * rows[s].token_stride_bytes;
      plane->rows.insert(plane->rows.end(), row, row + bytes);
    }
  }
}

Result<Bytes> ExactProfileFitter::Fit() const {
  uint32_t tokens = kWantedTokens;
  for (const PlaneSamples& plane : state_->planes) {
    tokens = std::min(tokens, plane.tokens_seen);
  }
  if (tokens < kLeastTokens) {
    return ResourceExhaustedError(CatMessage("exact profile: ", tokens,
                                             " tokens of each plane, at least ",
                                             kLeastTokens, " are wanted"));
  }
  ExactProfileParts parts;
  parts.steps = ExactAngleSteps(state_->rope);
  if (!parts.steps.empty()) {
    parts.pairing = state_->rope.pairing;
    parts.rotary_dims = state_->rope.rotary_dims;
  }
  const std::vector<Kind> kinds = state_->Kinds();
  std::vector<std::vector<uint16_t>> words(state_->planes.size());
  std::vector<ExactPlane> planes(state_->planes.size());
  for (const Kind& kind : kinds) {
    const Fitted best =
        KindFitter(state_->planes, kind, state_->rope, parts.steps).Best();
    const auto set = static_cast<uint8_t>(parts.sets.size());
    parts.sets.emplace_back().frequencies = best.frequencies;
    auto next = best.words.begin();
    for (size_t p : kind.planes) {
      const PlaneSamples& plane = state_->planes[p];
      planes[p] = {.layer = plane.layer,
                   .plane = plane.plane,
                   .dtype = plane.spec.dtype,
                   .heads = plane.spec.heads,
                   .dim = plane.spec.dim,
                   .set = set,
                   .split = best.choice.split,
                   .angles = best.choice.angles};
      const auto end = next + plane.spec.channels() * best.choice.angles;
      words[p].assign(next, end);
      next = end;
    }
  }
  for (size_t p = 0; p < planes.size(); ++p) {
    if (words[p].empty()) continue;
    parts.planes.push_back(planes[p]);
    parts.channel_words.insert(parts.channel_words.end(), words[p].begin(),
                               words[p].end());
  }
  return EncodeExactProfile(parts);
}

}  // namespace reprise
