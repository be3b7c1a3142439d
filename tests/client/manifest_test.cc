#include "client/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "api/metadata.h"
#include "base/limits.h"
#include "client/save_planner.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class ManifestTest : public testing::Test {
 protected:
  // Two segments and a tail of 22, of two layer groups, each of whose frames
  // holds all heads.
  ManifestTest() {
    manifest_.model = model_;
    manifest_.version = {1, 2, CommitId{{3}}};
    manifest_.token_count = tokens_.size();
    manifest_.pending = {7, 8};
    for (uint32_t i = 0; i < chain_.item_count(); ++i) {
      ManifestSegment segment;
      segment.id = chain_.id(i);
      segment.first_token = chain_.first_token(i);
      const auto tokens = chain_.tokens_of(i);
      segment.tokens.assign(tokens.begin(), tokens.end());
      segment.token_count = static_cast<uint32_t>(tokens.size());
      segment.tier = segment.basis = Tier::kExact;
      for (const LayerGroup& group : groups_) {
        segment.frames.push_back({0, group, {}, 1000 + i, 17});
      }
      manifest_.segments.push_back(segment);
    }
    checks_ = {.model = model_, .groups = &groups_};
  }

  ManifestSegment& segment(size_t i) { return manifest_.segments[i]; }

  // Checks the manifest, which must be refused.
  void ExpectRefused(StatusCode code, std::string_view text) {
    const Status status = CheckManifest(checks_, &manifest_);
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_EQ(status.message(), text);
  }
  // The tiers of its segments after a check that finds nothing.
  std::vector<Tier> TiersAfterCheck() {
    const Status status = CheckManifest(checks_, &manifest_);
    EXPECT_TRUE(status.ok()) << status.ToString();
    std::vector<Tier> tiers;
    for (const ManifestSegment& s : manifest_.segments) tiers.push_back(s.tier);
    return tiers;
  }

  const ModelSpec spec_ = PlainModel("manifest", 2, 8, 128, DType::kBf16);
  const ModelId model_ = ModelIdOf(spec_);
  const std::vector<LayerGroup> groups_ = LayerGroupsOf(spec_);
  const std::vector<TokenId> tokens_ = ToyTokens(1, 150);
  const TokenChain chain_{model_, tokens_};
  const std::vector<Tier> all_exact_{3, Tier::kExact};
  Manifest manifest_;
  ManifestChecks checks_;
};

TEST_F(ManifestTest, WhatIsRightPasses) {
  checks_.tokens = tokens_;
  checks_.commit = CommitId{{3}};
  checks_.most_tokens = 150;
  EXPECT_EQ(TiersAfterCheck(), all_exact_);
  const RestoreInfo info = InfoOf(manifest_, 0);
  EXPECT_EQ(info.tokens, tokens_);
  EXPECT_EQ(info.pending, manifest_.pending);
  EXPECT_EQ(info.bytes_to_move, 2u * (1000 + 1001 + 1002));
  EXPECT_EQ(info.ranges, (std::vector<TierRange>{{0, 150}}));
}

TEST_F(ManifestTest, RejectsAnotherState) {
  checks_.commit = CommitId{{4}};
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: of commit " + CommitId{{3}}.ShortHex() +
                    ", asked for is " + CommitId{{4}}.ShortHex());
  checks_.commit = CommitId();
  checks_.most_tokens = 149;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: of 150 tokens, asked for are 149");
}

TEST_F(ManifestTest, RejectsSegmentsThatDoNotFollow) {
  segment(1).first_token = 128;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: segment at 128 stands where the one at 64 should");
  segment(1).first_token = 64;
  segment(1).token_count = 60;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: segment at 64 has 60 tokens of 64, but is not the "
                "last");
  segment(1).token_count = 65;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: segment at 64 counts 65 of its 64 tokens");
  segment(1).token_count = 64;
  segment(2).token_count = 0;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: segment at 128 counts 0 of its 22 tokens");
}

TEST_F(ManifestTest, RejectsAnEndThatIsNotTheStates) {
  manifest_.token_count = 151;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: its segments end at 150, the tokens asked for at "
                "151");
  manifest_.token_count = 140;
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: its segments end at 150, the tokens asked for at "
                "140");
  manifest_.token_count = 150;
  manifest_.segments.clear();
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: its segments end at 0, the tokens asked for at 150");
  checks_.first_token = 192;  // past the end: nothing is wanted
  EXPECT_TRUE(CheckManifest(checks_, &manifest_).ok());
}

TEST_F(ManifestTest, RejectsNamesAndTokensThatDiffer) {
  std::vector<TokenId> given = tokens_;
  ++given[130];
  checks_.tokens = given;
  ExpectRefused(StatusCode::kFailedPrecondition,
                "restore: the stored token at position 130 is another than the "
                "given one");
  checks_.tokens = {};
  ++segment(2).tokens[0];
  ExpectRefused(StatusCode::kDataLoss,
                "manifest: segment at 128: its name does not follow from its "
                "tokens");
}

