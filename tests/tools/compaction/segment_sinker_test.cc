// Segments on their way down: what is there afterwards, what is recorded of it,
// and what happens when something goes wrong in the middle.
#include "tools/compaction/segment_sinker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "base/limits.h"
#include "store/collector.h"
#include "store/fsck.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/bit_stages_codec.h"
#include "tests/support/failing_engine.h"
#include "tests/support/klt_parts.h"
#include "tests/tools/compaction/coded_state.h"
#include "tests/tools/compaction/lying_codec.h"

namespace reprise {
namespace {

Ladder OneTier(Tier tier, std::string codec, double limit) {
  return {"one", {{Tier::kExact, "exact", 0}, {tier, std::move(codec), limit}}};
}

class SegmentSinkerTest : public CatalogueFixture {
 protected:
  SegmentSinkerTest() { Save(catalogue_.get()); }

  void Save(Catalogue* catalogue, const CodedOptions& options = {}) {
    CodedWorker worker(catalogue, tenant_, TinyModel());
    REPRISE_ASSERT_OK(worker.Save("a", tokens_, options));
  }
  void StartAgain(const CodedOptions& options = {}) {
    store_ = MakeMemoryStore();
    engine_ = OpenMemoryEngine(store_);
    catalogue_ = OpenCatalogue(engine_.get());
    Save(catalogue_.get(), options);
  }

  // Segments and the tail.
  std::vector<SinkTask> Tasks(Tier wanted) const {
    std::vector<SinkTask> tasks;
    for (const SegmentRecord& segment : segments_) {
      tasks.push_back({tenant_, segment.Id(), {wanted}, ladder_});
    }
    return tasks;
  }
  std::vector<SinkReport> Sink(Tier wanted, SinkerOptions options = {}) {
    SegmentSinker sinker(catalogue_.get(), options);
    std::vector<SinkReport> reports;
    REPRISE_EXPECT_CODE(kOk, sinker.Sink(Tasks(wanted), &reports));
    return reports;
  }
  Status SinkWith(Catalogue* catalogue, Tier wanted,
                  const SinkerOptions& options = {}) {
    SegmentSinker sinker(catalogue, options);
    std::vector<SinkReport> reports;
    return sinker.Sink(Tasks(wanted), &reports);
  }
  std::vector<SinkResult> ResultsOf(Tier wanted) {
    std::vector<SinkResult> results;
    for (const SinkReport& report : Sink(wanted)) {
      results.push_back(report.result);
    }
    return results;
  }
  // Of the two segments, then of the tail.
  static std::vector<SinkResult> Each(SinkResult segments, SinkResult tail) {
    return {segments, segments, tail};
  }

