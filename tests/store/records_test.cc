#include "store/records.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/limits.h"
#include "store/job_record.h"
#include "store/quarantine_record.h"
#include "tests/support/random.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

template <typename Id>
Id RandomId(uint64_t seed) {
  Random random(seed);
  Id id;
  random.Fill(id.bytes);
  return id;
}

SegmentRecord SomeSegment(uint32_t count = 64) {
  SegmentRecord record;
  record.model = RandomId<ModelId>(1);
  record.parent = RandomId<SegmentId>(2);
  record.first_token = 128;
  record.tokens = ToyTokens(3, count);
  return record;
}

FrameRef SomeFrame(const RenditionId& id, uint32_t group, uint16_t head) {
  FrameRef frame;
  frame.rendition = id;
  frame.space = ObjectSpace::kFrameNear;
  frame.stage = 1;
  frame.first_layer = static_cast<uint16_t>(group * 3);
  frame.layer_count = 3;
  frame.heads = {head, 2, 4};
  frame.index = FrameIndex(1, group, head);
  frame.bytes = 1000 + head;
  frame.checksum = 0x1234567890abcdef;
  return frame;
}

Rendition SomeRendition(Tier tier) {
  Rendition rendition;
  rendition.id = RandomId<RenditionId>(static_cast<uint64_t>(tier));
  rendition.tier = tier;
  rendition.basis = Tier::kNear;
  rendition.codec = CodecId::kKlt;
  rendition.profile = RandomId<ProfileId>(9);
  rendition.writer = 77;
  rendition.time_ms = -5;
  rendition.raw_bytes = 1 << 20;
  for (const uint16_t head : {0, 2}) {
    rendition.frames.push_back(SomeFrame(rendition.id, 0, head));
  }
  rendition.frames.push_back(
      SomeFrame(RandomId<RenditionId>(99), 1, 0));  // shared
  return rendition;
}

JobRecord SomeJob() {
  JobRecord job;
  job.phase = JobPhase::kFailed;
  job.run = 7;
  job.started_ms = 1;
  job.heartbeat_ms = -2;
  job.done = 3;
  job.total = 4;
  job.holder = "pid 1";
  job.started_by = "nobody";
  job.cursor = std::string("\0\xff", 2);
  job.reason = "no space";
  job.counters = {5, 6};
  return job;
}

QuarantineRecord SomeQuarantine() {
  QuarantineRecord record;
  record.holds = QuarantineHolds::kCopy;
  record.lost_tier = 2;
  record.was = StoredPlace::Of(ObjectSpace::kFrameNear, "where it was");
  record.time_ms = 5;
  record.reason = "a check failed";
  record.copy = Bytes(3, 9);
  return record;
}

RenditionSet SomeSet() {
  return {{SomeRendition(Tier::kExact), SomeRendition(Tier::kCoarse)}};
}

RenditionSet SetOfOtherWeights() {
  RenditionSet set = SomeSet();
  set.renditions[1].other_weights = true;
  return set;
}

SessionRecord SomeSession() {
  SessionRecord record;
  record.domain = TenantDomain("acme");
  record.head = RandomId<CommitId>(4);
  record.model = RandomId<ModelId>(1);
  record.incarnation = 7;
  record.version = 3;
  record.token_count = 1000;
  record.created_ms = 10;
  record.changed_ms = 20;
  record.policy = "exact 1h";
  record.labels = {{"user", "x"}, {"empty", ""}};
  record.recent = {RandomId<CommitId>(5), RandomId<CommitId>(6)};
  return record;
}

SessionRecord SessionWithSettings() {
  SessionRecord record = SomeSession();
  record.ttl_ms = 90 * kDayMs;
  record.pinned_until_ms = kForeverMs;
  return record;
}

LeaseRecord SomeLease() {
  LeaseRecord record;
  record.expires_wall_ms = 123;
  record.domain = TenantDomain("acme");
  record.segments = {RandomId<SegmentId>(1), RandomId<SegmentId>(2)};
  record.renditions = {RandomId<RenditionId>(3), RenditionId()};
  record.commit = RandomId<CommitId>(4);
  return record;
}

// Every kind of record: its bytes, and a decoder that says what it thinks.
struct Kind {
  std::string name;
  Bytes bytes;
  std::function<Status(ByteView)> decode;
  std::function<Bytes(ByteView)> again;  // decoded and encoded again
};

