#include "client/kv_gather.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/kv_cache.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

// Through packed rows from one cache to another, segment by segment.
void CopyThrough(const ModelSpec& spec, const KvSource& from, KvTarget& to,
                 uint64_t first_token, uint64_t end_token) {
  for (const LayerGroup& group : LayerGroupsOf(spec)) {
    const auto slices = SlicePlanes(spec, group, from.heads());
    ASSERT_TRUE(slices.ok()) << slices.status().ToString();
    for (uint64_t token = first_token; token < end_token; token += 64) {
      const auto count =
          static_cast<uint32_t>(std::min<uint64_t>(64, end_token - token));
      for (const PlaneSlice& slice : *slices) {
        Bytes packed(count * slice.token_bytes());
        const ConstPlaneRows rows =
            GatherRows(from, slice, token, count, packed.data());
        Bytes again(packed.size());
        for (uint32_t t = 0; t < count; ++t) {
          std::memcpy(&again[t * slice.token_bytes()],
                      rows.data + t * rows.token_stride_bytes,
                      slice.token_bytes());
        }
        const PlaneRows direct = DirectRows(to, slice, token, count);
        if (direct.data == nullptr) {
          ScatterRows(to, slice, token, count, again.data());
          continue;
        }
        for (uint32_t t = 0; t < count; ++t) {
          std::memcpy(direct.data + t * direct.token_stride_bytes,
                      &again[t * slice.token_bytes()], slice.token_bytes());
        }
      }
    }
  }
}

class KvGatherLayoutTest : public testing::TestWithParam<CacheLayout> {};