  std::vector<Rendition> Stored(size_t segment) {
    const auto head =
        engine_->GetHead(HeadSpace::kRendition,
                         DomainKey(tenant_, segments_[segment].Id().view()));
    EXPECT_TRUE(head.ok());
    const auto set = DecodeRenditionSet(head->value.view());
    EXPECT_TRUE(set.ok());
    return set->renditions;
  }
  std::vector<Tier> TiersOf(size_t segment) {
    std::vector<Tier> tiers;
    for (const Rendition& each : Stored(segment)) tiers.push_back(each.tier);
    return tiers;
  }
  uint64_t FrameBytes() {
    uint64_t bytes = 0;
    for (const ObjectSpace space : kAllObjectSpaces) {
      if (space < ObjectSpace::kTailFrame) continue;
      std::vector<ObjectStore::Listed> listed;
      EXPECT_TRUE(engine_->List(space, "", "", 100'000, &listed).ok());
      for (const auto& object : listed) bytes += object.bytes;
    }
    return bytes;
  }
  void RemoveFrames(const Rendition& rendition, size_t segment) {
    for (const FrameRef& frame : rendition.frames) {
      const std::string key = FrameKey(tenant_, segments_[segment].Id(),
                                       frame.rendition, frame.index);
      const ObjectRef ref{frame.space, key};
      ASSERT_TRUE(engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).ok());
    }
  }

  void Collect() {
    auto collector = MakeCollector(catalogue_.get(), {});
    while (collector->phase() != Collector::Phase::kDone) {
      if (collector->phase() == Collector::Phase::kWaitFirst ||
          collector->phase() == Collector::Phase::kWaitSecond) {
        clock_.AdvanceMs(collector->wait_until_ms() - clock_.MonotonicMs());
      }
      REPRISE_ASSERT_OK(collector->Step());
    }
  }
  void ExpectIsClean() {
    const auto report = Fsck(catalogue_.get(), {});
    REPRISE_ASSERT_OK(report.status());
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.what;
  }
  // Every segment of the session decodes to the very values that were saved,
  // or to what they are in `tier`: never to something in between.
  void ExpectIsOldOrNew(std::string_view session, Tier tier) {
    CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
    const auto read = worker.ReadAll(session);
    REPRISE_ASSERT_OK(read.status());
    for (const auto& each : *read) {
      const std::vector<Bytes> saved = worker.Values(each.segment, 1);
      if (each.rendition.tier == Tier::kExact) {
        EXPECT_EQ(each.values, saved);
        continue;
      }
      ASSERT_EQ(each.rendition.tier, tier);
      if (tier == Tier::kTokens) continue;
      CodecShelf shelf(catalogue_.get());
      const auto model = shelf.Model(tenant_, worker.model());
      REPRISE_ASSERT_OK(model.status());
      const auto tokens = static_cast<uint32_t>(each.segment.tokens.size());
      for (size_t g = 0; g < saved.size(); ++g) {
        double worst = 0;
        EXPECT_EQ("", FindErrorOver(
                          (*model)->groups[g], tokens, saved[g], each.values[g],
                          ladder_->Find(tier)->max_relative_error, &worst));
        EXPECT_GT(worst, 0);
      }
    }
  }

  // The engine fails at each call in turn, or its answer is lost, and from
  // then on.
  void CutOffAtAnyPoint(Tier wanted, const SinkerOptions& options,
                        bool is_done) {
    const Status kinds[] = {UnavailableError("killed"),
                            ResourceExhaustedError("no space")};
    for (int at = 0;; ++at) {
      StartAgain();
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto dying = OpenCatalogue(&hooked);
      std::atomic<int> call = 0;
      const Status& kind = kinds[at % 2];
      const auto die = [&]() -> Status {
        return call++ < at ? Status() : kind;
      };
      (is_done ? hooked.after : hooked.before) = die;
      const Status status = SinkWith(dying.get(), wanted, options);
      if (status.ok()) break;
      EXPECT_EQ(status.code(), kind.code()) << status.ToString();
      ExpectIsOldOrNew("a", wanted);
      Collect();
      ExpectIsOldOrNew("a", wanted);
      ExpectIsClean();
      REPRISE_ASSERT_OK(SinkWith(catalogue_.get(), wanted));
      EXPECT_EQ(Stored(0).size(), wanted == Tier::kTokens ? 0u : 1u);
      ExpectIsOldOrNew("a", wanted);
      ASSERT_FALSE(HasFailure()) << "call " << at;
    }
  }

  const std::vector<TokenId> tokens_ = ToyTokens(1, 128 + 20);
  const std::vector<SegmentRecord> segments_ =
      ToySegments(worker_.model(), tokens_);
  const std::vector<Ladder> ladders_ = BuiltInLadders();
  const Ladder* ladder_ = FindLadder(ladders_, "series");
};

// --- The ways down. ---

TEST_F(SegmentSinkerTest, IsEncodedAnewAndItsLineageIsRecorded) {
  const uint64_t before = FrameBytes();
  const auto reports = Sink(Tier::kNear);
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].result, SinkResult::kEncoded);
  EXPECT_EQ(reports[0].reason, "");
  EXPECT_EQ(reports[2].result, SinkResult::kNothingToDo);
  EXPECT_GT(reports[0].bytes_before, reports[0].bytes_after);
  EXPECT_GT(reports[0].worst_error, 0);
  EXPECT_LT(reports[0].worst_error, 0.1);
  EXPECT_EQ(reports[0].raw_bytes, 64 * worker_.spec().token_bytes());
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kNear});
  EXPECT_EQ(TiersOf(2), std::vector<Tier>{Tier::kExact});
  const Rendition near = Stored(0)[0];
  EXPECT_EQ(near.codec, CodecId::kTsc);
  EXPECT_EQ(near.basis, Tier::kExact);
  EXPECT_EQ(near.writer, 7u);
  ExpectIsOldOrNew("a", Tier::kNear);
  uint64_t promised = 0;
  uint64_t was = 0;
  for (const SinkReport& report : reports) promised += report.bytes_after;
  for (const SinkReport& report : reports) was += report.bytes_before;
  EXPECT_EQ(was, before);
  Collect();
  EXPECT_EQ(FrameBytes(), promised);
  // From near on it is made of what was lossy already, and says so.
  EXPECT_EQ(ResultsOf(Tier::kCoarse),
            Each(SinkResult::kEncoded, SinkResult::kDropped));
  EXPECT_EQ(Stored(0)[0].tier, Tier::kCoarse);
  EXPECT_EQ(Stored(0)[0].basis, Tier::kNear);
  EXPECT_EQ(TiersOf(2), std::vector<Tier>());
  Collect();
  ExpectIsClean();
  EXPECT_EQ(ResultsOf(Tier::kCoarse),
            Each(SinkResult::kNothingToDo, SinkResult::kNothingToDo));
  EXPECT_EQ(ResultsOf(Tier::kNear),
            Each(SinkResult::kNothingToDo, SinkResult::kNothingToDo));
}

