// The daemon's network side, end to end over loopback, with a client that
// speaks the protocol by hand.
#include "api/server.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/memory_engine.h"
#include "tests/api/raw_client.h"
#include "tests/api/wire_worker.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

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

}  // namespace
}  // namespace reprise
