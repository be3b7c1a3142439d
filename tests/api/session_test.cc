// One session over a transport in memory: every operation fails once, bytes
// come in any pieces, peers are silent, slow or talk nonsense.
#include "api/session.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/memory_engine.h"
#include "tests/api/fake_transport.h"
#include "tests/api/raw_client.h"
#include "tests/api/wire_worker.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

namespace asio = boost::asio;

void Append(const Bytes& bytes, Bytes* out) {
  out->insert(out->end(), bytes.begin(), bytes.end());
}

Bytes HelloBytes() {
  wire::HelloT hello;
  hello.version_min = 1;
  hello.version_max = 1;
  return RawClient::Encode(MessageType::kHello, 1, hello);
}

// Splits what a session has written; false when it is not whole messages.
bool Split(ByteView bytes, std::vector<RawMessage>* out) {
  MessageReader reader({.replies = true});
  RawMessage message;
  size_t at = 0;
  for (;;) {
    switch (reader.step()) {
      case MessageReader::Step::kBytes: {
        if (at == bytes.size()) return reader.between_messages();
        MutableByteView space = reader.Space();
        size_t count = std::min(space.size(), bytes.size() - at);
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), count,
                    space.begin());
        at += count;
        if (!reader.Advance(count).ok()) return false;
        break;
      }
      case MessageReader::Step::kHeader:
        if (!reader.ReadMeta().ok()) return false;
        break;
      case MessageReader::Step::kMeta:
        message.body.resize(reader.header().body_bytes);
        reader.ReadBody(message.body);
        break;
      case MessageReader::Step::kMessage:
        message.header = reader.header();
        message.meta = reader.TakeMeta();
        out->push_back(std::move(message));
        message = {};
        if (!reader.NextMessage().ok()) return false;
        break;
    }
  }
}

class SessionTest : public testing::Test {
 protected:
  SessionTest()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &SystemClock(), {})),
        worker_(catalogue_.get(), TenantDomain("default"), SmolModel()),
        pool_(2),
        budget_(64 << 20) {
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    context_.limits.fetch_message_bytes = 1000;
    shared_.context = &context_;
    shared_.store_pool = &pool_;
    shared_.upload_budget = &budget_;
    shared_.options.linger_ms = 50;
    EXPECT_TRUE(worker_.Save("chat", ToyTokens(1, 150)).ok());
  }
  ~SessionTest() override { pool_.join(); }

  // Runs a session to its end.
  std::vector<RawMessage> Run(FakePeer* peer) {
    asio::io_context io;
    bool ended = false;
    auto session = std::make_shared<Session>(
        std::make_unique<FakeTransport>(asio::make_strand(io), peer), &shared_);
    std::weak_ptr<Session> weak = session;
    session->Start([&] { ended = true; });
    if (during_) during_(session.get());
    session.reset();
    io.run();
    EXPECT_TRUE(ended);
    EXPECT_TRUE(weak.expired());
    EXPECT_TRUE(peer->closed);
    EXPECT_EQ(budget_.used(), 0u);
    EXPECT_EQ(metrics_.connections_open, 0);
    EXPECT_EQ(metrics_.requests_open, 0);
    EXPECT_EQ(metrics_.upload_bytes_held, 0);
    EXPECT_EQ(metrics_.send_bytes_held, 0);
    std::vector<RawMessage> messages;
    whole_ = Split(peer->written, &messages);
    return messages;
  }

  // Hello, a save, a fetch, and a session that is not there.
  Bytes WholeScript() {
    Bytes script = HelloBytes();
    WireSave save = MakeWireSave(SmolModel(), "new", ToyTokens(2, 70));
    Append(RawClient::Encode(MessageType::kPutFrames, 2, save.put_frames.table,
                             save.put_frames.body),
           &script);
    wire::FetchT fetch;
    fetch.session = "chat";
    fetch.lowest_tier = 1;
    Append(RawClient::Encode(MessageType::kFetch, 3, fetch), &script);
    wire::RemoveT remove;
    remove.session = "none";
    Append(RawClient::Encode(MessageType::kRemove, 4, remove), &script);
    return script;
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ToyWorker worker_;
  ServerMetrics metrics_;
  HandlerContext context_;
  asio::thread_pool pool_;
  ByteBudget budget_;
  SessionShared shared_;
  std::function<void(Session*)> during_;
  bool whole_ = false;  // the last run wrote whole messages only
};

