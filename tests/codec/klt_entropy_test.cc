// The entropy coder of `klt`: there and back, and the vector versions against
// the scalar ones, for each instruction set at hand.
#include "codec/klt_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/limits.h"
#include "codec/codec.h"
#include "codec/exact_simd.h"
#include "codec/klt_entropy_simd.h"
#include "tests/support/klt_cases.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

// One of the two versions of everything.
struct Loops {
  decltype(&KltDecodeMagnitudes) decode_magnitudes;
  decltype(&KltDecodeRefining) decode_refining;
  decltype(&KltEncodeMagnitudes) encode_magnitudes;
  decltype(&KltEncodeRefining) encode_refining;
  decltype(&KltWriteSigns) write_signs;
};
constexpr Loops kScalar = {KltDecodeMagnitudesScalar, KltDecodeRefiningScalar,
                           KltEncodeMagnitudesScalar, KltEncodeRefiningScalar,
                           KltWriteSignsScalar};
constexpr Loops kSimd = {KltDecodeMagnitudes, KltDecodeRefining,
                         KltEncodeMagnitudes, KltEncodeRefining, KltWriteSigns};

struct Coded {
  std::vector<uint32_t> states;
  Bytes words;
  Bytes signs;
  uint64_t sign_count = 0;
  bool operator==(const Coded&) const = default;
};

// Tokens of one group, each with all stages' q, as an encoder has them.
class Material {
 public:
  // About `scale` in the first row, falling.
  Material(uint32_t n, uint32_t tokens, double scale, uint64_t seed)
      : random_(seed), tokens_(tokens) {
    KltProfileParts parts = MakeKltParts(OneChannelModel(), {.raw_first = 0});
    group_ = parts.groups[0];
    group_.n = n;
    const uint32_t rows = group_.rows();
    group_.levels.clear();
    for (uint32_t r = 0; r < rows; ++r) {
      group_.levels.push_back(
          static_cast<uint8_t>(170 - std::min(60 * r / rows, 60u)));
    }
    tables_ = MakeKltTables(parts);
    stride_ = rows * kKltLanes;
    for (auto& q : q_) q.resize(uint64_t{tokens} * stride_);
    for (uint32_t t = 0; t < tokens; ++t) {
      e_.push_back(static_cast<int>(random_.Below(14)) - 5);
      FillToken(t, scale);
    }
  }

  KltRows Rows(uint32_t stage, uint32_t t) const {
    return KltRowsOf(tables_, group_, stage, e_[t]);
  }
  const int16_t* Q(uint32_t stage, uint32_t t) const {
    return q_[stage].data() + uint64_t{t} * stride_;
  }
  const int16_t* Below(uint32_t stage, uint32_t t) const {
    return stage == 0 ? nullptr : Q(stage - 1, t);
  }

  Coded Encode(uint32_t stage, const Loops& loops) const {
    Coded coded;
    coded.signs.resize(tokens_ * stride_ / 8 + kKltSlackBytes);
    KltSignWriter signs{.bytes = coded.signs.data()};
    for (uint32_t t = 0; t < tokens_; ++t) {
      loops.write_signs(Rows(stage, t), Below(stage, t), Q(stage, t), &signs);
    }
    coded.sign_count = signs.count;
    coded.signs.resize((signs.count + 7) / 8);
    std::vector<uint16_t> words(2 * tokens_ * stride_ + kKltSlackBytes);
    KltEncoder encoder{.word = words.data() + words.size()};
    std::fill_n(encoder.x, kKltLanes, kKltLowState);
    for (uint32_t t = tokens_; t-- > 0;) {
      if (stage == 0) {
        loops.encode_magnitudes(tables_, Rows(0, t), Q(0, t), &encoder);
      } else {
        loops.encode_refining(tables_, Rows(stage, t), Below(stage, t),
                              Q(stage, t), &encoder);
      }
    }
    coded.states.assign(encoder.x, encoder.x + kKltLanes);
    const auto* end = words.data() + words.size();
    coded.words.assign(reinterpret_cast<const uint8_t*>(encoder.word),
                       reinterpret_cast<const uint8_t*>(end));
    return coded;
  }