TEST_P(KvGatherLayoutTest, CopiesToEveryLayoutAndNothingElse) {
  for (const NamedModel& model : AllTestModels()) {
    const uint64_t count = model.name.find("Smol") == 0 ? 70 : 131;
    KvCache from(model.spec,
                 {.layout = GetParam(),
                  .first_token = 64,
                  .token_count = count,
                  .first_slot = GetParam() == CacheLayout::kSglang ? 0u : 5u,
                  .table64 = true});
    from.FillAll();
    const auto source = KvSource::Make(model.spec, from.view());
    ASSERT_TRUE(source.ok()) << model.name << source.status().ToString();
    ASSERT_TRUE(source->CheckTokens(64, 64 + count).ok());
    for (CacheLayout layout : kAllCacheLayouts) {
      KvCache to(
          model.spec,
          {.layout = layout, .first_token = 64, .token_count = count + 9});
      auto target = KvTarget::Make(model.spec, to.sink());
      ASSERT_TRUE(target.ok()) << model.name << target.status().ToString();
      ASSERT_TRUE(target->CheckTokens(64, 64 + count).ok());
      CopyThrough(model.spec, *source, *target, 64, 64 + count);
      EXPECT_TRUE(to.HoldsExactly(64, 64 + count))
          << model.name << " from " << CacheLayoutName(GetParam());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, KvGatherLayoutTest,
                         testing::ValuesIn(kAllCacheLayouts),
                         [](const auto& tested) {
                           return std::string(CacheLayoutName(tested.param));
                         });

TEST(KvGatherTest, MovesSharesOfTheHeads) {
  const ModelSpec spec = GqaModel();
  KvCache all(spec, {.token_count = 64});
  all.FillAll();
  const auto source = KvSource::Make(spec, all.view());
  ASSERT_TRUE(source.ok());
  for (uint16_t rank = 0; rank < 4; ++rank) {
    const HeadRange heads{rank, 1, 4};
    for (CacheLayout layout : kAllCacheLayouts) {
      const CacheOptions options{
          .layout = layout, .token_count = 64, .heads = heads};
      KvCache part(spec, options);
      auto target = KvTarget::Make(spec, part.sink());
      ASSERT_TRUE(target.ok()) << target.status().ToString();
      CopyThrough(spec, *source, *target, 0, 64);
      EXPECT_TRUE(part.HoldsExactly(0, 64)) << "rank " << rank;

      // And back: each rank's share into one cache of all heads.
      const auto share = KvSource::Make(spec, part.view());
      ASSERT_TRUE(share.ok());
      KvCache whole(spec, {.layout = layout, .token_count = 64});
      auto whole_target = KvTarget::Make(spec, whole.sink());
      ASSERT_TRUE(whole_target.ok());
      CopyThrough(spec, *share, *whole_target, 0, 64);
      EXPECT_EQ(std::memcmp(whole.At(1, 1, 17, rank * 2u, 3),
                            all.At(1, 1, 17, rank * 2u, 3), 2),
                0);
    }
  }
}

TEST(KvGatherTest, HeadsThatTheTargetLacksAreSkipped) {
  const ModelSpec spec = GqaModel();
  KvCache part(spec, {.token_count = 64, .heads = {0, 1, 4}});
  const auto target = KvTarget::Make(spec, part.sink());
  ASSERT_TRUE(target.ok());
  const auto slices =
      SlicePlanes(spec, LayerGroupsOf(spec).front(), HeadRange{2, 1, 4});
  ASSERT_TRUE(slices.ok());
  EXPECT_FALSE(HoldsPart(*target, slices->front()));
  EXPECT_EQ(DirectRows(*target, slices->front(), 0, 64).data, nullptr);
  const Bytes packed(64 * slices->front().token_bytes(), 1);
  ScatterRows(*target, slices->front(), 0, 64, packed.data());
  EXPECT_TRUE(part.HoldsExactly(0, 0));
}

TEST(KvGatherTest, PackedRowsAreNotCopied) {
  const ModelSpec spec = TinyModel();
  const auto slices =
      SlicePlanes(spec, LayerGroupsOf(spec).front(), HeadRange::All());
  ASSERT_TRUE(slices.ok());
  const auto in_place = [&](const CacheOptions& options) {
    KvCache cache(spec, options);
    const auto source = KvSource::Make(spec, cache.view());
    Bytes packed(64 * slices->front().token_bytes());
    return GatherRows(*source, slices->front(), 0, 64, packed.data()).data ==
           cache.At(0, 0, 0, 0, 0);
  };
  EXPECT_TRUE(in_place({.layout = CacheLayout::kLlama, .token_count = 64}));
  EXPECT_TRUE(in_place(
      {.layout = CacheLayout::kVllmNhd, .token_count = 64, .page_tokens = 64}));
  EXPECT_TRUE(in_place({.layout = CacheLayout::kVllmNhd,
                        .token_count = 64,
                        .blocks_in_order = true}));
  EXPECT_TRUE(in_place({.layout = CacheLayout::kSglang,
                        .token_count = 64,
                        .blocks_in_order = true}));
  EXPECT_FALSE(in_place({.layout = CacheLayout::kVllmNhd, .token_count = 64}));
  EXPECT_FALSE(in_place({.layout = CacheLayout::kVllmKvPacked,
                         .token_count = 64,
                         .blocks_in_order = true}));
  EXPECT_FALSE(
      in_place({.layout = CacheLayout::kHuggingFace, .token_count = 64}));
}

// A refusal names what it compared.
void ExpectRefused(const ModelSpec& spec, const KvView& view, StatusCode code,
                   std::string_view text) {
  const auto made = KvSource::Make(spec, view);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), code) << made.status().ToString();
  EXPECT_NE(made.status().message().find(text), std::string_view::npos)
      << made.status().ToString();
}

class KvRefusalTest : public testing::Test {
 protected:
  const ModelSpec spec_ = TinyModel();
  KvCache cache_{spec_, {.layout = CacheLayout::kVllmNhd, .token_count = 64}};
  KvView view_ = cache_.view();
};

TEST_F(KvRefusalTest, OtherNumberOfPlanes) {
  view_.planes.pop_back();
  ExpectRefused(spec_, view_, StatusCode::kFailedPrecondition,
                "3 planes, the model has 4");
}

TEST_F(KvRefusalTest, NullBase) {
  view_.planes[2].base = nullptr;
  ExpectRefused(spec_, view_, StatusCode::kInvalidArgument,
                "layer 1 plane k: base is null");
}