TEST_F(SegmentSinkerTest, ABasisIsNeverMadeBetter) {
  StartAgain({.basis = Tier::kCoarse});
  EXPECT_EQ(ResultsOf(Tier::kNear)[0], SinkResult::kEncoded);
  EXPECT_EQ(Stored(0)[0].tier, Tier::kNear);
  EXPECT_EQ(Stored(0)[0].basis, Tier::kCoarse);
  EXPECT_EQ(Stored(0)[0].effective(), Tier::kCoarse);
}

TEST_F(SegmentSinkerTest, StagesAreDroppedWithoutReadingAByte) {
  StagedCodec::Install();
  StartAgain({.codec = "staged"});
  const Rendition near = Stored(0)[0];
  const Ladder none{"none", {{Tier::kExact, "exact"}}};
  ladder_ = &none;
  const auto reports = Sink(Tier::kCoarse);
  EXPECT_EQ(reports[0].result, SinkResult::kDerived);
  EXPECT_EQ(reports[0].bytes_read, 0u);
  EXPECT_EQ(reports[0].bytes_written, 0u);
  const Rendition coarse = Stored(0)[0];
  EXPECT_EQ(coarse.tier, Tier::kCoarse);
  EXPECT_EQ(coarse.basis, Tier::kExact);
  ASSERT_EQ(coarse.frames.size(), 2u);
  EXPECT_EQ(coarse.frames[0], near.frames[0]);
  EXPECT_EQ(reports[0].bytes_after, coarse.stored_bytes());
  EXPECT_EQ(ResultsOf(Tier::kArchive)[0], SinkResult::kDerived);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kArchive});
  Collect();
  ExpectIsClean();
  SetExtraCodec(nullptr);
}

TEST_F(SegmentSinkerTest, ToTokensAllFramesGo) {
  EXPECT_EQ(ResultsOf(Tier::kTokens),
            Each(SinkResult::kDropped, SinkResult::kDropped));
  Collect();
  EXPECT_EQ(FrameBytes(), 0u);
  ExpectIsOldOrNew("a", Tier::kTokens);
  ExpectIsClean();
  // A worker that recomputed makes it exact again, and it may sink again.
  Save(catalogue_.get());
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
  EXPECT_EQ(ResultsOf(Tier::kNear)[1], SinkResult::kEncoded);
}

TEST_F(SegmentSinkerTest, FramesOfSeveralRanksBecomeOne) {
  ToyWorker ranks(catalogue_.get(), tenant_, TinyModel());
  CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
  // Two halves of an exact rendition, each with half of the heads.
  const std::vector<Bytes> values = worker.Values(segments_[0], 1);
  CodecShelf shelf(catalogue_.get());
  const auto model = shelf.Model(tenant_, worker.model());
  REPRISE_ASSERT_OK(model.status());
  PublishItem item{segments_[0], {}};
  item.rendition.id.bytes.fill(9);
  item.rendition.codec = CodecId::kRaw;
  const Codec* const raw = FindCodec(CodecId::kRaw);
  const LayerGroup layers = (*model)->groups[0].layers;
  for (uint16_t rank = 0; rank < 2; ++rank) {
    EncodeRequest request;
    request.info.model = worker.model();
    request.info.segment = segments_[0].Id();
    request.info.token_count = 64;
    request.info.layers = layers;
    request.info.heads = {rank, 1, 2};
    const auto slices = SlicePlanes((*model)->spec, layers, request.info.heads);
    REPRISE_ASSERT_OK(slices.status());
    std::vector<ConstPlaneRows> rows;
    for (size_t i = 0; i < slices->size(); ++i) {
      const uint64_t row_bytes = (*model)->groups[0].slices[i].token_bytes();
      rows.push_back({values[0].data() + i * 64 * row_bytes +
                          rank * (*slices)[i].token_bytes(),
                      row_bytes});
    }
    request.slices = *slices;
    request.rows = rows;
    FrameBuilder builder;
    CodecScratch scratch;
    REPRISE_ASSERT_OK(raw->Encode(request, &scratch, &builder));
    const auto frame = builder.Finish();
    REPRISE_ASSERT_OK(frame.status());
    const FramePut put{item.rendition.id, Tier::kExact, *frame};
    REPRISE_ASSERT_OK(catalogue_->PutFrames(tenant_, {&put, 1}));
    FrameRef ref;
    ref.rendition = item.rendition.id;
    ref.layer_count = static_cast<uint16_t>(layers.layer_count);
    ref.heads = request.info.heads;
    ref.index = FrameIndex(0, 0, rank);
    ref.bytes = static_cast<uint32_t>(frame->size());
    ref.checksum = Checksum(*frame);
    item.rendition.frames.push_back(ref);
  }
  // The one that was there would be kept.
  RemoveFrames(Stored(0)[0], 0);
  std::vector<PublishOutcome> out;
  REPRISE_ASSERT_OK(catalogue_->Publish(tenant_, {&item, 1}, &out));
  ASSERT_EQ(Stored(0)[0].frames.size(), 2u);
  EXPECT_EQ(ResultsOf(Tier::kNear)[0], SinkResult::kEncoded);
  EXPECT_EQ(Stored(0)[0].frames.size(), 1u);
  ExpectIsOldOrNew("a", Tier::kNear);
}

