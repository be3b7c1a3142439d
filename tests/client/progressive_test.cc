// Restores that bring the base of all tokens and layers first: what is valid
// at each moment, whatever breaks in the middle.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/catalogue.h"
#include "tests/client/staged_fixture.h"
#include "tests/support/cut_proxy.h"

namespace reprise {
namespace {

using std::chrono::milliseconds;

// Of three segments, groups and stages.
constexpr int kFrames = 3 * 3 * 3;
constexpr int kBaseFrames = 3 * 3;

class ProgressiveTest : public StagedFixture {
 protected:
  ProgressiveTest() { EXPECT_TRUE(Save().ok()); }

  static RestoreRequest Progressive(Tier lowest = Tier::kArchive) {
    RestoreRequest request;
    request.lowest = lowest;
    request.progressive = true;
    return request;
  }
  static CutPlan CutAt(int message) {
    return {.message = message, .type = MessageType::kFetch, .bytes = 40};
  }
  std::unique_ptr<Client> ClientOf(const CutProxy& proxy,
                                   int64_t reconnect_ms = 5'000,
                                   uint64_t buffer_bytes = 64 << 20) {
    auto client = Client::Connect({.endpoint = proxy.endpoint(),
                                   .connect_timeout_ms = 2'000,
                                   .reconnect_timeout_ms = reconnect_ms,
                                   .codec_threads = 2,
                                   .max_buffer_bytes = buffer_bytes});
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    return *std::move(client);
  }
};

// Waits in a decoder, from the first call with so many stages on.
class DecodeGate {
 public:
  explicit DecodeGate(uint32_t stages) {
    StagedCodec::OnDecode([this, stages](uint32_t now) {
      if (now < stages) return;
      std::unique_lock lock(mutex_);
      reached_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_; });
    });
  }
  ~DecodeGate() { Open(); }
  void WaitUntilReached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
};

TEST_F(ProgressiveTest, TheBaseOfAllComesFirst) {
  std::mutex mutex;
  std::vector<RestoredPart> parts;
  std::vector<uint32_t> layers;
  RestoreRequest request = Progressive();
  request.on_tier = [&](const RestoredPart& part) {
    std::lock_guard lock(mutex);
    parts.push_back(part);
  };
  request.on_layer = [&](uint32_t layer) {
    std::lock_guard lock(mutex);
    layers.push_back(layer);
  };
  const auto restored = Restore(request);
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, kStagedTokens);
  EXPECT_EQ(restored->info.ranges, AllAt(Tier::kNear));
  EXPECT_EQ(restored->raw_bytes, kStagedTokens * worker_.spec.token_bytes());
  EXPECT_EQ(layers, (std::vector<uint32_t>{0, 1, 2}));
  // One thread decodes, in the order of the stream. Where the last stage is
  // here before the one before it was decoded, that is left out.
  ASSERT_GE(parts.size(), size_t{2 * kBaseFrames});
  ASSERT_LE(parts.size(), size_t{kFrames});
  std::map<std::pair<uint32_t, uint64_t>, Tier> last;
  for (size_t i = 0; i < parts.size(); ++i) {
    const RestoredPart& part = parts[i];
    EXPECT_EQ(part.range.tier == Tier::kArchive, i < kBaseFrames);
    EXPECT_EQ(part.layer_count, 1u);
    Tier& before = last.try_emplace({part.first_layer, part.range.first_token},
                                    Tier::kTokens)
                       .first->second;
    EXPECT_LT(part.range.tier, before);
    before = part.range.tier;
  }
  for (const auto& [where, tier] : last) EXPECT_EQ(tier, Tier::kNear);
}

TEST_F(ProgressiveTest, WhatIsSaidToBeThereIsThere) {
  StagedState state(worker_.spec, kStagedTokens);
  std::shared_mutex rows;
  std::atomic<int> checked{0};
  RestoreRequest request = Progressive();
  request.rows_lock = &rows;
  request.on_tier = [&](const RestoredPart& part) {
    std::shared_lock lock(rows);
    // Nothing of this unit is written until this returns.
    EXPECT_TRUE(state.Holds(part.first_layer, part.range));
    ++checked;
  };
  const auto restored = worker_.client->Restore("s", Into(&state, request));
  ASSERT_OK(restored);
  EXPECT_GE(checked, 2 * kBaseFrames);
  EXPECT_TRUE(state.Holds(AllAt(Tier::kNear)));
}

