#include "store/coverage.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/model_specs.h"

namespace reprise {
namespace {

// Frames of every group: each cut at the given head ranges.
std::vector<FrameRef> FramesOf(const ModelSpec& spec,
                               const std::vector<HeadRange>& ranges,
                               uint8_t stages = 1) {
  std::vector<FrameRef> frames;
  const auto groups = LayerGroupsOf(spec);
  for (uint8_t stage = 0; stage < stages; ++stage) {
    for (uint32_t g = 0; g < groups.size(); ++g) {
      for (const HeadRange& heads : ranges) {
        FrameRef frame;
        frame.stage = stage;
        frame.first_layer = static_cast<uint16_t>(groups[g].first_layer);
        frame.layer_count = static_cast<uint16_t>(groups[g].layer_count);
        frame.heads = heads;
        frame.index = FrameIndex(stage, g, heads.first);
        frames.push_back(frame);
      }
    }
  }
  return frames;
}

Status Check(const ModelSpec& spec, const std::vector<FrameRef>& frames) {
  return CheckCoverage(spec, LayerGroupsOf(spec), frames);
}

const std::vector<HeadRange> kWhole = {{0, 1, 1}};

TEST(CoverageTest, AcceptsOneFrameAGroup) {
  for (const NamedModel& model : AllTestModels()) {
    EXPECT_TRUE(Check(model.spec, FramesOf(model.spec, kWhole)).ok())
        << model.name;
    EXPECT_TRUE(Check(model.spec, FramesOf(model.spec, kWhole, 3)).ok())
        << model.name;
  }
}

TEST(CoverageTest, AcceptsRanksSideBySide) {
  const ModelSpec spec = GqaModel();
  for (const std::vector<HeadRange>& ranges :
       std::vector<std::vector<HeadRange>>{
           {{0, 1, 2}, {1, 1, 2}},
           {{0, 2, 8}, {2, 6, 8}},
           {{0, 1, 4}, {1, 1, 4}, {2, 1, 4}, {3, 1, 4}},
           {{0, 4, 8}, {1, 1, 2}},
           {{0, 1, 2}, {4, 4, 8}},
       }) {
    const Status status = Check(spec, FramesOf(spec, ranges));
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
}

TEST(CoverageTest, RefusesHolesAndOverlaps) {
  const ModelSpec spec = GqaModel();
  for (const std::vector<HeadRange>& ranges :
       std::vector<std::vector<HeadRange>>{
           {{0, 1, 2}},             // the rest is missing
           {{1, 1, 2}},             // the start is missing
           {{0, 1, 4}, {2, 2, 4}},  // a hole
           {{0, 3, 4}, {2, 2, 4}},  // an overlap
           {{0, 1, 1}, {1, 1, 2}},  // all, and a half again
       }) {
    const Status status = Check(spec, FramesOf(spec, ranges));
    EXPECT_TRUE(status.Is(StatusCode::kInvalidArgument)) << status.ToString();
  }
}

TEST(CoverageTest, RefusesACutInsideOfAHead) {
  const ModelSpec spec = TinyModel();  // two heads
  EXPECT_TRUE(Check(spec, FramesOf(spec, {{0, 1, 4}, {1, 3, 4}}))
                  .Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(Check(spec, FramesOf(spec, {{0, 1, 2}, {1, 1, 2}})).ok());
}

TEST(CoverageTest, WantsEachGroupOnceAStage) {
  const ModelSpec spec = SmolModel();
  const std::vector<FrameRef> all = FramesOf(spec, kWhole, 2);
  for (size_t gone = 0; gone < all.size(); ++gone) {
    std::vector<FrameRef> frames = all;
    frames.erase(frames.begin() + static_cast<long>(gone));
    EXPECT_TRUE(Check(spec, frames).Is(StatusCode::kInvalidArgument)) << gone;
  }
  EXPECT_TRUE(Check(spec, {}).Is(StatusCode::kInvalidArgument));
}

TEST(CoverageTest, RefusesAStageThatIsSkipped) {
  const ModelSpec spec = TinyModel();
  std::vector<FrameRef> frames = FramesOf(spec, kWhole, 3);
  frames.erase(frames.begin() + 1);
  EXPECT_TRUE(Check(spec, frames).Is(StatusCode::kInvalidArgument));
}

TEST(CoverageTest, RefusesIndexesAndLayersThatDisagree) {
  const ModelSpec spec = SmolModel();
  std::vector<FrameRef> frames = FramesOf(spec, kWhole);
  ++frames[1].layer_count;
  EXPECT_FALSE(Check(spec, frames).ok());
  frames = FramesOf(spec, kWhole);
  ++frames[1].index;
  EXPECT_FALSE(Check(spec, frames).ok());
  frames = FramesOf(spec, kWhole);
  frames.push_back(frames.back());
  frames.back().index = FrameIndex(0, 5, 0);  // the model has groups 0 to 4
  EXPECT_FALSE(Check(spec, frames).ok());
}

TEST(CoverageTest, ReplicatedPlanesStandOnceInTheFirstRange) {
  const ModelSpec spec = LatentModel();
  EXPECT_TRUE(Check(spec, FramesOf(spec, {{0, 1, 8}})).ok());
  EXPECT_FALSE(Check(spec, FramesOf(spec, {{0, 1, 8}, {1, 7, 8}})).ok());
  EXPECT_FALSE(Check(spec, FramesOf(spec, {{1, 1, 8}})).ok());
}

TEST(CoverageTest, FindsTheGroupThatBeginsAtALayer) {
  const auto groups = LayerGroupsOf(SmolModel());
  EXPECT_EQ(0u, GroupIndexOf(groups, 0));
  EXPECT_EQ(4u, GroupIndexOf(groups, groups[4].first_layer));
  EXPECT_FALSE(GroupIndexOf(groups, 1).has_value());
  EXPECT_FALSE(GroupIndexOf(groups, 30).has_value());
}

}  // namespace
}  // namespace reprise