// --- What can't be done is left as it is. ---

TEST_F(SegmentSinkerTest, WithoutAProfileItIsSkippedWithTheReason) {
  ladder_ = FindLadder(ladders_, "default");
  const auto reports = Sink(Tier::kNear);
  EXPECT_EQ(reports[0].result, SinkResult::kSkipped);
  EXPECT_EQ(reports[0].reason,
            "ladder default: tier near by klt:tier=near: there is no profile "
            "of codec klt for model " +
                worker_.model().ShortHex() +
                "; `reprise calibrate klt` makes one");
  EXPECT_EQ(reports[0].bytes_after, reports[0].bytes_before);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
  const Ladder short_one = OneTier(Tier::kNear, "nobody:x=1", 1);
  ladder_ = &short_one;
  EXPECT_EQ(Sink(Tier::kCoarse)[0].reason,
            "ladder one: no codec makes tier coarse");
  const auto unknown = Sink(Tier::kNear);
  EXPECT_EQ(unknown[0].result, SinkResult::kSkipped);
  EXPECT_NE(unknown[0].reason.find("nobody"), std::string::npos);
  const Ladder worse = OneTier(Tier::kNear, "tsc:bits=4", 1);
  ladder_ = &worse;
  EXPECT_EQ(Sink(Tier::kNear)[0].reason,
            "ladder one: tier near by tsc:bits=4: it makes tier coarse");
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
}

TEST_F(SegmentSinkerTest, AProfileOfOtherWeightsMustHaveBeenAccepted) {
  ladder_ = FindLadder(ladders_, "default");
  KltProfileParts parts = PlainKltParts(worker_.spec());
  parts.weights.bytes.fill(3);
  const Bytes profile = EncodeKltProfile(parts);
  for (const bool accepted : {false, true}) {
    REPRISE_ASSERT_OK(catalogue_
                          ->PutProfile(tenant_, worker_.model(), CodecId::kKlt,
                                       profile, accepted)
                          .status());
    const auto reports = Sink(Tier::kNear);
    if (!accepted) {
      EXPECT_EQ(reports[0].result, SinkResult::kSkipped);
      EXPECT_NE(reports[0].reason.find("nobody accepted it"),
                std::string::npos);
      continue;
    }
    EXPECT_EQ(reports[0].result, SinkResult::kEncoded) << reports[0].reason;
    const Rendition near = Stored(0)[0];
    EXPECT_EQ(near.codec, CodecId::kKlt);
    EXPECT_TRUE(near.other_weights);
    EXPECT_GT(near.frames.back().stage, 0);
    ExpectIsOldOrNew("a", Tier::kNear);
  }
  // From here on frames are dropped, and the values are the profile's still.
  for (const Tier tier : {Tier::kCoarse, Tier::kArchive}) {
    EXPECT_EQ(ResultsOf(tier)[0], SinkResult::kDerived);
    EXPECT_EQ(TiersOf(0), std::vector<Tier>{tier});
    EXPECT_EQ(Stored(0)[0].basis, Tier::kExact);
    CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
    REPRISE_ASSERT_OK(worker.ReadAll("a").status());
  }
  Collect();
  ExpectIsClean();
}

TEST_F(SegmentSinkerTest, OverTheLimitTheOldOneStays) {
  const Ladder strict = OneTier(Tier::kNear, "tsc:bits=8", 1e-6);
  ladder_ = &strict;
  const uint64_t before = FrameBytes();
  const auto reports = Sink(Tier::kNear);
  EXPECT_EQ(reports[0].result, SinkResult::kFailedCheck);
  EXPECT_EQ(reports[0].reason.find("layer 0 plane k: relative error is 0.0"),
            0u)
      << reports[0].reason;
  EXPECT_NE(reports[0].reason.find("limit is 1e-06"), std::string::npos);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
  EXPECT_EQ(FrameBytes(), before);
}

