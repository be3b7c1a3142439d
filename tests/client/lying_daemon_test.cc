// Daemons that answer a fetch with well-formed messages that are wrong: the
// client says so or takes it for lost frames, in time, and what it calls
// valid is right.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "client/client.h"
#include "client/match_ticket.h"
#include "tests/client/fetch_script.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

constexpr size_t kTokens = 150;  // two segments and a tail of 22

// Two layer groups: a frame for each layer and segment.
ModelSpec TwoGroups(std::string_view name = "lying") {
  return PlainModel(name, 2, 8, 128, DType::kBf16);
}

RecordedFetch Record(const ModelSpec& spec, const std::string& codec) {
  TestDaemon daemon;
  TestWorker worker(daemon.Connect(), spec);
  SaveRequest request;
  request.codec = codec;
  EXPECT_TRUE(worker.Save("s", ToyTokens(1, kTokens), request).ok());
  return RecordedFetch(daemon.endpoint(), "s");
}

const RecordedFetch& Truth() {
  static const auto* truth = new RecordedFetch(Record(TwoGroups(), "raw"));
  return *truth;
}

// Short, for daemons that never answer are among them; but what TSan slows down
// tenfold must not look like one.
#ifdef __SANITIZE_THREAD__
constexpr int64_t kPatience = 8;
#else
constexpr int64_t kPatience = 1;
#endif

ClientOptions Hasty(const std::string& endpoint) {
  return {.endpoint = endpoint,
          .connect_timeout_ms = 500 * kPatience,
          .request_timeout_ms = 300 * kPatience,
          .transfer_timeout_ms = 1'500 * kPatience,
          .reconnect_timeout_ms = 100};
}

Result<RestoreResult> RestoreFrom(const ScriptedDaemon& daemon,
                                  RestoreRequest request = {}) {
  auto client = Client::Connect(Hasty(daemon.endpoint()));
  if (!client.ok()) return client.status();
  TestWorker worker(*std::move(client), TwoGroups());
  const auto start = std::chrono::steady_clock::now();
  auto restored = worker.Restore("s", std::move(request));
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(4 * kPatience));
  return restored;
}

struct Lie {
  const char* name;
  std::function<void(FetchScript&)> tell;
  // How it ends: with a valid_end, or with a status whose message has `text`.
  uint64_t valid_end = 0;
  StatusCode code = StatusCode::kOk;
  const char* text = "";
};

constexpr StatusCode kDataLoss = StatusCode::kDataLoss;

// Frames come as segment 0, 1, 2 of layer 0, then of layer 1.
void ExpectOutcomes(const std::vector<Lie>& lies,
                    const RestoreRequest& request = {}) {
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.name);
    ScriptedDaemon daemon(TwoGroups(), [&](const wire::FetchT& fetch, int) {
      FetchScript script = Truth().Answer(fetch);
      lie.tell(script);
      return script;
    });
    const auto restored = RestoreFrom(daemon, request);
    if (lie.code != StatusCode::kOk) {
      ExpectStatus(restored.status(), lie.code, lie.text);
    } else if (restored.ok()) {
      EXPECT_EQ(restored->valid_end, lie.valid_end);
    } else {
      ADD_FAILURE() << restored.status().ToString();
    }
  }
}

// A lie about one frame of the segment at 64.
std::function<void(FetchScript&)> OfFrame(
    size_t frame, std::function<void(FrameFields&)> edit) {
  return [frame, edit = std::move(edit)](FetchScript& script) {
    EditFrame(&script.rendition(1).frames[frame], edit);
  };
}

TEST(LyingDaemonTest, TheTruthIsRestored) {
  ExpectOutcomes({{"truth", [](FetchScript&) {}, kTokens}});
}

