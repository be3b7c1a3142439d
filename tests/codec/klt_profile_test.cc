// Profiles of `klt`: each rule of the format, and what is read back.
#include "codec/klt_profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/hash.h"
#include "tests/support/klt_cases.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

KltProfileParts SmallParts() {
  const ModelSpec spec = PlainModel("small", 4, 3, 10, DType::kF16);
  return MakeKltParts(spec, {.layers = 2, .lead_divisor = 2});
}

// Makes size and checksum right again: what a wrong trainer writes.
void Reseal(Bytes* bytes) {
  StoreLe<uint64_t>(bytes->data() + 16, bytes->size());
  StoreLe<uint64_t>(bytes->data() + 24, Checksum(ByteView(*bytes).first(24),
                                                 ByteView(*bytes).subspan(32)));
}

TEST(KltProfileTest, WhatIsWrittenIsReadBack) {
  for (const NamedModel& model : AllTestModels()) {
    for (const uint32_t lead_divisor : {0u, 4u}) {
      SCOPED_TRACE(model.name);
      const KltProfileParts parts =
          MakeKltParts(model.spec, {.layers = 2, .lead_divisor = lead_divisor});
      ASSERT_EQ(CheckKltProfile(parts).ToString(), "OK");
      const Bytes bytes = EncodeKltProfile(parts);
      const Result<KltProfileParts> read = DecodeKltProfile(bytes);
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      EXPECT_TRUE(*read == parts);
      const auto profile = KltProfile::Parse(bytes);
      ASSERT_TRUE(profile.ok());
      EXPECT_EQ((*profile)->id().bytes, Sha256(bytes).bytes);
      EXPECT_EQ((*profile)->weights(), model.spec.weights_hash);
      EXPECT_EQ((*profile)->kind(), KltProfileKind::kStatistics);
      EXPECT_EQ((*profile)->notes(), parts.notes);
      EXPECT_EQ((*profile)->groups().size(), parts.groups.size());
    }
  }
}

TEST(KltProfileTest, NeverReadsCutOrFlippedBytes) {
  const Bytes bytes = EncodeKltProfile(SmallParts());
  for (size_t size = 0; size < bytes.size(); size += size < 2000 ? 1 : 97) {
    const Status status =
        DecodeKltProfile(ByteView(bytes).first(size)).status();
    ASSERT_TRUE(status.Is(StatusCode::kDataLoss)) << size;
  }
  Bytes changed = bytes;
  for (size_t i = 0; i < bytes.size(); i += i < 2000 ? 1 : 89) {
    changed[i] ^= 0x40;
    ASSERT_TRUE(DecodeKltProfile(changed).status().Is(StatusCode::kDataLoss))
        << i;
    changed[i] ^= 0x40;
  }
}

TEST(KltProfileTest, RefusesNewerVersionsAndWhatFollows) {
  Bytes bytes = EncodeKltProfile(SmallParts());
  bytes[8] = 2;
  Reseal(&bytes);
  EXPECT_TRUE(DecodeKltProfile(bytes).status().Is(StatusCode::kUnimplemented));
  bytes[8] = 1;
  bytes.push_back(0);
  Reseal(&bytes);
  EXPECT_TRUE(DecodeKltProfile(bytes).status().Is(StatusCode::kDataLoss));
}

struct Wrong {
  const char* name;  // what the message says
  std::function<void(KltProfileParts*)> make;
};

// The parts are written as they are wrong, and read.
void ExpectRefused(const Wrong& wrong) {
  SCOPED_TRACE(wrong.name);
  KltProfileParts parts = SmallParts();
  ASSERT_EQ(CheckKltProfile(parts).ToString(), "OK");
  wrong.make(&parts);
  const Status checked = CheckKltProfile(parts);
  EXPECT_TRUE(checked.Is(StatusCode::kDataLoss)) << checked.ToString();
  EXPECT_NE(checked.message().find(wrong.name), std::string::npos)
      << checked.ToString();
  const Status read = DecodeKltProfile(EncodeKltProfile(parts)).status();
  EXPECT_TRUE(read.Is(StatusCode::kDataLoss)) << read.ToString();
}

