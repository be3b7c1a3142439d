#include "tests/store/engine_conformance.h"

#include <algorithm>
#include <set>

namespace reprise {

using std::string;
using std::string_view;

constexpr ObjectSpace kSeg = ObjectSpace::kSegment;
constexpr ObjectSpace kFrame = ObjectSpace::kFrameExact;
constexpr HeadSpace kSession = HeadSpace::kSession;
using Names = std::vector<string>;

string EngineParamName(const ::testing::TestParamInfo<EngineParam>& info) {
  return info.param.name;
}

void EngineConformance::SetUp() {
  store_ = GetParam().make_store();
  first_ = store_->OpenHandle();
  second_ = store_->OpenHandle();
  engine_ = first_.get();
  other_ = second_.get();
}

void EngineConformance::Put(ObjectSpace space, string_view key,
                            string_view value, Epoch epoch) {
  const ObjectPut put{space, key, AsBytes(value)};
  const Status status =
      engine_->Put(std::span(&put, 1), epoch, Durability::kWritten);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

string EngineConformance::Get(ObjectSpace space, string_view key) {
  const Result<PinnedBytes> got = engine_->Get({space, key});
  if (!got.ok()) return string(StatusCodeName(got.status().code()));
  return string(AsText(got->view()));
}

bool EngineConformance::Present(ObjectSpace space, string_view key) {
  const ObjectRef ref{space, key};
  std::vector<bool> present;
  const Status status = engine_->Exists(std::span(&ref, 1), &present);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return present.size() == 1 && present[0];
}

bool EngineConformance::Touch(ObjectSpace space, string_view key, Epoch epoch) {
  const ObjectRef ref{space, key};
  std::vector<bool> present;
  const Status status = engine_->Touch(std::span(&ref, 1), epoch, &present);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return present.size() == 1 && present[0];
}

uint64_t EngineConformance::Remove(ObjectSpace space, string_view key,
                                   Epoch epoch) {
  const ObjectRef ref{space, key};
  const Result<uint64_t> removed =
      engine_->RemoveIfUntouched(std::span(&ref, 1), epoch);
  EXPECT_TRUE(removed.ok()) << removed.status().ToString();
  return removed.ok() ? *removed : 0;
}

HeadVersion EngineConformance::Swap(HeadSpace space, string_view key,
                                    HeadVersion expected, string_view value) {
  const Result<HeadVersion> version = engine_->CompareAndSwap(
      space, key, expected, AsBytes(value), Durability::kWritten);
  EXPECT_TRUE(version.ok()) << version.status().ToString();
  return version.ok() ? *version : 0;
}

Names EngineConformance::ListKeys(ObjectSpace space, string_view prefix,
                                  string_view cursor, uint32_t limit) {
  std::vector<ObjectStore::Listed> listed;
  const Status status = engine_->List(space, prefix, cursor, limit, &listed);
  EXPECT_TRUE(status.ok()) << status.ToString();
  Names keys;
  for (const auto& entry : listed) keys.push_back(entry.key);
  return keys;
}

Names EngineConformance::ListHeadKeys(HeadSpace space, string_view prefix,
                                      string_view cursor, uint32_t limit) {
  std::vector<HeadStore::ListedHead> listed;
  const Status status =
      engine_->ListHeads(space, prefix, cursor, limit, &listed);
  EXPECT_TRUE(status.ok()) << status.ToString();
  Names keys;
  for (const auto& entry : listed) keys.push_back(entry.key);
  return keys;
}

// --- Objects. ---

TEST_P(EngineConformance, GetsWhatWasPutInEverySpace) {
  for (const ObjectSpace space : kAllObjectSpaces) {
    Put(space, "key", ObjectSpaceName(space));
  }
  for (const ObjectSpace space : kAllObjectSpaces) {
    EXPECT_EQ(Get(space, "key"), ObjectSpaceName(space));
    EXPECT_EQ(Get(space, "other"), "NotFound");
    EXPECT_TRUE(Present(space, "key"));
    EXPECT_FALSE(Present(space, "other"));
    EXPECT_EQ(ListKeys(space, ""), Names{"key"});
  }
}

TEST_P(EngineConformance, ObjectPutOnOneHandleIsSeenByTheOther) {
  Put(kFrame, "key", "value");
  std::swap(engine_, other_);
  EXPECT_EQ(Get(kFrame, "key"), "value");
  EXPECT_EQ(ListKeys(kFrame, ""), Names{"key"});
  EXPECT_EQ(Remove(kFrame, "key", 2), 1u);
  std::swap(engine_, other_);
  EXPECT_EQ(Get(kFrame, "key"), "NotFound");
}

TEST_P(EngineConformance, PresentObjectKeepsItsValue) {
  Put(kSeg, "key", "first");
  Put(kSeg, "key", "second, longer");
  EXPECT_EQ(Get(kSeg, "key"), "first");
  std::vector<ObjectStore::Listed> listed;
  ASSERT_TRUE(engine_->List(kSeg, "", "", 10, &listed).ok());
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].bytes, 5u);
}