template <typename Decode, typename Encode>
Kind MakeKind(std::string name, Bytes bytes, Decode decode, Encode encode) {
  return {std::move(name), std::move(bytes),
          [decode](ByteView view) { return decode(view).status(); },
          [decode, encode](ByteView view) {
            const auto record = decode(view);
            return record.ok() ? encode(*record) : Bytes();
          }};
}

std::vector<Kind> AllKinds() {
  std::vector<Kind> kinds;
  kinds.push_back(MakeKind("Segment", EncodeSegment(SomeSegment()),
                           DecodeSegment, EncodeSegment));
  kinds.push_back(MakeKind("Tail", EncodeSegment(SomeSegment(1)), DecodeSegment,
                           EncodeSegment));
  kinds.push_back(MakeKind("RenditionSet", EncodeRenditionSet(SomeSet()),
                           DecodeRenditionSet, EncodeRenditionSet));
  kinds.push_back(MakeKind("RenditionSetOfTokens",
                           EncodeRenditionSet(RenditionSet()),
                           DecodeRenditionSet, EncodeRenditionSet));
  kinds.push_back(MakeKind("RenditionSetOfOtherWeights",
                           EncodeRenditionSet(SetOfOtherWeights()),
                           DecodeRenditionSet, EncodeRenditionSet));
  kinds.push_back(MakeKind("Session", EncodeSession(SomeSession()),
                           DecodeSession, EncodeSession));
  kinds.push_back(MakeKind("SessionWithSettings",
                           EncodeSession(SessionWithSettings()), DecodeSession,
                           EncodeSession));
  kinds.push_back(
      MakeKind("Lease", EncodeLease(SomeLease()), DecodeLease, EncodeLease));
  kinds.push_back(
      MakeKind("Store", EncodeStore({1, 5}), DecodeStore, EncodeStore));
  kinds.push_back(MakeKind("Epoch", EncodeEpoch(12), DecodeEpoch, EncodeEpoch));
  kinds.push_back(MakeKind("Profile",
                           EncodeProfileRecord({RandomId<ProfileId>(1), 4}),
                           DecodeProfileRecord, EncodeProfileRecord));
  kinds.push_back(MakeKind(
      "ProfileOfOtherWeights",
      EncodeProfileRecord({RandomId<ProfileId>(1), 4, /*other_weights=*/true}),
      DecodeProfileRecord, EncodeProfileRecord));
  kinds.push_back(MakeKind("Job", EncodeJob(SomeJob()), DecodeJob, EncodeJob));
  JobRecord with_options = SomeJob();
  with_options.options = "rate=1\n";
  kinds.push_back(MakeKind("JobWithOptions", EncodeJob(with_options), DecodeJob,
                           EncodeJob));
  kinds.push_back(MakeKind("Quarantine", EncodeQuarantine(SomeQuarantine()),
                           DecodeQuarantine, EncodeQuarantine));
  kinds.push_back(
      MakeKind("LastUse", EncodeLastUse(-1), DecodeLastUse, EncodeLastUse));
  kinds.push_back(MakeKind("Clock", EncodeClock(1), DecodeClock, EncodeClock));
  return kinds;
}

// A record with other bytes, under a checksum that is right.
Bytes Resealed(Bytes bytes) {
  const size_t content = bytes.size() - 8;
  StoreLe(bytes.data() + content, Checksum(ByteView(bytes).first(content)));
  return bytes;
}

class RecordsTest : public testing::TestWithParam<Kind> {};

TEST_P(RecordsTest, DecodesToWhatWasEncoded) {
  EXPECT_TRUE(GetParam().decode(GetParam().bytes).ok());
  EXPECT_EQ(GetParam().bytes, GetParam().again(GetParam().bytes));
}

TEST_P(RecordsTest, RejectsEveryTruncation) {
  const ByteView bytes = GetParam().bytes;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Status status = GetParam().decode(bytes.first(size));
    ASSERT_TRUE(status.Is(StatusCode::kDataLoss)) << size;
  }
}

