// The daemon's network side, end to end over loopback, with a client that
// speaks the protocol by hand.
#include "api/server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/session.h"
#include "base/clock.h"
#include "store/memory_engine.h"
#include "tests/api/raw_client.h"
#include "tests/api/wire_worker.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

// A session of 8 MB in frames of 50 KB: a few fetches of it are far more than
// the kernel's buffers hold.
WireSave BigSave() {
  return MakeWireSave(GqaModel(), "chat", ToyTokens(1, 64 * 40),
                      {.section_bytes = 50'000});
}

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    engine_ = OpenMemoryEngine(MakeMemoryStore());
    catalogue_ = *Catalogue::Open(engine_.get(), &SystemClock(), {});
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    options_.listen = {"127.0.0.1:0"};
    options_.drain_timeout_ms = 5'000;
  }

  void Start() {
    auto server = Server::Start(&context_, options_);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = *std::move(server);
  }
  const std::string& endpoint() const { return server_->endpoints()[0]; }

  std::unique_ptr<RawClient> Connect() {
    auto client = std::make_unique<RawClient>(endpoint());
    auto hello = client->SayHello();
    EXPECT_TRUE(hello.has_value() && !hello->header.error());
    return client;
  }

  void Save(RawClient* client, const WireSave& save) {
    auto model = client->Call(MessageType::kPutModel, wire::PutModelT(),
                              save.model_spec);
    ASSERT_TRUE(model.has_value());
    ASSERT_EQ(model->error_message(), "");
    auto frames = client->Call(MessageType::kPutFrames, save.put_frames.table,
                               save.put_frames.body);
    ASSERT_TRUE(frames.has_value());
    ASSERT_EQ(frames->error_message(), "");
    auto published = client->Call(MessageType::kPublish, save.publish);
    ASSERT_TRUE(published.has_value());
    ASSERT_EQ(published->error_message(), "");
    auto commit =
        client->Call(MessageType::kCommit, save.commit.table, save.commit.body);
    ASSERT_TRUE(commit.has_value());
    ASSERT_EQ(commit->error_message(), "");
    EXPECT_EQ(commit->As<wire::CommitReply>().version(), 1u);
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ServerMetrics metrics_;
  HandlerContext context_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

// All frames of a fetch, by segment and frame; checks the manifest.
struct Fetched {
  RawMessage manifest;
  std::vector<std::vector<Bytes>> frames;
  std::vector<uint32_t> order;  // segment of each frame, as it came
};

void FetchAll(RawClient* client, const wire::FetchT& fetch, Fetched* out) {
  ASSERT_TRUE(client->Send(MessageType::kFetch, 77, fetch));
  auto manifest = client->Receive();
  ASSERT_TRUE(manifest.has_value());
  ASSERT_EQ(manifest->error_message(), "");
  out->manifest = *std::move(manifest);
  const auto& table = out->manifest.As<wire::FetchManifest>();
  for (const auto* segment : *table.segments()) {
    size_t count = segment->rendition() == nullptr
                       ? 0
                       : segment->rendition()->frames()->size();
    out->frames.emplace_back(count);
  }
  bool end = out->manifest.header.end();
  while (!end) {
    auto message = client->Receive();
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->header.request, 77u);
    size_t at = 0;
    for (const auto* sent : *message->As<wire::FetchFrames>().frames()) {
      ASSERT_LE(at + sent->bytes(), message->body.size());
      out->frames[sent->segment()][sent->frame()].assign(
          message->body.begin() + static_cast<ptrdiff_t>(at),
          message->body.begin() + static_cast<ptrdiff_t>(at + sent->bytes()));
      out->order.push_back(sent->segment());
      at += sent->bytes();
    }
    EXPECT_EQ(at, message->body.size());
    end = message->header.end();
  }
}

wire::FetchT FetchOf(std::string_view session) {
  wire::FetchT fetch;
  fetch.session = session;
  fetch.lowest_tier = static_cast<uint8_t>(Tier::kExact);
  return fetch;
}

TEST_F(ServerTest, WhatWasSavedIsFetched) {
  Start();
  auto client = Connect();
  WireSave save = MakeWireSave(SmolModel(), "chat", ToyTokens(1, 64 * 3 + 17));
  ASSERT_NO_FATAL_FAILURE(Save(client.get(), save));
  Fetched fetched;
  ASSERT_NO_FATAL_FAILURE(FetchAll(client.get(), FetchOf("chat"), &fetched));
  ASSERT_EQ(fetched.frames.size(), save.renditions.size());
  for (size_t i = 0; i < fetched.frames.size(); i++) {
    EXPECT_EQ(fetched.frames[i], save.renditions[i].frames) << i;
  }
  const auto& manifest = fetched.manifest.As<wire::FetchManifest>();
  EXPECT_EQ(manifest.token_count(), 64u * 3 + 17);
}

TEST_F(ServerTest, LayerMajorStreamsGroupsAndTokenMajorSegments) {
  context_.limits.fetch_message_bytes = 1000;
  Start();
  auto client = Connect();
  WireSave save = MakeWireSave(SmolModel(), "chat", ToyTokens(1, 64 * 3));
  ASSERT_NO_FATAL_FAILURE(Save(client.get(), save));
  Fetched by_layer;
  ASSERT_NO_FATAL_FAILURE(FetchAll(client.get(), FetchOf("chat"), &by_layer));
  ASSERT_EQ(by_layer.order.size(), 15u);
  EXPECT_EQ(std::vector(by_layer.order.begin(), by_layer.order.begin() + 4),
            (std::vector<uint32_t>{0, 1, 2, 0}));
  wire::FetchT fetch = FetchOf("chat");
  fetch.token_major = true;
  Fetched by_token;
  ASSERT_NO_FATAL_FAILURE(FetchAll(client.get(), fetch, &by_token));
  EXPECT_TRUE(std::is_sorted(by_token.order.begin(), by_token.order.end()));
  EXPECT_EQ(by_token.frames, by_layer.frames);

  fetch.layer_count = 1;  // of the first group of six
  Fetched one_layer;
  ASSERT_NO_FATAL_FAILURE(FetchAll(client.get(), fetch, &one_layer));
  EXPECT_EQ(one_layer.order, (std::vector<uint32_t>{0, 1, 2}));
}

TEST_F(ServerTest, ALostFrameIsToldAndTheStreamGoesOn) {
  Start();
  auto client = Connect();
  WireSave save = MakeWireSave(SmolModel(), "chat", ToyTokens(1, 64 * 3));
  ASSERT_NO_FATAL_FAILURE(Save(client.get(), save));
  const Rendition& rendition = save.renditions[1].rendition;
  std::string key = FrameKey(TenantDomain("default"), save.segments[1].Id(),
                             rendition.id, rendition.frames[2].index);
  ObjectRef lost{rendition.frames[2].space, key};
  ASSERT_EQ(*engine_->RemoveIfUntouched({&lost, 1}, UINT64_MAX), 1u);
  Fetched fetched;
  ASSERT_NO_FATAL_FAILURE(FetchAll(client.get(), FetchOf("chat"), &fetched));
  EXPECT_EQ(fetched.order.size(), 15u);
  EXPECT_TRUE(fetched.frames[1][2].empty());
  EXPECT_EQ(fetched.frames[2], save.renditions[2].frames);
  EXPECT_EQ(metrics_.frames_lost, 1u);
}

TEST_F(ServerTest, PipelinedRequestsAreAllAnswered) {
  Start();
  auto client = Connect();
  constexpr uint64_t kRequests = 200;
  Bytes all;
  for (uint64_t i = 1; i <= kRequests; i++) {
    Bytes one = RawClient::Encode(MessageType::kList, i, wire::ListT());
    all.insert(all.end(), one.begin(), one.end());
  }
  ASSERT_TRUE(client->SendBytes(all));
  std::vector<bool> answered(kRequests + 1);
  for (uint64_t i = 1; i <= kRequests; i++) {
    auto answer = client->Receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->error_message(), "");
    EXPECT_FALSE(answered[answer->header.request]);
    answered[answer->header.request] = true;
  }
}