TEST_F(SegmentSinkerTest, ACodecThatLiesIsCaught) {
  LyingCodec& codec = LyingCodec::Install();
  const Ladder lying = OneTier(Tier::kNear, "lying", 0.1);
  ladder_ = &lying;
  const std::pair<LyingCodec::Lie, std::string> lies[] = {
      {LyingCodec::Lie::kWrongValues, "relative error is 2"},
      {LyingCodec::Lie::kWrongSegment, "segment is not what"},
      {LyingCodec::Lie::kUndecodable, "mode 1"},
      {LyingCodec::Lie::kFlickers, "read back: values of layer group 0"},
  };
  for (const auto& [lie, reason] : lies) {
    codec.lie = lie;
    for (const SinkReport& report : Sink(Tier::kNear)) {
      if (report.result == SinkResult::kNothingToDo) continue;  // the tail
      EXPECT_EQ(report.result, SinkResult::kFailedCheck);
      EXPECT_NE(report.reason.find(reason), std::string::npos) << report.reason;
      EXPECT_EQ(report.bytes_after, report.bytes_before);
    }
    codec.lie = LyingCodec::Lie::kNone;
    EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
    ExpectIsOldOrNew("a", Tier::kNear);
    Collect();
    ExpectIsClean();
  }
  EXPECT_EQ(ResultsOf(Tier::kNear)[0], SinkResult::kEncoded);
  SetExtraCodec(nullptr);
}

// The first of a batch is decoded before it is written too; the others are seen
// through when they are read back.
TEST_F(SegmentSinkerTest, ALieBehindTheProbeIsCaughtWhenItIsReadBack) {
  LyingCodec& codec = LyingCodec::Install();
  const Ladder lying = OneTier(Tier::kNear, "lying", 0.1);
  ladder_ = &lying;
  codec.StartAgain(LyingCodec::Lie::kWrongLater);
  const auto reports = Sink(Tier::kNear);
  EXPECT_EQ(reports[0].result, SinkResult::kEncoded) << reports[0].reason;
  EXPECT_EQ(reports[1].result, SinkResult::kFailedCheck);
  EXPECT_EQ(reports[1].reason.find("read back: layer 0 plane k: relative error "
                                   "is 2"),
            0u)
      << reports[1].reason;
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kNear});
  EXPECT_EQ(TiersOf(1), std::vector<Tier>{Tier::kExact});
  codec.lie = LyingCodec::Lie::kNone;
  Collect();
  ExpectIsClean();
  CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
  const auto read = worker.ReadAll("a");
  REPRISE_ASSERT_OK(read.status());
  for (const auto& each : *read) {
    EXPECT_EQ(each.values, worker.Values(each.segment, 1));
  }
  SetExtraCodec(nullptr);
}

// One answer that was another is enough to trust none of its maker.
TEST_F(SegmentSinkerTest, WhoDecodesAProbeTwoWaysIsRefusedTheWholeBatch) {
  LyingCodec& codec = LyingCodec::Install();
  const Ladder lying = OneTier(Tier::kNear, "lying", 0.1);
  ladder_ = &lying;
  codec.StartAgain(LyingCodec::Lie::kFlickersOnce);
  const auto reports = Sink(Tier::kNear);
  for (const size_t i : {0, 1}) {
    EXPECT_EQ(reports[i].result, SinkResult::kFailedCheck);
    EXPECT_EQ(reports[i].reason,
              "read back: values of layer group 0 are not those that the "
              "encoder's frames gave");
    EXPECT_EQ(TiersOf(i), std::vector<Tier>{Tier::kExact});
  }
  // In batches of one, each is its own probe.
  codec.StartAgain(LyingCodec::Lie::kFlickersOnce);
  const auto alone = Sink(Tier::kNear, {.batch_row_bytes = 1});
  EXPECT_EQ(alone[0].result, SinkResult::kFailedCheck);
  EXPECT_EQ(alone[1].result, SinkResult::kEncoded) << alone[1].reason;
  SetExtraCodec(nullptr);
}

// Zeros are off by 1, which the limit of archive lets pass.
TEST_F(SegmentSinkerTest, NothingInThePlaceOfValuesIsCaughtInEveryTier) {
  LyingCodec& codec = LyingCodec::Install();
  const std::pair<LyingCodec::Lie, std::string> lies[] = {
      {LyingCodec::Lie::kZeros, "plane k: all of it decodes to one value"},
      {LyingCodec::Lie::kFaint,
       "layers from 0: mean relative error of planes is 1, limit is 0.9"},
      {LyingCodec::Lie::kZeroPlane,
       "layer 1 plane v: all of it decodes to one value"},
  };
  const Ladder archive =
      OneTier(Tier::kArchive, "lying", DefaultMaxRelativeError(Tier::kArchive));
  ladder_ = &archive;
  for (const auto& [lie, reason] : lies) {
    codec.lie = lie;
    const auto reports = Sink(Tier::kArchive);
    EXPECT_EQ(reports[0].result, SinkResult::kFailedCheck);
    EXPECT_NE(reports[0].reason.find(reason), std::string::npos)
        << reports[0].reason;
    EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
    EXPECT_GT(reports[0].worst_error, 0.99);
    EXPECT_LE(reports[0].worst_error, 1);
  }
  codec.lie = LyingCodec::Lie::kNone;
  EXPECT_EQ(ResultsOf(Tier::kArchive)[0], SinkResult::kEncoded);
  SetExtraCodec(nullptr);
}