TEST_P(RecordsTest, RejectsTruncationUnderARightChecksum) {
  const Bytes& bytes = GetParam().bytes;
  for (size_t cut = 1; cut + 12 <= bytes.size(); ++cut) {
    Bytes shorter(bytes.begin(), bytes.end() - cut);
    ASSERT_FALSE(GetParam().decode(Resealed(std::move(shorter))).ok()) << cut;
  }
}

TEST_P(RecordsTest, RejectsTrailingBytes) {
  Bytes longer = GetParam().bytes;
  longer.insert(longer.end(), 4, 0);
  EXPECT_TRUE(GetParam().decode(longer).Is(StatusCode::kDataLoss));
  EXPECT_TRUE(GetParam().decode(Resealed(longer)).Is(StatusCode::kDataLoss));
}

TEST_P(RecordsTest, RejectsEveryFlippedByte) {
  Bytes bytes = GetParam().bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      bytes[i] ^= flip;
      ASSERT_TRUE(GetParam().decode(bytes).Is(StatusCode::kDataLoss)) << i;
      bytes[i] ^= flip;
    }
  }
}

// Whatever a writer with a right checksum says: it is refused, or it is a
// record with exactly these bytes.
TEST_P(RecordsTest, IsCanonicalUnderARightChecksum) {
  const Bytes& bytes = GetParam().bytes;
  for (size_t i = 0; i + 8 < bytes.size(); ++i) {
    for (const uint8_t value : {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff}) {
      Bytes changed = bytes;
      changed[i] = value;
      changed = Resealed(std::move(changed));
      if (!GetParam().decode(changed).ok()) continue;
      ASSERT_EQ(changed, GetParam().again(changed)) << i;
    }
  }
}

TEST_P(RecordsTest, NamesAVersionFromTheFuture) {
  Bytes bytes = GetParam().bytes;
  bytes[2] = 4;
  EXPECT_TRUE(GetParam()
                  .decode(Resealed(std::move(bytes)))
                  .Is(StatusCode::kUnimplemented));
}