TEST_F(ServerTest, GarbageEndsItsConnectionAndNoOther) {
  Start();
  auto good = Connect();
  auto bad = Connect();
  ASSERT_TRUE(bad->SendBytes(Bytes(100, 'x')));
  auto error = bad->Receive();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(error->header.request, 0u);
  EXPECT_TRUE(bad->AtEnd());
  auto list = good->Call(MessageType::kList, wire::ListT());
  ASSERT_TRUE(list.has_value());
  EXPECT_FALSE(list->header.error());
}

TEST_F(ServerTest, HalfAMessageAndSilenceMeetTheDeadline) {
  options_.timeouts.message_ms = 100;
  Start();
  auto client = Connect();
  Bytes message = RawClient::Encode(MessageType::kList, 5, wire::ListT());
  message.resize(message.size() - 1);
  ASSERT_TRUE(client->SendBytes(message));
  auto error = client->Receive();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(error->header.request, 5u);
  EXPECT_TRUE(client->AtEnd());
}

TEST_F(ServerTest, ASlowReaderGetsEverything) {
  options_.send_queue_bytes = 256 << 10;
  context_.limits.fetch_message_bytes = 64 << 10;
  Start();
  auto client = Connect();
  ASSERT_NO_FATAL_FAILURE(Save(client.get(), BigSave()));
  client->SetReceiveBuffer(64 << 10);
  wire::FetchT fetch = FetchOf("chat");
  uint64_t asked = 0;
  for (uint64_t i = 1; i <= 8; i++) {
    ASSERT_TRUE(client->Send(MessageType::kFetch, i, fetch));
    asked++;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  uint64_t ends = 0;
  while (ends < asked) {
    auto message = client->Receive();
    ASSERT_TRUE(message.has_value());
    ASSERT_EQ(message->error_message(), "");
    if (message->header.end()) ends++;
  }
}

// What the session that `fetched` came from holds at most: its queue, a
// message's own bytes apart from frames, and first answers that began together.
uint64_t MostHeld(const Fetched& fetched, uint64_t queue_bytes) {
  constexpr uint64_t kHeads = 16 << 10;
  const MessageHeader& manifest = fetched.manifest.header;
  const uint64_t first_answer = kMessageHeaderBytes + manifest.meta_bytes;
  return queue_bytes + kHeads +
         SessionOptions().concurrent_requests * first_answer;
}

TEST_F(ServerTest, AClientThatReadsNothingIsBoundedHarmlessAndDropped) {
  options_.send_queue_bytes = 1 << 20;
  options_.timeouts.write_ms = 500;
  context_.limits.fetch_message_bytes = 512 << 10;
  Start();
  auto good = Connect();
  ASSERT_NO_FATAL_FAILURE(Save(good.get(), BigSave()));
  Fetched fetched;
  ASSERT_NO_FATAL_FAILURE(FetchAll(good.get(), FetchOf("chat"), &fetched));
  const uint64_t bound = MostHeld(fetched, options_.send_queue_bytes);

  auto silent = Connect();
  silent->SetReceiveBuffer(64 << 10);
  for (uint64_t i = 1; i <= 40; i++) {
    ASSERT_TRUE(silent->Send(MessageType::kFetch, i, FetchOf("chat")));
  }
  uint64_t most_held = 0;
  uint64_t served = 0;
  while (metrics_.deadlines_missed == 0 && served < 100'000) {
    auto list = good->Call(MessageType::kList, wire::ListT());
    ASSERT_TRUE(list.has_value());
    ASSERT_EQ(list->error_message(), "");
    served++;
    most_held =
        std::max(most_held, static_cast<uint64_t>(metrics_.send_bytes_held));
  }
  EXPECT_EQ(metrics_.deadlines_missed, 1u);
  EXPECT_GE(served, 20u);
  EXPECT_GE(most_held, options_.send_queue_bytes / 2) << "never was full";
  EXPECT_LE(most_held, bound);

  // Nothing of it is left: neither memory nor requests nor leases.
  for (int i = 0; i < 1'000 && metrics_.connections_open > 1; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(metrics_.connections_open, 1);
  EXPECT_EQ(metrics_.send_bytes_held, 0);
  EXPECT_EQ(metrics_.requests_open, 0);
  std::vector<HeadStore::ListedHead> leases;
  ASSERT_TRUE(engine_->ListHeads(HeadSpace::kLease, "", "", 100, &leases).ok());
  EXPECT_TRUE(leases.empty()) << leases.size();
  // It finds out once it has read what was sent before.
  while (silent->Receive().has_value()) {
  }
  EXPECT_TRUE(silent->AtEnd());
  ASSERT_NO_FATAL_FAILURE(FetchAll(good.get(), FetchOf("chat"), &fetched));
}

TEST_F(ServerTest, DrainFinishesWhatIsOpenAndRefusesWhatIsNew) {
  Start();
  auto client = Connect();
  WireSave save = MakeWireSave(SmolModel(), "chat", ToyTokens(1, 64 * 3));
  ASSERT_NO_FATAL_FAILURE(Save(client.get(), save));
  std::thread drain([this] { server_->Drain(); });
  Fetched fetched;
  FetchAll(client.get(), FetchOf("chat"), &fetched);
  EXPECT_EQ(fetched.order.size(), 15u);
  EXPECT_TRUE(client->AtEnd());
  drain.join();
  EXPECT_EQ(metrics_.connections_open, 0);
}

TEST_F(ServerTest, DrainClosesByForceWhatDoesNotEnd) {
  options_.drain_timeout_ms = 50;
  Start();
  auto client = Connect();
  // A message that never ends keeps its connection from being idle.
  ASSERT_TRUE(client->SendBytes(
      ByteView(RawClient::Encode(MessageType::kList, 5, wire::ListT()))
          .first(10)));
  server_->Drain();
  EXPECT_TRUE(client->AtEnd());
}

TEST_F(ServerTest, ServesAUnixSocketAndRemovesIt) {
  std::string path = "/tmp/reprise_server_test_" + std::to_string(::getpid());
  options_.listen = {"unix:" + path};
  Start();
  {
    auto client = Connect();
    auto list = client->Call(MessageType::kList, wire::ListT());
    EXPECT_TRUE(list.has_value() && !list->header.error());
  }
  EXPECT_TRUE(
      Server::Start(&context_, options_).status().Is(StatusCode::kUnavailable));
  server_.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(ServerTest, RefusesAddressesBeyondLoopback) {
  options_.listen = {"0.0.0.0:0"};
  EXPECT_TRUE(Server::Start(&context_, options_)
                  .status()
                  .Is(StatusCode::kFailedPrecondition));
}

TEST_F(ServerTest, ConnectionsOverTheLimitAreClosed) {
  options_.max_connections = 1;
  Start();
  auto first = Connect();
  RawClient second(endpoint());
  EXPECT_TRUE(second.AtEnd());
  EXPECT_EQ(metrics_.connections_refused, 1u);
}

}  // namespace
}  // namespace reprise