TEST_F(SegmentSinkerTest, WhatIsDamagedIsMadeFromTheNextBest) {
  CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
  LyingCodec::Install();
  // A near one first: it would add nothing to an exact one.
  StartAgain({.codec = "lying"});
  Save(catalogue_.get());
  ASSERT_EQ(TiersOf(0), (std::vector<Tier>{Tier::kExact, Tier::kNear}));
  RemoveFrames(Stored(0)[0], 0);
  RemoveFrames(Stored(1)[0], 1);
  RemoveFrames(Stored(1)[1], 1);
  const auto results = ResultsOf(Tier::kCoarse);
  EXPECT_EQ(results[0], SinkResult::kEncoded);
  EXPECT_EQ(results[1], SinkResult::kUnreadable);
  EXPECT_EQ(Stored(0)[0].tier, Tier::kCoarse);
  EXPECT_EQ(Stored(0)[0].basis, Tier::kNear);
  EXPECT_EQ(TiersOf(1), (std::vector<Tier>{Tier::kExact, Tier::kNear}));
  SetExtraCodec(nullptr);
}

// A rendition of the tier is there, can't be decoded, and can't be made anew:
// then the tier is passed over as any other that can't be made.
TEST_F(SegmentSinkerTest, WhatIsThereAndDamagedIsPassedOverWithoutACodec) {
  StartAgain({.codec = "tsc:bits=4"});
  Save(catalogue_.get());
  ASSERT_EQ(TiersOf(0), (std::vector<Tier>{Tier::kExact, Tier::kCoarse}));
  RemoveFrames(Stored(0)[1], 0);
  const Ladder near = OneTier(Tier::kNear, "tsc:bits=8", 1);
  ladder_ = &near;
  std::vector<SinkTask> tasks = Tasks(Tier::kCoarse);
  for (SinkTask& task : tasks) task.tiers.push_back(Tier::kNear);
  SegmentSinker sinker(catalogue_.get(), {});
  std::vector<SinkReport> reports;
  REPRISE_ASSERT_OK(sinker.Sink(tasks, &reports));
  EXPECT_EQ(reports[0].result, SinkResult::kEncoded);
  EXPECT_EQ(reports[0].reason, "ladder one: no codec makes tier coarse");
  EXPECT_EQ(reports[0].instead, Tier::kNear);
  EXPECT_EQ(TiersOf(0)[0], Tier::kNear);
  // The other one needs no codec.
  EXPECT_EQ(reports[1].result, SinkResult::kDropped);
  EXPECT_EQ(reports[1].reason, "");
  EXPECT_EQ(TiersOf(1), std::vector<Tier>{Tier::kCoarse});
  // A tail goes as far as segments can be made to.
  EXPECT_EQ(reports[2].result, SinkResult::kSkipped);
}

TEST_F(SegmentSinkerTest, AnotherWritersRenditionIsComparedFirst) {
  StartAgain({.codec = "tsc:bits=8"});
  Save(catalogue_.get());
  ASSERT_EQ(TiersOf(0), (std::vector<Tier>{Tier::kExact, Tier::kNear}));
  EXPECT_EQ(ResultsOf(Tier::kNear)[0], SinkResult::kDropped);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kNear});
  // Other values under the name of near.
  StartAgain({.codec = "tsc:bits=8", .seed = 99});
  Save(catalogue_.get());
  const auto reports = Sink(Tier::kNear);
  EXPECT_EQ(reports[0].result, SinkResult::kFailedCheck);
  EXPECT_NE(reports[0].reason.find("limit is"), std::string::npos);
  EXPECT_EQ(TiersOf(0), (std::vector<Tier>{Tier::kExact, Tier::kNear}));
  // One that can't be read is made anew.
  RemoveFrames(Stored(0)[1], 0);
  EXPECT_EQ(ResultsOf(Tier::kNear)[0], SinkResult::kEncoded);
  ExpectIsClean();
}

// --- Beside others. ---