TEST_P(RecordsTest, RejectsAnotherKind) {
  for (const Kind& other : AllKinds()) {
    if (other.bytes[1] == GetParam().bytes[1]) continue;
    EXPECT_TRUE(GetParam().decode(other.bytes).Is(StatusCode::kDataLoss));
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecordsTest, testing::ValuesIn(AllKinds()),
                         [](const auto& kind) { return kind.param.name; });

// Records from before flags existed have the same bytes as those without any.
TEST(RecordVersionTest, IsTwoOnlyWhereAFlagIsSet) {
  EXPECT_EQ(1, EncodeRenditionSet(SomeSet())[2]);
  EXPECT_EQ(2, EncodeRenditionSet(SetOfOtherWeights())[2]);
  EXPECT_EQ(3, EncodeRenditionSet(RenditionSet())[2]);
  EXPECT_EQ(1, EncodeProfileRecord({RandomId<ProfileId>(1), 4, false})[2]);
  EXPECT_EQ(2, EncodeProfileRecord({RandomId<ProfileId>(1), 4, true})[2]);
  EXPECT_EQ(1, EncodeSession(SomeSession())[2]);
  EXPECT_EQ(2, EncodeSession(SessionWithSettings())[2]);
}

TEST(RecordVersionTest, ASessionsTtlAndPinComeBackEachAlone) {
  for (const int64_t ttl_ms : {int64_t{0}, int64_t{1}, kForeverMs}) {
    for (const int64_t until_ms : {int64_t{0}, int64_t{1}, kForeverMs}) {
      SessionRecord record = SomeSession();
      record.ttl_ms = ttl_ms;
      record.pinned_until_ms = until_ms;
      const auto again = DecodeSession(EncodeSession(record));
      ASSERT_TRUE(again.ok()) << again.status().ToString();
      EXPECT_EQ(*again, record);
    }
  }
}

TEST(RecordVersionTest, RefusesSettingsThatNobodyCanMake) {
  const struct {
    uint64_t ttl_ms;
    uint64_t pinned_until_ms;
  } kCases[] = {
      {0, 0},  // of version 1
      {static_cast<uint64_t>(kMaxDurationMs) + 1, 0},
      {static_cast<uint64_t>(kForeverMs) - 1, 0},
      {uint64_t{1} << 63, 0},
      {1, uint64_t{1} << 63},
  };
  for (const auto& each : kCases) {
    Bytes bytes = EncodeSession(SessionWithSettings());
    StoreLe(bytes.data() + bytes.size() - 24, each.ttl_ms);
    StoreLe(bytes.data() + bytes.size() - 16, each.pinned_until_ms);
    const auto record = DecodeSession(Resealed(std::move(bytes)));
    EXPECT_TRUE(record.status().Is(StatusCode::kDataLoss))
        << each.ttl_ms << " " << each.pinned_until_ms;
  }
}

// One of a Reprise that knew no options is read by this one, and one without
// options by that.
TEST(JobRecordTest, WithoutOptionsItIsOfVersion1) {
  JobRecord job = SomeJob();
  const Bytes without = EncodeJob(job);
  EXPECT_EQ(without[2], 1);
  EXPECT_EQ(DecodeJob(without)->options, "");
  job.options.assign(kMaxJobOptionsBytes, 'x');
  const Bytes with = EncodeJob(job);
  EXPECT_EQ(with[2], 2);
  EXPECT_EQ(with.size(), without.size() + 2 + kMaxJobOptionsBytes);
  EXPECT_EQ(*DecodeJob(with), job);
  // An empty field would be a second form of the same record.
  Bytes empty = without;
  empty[2] = 2;
  empty.insert(empty.end() - 8, {0, 0});
  EXPECT_TRUE(
      DecodeJob(Resealed(std::move(empty))).status().Is(StatusCode::kDataLoss));
}

TEST(JobRecordTest, TextsAreCutAndNotRefused) {
  JobRecord job = SomeJob();
  EXPECT_EQ(*DecodeJob(EncodeJob(job)), job);
  job.reason.assign(2000, 'x');
  const auto cut = DecodeJob(EncodeJob(job));
  ASSERT_TRUE(cut.ok()) << cut.status().ToString();
  EXPECT_EQ(cut->reason, std::string(kMaxJobTextBytes, 'x'));
}

TEST(QuarantineRecordTest, CutsWhatIsTooLongAndItsKeyNamesAPlace) {
  QuarantineRecord record = SomeQuarantine();
  record.reason.assign(2000, 'x');
  record.copy.assign(100'000, 1);
  const auto cut = DecodeQuarantine(EncodeQuarantine(record));
  ASSERT_TRUE(cut.ok()) << cut.status().ToString();
  EXPECT_EQ(cut->reason.size(), kMaxQuarantineReasonBytes);
  EXPECT_EQ(cut->copy.size(), kMaxQuarantineCopyBytes);
  for (const StoredPlace& place :
       {StoredPlace::Of(ObjectSpace::kCommit, std::string("\0k", 2)),
        StoredPlace::Of(HeadSpace::kSession, "s")}) {
    const auto again = PlaceOfQuarantineKey(QuarantineKey(place));
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_EQ(*again, place);
  }
  EXPECT_EQ(std::string(StoredPlace::Of(HeadSpace::kSession, "s").SpaceName()),
            "session");
  for (const char* key : {"quarantine/", "quarantine/x\1k", "quarantine/o\x63k",
                          "quarantine/h\x06k", "quarantine/o\1", "job/o\1k"}) {
    EXPECT_TRUE(PlaceOfQuarantineKey(key).status().Is(StatusCode::kDataLoss));
  }
}

TEST(RecordVersionTest, KeepsWhichRenditionHasTheFlag) {
  const auto set = DecodeRenditionSet(EncodeRenditionSet(SetOfOtherWeights()));
  ASSERT_TRUE(set.ok());
  EXPECT_FALSE(set->renditions[0].other_weights);
  EXPECT_TRUE(set->renditions[1].other_weights);
}

TEST(RecordVersionTest, OnlyASetOfVersion3HasNoRenditions) {
  Bytes none = EncodeRenditionSet(RenditionSet());
  Bytes some = EncodeRenditionSet(SomeSet());
  RenditionSummaries summaries;
  ASSERT_TRUE(DecodeRenditionSummaries(none, &summaries).ok());
  EXPECT_EQ(summaries.count, 0u);
  EXPECT_EQ(summaries.Best(Tier::kArchive), nullptr);
  for (const uint8_t version : {1, 2}) {
    none[2] = version;
    none = Resealed(std::move(none));
    EXPECT_TRUE(DecodeRenditionSet(none).status().Is(StatusCode::kDataLoss));
  }
  some[2] = 3;
  some = Resealed(std::move(some));
  EXPECT_TRUE(DecodeRenditionSet(some).status().Is(StatusCode::kDataLoss));
}

TEST(RecordVersionTest, RefusesFlagsOfRenditionsThatAreNotThere) {
  Bytes bytes = EncodeRenditionSet(SetOfOtherWeights());
  EXPECT_EQ(2, bytes[5]);
  for (const uint8_t flags : {0, 4, 6, 255}) {
    bytes[5] = flags;
    bytes = Resealed(std::move(bytes));
    EXPECT_TRUE(DecodeRenditionSet(bytes).status().Is(StatusCode::kDataLoss));
    RenditionSummaries summaries;
    EXPECT_TRUE(
        DecodeRenditionSummaries(bytes, &summaries).Is(StatusCode::kDataLoss));
  }
}

// --- Hostile counts: refused before anything of that size is allocated. ---

TEST(RecordLimitsTest, RefusesTokenCountsOverASegment) {
  for (const uint32_t count : {0u, 65u, 0xffffffffu}) {
    Bytes bytes = EncodeSegment(SomeSegment());
    StoreLe(bytes.data() + 72, count);
    const auto record = DecodeSegment(Resealed(std::move(bytes)));
    EXPECT_TRUE(record.status().Is(StatusCode::kDataLoss)) << count;
  }
}

TEST(RecordLimitsTest, RefusesFirstTokensInsideOfASegment) {
  Bytes bytes = EncodeSegment(SomeSegment());
  StoreLe(bytes.data() + 68, uint32_t{63});
  EXPECT_TRUE(DecodeSegment(Resealed(std::move(bytes)))
                  .status()
                  .Is(StatusCode::kDataLoss));
}

TEST(RecordLimitsTest, RefusesFrameCountsOverTheLimit) {
  for (const uint32_t count : {0u, 2u, 16385u, 0xffffffffu}) {
    Bytes bytes = EncodeRenditionSet(SomeSet());
    StoreLe(bytes.data() + 8 + 4, count);
    const auto set = DecodeRenditionSet(Resealed(std::move(bytes)));
    EXPECT_TRUE(set.status().Is(StatusCode::kDataLoss)) << count;
  }
}

TEST(RecordLimitsTest, RefusesRenditionCountsOverTheLimit) {
  for (const uint8_t count : {0, 5, 255}) {
    Bytes bytes = EncodeRenditionSet(SomeSet());
    bytes[4] = count;
    bytes = Resealed(std::move(bytes));
    RenditionSummaries summaries;
    EXPECT_TRUE(DecodeRenditionSet(bytes).status().Is(StatusCode::kDataLoss));
    EXPECT_TRUE(
        DecodeRenditionSummaries(bytes, &summaries).Is(StatusCode::kDataLoss));
  }
}

TEST(RecordLimitsTest, RefusesLeaseCountsThatDisagree) {
  for (const uint32_t count : {0u, 1u, 3u, (1u << 20) + 1, 0xffffffffu}) {
    Bytes bytes = EncodeLease(SomeLease());
    StoreLe(bytes.data() + 4 + 8 + 16 + 32, count);
    const auto lease = DecodeLease(Resealed(std::move(bytes)));
    EXPECT_TRUE(lease.status().Is(StatusCode::kDataLoss)) << count;
  }
}

// --- What the fields mean. ---

TEST(RenditionSetTest, SummariesAreOfTheSameRenditions) {
  const RenditionSet set = SomeSet();
  RenditionSummaries summaries;
  ASSERT_TRUE(
      DecodeRenditionSummaries(EncodeRenditionSet(set), &summaries).ok());
  ASSERT_EQ(2u, summaries.count);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(set.renditions[i].tier, summaries.items[i].tier);
    EXPECT_EQ(set.renditions[i].basis, summaries.items[i].basis);
    EXPECT_EQ(set.renditions[i].codec, summaries.items[i].codec);
    EXPECT_EQ(3002u, summaries.items[i].stored_bytes);
    EXPECT_EQ(3u, summaries.items[i].frame_count);
  }
}

TEST(RenditionSetTest, BestGoesByTheWorseOfTierAndBasis) {
  Rendition exact_on_coarse = SomeRendition(Tier::kExact);
  exact_on_coarse.basis = Tier::kCoarse;
  Rendition near = SomeRendition(Tier::kNear);
  near.basis = Tier::kExact;
  const RenditionSet set{{exact_on_coarse, near}};
  EXPECT_EQ(nullptr, set.Best(Tier::kExact));
  EXPECT_EQ(Tier::kNear, set.Best(Tier::kNear)->tier);
  EXPECT_EQ(Tier::kNear, set.Best(Tier::kArchive)->tier);
  const RenditionSet one{{exact_on_coarse}};
  EXPECT_EQ(nullptr, one.Best(Tier::kNear));
  EXPECT_EQ(Tier::kCoarse, one.Best(Tier::kCoarse)->effective());
}

// --- The worked example of docs/format/records.md. ---

TEST(RecordExampleTest, TailIsWhatThePageShows) {
  SegmentRecord tail;
  std::iota(tail.model.bytes.begin(), tail.model.bytes.end(), 0);
  tail.parent = RootSegmentId(tail.model);
  tail.tokens = {1, 2, 500};
  EXPECT_EQ("c71e01e6bbf1315c86f21d76110ccf2702c89baba3a745df93256c8b176a3a47",
            tail.Id().Hex());
  EXPECT_EQ(
      "52530100000102030405060708090a0b0c0d0e0f101112131415161718191a1b"
      "1c1d1e1f000102030405060708090a0b0c0d0e0f101112131415161718191a1b"
      "1c1d1e1f00000000030000000100000002000000f40100001b09186a37a65904",
      ToHex(EncodeSegment(tail)));
}

TEST(RecordExampleTest, RenditionSetIsWhatThePageShows) {
  Rendition rendition;
  std::iota(rendition.id.bytes.begin(), rendition.id.bytes.end(), 0xa0);
  rendition.codec = CodecId::kExact;
  rendition.writer = 7;
  rendition.time_ms = 1'700'000'000'000;
  rendition.raw_bytes = 49152;
  FrameRef frame;
  frame.rendition = rendition.id;
  frame.space = ObjectSpace::kTailFrame;
  frame.layer_count = 2;
  frame.bytes = 1234;
  frame.checksum = 0x0123456789abcdef;
  rendition.frames = {frame};
  EXPECT_EQ(
      "52520100010000000101020001000000d20400000000000000c0000000000000"
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf00000000000000000000000000000000"
      "0000000000000000000000000000000007000000000000000068e5cf8b010000"
      "000000000000020001000100d2040000efcdab896745230106000000f720eb59"
      "52b64f4b",
      ToHex(EncodeRenditionSet({{rendition}})));
}

TEST(KeysTest, AreWhatThePageSays) {
  const DomainId domain = TenantDomain("acme");
  const SegmentId segment = RandomId<SegmentId>(1);
  const RenditionId rendition = RandomId<RenditionId>(2);
  const std::string key = FrameKey(domain, segment, rendition, 0x01002003);
  EXPECT_EQ(kFrameKeyBytes, key.size());
  EXPECT_EQ(DomainKey(domain, segment.view()), key.substr(0, 48));
  EXPECT_EQ("01002003", ToHex(AsBytes(key).last(4)));
  EXPECT_EQ("0000000000000102", ToHex(AsBytes(LeaseKey(0x102))));
  const auto digest = Sha256(AsBytes("reprise/domain/1acme"));
  EXPECT_EQ(ToHex(digest.view().first(16)), ToHex(domain.bytes));
  EXPECT_NE(domain, PrivateDomain(domain, "acme"));
  EXPECT_NE(PrivateDomain(domain, "a"), PrivateDomain(domain, "b"));
}

TEST(KeysTest, FramesOfATailLieByThemselves) {
  EXPECT_EQ(ObjectSpace::kTailFrame, FrameSpaceOf(Tier::kNear, true));
  EXPECT_EQ(ObjectSpace::kFrameExact, FrameSpaceOf(Tier::kExact, false));
  EXPECT_EQ(ObjectSpace::kFrameArchive, FrameSpaceOf(Tier::kArchive, false));
}

}  // namespace
}  // namespace reprise
