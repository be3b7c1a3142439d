// The handler without sockets: each request as it should be, then everything
// that a client can get wrong. A bad request gets one answer, an error of the
// right code, and the next good one is served.
#include "api/handler.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/space_guard.h"
#include "base/clock.h"
#include "base/limits.h"
#include "tests/api/handler_fixture.h"
#include "tests/api/wire_worker.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
// A body that fails its own checks.
constexpr StatusCode kDamaged = StatusCode::kDataLoss;

// A chain of `count` ids, as metadata holds it.
std::vector<uint8_t> IdBytes(size_t count) {
  return std::vector<uint8_t>(count * sizeof(SegmentId), 7);
}

std::unique_ptr<wire::Id32> UnknownId() {
  return WireId(std::vector<uint8_t>(32, 0x77));
}

// --- As it should be ---

TEST_F(HandlerTest, ServesModels) {
  WireSave save = MakeSave();
  RawMessage put =
      Only(MessageType::kPutModel, wire::PutModelT(), save.model_spec);
  auto model = IdFromWire<ModelId>(put.As<wire::PutModelReply>().model());
  EXPECT_EQ(model, ModelIdOf(TinyModel()));
  wire::GetModelT get;
  get.model = WireId(model.view());
  EXPECT_EQ(Only(MessageType::kGetModel, get).body, save.model_spec);
}

TEST_F(HandlerTest, ServesProfilesInPieces) {
  WireSave save = MakeSave();
  Only(MessageType::kPutModel, wire::PutModelT(), save.model_spec);
  Bytes profile((5u << 20) + 1, 3);
  ByteView whole(profile);
  auto total = static_cast<uint32_t>(profile.size());
  RawMessage first =
      Only(MessageType::kPutProfile, Piece(whole.first(1000), 0, total),
           whole.first(1000));
  EXPECT_EQ(first.As<wire::PutProfileReply>().profile(), nullptr);
  ByteView rest = whole.subspan(1000);
  RawMessage last =
      Only(MessageType::kPutProfile, Piece(rest, 1000, total), rest);
  wire::GetProfileT get;
  get.profile =
      std::make_unique<wire::Id32>(*last.As<wire::PutProfileReply>().profile());
  Bytes got;
  std::vector<RawMessage> pieces = All(MessageType::kGetProfile, get);
  EXPECT_GT(pieces.size(), 1u);
  for (const RawMessage& piece : pieces) {
    const auto& table = piece.As<wire::GetProfileReply>();
    EXPECT_EQ(table.offset(), got.size());
    EXPECT_EQ(table.checksum(), Checksum(piece.body));
    got.insert(got.end(), piece.body.begin(), piece.body.end());
  }
  EXPECT_EQ(got, profile);
  EXPECT_EQ(context_.profile_upload_bytes, 0u);
}

TEST_F(HandlerTest, ServesASaveAMatchAndAFetch) {
  ASSERT_NO_FATAL_FAILURE(Save());
  WireSave save = MakeSave();
  wire::MatchT match = MatchOfSave();
  match.lease_ms = 1000;
  RawMessage matched = Only(MessageType::kMatch, match);
  const auto& found = matched.As<wire::MatchReply>();
  ASSERT_EQ(found.ranges()->size(), 1u);
  EXPECT_EQ(found.ranges()->Get(0)->segment_count(), 2u);
  EXPECT_EQ(found.tail_tokens(), kTokens - 128);
  EXPECT_EQ(found.bytes_to_move(), save.put_frames.body.size());

  wire::LeaseT lease;
  lease.lease = found.lease();
  lease.lease_ms = 2000;
  EXPECT_EQ(Code(MessageType::kLease, lease), StatusCode::kOk);
  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = 1;
  fetch.token_major = true;
  fetch.lease = found.lease();
  std::vector<RawMessage> fetched = All(MessageType::kFetch, fetch);
  ASSERT_EQ(fetched.size(), 2u);
  EXPECT_EQ(fetched[0].As<wire::FetchManifest>().token_count(), kTokens);
  EXPECT_EQ(fetched[1].body, save.put_frames.body);
  lease.lease_ms = 0;
  EXPECT_EQ(Code(MessageType::kLease, lease), StatusCode::kOk);
}