TEST(KltProfileTest, KeepsTheRulesOfItsHeader) {
  using Parts = KltProfileParts;
  const Wrong all[] = {
      {"rotary dims", [](Parts* p) { p->rotary_dims = 0, p->turns.clear(); }},
      {"turns", [](Parts* p) { p->turns.push_back(1); }},
      {"rotary dims",
       [](Parts* p) { p->rotary_dims = 4098, p->turns.resize(2049); }},
      {"odd", [](Parts* p) { p->rotary_dims = 9, p->turns.resize(4); }},
      {"step", [](Parts* p) { p->step = 0x1p-41; }},
      {"step", [](Parts* p) { p->step = 0x1p41; }},
      {"step", [](Parts* p) { p->step = std::nan(""); }},
      {"kind", [](Parts* p) { p->kind = static_cast<KltProfileKind>(2); }},
      {"raw first", [](Parts* p) { p->raw_first = 65; }},
      {"lo1", [](Parts* p) { p->lo1 = p->lo0 + 6; }},
      {"tables of stage 0", [](Parts* p) { p->magnitudes.clear(); }},
      {"tables of stage 0",
       [](Parts* p) { p->magnitudes.resize(65, p->magnitudes[0]); }},
      {"refining tables", [](Parts* p) { p->refining.clear(); }},
      {"refining tables",
       [](Parts* p) { p->refining.resize(65, p->refining[0]); }},
      {"largest exponent", [](Parts* p) { p->largest_exponent = 16; }},
      {"least exponent",
       [](Parts* p) { p->least_exponent = 4, p->largest_exponent = 3; }},
      {"exponent of sens", [](Parts* p) { p->sensitivity_exponent = 4.5f; }},
      {"exponent of sens",
       [](Parts* p) { p->sensitivity_exponent = std::nanf(""); }},
      {"notes", [](Parts* p) { p->notes.resize(65537, ' '); }},
  };
  for (const Wrong& wrong : all) ExpectRefused(wrong);
}

TEST(KltProfileTest, KeepsTheRulesOfPlanesAndTables) {
  using Parts = KltProfileParts;
  const Wrong all[] = {
      {"stands after", [](Parts* p) { std::swap(p->planes[0], p->planes[1]); }},
      {"stands after", [](Parts* p) { p->planes[1] = p->planes[0]; }},
      {"layer", [](Parts* p) { p->planes.back().layer = 1024; }},
      {"index", [](Parts* p) { p->planes.back().plane = 16; }},
      {"heads", [](Parts* p) { p->planes[0].heads = 0; }},
      {"heads", [](Parts* p) { p->planes[0].heads = 1025; }},
      {"dim", [](Parts* p) { p->planes[1].dim = 0; }},
      {"dim", [](Parts* p) { p->planes[0].dim = 8; }},  // below R
      {"dim", [](Parts* p) { p->planes[0].dim = 4097; }},
      {"sum of the exponents", [](Parts* p) { ++p->exponents[3]; }},
      {"frequency of an exponent",
       [](Parts* p) {
         p->exponents[4] += p->exponents[3], p->exponents[3] = 0;
       }},
      {"sum of the magnitudes", [](Parts* p) { ++p->magnitudes[5][0]; }},
      {"escape",
       [](Parts* p) {
         auto& table = p->magnitudes[5];
         table[0] = static_cast<uint16_t>(table[0] + table[63]);
         table[63] = 0;
       }},
      {"frequency of a magnitude",
       [](Parts* p) { p->magnitudes[0].fill(0), p->magnitudes[0][63] = 4096; }},
      {"+1", [](Parts* p) { p->refining[1][0][0] = 0; }},
      {"+1", [](Parts* p) { p->refining[1][0][0] = 4096; }},
      {"-1", [](Parts* p) { p->refining[1][0][1] = 1; }},
      {"-1", [](Parts* p) { p->refining[1][1][1] = 0; }},
      {"-1",
       [](Parts* p) {
         p->refining[1][2] = {2048, 2048};
       }},
  };
  for (const Wrong& wrong : all) ExpectRefused(wrong);
}