TEST_P(EngineConformance, FirstOfAKeyNamedTwiceInAPutWins) {
  const ObjectPut puts[] = {{kSeg, "a", AsBytes("one")},
                            {kSeg, "b", AsBytes("two")},
                            {kSeg, "a", AsBytes("three")}};
  ASSERT_TRUE(engine_->Put(puts, 1, Durability::kSynced).ok());
  EXPECT_EQ(Get(kSeg, "a"), "one");
  EXPECT_EQ(Get(kSeg, "b"), "two");
  EXPECT_EQ(ListKeys(kSeg, ""), (Names{"a", "b"}));
}

TEST_P(EngineConformance, PutStoresWhatIsAbsentBesideWhatIsPresent) {
  Put(kFrame, "b", "old");
  const ObjectPut puts[] = {{kFrame, "a", AsBytes("new a")},
                            {kFrame, "b", AsBytes("new b")},
                            {ObjectSpace::kTail, "b", AsBytes("tail b")}};
  ASSERT_TRUE(engine_->Put(puts, 4, Durability::kWritten).ok());
  EXPECT_EQ(Get(kFrame, "a"), "new a");
  EXPECT_EQ(Get(kFrame, "b"), "old");
  EXPECT_EQ(Get(ObjectSpace::kTail, "b"), "tail b");
}

TEST_P(EngineConformance, EmptyCallsSucceed) {
  EXPECT_TRUE(engine_->Put({}, 1, Durability::kSynced).ok());
  std::vector<bool> present{true};
  EXPECT_TRUE(engine_->Exists({}, &present).ok());
  EXPECT_TRUE(present.empty());
  EXPECT_TRUE(engine_->Touch({}, 1, &present).ok());
  EXPECT_EQ(*engine_->RemoveIfUntouched({}, 1), 0u);
  std::vector<Result<PinnedBytes>> got;
  engine_->GetMany({}, &got);
  EXPECT_TRUE(got.empty());
  std::vector<HeadRecord> heads;
  EXPECT_TRUE(engine_->GetHeads(kSession, {}, &heads).ok());
  EXPECT_TRUE(heads.empty());
  std::vector<Result<HeadVersion>> versions;
  engine_->CompareAndSwapMany({}, Durability::kSynced, &versions);
  EXPECT_TRUE(versions.empty());
  EXPECT_TRUE(engine_->Sync().ok());
  EXPECT_TRUE(engine_->Health().ok());
}

TEST_P(EngineConformance, EmptyValueIsAnObjectAndARecord) {
  Put(kFrame, "key", "");
  EXPECT_TRUE(Present(kFrame, "key"));
  EXPECT_EQ(Get(kFrame, "key"), "");
  const HeadVersion version = Swap(kSession, "key", 0, "");
  const auto head = engine_->GetHead(kSession, "key");
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->version, version);
  EXPECT_EQ(head->value.size(), 0u);
}

