// Fetches and matches of staged renditions: no more than is wanted, in the
// order that is wanted.
#include <algorithm>
#include <tuple>

#include "tests/api/handler_fixture.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class HandlerStagesTest : public HandlerTest {
 protected:
  HandlerStagesTest() {
    ToyWorker worker(catalogue_.get(), TenantDomain("default"), GqaModel());
    const auto saved = worker.Save("staged", tokens_, StagedToy());
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    model_ = worker.model();
    context_.limits.fetch_message_bytes = 2'000;
  }

  static wire::FetchT FetchOf(Tier highest) {
    wire::FetchT fetch;
    fetch.session = "staged";
    fetch.lowest_tier = static_cast<uint8_t>(Tier::kArchive);
    fetch.highest_tier = static_cast<uint8_t>(highest);
    return fetch;
  }

  // Segment, first layer and stage of a frame that came.
  using Came = std::tuple<uint32_t, uint32_t, uint32_t>;
  std::vector<Came> FramesOf(const wire::FetchT& fetch) {
    std::vector<Came> came;
    const std::vector<RawMessage> answers = All(MessageType::kFetch, fetch);
    const auto& manifest = answers[0].As<wire::FetchManifest>();
    for (size_t i = 1; i < answers.size(); ++i) {
      for (const wire::FrameSent* sent :
           *answers[i].As<wire::FetchFrames>().frames()) {
        const wire::FrameRef* frame = manifest.segments()
                                          ->Get(sent->segment())
                                          ->rendition()
                                          ->frames()
                                          ->Get(sent->frame());
        EXPECT_EQ(sent->bytes(), frame->bytes());
        came.emplace_back(sent->segment(), frame->first_layer(),
                          frame->stage());
      }
    }
    return came;
  }
  // `count` segments and layers each.
  static std::vector<Came> Sorted(std::vector<Came> came, auto key) {
    std::ranges::stable_sort(came, {}, key);
    return came;
  }

  const std::vector<TokenId> tokens_ = ToyTokens(1, 128);
  ModelId model_;
};

TEST_F(HandlerStagesTest, AFetchOfALowerTierBringsItsStages) {
  const std::pair<Tier, size_t> tiers[] = {{Tier::kExact, 3},
                                           {Tier::kNear, 3},
                                           {Tier::kCoarse, 2},
                                           {Tier::kArchive, 1}};
  for (const auto& [tier, stages] : tiers) {
    SCOPED_TRACE(TierName(tier));
    const auto answers = All(MessageType::kFetch, FetchOf(tier));
    const auto& manifest = answers[0].As<wire::FetchManifest>();
    uint64_t bytes = 0;
    for (const wire::FetchSegment* segment : *manifest.segments()) {
      EXPECT_EQ(segment->rendition()->tier(),
                static_cast<uint8_t>(std::max(tier, Tier::kNear)));
      // Four layer groups.
      EXPECT_EQ(segment->rendition()->frames()->size(), 4 * stages);
      for (const auto* frame : *segment->rendition()->frames()) {
        bytes += frame->bytes();
      }
    }
    uint64_t came = 0;
    for (size_t i = 1; i < answers.size(); ++i) came += answers[i].body.size();
    EXPECT_EQ(came, bytes);

    wire::MatchT match;
    match.model = OptionalIdToWire(model_);
    for (const SegmentId& id : SegmentIdsOf(model_, tokens_)) {
      match.segments.insert(match.segments.end(), id.bytes.begin(),
                            id.bytes.end());
    }
    match.lowest_tier = static_cast<uint8_t>(Tier::kArchive);
    match.highest_tier = static_cast<uint8_t>(tier);
    match.lease_ms = 1000;
    const RawMessage matched = Only(MessageType::kMatch, match);
    const auto& reply = matched.As<wire::MatchReply>();
    ASSERT_EQ(reply.ranges()->size(), 1u);
    EXPECT_EQ(reply.ranges()->Get(0)->tier(),
              static_cast<uint8_t>(std::max(tier, Tier::kNear)));
    EXPECT_EQ(reply.bytes_to_move(), bytes);
    EXPECT_NE(reply.lease(), 0u);
  }
}

TEST_F(HandlerStagesTest, TheOrderIsTheOneAskedFor) {
  wire::FetchT fetch = FetchOf(Tier::kNear);
  const auto segment = [](const Came& c) { return std::get<0>(c); };
  const auto layer = [](const Came& c) { return std::get<1>(c); };
  const auto stage = [](const Came& c) { return std::get<2>(c); };
  const std::vector<Came> layer_major = FramesOf(fetch);
  ASSERT_EQ(layer_major.size(), 2u * 4 * 3);
  // The stages of one segment and layer group come one after the other.
  EXPECT_EQ(layer_major, Sorted(layer_major, [&](const Came& c) {
              return std::tuple(layer(c), segment(c), stage(c));
            }));
  fetch.token_major = true;
  const std::vector<Came> token_major = FramesOf(fetch);
  EXPECT_EQ(token_major, Sorted(layer_major, [&](const Came& c) {
              return std::tuple(segment(c), stage(c), layer(c));
            }));
  fetch.stage_major = true;
  EXPECT_EQ(FramesOf(fetch), Sorted(layer_major, [&](const Came& c) {
              return std::tuple(stage(c), segment(c), layer(c));
            }));
  fetch.token_major = false;
  EXPECT_EQ(FramesOf(fetch), Sorted(layer_major, [&](const Came& c) {
              return std::tuple(stage(c), layer(c), segment(c));
            }));
}

TEST_F(HandlerStagesTest, StagesMayBeFetchedByThemselves) {
  wire::FetchT fetch = FetchOf(Tier::kNear);
  fetch.first_stage = 1;
  fetch.stage_count = 1;
  fetch.first_layer = 2;
  fetch.layer_count = 1;
  EXPECT_EQ(FramesOf(fetch), (std::vector<Came>{{0, 2, 1}, {1, 2, 1}}));
  fetch.stage_count = 0;
  EXPECT_EQ(FramesOf(fetch),
            (std::vector<Came>{{0, 2, 1}, {0, 2, 2}, {1, 2, 1}, {1, 2, 2}}));
  fetch.first_stage = 255;
  fetch.stage_count = 255;
  EXPECT_EQ(FramesOf(fetch), std::vector<Came>());
}

TEST_F(HandlerStagesTest, TiersThatMakeNoSenseAreRefused) {
  wire::FetchT fetch = FetchOf(static_cast<Tier>(6));
  EXPECT_EQ(Code(MessageType::kFetch, fetch), StatusCode::kInvalidArgument);
  fetch = FetchOf(Tier::kArchive);
  fetch.lowest_tier = static_cast<uint8_t>(Tier::kNear);
  EXPECT_EQ(Code(MessageType::kFetch, fetch), StatusCode::kInvalidArgument);
  wire::MatchT match;
  match.model = OptionalIdToWire(model_);
  match.lowest_tier = static_cast<uint8_t>(Tier::kNear);
  match.highest_tier = static_cast<uint8_t>(Tier::kCoarse);
  EXPECT_EQ(Code(MessageType::kMatch, match), StatusCode::kInvalidArgument);
  match.highest_tier = 9;
  EXPECT_EQ(Code(MessageType::kMatch, match), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace reprise