// How many messages end each request.
std::map<uint64_t, int> Ends(const std::vector<RawMessage>& messages) {
  std::map<uint64_t, int> ends;
  for (const RawMessage& message : messages) {
    ends[message.header.request] += message.header.end() ? 1 : 0;
  }
  return ends;
}

TEST_F(SessionTest, AnswersEachRequestOnceHoweverBytesAreCut) {
  for (size_t chunk : {1, 33, 1000, 1 << 20}) {
    FakePeer peer{.script = WholeScript(), .read_chunk = chunk};
    peer.write_chunk = chunk == 1 ? 100 : chunk;
    std::vector<RawMessage> messages = Run(&peer);
    EXPECT_TRUE(whole_);
    std::map<uint64_t, int> expected = {{1, 1}, {2, 1}, {3, 1}, {4, 1}};
    EXPECT_EQ(Ends(messages), expected) << chunk;
    for (const RawMessage& message : messages) {
      auto code =
          message.header.request == 4 ? StatusCode::kNotFound : StatusCode::kOk;
      EXPECT_EQ(message.code(), code) << message.error_message();
    }
    EXPECT_GT(messages.size(), 8u);  // the fetch was in several
  }
}

TEST_F(SessionTest, EndsInOrderWhicheverOperationFails) {
  int operations = 0;
  for (int fail_at = 0;; fail_at++) {
    FakePeer peer{.script = WholeScript(),
                  .read_chunk = 300,
                  .write_chunk = 700,
                  .fail_at = fail_at};
    Run(&peer);
    ASSERT_LT(fail_at, 2000);
    if (peer.operations <= fail_at) break;
    operations = fail_at;
  }
  EXPECT_GT(operations, 15);
}

TEST_F(SessionTest, EveryTruncatedScriptEndsInOrder) {
  Bytes whole = WholeScript();
  for (size_t size = 0; size < whole.size(); size += 7) {
    FakePeer peer;
    peer.script.assign(whole.begin(),
                       whole.begin() + static_cast<ptrdiff_t>(size));
    Run(&peer);
    EXPECT_TRUE(whole_) << size;
  }
}

TEST_F(SessionTest, EveryFlippedByteIsAnsweredAndHarmsNobody) {
  Bytes whole = HelloBytes();
  wire::ListT list;
  list.prefix = "ch";
  Append(RawClient::Encode(MessageType::kList, 2, list), &whole);
  for (size_t i = 0; i < whole.size(); i++) {
    FakePeer peer{.script = whole};
    peer.script[i] ^= 0x20;
    std::vector<RawMessage> messages = Run(&peer);
    EXPECT_TRUE(whole_) << i;
    ASSERT_FALSE(messages.empty()) << i;
    EXPECT_EQ(messages.back().code(), StatusCode::kInvalidArgument) << i;
  }
}

TEST_F(SessionTest, RequestsBeforeHelloAreRefused) {
  FakePeer peer;
  peer.script = RawClient::Encode(MessageType::kStats, 9, wire::StatsT());
  peer.hang_at_end = true;
  std::vector<RawMessage> messages = Run(&peer);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(messages[0].header.request, 9u);
}

TEST_F(SessionTest, ASecondHelloEndsTheConnection) {
  FakePeer peer;
  peer.script = HelloBytes();
  Append(HelloBytes(), &peer.script);
  peer.hang_at_end = true;
  std::vector<RawMessage> messages = Run(&peer);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[1].code(), StatusCode::kFailedPrecondition);
}

TEST_F(SessionTest, OtherVersionsAreSentAway) {
  wire::HelloT hello;
  hello.version_min = 2;
  hello.version_max = 9;
  FakePeer peer;
  peer.script = RawClient::Encode(MessageType::kHello, 1, hello);
  peer.hang_at_end = true;
  std::vector<RawMessage> messages = Run(&peer);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].error_message(),
            "hello: the client speaks versions 2 to 9, this daemon 1");
}