TEST_F(ProgressiveTest, ATicketKnowsWhatIsValid) {
  DecodeGate gate(2);
  StagedState state(worker_.spec, kStagedTokens);
  auto ticket = worker_.client->RestoreAsync("s", Into(&state, Progressive()));
  ASSERT_OK(ticket);
  gate.WaitUntilReached();
  for (uint32_t layer = 0; layer < 3; ++layer) {
    EXPECT_TRUE((*ticket)->WaitLayer(layer).ok());
    EXPECT_EQ((*ticket)->ValidRanges(layer), AllAt(Tier::kArchive));
  }
  EXPECT_EQ((*ticket)->ValidRanges(), AllAt(Tier::kArchive));
  EXPECT_EQ((*ticket)->ValidRanges(3), std::vector<TierRange>());
  EXPECT_TRUE(state.Holds(AllAt(Tier::kArchive)));
  gate.Open();
  ASSERT_OK((*ticket)->Wait());
  EXPECT_EQ((*ticket)->ValidRanges(), AllAt(Tier::kNear));
  EXPECT_TRUE(state.Holds(AllAt(Tier::kNear)));
}

// A decoder that fails halfway through a refinement leaves no torn row: see
// ADamagedRefinementCostsOnlyTheRefinement. Here it is cut off by a cancel.
TEST_F(ProgressiveTest, ACancelLeavesWholeRows) {
  for (const uint32_t stages : {1u, 2u, 3u}) {
    SCOPED_TRACE(stages);
    DecodeGate gate(stages);
    StagedState state(worker_.spec, kStagedTokens);
    auto ticket =
        worker_.client->RestoreAsync("s", Into(&state, Progressive()));
    ASSERT_OK(ticket);
    gate.WaitUntilReached();
    std::thread cancel([&] { (*ticket)->Cancel(); });
    std::this_thread::sleep_for(milliseconds(200));
    gate.Open();
    cancel.join();
    EXPECT_EQ((*ticket)->Wait().status().code(), StatusCode::kUnavailable);
    for (uint32_t layer = 0; layer < 3; ++layer) {
      for (const TierRange& range : (*ticket)->ValidRanges(layer)) {
        EXPECT_TRUE(state.Holds(layer, range)) << layer;
      }
    }
    if (stages > 1) {
      ASSERT_FALSE((*ticket)->ValidRanges().empty());
      EXPECT_EQ((*ticket)->ValidRanges()[0].first_token, 0u);
      EXPECT_EQ((*ticket)->ValidRanges().back().end_token, kStagedTokens);
    }
  }
}

TEST_F(ProgressiveTest, ACancelAtAnyTimeLeavesWhatIsSaid) {
  for (int step = 0; step < 20; ++step) {
    SCOPED_TRACE(step);
    StagedState state(worker_.spec, kStagedTokens);
    auto ticket =
        worker_.client->RestoreAsync("s", Into(&state, Progressive()));
    ASSERT_OK(ticket);
    std::this_thread::sleep_for(std::chrono::microseconds(step * 400));
    (*ticket)->Cancel();
    const auto ranges = (*ticket)->ValidRanges();
    for (uint32_t layer = 0; layer < 3; ++layer) {
      for (const TierRange& range : (*ticket)->ValidRanges(layer)) {
        EXPECT_TRUE(state.Holds(layer, range)) << layer;
      }
    }
    EXPECT_EQ((*ticket)->ValidRanges(), ranges);
  }
}

// --- Connections that break. ---

TEST_F(ProgressiveTest, ABrokenConnectionIsMadeAgainWhereverItBreaks) {
  for (const uint64_t buffer_bytes : {uint64_t{64} << 20, uint64_t{1}}) {
    for (int message = 0; message <= kFrames; ++message) {
      SCOPED_TRACE(message);
      CutProxy proxy(daemon_.endpoint(), CutAt(message));
      const auto client = ClientOf(proxy, 5'000, buffer_bytes);
      const auto restored = RestoreBy(client.get(), Progressive());
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, kStagedTokens);
      EXPECT_EQ(restored->info.ranges, AllAt(Tier::kNear));
    }
  }
}