TEST_F(SegmentSinkerTest, AFetchUnderWayKeepsItsFrames) {
  CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
  FetchRequest request;
  request.session = "a";
  request.lease_ms = kMaxLeaseMs;
  const auto plan = catalogue_->PlanFetch(tenant_, request);
  REPRISE_ASSERT_OK(plan.status());
  EXPECT_EQ(ResultsOf(Tier::kCoarse)[0], SinkResult::kEncoded);
  Collect();
  for (const FetchSegment& segment : plan->segments) {
    const auto values = worker.Read(segment.segment, segment.rendition);
    REPRISE_ASSERT_OK(values.status());
    EXPECT_EQ(*values, worker.Values(segment.segment, 1));
  }
  clock_.AdvanceMs(kMaxLeaseMs);
  Collect();
  REPRISE_EXPECT_CODE(kNotFound, worker.Read(plan->segments[0].segment,
                                             plan->segments[0].rendition));
  ExpectIsClean();
}

// A crash, or a disk that is full, at every call of the engine, with and
// without its effect.
TEST_F(SegmentSinkerTest, ACutOffAtAnyPointLeavesOldOrNew) {
  for (const bool is_done : {false, true}) {
    CutOffAtAnyPoint(Tier::kNear, {}, is_done);
    // One is encoded while another is written.
    CutOffAtAnyPoint(Tier::kNear, {.batch_row_bytes = 1}, is_done);
    CutOffAtAnyPoint(Tier::kTokens, {}, is_done);
  }
}

TEST_F(SegmentSinkerTest, StoppedWhileABatchIsWrittenTheOldOneStays) {
  FailingEngine hooked(engine_.get());
  const auto watched = OpenCatalogue(&hooked);
  SegmentSinker sinker(watched.get(), {.batch_row_bytes = 1});
  const auto encoder = std::this_thread::get_id();
  std::atomic<int> calls_beside = 0;
  hooked.before = [&] {
    if (std::this_thread::get_id() == encoder) return Status();
    ++calls_beside;
    sinker.Stop();
    return Status();
  };
  std::vector<SinkReport> reports;
  REPRISE_EXPECT_CODE(kUnavailable, sinker.Sink(Tasks(Tier::kNear), &reports));
  EXPECT_GT(calls_beside, 0);
  for (const size_t i : {0, 1}) {
    EXPECT_EQ(reports[i].result, SinkResult::kNotDone) << reports[i].reason;
    EXPECT_EQ(TiersOf(i), std::vector<Tier>{Tier::kExact});
  }
  Collect();
  ExpectIsClean();
  EXPECT_EQ(ResultsOf(Tier::kNear)[0], SinkResult::kEncoded);
}

// At each call of the engine something happens to the very session.
TEST_F(SegmentSinkerTest, OthersMayUseTheSessionMeanwhile) {
  using Other = std::function<Status(CodedWorker*)>;
  const std::map<std::string, Other> others = {
      {"save", [&](CodedWorker* worker) { return worker->Save("a", tokens_); }},
      {"append",
       [&](CodedWorker* worker) {
         auto longer = tokens_;
         longer.resize(tokens_.size() + 70, 5);
         return worker->Save("a", longer);
       }},
      {"fork",
       [&](CodedWorker*) {
         return catalogue_->Fork(tenant_, "a", CommitId(), "b").status();
       }},
      {"restore",
       [&](CodedWorker* worker) { return worker->ReadAll("a").status(); }},
      {"remove",
       [&](CodedWorker*) { return catalogue_->RemoveSession(tenant_, "a"); }},
      {"sink",
       [&](CodedWorker*) { return SinkWith(catalogue_.get(), Tier::kNear); }},
  };
  for (const auto& [name, act] : others) {
    const Other& other = act;  // which a lambda may name
    for (int at = 0;; ++at) {
      StartAgain();
      CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto racing = OpenCatalogue(&hooked);
      int call = 0;
      Status of_other;
      hooked.before = [&] {
        if (call++ == at) of_other = other(&worker);
        return Status();
      };
      REPRISE_ASSERT_OK(SinkWith(racing.get(), Tier::kNear));
      REPRISE_ASSERT_OK(of_other);
      if (name != "remove") ExpectIsOldOrNew("a", Tier::kNear);
      if (name == "fork" && call > at) ExpectIsOldOrNew("b", Tier::kNear);
      Collect();
      ExpectIsClean();
      if (name != "remove") ExpectIsOldOrNew("a", Tier::kNear);
      ASSERT_FALSE(HasFailure()) << name << " at call " << at;
      if (call <= at) break;
    }
  }
}

