// Sessions whose segments are kept by a lossy codec: what comes back is what
// the codec makes of the values, the tail is exact, and none of it passes for
// more than it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "codec/profile_trainer.h"
#include "store/engine.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

constexpr uint64_t kTokens = 200;  // three segments and a tail of 8
constexpr uint64_t kWhole = kTokens / kSegmentTokens * kSegmentTokens;

// A whole model's state in plain memory, one plane after the other.
class State {
 public:
  State(const ModelSpec& spec, uint32_t token_count)
      : token_count_(token_count),
        slices_(*SlicePlanes(spec,
                             {0, static_cast<uint16_t>(spec.layers.size())},
                             HeadRange::All())),
        rows_(slices_, token_count) {}

  State& Fill() {
    rows_.Fill(KvKind::kTypical, 7, 0);
    return *this;
  }

  KvView View() const { return Describe<KvView>(rows_.Const()); }
  KvSink Sink() { return Describe<KvSink>(rows_.Mutable()); }

  // Rows of one group's planes from a token on.
  std::vector<ConstPlaneRows> RowsFrom(const LayerGroup& group,
                                       uint32_t token) const {
    std::vector<ConstPlaneRows> some;
    const auto all = rows_.Const();
    for (size_t i = 0; i < slices_.size(); ++i) {
      if (slices_[i].layer < group.first_layer) continue;
      if (slices_[i].layer >= group.first_layer + group.layer_count) continue;
      some.push_back({all[i].data + token * all[i].token_stride_bytes,
                      all[i].token_stride_bytes});
    }
    return some;
  }

  // All planes' bytes of one token.
  Bytes Token(uint32_t token) const {
    Bytes out;
    for (size_t i = 0; i < slices_.size(); ++i) {
      const ByteView row = rows_.RowView(i, token);
      out.insert(out.end(), row.begin(), row.end());
    }
    return out;
  }

 private:
  template <typename Memory, typename Rows>
  Memory Describe(const Rows& rows) const {
    Memory memory;
    memory.token_count = token_count_;
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t element = DTypeBytes(slices_[i].spec->dtype);
      memory.planes.push_back(
          {.base = rows[i].data,
           .token_stride_bytes =
               static_cast<int64_t>(rows[i].token_stride_bytes),
           .head_stride_bytes = element * slices_[i].spec->dim,
           .element_stride_bytes = element});
    }
    return memory;
  }

  const uint32_t token_count_;
  const std::vector<PlaneSlice> slices_;
  KvRows rows_;
};

class LossySessionTest : public testing::TestWithParam<const char*> {
 protected:
  LossySessionTest()
      : worker_(daemon_.Connect(), GqaModel()),
        choice_(*ParseCodecChoice(GetParam())),
        exact_(worker_.spec, kTokens) {
    exact_.Fill();
  }

  // Trains and puts a profile, where the codec has one.
  void Calibrate() {
    auto trainer = MakeProfileTrainer(choice_.codec->id(), worker_.spec,
                                      {.codec_options = choice_.options.get()});
    if (!trainer.ok()) {
      ASSERT_FALSE(choice_.codec->needs_profile());
      return;
    }
    const auto count = static_cast<uint32_t>((*trainer)->min_tokens() /
                                             kSegmentTokens * kSegmentTokens) +
                       kSegmentTokens;
    const State train = std::move(State(worker_.spec, count).Fill());
    for (uint32_t token = 0; token < count; token += kSegmentTokens) {
      for (const LayerGroup& group : LayerGroupsOf(worker_.spec)) {
        const auto slices = *SlicePlanes(worker_.spec, group, HeadRange::All());
        ASSERT_TRUE((*trainer)
                        ->Add(token, kSegmentTokens, slices,
                              train.RowsFrom(group, token))
                        .ok());
      }
    }
    const auto bytes = (*trainer)->Fit(nullptr);
    ASSERT_OK(bytes);
    ASSERT_OK(
        worker_.client->PutProfile(worker_.model, choice_.codec->id(), *bytes));
    profile_ = *choice_.codec->ParseProfile(*bytes);
  }

