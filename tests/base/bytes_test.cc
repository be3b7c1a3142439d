#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace reprise {
namespace {

TEST(HexTest, RoundTripsEveryByte) {
  Bytes all(256);
  for (int i = 0; i < 256; ++i) all[i] = static_cast<uint8_t>(i);
  const std::string hex = ToHex(all);
  EXPECT_EQ(hex.substr(0, 8), "00010203");
  EXPECT_EQ(hex.substr(508), "feff");
  const Result<Bytes> back = FromHex(hex);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, all);
}

TEST(HexTest, ReadsUpperCase) {
  const Result<Bytes> bytes = FromHex("AbCD");
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(*bytes, (Bytes{0xab, 0xcd}));
}

TEST(HexTest, RejectsWhatIsNotHex) {
  for (const char* bad : {"0", "abc", "0g", "g0", " 0", "0x"}) {
    EXPECT_TRUE(FromHex(bad).status().Is(StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(BytesTest, EqualComparesLengthAndContent) {
  EXPECT_TRUE(BytesEqual({}, {}));
  EXPECT_TRUE(BytesEqual(AsBytes("ab"), AsBytes("ab")));
  EXPECT_FALSE(BytesEqual(AsBytes("ab"), AsBytes("ac")));
  EXPECT_FALSE(BytesEqual(AsBytes("ab"), AsBytes("abc")));
  EXPECT_EQ(AsText(AsBytes("ab")), "ab");
}

TEST(BytesTest, CheckedArithmeticSeesOverflow) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  uint64_t out = 0;
  EXPECT_TRUE(CheckedMul(1ull << 32, (1ull << 32) - 1, &out));
  EXPECT_EQ(out, kMax - (1ull << 32) + 1);
  EXPECT_FALSE(CheckedMul(1ull << 32, 1ull << 32, &out));
  EXPECT_TRUE(CheckedAdd(kMax - 1, 1, &out));
  EXPECT_EQ(out, kMax);
  EXPECT_FALSE(CheckedAdd(kMax, 1, &out));
}

TEST(ByteWriterTest, WritesLittleEndian) {
  ByteWriter writer;
  writer.U8(1);
  writer.U16(0x0203);
  writer.U32(0x04050607);
  writer.U64(0x08090a0b0c0d0e0full);
  EXPECT_EQ(ToHex(writer.bytes()),
            "01030207060504"
            "0f0e0d0c0b0a0908");
}

TEST(ByteWriterTest, AlignsWithZeros) {
  ByteWriter writer;
  writer.Align(8);
  EXPECT_EQ(writer.size(), 0u);
  writer.U8(0xff);
  writer.Align(8);
  EXPECT_EQ(ToHex(writer.bytes()), "ff00000000000000");
  writer.Align(8);
  EXPECT_EQ(writer.size(), 8u);
}

TEST(ByteWriterTest, FieldsCanBePatched) {
  ByteWriter writer;
  writer.U32(0);
  writer.Raw(AsBytes("body"));
  StoreLe<uint32_t>(writer.At(0), 4);
  EXPECT_EQ(ToHex(writer.Take()), "04000000626f6479");
}

TEST(ByteReaderTest, ReadsWhatWasWritten) {
  ByteWriter writer;
  writer.U8(200);
  writer.U16(60000);
  writer.U32(4'000'000'000);
  writer.U64(1ull << 63);
  writer.F32(-0.5f);
  writer.F64(1e300);
  writer.Text16("name");
  writer.Raw(AsBytes("raw"));
  ByteReader reader(writer.bytes());
  EXPECT_EQ(reader.U8(), 200);
  EXPECT_EQ(reader.U16(), 60000);
  EXPECT_EQ(reader.U32(), 4'000'000'000u);
  EXPECT_EQ(reader.U64(), 1ull << 63);
  EXPECT_EQ(reader.F32(), -0.5f);
  EXPECT_EQ(reader.F64(), 1e300);
  EXPECT_EQ(reader.Text16(), "name");
  EXPECT_EQ(AsText(reader.View(3)), "raw");
  EXPECT_EQ(reader.left(), 0u);
  EXPECT_TRUE(reader.Finish("record").ok());
}

TEST(ByteReaderTest, StaysFailedAfterAReadPastTheEnd) {
  const Bytes three = {1, 2, 3};
  ByteReader reader(three);
  EXPECT_EQ(reader.U32(), 0u);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.U8(), 0);
  EXPECT_TRUE(reader.View(1).empty());
  EXPECT_EQ(reader.position(), 0u);
  const Status status = reader.Finish("record");
  EXPECT_TRUE(status.Is(StatusCode::kDataLoss));
  EXPECT_EQ(status.message(),
            "record: 3 bytes are left at byte 0, 4 are wanted");
}

TEST(ByteReaderTest, EveryTruncationFails) {
  ByteWriter writer;
  writer.U64(1);
  writer.Text16("text");
  writer.U16(2);
  for (size_t size = 0; size < writer.size(); ++size) {
    ByteReader reader(ByteView(writer.bytes()).first(size));
    reader.U64();
    reader.Text16();
    reader.U16();
    EXPECT_TRUE(reader.Finish("record").Is(StatusCode::kDataLoss)) << size;
  }
}

TEST(ByteReaderTest, ViewOfAHugeLengthFails) {
  const Bytes three = {1, 2, 3};
  ByteReader reader(three);
  reader.U8();
  EXPECT_TRUE(reader.View(std::numeric_limits<uint64_t>::max()).empty());
  EXPECT_TRUE(reader.failed());
}

TEST(ByteReaderTest, CopyAfterAFailureGivesZeros) {
  const Bytes three = {1, 2, 3};
  ByteReader reader(three);
  uint8_t out[4] = {9, 9, 9, 9};
  reader.Copy(out);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(ToHex(out), "00000000");
}

TEST(ByteReaderTest, BytesLeftOverFailFinishButNotCheck) {
  const Bytes three = {1, 2, 3};
  ByteReader reader(three);
  reader.U8();
  EXPECT_TRUE(reader.Check("record").ok());
  EXPECT_EQ(reader.Finish("record").message(),
            "record: 2 bytes after its end at byte 1");
}

TEST(ByteReaderTest, AnEmptyViewIsFinished) {
  ByteReader reader({});
  EXPECT_TRUE(reader.View(0).empty());
  EXPECT_TRUE(reader.Finish("nothing").ok());
}

}  // namespace
}  // namespace reprise