TEST_F(ManifestTest, TokensBeforeTheRangeCountAsWell) {
  std::vector<TokenId> given = tokens_;
  ++given[5];
  checks_.tokens = given;
  checks_.first_token = 64;
  manifest_.segments.erase(manifest_.segments.begin());
  ExpectRefused(StatusCode::kFailedPrecondition,
                "restore: a stored token before position 64 is another than "
                "the given one");
}

TEST_F(ManifestTest, CutsWhatWasNotAskedFor) {
  checks_.end_token = 70;
  EXPECT_EQ(TiersAfterCheck().size(), 2u);
  EXPECT_EQ(segment(1).token_count, 6u);
  const RestoreInfo info = InfoOf(manifest_, 0);
  EXPECT_EQ(info.tokens.size(), 70u);
  EXPECT_TRUE(info.pending.empty());
}

TEST_F(ManifestTest, CutsFromLostTokensOn) {
  segment(1).tokens.clear();
  EXPECT_EQ(TiersAfterCheck(), std::vector<Tier>{Tier::kExact});
}

TEST_F(ManifestTest, DropsRenditionsThatCannotServe) {
  const std::vector<std::function<void(ManifestSegment&)>> damages = {
      [](auto& s) { s.tier = Tier::kNear; },
      [](auto& s) { s.basis = Tier::kCoarse; },
      [](auto& s) { s.codec = static_cast<CodecId>(999); },
      [](auto& s) { s.frames.clear(); },
      [](auto& s) { s.frames.pop_back(); },
      [](auto& s) { s.frames.push_back(s.frames[0]); },
      [](auto& s) { s.frames[1] = s.frames[0]; },
      [](auto& s) { s.frames[0].stage = 1; },
      [](auto& s) { s.frames[0].layers.layer_count = 2; },
      [](auto& s) {
        s.frames[0].heads = {0, 1, 2};
      },
      [](auto& s) {
        s.frames[0].heads = {1, 1, 2};
      },
  };
  const Manifest good = manifest_;
  for (size_t i = 0; i < damages.size(); ++i) {
    manifest_ = good;
    damages[i](segment(1));
    EXPECT_EQ(TiersAfterCheck(),
              (std::vector<Tier>{Tier::kExact, Tier::kTokens, Tier::kExact}))
        << i;
    EXPECT_TRUE(segment(1).frames.empty()) << i;
  }
}

TEST_F(ManifestTest, HeadsMayBeSplitInAnyWayOnce) {
  std::vector<ManifestFrame> frames = {
      {0, groups_[0], {2, 2, 4}, 1, 0},
      {0, groups_[0], {0, 1, 2}, 1, 0},
      {0, groups_[1], {0, 1, 1}, 1, 0},
  };
  EXPECT_TRUE(CheckCoverage(frames, groups_).ok());
  frames.push_back({0, groups_[1], {1, 1, 2}, 1, 0});
  EXPECT_EQ(CheckCoverage(frames, groups_).message(),
            "manifest: 4 frames, needed are 3");
  frames = {{0, groups_[0], {0, 3, 4}, 1, 0}, {0, groups_[0], {1, 1, 2}, 1, 0}};
  EXPECT_EQ(CheckCoverage(frames, groups_).message(),
            "manifest: frames don't cover layers from 0 on exactly once");
}

// Of both groups, in three stages.
std::vector<ManifestFrame> StagedFrames(const std::vector<LayerGroup>& groups) {
  constexpr Tier kTiers[] = {Tier::kArchive, Tier::kCoarse, Tier::kNear};
  std::vector<ManifestFrame> frames;
  for (uint8_t stage = 0; stage < 3; ++stage) {
    for (const LayerGroup& group : groups) {
      frames.push_back({stage, group, {}, 1000, stage, kTiers[stage]});
    }
  }
  return frames;
}

