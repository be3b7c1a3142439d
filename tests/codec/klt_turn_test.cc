#include "codec/klt_turn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "codec/exact_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

void ForEachTarget(const std::function<void()>& test) {
  for (const int64_t target : ExactTargets()) {
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    ChooseExactTarget(target);
    test();
  }
  ChooseExactTarget(0);
}

// Equal bit for bit: zeros of different signs are not.
testing::AssertionResult Same(const std::vector<float>& a,
                              const std::vector<float>& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << "sizes";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return testing::AssertionFailure()
             << "at " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

std::vector<float> RandomFloats(uint64_t count, Random* random) {
  std::vector<float> out(count);
  for (float& x : out) x = static_cast<float>(random->Normal());
  return out;
}

// What the page says, in one expression an operation, with the compiler kept
// from fusing any of them.
KltTurn ByTheBook(uint64_t phase) {
  volatile double a, b, sum, product;
  const uint64_t quarter = ((phase >> 61) + 1) / 2 % 4;
  a = static_cast<double>(static_cast<int64_t>(phase - (quarter << 62)));
  a = a * (std::numbers::pi / 2 * 0x1p-62);
  b = a * a;
  const auto series = [&](int first, int count) {
    sum = 0;
    for (int k = count; k >= 0; --k) {
      double factorial = 1;
      for (int i = 2; i <= 2 * k + first; ++i) factorial *= i;
      product = b * sum;
      sum = (k % 2 == 0 ? 1.0 : -1.0) / factorial + product;
    }
    return static_cast<double>(sum);
  };
  const double cosine = series(0, 8);
  product = a * series(1, 7);
  const double sine = product;
  const double c[4] = {cosine, -sine, -cosine, sine};
  const double s[4] = {sine, cosine, -sine, -cosine};
  return {static_cast<float>(c[quarter]), static_cast<float>(s[quarter])};
}

std::vector<uint64_t> Phases() {
  std::vector<uint64_t> phases;
  for (uint64_t eighth = 0; eighth < 8; ++eighth) {
    for (uint64_t off = 0; off < 5; ++off) {
      phases.push_back((eighth << 61) + off - 2);
    }
  }
  Random random(1);
  for (int i = 0; i < 20000; ++i) phases.push_back(random.U64());
  return phases;
}

TEST(KltTurnTest, IsWhatThePageSays) {
  for (const uint64_t phase : Phases()) {
    const KltTurn turn = KltTurnOf(phase);
    const KltTurn wanted = ByTheBook(phase);
    EXPECT_EQ(std::memcmp(&turn.c, &wanted.c, sizeof turn.c), 0) << phase;
    EXPECT_EQ(std::memcmp(&turn.s, &wanted.s, sizeof turn.s), 0) << phase;
  }
}

// Half a unit in the last place of f32, and what f64 may be off by.
TEST(KltTurnTest, IsTheCosineAndSine) {
  for (const uint64_t phase : Phases()) {
    const KltTurn turn = KltTurnOf(phase);
    const long double angle = std::ldexp(static_cast<long double>(phase), -63) *
                              std::numbers::pi_v<long double>;
    EXPECT_NEAR(turn.c, std::cos(angle), 0x1p-25 + 1e-15) << phase;
    EXPECT_NEAR(turn.s, std::sin(angle), 0x1p-25 + 1e-15) << phase;
  }
}

TEST(KltTurnTest, QuartersAreExact) {
  EXPECT_EQ(KltTurnOf(0).c, 1);
  EXPECT_EQ(KltTurnOf(0).s, 0);
  EXPECT_EQ(KltTurnOf(uint64_t{1} << 62).c, 0);
  EXPECT_EQ(KltTurnOf(uint64_t{1} << 62).s, 1);
  EXPECT_EQ(KltTurnOf(uint64_t{2} << 62).c, -1);
  EXPECT_EQ(KltTurnOf(uint64_t{3} << 62).s, -1);
}

TEST(KltTurnTest, EveryInstructionSetHasTheSameTable) {
  ForEachTarget([] {
    Random random(2);
    for (const uint32_t pairs : {0u, 1u, 7u, 8u, 9u, 32u, 67u}) {
      std::vector<uint64_t> turns(pairs);
      for (uint64_t& turn : turns) turn = random.U64() >> random.Below(64);
      for (const uint32_t tokens : {1u, 63u, 64u}) {
        const KltTurnJob job{.turns = turns.data(),
                             .pairs = pairs,
                             .first_position = random.U64() >> random.Below(64),
                             .tokens = tokens};
        std::vector<float> c(pairs * tokens), s(c), c0(c), s0(c);
        KltTurnTable(job, c.data(), s.data());
        KltTurnTableScalar(job, c0.data(), s0.data());
        EXPECT_TRUE(Same(c, c0));
        EXPECT_TRUE(Same(s, s0));
        for (uint32_t t = 0; t < tokens; ++t) {
          for (uint32_t j = 0; j < pairs; ++j) {
            const KltTurn turn = ByTheBook((job.first_position + t) * turns[j]);
            ASSERT_EQ(c0[t * pairs + j], turn.c);
            ASSERT_EQ(s0[t * pairs + j], turn.s);
          }
        }
      }
    }
  });
}

// Phases in eighths of a turn sit on the series' borders; their neighbours
// round up and down when they become f64.
TEST(KltTurnTest, EveryInstructionSetHasTheSameBorders) {
  ForEachTarget([] {
    for (const uint64_t phase : Phases()) {
      const std::vector<uint64_t> turns(8, phase);
      std::vector<float> c(8), s(8);
      KltTurnTable(
          {.turns = turns.data(), .pairs = 8, .first_position = 1, .tokens = 1},
          c.data(), s.data());
      const KltTurn turn = KltTurnOf(phase);
      EXPECT_TRUE(Same(c, std::vector<float>(8, turn.c))) << phase;
      EXPECT_TRUE(Same(s, std::vector<float>(8, turn.s))) << phase;
    }
  });
}

struct Row {
  KltHeads shape;
  std::vector<float> cosines, sines, values;

  Row(KltPairing pairing, uint32_t dim, uint32_t pairs, Random* random)
      : shape{.pairing = pairing, .heads = 3, .dim = dim, .pairs = pairs},
        cosines(pairs),
        sines(pairs),
        values(RandomFloats(uint64_t{3} * dim, random)) {
    for (uint32_t j = 0; j < pairs; ++j) {
      const KltTurn turn = KltTurnOf(random->U64());
      cosines[j] = turn.c;
      sines[j] = turn.s;
    }
  }
};

void ForEachRow(const std::function<void(const Row&)>& test) {
  Random random(3);
  for (const KltPairing pairing :
       {KltPairing::kAdjacent, KltPairing::kHalves}) {
    for (const uint32_t pairs : {0u, 1u, 8u, 15u, 16u, 17u, 32u, 64u}) {
      for (const uint32_t rest : {0u, 1u, 16u}) {
        test(Row(pairing, 2 * pairs + rest + (pairs == 0), pairs, &random));
      }
    }
  }
}

TEST(KltTurnTest, TurnsPairsAsThePageSays) {
  ForEachRow([](const Row& row) {
    std::vector<float> turned = row.values;
    KltRotateScalar(row.shape, row.cosines.data(), row.sines.data(),
                    turned.data());
    const bool adjacent = row.shape.pairing == KltPairing::kAdjacent;
    std::vector<float> wanted = row.values;
    for (uint32_t h = 0; h < row.shape.heads; ++h) {
      const uint32_t head = h * row.shape.dim;
      for (uint32_t j = 0; j < row.shape.pairs; ++j) {
        const uint32_t at0 = head + (adjacent ? 2 * j : j);
        const uint32_t at1 =
            head + (adjacent ? 2 * j + 1 : j + row.shape.pairs);
        const float c = row.cosines[j];
        const float s = row.sines[j];
        volatile float product = row.values[at1] * s;
        wanted[at0] = std::fma(row.values[at0], c, -product);
        product = row.values[at0] * s;
        wanted[at1] = std::fma(row.values[at1], c, product);
      }
    }
    EXPECT_TRUE(Same(turned, wanted));
  });
}

TEST(KltTurnTest, EveryInstructionSetTurnsTheSame) {
  ForEachTarget([] {
    ForEachRow([](const Row& row) {
      const float* const c = row.cosines.data();
      const float* const s = row.sines.data();
      std::vector<float> turned = row.values, wanted = row.values;
      KltRotate(row.shape, c, s, turned.data());
      KltRotateScalar(row.shape, c, s, wanted.data());
      EXPECT_TRUE(Same(turned, wanted));
      KltUnrotate(row.shape, c, s, turned.data());
      KltUnrotateScalar(row.shape, c, s, wanted.data());
      EXPECT_TRUE(Same(turned, wanted));
      for (size_t i = 0; i < turned.size(); ++i) {
        EXPECT_NEAR(turned[i], row.values[i], 3e-6f);
      }
    });
  });
}

}  // namespace
}  // namespace reprise
