// Saves and restores that are cancelled at every point: afterwards the memory
// is the caller's alone, and the client goes on.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "tests/client/fetch_script.h"
#include "tests/client/mapped_cache.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/cut_proxy.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kTokens = 150;  // two segments and a tail
// A manifest, and the frames of three segments and two layer groups.
constexpr int kMessages = 7;

ModelSpec TwoGroups() { return PlainModel("cancel", 2, 8, 128, DType::kBf16); }

// Holds whoever comes to `at` until it is opened.
class Gate {
 public:
  bool Pass(int at) {
    std::unique_lock lock(mutex_);
    if (at == closed_at_) {
      reached_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return closed_at_ < 0; });
    }
    return true;
  }
  void CloseAt(int at) {
    std::lock_guard lock(mutex_);
    closed_at_ = at;
    reached_ = false;
  }
  void WaitUntilReached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    closed_at_ = -1;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int closed_at_ = -1;
  bool reached_ = false;
};

template <typename Ticket>
void CancelSoon(Ticket& ticket) {
  const auto start = std::chrono::steady_clock::now();
  ticket.Cancel();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(2));
}

RestoreRequest Into(const Model& model, MappedCache* cache) {
  return {.model = model, .make_sink = [cache](const RestoreInfo&) {
            return Result<KvSink>(cache->sink());
          }};
}

class CancelRestoreTest : public testing::Test {
 protected:
  CancelRestoreTest() {
    SaveRequest request;
    request.codec = "raw";
    EXPECT_TRUE(saver_.Save("s", ToyTokens(1, kTokens), request).ok());
  }

  TestDaemon real_;
  TestWorker saver_{real_.Connect(), TwoGroups()};
};

TEST_F(CancelRestoreTest, NothingTouchesTheSinkAfterwards) {
  const RecordedFetch recorded(real_.endpoint(), "s");
  Gate gate;
  ScriptedDaemon daemon(
      TwoGroups(),
      [&](const wire::FetchT& fetch, int) { return recorded.Answer(fetch); },
      [&](int, int message) { return gate.Pass(message); });
  auto client =
      Client::Connect({.endpoint = daemon.endpoint(), .codec_threads = 2});
  ASSERT_OK(client);
  TestWorker worker(*std::move(client), TwoGroups());
  for (int at = 0; at < kMessages; ++at) {
    SCOPED_TRACE(at);
    MappedCache cache(worker.spec, kTokens);
    gate.CloseAt(at);
    auto ticket = worker.client->RestoreAsync("s", Into(worker.model, &cache));
    ASSERT_OK(ticket);
    gate.WaitUntilReached();
    CancelSoon(**ticket);
    cache.TakeAway();
    gate.Open();
    EXPECT_EQ((*ticket)->Wait().status().code(), StatusCode::kUnavailable);
    EXPECT_FALSE((*ticket)->WaitLayer(1).ok());
    const auto restored = worker.Restore("s");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kTokens);
  }
}

TEST_F(CancelRestoreTest, AtAnyTime) {
  for (int step = 0; step < 24; ++step) {
    SCOPED_TRACE(step);
    MappedCache cache(saver_.spec, kTokens);
    auto ticket = saver_.client->RestoreAsync("s", Into(saver_.model, &cache));
    ASSERT_OK(ticket);
    std::this_thread::sleep_for(microseconds(step * 150));
    if (step % 2 == 0) CancelSoon(**ticket);
    *ticket = nullptr;  // cancels as well
    cache.TakeAway();
  }
  const auto restored = saver_.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, kTokens);
}

TEST_F(CancelRestoreTest, WhileTheConnectionIsMadeAgain) {
  CutProxy proxy(real_.endpoint(),
                 {.message = 1, .type = MessageType::kFetch, .for_good = true});
  auto client = Client::Connect({.endpoint = proxy.endpoint()});
  ASSERT_OK(client);
  TestWorker worker(*std::move(client), TwoGroups());
  MappedCache cache(worker.spec, kTokens);
  auto ticket = worker.client->RestoreAsync("s", Into(worker.model, &cache));
  ASSERT_OK(ticket);
  while (!proxy.has_cut()) std::this_thread::sleep_for(milliseconds(1));
  std::this_thread::sleep_for(milliseconds(100));
  CancelSoon(**ticket);
  cache.TakeAway();
  EXPECT_EQ((*ticket)->Wait().status().code(), StatusCode::kUnavailable);
}

// Saves with an answer that does not come, until no answer is missing.
TEST(CancelSaveTest, NothingTouchesTheViewAfterwards) {
  const auto tokens = ToyTokens(1, kTokens);
  for (int answer = 3;; ++answer) {  // after Hello, List and PutModel
    SCOPED_TRACE(answer);
    TestDaemon daemon;
    CutProxy proxy(daemon.endpoint(), {.message = answer, .swallow = true});
    auto client =
        Client::Connect({.endpoint = proxy.endpoint(), .codec_threads = 2});
    ASSERT_OK(client);
    TestWorker worker(*std::move(client), TwoGroups());
    MappedCache cache(worker.spec, kTokens);
    auto ticket = worker.client->SaveAsync("s", {.model = worker.model,
                                                 .tokens = tokens,
                                                 .kv = cache.view(),
                                                 .codec = "raw"});
    ASSERT_OK(ticket);
    for (int i = 0; i < 1'000 && !proxy.has_cut(); ++i) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    if (!proxy.has_cut()) {
      ASSERT_OK((*ticket)->Wait());
      EXPECT_GE(answer, 7);  // Describe, Match, PutFrames, Publish, Commit
      return;
    }
    CancelSoon(**ticket);
    cache.TakeAway();
    EXPECT_EQ((*ticket)->Wait().status().code(), StatusCode::kUnavailable);
    // The commit may have been made; then the state is that of the zeros.
    const auto saved = worker.Save("other", ToyTokens(2, kTokens));
    ASSERT_OK(saved);
    const auto restored = worker.Restore("other");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kTokens);
  }
}

TEST(CancelSaveTest, AtAnyTime) {
  TestDaemon daemon;
  TestWorker worker(daemon.Connect(), TwoGroups());
  for (int step = 0; step < 24; ++step) {
    SCOPED_TRACE(step);
    const auto tokens = ToyTokens(100 + step, kTokens);
    MappedCache cache(worker.spec, kTokens);
    auto ticket = worker.client->SaveAsync("s" + std::to_string(step),
                                           {.model = worker.model,
                                            .tokens = tokens,
                                            .kv = cache.view(),
                                            .codec = "raw"});
    ASSERT_OK(ticket);
    std::this_thread::sleep_for(microseconds(step * 150));
    if (step % 3 == 0) {
      // Captured: the view is free although the save goes on.
      if ((*ticket)->WaitCaptured().ok()) cache.TakeAway();
      EXPECT_TRUE((*ticket)->Wait().ok());
    } else {
      CancelSoon(**ticket);
      cache.TakeAway();
    }
  }
}

}  // namespace
}  // namespace reprise