TEST(LyingDaemonTest, ManifestsOutsideTheLimitsAreRefused) {
  ExpectOutcomes({
      {"no tier", [](FetchScript& s) { s.rendition(0).tier = 0; }, 0, kDataLoss,
       "tier: value is 0"},
      {"unknown basis", [](FetchScript& s) { s.rendition(0).basis = 9; }, 0,
       kDataLoss, "tier: value is 9"},
      {"empty frame", OfFrame(0, [](FrameFields& f) { f.bytes = 0; }), 0,
       kDataLoss, "a frame of 0 bytes"},
      {"huge frame",
       OfFrame(0, [](FrameFields& f) { f.bytes = kMaxFrameBytes + 1; }), 0,
       kDataLoss, "a frame of 16777217 bytes, 1 to 16777216"},
      {"no heads", OfFrame(1, [](FrameFields& f) { f.head_count = 0; }), 0,
       kDataLoss, "heads: 0 from 0 on, of 1"},
      {"too many frames",
       [](FetchScript& s) {
         auto& frames = s.rendition(0).frames;
         frames.resize(kMaxFramesPerRendition + 1, frames[0]);
       },
       0, kDataLoss, "16385 frames in a rendition, at most 16384"},
      {"65 tokens", [](FetchScript& s) { s.segment(0).tokens.push_back(1); }, 0,
       kDataLoss, "65 tokens, at most 64"},
      {"long state",
       [](FetchScript& s) { s.manifest->token_count = kMaxSessionTokens + 1; },
       0, kDataLoss, "4194305 tokens"},
      {"much pending",
       [](FetchScript& s) {
         s.manifest->pending.resize(kMaxPendingTokens + 1);
       },
       0, kDataLoss, "65 pending ones"},
  });
}

TEST(LyingDaemonTest, ManifestsThatContradictThemselvesAreRefused) {
  ExpectOutcomes({
      {"other token", [](FetchScript& s) { ++s.segment(1).tokens[3]; }, 0,
       kDataLoss, "segment at 64: its name does not follow"},
      {"other name",
       [](FetchScript& s) { *s.segment(1).segment = *s.segment(0).segment; }, 0,
       kDataLoss, "segment at 64: its name does not follow"},
      {"other token of the tail",
       [](FetchScript& s) { ++s.segment(2).tokens[21]; }, 0, kDataLoss,
       "segment at 128: its name does not follow"},
      {"overlap", [](FetchScript& s) { s.segment(1).first_token = 63; }, 0,
       kDataLoss, "segment at 63 stands where the one at 64"},
      {"gap",
       [](FetchScript& s) {
         s.manifest->segments.erase(s.manifest->segments.begin() + 1);
       },
       0, kDataLoss, "segment at 128 stands where the one at 64"},
      {"early end", [](FetchScript& s) { s.manifest->segments.pop_back(); }, 0,
       kDataLoss, "segments end at 128, the tokens asked for at 150"},
      {"late end", [](FetchScript& s) { s.manifest->token_count = 149; }, 0,
       kDataLoss, "segments end at 150, the tokens asked for at 149"},
      {"no token", [](FetchScript& s) { s.segment(2).token_count = 0; }, 0,
       kDataLoss, "counts 0 of its 22 tokens"},
      {"more tokens than are there",
       [](FetchScript& s) { s.segment(2).token_count = 23; }, 0, kDataLoss,
       "counts 23 of its 22 tokens"},
      {"short in the middle",
       [](FetchScript& s) { s.segment(1).token_count = 63; }, 0, kDataLoss,
       "63 tokens of 64, but is not the last"},
      {"heads that no plane has",
       [](FetchScript& s) {
         std::vector<wire::FrameRef> frames;
         for (wire::FrameRef frame : s.rendition(1).frames) {
           for (uint16_t head = 0; head < 3; ++head) {
             EditFrame(&frame, [&](FrameFields& f) {
               f.head_first = head;
               f.head_total = 3;
             });
             frames.push_back(frame);
           }
         }
         s.rendition(1).frames = frames;
       },
       0, kDataLoss, "3"},
      {"other model",
       [](FetchScript& s) {
         s.manifest->model = std::make_unique<wire::Id32>(
             IdToWire(ModelIdOf(TwoGroups("other"))));
       },
       0, StatusCode::kFailedPrecondition, "of another model"},
  });
}