TEST_F(ManifestTest, StagesAreCompleteAndInOrder) {
  const auto frames = StagedFrames(groups_);
  EXPECT_TRUE(CheckCoverage(frames, groups_).ok());
  EXPECT_EQ(StageTiersOf(frames),
            (std::vector<Tier>{Tier::kArchive, Tier::kCoarse, Tier::kNear}));
  const std::vector<std::function<void(std::vector<ManifestFrame>&)>> damages =
      {
          [](auto& f) { f.pop_back(); },
          [](auto& f) { f.erase(f.begin()); },
          [](auto& f) { f.erase(f.begin() + 2, f.begin() + 4); },
          [](auto& f) { std::swap(f[2], f[3]); },
          [](auto& f) { std::swap(f[1], f[2]); },
          [](auto& f) {
            f[5].heads = {0, 1, 2};
          },
          [](auto& f) { f[4].stage = f[5].stage = 9; },
          [](auto& f) { f.push_back(f[5]); },
      };
  for (size_t i = 0; i < damages.size(); ++i) {
    auto damaged = frames;
    damages[i](damaged);
    EXPECT_FALSE(CheckCoverage(damaged, groups_).ok()) << i;
  }
  // More stages than any codec has.
  auto many = frames;
  for (uint8_t stage = 3; stage < 5; ++stage) {
    for (const LayerGroup& group : groups_) {
      many.push_back({stage, group, {}, 1000, stage, Tier::kNear});
    }
  }
  EXPECT_FALSE(CheckCoverage(many, groups_).ok());
}

// --- Continuations. ---

TEST_F(ManifestTest, AContinuationMayHaveLostLaterStages) {
  Manifest whole = manifest_;
  ManifestSegment& segment = whole.segments[1];
  segment.tier = Tier::kNear;
  segment.frames = StagedFrames(groups_);
  EXPECT_EQ(segment.tier_of(0), Tier::kTokens);
  EXPECT_EQ(segment.tier_of(1), Tier::kArchive);
  EXPECT_EQ(segment.tier_of(3), Tier::kNear);
  const auto first_changed = [&](const Manifest& now) {
    const auto changed = CheckContinuation(whole, 0, 3, now);
    EXPECT_TRUE(changed.ok());
    return changed.ok() ? *changed : 99;
  };
  Manifest now = whole;
  now.segments[1].tier = Tier::kCoarse;
  now.segments[1].frames.resize(4);
  EXPECT_EQ(first_changed(now), 3u);
  ++now.segments[1].frames[3].checksum;
  EXPECT_EQ(first_changed(now), 1u);
  now = whole;
  now.segments[1].frames.resize(3);
  EXPECT_EQ(first_changed(now), 1u);
  now.segments[1].frames.clear();
  EXPECT_EQ(first_changed(now), 1u);
}

TEST_F(ManifestTest, AContinuationNamesWhatChanged) {
  Manifest part = manifest_;
  part.segments.erase(part.segments.begin());
  part.version.version = 9;  // the head moved, the commit is the same
  const auto first_changed = [&](const Manifest& now) {
    const auto changed = CheckContinuation(manifest_, 1, 3, now);
    EXPECT_TRUE(changed.ok()) << changed.status().ToString();
    return changed.ok() ? *changed : 99;
  };
  EXPECT_EQ(first_changed(part), 3u);
  const std::vector<std::function<void(ManifestSegment&)>> changes = {
      [](auto& s) { s.tier = Tier::kNear; },
      [](auto& s) { s.basis = Tier::kNear; },
      [](auto& s) { s.codec = CodecId::kExact; },
      [](auto& s) { s.profile = ProfileId{{1}}; },
      [](auto& s) { s.frames.pop_back(); },
      [](auto& s) { ++s.frames[0].bytes; },
      [](auto& s) { ++s.frames[1].checksum; },
      [](auto& s) { std::swap(s.frames[0], s.frames[1]); },
      [](auto& s) { DropRendition(&s); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Manifest changed = part;
    changes[i](changed.segments[1]);
    EXPECT_EQ(first_changed(changed), 2u) << i;
    changes[i](changed.segments[0]);
    EXPECT_EQ(first_changed(changed), 1u) << i;
  }
}

TEST_F(ManifestTest, AContinuationIsOfTheSameState) {
  const auto expect_refused = [&](const Manifest& now, std::string_view text) {
    const Status status = CheckContinuation(manifest_, 0, 3, now).status();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss);
    EXPECT_NE(status.message().find(text), std::string_view::npos)
        << status.ToString();
  };
  Manifest now = manifest_;
  now.version.head = CommitId{{4}};
  expect_refused(now, "of commit " + CommitId{{4}}.ShortHex());
  now = manifest_;
  now.model = ModelId{{5}};
  expect_refused(now, "model " + ModelId{{5}}.ShortHex());
  now = manifest_;
  now.segments.pop_back();
  expect_refused(now, "2 segments, asked for are 3");
  now = manifest_;
  std::swap(now.segments[0], now.segments[1]);
  expect_refused(now, "segment at 64 is another than before, at 0");
  now = manifest_;
  now.segments[2].id = now.segments[1].id;
  expect_refused(now, "segment at 128 is another than before, at 128");
}

// --- What comes over the wire. ---

