// The loops of `exact`: scalar against what the format says, and every vector
// version against the scalar one, bit for bit, both ways.
#include "codec/exact_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/exact_simd.h"
#include "codec/exact_tables.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

enum class Data { kRandom, kLikeKv, kAllEscapes, kConstant, kOneSymbol };

ExactFrequencies RandomTable(Random* random) {
  std::array<uint64_t, kExactSymbols> counts{};
  const uint64_t centre = random->Below(kExactSymbols);
  const uint64_t spread = 1 + random->Below(20);
  for (int i = 0; i < 500; ++i) {
    const double at = static_cast<double>(centre) +
                      random->Normal() * static_cast<double>(spread);
    if (at >= 0 && at < kExactSymbols) ++counts[static_cast<size_t>(at)];
  }
  return FitExactFrequencies(counts);
}

// A stream with its tables, values and coded form.
struct Case {
  ExactStream stream;
  ExactTableSet set;
  std::unique_ptr<ExactChannels> lanes = std::make_unique<ExactChannels>();
  uint64_t stride = 0;
  Bytes rows;
};

void FillValues(Data data, Random* random, Case* c) {
  c->rows.assign(c->stride * c->stream.tokens, 0xee);
  const ExactSplit& split = c->stream.split;
  const uint32_t bytes = split.element_bytes;
  for (uint32_t t = 0; t < c->stream.tokens; ++t) {
    for (uint32_t i = 0; i < c->stream.channels; ++i) {
      uint32_t value = static_cast<uint32_t>(random->U64());
      const uint32_t offset = c->lanes->offset[i];
      const uint32_t raw = value & ((1u << split.raw_bits) - 1);
      uint32_t key = value & split.key_mask();
      if (data == Data::kLikeKv) {
        key = offset + 30 + static_cast<uint32_t>(random->Normal() * 6);
      } else if (data == Data::kAllEscapes) {
        key = offset + 63 + static_cast<uint32_t>(random->Below(20));
      } else if (data == Data::kOneSymbol) {
        key = offset + 31;
      }
      value =
          ExactValue((key & split.key_mask()) << split.raw_bits | raw, split);
      if (data == Data::kConstant) value = 0x3c3c3c3c;
      std::memcpy(c->rows.data() + t * c->stride + i * bytes, &value, bytes);
    }
  }
}

Case MakeCase(const ExactSplit& split, uint32_t tokens, uint32_t channels,
              Data data, uint64_t seed) {
  Random random(seed);
  Case c;
  c.stream.tokens = tokens;
  c.stream.channels = channels;
  c.stream.split = split;
  c.stream.lanes = c.lanes.get();
  const uint64_t tables = 1 + random.Below(kExactMaxTables);
  for (uint64_t i = 0; i < tables; ++i) {
    c.set.frequencies.push_back(RandomTable(&random));
  }
  BuildExactTables(&c.set);
  std::memset(c.lanes.get(), 0, sizeof *c.lanes);
  for (uint32_t i = 0; i < channels; ++i) {
    c.lanes->table_slot[i] =
        static_cast<uint32_t>(random.Below(tables)) * kExactSlots;
    c.lanes->offset[i] = static_cast<uint16_t>(random.U64() & split.key_mask());
  }
  c.stride = channels * split.element_bytes + random.Below(3) * 5;
  FillValues(data, &random, &c);
  return c;
}

struct Coded {
  Bytes states, words, raw;  // with slack
  uint32_t word_count = 0;

  ExactCoded parts() const {
    return {states.data(), words.data(), raw.data(), word_count};
  }
};

using EncodeLoop = decltype(&ExactEncode);
using DecodeLoop = decltype(&ExactDecode);

Coded Encode(const Case& c, EncodeLoop loop) {
  std::vector<uint16_t> words(ExactMaxWords(c.stream) + kExactSlackBytes);
  // Loops use aligned loads of what they stored there themselves.
  constexpr std::align_val_t kAligned{64};
  const size_t key_bytes = c.stream.rows() * kExactLanes * 2;
  auto* keys = static_cast<uint16_t*>(::operator new(key_bytes, kAligned));
  Coded coded;
  coded.raw.assign(c.stream.raw_bytes() + kExactSlackBytes, 0xaa);
  ExactEncodeOut out;
  out.words = words.data() + kExactSlackBytes;
  out.raw = coded.raw.data();
  out.keys = keys;
  coded.word_count =
      loop(c.stream, c.set.encode.data(), c.rows.data(), c.stride, &out);
  ::operator delete(keys, kAligned);
  coded.states.resize(4 * c.stream.states());
  std::memcpy(coded.states.data(), out.states, coded.states.size());
  coded.words.assign(coded.word_count * 2 + kExactSlackBytes, 0);
  std::memcpy(coded.words.data(),
              out.words + ExactMaxWords(c.stream) - coded.word_count,
              coded.word_count * 2);
  std::memset(coded.raw.data() + c.stream.raw_bytes(), 0, kExactSlackBytes);
  return coded;
}