TEST(LyingDaemonTest, AnswersToAnotherQuestionAreRefused) {
  const auto tokens = ToyTokens(1, kTokens);
  ExpectOutcomes(
      {{"other token", [](FetchScript& s) { ++s.segment(1).tokens[3]; }, 0,
        StatusCode::kFailedPrecondition, "at position 67"}},
      {.tokens = tokens});
  RestoreRequest of_commit;
  of_commit.commit.bytes[0] = 1;
  ExpectOutcomes({{"other commit", [](FetchScript&) {}, 0, kDataLoss,
                   "asked for is 0100"}},
                 of_commit);
  const ModelId model = ModelIdOf(TwoGroups());
  const Bytes ticket = EncodeMatchTicket({1, model, 64});
  ExpectOutcomes({{"more than matched",
                   [](FetchScript& s) {
                     s = Truth().Answer({});
                     s.manifest->commit = nullptr;
                   },
                   0, kDataLoss, "of 150 tokens, asked for are 64"}},
                 {.match = ticket, .tokens = tokens});
}

TEST(LyingDaemonTest, MoreTokensThanAskedForAreCut) {
  wire::FetchT all;
  all.end_token = UINT64_MAX;
  ExpectOutcomes(
      {{"all of it", [](FetchScript& s) { s = Truth().Answer({}); }, 70}},
      {.end_token = 70});
}

TEST(LyingDaemonTest, RenditionsThatCannotServeAreRecomputed) {
  const auto near = static_cast<uint8_t>(Tier::kNear);
  ExpectOutcomes({
      {"lower tier", [&](FetchScript& s) { s.rendition(1).tier = near; }, 64},
      {"lower basis", [&](FetchScript& s) { s.rendition(1).basis = near; }, 64},
      {"unknown codec", [](FetchScript& s) { s.rendition(1).codec = 999; }, 64},
      {"other codec", [](FetchScript& s) { s.rendition(1).codec = 2; }, 64},
      {"unknown profile",
       [](FetchScript& s) {
         s.rendition(1).profile = std::make_unique<wire::Id32>(
             IdToWire(ModelIdOf(TwoGroups("other"))));
       },
       64},
      {"a layer is missing",
       [](FetchScript& s) { s.rendition(1).frames.pop_back(); }, 64},
      {"a layer comes twice",
       [](FetchScript& s) {
         s.rendition(1).frames[1] = s.rendition(1).frames[0];
       },
       64},
      {"layers that are no group",
       OfFrame(0, [](FrameFields& f) { f.layer_count = 2; }), 64},
      {"another stage", OfFrame(0, [](FrameFields& f) { f.stage = 1; }), 64},
      {"half of the heads",
       OfFrame(0, [](FrameFields& f) { f.head_total = 2; }), 64},
      {"none", [](FetchScript& s) { s.segment(1).rendition = nullptr; }, 64},
      {"no tokens", [](FetchScript& s) { s.segment(1).tokens.clear(); }, 64},
      {"a lost tail that counts for nothing",
       [](FetchScript& s) {
         s.segment(2).tokens.clear();
         s.segment(2).token_count = 0;
         s.manifest->token_count = 128;
       },
       128},
  });
}