TEST_F(HandlerTest, AManifestWithoutFramesToFollowIsTheEnd) {
  ASSERT_NO_FATAL_FAILURE(Save());
  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = 1;
  fetch.manifest_only = true;
  RawMessage manifest = Only(MessageType::kFetch, fetch);
  uint64_t lease = manifest.As<wire::FetchManifest>().lease();
  wire::LeaseT renew;
  renew.lease = lease;
  renew.lease_ms = 1000;
  EXPECT_EQ(Code(MessageType::kLease, renew), StatusCode::kOk);
  // Layers that the model lacks have no frames; the lease went with the end.
  fetch.manifest_only = false;
  fetch.first_layer = 1000;
  RawMessage empty = Only(MessageType::kFetch, fetch);
  renew.lease = empty.As<wire::FetchManifest>().lease();
  EXPECT_EQ(Code(MessageType::kLease, renew), StatusCode::kNotFound);
}

TEST_F(HandlerTest, ServesSessions) {
  ASSERT_NO_FATAL_FAILURE(Save());
  wire::ForkT fork;
  fork.from = "chat";
  fork.to = "copy";
  EXPECT_EQ(Code(MessageType::kFork, fork), StatusCode::kOk);
  RawMessage listed = Only(MessageType::kList, wire::ListT());
  EXPECT_EQ(listed.As<wire::ListReply>().sessions()->size(), 2u);

  wire::DescribeT describe;
  describe.session = "copy";
  describe.with_sizes = true;
  describe.commits = 10;
  RawMessage described = Only(MessageType::kDescribe, describe);
  const auto& copy = described.As<wire::DescribeReply>();
  EXPECT_EQ(copy.session()->token_count(), kTokens);
  EXPECT_EQ(copy.history()->size(), 1u);
  EXPECT_GT(copy.frame_bytes(), 0u);

  wire::RewindT rewind;
  rewind.session = "copy";
  rewind.expected_incarnation = copy.session()->incarnation();
  rewind.expected_version = copy.session()->version();
  rewind.token_count = 100;
  rewind.pending = {1, 2, 3};
  EXPECT_EQ(Code(MessageType::kRewind, rewind), StatusCode::kOk);
  wire::RemoveT remove;
  remove.session = "copy";
  EXPECT_EQ(Code(MessageType::kRemove, remove), StatusCode::kOk);
  EXPECT_EQ(Code(MessageType::kDescribe, describe), StatusCode::kNotFound);
}

TEST_F(HandlerTest, RunsJobsOnlyWhereThereAreAny) {
  EXPECT_EQ(Code(MessageType::kJob, wire::JobT()), StatusCode::kUnimplemented);
  Jobs jobs(catalogue_.get(), &SystemClock(), {.collect_interval_ms = 0});
  context_.jobs = &jobs;
  RawMessage report = std::move(All(MessageType::kJob, wire::JobT()).back());
  EXPECT_EQ(report.error_message(), "");
  EXPECT_GT(report.As<wire::JobReply>().json()->size(), 0u);
  wire::JobT unknown;
  unknown.kind = static_cast<wire::JobKind>(99);
  EXPECT_EQ(Code(MessageType::kJob, unknown), kInvalid);
  context_.jobs = nullptr;
}

