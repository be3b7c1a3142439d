// The client with daemons that are away, slow, wrong or cut off: it answers
// with a status in time, and what it saved is whole or not there.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "tests/client/kv_cache.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/cut_proxy.h"
#include "tests/support/fake_daemon.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

ClientOptions Hasty(const std::string& endpoint) {
  return {.endpoint = endpoint,
          .connect_timeout_ms = 200,
          .request_timeout_ms = 300,
          .transfer_timeout_ms = 5'000,
          .reconnect_timeout_ms = 500};
}

// Runs `call` and checks that it came back soon.
template <typename Call>
auto InTime(Call call) {
  const auto start = std::chrono::steady_clock::now();
  auto result = call();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8));
  return result;
}

StatusCode ConnectTo(const std::string& endpoint) {
  const auto client = InTime([&] { return Client::Connect(Hasty(endpoint)); });
  return client.status().code();
}

TEST(ClientFaultTest, ADaemonThatIsAwayIsUnavailableAtOnce) {
  std::string endpoint;
  {
    LoopbackServer gone([](int) {});
    endpoint = gone.endpoint();
  }
  EXPECT_EQ(ConnectTo(endpoint), StatusCode::kUnavailable);
  EXPECT_EQ(ConnectTo("unix:/nonexistent/reprise.sock"),
            StatusCode::kUnavailable);
}

TEST(ClientFaultTest, EndpointsThatMakeNoSenseAreRefused) {
  for (const char* endpoint :
       {"", "host", ":1", "host:", "::1:7077", "unix:"}) {
    EXPECT_EQ(ConnectTo(endpoint), StatusCode::kInvalidArgument) << endpoint;
  }
}

TEST(ClientFaultTest, ASilentDaemonIsGivenUp) {
  const auto silent = FakeDaemon::Raw([](FakeConnection& connection) {
    FakeRequest request;
    while (connection.Receive(&request)) {
    }
  });
  EXPECT_EQ(ConnectTo(silent->endpoint()), StatusCode::kUnavailable);
  FakeDaemon after_hello(
      [](FakeConnection&, const FakeRequest&) { return true; });
  EXPECT_EQ(ConnectTo(after_hello.endpoint()), StatusCode::kDeadlineExceeded);
}

TEST(ClientFaultTest, GarbageIsDataLoss) {
  const auto garbage = FakeDaemon::Raw([](FakeConnection& connection) {
    FakeRequest request;
    connection.Receive(&request);
    connection.SendRaw(Bytes(4096, 0x42));
    connection.Receive(&request);
  });
  EXPECT_EQ(ConnectTo(garbage->endpoint()), StatusCode::kDataLoss);
  // Well-formed messages whose metadata is no table.
  FakeDaemon wrong([](FakeConnection& connection, const FakeRequest& request) {
    const Bytes meta(64, 0xff);
    const HeaderBytes header =
        EncodeMessageHeader({.type = request.header.type,
                             .flags = kFlagReply | kFlagEnd,
                             .request = request.header.request,
                             .meta_bytes = 64,
                             .meta_checksum = MetaChecksum(meta)});
    return connection.SendRaw(header) && connection.SendRaw(meta);
  });
  EXPECT_EQ(ConnectTo(wrong.endpoint()), StatusCode::kDataLoss);
}

TEST(ClientFaultTest, AnAnswerOfAnotherTypeIsDataLoss) {
  FakeDaemon wrong([](FakeConnection& connection, const FakeRequest& request) {
    FakeRequest other;
    other.header = request.header;
    other.header.type = MessageType::kStats;
    return connection.Answer(other, wire::StatsReplyT());
  });
  EXPECT_EQ(ConnectTo(wrong.endpoint()), StatusCode::kDataLoss);
}

TEST(ClientFaultTest, HalfAMessageIsNoAnswer) {
  FakeDaemon half([](FakeConnection& connection, const FakeRequest& request) {
    const MessageHead head =
        PackMessage(request.header.type, kFlagReply | kFlagEnd,
                    request.header.request, wire::ListReplyT());
    connection.SendRaw(head.header_view().first(20));
    return false;
  });
  EXPECT_EQ(ConnectTo(half.endpoint()), StatusCode::kUnavailable);
  EXPECT_EQ(half.connections(), 2);  // once more, then no more
}

TEST(ClientFaultTest, ErrorsOfTheDaemonComeThrough) {
  FakeDaemon full([](FakeConnection& connection, const FakeRequest& request) {
    wire::ErrorT error;
    error.code = static_cast<uint8_t>(StatusCode::kResourceExhausted);
    error.message = "store: full";
    return connection.Answer(request, error,
                             kFlagReply | kFlagEnd | kFlagError);
  });
  EXPECT_EQ(ConnectTo(full.endpoint()), StatusCode::kResourceExhausted);
}

// What a session holds afterwards: nothing, or all of what was saved.
void ExpectWholeOrNothing(TestDaemon* daemon, size_t tokens) {
  TestWorker direct(daemon->Connect());
  const auto restored = direct.Restore("s");
  if (!restored.ok()) {
    EXPECT_EQ(restored.status().code(), StatusCode::kNotFound);
    return;
  }
  EXPECT_EQ(restored->valid_end, tokens);
}

constexpr size_t kTokens = 150;