  // The answer; q holds what was decoded.
  bool Decode(uint32_t stage, const Coded& coded, const Loops& loops,
              std::vector<int16_t>* q) const {
    q->assign(uint64_t{tokens_} * stride_, 0);
    if (stage > 0) *q = q_[stage - 1];
    Bytes words = coded.words;
    Bytes signs = coded.signs;
    words.resize(words.size() + kKltSlackBytes, 0xa5);
    signs.resize(signs.size() + kKltSlackBytes, 0xa5);
    KltDecoder decoder{
        .words = words.data(),
        .word_count = static_cast<uint32_t>(coded.words.size() / 2),
        .signs = signs.data(),
        .sign_count = 8 * coded.signs.size()};
    std::copy(coded.states.begin(), coded.states.end(), decoder.x);
    for (uint32_t t = 0; t < tokens_; ++t) {
      int16_t* const to = q->data() + uint64_t{t} * stride_;
      const bool whole =
          stage == 0
              ? loops.decode_magnitudes(tables_, Rows(0, t), &decoder, to)
              : loops.decode_refining(tables_, Rows(stage, t), &decoder, to);
      if (!whole) return false;
    }
    return decoder.IsEnd();
  }

  const std::vector<int16_t>& Wanted(uint32_t stage) const { return q_[stage]; }
  Random* random() { return &random_; }

 private:
  // Of the last stage, as its rows can hold it; the others are its roundings.
  void FillToken(uint32_t t, double scale) {
    for (uint32_t i = 0; i < group_.n; ++i) {
      const double fall = std::exp2(-8.0 * i / group_.n);
      double value = 27 * scale * fall * random_.Normal();
      if (random_.OneIn(200)) value *= 20;
      q_[3][t * stride_ + i] =
          static_cast<int16_t>(std::clamp(value, -32767.0, 32767.0));
    }
    int bound = 1;
    uint32_t end = Rows(3, t).count * kKltLanes;
    for (uint32_t i = end; i < stride_; ++i) q_[3][t * stride_ + i] = 0;
    for (uint32_t k = 3; k > 0; --k, bound = 3 * bound + 1) {
      const uint32_t begin = Rows(k - 1, t).count * kKltLanes;
      for (uint32_t i = begin; i < end; ++i) {
        int16_t& q = q_[3][t * stride_ + i];
        q = static_cast<int16_t>(std::clamp<int>(q, -bound, bound));
      }
      end = begin;
    }
    for (uint32_t k = 3; k > 0; --k) {
      for (uint32_t i = 0; i < stride_; ++i) {
        q_[k - 1][t * stride_ + i] =
            static_cast<int16_t>(std::lround(q_[k][t * stride_ + i] / 3.0));
      }
    }
  }

  Random random_;
  uint32_t tokens_;
  KltGroupParts group_;
  KltTables tables_;
  uint32_t stride_ = 0;
  std::vector<int> e_;
  std::vector<int16_t> q_[kMaxStages];
};

constexpr uint32_t kWidths[] = {1, 2, 15, 31, 32, 33, 64, 95, 96, 250, 384};
constexpr double kScales[] = {0.05, 2, 60, 2000};

TEST(KltEntropyTest, WhatIsEncodedDecodes) {
  for (const uint32_t n : kWidths) {
    for (const double scale : kScales) {
      const Material material(n, 9, scale, n);
      for (uint32_t stage = 0; stage < kMaxStages; ++stage) {
        SCOPED_TRACE(std::to_string(n) + ", stage " + std::to_string(stage));
        const Coded coded = material.Encode(stage, kScalar);
        std::vector<int16_t> q;
        ASSERT_TRUE(material.Decode(stage, coded, kScalar, &q));
        ASSERT_EQ(q, material.Wanted(stage));
      }
    }
  }
}