TEST_P(EngineConformance, KeysAndValuesAreAnyBytes) {
  string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes.push_back(static_cast<char>(i));
  const Names keys = {string("\0", 1),           string("\0\0", 2),
                      string("a\0b", 3),         string("a\0c", 3),
                      string("\xff", 1),         string("\xff\xff", 2),
                      all_bytes.substr(1),       string(kMaxKeyBytes, '\xff'),
                      string(kMaxKeyBytes, '\0')};
  for (const string& key : keys) {
    Put(kSeg, key, all_bytes + key);
    Swap(kSession, key, 0, all_bytes + key);
  }
  for (const string& key : keys) {
    EXPECT_EQ(Get(kSeg, key), all_bytes + key);
    const auto head = engine_->GetHead(kSession, key);
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(AsText(head->value.view()), all_bytes + key);
  }
  Names sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(ListKeys(kSeg, ""), sorted);
  EXPECT_EQ(ListHeadKeys(kSession, ""), sorted);
}

TEST_P(EngineConformance, RefusesKeysOutOfBounds) {
  const string too_long(kMaxKeyBytes + 1, 'k');
  for (const string& key : {string(), too_long}) {
    const ObjectPut puts[] = {{kSeg, "good", AsBytes("x")},
                              {kSeg, key, AsBytes("x")}};
    const ObjectRef ref{kSeg, key};
    const string_view head_key = key;
    std::vector<bool> present;
    std::vector<HeadRecord> heads;
    const auto bad = StatusCode::kInvalidArgument;
    EXPECT_TRUE(engine_->Put(puts, 1, Durability::kWritten).Is(bad));
    EXPECT_FALSE(Present(kSeg, "good"));
    EXPECT_TRUE(engine_->Get(ref).status().Is(bad));
    EXPECT_TRUE(engine_->GetRange(ref, 0, 1).status().Is(bad));
    EXPECT_TRUE(engine_->Exists(std::span(&ref, 1), &present).Is(bad));
    EXPECT_TRUE(engine_->Touch(std::span(&ref, 1), 1, &present).Is(bad));
    EXPECT_TRUE(
        engine_->RemoveIfUntouched(std::span(&ref, 1), 1).status().Is(bad));
    EXPECT_TRUE(engine_->GetHead(kSession, key).status().Is(bad));
    EXPECT_TRUE(
        engine_->GetHeads(kSession, std::span(&head_key, 1), &heads).Is(bad));
    EXPECT_TRUE(
        engine_->CompareAndSwap(kSession, key, 0, {}, Durability::kWritten)
            .status()
            .Is(bad));
    EXPECT_TRUE(
        engine_->RemoveHead(kSession, key, 1, Durability::kWritten).Is(bad));
    std::vector<Result<PinnedBytes>> got;
    engine_->GetMany(std::span(&ref, 1), &got);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_TRUE(got[0].status().Is(bad));
  }
  std::vector<ObjectStore::Listed> listed;
  std::vector<HeadStore::ListedHead> heads;
  EXPECT_FALSE(engine_->List(kSeg, too_long, "", 1, &listed).ok());
  EXPECT_FALSE(engine_->List(kSeg, "", too_long, 1, &listed).ok());
  EXPECT_FALSE(engine_->List(kSeg, "", "", 0, &listed).ok());
  EXPECT_FALSE(engine_->ListHeads(kSession, "", "", 0, &heads).ok());
}

TEST_P(EngineConformance, BigValuesComeBackWhole) {
  string big(16 << 20, '\0');
  for (size_t i = 0; i < big.size(); ++i) {
    big[i] = static_cast<char>((i * 2654435761u) >> 13);
  }
  Put(kFrame, "big", big);
  EXPECT_TRUE(Get(kFrame, "big") == big);
  Swap(HeadSpace::kRendition, "big", 0, string_view(big).substr(0, 1 << 20));
  const auto head = engine_->GetHead(HeadSpace::kRendition, "big");
  ASSERT_TRUE(head.ok());
  EXPECT_TRUE(AsText(head->value.view()) ==
              string_view(big).substr(0, 1 << 20));
}

TEST_P(EngineConformance, RangesAreCutAtTheEnd) {
  Put(kFrame, "key", "0123456789");
  const auto range = [&](uint64_t offset, uint64_t length) {
    const auto got = engine_->GetRange({kFrame, "key"}, offset, length);
    return got.ok() ? string(AsText(got->view())) : "failed";
  };
  EXPECT_EQ(range(0, 10), "0123456789");
  EXPECT_EQ(range(0, 0), "");
  EXPECT_EQ(range(3, 4), "3456");
  EXPECT_EQ(range(8, 4), "89");
  EXPECT_EQ(range(10, 1), "");
  EXPECT_EQ(range(11, 1), "");
  EXPECT_EQ(range(5, UINT64_MAX), "56789");
  EXPECT_EQ(range(UINT64_MAX, UINT64_MAX), "");
  EXPECT_TRUE(engine_->GetRange({kFrame, "gone"}, 0, 1)
                  .status()
                  .Is(StatusCode::kNotFound));
}

