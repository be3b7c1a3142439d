#include "codec/segment.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace reprise {
namespace {

std::vector<TokenId> Tokens(size_t count, TokenId first = 0) {
  std::vector<TokenId> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

ModelId ExampleModel() {
  ModelId model;
  model.bytes.fill(0x11);
  return model;
}

// The definition, spelled out.
Sha256Digest Spelled(std::string_view tag, ByteView parent,
                     std::span<const TokenId> tokens, bool with_count) {
  ByteWriter writer;
  writer.Raw(AsBytes(tag));
  writer.Raw(parent);
  if (with_count) writer.U32(static_cast<uint32_t>(tokens.size()));
  for (TokenId token : tokens) writer.U32(static_cast<uint32_t>(token));
  return Sha256(writer.bytes());
}

TEST(SegmentTest, IdIsTheDigestOfTagParentAndTokens) {
  const auto tokens = Tokens(64, -3);
  const SegmentId root = RootSegmentId(ExampleModel());
  EXPECT_EQ(root.bytes, ExampleModel().bytes);
  EXPECT_EQ(ChildSegmentId(root, tokens).bytes,
            Spelled("reprise/segment/1", root.view(), tokens, false).bytes);
}

TEST(SegmentTest, TailIdIsTheDigestOfTagParentCountAndTokens) {
  const SegmentId root = RootSegmentId(ExampleModel());
  for (size_t count = 1; count < 64; ++count) {
    const auto tokens = Tokens(count, 7);
    EXPECT_EQ(TailId(root, tokens).bytes,
              Spelled("reprise/tail/1", root.view(), tokens, true).bytes);
  }
}

TEST(SegmentTest, IdsOfASequenceAreChained) {
  const auto tokens = Tokens(64 * 3 + 5);
  const std::vector<SegmentId> ids = SegmentIdsOf(ExampleModel(), tokens);
  ASSERT_EQ(ids.size(), 3u);
  SegmentId parent = RootSegmentId(ExampleModel());
  for (size_t i = 0; i < ids.size(); ++i) {
    parent = ChildSegmentId(parent, std::span(tokens).subspan(64 * i, 64));
    EXPECT_EQ(ids[i], parent);
  }
  EXPECT_TRUE(SegmentIdsOf(ExampleModel(), Tokens(63)).empty());
}

TEST(SegmentTest, OneChangedTokenChangesItsIdAndAllThatFollow) {
  auto tokens = Tokens(64 * 4);
  const std::vector<SegmentId> ids = SegmentIdsOf(ExampleModel(), tokens);
  tokens[64 + 17] ^= 1;
  const std::vector<SegmentId> changed = SegmentIdsOf(ExampleModel(), tokens);
  EXPECT_EQ(changed[0], ids[0]);
  for (size_t i = 1; i < 4; ++i) EXPECT_NE(changed[i], ids[i]);
}

TEST(SegmentTest, ModelsTailsAndSegmentsNeverShareAName) {
  const auto tokens = Tokens(64);
  ModelId other;
  other.bytes.fill(0x12);
  const std::set<SegmentId> ids = {
      SegmentIdsOf(ExampleModel(), tokens)[0],
      SegmentIdsOf(other, tokens)[0],
      TailId(RootSegmentId(ExampleModel()), std::span(tokens).first(63)),
      TailId(RootSegmentId(ExampleModel()), std::span(tokens).first(62)),
      TailId(RootSegmentId(other), std::span(tokens).first(63)),
  };
  EXPECT_EQ(ids.size(), 5u);
}

// The worked examples of docs/format/keys.md.
TEST(SegmentTest, MatchesTheWorkedExamples) {
  const auto tokens = Tokens(130);
  const std::vector<SegmentId> ids = SegmentIdsOf(ExampleModel(), tokens);
  EXPECT_EQ(ids[0].Hex(),
            "b189e3a05feb5002c3b883d0e34985a2a563a9642a6d51d3d992bf217e7913b1");
  EXPECT_EQ(ids[1].Hex(),
            "a0b0a7c7f4c43a93e9f5b8261634a06e99c4894353b86d3057cac01520d2b7fc");
  EXPECT_EQ(TailId(ids[1], std::span(tokens).subspan(128)).Hex(),
            "72aa1231c7203a464b61aae9fa853402b4efc0c39bbf501720f47e8efb287855");
}

}  // namespace
}  // namespace reprise