// Connects, registers, saves and restores through a proxy. The first failure.
Status SaveAndRestore(const std::string& endpoint) {
  ClientOptions options = Hasty(endpoint);
  auto client = Client::Connect(options);
  if (!client.ok()) return client.status();
  const ModelSpec spec = TinyModel();
  const auto model = (*client)->RegisterModel(spec);
  if (!model.ok()) return model.status();
  const auto tokens = ToyTokens(1, kTokens);
  KvCache cache(spec, {.token_count = kTokens});
  const auto saved = (*client)->Save(
      "s", {.model = *model, .tokens = tokens, .kv = cache.FillAll().view()});
  if (!saved.ok()) return saved.status();
  EXPECT_EQ(saved->version.version, 1u);
  KvCache again(spec, {.token_count = kTokens});
  const auto restored = (*client)->Restore(
      "s", {.model = *model, .make_sink = [&](const RestoreInfo&) {
              return Result<KvSink>(again.sink());
            }});
  if (!restored.ok()) return restored.status();
  EXPECT_EQ(restored->valid_end, kTokens);
  EXPECT_TRUE(again.HoldsExactly(0, kTokens));
  return Status();
}

class ClientCutTest
    : public testing::TestWithParam<std::pair<CutPlan::Direction, size_t>> {};

// One cut, anywhere: saves and restores go on by themselves. Only the very
// first greeting is not tried again.
TEST_P(ClientCutTest, OneCutAnywhereLosesNothing) {
  for (int n = 0;; ++n) {
    SCOPED_TRACE(n);
    TestDaemon daemon;
    CutProxy proxy(daemon.endpoint(), {.direction = GetParam().first,
                                       .message = n,
                                       .bytes = GetParam().second});
    const Status status =
        InTime([&] { return SaveAndRestore(proxy.endpoint()); });
    EXPECT_TRUE(status.ok() || n == 0) << status.ToString();
    ExpectWholeOrNothing(&daemon, kTokens);
    if (!proxy.has_cut()) {
      EXPECT_TRUE(status.ok()) << status.ToString();
      ASSERT_GT(n, 8);
      return;
    }
  }
}

TEST_P(ClientCutTest, ADaemonGoneForGoodLeavesAllOrNothing) {
  for (int n = 0;; ++n) {
    SCOPED_TRACE(n);
    TestDaemon daemon;
    CutProxy proxy(daemon.endpoint(), {.direction = GetParam().first,
                                       .message = n,
                                       .bytes = GetParam().second,
                                       .for_good = true});
    const Status status =
        InTime([&] { return SaveAndRestore(proxy.endpoint()); });
    ExpectWholeOrNothing(&daemon, kTokens);
    if (!proxy.has_cut()) return;
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status.ToString();
    // Waiting for a daemon that is gone costs time: not each one.
    if (n > 2) n += 2;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cuts, ClientCutTest,
    testing::Values(std::pair(CutPlan::Direction::kRequests, size_t{0}),
                    std::pair(CutPlan::Direction::kRequests, size_t{40}),
                    std::pair(CutPlan::Direction::kAnswers, size_t{0}),
                    std::pair(CutPlan::Direction::kAnswers, size_t{40})));

TEST(ClientFaultTest, ACommitWhoseAnswerIsLostIsSentAgain) {
  for (const bool swallow : {false, true}) {
    TestDaemon daemon;
    CutProxy proxy(
        daemon.endpoint(),
        {.message = 0, .type = MessageType::kCommit, .swallow = swallow});
    EXPECT_TRUE(SaveAndRestore(proxy.endpoint()).ok());
    EXPECT_TRUE(proxy.has_cut());
    TestWorker direct(daemon.Connect());
    const auto details = direct.client->Describe("s");
    ASSERT_OK(details);
    EXPECT_EQ(details->history.size(), 1u);
  }
}

TEST(ClientFaultTest, AFullQueueRefusesAtOnceAndCancelReturns) {
  FakeDaemon stuck([](FakeConnection& connection, const FakeRequest& request) {
    if (request.header.type == MessageType::kList) {
      return connection.Answer(request, wire::ListReplyT());
    }
    if (request.header.type == MessageType::kPutModel) {
      wire::PutModelReplyT reply;
      reply.model =
          std::make_unique<wire::Id32>(IdToWire(ModelIdOf(TinyModel())));
      return connection.Answer(request, reply);
    }
    return true;
  });
  ClientOptions options = Hasty(stuck.endpoint());
  options.request_timeout_ms = 60'000;
  options.transfer_timeout_ms = 60'000;
  options.max_queued_saves = 1;
  auto client = Client::Connect(options);
  ASSERT_OK(client);
  const auto model = (*client)->RegisterModel(TinyModel());
  ASSERT_OK(model);
  const auto tokens = ToyTokens(1, 64);
  std::vector<std::unique_ptr<SaveTicket>> tickets;
  Status refused;
  for (int i = 0; i < 10 && refused.ok(); ++i) {
    auto ticket =
        (*client)->SaveAsync("s", {.model = *model, .tokens = tokens});
    refused = ticket.status();
    if (ticket.ok()) tickets.push_back(*std::move(ticket));
  }
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  InTime([&] {
    for (auto& ticket : tickets) ticket->Cancel();
    return 0;
  });
  EXPECT_EQ(tickets[0]->Wait().status().code(), StatusCode::kUnavailable);
  // A client that goes takes its calls with it.
  auto last = (*client)->SaveAsync("s", {.model = *model, .tokens = tokens});
  ASSERT_OK(last);
  InTime([&] {
    *client = nullptr;
    return 0;
  });
  EXPECT_FALSE((*last)->Wait().ok());
}

}  // namespace
}  // namespace reprise