  Result<SaveResult> Save(SaveRequest request = {}) {
    request.model = worker_.model;
    request.tokens = tokens_;
    if (request.kv.planes.empty()) request.kv = exact_.View();
    return worker_.client->Save("s", request);
  }

  Result<RestoreResult> Restore(Tier lowest, bool accept_dropped = false) {
    restored_ = std::make_unique<State>(worker_.spec, kTokens);
    RestoreRequest request;
    request.model = worker_.model;
    request.lowest = lowest;
    request.accept_dropped = accept_dropped;
    request.make_sink = [&](const RestoreInfo&) -> Result<KvSink> {
      return restored_->Sink();
    };
    return worker_.client->Restore("s", request);
  }

  // What the codec makes of the segments, without a daemon.
  void ExpectIsWhatTheCodecMakes() {
    CodecScratch scratch;
    FrameBuilder builder;
    for (uint32_t token = 0; token < kWhole; token += kSegmentTokens) {
      for (const LayerGroup& group : LayerGroupsOf(worker_.spec)) {
        EncodeRequest request;
        request.info.token_count = kSegmentTokens;
        request.info.first_token = token;
        request.info.layers = group;
        const auto slices = *SlicePlanes(worker_.spec, group, HeadRange::All());
        const auto rows = exact_.RowsFrom(group, token);
        request.slices = slices;
        request.rows = rows;
        request.profile = profile_.get();
        request.options = choice_.options.get();
        ASSERT_TRUE(choice_.codec->Encode(request, &scratch, &builder).ok());
        FrameView frame;
        ASSERT_TRUE(ParseFrame(*builder.Finish(), &frame).ok());
        KvRows decoded(slices, kSegmentTokens);
        const auto targets = decoded.Mutable();
        ASSERT_TRUE(choice_.codec
                        ->Decode(frame,
                                 {.slices = slices,
                                  .rows = targets,
                                  .token_count = kSegmentTokens,
                                  .profile = profile_.get()},
                                 &scratch)
                        .ok());
        const auto got = restored_->RowsFrom(group, token);
        for (size_t i = 0; i < slices.size(); ++i) {
          for (uint32_t t = 0; t < kSegmentTokens; ++t) {
            const uint8_t* row = got[i].data + t * got[i].token_stride_bytes;
            ASSERT_EQ(
                std::memcmp(row, decoded.Row(i, t), slices[i].token_bytes()), 0)
                << "token " << token + t << " plane " << i;
          }
        }
      }
    }
  }

  void ExpectTailIsExact() {
    for (uint32_t token = kWhole; token < kTokens; ++token) {
      EXPECT_EQ(restored_->Token(token), exact_.Token(token)) << token;
    }
  }

  static ObjectSpace SpaceOf(Tier tier) {
    return static_cast<ObjectSpace>(static_cast<int>(ObjectSpace::kFrameExact) +
                                    static_cast<int>(tier) -
                                    static_cast<int>(Tier::kExact));
  }
  void Replace(const ObjectRef& ref, ByteView bytes) {
    ASSERT_OK(daemon_.engine()->RemoveIfUntouched({&ref, 1}, UINT64_MAX));
    const ObjectPut put{ref.space, ref.key, bytes};
    ASSERT_TRUE(daemon_.engine()->Put({&put, 1}, 1, Durability::kWritten).ok());
  }

