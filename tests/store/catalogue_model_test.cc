// Random operations, with a collector's steps between them, compared with a
// model that a map could hold. On every engine, with two handles on one store.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "store/collector.h"
#include "store/fsck.h"
#include "store/rocks_engine.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/store/scratch_directory.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

using Tokens = std::vector<TokenId>;

// A store under test: hands out handles on one and the same data.
class StoreOfHandles {
 public:
  virtual ~StoreOfHandles() = default;
  virtual std::unique_ptr<Engine> Open() = 0;
};

class MemoryHandles final : public StoreOfHandles {
 public:
  std::unique_ptr<Engine> Open() override { return OpenMemoryEngine(store_); }

 private:
  std::shared_ptr<MemoryStore> store_ = MakeMemoryStore();
};

class RocksHandles final : public StoreOfHandles {
 public:
  RocksHandles() {
    RocksOptions options;
    options.directory = directory_.path();
    options.min_free_bytes = 0;
    auto opened = OpenRocksEngine(options);
    REPRISE_CHECK(opened.ok());
    first_ = *std::move(opened);
  }
  std::unique_ptr<Engine> Open() override { return ShareRocksEngine(*first_); }

 private:
  ScratchDirectory directory_;
  std::unique_ptr<Engine> first_;
};

struct Param {
  std::string name;
  std::function<std::unique_ptr<StoreOfHandles>()> make;
  int operations = 0;
};

class CatalogueModelTest : public testing::TestWithParam<Param> {
 protected:
  // What a session must be.
  struct Expected {
    Tokens tokens;
    std::vector<std::pair<CommitId, Tokens>> former;  // latest first
    std::string policy;
    int64_t ttl_ms = 0;
    int64_t pinned_until_ms = 0;
  };
  struct Daemon {
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Catalogue> catalogue;
    std::unique_ptr<ToyWorker> worker;
  };
  struct Held {
    FetchPlan plan;
    Tokens tokens;
  };

  void Run(uint64_t seed) {
    random_ = std::make_unique<Random>(seed);
    store_ = GetParam().make();
    sessions_.clear();
    held_.clear();
    for (Daemon& daemon : daemons_) Reopen(&daemon);
    collector_.reset();
    for (int i = 0; i < GetParam().operations; ++i) {
      Operate();
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i;
    }
    for (const auto& [name, expected] : sessions_) Verify(name);
    CheckTheWhole();
    Empty();
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", at the end";
  }