TEST_F(HandlerTest, CancelEndsAStreamAndForgivesUnknownRequests) {
  ASSERT_NO_FATAL_FAILURE(Save());
  context_.limits.fetch_message_bytes = 1;
  HandlerRequest cancel;
  wire::CancelT table;
  auto cancelled = [&](uint64_t request) {
    table.request = request;
    MessageHead head = PackMessage(MessageType::kCancel, 0, 900, table);
    cancel.meta = AlignedBytes::CopyOf(head.meta_view());
    return handler_->HandleCancel(cancel);
  };
  EXPECT_EQ(cancelled(12345), nullptr);
  EXPECT_EQ(Code(MessageType::kStats, wire::StatsT()), StatusCode::kOk);

  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = 1;
  MessageHead head = PackMessage(MessageType::kFetch, 0, 800, fetch);
  HandlerRequest request;
  request.header = {.type = MessageType::kFetch, .request = 800};
  request.meta = AlignedBytes::CopyOf(head.meta_view());
  ASSERT_TRUE(handler_->Admit(request.header).ok());
  HandlerReply reply = handler_->Handle(request);
  ASSERT_NE(reply.rest, nullptr);
  EXPECT_EQ(cancelled(800), nullptr);
  Answer last = reply.rest->Next();
  EXPECT_TRUE(last.end);
  EXPECT_TRUE(last.body.empty());
  reply.rest.reset();
  handler_->Finish(800);

  cancel.meta = AlignedBytes::CopyOf(Bytes(16, 0xff));
  std::unique_ptr<Answer> malformed = handler_->HandleCancel(cancel);
  ASSERT_NE(malformed, nullptr);
  EXPECT_EQ(malformed->code, kInvalid);
  EXPECT_TRUE(malformed->close);
}

// --- Who may speak ---

