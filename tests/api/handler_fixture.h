// A connection's handler without sockets, over a store in memory, and requests
// to it.
#ifndef REPRISE_TESTS_API_HANDLER_FIXTURE_H_
#define REPRISE_TESTS_API_HANDLER_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/handler.h"
#include "base/clock.h"
#include "store/memory_engine.h"
#include "tests/api/raw_client.h"
#include "tests/api/wire_worker.h"
#include "tests/support/model_specs.h"

namespace reprise {

// Of the session that is saved: two segments and a tail.
inline constexpr size_t kTokens = 150;

// An answer as its client sees it.
inline RawMessage Received(const Answer& answer) {
  RawMessage message;
  EXPECT_TRUE(
      ParseMessageHeader(answer.head.header_view(), true, {}, &message.header)
          .ok());
  message.meta = AlignedBytes::CopyOf(answer.head.meta_view());
  for (const PinnedBytes& part : answer.body) {
    ByteView view = part.view();
    message.body.insert(message.body.end(), view.begin(), view.end());
  }
  EXPECT_EQ(message.body.size(), message.header.body_bytes);
  EXPECT_EQ(answer.end, message.header.end());
  EXPECT_EQ(answer.code, message.code());
  return message;
}

class HandlerTest : public testing::Test {
 protected:
  HandlerTest()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &SystemClock(), {})) {
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    context_.stats_json = [] { return std::string("{}"); };
    Connect();
  }

  // A new connection that has said hello.
  void Connect() {
    handler_ = std::make_unique<ConnectionHandler>(&context_);
    wire::HelloT hello;
    hello.version_min = hello.version_max = kWireVersion;
    ASSERT_EQ(Only(MessageType::kHello, hello).error_message(), "");
    ASSERT_TRUE(handler_->greeted());
  }

  // All that the daemon says to one request; the last message, and no other,
  // has kEnd.
  template <typename Native>
  std::vector<RawMessage> All(MessageType type, const Native& native,
                              ByteView body = {}) {
    MessageHead head = PackMessage(type, 0, ++last_request_, native,
                                   static_cast<uint32_t>(body.size()));
    return Exchange(head, body);
  }

  std::vector<RawMessage> Exchange(const MessageHead& head, ByteView body) {
    HandlerRequest request;
    EXPECT_TRUE(
        ParseMessageHeader(head.header_view(), false, {}, &request.header)
            .ok());
    std::vector<RawMessage> messages;
    if (Status admitted = handler_->Admit(request.header); !admitted.ok()) {
      messages.push_back(Received(
          ConnectionHandler::MalformedAnswer(request.header, admitted)));
      return messages;
    }
    request.meta = AlignedBytes::CopyOf(head.meta_view());
    request.body = AlignedBytes::CopyOf(body);
    HandlerReply reply = handler_->Handle(request);
    messages.push_back(Received(reply.first));
    EXPECT_EQ(reply.rest == nullptr, reply.first.end);
    while (!messages.back().header.end()) {
      messages.push_back(Received(reply.rest->Next()));
    }
    reply.rest.reset();
    handler_->Finish(request.header.request);
    for (const RawMessage& message : messages) {
      EXPECT_EQ(message.header.request, request.header.request);
      EXPECT_EQ(message.header.type, request.header.type);
    }
    return messages;
  }

  template <typename Native>
  RawMessage Only(MessageType type, const Native& native, ByteView body = {}) {
    std::vector<RawMessage> messages = All(type, native, body);
    EXPECT_EQ(messages.size(), 1u);
    return std::move(messages.front());
  }

  // The code of the one answer; then the connection serves the next request.
  template <typename Native>
  StatusCode Code(MessageType type, const Native& native, ByteView body = {}) {
    RawMessage answer = Only(type, native, body);
    RawMessage stats = Only(MessageType::kStats, wire::StatsT());
    EXPECT_EQ(stats.error_message(), "");
    return answer.code();
  }

  WireSave MakeSave(uint64_t seed = 1) {
    return MakeWireSave(TinyModel(), "chat", ToyTokens(seed, kTokens));
  }

  void Save() {
    WireSave save = MakeSave();
    ASSERT_NO_FATAL_FAILURE(SaveFrames(save));
    RawMessage published = Only(MessageType::kPublish, save.publish);
    ASSERT_EQ(published.error_message(), "");
    for (const auto* outcome : *published.As<wire::PublishReply>().outcomes()) {
      EXPECT_EQ(outcome->kind(), 1);
    }
    RawMessage commit =
        Only(MessageType::kCommit, save.commit.table, save.commit.body);
    ASSERT_EQ(commit.error_message(), "");
    EXPECT_EQ(commit.As<wire::CommitReply>().version(), 1u);
  }

  void SaveFrames(const WireSave& save) {
    ASSERT_EQ(Code(MessageType::kPutModel, wire::PutModelT(), save.model_spec),
              StatusCode::kOk);
    ASSERT_EQ(Code(MessageType::kPutFrames, save.put_frames.table,
                   save.put_frames.body),
              StatusCode::kOk);
  }

  // The code of a publish of one damaged item.
  StatusCode PublishCode(const std::function<void(wire::PublishItemT*)>& harm) {
    WireSave save = MakeSave();
    harm(save.publish.items[1].get());
    return Code(MessageType::kPublish, save.publish);
  }

  StatusCode FetchCode(const std::function<void(wire::FetchT*)>& harm) {
    wire::FetchT fetch;
    fetch.session = "chat";
    fetch.lowest_tier = 1;
    harm(&fetch);
    return Code(MessageType::kFetch, fetch);
  }

  StatusCode MatchCode(const std::function<void(wire::MatchT*)>& harm) {
    wire::MatchT match = MatchOfSave();
    harm(&match);
    return Code(MessageType::kMatch, match);
  }

  // What finds all that Save() stored.
  wire::MatchT MatchOfSave() {
    wire::MatchT match;
    ModelId model = ModelIdOf(TinyModel());
    match.model = WireId(model.view());
    std::vector<TokenId> tokens = ToyTokens(1, kTokens);
    for (const SegmentId& id : SegmentIdsOf(model, tokens)) {
      match.segments.insert(match.segments.end(), id.bytes.begin(),
                            id.bytes.end());
    }
    match.tail_tokens.assign(tokens.begin() + 128, tokens.end());
    match.lowest_tier = 1;
    return match;
  }

  StatusCode CommitCode(const std::function<void(wire::CommitT*)>& harm) {
    WireSave save = MakeSave();
    harm(&save.commit.table);
    return Code(MessageType::kCommit, save.commit.table, save.commit.body);
  }

  wire::PutProfileT Piece(ByteView piece, uint32_t offset, uint32_t total) {
    wire::PutProfileT put;
    put.model = WireId(ModelIdOf(TinyModel()).view());
    put.codec = static_cast<uint16_t>(CodecId::kExact);
    put.offset = offset;
    put.total_bytes = total;
    put.checksum = Checksum(piece);
    return put;
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ServerMetrics metrics_;
  HandlerContext context_;
  std::unique_ptr<ConnectionHandler> handler_;
  uint64_t last_request_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_API_HANDLER_FIXTURE_H_