ExactDecodeJob JobOf(const Case& c, const Coded& coded, uint8_t* rows) {
  return {c.stream, coded.parts(), c.set.decode.data(), rows, c.stride};
}

struct Decoded {
  bool whole = false;
  Bytes rows;
};

Decoded Decode(const Case& c, const Coded& coded, uint32_t tokens,
               DecodeLoop loop) {
  Decoded out;
  // As the original between and behind rows: nothing may be written there.
  out.rows.assign(c.rows.size(), 0xee);
  out.whole = loop(JobOf(c, coded, out.rows.data()), tokens);
  return out;
}

const std::vector<ExactSplit>& Splits() {
  static const auto* const splits = new std::vector<ExactSplit>{
      {2, 6, 6},  {2, 6, 5},   {2, 7, 7},   {2, 9, 9},   {2, 9, 8},
      {2, 10, 9}, {2, 10, 10}, {2, 11, 10}, {2, 3, 3},   {2, 12, 15},
      {2, 15, 0}, {2, 13, 1},  {4, 22, 21}, {4, 24, 24}, {4, 19, 31},
      {1, 2, 7},  {1, 0, 7},   {1, 2, 1},   {1, 7, 0},   {1, 3, 4}};
  return *splits;
}

// Calls check() once with each set of instructions that this machine has.
template <typename Check>
void OnEachTarget(const Check& check) {
  for (const int64_t target : ExactTargets()) {
    SCOPED_TRACE(ExactTargetName(target));
    ChooseExactTarget(target);
    check();
  }
  ChooseExactTarget(0);
}

TEST(ExactKernelTest, CodeAndValueAreInverse) {
  for (const ExactSplit& split : Splits()) {
    for (uint32_t value = 0; value < 1u << 16; ++value) {
      const uint32_t v = split.element_bytes == 1   ? value & 0xff
                         : split.element_bytes == 2 ? value
                                                    : value * 0x9e3779b1u;
      ASSERT_EQ(ExactValue(ExactCode(v, split), split), v);
    }
  }
}

TEST(ExactKernelTest, ScalarGivesBackEveryBit) {
  uint64_t seed = 1;
  for (const ExactSplit& split : Splits()) {
    for (const Data data : {Data::kRandom, Data::kLikeKv, Data::kAllEscapes,
                            Data::kConstant, Data::kOneSymbol}) {
      for (const uint32_t channels : {1u, 31u, 32u, 80u, 192u, 256u}) {
        ++seed;
        const Case c = MakeCase(split, 1 + seed * 7 % 64, channels, data, seed);
        const Coded coded = Encode(c, ExactEncodeScalar);
        const Decoded out =
            Decode(c, coded, c.stream.tokens, ExactDecodeScalar);
        ASSERT_TRUE(out.whole);
        ASSERT_EQ(out.rows, c.rows);
      }
    }
  }
}

TEST(ExactKernelTest, EachTargetEncodesTheSameBytes) {
  OnEachTarget([] {
    uint64_t seed = 1000;
    for (const ExactSplit& split : Splits()) {
      for (const Data data :
           {Data::kRandom, Data::kLikeKv, Data::kAllEscapes, Data::kConstant}) {
        for (const uint32_t channels : {5u, 32u, 33u, 100u, 192u, 256u}) {
          ++seed;
          const Case c =
              MakeCase(split, 1 + seed * 7 % 64, channels, data, seed);
          const Coded scalar = Encode(c, ExactEncodeScalar);
          const Coded vector = Encode(c, ExactEncode);
          ASSERT_EQ(vector.word_count, scalar.word_count);
          ASSERT_EQ(vector.states, scalar.states);
          ASSERT_EQ(vector.words, scalar.words);
          ASSERT_EQ(vector.raw, scalar.raw) << "w " << split.raw_bits;
        }
      }
    }
  });
}

TEST(ExactKernelTest, EachTargetDecodesTheSameBytes) {
  OnEachTarget([] {
    uint64_t seed = 2000;
    for (const ExactSplit& split : Splits()) {
      for (const Data data : {Data::kRandom, Data::kLikeKv, Data::kAllEscapes,
                              Data::kOneSymbol}) {
        for (const uint32_t channels : {5u, 32u, 33u, 100u, 192u, 256u}) {
          ++seed;
          const Case c =
              MakeCase(split, 1 + seed * 7 % 64, channels, data, seed);
          const Coded coded = Encode(c, ExactEncodeScalar);
          const Decoded out = Decode(c, coded, c.stream.tokens, ExactDecode);
          ASSERT_TRUE(out.whole);
          ASSERT_EQ(out.rows, c.rows) << "w " << split.raw_bits;
        }
      }
    }
  });
}