TEST(KltEntropyTest, EveryInstructionSetDoesTheSame) {
  for (const int64_t target : ExactTargets()) {
    for (const uint32_t n : kWidths) {
      for (const double scale : kScales) {
        const Material material(n, 5, scale, n + 1);
        for (uint32_t stage = 0; stage < kMaxStages; ++stage) {
          SCOPED_TRACE(std::string(ExactTargetName(target)) + ", " +
                       std::to_string(n) + ", stage " + std::to_string(stage));
          const Coded wanted = material.Encode(stage, kScalar);
          ChooseExactTarget(target);
          const Coded coded = material.Encode(stage, kSimd);
          std::vector<int16_t> q;
          const bool whole = material.Decode(stage, wanted, kSimd, &q);
          ChooseExactTarget(0);
          ASSERT_TRUE(coded == wanted);
          ASSERT_TRUE(whole);
          ASSERT_EQ(q, material.Wanted(stage));
        }
      }
    }
  }
}

// Of streams with a changed byte, or too few words or signs, too.
TEST(KltEntropyTest, EveryInstructionSetRefusesTheSame) {
  for (const int64_t target : ExactTargets()) {
    Material material(250, 5, 60, 4);
    uint32_t refused = 0;
    constexpr uint32_t kTries = 400;
    for (uint32_t i = 0; i < kTries; ++i) {
      const uint32_t stage = i % kMaxStages;
      Coded coded = material.Encode(stage, kScalar);
      Random& random = *material.random();
      switch (random.Below(4)) {
        case 0:
          coded.words[random.Below(coded.words.size())] ^=
              1 + random.Below(255);
          break;
        case 1:
          coded.states[random.Below(kKltLanes)] ^= 1u << random.Below(16);
          break;
        case 2:
          coded.words.resize(coded.words.size() - 2);
          break;
        case 3:
          coded.signs.pop_back();
          break;
      }
      std::vector<int16_t> scalar, simd;
      const bool wanted = material.Decode(stage, coded, kScalar, &scalar);
      ChooseExactTarget(target);
      const bool whole = material.Decode(stage, coded, kSimd, &simd);
      ChooseExactTarget(0);
      ASSERT_EQ(whole, wanted) << i;
      if (whole) {
        ASSERT_EQ(simd, scalar);
      }
      refused += !whole;
    }
    EXPECT_GT(refused, kTries * 9 / 10);
  }
}

TEST(KltEntropyTest, RefusesMagnitudesThatAreTooLarge) {
  // A refined magnitude of 10923 or more is above 32767, whatever the symbol.
  const Material material(32, 1, 1, 1);
  const Coded coded = material.Encode(2, kScalar);
  for (const Loops& loops : {kScalar, kSimd}) {
    KltTables tables =
        MakeKltTables(MakeKltParts(OneChannelModel(), {.raw_first = 0}));
    for (const int16_t start : {int16_t{10922}, int16_t{10923}}) {
      // Symbol 1 of context 2 takes the slots in the middle.
      KltRows rows = material.Rows(2, 0);
      ASSERT_EQ(rows.count, 1u);
      std::vector<uint8_t> slack(2 * kKltSlackBytes);
      KltDecoder decoder{.words = slack.data(),
                         .word_count = 64,
                         .signs = slack.data(),
                         .sign_count = 64};
      std::fill_n(decoder.x, kKltLanes,
                  (1u << 20) + tables.Refining(rows.Table(0))[9].start());
      std::vector<int16_t> q(32, static_cast<int16_t>(-start));
      const bool whole =
          loops.decode_refining(tables, rows, &decoder, q.data());
      EXPECT_EQ(whole, start == 10922);
      if (whole) {
        EXPECT_EQ(q[31], -32767);
      }
    }
  }
}

}  // namespace
}  // namespace reprise