TEST(KltProfileTest, KeepsTheRulesOfGroups) {
  using Parts = KltProfileParts;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Wrong all[] = {
      {"number of groups", [](Parts* p) { p->groups.clear(); }},
      {"planes in groups", [](Parts* p) { p->groups.pop_back(); }},
      {"planes before",
       [](Parts* p) { std::swap(p->groups[0], p->groups[1]); }},
      {"layer count", [](Parts* p) { p->groups[1].layer_count = 0; }},
      {"layer count", [](Parts* p) { p->groups[1].layer_count = 1023; }},
      {"n of a group", [](Parts* p) { --p->groups[0].layer_count; }},
      {"planes before", [](Parts* p) { p->groups.erase(p->groups.begin()); }},
      {"lead", [](Parts* p) { p->groups[0].lead = 33; }},
      {"lead", [](Parts* p) { p->groups[0].lead = 4096; }},
      {"mean", [](Parts* p) { p->groups[0].mu[7] = kInfinity; }},
      {"mean", [](Parts* p) { p->groups[0].mu[7] = -0x1.1p40f; }},
      {"dec", [](Parts* p) { p->groups[0].dec[7] = 0; }},
      {"dec", [](Parts* p) { p->groups[0].dec[7] = 0x1.1p40f; }},
      {"enc", [](Parts* p) { p->groups[1].enc[0] = -1; }},
      {"weight",
       [](Parts* p) { p->groups[1].regressor.by_channel[0] = kInfinity; }},
      {"weight",
       [](Parts* p) { p->groups[1].regressor.by_norm[0] = std::nanf(""); }},
      {"weight",
       [](Parts* p) { p->groups[1].regressor.by_position = kInfinity; }},
      {"weight", [](Parts* p) { p->groups[1].regressor.constant = kInfinity; }},
      {"level",
       [](Parts* p) { p->groups[0].levels[1] = 1 + p->groups[0].levels[0]; }},
      {"hi", [](Parts* p) { p->groups[0].hi[5] = -128; }},
      {"lo", [](Parts* p) { p->groups[0].lo.back() = -128; }},
  };
  for (const Wrong& wrong : all) ExpectRefused(wrong);
}

TEST(KltProfileTest, RefusesReservedBytesAndPadding) {
  const KltProfileParts parts = SmallParts();
  const Bytes bytes = EncodeKltProfile(parts);
  ASSERT_EQ(parts.groups[0].rows() % 4, 0u);  // 120 channels
  const uint64_t group =
      128 + 8 * parts.turns.size() + 12 * parts.planes.size() + 32 +
      128 * parts.magnitudes.size() + 12 * parts.refining.size();
  for (const uint64_t at : {uint64_t{96}, uint64_t{127}, group + 12}) {
    Bytes changed = bytes;
    changed[at] = 1;
    Reseal(&changed);
    const Status status = DecodeKltProfile(changed).status();
    EXPECT_TRUE(status.Is(StatusCode::kDataLoss)) << at;
    EXPECT_NE(status.message().find("reserved"), std::string::npos);
  }
  // Of 3 x 3 limbs, 3 bytes of padding and, before, of one level.
  const Bytes dummy = EncodeKltProfile(MakeKltParts(OpaqueModel(), {}));
  const KltProfileParts small = *DecodeKltProfile(dummy);
  const uint64_t end = dummy.size() - small.notes.size();
  for (const uint64_t at : {end - 1, end - 12 - 1}) {
    Bytes changed = dummy;
    ASSERT_EQ(changed[at], 0);
    changed[at] = 1;
    Reseal(&changed);
    const Status status = DecodeKltProfile(changed).status();
    EXPECT_NE(status.message().find("padding"), std::string::npos)
        << status.ToString();
  }
}

}  // namespace
}  // namespace reprise