  TestDaemon daemon_;
  TestWorker worker_;
  const CodecChoice choice_;
  const std::vector<TokenId> tokens_ = ToyTokens(1, kTokens);
  State exact_;
  std::shared_ptr<const CodecProfile> profile_;
  struct SegmentFrames {
    DomainId domain;
    SegmentId segment;
    std::vector<FrameRef> frames;
  };
  // As a fetch would read it now.
  SegmentFrames FramesOfSecondSegment() {
    FetchRequest request;
    request.session = "s";
    request.lowest = choice_.tier();
    request.lease_ms = 0;
    const auto plan =
        daemon_.catalogue()->PlanFetch(TenantDomain("default"), request);
    EXPECT_TRUE(plan.ok()) << plan.status().ToString();
    if (!plan.ok() || plan->segments.size() < 2) return {};
    const FetchSegment& second = plan->segments[1];
    return {plan->domain, second.id, second.rendition.frames};
  }

  std::unique_ptr<State> restored_;
};

TEST_P(LossySessionTest, ComesBackAsTheCodecMakesItWithAnExactTail) {
  ASSERT_NO_FATAL_FAILURE(Calibrate());
  const auto saved = Save({.codec = GetParam()});
  ASSERT_OK(saved);
  EXPECT_LT(saved->frame_bytes, saved->raw_bytes);
  const Tier tier = choice_.tier();
  ASSERT_NE(tier, Tier::kExact);
  const auto result = Restore(tier);
  ASSERT_OK(result);
  EXPECT_EQ(result->valid_end, kTokens);
  EXPECT_TRUE(result->dropped.empty());
  EXPECT_EQ(
      result->info.ranges,
      (std::vector<TierRange>{{0, kWhole, tier, Tier::kExact},
                              {kWhole, kTokens, Tier::kExact, Tier::kExact}}));
  ASSERT_NO_FATAL_FAILURE(ExpectIsWhatTheCodecMakes());
  ExpectTailIsExact();
}

TEST_P(LossySessionTest, IsNeverServedAsExactAndIsReplacedByIt) {
  ASSERT_NO_FATAL_FAILURE(Calibrate());
  ASSERT_OK(Save({.codec = GetParam()}));
  const auto as_exact = Restore(Tier::kExact);
  ASSERT_OK(as_exact);
  EXPECT_EQ(as_exact->valid_end, 0u);
  // The same again sends nothing; exact state takes its place.
  const auto again = Save({.codec = GetParam()});
  ASSERT_OK(again);
  EXPECT_EQ(again->frame_bytes, 0u);
  ASSERT_OK(Save());
  const auto healed = Restore(Tier::kExact);
  ASSERT_OK(healed);
  EXPECT_EQ(healed->valid_end, kTokens);
  for (uint32_t token = 0; token < kTokens; ++token) {
    ASSERT_EQ(restored_->Token(token), exact_.Token(token)) << token;
  }
  // And is not given up for the lossy form again.
  const auto worse = Save({.codec = GetParam()});
  ASSERT_OK(worse);
  EXPECT_EQ(worse->frame_bytes, 0u);
}

TEST_P(LossySessionTest, SurvivesACollectionAndFsck) {
  ASSERT_NO_FATAL_FAILURE(Calibrate());
  ASSERT_OK(Save({.codec = GetParam()}));
  ASSERT_OK(worker_.client->RunCollection());
  ASSERT_OK(worker_.client->RunFsck(true, nullptr));
  const auto result = Restore(choice_.tier());
  ASSERT_OK(result);
  EXPECT_EQ(result->valid_end, kTokens);
}