TEST_P(EngineConformance, GetManyAnswersEachByItself) {
  Put(kFrame, "a", "value a");
  Put(kFrame, "c", "value c");
  Put(kSeg, "a", "segment a");
  const string too_long(kMaxKeyBytes + 1, 'k');
  const ObjectRef refs[] = {{kFrame, "c"}, {kFrame, "b"},      {kSeg, "a"},
                            {kFrame, "a"}, {kFrame, too_long}, {kFrame, "c"}};
  std::vector<Result<PinnedBytes>> got;
  engine_->GetMany(refs, &got);
  ASSERT_EQ(got.size(), 6u);
  EXPECT_EQ(AsText(got[0]->view()), "value c");
  EXPECT_TRUE(got[1].status().Is(StatusCode::kNotFound));
  EXPECT_EQ(AsText(got[2]->view()), "segment a");
  EXPECT_EQ(AsText(got[3]->view()), "value a");
  EXPECT_TRUE(got[4].status().Is(StatusCode::kInvalidArgument));
  EXPECT_EQ(AsText(got[5]->view()), "value c");
}

TEST_P(EngineConformance, PinnedBytesOutliveTheObject) {
  const string value(100'000, 'v');
  Put(kFrame, "key", value);
  Swap(kSession, "key", 0, value);
  const auto got = engine_->Get({kFrame, "key"});
  const auto range = engine_->GetRange({kFrame, "key"}, 5, 50'000);
  const auto head = engine_->GetHead(kSession, "key");
  ASSERT_TRUE(got.ok() && range.ok() && head.ok());
  EXPECT_EQ(Remove(kFrame, "key", 9), 1u);
  EXPECT_TRUE(
      engine_->RemoveHead(kSession, "key", head->version, Durability::kWritten)
          .ok());
  EXPECT_EQ(AsText(got->view()), value);
  EXPECT_EQ(AsText(range->view()), value.substr(5, 50'000));
  EXPECT_EQ(AsText(head->value.view()), value);
}

TEST_P(EngineConformance, ExistsAnswersInTheOrderAsked) {
  Put(kSeg, "b", "x");
  Put(kFrame, "a", "x");
  const ObjectRef refs[] = {
      {kSeg, "a"}, {kSeg, "b"}, {kFrame, "b"}, {kFrame, "a"}, {kSeg, "b"}};
  std::vector<bool> present;
  ASSERT_TRUE(engine_->Exists(refs, &present).ok());
  EXPECT_EQ(present, (std::vector<bool>{false, true, false, true, true}));
  ASSERT_TRUE(engine_->Touch(refs, 7, &present).ok());
  EXPECT_EQ(present, (std::vector<bool>{false, true, false, true, true}));
  EXPECT_FALSE(Present(kSeg, "a")) << "a touch must not make an object";
}

// --- Touch and removal. ---

TEST_P(EngineConformance, RemovesOnlyWhatWasTouchedBefore) {
  Put(kSeg, "key", "x", 5);
  EXPECT_EQ(Remove(kSeg, "key", 4), 0u);
  EXPECT_EQ(Remove(kSeg, "key", 5), 0u);
  EXPECT_TRUE(Present(kSeg, "key"));
  EXPECT_EQ(Remove(kSeg, "key", 6), 1u);
  EXPECT_FALSE(Present(kSeg, "key"));
  EXPECT_EQ(Get(kSeg, "key"), "NotFound");
  EXPECT_EQ(Remove(kSeg, "key", 6), 0u) << "gone already is no error";
}

TEST_P(EngineConformance, TouchIsNeverLowered) {
  Put(kSeg, "key", "x", 3);
  EXPECT_TRUE(Touch(kSeg, "key", 8));
  EXPECT_TRUE(Touch(kSeg, "key", 2));
  Put(kSeg, "key", "x", 1);
  EXPECT_EQ(Remove(kSeg, "key", 8), 0u);
  Put(kSeg, "key", "x", 9);
  EXPECT_EQ(Remove(kSeg, "key", 9), 0u) << "a put of a present key touches";
  EXPECT_EQ(Remove(kSeg, "key", 10), 1u);
}

TEST_P(EngineConformance, RemovesInBatchAndCounts) {
  for (const char* key : {"a", "b", "c", "d"}) Put(kSeg, key, "x", 1);
  Put(kFrame, "a", "x", 1);
  Touch(kSeg, "c", 2);
  const ObjectRef refs[] = {{kSeg, "a"},   {kSeg, "c"}, {kSeg, "none"},
                            {kFrame, "a"}, {kSeg, "d"}, {kSeg, "a"}};
  const auto removed = engine_->RemoveIfUntouched(refs, 2);
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(*removed, 3u);
  EXPECT_EQ(ListKeys(kSeg, ""), (Names{"b", "c"}));
  EXPECT_EQ(ListKeys(kFrame, ""), Names{});
}

TEST_P(EngineConformance, RemovedObjectCanBePutAgain) {
  Put(kFrame, "key", "old", 1);
  EXPECT_EQ(Remove(kFrame, "key", 2), 1u);
  Put(kFrame, "key", "new", 1);
  EXPECT_EQ(Get(kFrame, "key"), "new");
  EXPECT_EQ(Remove(kFrame, "key", 1), 0u);
}

// --- Listing. ---

TEST_P(EngineConformance, ListsSizesAndEpochs) {
  Put(kFrame, "a", "12345", 3);
  Put(kFrame, "b", "", 4);
  Touch(kFrame, "a", 9);
  std::vector<ObjectStore::Listed> listed;
  ASSERT_TRUE(engine_->List(kFrame, "", "", 10, &listed).ok());
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].bytes, 5u);
  EXPECT_EQ(listed[0].epoch, 9u);
  EXPECT_EQ(listed[1].bytes, 0u);
  EXPECT_EQ(listed[1].epoch, 4u);
}

TEST_P(EngineConformance, ListsByPrefixAfterTheCursor) {
  const string ff("\xff", 1);
  const string ff_prefix = ff + ff;
  const Names keys = {"a",  "aa", "ab",      "abc",          "b",
                      "ba", ff,   ff_prefix, ff_prefix + "x"};
  for (const string& key : keys) {
    Put(kSeg, key, "x");
    Swap(kSession, key, 0, "x");
  }
  const auto expect = [&](string_view prefix, string_view cursor,
                          const Names& wanted) {
    EXPECT_EQ(ListKeys(kSeg, prefix, cursor), wanted);
    EXPECT_EQ(ListHeadKeys(kSession, prefix, cursor), wanted);
  };
  expect("", "", keys);
  expect("a", "", {"a", "aa", "ab", "abc"});
  expect("a", "a", {"aa", "ab", "abc"});
  expect("a", "aaa", {"ab", "abc"});
  expect("a", "abc", {});
  expect("a", "b", {});
  expect("b", "a", {"b", "ba"});
  expect("ab", "a", {"ab", "abc"});
  expect("c", "", {});
  expect("", "b", {"ba", ff, ff_prefix, ff_prefix + "x"});
  expect(ff, "", {ff, ff_prefix, ff_prefix + "x"});
  expect(ff_prefix, ff, {ff_prefix, ff_prefix + "x"});
  expect("", ff_prefix + "x", {});
}

TEST_P(EngineConformance, ListingByCursorVisitsEachKeyOnce) {
  std::set<string> keys;
  for (int i = 0; i < 100; ++i) {
    const string key = "k" + std::to_string(i * 37 % 100);
    keys.insert(key);
    Put(kFrame, key, "x");
    Swap(kSession, key, 0, key);
  }
  for (const uint32_t limit : {1u, 3u, 99u, 100u, 101u}) {
    Names objects, heads;
    string cursor;
    for (;;) {
      const Names page = ListKeys(kFrame, "", cursor, limit);
      if (page.empty()) break;
      EXPECT_LE(page.size(), limit);
      objects.insert(objects.end(), page.begin(), page.end());
      cursor = page.back();
    }
    cursor.clear();
    for (;;) {
      const Names page = ListHeadKeys(kSession, "", cursor, limit);
      if (page.empty()) break;
      EXPECT_LE(page.size(), limit);
      heads.insert(heads.end(), page.begin(), page.end());
      cursor = page.back();
    }
    EXPECT_EQ(objects, Names(keys.begin(), keys.end()));
    EXPECT_EQ(heads, Names(keys.begin(), keys.end()));
  }
}

TEST_P(EngineConformance, RemovalWhileListingSkipsNothingElse) {
  for (int i = 10; i < 30; ++i) Put(kSeg, "k" + std::to_string(i), "x");
  Names seen;
  string cursor;
  for (;;) {
    const Names page = ListKeys(kSeg, "", cursor, 3);
    if (page.empty()) break;
    for (const string& key : page) {
      seen.push_back(key);
      EXPECT_EQ(Remove(kSeg, key, 2), 1u);
    }
    cursor = page.back();
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(ListKeys(kSeg, ""), Names{});
}

// --- Heads. ---

TEST_P(EngineConformance, SwapsOnlyFromTheExpectedVersion) {
  for (const HeadSpace space : kAllHeadSpaces) {
    const HeadVersion first = Swap(space, "key", 0, "one");
    EXPECT_NE(first, 0u);
    const auto lost = engine_->CompareAndSwap(space, "key", 0, AsBytes("x"),
                                              Durability::kSynced);
    EXPECT_TRUE(lost.status().Is(StatusCode::kFailedPrecondition));
    const HeadVersion second = Swap(space, "key", first, "two");
    EXPECT_NE(second, first);
    const auto stale = other_->CompareAndSwap(space, "key", first, AsBytes("x"),
                                              Durability::kWritten);
    EXPECT_TRUE(stale.status().Is(StatusCode::kFailedPrecondition));
    const auto head = other_->GetHead(space, "key");
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(head->version, second);
    EXPECT_EQ(AsText(head->value.view()), "two");
  }
}

TEST_P(EngineConformance, AbsentRecordIsNotFoundAndExpectsVersionZero) {
  EXPECT_TRUE(
      engine_->GetHead(kSession, "no").status().Is(StatusCode::kNotFound));
  EXPECT_TRUE(engine_
                  ->CompareAndSwap(kSession, "no", 1, AsBytes("x"),
                                   Durability::kWritten)
                  .status()
                  .Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(engine_->RemoveHead(kSession, "no", 1, Durability::kWritten)
                  .Is(StatusCode::kFailedPrecondition));
}

TEST_P(EngineConformance, RemovedRecordNeverShowsAnOldVersion) {
  std::set<HeadVersion> versions;
  for (int round = 0; round < 5; ++round) {
    const HeadVersion first = Swap(kSession, "key", 0, "x");
    const HeadVersion second = Swap(kSession, "key", first, "y");
    EXPECT_TRUE(versions.insert(first).second);
    EXPECT_TRUE(versions.insert(second).second);
    EXPECT_TRUE(engine_->RemoveHead(kSession, "key", first, Durability::kSynced)
                    .Is(StatusCode::kFailedPrecondition));
    EXPECT_TRUE(
        other_->RemoveHead(kSession, "key", second, Durability::kSynced).ok());
    EXPECT_TRUE(
        engine_->GetHead(kSession, "key").status().Is(StatusCode::kNotFound));
  }
}

TEST_P(EngineConformance, GetHeadsAnswersInTheOrderAsked) {
  const HeadVersion a = Swap(HeadSpace::kRendition, "a", 0, "value a");
  const HeadVersion c = Swap(HeadSpace::kRendition, "c", 0, "value c");
  const std::vector<string_view> keys = {"c", "b", "a", "c", "d"};
  std::vector<HeadRecord> heads(17);
  ASSERT_TRUE(engine_->GetHeads(HeadSpace::kRendition, keys, &heads).ok());
  ASSERT_EQ(heads.size(), 5u);
  EXPECT_EQ(heads[0].version, c);
  EXPECT_EQ(AsText(heads[0].value.view()), "value c");
  EXPECT_EQ(heads[1].version, 0u);
  EXPECT_EQ(heads[2].version, a);
  EXPECT_EQ(AsText(heads[2].value.view()), "value a");
  EXPECT_EQ(heads[3].version, c);
  EXPECT_EQ(heads[4].version, 0u);
}

TEST_P(EngineConformance, GetHeadsOfManyKeys) {
  Names keys;
  for (int i = 0; i < 3000; ++i) {
    keys.push_back("key " + std::to_string(i * 7919 % 3001));
    if (i % 3 != 0) Swap(HeadSpace::kRendition, keys.back(), 0, keys.back());
  }
  const std::vector<string_view> views(keys.begin(), keys.end());
  std::vector<HeadRecord> heads;
  ASSERT_TRUE(engine_->GetHeads(HeadSpace::kRendition, views, &heads).ok());
  ASSERT_EQ(heads.size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i % 3 == 0) {
      EXPECT_EQ(heads[i].version, 0u);
    } else {
      EXPECT_NE(heads[i].version, 0u);
      EXPECT_EQ(AsText(heads[i].value.view()), keys[i]);
    }
  }
}

TEST_P(EngineConformance, SwapsOfABatchFailByThemselves) {
  const HeadVersion a = Swap(kSession, "a", 0, "old a");
  Swap(kSession, "b", 0, "old b");
  const string too_long(kMaxKeyBytes + 1, 'k');
  const HeadStore::Swap swaps[] = {
      {kSession, "b", 0, AsBytes("new b")},  // lost: it is there
      {kSession, "a", a, AsBytes("new a")},
      {kSession, "c", 0, AsBytes("new c")},
      {HeadSpace::kLease, "c", 0, AsBytes("lease c")},
      {kSession, "c", 0, AsBytes("again")},  // named twice
      {kSession, too_long, 0, AsBytes("x")},
      {kSession, "d", 77, AsBytes("x")},  // lost: it is absent
  };
  std::vector<Result<HeadVersion>> out;
  engine_->CompareAndSwapMany(swaps, Durability::kSynced, &out);
  ASSERT_EQ(out.size(), 7u);
  EXPECT_TRUE(out[0].status().Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(out[1].ok());
  EXPECT_TRUE(out[2].ok());
  EXPECT_TRUE(out[3].ok());
  EXPECT_TRUE(out[4].status().Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(out[5].status().Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(out[6].status().Is(StatusCode::kFailedPrecondition));
  const std::set<HeadVersion> versions = {a, *out[1], *out[2], *out[3]};
  EXPECT_EQ(versions.size(), 4u);

  const std::vector<string_view> keys = {"a", "b", "c", "d"};
  std::vector<HeadRecord> heads;
  ASSERT_TRUE(other_->GetHeads(kSession, keys, &heads).ok());
  EXPECT_EQ(AsText(heads[0].value.view()), "new a");
  EXPECT_EQ(heads[0].version, *out[1]);
  EXPECT_EQ(AsText(heads[1].value.view()), "old b");
  EXPECT_EQ(AsText(heads[2].value.view()), "new c");
  EXPECT_EQ(heads[2].version, *out[2]);
  EXPECT_EQ(heads[3].version, 0u);
}

TEST_P(EngineConformance, ListsHeadsWithValuesAndVersions) {
  const HeadVersion a = Swap(HeadSpace::kLastUse, "a", 0, "value a");
  const HeadVersion b = Swap(HeadSpace::kLastUse, "b", 0, "value b");
  Swap(HeadSpace::kMeta, "c", 0, "another space");
  std::vector<HeadStore::ListedHead> listed;
  ASSERT_TRUE(engine_->ListHeads(HeadSpace::kLastUse, "", "", 9, &listed).ok());
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].key, "a");
  EXPECT_EQ(listed[0].record.version, a);
  EXPECT_EQ(AsText(listed[0].record.value.view()), "value a");
  EXPECT_EQ(listed[1].record.version, b);
}

TEST_P(EngineConformance, CountsBytes) {
  Put(kFrame, "key", string(1000, 'x'));
  EXPECT_FALSE(engine_->name().empty());
  EXPECT_GT(engine_->GetStats().memory_bytes, 0u);
}

}  // namespace reprise