TEST_F(HandlerTest, NothingIsServedBeforeHelloAndNoSecondOne) {
  wire::HelloT hello;
  hello.version_min = hello.version_max = kWireVersion;
  EXPECT_EQ(Code(MessageType::kHello, hello), StatusCode::kFailedPrecondition);
  handler_ = std::make_unique<ConnectionHandler>(&context_);
  for (uint8_t type = 2; type <= kMaxMessageType; ++type) {
    EXPECT_EQ(Only(static_cast<MessageType>(type), wire::StatsT()).code(),
              StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(handler_->message_limits().body_bytes, 0u);
  hello.version_min = 2;
  hello.version_max = 3;
  EXPECT_EQ(Only(MessageType::kHello, hello).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_FALSE(handler_->greeted());
}

TEST_F(HandlerTest, RequestIdsAreFreeOnlyOnceFinished) {
  MessageHeader header{.type = MessageType::kStats, .request = 5};
  ASSERT_TRUE(handler_->Admit(header).ok());
  EXPECT_TRUE(handler_->Admit(header).Is(kInvalid));
  handler_->Finish(5);
  EXPECT_TRUE(handler_->Admit(header).ok());
  while (header.request < 4 + context_.limits.open_requests) {
    header.request++;
    ASSERT_TRUE(handler_->Admit(header).ok());
  }
  header.request++;
  EXPECT_TRUE(handler_->Admit(header).Is(StatusCode::kResourceExhausted));
}

TEST_F(HandlerTest, DamagedMetadataIsOneErrorOfEveryType) {
  for (uint8_t type = 2; type <= kMaxMessageType; ++type) {
    if (type == static_cast<uint8_t>(MessageType::kCancel)) continue;
    for (size_t size : {0, 3, 4, 64}) {
      HandlerRequest request;
      request.header = {.type = static_cast<MessageType>(type), .request = 1};
      request.meta = AlignedBytes::CopyOf(Bytes(size, 0xff));
      ASSERT_TRUE(handler_->Admit(request.header).ok());
      HandlerReply reply = handler_->Handle(request);
      handler_->Finish(1);
      EXPECT_EQ(reply.first.code, kInvalid) << int{type};
      EXPECT_TRUE(reply.first.close);
      EXPECT_EQ(reply.rest, nullptr);
    }
  }
  EXPECT_EQ(Code(MessageType::kStats, wire::StatsT()), StatusCode::kOk);
}

// --- Missing fields, and names ---

TEST_F(HandlerTest, RequestsWithoutTheirFieldsAreRefused) {
  EXPECT_EQ(Code(MessageType::kPutModel, wire::PutModelT()), kDamaged);
  EXPECT_EQ(Code(MessageType::kGetModel, wire::GetModelT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kPutProfile, wire::PutProfileT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kGetProfile, wire::GetProfileT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kMatch, wire::MatchT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kPutFrames, wire::PutFramesT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kPublish, wire::PublishT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kCommit, wire::CommitT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kFetch, wire::FetchT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kFork, wire::ForkT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kRewind, wire::RewindT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kRemove, wire::RemoveT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kDescribe, wire::DescribeT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kLease, wire::LeaseT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kSetPolicy, wire::SetPolicyT()), kInvalid);
  EXPECT_EQ(Code(MessageType::kPin, wire::PinT()), kInvalid);
}

TEST_F(HandlerTest, NamesAreLimitedWhereverTheyAreGiven) {
  ASSERT_NO_FATAL_FAILURE(Save());
  const std::string name(kMaxSessionNameBytes + 1, 'n');
  wire::ForkT fork;
  fork.from = name;
  fork.to = "x";
  EXPECT_EQ(Code(MessageType::kFork, fork), kInvalid);
  fork.from = "chat";
  fork.to = name;
  EXPECT_EQ(Code(MessageType::kFork, fork), kInvalid);
  fork.to.pop_back();
  EXPECT_EQ(Code(MessageType::kFork, fork), StatusCode::kOk);
  wire::RewindT rewind;
  rewind.session = name;
  EXPECT_EQ(Code(MessageType::kRewind, rewind), kInvalid);
  wire::RemoveT remove;
  remove.session = name;
  EXPECT_EQ(Code(MessageType::kRemove, remove), kInvalid);
  wire::DescribeT describe;
  describe.session = name;
  EXPECT_EQ(Code(MessageType::kDescribe, describe), kInvalid);
  EXPECT_EQ(FetchCode([&](auto* fetch) { fetch->session = name; }), kInvalid);
  EXPECT_EQ(CommitCode([&](auto* commit) { commit->session = name; }),
            kInvalid);
  wire::ListT list;
  list.prefix = name;
  EXPECT_EQ(Code(MessageType::kList, list), kInvalid);
  list.prefix.clear();
  list.cursor = name;
  EXPECT_EQ(Code(MessageType::kList, list), kInvalid);
}

TEST_F(HandlerTest, BodiesComeOnlyWithTypesThatHaveOne) {
  EXPECT_EQ(Code(MessageType::kStats, wire::StatsT(), Bytes(1)), kInvalid);
  EXPECT_EQ(Code(MessageType::kList, wire::ListT(), Bytes(9)), kInvalid);
}

// --- What is not there ---

TEST_F(HandlerTest, UnknownThingsAreNotFound) {
  ASSERT_NO_FATAL_FAILURE(Save());
  constexpr StatusCode kNone = StatusCode::kNotFound;
  wire::GetModelT model;
  model.model = UnknownId();
  EXPECT_EQ(Code(MessageType::kGetModel, model), kNone);
  wire::GetProfileT profile;
  profile.profile = UnknownId();
  EXPECT_EQ(Code(MessageType::kGetProfile, profile), kNone);
  EXPECT_EQ(FetchCode([](auto* fetch) { fetch->session = "nobody"; }), kNone);
  EXPECT_EQ(FetchCode([](auto* fetch) { fetch->commit = UnknownId(); }), kNone);
  EXPECT_EQ(FetchCode([](auto* fetch) { fetch->lease = 4711; }), kNone);
  wire::ForkT fork;
  fork.from = "nobody";
  fork.to = "x";
  EXPECT_EQ(Code(MessageType::kFork, fork), kNone);
  fork.from = "chat";
  fork.commit = UnknownId();
  EXPECT_EQ(Code(MessageType::kFork, fork), kNone);
  wire::RewindT rewind;
  rewind.session = "nobody";
  EXPECT_EQ(Code(MessageType::kRewind, rewind), kNone);
  wire::DescribeT describe;
  describe.session = "nobody";
  EXPECT_EQ(Code(MessageType::kDescribe, describe), kNone);
  wire::LeaseT lease;
  lease.lease = 4711;
  lease.lease_ms = 1;
  EXPECT_EQ(Code(MessageType::kLease, lease), kNone);
  WireSave save = MakeSave();
  save.publish.model = UnknownId();
  EXPECT_EQ(Code(MessageType::kPublish, save.publish), kNone);
}

// --- Values out of range ---

TEST_F(HandlerTest, MatchesOutOfRangeAreRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  using M = wire::MatchT;
  EXPECT_EQ(MatchCode([](M*) {}), StatusCode::kOk);
  EXPECT_EQ(MatchCode([](M* m) { m->model.reset(); }), kInvalid);
  EXPECT_EQ(MatchCode([](M* m) { m->lowest_tier = 0; }), kInvalid);
  EXPECT_EQ(MatchCode([](M* m) { m->lowest_tier = 6; }), kInvalid);
  EXPECT_EQ(MatchCode([](M* m) { m->segments.pop_back(); }), kInvalid);
  EXPECT_EQ(
      MatchCode([](M* m) { m->segments = IdBytes(kMaxMatchSegments + 1); }),
      kInvalid);
  EXPECT_EQ(MatchCode([](M* m) { m->tail_tokens.resize(64); }), kInvalid);
  EXPECT_EQ(MatchCode([](M* m) { m->lease_ms = kMaxLeaseMs + 1; }), kInvalid);
}

TEST_F(HandlerTest, FetchesOutOfRangeAreRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  using F = wire::FetchT;
  EXPECT_EQ(FetchCode([](F* f) { f->manifest_only = true; }), StatusCode::kOk);
  EXPECT_EQ(FetchCode([](F* f) { f->segments = IdBytes(1); }), kInvalid);
  EXPECT_EQ(FetchCode([](F* f) { f->tail = UnknownId(); }), kInvalid);
  EXPECT_EQ(FetchCode([](F* f) { f->session.clear(); }), kInvalid);
  auto by_ids = [](std::vector<uint8_t> ids) {
    return [ids](F* f) {
      f->session.clear();
      f->segments = ids;
    };
  };
  std::vector<uint8_t> odd = IdBytes(1);
  odd.pop_back();
  EXPECT_EQ(FetchCode(by_ids(odd)), kInvalid);
  EXPECT_EQ(FetchCode(by_ids(IdBytes(kMaxMatchSegments + 1))), kInvalid);
  EXPECT_EQ(FetchCode([](F* f) { f->lowest_tier = 0; }), kInvalid);
  EXPECT_EQ(FetchCode([](F* f) { f->lowest_tier = 6; }), kInvalid);
  EXPECT_EQ(FetchCode([](F* f) { f->lease_ms = kMaxLeaseMs + 1; }), kInvalid);
  EXPECT_EQ(FetchCode([](F* f) {
              f->first_token = 9;
              f->end_token = 8;
            }),
            kInvalid);
  EXPECT_EQ(FetchCode([](F* f) { f->model = UnknownId(); }),
            StatusCode::kFailedPrecondition);
}

TEST_F(HandlerTest, CommitsOutOfRangeAreRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  using C = wire::CommitT;
  auto label = [](size_t key, size_t value) {
    auto out = std::make_unique<wire::LabelT>();
    out->key.assign(key, 'k');
    out->value.assign(value, 'v');
    return out;
  };
  auto labelled = [&](size_t count, size_t key, size_t value) {
    return CommitCode([&](C* commit) {
      commit->session = "other";
      for (size_t i = 0; i < count; ++i) {
        commit->labels.push_back(label(key, value));
      }
    });
  };
  EXPECT_EQ(CommitCode([](C* c) { c->durability = 3; }), kInvalid);
  EXPECT_EQ(labelled(kMaxLabels + 1, 1, 1), kInvalid);
  EXPECT_EQ(labelled(1, 0, 1), kInvalid);
  EXPECT_EQ(labelled(1, kMaxLabelKeyBytes + 1, 1), kInvalid);
  EXPECT_EQ(labelled(1, 1, kMaxLabelValueBytes + 1), kInvalid);
  EXPECT_EQ(labelled(1, kMaxLabelKeyBytes, kMaxLabelValueBytes),
            StatusCode::kOk);
  EXPECT_EQ(CommitCode([](C* c) {
              c->expected_incarnation = 5;
              c->expected_version = 5;
            }),
            StatusCode::kOk);  // a repeated commit succeeds again
}

TEST_F(HandlerTest, ACommitsDamagedBodyIsRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  WireSave save = MakeSave();
  Bytes body = save.commit.body;
  for (size_t i = 0; i < body.size(); i += 5) {
    body[i] ^= 1;
    EXPECT_EQ(Code(MessageType::kCommit, save.commit.table, body), kDamaged);
    body[i] ^= 1;
  }
  body.push_back(0);
  EXPECT_EQ(Code(MessageType::kCommit, save.commit.table, body), kDamaged);
}

TEST_F(HandlerTest, RewindsTakeFewPendingTokens) {
  ASSERT_NO_FATAL_FAILURE(Save());
  wire::RewindT rewind;
  rewind.session = "chat";
  rewind.token_count = 10;
  rewind.pending.resize(kMaxPendingTokens + 1);
  EXPECT_EQ(Code(MessageType::kRewind, rewind), kInvalid);
  rewind.pending.pop_back();
  EXPECT_EQ(Code(MessageType::kRewind, rewind),
            StatusCode::kFailedPrecondition);  // of no version
}

// --- Frames and renditions ---

TEST_F(HandlerTest, FramesMustFillTheirBody) {
  WireSave save = MakeSave();
  ASSERT_NO_FATAL_FAILURE(SaveFrames(save));
  Bytes& body = save.put_frames.body;
  wire::PutFramesT& table = save.put_frames.table;
  body.push_back(0);
  EXPECT_EQ(Code(MessageType::kPutFrames, table, body), kInvalid);
  body.resize(body.size() - 2);
  EXPECT_EQ(Code(MessageType::kPutFrames, table, body), kInvalid);
  EXPECT_EQ(Code(MessageType::kPutFrames, table), kInvalid);
}

TEST_F(HandlerTest, AFullStoreRefusesFramesAndNothingElse) {
  WireSave save = MakeSave();
  ASSERT_NO_FATAL_FAILURE(SaveFrames(save));
  SpaceGuard full(engine_.get(), &SystemClock(), 1);
  context_.space = &full;
  const RawMessage refused = Only(MessageType::kPutFrames,
                                  save.put_frames.table, save.put_frames.body);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  const std::string message(refused.error_message());
  EXPECT_NE(message.find("limit of 1 "), std::string::npos) << message;
  // A save whose frames are there ends.
  EXPECT_EQ(Code(MessageType::kPublish, save.publish), StatusCode::kOk);
  EXPECT_EQ(Code(MessageType::kCommit, save.commit.table, save.commit.body),
            StatusCode::kOk);
  SpaceGuard roomy(engine_.get(), &SystemClock(), 1ull << 40);
  context_.space = &roomy;
  EXPECT_EQ(Code(MessageType::kPutFrames, save.put_frames.table,
                 save.put_frames.body),
            StatusCode::kOk);
}

TEST_F(HandlerTest, FramesOutOfRangeAreRefused) {
  WireSave save = MakeSave();
  ASSERT_NO_FATAL_FAILURE(SaveFrames(save));
  const wire::FramePut good = save.put_frames.table.frames[0];
  auto code = [&](const wire::FramePut& put) {
    save.put_frames.table.frames[0] = put;
    return Code(MessageType::kPutFrames, save.put_frames.table,
                save.put_frames.body);
  };
  EXPECT_EQ(code(good), StatusCode::kOk);
  for (uint8_t tier : {0, 5, 6, 255}) {
    EXPECT_EQ(code({good.rendition(), good.bytes(), tier}), kInvalid);
  }
  EXPECT_EQ(code({good.rendition(), 0, 1}), kInvalid);
  EXPECT_EQ(code({good.rendition(), kMaxFrameBytes + 1, 1}), kInvalid);
  EXPECT_EQ(code({good.rendition(), UINT32_MAX, 1}), kInvalid);
  EXPECT_EQ(code({wire::Id16(), good.bytes(), 1}), kInvalid);
}

TEST_F(HandlerTest, PublishesWithoutTheirFieldsAreRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  using I = wire::PublishItemT;
  EXPECT_EQ(PublishCode([](I*) {}), StatusCode::kOk);
  EXPECT_EQ(PublishCode([](I* i) { i->segment.reset(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->parent.reset(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->tokens.clear(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->rendition.reset(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->rendition->id.reset(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->rendition->frames.clear(); }), kInvalid);
  WireSave save = MakeSave();
  save.publish.model.reset();
  EXPECT_EQ(Code(MessageType::kPublish, save.publish), kInvalid);
  save.publish.model = UnknownId();
  save.publish.items.clear();
  EXPECT_EQ(Code(MessageType::kPublish, save.publish), kInvalid);
}

TEST_F(HandlerTest, SegmentsMustFollowFromTheirTokens) {
  ASSERT_NO_FATAL_FAILURE(Save());
  using I = wire::PublishItemT;
  EXPECT_EQ(PublishCode([](I* i) { i->segment = UnknownId(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->parent = UnknownId(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->tokens[3] ^= 1; }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->tokens.pop_back(); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->tokens.push_back(1); }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->first_token = 1; }), kInvalid);
}

TEST_F(HandlerTest, RenditionsOutOfRangeAreRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  using I = wire::PublishItemT;
  for (uint8_t tier : {0, 5, 6, 255}) {
    EXPECT_EQ(PublishCode([=](I* i) { i->rendition->tier = tier; }), kInvalid);
  }
  EXPECT_EQ(PublishCode([](I* i) { i->rendition->basis = 0; }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) { i->rendition->basis = 6; }), kInvalid);
  EXPECT_EQ(PublishCode([](I* i) {
              i->rendition->frames.resize(kMaxFramesPerRendition + 1,
                                          i->rendition->frames[0]);
            }),
            kInvalid);
}

TEST_F(HandlerTest, FrameReferencesOutOfRangeAreRefused) {
  ASSERT_NO_FATAL_FAILURE(Save());
  auto code = [&](const std::function<void(FrameRef*)>& harm) {
    FrameRef ref = MakeSave().renditions[1].rendition.frames[0];
    harm(&ref);
    return PublishCode([&](wire::PublishItemT* item) {
      item->rendition->frames[0] = wire::FrameRef(
          *item->rendition->id, static_cast<uint8_t>(ref.space), ref.stage,
          ref.first_layer, ref.layer_count, ref.heads.first, ref.heads.count,
          ref.heads.total, ref.bytes, ref.checksum);
    });
  };
  using R = FrameRef;
  EXPECT_EQ(code([](R*) {}), StatusCode::kOk);
  EXPECT_EQ(code([](R* r) { r->space = ObjectSpace(0); }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->space = ObjectSpace(200); }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->first_layer = 1; }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->layer_count = 0; }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->heads.count = 0; }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->heads.total = 0; }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->heads.first = 9; }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->bytes = 0; }), kInvalid);
  EXPECT_EQ(code([](R* r) { r->bytes = kMaxFrameBytes + 1; }), kInvalid);
}