Result<Manifest> Read(const wire::FetchManifestT& native) {
  const MessageHead head =
      PackMessage(MessageType::kFetch, kFlagReply, 1, native);
  WireAnswer answer;
  answer.meta = AlignedBytes(head.meta_view().size());
  std::copy(head.meta_view().begin(), head.meta_view().end(),
            answer.meta.span().begin());
  return ReadManifest(answer);
}

void ExpectUnreadable(const wire::FetchManifestT& native,
                      std::string_view text) {
  const auto manifest = Read(native);
  EXPECT_EQ(manifest.status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(manifest.status().message(), text);
}

TEST(ReadManifestTest, LimitsHold) {
  wire::FetchManifestT native;
  EXPECT_TRUE(Read(native).ok());
  native.token_count = kMaxSessionTokens + 1;
  ExpectUnreadable(native,
                   "manifest: 0 segments, 4194305 tokens and 0 pending ones, "
                   "at most 65537, 4194304 and 64");
  native.token_count = 1;
  native.pending.resize(kMaxPendingTokens + 1);
  ExpectUnreadable(native,
                   "manifest: 0 segments, 1 tokens and 65 pending ones, at "
                   "most 65537, 4194304 and 64");
  native.pending.clear();
  for (uint32_t i = 0; i < kMaxMatchSegments + 2; ++i) {
    native.segments.push_back(std::make_unique<wire::FetchSegmentT>());
  }
  ExpectUnreadable(native,
                   "manifest: 65538 segments, 1 tokens and 0 pending ones, at "
                   "most 65537, 4194304 and 64");
  native.segments.resize(1);
  native.segments[0]->tokens.resize(65);
  ExpectUnreadable(native, "manifest: segment at 0 has 65 tokens, at most 64");
}

TEST(ReadManifestTest, RenditionsAreOfKnownValues) {
  struct Case {
    uint8_t tier;
    uint16_t head_first, head_count, head_total;
    uint32_t bytes;
    const char* text;  // null: fine
  };
  const Case cases[] = {
      {1, 0, 1, 1, 1, nullptr},
      {1, 0, 1, 1, kMaxFrameBytes, nullptr},
      {0, 0, 1, 1, 1, "manifest: tier: value is 0, 1 to 5 are known"},
      {6, 0, 1, 1, 1, "manifest: tier: value is 6, 1 to 5 are known"},
      {1, 0, 1, 0, 1, "manifest: heads: total is 0, 1 to 1024 are wanted"},
      {1, 0, 1, 1025, 1,
       "manifest: heads: total is 1025, 1 to 1024 are wanted"},
      {1, 1, 0, 2, 1, "manifest: heads: 0 from 1 on, of 2"},
      {1, 1, 2, 2, 1, "manifest: heads: 2 from 1 on, of 2"},
      {1, 65535, 1, 2, 1, "manifest: heads: 1 from 65535 on, of 2"},
      {1, 0, 1, 1, 0,
       "manifest: a frame of 0 bytes, 1 to 16777216 are possible"},
      {1, 0, 1, 1, kMaxFrameBytes + 1,
       "manifest: a frame of 16777217 bytes, 1 to 16777216 are possible"},
  };
  for (const Case& c : cases) {
    wire::FetchManifestT native;
    native.segments.push_back(std::make_unique<wire::FetchSegmentT>());
    auto rendition = std::make_unique<wire::RenditionT>();
    rendition->tier = c.tier;
    rendition->basis = 1;
    rendition->frames.emplace_back(wire::Id16(), 7, 0, 0, 1, c.head_first,
                                   c.head_count, c.head_total, c.bytes, 0);
    native.segments[0]->rendition = std::move(rendition);
    if (c.text == nullptr) {
      EXPECT_TRUE(Read(native).ok());
    } else {
      ExpectUnreadable(native, c.text);
    }
    native.segments[0]->rendition->tier = 1;
    native.segments[0]->rendition->basis = 7;
    ExpectUnreadable(native, "manifest: tier: value is 7, 1 to 5 are known");
  }
}

TEST(ReadManifestTest, ARenditionHasSoManyFramesAtMost) {
  wire::FetchManifestT native;
  native.segments.push_back(std::make_unique<wire::FetchSegmentT>());
  auto rendition = std::make_unique<wire::RenditionT>();
  rendition->tier = rendition->basis = 1;
  rendition->frames.resize(kMaxFramesPerRendition + 1);
  native.segments[0]->rendition = std::move(rendition);
  ExpectUnreadable(native,
                   "manifest: 16385 frames in a rendition, at most 16384");
}

TEST(ReadManifestTest, GarbageIsNoManifest) {
  WireAnswer answer;
  answer.meta = AlignedBytes(64);
  for (uint8_t& byte : answer.meta.span()) byte = 0xff;
  EXPECT_TRUE(ReadManifest(answer).status().Is(StatusCode::kDataLoss));
}

}  // namespace
}  // namespace reprise