// A byte of a frame of the second segment, wherever in it. A save heals it.
TEST_P(LossySessionTest, AFlippedByteCostsItsSegment) {
  ASSERT_NO_FATAL_FAILURE(Calibrate());
  ASSERT_OK(Save({.codec = GetParam()}));
  const auto frames = [&] { return FramesOfSecondSegment(); };
  const size_t count = frames().frames.size();
  ASSERT_GE(count, 1u);
  for (size_t f = 0; f < count; ++f) {
    for (const double place : {0.0, 0.1, 0.5, 0.97}) {
      const SegmentFrames now = frames();
      ASSERT_EQ(now.frames.size(), count);
      const std::string key =
          FrameKey(now.domain, now.segment, now.frames[f].rendition,
                   now.frames[f].index);
      const ObjectRef ref{now.frames[f].space, key};
      const auto got = daemon_.engine()->Get(ref);
      ASSERT_OK(got);
      Bytes flipped(got->view().begin(), got->view().end());
      flipped[static_cast<size_t>(place *
                                  static_cast<double>(flipped.size()))] ^= 0x10;
      Replace(ref, flipped);
      const auto result = Restore(choice_.tier());
      ASSERT_OK(result);
      EXPECT_EQ(result->valid_end, kSegmentTokens) << place;
      ASSERT_OK(Save({.codec = GetParam()}));
      const auto healed = Restore(choice_.tier());
      ASSERT_OK(healed);
      EXPECT_EQ(healed->valid_end, kTokens);
    }
  }
}

std::string NameOf(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !isalnum(c); },
      '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Codecs, LossySessionTest,
                         testing::Values("tsc", "tsc:bits=8,kappa=16",
                                         "vq:centroids=16",
                                         "pq:centroids=16,worst=0.1"),
                         NameOf);

// --- Dropped tokens. ---

class DroppedTokensTest : public LossySessionTest {
 protected:
  // Position 1, and every fourth token of the second segment.
  DroppedTokensTest() {
    keep_.assign(kTokens, 1);
    keep_[1] = 0;
    for (uint32_t t = 64; t < 128; t += 4) keep_[t] = 0;
    // Tails are kept whole.
    keep_[kWhole + 1] = 0;
    for (uint32_t t = 0; t < kWhole; ++t) {
      if (keep_[t] == 0) dropped_.push_back(t);
    }
  }
  std::vector<uint8_t> keep_;
  std::vector<uint64_t> dropped_;
};

TEST_P(DroppedTokensTest, AreNamedByARestoreThatAcceptsThem) {
  const auto whole = Save({.codec = GetParam(), .keep = keep_});
  ASSERT_OK(whole);
  const auto result = Restore(Tier::kArchive, /*accept_dropped=*/true);
  ASSERT_OK(result);
  EXPECT_EQ(result->valid_end, kTokens);
  EXPECT_EQ(result->dropped, dropped_);
  EXPECT_EQ(result->info.ranges[0].tier, Tier::kArchive);
  for (const uint64_t token : dropped_) {
    const Bytes row = restored_->Token(static_cast<uint32_t>(token));
    EXPECT_EQ(row, Bytes(row.size(), 0)) << token;
  }
  ExpectTailIsExact();
}

TEST_P(DroppedTokensTest, AreLostToACallerThatDoesNotAskForThem) {
  ASSERT_OK(Save({.codec = GetParam(), .keep = keep_}));
  const auto result = Restore(Tier::kArchive);
  ASSERT_OK(result);
  EXPECT_EQ(result->valid_end, 0u);
  EXPECT_TRUE(result->dropped.empty());
  // Without dropped tokens it is better than with them.
  ASSERT_OK(Save({.codec = GetParam()}));
  const auto better = Restore(Tier::kArchive);
  ASSERT_OK(better);
  EXPECT_EQ(better->valid_end, kTokens);
}

TEST_P(DroppedTokensTest, AreRefusedWhereNoCodecCanDropThem) {
  ExpectStatus(Save({.codec = "exact", .keep = keep_}).status(),
               StatusCode::kUnimplemented, "can't drop tokens");
  keep_.pop_back();
  ExpectStatus(Save({.codec = GetParam(), .keep = keep_}).status(),
               StatusCode::kInvalidArgument,
               "keep is of 199 tokens, there are 200");
}

INSTANTIATE_TEST_SUITE_P(Codecs, DroppedTokensTest, testing::Values("tsc"),
                         NameOf);

}  // namespace
}  // namespace reprise