  void Reopen(Daemon* daemon) {
    daemon->worker.reset();
    daemon->catalogue.reset();
    daemon->engine = store_->Open();
    CatalogueOptions options;
    options.durability = Durability::kWritten;
    options.kept_commits = 3;
    auto opened = Catalogue::Open(daemon->engine.get(), &clock_, options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    daemon->catalogue = *std::move(opened);
    daemon->worker = std::make_unique<ToyWorker>(daemon->catalogue.get(),
                                                 tenant_, TinyModel());
    daemon->worker->set_durability(Durability::kWritten);
  }

  void Operate() {
    Daemon& daemon = daemons_[random_->Below(2)];
    switch (random_->Below(13)) {
      case 0:
      case 1:
        return Save(&daemon, NewName(), RandomTokens());
      case 2:
      case 3:
        return Append(&daemon);
      case 4:
        return Fork(&daemon);
      case 5:
        return Rewind(&daemon);
      case 6:
        return Remove(&daemon);
      case 7:
        return PutGarbage(&daemon);
      case 8:
        return Fetch(&daemon);
      case 9:
        clock_.AdvanceMs(static_cast<int64_t>(random_->Below(100'000)));
        return CheckHeld();
      case 10:
        if (random_->OneIn(5)) Reopen(&daemons_[1]);
        return Verify(SomeName());
      case 11:
        return Settle(&daemon);
      default:
        return Collect(random_->Below(20));
    }
  }

  // --- Operations. ---

  // One of few conversations, cut somewhere, with something else after it: so
  // that much is shared.
  Tokens RandomTokens() {
    Tokens tokens = ToyTokens(1 + random_->Below(3), 1 + random_->Below(300));
    const Tokens more = ToyTokens(10 + random_->Below(4), random_->Below(80));
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
  }
  ToyOptions RandomOptions() {
    return {.seed = random_->U64(),
            .basis = random_->OneIn(4) ? Tier::kNear : Tier::kExact,
            .ranks = static_cast<uint16_t>(1 + random_->Below(2))};
  }
  std::string NewName() { return "s" + std::to_string(random_->Below(12)); }
  std::string SomeName() {
    if (sessions_.empty()) return "";
    auto it = sessions_.begin();
    std::advance(it, random_->Below(sessions_.size()));
    return it->first;
  }

  void Save(Daemon* daemon, const std::string& name, const Tokens& tokens) {
    const ToyOptions options = RandomOptions();
    const Result<SessionInfo> before =
        daemon->catalogue->GetSession(tenant_, name);
    Result<CommitOutcome> outcome = NotFoundError("not tried yet");
    // What was put may be swept before it is referred to.
    for (int attempt = 0; attempt < 4; ++attempt) {
      const Status put = daemon->worker->Put(tokens, options);
      ASSERT_TRUE(put.ok()) << put.ToString();
      if (attempt < 3 && random_->OneIn(2)) Collect(random_->Below(60));
      outcome = daemon->worker->Commit(name, tokens, ++time_);
      ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
      if (outcome->missing.empty()) break;
    }
    ASSERT_TRUE(outcome->missing.empty());
    Moved(name, before.ok() ? before->record.head : CommitId(), tokens);
  }

  // The session's head is another one now.
  void Moved(const std::string& name, const CommitId& former,
             const Tokens& tokens) {
    Expected& expected = sessions_[name];
    if (!former.IsZero()) {
      std::erase_if(expected.former,
                    [&](const auto& each) { return each.first == former; });
      expected.former.insert(expected.former.begin(),
                             {former, expected.tokens});
      if (expected.former.size() > 3) expected.former.resize(3);
    }
    expected.tokens = tokens;
  }

  void Append(Daemon* daemon) {
    const std::string name = SomeName();
    if (name.empty()) return;
    Tokens tokens = sessions_[name].tokens;
    if (tokens.size() > 600) return;
    const Tokens more = ToyTokens(random_->U64(), 1 + random_->Below(90));
    tokens.insert(tokens.end(), more.begin(), more.end());
    Save(daemon, name, tokens);
  }

  void Fork(Daemon* daemon) {
    const std::string from = SomeName();
    const std::string to = NewName();
    if (from.empty()) return;
    const Expected& source = sessions_[from];
    CommitId commit;
    Tokens tokens = source.tokens;
    if (!source.former.empty() && random_->OneIn(2)) {
      std::tie(commit, tokens) =
          source.former[random_->Below(source.former.size())];
    }
    const auto forked = daemon->catalogue->Fork(tenant_, from, commit, to);
    if (sessions_.contains(to)) {
      // Unless it is this very fork.
      if (forked.ok()) {
        EXPECT_TRUE(forked->repeated);
        EXPECT_EQ(tokens, sessions_[to].tokens);
      } else {
        REPRISE_EXPECT_CODE(kFailedPrecondition, forked);
      }
      return;
    }
    ASSERT_TRUE(forked.ok()) << forked.status().ToString();
    sessions_[to] = {tokens, {}, source.policy, source.ttl_ms};
  }

  void Settle(Daemon* daemon) {
    const std::string name = SomeName();
    if (name.empty()) return;
    Expected& expected = sessions_[name];
    Result<SessionRecord> set = NotFoundError("not tried yet");
    if (random_->OneIn(3)) {
      expected.pinned_until_ms =
          random_->OneIn(2) ? 0 : clock_.WallMs() + 1 + time_;
      set = daemon->catalogue->Pin(tenant_, name, expected.pinned_until_ms);
    } else if (random_->OneIn(2)) {
      expected.policy = random_->OneIn(2) ? "" : "exact 1h, tokens";
      set = daemon->catalogue->SetPolicy(tenant_, name,
                                         {.policy = expected.policy});
    } else {
      expected.ttl_ms = static_cast<int64_t>(random_->Below(3)) * 1'000;
      set = daemon->catalogue->SetPolicy(tenant_, name,
                                         {.ttl_ms = expected.ttl_ms});
    }
    ASSERT_TRUE(set.ok()) << set.status().ToString();
  }

  void Rewind(Daemon* daemon) {
    const std::string name = SomeName();
    if (name.empty()) return;
    Expected& expected = sessions_[name];
    const auto session = daemon->catalogue->GetSession(tenant_, name);
    ASSERT_TRUE(session.ok());
    Catalogue::RewindTarget target;
    Tokens tokens = expected.tokens;
    if (!expected.former.empty() && random_->OneIn(2)) {
      const size_t i = random_->Below(expected.former.size());
      std::tie(target.commit, tokens) = expected.former[i];
      // It is a former head no more.
      expected.former.erase(expected.former.begin() + static_cast<long>(i));
    } else {
      target.token_count = random_->Below(tokens.size() + 1);
      tokens.resize(target.token_count);
      clock_.AdvanceMs(1);  // a commit of its own
    }
    const auto outcome =
        daemon->catalogue->Rewind(tenant_, name, session->record.incarnation,
                                  session->record.version, target);
    ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
    Moved(name, session->record.head, tokens);
  }

  void Remove(Daemon* daemon) {
    const std::string name = SomeName();
    if (name.empty() || random_->OneIn(2)) return;
    const Status removed = daemon->catalogue->RemoveSession(tenant_, name);
    ASSERT_TRUE(removed.ok()) << removed.ToString();
    sessions_.erase(name);
  }

  void PutGarbage(Daemon* daemon) {
    const Status put = daemon->worker->Put(RandomTokens(), RandomOptions());
    ASSERT_TRUE(put.ok()) << put.ToString();
  }

  void Fetch(Daemon* daemon) {
    const std::string name = SomeName();
    if (name.empty()) return;
    FetchRequest request;
    request.session = name;
    request.lowest = Tier::kArchive;
    request.lease_ms = 1 + static_cast<int64_t>(random_->Below(kMaxLeaseMs));
    auto plan = daemon->catalogue->PlanFetch(tenant_, request);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    if (held_.size() >= 4) held_.erase(held_.begin());
    held_.push_back({*std::move(plan), sessions_[name].tokens});
  }

  void Collect(uint64_t steps) {
    for (uint64_t i = 0; i < steps; ++i) {
      if (collector_ == nullptr ||
          collector_->phase() == Collector::Phase::kDone) {
        CollectorOptions options;
        options.step_objects = 1 + static_cast<uint32_t>(random_->Below(50));
        collector_ = MakeCollector(daemons_[0].catalogue.get(), options);
      }
      // Now and then it need not wait for the others to let time pass.
      const int64_t left_ms =
          collector_->wait_until_ms() - clock_.MonotonicMs();
      if (left_ms > 0 && random_->OneIn(10)) clock_.AdvanceMs(left_ms);
      const Status status = collector_->Step();
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
  }

  // --- Checks. ---

  Tokens Read(const FetchPlan& plan) {
    Tokens tokens;
    for (const FetchSegment& segment : plan.segments) {
      EXPECT_NE(Tier::kTokens, segment.rendition.tier);
      std::vector<Result<PinnedBytes>> frames;
      daemons_[0].catalogue->GetFrames(plan.domain, segment.id,
                                       segment.rendition.frames, &frames);
      for (const auto& frame : frames) {
        EXPECT_TRUE(frame.ok()) << frame.status().ToString();
      }
      const auto begin = segment.segment.tokens.begin();
      EXPECT_GE(segment.segment.tokens.size(), segment.token_count);
      if (testing::Test::HasFailure()) return tokens;
      tokens.insert(tokens.end(), begin, begin + segment.token_count);
    }
    return tokens;
  }

  void Verify(const std::string& name) {
    if (name.empty()) return;
    FetchRequest request;
    request.session = name;
    request.lowest = Tier::kArchive;
    request.lease_ms = 0;
    const auto plan = daemons_[0].catalogue->PlanFetch(tenant_, request);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    EXPECT_EQ(sessions_[name].tokens, Read(*plan));
    const auto session = daemons_[1].catalogue->GetSession(tenant_, name);
    ASSERT_TRUE(session.ok()) << session.status().ToString();
    EXPECT_EQ(sessions_[name].policy, session->record.policy);
    EXPECT_EQ(sessions_[name].ttl_ms, session->record.ttl_ms);
    EXPECT_EQ(sessions_[name].pinned_until_ms, session->record.pinned_until_ms);
    for (const auto& [commit, tokens] : sessions_[name].former) {
      request.commit = commit;
      const auto former = daemons_[0].catalogue->PlanFetch(tenant_, request);
      ASSERT_TRUE(former.ok()) << former.status().ToString();
      EXPECT_EQ(tokens, Read(*former));
    }
  }

  void CheckHeld() {
    for (const Held& held : held_) {
      if (held.plan.lease_expires_wall_ms <= clock_.WallMs()) continue;
      EXPECT_EQ(held.tokens, Read(held.plan));
    }
  }

  void CheckTheWhole() {
    const auto listed =
        daemons_[0].catalogue->ListSessions(tenant_, "", "", 1000);
    ASSERT_TRUE(listed.ok());
    EXPECT_EQ(sessions_.size(), listed->size());
    const auto report = Fsck(daemons_[0].catalogue.get(), {});
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_EQ(sessions_.size(), report->sessions);
    for (const FsckFinding& finding : report->findings) {
      ADD_FAILURE() << finding.what;
    }
  }

  // Without sessions and leases, nothing stays.
  void Empty() {
    for (const auto& [name, expected] : sessions_) {
      REPRISE_EXPECT_CODE(kOk,
                          daemons_[1].catalogue->RemoveSession(tenant_, name));
    }
    clock_.AdvanceMs(kMaxLeaseMs);
    for (int i = 0; i < 2; ++i) {
      collector_ = MakeCollector(daemons_[0].catalogue.get(), {});
      while (collector_->phase() != Collector::Phase::kDone) {
        clock_.AdvanceMs(70'000);
        const Status status = collector_->Step();
        ASSERT_TRUE(status.ok()) << status.ToString();
      }
    }
    const auto report = Fsck(daemons_[0].catalogue.get(), {});
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(0u, report->unreferenced);
    EXPECT_EQ(0u, report->sessions);
    std::vector<HeadStore::ListedHead> left;
    for (const HeadSpace space : {HeadSpace::kLease, HeadSpace::kRendition}) {
      ASSERT_TRUE(daemons_[0].engine->ListHeads(space, "", "", 10, &left).ok());
      EXPECT_TRUE(left.empty());
    }
  }

  const DomainId tenant_ = TenantDomain("acme");
  ManualClock clock_;
  std::unique_ptr<Random> random_;
  std::unique_ptr<StoreOfHandles> store_;
  Daemon daemons_[2];
  std::unique_ptr<Collector> collector_;
  std::map<std::string, Expected> sessions_;
  std::vector<Held> held_;
  int64_t time_ = 0;
};

TEST_P(CatalogueModelTest, DoesWhatAMapWould) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Run(seed);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Engines, CatalogueModelTest,
    testing::Values(
        Param{"Memory", [] { return std::make_unique<MemoryHandles>(); }, 800},
        Param{"Rocks", [] { return std::make_unique<RocksHandles>(); }, 300}),
    [](const auto& engine) { return engine.param.name; });

}  // namespace
}  // namespace reprise