// A collection marks and condemns at each of its calls, or is only done with
// its first wait then; it sweeps afterwards.
TEST_F(SegmentSinkerTest, ItMayHappenInsideOfACollection) {
  using Phase = Collector::Phase;
  for (const Phase until : {Phase::kMarkFirst, Phase::kWaitSecond}) {
    for (int at = 0;; ++at) {
      StartAgain();
      REPRISE_ASSERT_OK(SinkWith(catalogue_.get(), Tier::kNear));  // garbage
      const auto collector = MakeCollector(catalogue_.get(), {});
      const auto step_to = [&](Phase phase) {
        while (collector->phase() != phase) {
          if (collector->phase() == Phase::kWaitFirst ||
              collector->phase() == Phase::kWaitSecond) {
            clock_.AdvanceMs(collector->wait_until_ms() - clock_.MonotonicMs());
          }
          REPRISE_ASSERT_OK(collector->Step());
        }
      };
      step_to(Phase::kMarkFirst);
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto sinking = OpenCatalogue(&hooked);
      int call = 0;
      hooked.before = [&] {
        if (call++ == at) step_to(until);
        return Status();
      };
      REPRISE_ASSERT_OK(SinkWith(sinking.get(), Tier::kCoarse));
      step_to(Phase::kDone);
      ExpectIsClean();
      EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kCoarse});
      CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
      REPRISE_ASSERT_OK(worker.ReadAll("a").status());
      Collect();
      ExpectIsClean();
      REPRISE_ASSERT_OK(worker.ReadAll("a").status());
      ASSERT_FALSE(HasFailure()) << "call " << at;
      if (call <= at) break;
    }
  }
}

// What a worker recomputed and saved after the old one was looked at stays.
TEST_F(SegmentSinkerTest, OnlyWhatWasLookedAtGoes) {
  int kept = 0;
  for (int at = 0;; ++at) {
    StartAgain({.basis = Tier::kNear});
    CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
    const auto handle = OpenMemoryEngine(store_);
    FailingEngine hooked(handle.get());
    const auto racing = OpenCatalogue(&hooked);
    int call = 0;
    bool was_seen = false;
    hooked.before = [&] {
      // The job's fourth call has read the records.
      if (call++ == at) {
        was_seen = at >= 4;
        return worker.Put(tokens_);
      }
      return Status();
    };
    REPRISE_ASSERT_OK(SinkWith(racing.get(), Tier::kTokens));
    if (call <= at) break;
    if (!was_seen) continue;
    EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
    EXPECT_EQ(Stored(0)[0].basis, Tier::kExact);
    ++kept;
  }
  EXPECT_GE(kept, 2);
}

TEST_F(SegmentSinkerTest, ManySessionsOnSeveralThreads) {
  CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
  const DomainId other = TenantDomain("other");
  CodedWorker beside(catalogue_.get(), other, TinyModel());
  std::vector<SinkTask> tasks;
  for (uint64_t s = 0; s < 20; ++s) {
    const auto tokens = ToyTokens(100 + s, 64 * 5);
    const std::string name = "s" + std::to_string(s);
    REPRISE_ASSERT_OK((s % 2 == 0 ? worker : beside).Save(name, tokens));
    for (const SegmentId& id : SegmentIdsOf(worker.model(), tokens)) {
      tasks.push_back(
          {s % 2 == 0 ? tenant_ : other, id, {Tier::kCoarse}, ladder_});
    }
  }
  SegmentSinker sinker(catalogue_.get(), {.threads = 4, .batch_bytes = 4096});
  std::vector<SinkReport> reports;
  REPRISE_ASSERT_OK(sinker.Sink(tasks, &reports));
  for (const SinkReport& report : reports) {
    EXPECT_EQ(report.result, SinkResult::kEncoded) << report.reason;
  }
  for (uint64_t s = 0; s < 20; ++s) {
    const auto read =
        (s % 2 == 0 ? worker : beside).ReadAll("s" + std::to_string(s));
    REPRISE_ASSERT_OK(read.status());
    EXPECT_EQ((*read)[4].rendition.tier, Tier::kCoarse);
  }
  Collect();
  ExpectIsClean();
  sinker.Stop();
  REPRISE_EXPECT_CODE(kUnavailable, sinker.Sink(Tasks(Tier::kNear), &reports));
  EXPECT_EQ(reports[0].result, SinkResult::kNotDone);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
}

TEST(ByteRateTest, PassesNoMoreThanItsRate) {
  using Clock = std::chrono::steady_clock;
  ByteRate rate(1'000'000);
  const auto start = Clock::now();
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(rate.Acquire(10'000));
  const std::chrono::duration<double> spent = Clock::now() - start;
  EXPECT_GE(spent.count(), 0.28);
  ByteRate free(0);
  EXPECT_TRUE(free.Acquire(UINT64_MAX));
  std::thread waiting([&] { EXPECT_FALSE(rate.Acquire(1ull << 40)); });
  rate.Stop();
  waiting.join();
  EXPECT_FALSE(rate.Acquire(0));
}

}  // namespace
}  // namespace reprise
