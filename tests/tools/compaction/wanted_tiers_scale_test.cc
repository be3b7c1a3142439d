// A mark pass over ten million segments, in a store that is made up as it is
// read: what the pass itself holds shows.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"
#include "store/memory_engine.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"
#include "tools/compaction/wanted_tiers.h"

namespace reprise {
namespace {

// Session i has the segments from i * kStride on, so that the last 100 of each
// are also the first of the next one.
constexpr uint64_t kSessions = 11'111;
constexpr uint64_t kStride = 900;
constexpr uint64_t kSegmentsEach = 1000;
constexpr uint64_t kSegments = (kSessions - 1) * kStride + kSegmentsEach;
constexpr int64_t kNowMs = 1'800'000'000'000;
constexpr int64_t kIdleMs[] = {0, 2 * kHourMs, 2 * kDayMs, 40 * kDayMs,
                               2 * kYearMs};
constexpr Wanted kWanted[] = {Wanted::kExact, Wanted::kNear, Wanted::kCoarse,
                              Wanted::kArchive, Wanted::kTokens};

// What is allocated in this process. 0 where a sanitizer does not tell.
uint64_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

SegmentId IdAt(uint64_t segment) {
  SegmentId id;
  const uint64_t hash = (segment + 1) * 0x9e3779b97f4a7c15;
  StoreLe(id.bytes.data(), hash ^ (hash >> 31));
  StoreLe(id.bytes.data() + 8, segment);
  return id;
}

class MadeUpStore final : public FailingEngine {
 public:
  MadeUpStore(Engine* rest, const DomainId& tenant)
      : FailingEngine(rest), tenant_(tenant) {}

  Status ListHeads(HeadSpace space, std::string_view prefix,
                   std::string_view cursor, uint32_t limit,
                   std::vector<ListedHead>* out) override {
    if (space != HeadSpace::kSession) {
      return FailingEngine::ListHeads(space, prefix, cursor, limit, out);
    }
    out->clear();
    page_.clear();
    uint64_t i =
        cursor.empty()
            ? 0
            : std::stoull(std::string(cursor.substr(kDomainBytes))) + 1;
    for (; i < kSessions && out->size() < limit; ++i) {
      SessionRecord session;
      session.domain = tenant_;
      session.incarnation = session.version = 1;
      session.created_ms = session.changed_ms = kNowMs - kIdleMs[i % 5];
      session.head = CommitIdOf(CommitBytes(i));
      page_[session.head] = i;
      char name[16];
      std::snprintf(name, sizeof(name), "%08llu",
                    static_cast<unsigned long long>(i));
      out->push_back({DomainKey(tenant_, AsBytes(name)),
                      {PinnedBytes(EncodeSession(session)), 1}});
    }
    return Status();
  }
  Result<PinnedBytes> Get(const ObjectRef& object) override {
    if (object.space != ObjectSpace::kCommit) return FailingEngine::Get(object);
    CommitId id;
    std::memcpy(id.bytes.data(), object.key.data() + kDomainBytes, 32);
    return PinnedBytes(CommitBytes(page_.at(id)));
  }

 private:
  static Bytes CommitBytes(uint64_t session) {
    CommitRecord commit;
    commit.token_count = kSegmentsEach * kSegmentTokens;
    for (uint64_t k = 0; k < kSegmentsEach; ++k) {
      commit.segments.push_back(IdAt(session * kStride + k));
    }
    return EncodeCommit(commit);
  }

  const DomainId tenant_;
  std::map<CommitId, uint64_t> page_;  // of the sessions listed last
};

TEST(WantedTiersScaleTest, TenMillionSegmentsInUnderSixtyFourMebibytes) {
  static_assert(kSegments >= 10'000'000);
  const DomainId tenant = TenantDomain("acme");
  ManualClock clock(kNowMs);
  const auto rest = OpenMemoryEngine(MakeMemoryStore());
  MadeUpStore store(rest.get(), tenant);
  const auto catalogue = Catalogue::Open(&store, &clock, {});
  REPRISE_ASSERT_OK(catalogue.status());
  const PolicyRules rules;
  const uint64_t before = AllocatedBytes();
  WantedTiers pass(catalogue->get(), &rules,
                   {.now_ms = kNowMs, .seed = 0x1234567});
  uint64_t most = 0;
  uint64_t steps = 0;
  for (; !pass.done(); ++steps) {
    REPRISE_ASSERT_OK(pass.Step());
    most = std::max(most, AllocatedBytes() - before);
  }
  std::printf("%llu segments, %llu steps: %.1f MiB\n",
              static_cast<unsigned long long>(pass.map().size()),
              static_cast<unsigned long long>(steps),
              static_cast<double>(most) / (1 << 20));
  EXPECT_LT(most, 64u << 20);
  EXPECT_LT(pass.map().memory_bytes(), 60u << 20);
  EXPECT_GE(steps, kSegments / 8192);

  EXPECT_EQ(kSessions, pass.report().sessions);
  EXPECT_EQ(0u, pass.report().problem_count);
  EXPECT_LE(kSegments - pass.map().size(), 40u);
  uint64_t better = 0;
  for (uint64_t segment = 0; segment < kSegments; segment += 7) {
    const uint64_t last = std::min(segment / kStride, kSessions - 1);
    const bool is_shared = last > 0 && segment - last * kStride < 100;
    Wanted wanted = kWanted[last % 5];
    if (is_shared) wanted = std::min(wanted, kWanted[(last - 1) % 5]);
    const auto entry = pass.Find(tenant, IdAt(segment));
    ASSERT_TRUE(entry.has_value()) << segment;
    ASSERT_LE(entry->wanted, wanted) << segment;
    if (entry->wanted < wanted || entry->is_shared != is_shared) ++better;
  }
  EXPECT_LE(better, 40u);
}

}  // namespace
}  // namespace reprise