TEST_F(KvRefusalTest, ElementsOfAnotherSize) {
  view_.planes[1].element_stride_bytes = 1;
  ExpectRefused(spec_, view_, StatusCode::kFailedPrecondition,
                "element stride is 1 bytes, an element has 2");
}

TEST_F(KvRefusalTest, StridesOutOfReach) {
  view_.planes[1].head_stride_bytes = INT64_MAX / 2;
  ExpectRefused(spec_, view_, StatusCode::kInvalidArgument, "head stride");
  view_.planes[1].head_stride_bytes = INT64_MIN;
  ExpectRefused(spec_, view_, StatusCode::kInvalidArgument, "head stride");
}

TEST_F(KvRefusalTest, DeviceMemory) {
  view_.device.is_device = true;
  ExpectRefused(spec_, view_, StatusCode::kUnimplemented, "device 0");
}

TEST_F(KvRefusalTest, LayersInNoTableOrInTwo) {
  view_.paging[0].layer_count = 1;
  ExpectRefused(spec_, view_, StatusCode::kInvalidArgument,
                "layer 1 is in no block table");
  view_.paging.push_back(cache_.view().paging[0]);
  ExpectRefused(spec_, view_, StatusCode::kInvalidArgument,
                "layer 0 is in two block tables");
  view_.paging[1].first_layer = 2;
  ExpectRefused(spec_, view_, StatusCode::kFailedPrecondition,
                "the model has 2");
}

TEST_F(KvRefusalTest, SlotOutsideThePage) {
  view_.paging[0].first_slot = 16;
  ExpectRefused(spec_, view_, StatusCode::kInvalidArgument,
                "first slot is 16, a page has 16");
}

TEST_F(KvRefusalTest, HeadsThatCannotBeCut) {
  view_.head_count = 1;
  view_.head_total = 3;
  ExpectRefused(spec_, view_, StatusCode::kFailedPrecondition,
                "2 heads cannot be cut at 0 and 1 of 3");
}

TEST_F(KvRefusalTest, BlockTablesThatAreTooShortOrNegative) {
  int32_t table[4] = {3, 2, -1, 0};
  view_.paging[0].table32 = table;
  view_.paging[0].table_entries = 3;
  const auto map = KvSource::Make(spec_, view_);
  ASSERT_TRUE(map.ok());
  const Status short_table = map->CheckTokens(0, 64);
  EXPECT_TRUE(short_table.Is(StatusCode::kFailedPrecondition));
  EXPECT_NE(short_table.message().find("3 entries, tokens up to 64 need 4"),
            std::string_view::npos)
      << short_table.ToString();
  const Status negative = map->CheckTokens(0, 48);
  EXPECT_TRUE(negative.Is(StatusCode::kInvalidArgument));
  EXPECT_NE(negative.message().find("entry 2 is -1"), std::string_view::npos);
  EXPECT_TRUE(map->CheckTokens(0, 32).ok());
}

TEST_F(KvRefusalTest, BlocksOutOfReach) {
  int64_t table[4] = {0, INT64_MAX, 0, 0};
  view_.paging[0].table32 = nullptr;
  view_.paging[0].table64 = table;
  const auto map = KvSource::Make(spec_, view_);
  ASSERT_TRUE(map.ok());
  EXPECT_TRUE(map->CheckTokens(0, 64).Is(StatusCode::kInvalidArgument));
}

TEST_F(KvRefusalTest, TokensThatAreNotHere) {
  const auto map = KvSource::Make(spec_, view_);
  ASSERT_TRUE(map.ok());
  const Status status = map->CheckTokens(0, 65);
  EXPECT_TRUE(status.Is(StatusCode::kFailedPrecondition));
  EXPECT_NE(
      status.message().find("tokens 0 to 65 are needed, here are 0 to 64"),
      std::string_view::npos);
}

TEST(KvGatherTest, NoMemoryHoldsNothing) {
  const ModelSpec spec = TinyModel();
  const auto map = KvSource::Make(spec, KvView());
  ASSERT_TRUE(map.ok());
  EXPECT_TRUE(map->CheckTokens(0, 0).ok());
  EXPECT_FALSE(map->CheckTokens(0, 1).ok());
}

}  // namespace
}  // namespace reprise
