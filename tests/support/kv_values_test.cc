#include "tests/support/kv_values.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/model_specs.h"

namespace reprise {
namespace {

std::string Stored(DType dtype, double value) {
  uint8_t bytes[4] = {};
  StoreElement(dtype, value, bytes);
  return ToHex(ByteView(bytes).first(DTypeBytes(dtype)));
}

TEST(KvValuesTest, ElementsAreTheNearestFromBelow) {
  EXPECT_EQ(Stored(DType::kF32, 1.0), "0000803f");
  EXPECT_EQ(Stored(DType::kF32, -0.1), "cccccc" + std::string("bd"));
  EXPECT_EQ(Stored(DType::kBf16, -1.5), "c0bf");
  EXPECT_EQ(Stored(DType::kF16, 1.0), "003c");
  EXPECT_EQ(Stored(DType::kF16, 0x1p-24), "0100");  // smallest denormal
  EXPECT_EQ(Stored(DType::kF16, 0x1p-14), "0004");  // smallest normal
  EXPECT_EQ(Stored(DType::kF16, 1e9), "ff7b");      // largest finite
  EXPECT_EQ(Stored(DType::kF8E4M3, 1.0), "38");
  EXPECT_EQ(Stored(DType::kF8E5M2, -1.75), "bf");
  EXPECT_EQ(Stored(DType::kF16, -0.0), "0080");
}

TEST(KvValuesTest, AHeadRangeGetsTheValuesOfTheWhole) {
  const ModelSpec spec = GqaModel();
  const auto whole = *SlicePlanes(spec, {0, 1}, HeadRange::All());
  const auto part = *SlicePlanes(spec, {0, 1}, {2, 1, 4});
  KvRows all(whole, 70);
  KvRows some(part, 3);
  all.Fill(KvKind::kTypical, 5, 0);
  some.Fill(KvKind::kTypical, 5, 66);
  for (size_t i = 0; i < part.size(); ++i) {
    const uint64_t skipped = uint64_t{part[i].channel_first()} * 2;
    EXPECT_TRUE(
        BytesEqual(some.RowView(i, 1),
                   all.RowView(i, 67).subspan(skipped, part[i].token_bytes())));
  }
}

TEST(KvValuesTest, GuardsSeeOneByteOutsideTheRows) {
  const ModelSpec spec = TinyModel();
  const auto slices = *SlicePlanes(spec, {0, 2}, HeadRange::All());
  const uint64_t row_bytes = slices[0].token_bytes();
  KvRows rows(slices, 4, 8);
  rows.Fill(KvKind::kZero, 1, 0);
  EXPECT_TRUE(rows.GuardsAreWhole(4));
  EXPECT_FALSE(rows.GuardsAreWhole(3));
  for (const auto& [token, offset] :
       {std::pair<uint32_t, int64_t>{0, -1},
        {0, static_cast<int64_t>(row_bytes)},
        {2, static_cast<int64_t>(row_bytes) + 7},
        {3, static_cast<int64_t>(row_bytes) + 8}}) {
    uint8_t* const byte = rows.Row(1, token) + offset;
    *byte ^= 1;
    EXPECT_FALSE(rows.GuardsAreWhole(4)) << token << " " << offset;
    *byte ^= 1;
  }
}

TEST(KvValuesTest, UnpackUndoesPacked) {
  const ModelSpec spec = MixedModel();
  const auto slices = *SlicePlanes(spec, {0, 5}, HeadRange::All());
  KvRows rows(slices, 3, 5);
  rows.Fill(KvKind::kAnyBits, 1, 0);
  KvRows other(slices, 3);
  other.Unpack(rows.Packed());
  EXPECT_EQ(other.Packed(), rows.Packed());
}

}  // namespace
}  // namespace reprise