TEST(ExactKernelTest, PairsDecodeAsEachAlone) {
  OnEachTarget([] {
    Random random(6);
    for (uint64_t i = 0; i < 60; ++i) {
      const uint32_t tokens = 1 + static_cast<uint32_t>(random.Below(64));
      const uint32_t channels = 1 + static_cast<uint32_t>(random.Below(256));
      // Of one shape, and every third time of two.
      const Case a =
          MakeCase(Splits()[i % 6], tokens, channels, Data::kLikeKv, i);
      const Case b = MakeCase(Splits()[i % 20], tokens,
                              i % 3 ? channels : 1 + channels / 2,
                              i % 5 ? Data::kLikeKv : Data::kRandom, i + 100);
      const Coded coded_a = Encode(a, ExactEncodeScalar);
      Coded coded_b = Encode(b, ExactEncodeScalar);
      const bool damage = i % 4 == 0;
      if (damage) --coded_b.word_count;
      Bytes rows_a(a.rows.size(), 0xee);
      Bytes rows_b(b.rows.size(), 0xee);
      const ExactPairResult result =
          ExactDecodePair(JobOf(a, coded_a, rows_a.data()),
                          JobOf(b, coded_b, rows_b.data()), tokens);
      ASSERT_TRUE(result.first);
      ASSERT_EQ(rows_a, a.rows);
      ASSERT_EQ(result.second, !damage);
      if (!damage) {
        ASSERT_EQ(rows_b, b.rows);
      }
    }
  });
}

TEST(ExactKernelTest, FirstTokensOnlyLeaveTheRest) {
  OnEachTarget([] {
    const Case c = MakeCase({2, 6, 6}, 64, 192, Data::kLikeKv, 5);
    const Coded coded = Encode(c, ExactEncodeScalar);
    for (uint32_t tokens = 0; tokens < 64; ++tokens) {
      const Decoded out = Decode(c, coded, tokens, ExactDecode);
      ASSERT_TRUE(out.whole);
      Bytes wanted(c.rows.size(), 0xee);
      std::copy_n(c.rows.begin(), tokens * c.stride, wanted.begin());
      ASSERT_EQ(out.rows, wanted);
    }
  });
}

TEST(ExactKernelTest, DamageIsToldAlikeByAll) {
  Random random(77);
  int told = 0;
  for (int i = 0; i < 400; ++i) {
    const Case c = MakeCase(Splits()[random.Below(Splits().size())],
                            1 + static_cast<uint32_t>(random.Below(64)),
                            1 + static_cast<uint32_t>(random.Below(256)),
                            i % 2 ? Data::kLikeKv : Data::kAllEscapes, i);
    Coded coded = Encode(c, ExactEncodeScalar);
    if (i % 4 == 0) {
      coded.states[random.Below(coded.states.size())] ^= 1 << random.Below(8);
    } else if (i % 4 == 1) {
      coded.word_count += random.OneIn(2) ? 1 : -1;
    } else if (coded.word_count > 0) {
      coded.words[random.Below(coded.word_count * 2)] ^= 1 << random.Below(8);
    }
    const Decoded scalar = Decode(c, coded, c.stream.tokens, ExactDecodeScalar);
    told += !scalar.whole;
    OnEachTarget([&] {
      const Decoded vector = Decode(c, coded, c.stream.tokens, ExactDecode);
      ASSERT_EQ(vector.whole, scalar.whole);
    });
  }
  // Words that hold escaped keys may change unnoticed: checksums see that.
  EXPECT_GT(told, 200);
}

TEST(ExactTablesTest, FitKeepsTheRules) {
  Random random(3);
  for (int i = 0; i < 500; ++i) {
    std::array<uint64_t, kExactSymbols> counts{};
    const uint64_t used = random.Below(kExactSymbols + 1);
    for (uint64_t s = 0; s < used; ++s) {
      counts[s] = random.U64() >> (24 + random.Below(40));
    }
    const ExactFrequencies frequencies = FitExactFrequencies(counts);
    ByteWriter writer;
    for (uint16_t f : frequencies) writer.U16(f);
    ByteReader reader(writer.bytes());
    ExactFrequencies read;
    EXPECT_TRUE(ReadExactFrequencies(&reader, &read).ok());
    EXPECT_EQ(read, frequencies);
  }
}

TEST(ExactTablesTest, LogarithmsAreRight) {
  for (uint32_t x = 1; x <= 1024; ++x) {
    EXPECT_NEAR(ExactLog2(x) / 65536.0, std::log2(x), 2e-5);
  }
}

TEST(ExactTablesTest, RejectsWhatIsNoTable) {
  const auto read = [](const ExactFrequencies& frequencies) {
    ByteWriter writer;
    for (uint16_t f : frequencies) writer.U16(f);
    ByteReader reader(writer.bytes());
    ExactFrequencies out;
    return ReadExactFrequencies(&reader, &out).code();
  };
  ExactFrequencies table{};
  table[3] = 1000;
  table[kExactEscape] = 24;
  EXPECT_EQ(read(table), StatusCode::kOk);
  table[4] = 1;
  EXPECT_EQ(read(table), StatusCode::kDataLoss);
  table[4] = 0;
  table[3] = 1024;
  table[kExactEscape] = 0;
  EXPECT_EQ(read(table), StatusCode::kDataLoss);
  table[3] = 1000;
  table[5] = 24;
  EXPECT_EQ(read(table), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace reprise