TEST(LyingDaemonTest, WrongFramesAreLost) {
  static const RecordedFetch other_model(Record(TwoGroups("other"), "raw"));
  ExpectOutcomes({
      {"flipped bit in the middle",
       [](FetchScript& s) { s.frames[1].bytes[100'000] ^= 1; }, 64},
      {"flipped bit in the header",
       [](FetchScript& s) { s.frames[4].bytes[20] ^= 1; }, 64},
      {"flipped bit in the tail",
       [](FetchScript& s) { s.frames[5].bytes.back() ^= 1; }, 128},
      {"of another segment",
       [](FetchScript& s) { s.frames[1].bytes = s.frames[0].bytes; }, 64},
      {"of another layer",
       [](FetchScript& s) { s.frames[1].bytes = s.frames[4].bytes; }, 64},
      {"of another model",
       [](FetchScript& s) {
         s.frames[0].bytes = other_model.Answer({}).frames[0].bytes;
       },
       0},
      {"a byte short", [](FetchScript& s) { s.frames[2].bytes.pop_back(); },
       128},
      {"a byte long", [](FetchScript& s) { s.frames[2].bytes.push_back(0); },
       128},
      {"a size that agrees with the manifest alone",
       [](FetchScript& s) {
         EditFrame(&s.rendition(1).frames[0],
                   [](FrameFields& f) { ++f.bytes; });
         s.frames[1].bytes.push_back(0);
       },
       64},
      {"said to be lost", [](FetchScript& s) { s.frames[3].bytes.clear(); }, 0},
      {"never sent",
       [](FetchScript& s) { s.frames.erase(s.frames.begin() + 1); }, 64},
      {"none sent", [](FetchScript& s) { s.frames.clear(); }, 0},
  });
}

TEST(LyingDaemonTest, StreamsThatMakeNoSenseAreRefused) {
  ExpectOutcomes({
      {"twice", [](FetchScript& s) { s.frames[1] = s.frames[0]; }, 0, kDataLoss,
       "frame 0 of segment 0 came twice"},
      {"no such frame", [](FetchScript& s) { s.frames[1].frame = 2; }, 0,
       kDataLoss, "frame 2 of segment 1, which has 2"},
      {"no such segment", [](FetchScript& s) { s.frames[1].segment = 3; }, 0,
       kDataLoss, "segment 3, the manifest has 3"},
      {"any segment", [](FetchScript& s) { s.frames[1].segment = UINT32_MAX; },
       0, kDataLoss, "segment 4294967295"},
      {"a frame past its message",
       [](FetchScript& s) { s.frames[1].claimed_bytes = UINT32_MAX; }, 0,
       kDataLoss, "a frame of 4294967295 bytes"},
      {"bytes of no frame",
       [](FetchScript& s) { s.frames[1].claimed_bytes = 0; }, 0, kDataLoss,
       "belong to no frame"},
      {"no end", [](FetchScript& s) { s.has_end = false; }, 0,
       StatusCode::kDeadlineExceeded, ""},
      {"frames of no use for ever",
       [](FetchScript& s) {
         s.segment(0).rendition = nullptr;
         for (auto& frame : s.frames) frame.bytes.resize(16);
         s.repetitions = INT32_MAX / 8;
       },
       0, StatusCode::kDeadlineExceeded, ""},
  });
}

TEST(LyingDaemonTest, AnyOrderAndFramesAfterTheEndDoNoHarm) {
  ExpectOutcomes({
      {"backwards",
       [](FetchScript& s) { std::reverse(s.frames.begin(), s.frames.end()); },
       kTokens},
      {"late", [](FetchScript& s) { s.late_frames = 6; }, kTokens},
  });
}

TEST(LyingDaemonTest, ASinkIsNotAskedForWhenTheManifestIsWrong) {
  ScriptedDaemon daemon(TwoGroups(), [](const wire::FetchT& fetch, int) {
    FetchScript script = Truth().Answer(fetch);
    ++script.segment(2).tokens[0];
    return script;
  });
  auto client = Client::Connect(Hasty(daemon.endpoint()));
  ASSERT_OK(client);
  const auto model = (*client)->RegisterModel(TwoGroups());
  ASSERT_OK(model);
  const auto restored = (*client)->Restore(
      "s",
      {.model = *model, .make_sink = [](const RestoreInfo&) -> Result<KvSink> {
         ADD_FAILURE() << "asked for a sink";
         return KvSink();
       }});
  ExpectStatus(restored.status(), kDataLoss, "segment at 128");
}

// --- Fetches that go on where one broke off. ---

struct SecondLie {
  const char* name;
  std::function<void(FetchScript&)> tell;
  uint64_t valid_end = 0;
  StatusCode code = StatusCode::kOk;
  const char* text = "";
};

TEST(LyingDaemonTest, ASecondManifestMustBeTheFirst) {
  // Two frames came: the second fetch is of layer 0 from token 128 on.
  const SecondLie lies[] = {
      {"truth", [](FetchScript&) {}, kTokens},
      {"other commit",
       [](FetchScript& s) {
         s.manifest->commit = std::make_unique<wire::Id32>(
             IdToWire(ModelIdOf(TwoGroups("other"))));
       },
       0, kDataLoss, "before it was"},
      {"other model",
       [](FetchScript& s) {
         s.manifest->model = std::make_unique<wire::Id32>(
             IdToWire(ModelIdOf(TwoGroups("other"))));
       },
       0, kDataLoss, "before it was"},
      {"more segments", [](FetchScript& s) { s = Truth().Answer({}); }, 0,
       kDataLoss, "3 segments, asked for are 1"},
      {"other segment", [](FetchScript& s) { s.segment(0).first_token = 64; },
       0, kDataLoss, "segment at 64 is another than before, at 128"},
      {"other rendition",
       [](FetchScript& s) {
         EditFrame(&s.rendition(0).frames[0],
                   [](FrameFields& f) { f.checksum = 1; });
       },
       128},
      {"no rendition", [](FetchScript& s) { s.segment(0).rendition = nullptr; },
       128},
      {"not sent", [](FetchScript& s) { s.frames.clear(); }, 128},
      {"damaged", [](FetchScript& s) { s.frames[0].bytes[99] ^= 1; }, 128},
  };
  for (const SecondLie& lie : lies) {
    SCOPED_TRACE(lie.name);
    ScriptedDaemon daemon(
        TwoGroups(),
        [&](const wire::FetchT& fetch, int earlier) {
          FetchScript script = Truth().Answer(fetch);
          if (earlier == 1) {
            EXPECT_EQ(fetch.first_token, 128u);
            EXPECT_EQ(fetch.layer_count, 1u);
            lie.tell(script);
          }
          return script;
        },
        [](int earlier, int message) { return earlier > 0 || message < 3; });
    const auto restored = RestoreFrom(daemon);
    if (lie.code != StatusCode::kOk) {
      ExpectStatus(restored.status(), lie.code, lie.text);
    } else if (restored.ok()) {
      EXPECT_EQ(restored->valid_end, lie.valid_end);
    } else {
      ADD_FAILURE() << restored.status().ToString();
    }
  }
}

TEST(LyingDaemonTest, ADaemonThatBringsNothingNewIsGivenUp) {
  ScriptedDaemon daemon(
      TwoGroups(),
      [](const wire::FetchT& fetch, int) { return Truth().Answer(fetch); },
      [](int, int message) { return message == 0; });
  const auto restored = RestoreFrom(daemon);
  EXPECT_EQ(restored.status().code(), StatusCode::kUnavailable);
  EXPECT_GE(daemon.fetches(), 2);
}

// --- Profiles. ---

TEST(LyingDaemonTest, AProfileMustBeWhatItsIdSays) {
  struct Piece {
    uint64_t offset;
    uint32_t total;
    size_t bytes;
  };
  const std::vector<std::vector<Piece>> lies = {
      {{0, 8, 8}},              // other bytes
      {{0, 0, 0}},              // none at all
      {{0, 16, 8}, {8, 4, 8}},  // a total that shrinks
      {{0, 16, 8}, {0, 16, 8}},
      {{0, 8, 16}},
      {{0, UINT32_MAX, 8}},
  };
  for (const std::vector<Piece>& pieces : lies) {
    FakeDaemon daemon([&](FakeConnection& connection,
                          const FakeRequest& request) {
      if (request.header.type == MessageType::kList) {
        return connection.Answer(request, wire::ListReplyT());
      }
      for (size_t i = 0; i < pieces.size(); ++i) {
        const Bytes body(pieces[i].bytes, 7);
        wire::GetProfileReplyT reply;
        reply.offset = static_cast<uint32_t>(pieces[i].offset);
        reply.total_bytes = pieces[i].total;
        reply.checksum = Checksum(body);
        const bool is_end = i + 1 == pieces.size();
        if (!connection.Answer(request, reply,
                               kFlagReply | (is_end ? kFlagEnd : 0), body)) {
          return false;
        }
      }
      return true;
    });
    auto client = Client::Connect(Hasty(daemon.endpoint()));
    ASSERT_OK(client);
    ExpectStatus((*client)->GetProfile(ProfileId()).status(), kDataLoss,
                 "profile: ");
  }
}

}  // namespace
}  // namespace reprise