// --- Profiles ---

TEST_F(HandlerTest, ProfilePiecesMustFitTogether) {
  WireSave save = MakeSave();
  Only(MessageType::kPutModel, wire::PutModelT(), save.model_spec);
  constexpr MessageType kPut = MessageType::kPutProfile;
  const Bytes piece(10, 1);
  EXPECT_EQ(Code(kPut, Piece(piece, 10, 20), piece), kInvalid);
  EXPECT_EQ(Code(kPut, Piece(piece, 0, 9), piece), kInvalid);
  EXPECT_EQ(context_.profile_upload_bytes, 0u);
  EXPECT_EQ(Code(kPut, Piece(piece, 0, 0), piece), kInvalid);
  EXPECT_EQ(Code(kPut, Piece(piece, 0, kMaxProfileBytes + 1), piece), kInvalid);
  EXPECT_EQ(Code(kPut, Piece({}, 0, 20)), kInvalid);
  wire::PutProfileT put = Piece(piece, 0, 20);
  put.checksum++;
  EXPECT_EQ(Code(kPut, put, piece), kInvalid);

  EXPECT_EQ(Code(kPut, Piece(piece, 0, 20), piece), StatusCode::kOk);
  EXPECT_EQ(Code(kPut, Piece(piece, 11, 20), piece), kInvalid);
  EXPECT_EQ(Code(kPut, Piece(piece, 10, 21), piece), kInvalid);
  put = Piece(piece, 10, 20);
  put.codec++;
  EXPECT_EQ(Code(kPut, put, piece), kInvalid);
  put = Piece(piece, 10, 20);
  put.model = UnknownId();
  EXPECT_EQ(Code(kPut, put, piece), kInvalid);
  const Bytes longer(11, 1);
  EXPECT_EQ(Code(kPut, Piece(longer, 10, 20), longer), kInvalid);
  EXPECT_EQ(Code(kPut, Piece(piece, 10, 20), piece), StatusCode::kOk);
}

