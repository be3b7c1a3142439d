#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>

namespace reprise {
namespace {

// FIPS 180-4's examples.
TEST(Sha256Test, GivesTheStandardsDigests) {
  EXPECT_EQ(Sha256({}).Hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256(AsBytes("abc")).Hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(
      Sha256(
          AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))
          .Hex(),
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256Test, StreamEqualsOneBufferHoweverItIsCut) {
  const std::string text(200, 'x');
  const Sha256Digest whole = Sha256(AsBytes(text));
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256Stream stream;
    stream.Update(AsBytes(text).first(cut));
    stream.Update(AsBytes(text).subspan(cut));
    EXPECT_EQ(stream.Finish(), whole) << cut;
  }
}

TEST(Sha256Test, StreamStartsAnewAfterFinish) {
  Sha256Stream stream;
  stream.Update(AsBytes("first"));
  stream.Finish();
  stream.Update(AsBytes("abc"));
  EXPECT_EQ(stream.FinishAs<CommitId>().bytes, Sha256(AsBytes("abc")).bytes);
}

TEST(Sha256Test, StreamCanBeMoved) {
  Sha256Stream first;
  first.Update(AsBytes("ab"));
  Sha256Stream second = std::move(first);
  second.Update(AsBytes("c"));
  EXPECT_EQ(second.Finish(), Sha256(AsBytes("abc")));
}

// The values of the XXH3 reference, seed 0; stored checksums rely on them.
TEST(ChecksumTest, GivesTheReferencesValues) {
  EXPECT_EQ(Checksum({}), 0x2d06800538d394c2ull);
  EXPECT_EQ(Checksum(AsBytes("abc")), 0x78af5f94892f3950ull);
}

TEST(ChecksumTest, TwoBuffersCountAsOne) {
  const std::string text(1000, 'y');
  for (size_t cut : {0, 1, 16, 240, 241, 999, 1000}) {
    EXPECT_EQ(Checksum(AsBytes(text).first(cut), AsBytes(text).subspan(cut)),
              Checksum(AsBytes(text)))
        << cut;
  }
}

TEST(ChecksumTest, SeesEveryFlippedBit) {
  Bytes bytes(300, 0x5a);
  const uint64_t before = Checksum(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_NE(Checksum(bytes), before) << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
}

TEST(DigestIdTest, HexRoundTrips) {
  const auto id = Sha256(AsBytes("abc"));
  const Result<Sha256Digest> back = IdFromHex<Sha256Digest>(id.Hex());
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, id);
  EXPECT_EQ(id.ShortHex(), "ba7816bf8f01");
}

TEST(DigestIdTest, RejectsHexOfAnotherLength) {
  const std::string hex(62, '0');
  EXPECT_TRUE(
      IdFromHex<ModelId>(hex).status().Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(IdFromHex<ModelId>(hex + "0000")
                  .status()
                  .Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(
      IdFromHex<ModelId>(hex + "zz").status().Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(IdFromHex<ModelId>(hex + "00").ok());
}

TEST(DigestIdTest, ZeroIsKnown) {
  EXPECT_TRUE(ModelId().IsZero());
  ModelId id;
  id.bytes[31] = 1;
  EXPECT_FALSE(id.IsZero());
  EXPECT_LT(ModelId(), id);
}

TEST(DigestIdTest, ReadsFromBytes) {
  const Sha256Digest digest = Sha256(AsBytes("abc"));
  ByteReader reader(digest.view());
  EXPECT_EQ(ReadId<SegmentId>(&reader).bytes, digest.bytes);
  EXPECT_TRUE(reader.Finish("id").ok());
  EXPECT_TRUE(ReadId<SegmentId>(&reader).IsZero());
  EXPECT_TRUE(reader.failed());
}

TEST(DigestIdTest, IdsOfDifferentThingsDoNotMix) {
  static_assert(!std::is_convertible_v<ModelId, SegmentId>);
  static_assert(!std::is_convertible_v<Sha256Digest, CommitId>);
}

TEST(DigestIdTest, KeysAHashTable) {
  std::unordered_set<Sha256Digest, DigestHash> set;
  for (int i = 0; i < 100; ++i) set.insert(Sha256(AsBytes(std::to_string(i))));
  EXPECT_EQ(set.size(), 100u);
  EXPECT_TRUE(set.contains(Sha256(AsBytes("42"))));
}

}  // namespace
}  // namespace reprise