TEST_F(SessionTest, SilentPeersMeetEachDeadline) {
  shared_.options.hello_timeout_ms = 20;
  FakePeer silent{.hang_at_end = true};
  EXPECT_TRUE(Run(&silent).empty());

  shared_.options.hello_timeout_ms = 10'000;
  shared_.options.idle_timeout_ms = 20;
  FakePeer idle{.script = HelloBytes(), .hang_at_end = true};
  EXPECT_EQ(Run(&idle).size(), 1u);

  shared_.options.idle_timeout_ms = 10'000;
  shared_.options.message_timeout_ms = 20;
  Bytes list = RawClient::Encode(MessageType::kList, 2, wire::ListT());
  for (size_t size : {1u, 31u, 32u, 40u}) {
    FakePeer cut{.script = HelloBytes(), .hang_at_end = true};
    Append(Bytes(list.begin(), list.begin() + static_cast<ptrdiff_t>(size)),
           &cut.script);
    std::vector<RawMessage> messages = Run(&cut);
    ASSERT_EQ(messages.size(), 2u) << size;
    EXPECT_EQ(messages[1].code(), StatusCode::kDeadlineExceeded);
    EXPECT_EQ(messages[1].header.request, size < 32 ? 1u : 2u);
  }
}

TEST_F(SessionTest, APeerThatReadsNothingIsLeft) {
  shared_.options.write_timeout_ms = 30;
  FakePeer peer{.script = WholeScript(), .never_write = true};
  peer.hang_at_end = true;
  EXPECT_TRUE(Run(&peer).empty());
  EXPECT_EQ(metrics_.deadlines_missed, 1u);
}

TEST_F(SessionTest, ADrainedSessionEndsOnceItIsIdle) {
  shared_.options.drain_idle_ms = 20;
  context_.draining = false;
  during_ = [](Session* session) { session->Drain(); };
  FakePeer peer{.script = WholeScript(), .hang_at_end = true};
  EXPECT_EQ(Ends(Run(&peer)).size(), 4u);
}

TEST_F(SessionTest, AnAbortedSessionEndsAtOnce) {
  during_ = [](Session* session) { session->Abort(); };
  FakePeer peer{.script = WholeScript(), .hang_at_end = true};
  Run(&peer);
}

TEST_F(SessionTest, AFullBudgetStopsReadingUntilBytesComeBack) {
  context_.limits.in_flight_bytes = 1;  // one request at a time, of any size
  FakePeer peer{.script = WholeScript()};
  EXPECT_EQ(Ends(Run(&peer)).size(), 4u);
}

TEST_F(SessionTest, ReusedRequestIdsAreRefusedOnlyWhileOpen) {
  Bytes script = HelloBytes();
  for (int i = 0; i < 3; i++) {
    Append(RawClient::Encode(MessageType::kStats, 1, wire::StatsT()), &script);
  }
  FakePeer peer{.script = script};
  std::vector<RawMessage> messages = Run(&peer);
  // The second may come while the first is open, or after it.
  for (const RawMessage& message : messages) {
    EXPECT_TRUE(message.code() == StatusCode::kOk ||
                message.code() == StatusCode::kInvalidArgument);
  }
}

TEST_F(SessionTest, ACancelledFetchEndsWithoutItsFrames) {
  // The first message of the fetch fills the queue; the rest waits.
  shared_.options.send_queue_bytes = 1;
  Bytes script = HelloBytes();
  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = 1;
  Append(RawClient::Encode(MessageType::kFetch, 3, fetch), &script);
  wire::CancelT cancel;
  cancel.request = 3;
  Append(RawClient::Encode(MessageType::kCancel, 4, cancel), &script);
  FakePeer peer{.script = script, .write_chunk = 16};
  std::vector<RawMessage> messages = Run(&peer);
  std::map<uint64_t, int> expected = {{1, 1}, {3, 1}};
  EXPECT_EQ(Ends(messages), expected);
  EXPECT_LT(messages.size(), 6u);
}

}  // namespace
}  // namespace reprise