TEST_F(ProgressiveTest, FramesInPlaceDoNotTravelAgain) {
  CutProxy uncut(daemon_.endpoint(), {});
  const auto first = ClientOf(uncut);
  ASSERT_OK(RestoreBy(first.get(), Progressive()));
  const uint64_t all = first->traffic().received_bytes;
  CutPlan plan = CutAt(2);
  plan.each = true;
  CutProxy proxy(daemon_.endpoint(), plan);
  const auto client = ClientOf(proxy);
  const auto restored = RestoreBy(client.get(), Progressive());
  ASSERT_OK(restored);
  EXPECT_EQ(restored->info.ranges, AllAt(Tier::kNear));
  // A cut loses its message and brings one more manifest.
  EXPECT_LT(client->traffic().received_bytes, all + kFrames * (16 << 10));
}

TEST_F(ProgressiveTest, TheBaseIsKeptWhenTheDaemonIsGoneForGood) {
  for (const int message : {kBaseFrames + 1, kBaseFrames + 4, kFrames}) {
    SCOPED_TRACE(message);
    CutPlan plan = CutAt(message);
    plan.for_good = true;
    {
      CutProxy proxy(daemon_.endpoint(), plan);
      const auto client = ClientOf(proxy, 100);
      const auto restored = RestoreBy(client.get(), Progressive());
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, kStagedTokens);
      EXPECT_LE(restored->info.ranges[0].tier, Tier::kArchive);
    }
    CutProxy proxy(daemon_.endpoint(), plan);
    const auto client = ClientOf(proxy, 100);
    const auto near = RestoreBy(client.get(), Progressive(Tier::kNear));
    EXPECT_EQ(near.status().code(), StatusCode::kUnavailable);
  }
  CutPlan early = CutAt(kBaseFrames - 1);
  early.for_good = true;
  CutProxy proxy(daemon_.endpoint(), early);
  const auto client = ClientOf(proxy, 100);
  EXPECT_EQ(RestoreBy(client.get(), Progressive()).status().code(),
            StatusCode::kUnavailable);
}

// It sinks while the connection is away: the refinement is gone, the rest goes
// on.
TEST_F(ProgressiveTest, ARenditionThatSinksMeanwhileCostsTheRefinement) {
  for (const bool progressive : {false, true}) {
    for (const int message : {2, 5, kBaseFrames + 2}) {
      SCOPED_TRACE(message);
      TestDaemon daemon;
      daemon.set_fetch_message_bytes(1);
      TestWorker worker(daemon.Connect(), StagedModel());
      SaveRequest save;
      save.model = worker.model;
      save.tokens = tokens_;
      save.kv = exact_.View();
      save.codec = "staged";
      ASSERT_OK(worker.client->Save("s", save));
      CutPlan plan = CutAt(message);
      plan.on_cut = [&] {
        std::vector<SinkOutcome> out;
        EXPECT_TRUE(daemon.catalogue()
                        ->DeriveRenditions(Domain(), Segments(),
                                           {Tier::kNear, Tier::kCoarse}, &out)
                        .ok());
        EXPECT_TRUE(
            daemon.catalogue()
                ->DropRenditions(Domain(), Segments(), Tier::kNear, &out)
                .ok());
      };
      CutProxy proxy(daemon.endpoint(), plan);
      const auto client = ClientOf(proxy);
      RestoreRequest request = Progressive();
      request.progressive = progressive;
      const auto restored = RestoreBy(client.get(), request);
      ASSERT_OK(restored);
      EXPECT_TRUE(proxy.has_cut());
      EXPECT_EQ(restored->valid_end, kStagedTokens);
      for (const TierRange& range : restored->info.ranges) {
        EXPECT_LE(range.tier, Tier::kCoarse);
      }
    }
  }
}

TEST_F(ProgressiveTest, UnstagedStateComesAtOnce) {
  ASSERT_OK(Save("exact"));
  const auto restored = Restore(Progressive(Tier::kExact));
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, kStagedTokens);
}

}  // namespace
}  // namespace reprise