TEST_F(HandlerTest, ProfileUploadsAreLimitedTogetherAndGivenBack) {
  WireSave save = MakeSave();
  Only(MessageType::kPutModel, wire::PutModelT(), save.model_spec);
  constexpr MessageType kPut = MessageType::kPutProfile;
  const Bytes piece(10, 1);
  context_.limits.profile_upload_bytes = 30;
  EXPECT_EQ(Code(kPut, Piece(piece, 0, 31), piece),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Code(kPut, Piece(piece, 0, 30), piece), StatusCode::kOk);
  EXPECT_EQ(context_.profile_upload_bytes, 30u);
  Connect();  // the other connection ends
  EXPECT_EQ(context_.profile_upload_bytes, 0u);
}

// --- Leases ---

TEST_F(HandlerTest, AConnectionHoldsAtMostItsLeases) {
  ASSERT_NO_FATAL_FAILURE(Save());
  wire::MatchT match = MatchOfSave();
  match.lease_ms = 60'000;
  uint64_t lease = 0;
  for (uint32_t i = 0; i < kMaxLeasesPerClient; ++i) {
    RawMessage answer = Only(MessageType::kMatch, match);
    ASSERT_EQ(answer.error_message(), "");
    lease = answer.As<wire::MatchReply>().lease();
    EXPECT_NE(lease, 0u);
  }
  EXPECT_EQ(Code(MessageType::kMatch, match), StatusCode::kResourceExhausted);
  EXPECT_EQ(FetchCode([](auto*) {}), StatusCode::kResourceExhausted);
  EXPECT_EQ(MatchCode([](auto*) {}), StatusCode::kOk);  // without one
  wire::LeaseT release;
  release.lease = lease;
  EXPECT_EQ(Code(MessageType::kLease, release), StatusCode::kOk);
  EXPECT_EQ(Code(MessageType::kMatch, match), StatusCode::kOk);
}

TEST_F(HandlerTest, StreamsThatEndGiveTheirLeasesBack) {
  ASSERT_NO_FATAL_FAILURE(Save());
  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = 1;
  for (uint32_t i = 0; i < kMaxLeasesPerClient + 5; ++i) {
    std::vector<RawMessage> fetched = All(MessageType::kFetch, fetch);
    ASSERT_EQ(fetched.back().error_message(), "") << i;
  }
}

}  // namespace
}  // namespace reprise
