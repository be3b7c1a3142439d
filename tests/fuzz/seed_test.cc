// Seeds that are too much to write by hand: whole conversations of a client
// that saves and loads, frames of `exact` with coded streams, and profiles and
// encodings of `klt`. They are
// made here; the corpora hold them, and each must still be what it is for.
// REPRISE_WRITE_SEEDS=$PWD/tests/fuzz/corpus writes them anew instead.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/handler.h"
#include "base/clock.h"
#include "base/duration.h"
#include "store/memory_engine.h"
#include "tests/api/raw_client.h"
#include "tests/api/wire_worker.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/klt_cases.h"
#include "tests/support/klt_fuzz_input.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

// The README's limit for a file of a corpus.
constexpr size_t kMaxSeedBytes = 4096;
constexpr uint8_t kModeRans = 2;

Bytes ReadSeed(const fs::path& name) {
  std::ifstream file("tests/fuzz/corpus" / name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// Writes the seed where that is asked for, and returns what the corpus holds.
Bytes SeedInCorpus(const fs::path& name, const Bytes& made) {
  const char* const folder = std::getenv("REPRISE_WRITE_SEEDS");
  if (folder == nullptr) return ReadSeed(name);
  std::ofstream file(folder / name, std::ios::binary);
  file << AsText(made);
  EXPECT_TRUE(file.flush().good()) << name;
  return made;
}

// --- Conversations ---

// Messages as they follow each other on a connection, after the byte that
// tells message_fuzz.cc to leave the first type alone.
class Conversation {
 public:
  template <typename Native>
  void Say(MessageType type, const Native& native, ByteView body = {}) {
    const Bytes message = RawClient::Encode(type, ++requests_, native, body);
    bytes_.insert(bytes_.end(), message.begin(), message.end());
  }
  void SaySave(const WireSave& save) {
    Say(MessageType::kPutModel, wire::PutModelT(), save.model_spec);
    Say(MessageType::kPutFrames, save.put_frames.table, save.put_frames.body);
    Say(MessageType::kPublish, save.publish);
    Say(MessageType::kCommit, save.commit.table, save.commit.body);
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_ = {0};
  uint64_t requests_ = 1;
};

constexpr size_t kTokens = 66;  // a segment and a tail

WireSave MakeSave() {
  return MakeWireSave(OneChannelModel(), "chat", ToyTokens(1, kTokens));
}

Bytes SaveAndFetch() {
  Conversation said;
  said.SaySave(MakeSave());
  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = 1;
  fetch.token_major = true;
  said.Say(MessageType::kFetch, fetch);
  fetch.token_major = false;
  fetch.first_token = 64;
  said.Say(MessageType::kFetch, fetch);
  return said.bytes();
}

Bytes SaveAndMatch() {
  Conversation said;
  const WireSave save = MakeSave();
  said.SaySave(save);
  wire::MatchT match;
  match.model = WireId(ModelIdOf(OneChannelModel()).view());
  const SegmentId segment = save.segments[0].Id();
  match.segments.assign(segment.bytes.begin(), segment.bytes.end());
  match.tail_tokens.assign(save.segments[1].tokens.begin(),
                           save.segments[1].tokens.end());
  match.lowest_tier = 1;
  match.lease_ms = 1000;
  said.Say(MessageType::kMatch, match);
  wire::FetchT fetch;
  fetch.segments = match.segments;
  fetch.lowest_tier = 1;
  said.Say(MessageType::kFetch, fetch);
  return said.bytes();
}

Bytes SaveAndManage() {
  Conversation said;
  said.SaySave(
      MakeWireSave(OneChannelModel(), "chat", ToyTokens(2, kTokens - 64)));
  wire::ForkT fork;
  fork.from = "chat";
  fork.to = "copy";
  said.Say(MessageType::kFork, fork);
  wire::DescribeT describe;
  describe.session = "copy";
  describe.with_sizes = true;
  describe.commits = 2;
  said.Say(MessageType::kDescribe, describe);
  said.Say(MessageType::kList, wire::ListT());
  wire::FetchT manifest;
  manifest.session = "copy";
  manifest.lowest_tier = 1;
  manifest.manifest_only = true;
  said.Say(MessageType::kFetch, manifest);
  wire::RemoveT remove;
  remove.session = "copy";
  said.Say(MessageType::kRemove, remove);
  return said.bytes();
}

Bytes SaveAndSettings() {
  Conversation said;
  said.SaySave(
      MakeWireSave(OneChannelModel(), "chat", ToyTokens(3, kTokens - 64)));
  wire::SetPolicyT set;
  set.session = "chat";
  set.policy = "series: exact 1h, near 1d, tokens";
  set.ttl_ms = 90 * kDayMs;
  said.Say(MessageType::kSetPolicy, set);
  wire::PinT pin;
  pin.session = "chat";
  pin.until_ms = kForeverMs;
  said.Say(MessageType::kPin, pin);
  wire::DescribeT describe;
  describe.session = "chat";
  said.Say(MessageType::kDescribe, describe);
  set.policy.clear();
  set.default_policy = true;
  set.ttl_ms = 0;
  said.Say(MessageType::kSetPolicy, set);
  return said.bytes();
}

class ConversationSeedTest : public testing::Test {
 protected:
  ConversationSeedTest()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &SystemClock(), {})) {
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    handler_ = std::make_unique<ConnectionHandler>(&context_);
    wire::HelloT hello;
    hello.version_min = hello.version_max = kWireVersion;
    Serve(RawClient::Encode(MessageType::kHello, 1, hello));
  }

  // Every request is answered, none by an error. Returns how many bytes of
  // frames came back.
  uint64_t Serve(ByteView said) {
    uint64_t body_bytes = 0;
    while (said.size() >= kMessageHeaderBytes) {
      HandlerRequest request;
      MessageHeader& header = request.header;
      EXPECT_TRUE(ParseMessageHeader(said.first(kMessageHeaderBytes), false, {},
                                     &header)
                      .ok());
      said = said.subspan(kMessageHeaderBytes);
      request.meta = AlignedBytes::CopyOf(said.first(header.meta_bytes));
      said = said.subspan(header.meta_bytes);
      request.body = AlignedBytes::CopyOf(said.first(header.body_bytes));
      said = said.subspan(header.body_bytes);
      body_bytes += ServeOne(request);
    }
    EXPECT_TRUE(said.empty());
    return body_bytes;
  }

 private:
  uint64_t ServeOne(const HandlerRequest& request) {
    SCOPED_TRACE(MessageTypeName(request.header.type));
    EXPECT_TRUE(handler_->Admit(request.header).ok());
    HandlerReply reply = handler_->Handle(request);
    EXPECT_EQ(reply.first.code, StatusCode::kOk);
    uint64_t body_bytes = reply.first.head.body_bytes;
    for (bool end = reply.first.end; !end;) {
      const Answer next = reply.rest->Next();
      EXPECT_EQ(next.code, StatusCode::kOk);
      body_bytes += next.head.body_bytes;
      end = next.end;
    }
    reply.rest.reset();
    handler_->Finish(request.header.request);
    return body_bytes;
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ServerMetrics metrics_;
  HandlerContext context_;
  std::unique_ptr<ConnectionHandler> handler_;
};

TEST_F(ConversationSeedTest, SavesAndFetches) {
  const Bytes seed =
      SeedInCorpus("message_fuzz/save_and_fetch", SaveAndFetch());
  EXPECT_LE(seed.size(), kMaxSeedBytes);
  const uint64_t frame_bytes = MakeSave().put_frames.body.size();
  EXPECT_GT(Serve(ByteView(seed).subspan(1)), frame_bytes);
}

TEST_F(ConversationSeedTest, SavesAndMatches) {
  const Bytes seed =
      SeedInCorpus("message_fuzz/save_and_match", SaveAndMatch());
  EXPECT_LE(seed.size(), kMaxSeedBytes);
  EXPECT_GT(Serve(ByteView(seed).subspan(1)), 0u);
}

TEST_F(ConversationSeedTest, SavesAndManages) {
  const Bytes seed =
      SeedInCorpus("message_fuzz/save_and_manage", SaveAndManage());
  EXPECT_LE(seed.size(), kMaxSeedBytes);
  EXPECT_EQ(Serve(ByteView(seed).subspan(1)), 0u);
}

TEST_F(ConversationSeedTest, SavesAndSettles) {
  const Bytes seed =
      SeedInCorpus("message_fuzz/save_and_settings", SaveAndSettings());
  EXPECT_LE(seed.size(), kMaxSeedBytes);
  EXPECT_EQ(Serve(ByteView(seed).subspan(1)), 0u);
}

// --- Frames ---

CodecCase CaseNamed(const std::string& name) {
  for (const CodecCase& codec_case : CodecCases()) {
    if (codec_case.name == name) return codec_case;
  }
  ADD_FAILURE() << name;
  return {};
}

// A frame of the model that frame_fuzz.cc decodes for.
Bytes MakeFrame(const std::string& case_name, KvKind kind,
                uint16_t token_count) {
  const ModelSpec spec = TinyModel();
  const CodecCase codec_case = CaseNamed(case_name);
  FramePlace place;
  place.layers = LayerGroupsOf(spec)[0];
  place.token_count = token_count;
  const auto slices = SlicePlanes(spec, place.layers, place.heads);
  const auto profile = ProfileOf(codec_case, spec);
  EXPECT_TRUE(slices.ok() && profile.ok());
  KvRows rows(*slices, token_count);
  rows.Fill(kind, 7, 0);
  const Result<Bytes> frame = EncodeFrame(*CodecOf(codec_case), profile->get(),
                                          InfoOf(spec, place), *slices, rows);
  EXPECT_TRUE(frame.ok()) << frame.status().ToString();
  return *frame;
}

// It decodes, and all of its streams are coded.
void ExpectCoded(const std::string& case_name, const Bytes& seed) {
  EXPECT_LE(seed.size(), kMaxSeedBytes);
  const ModelSpec spec = TinyModel();
  FrameView frame;
  ASSERT_TRUE(ParseFrame(seed, &frame).ok());
  const auto coded = std::count_if(
      frame.sections.begin(), frame.sections.end(),
      [](const FrameSection& section) { return section.mode == kModeRans; });
  EXPECT_EQ(coded, 4);
  const auto slices = SlicePlanes(spec, frame.info.layers, frame.info.heads);
  const auto profile = ProfileOf(CaseNamed(case_name), spec);
  ASSERT_TRUE(slices.ok() && profile.ok());
  KvRows rows(*slices, frame.info.token_count);
  const Status decoded =
      DecodeFrame(profile->get(), spec, seed, frame.info.token_count, &rows);
  EXPECT_TRUE(decoded.ok()) << decoded.ToString();
}

TEST(FrameSeedTest, StreamsAreCodedByTheFramesOwnTables) {
  ExpectCoded("Exact", SeedInCorpus("frame_fuzz/exact_own_tables",
                                    MakeFrame("Exact", KvKind::kConstant, 16)));
}

TEST(FrameSeedTest, StreamsAreCodedByAProfile) {
  ExpectCoded("ExactProfile",
              SeedInCorpus("frame_fuzz/exact_profile",
                           MakeFrame("ExactProfile", KvKind::kTypical, 12)));
}

// --- klt ---

TEST(KltSeedTest, ProfilesAreRead) {
  for (const auto& [name, spec] :
       {std::pair("klt_fuzz/profile_small", OpaqueModel()),
        std::pair("klt_fuzz/profile_one_channel", OneChannelModel())}) {
    Bytes made = MakeTinyKltProfile(spec);
    made.insert(made.begin(), kKltFuzzProfile);
    const Bytes seed = SeedInCorpus(name, made);
    EXPECT_LE(seed.size(), kMaxSeedBytes);
    const Status status = DecodeKltProfile(ByteView(seed).subspan(1)).status();
    EXPECT_EQ(status.ToString(), "OK") << name;
  }
}

void ExpectKltDecodes(const std::string& name, const std::string& options,
                      KvKind kind, size_t stages) {
  const ModelSpec spec = KltFuzzModel();
  const KltProfileParts parts = KltFuzzParts();
  const FramePlace place = KltFuzzPlace();
  const Codec& klt = *FindCodec(CodecId::kKlt);
  const auto profile = klt.ParseProfile(EncodeKltProfile(parts));
  const auto parsed = klt.ParseOptions(options);
  const auto slices = SlicePlanes(spec, place.layers, place.heads);
  ASSERT_TRUE(profile.ok() && parsed.ok() && slices.ok());
  KvRows rows(*slices, place.token_count);
  rows.Fill(kind, 7, 0);
  const auto made = EncodeFrames(klt, profile->get(), InfoOf(spec, place),
                                 *slices, rows, parsed->get());
  ASSERT_TRUE(made.ok());
  const Bytes seed = SeedInCorpus(name, PackKltFrames(*made));
  EXPECT_LE(seed.size(), kMaxSeedBytes);
  const std::vector<Bytes> frames = UnpackKltFrames(seed);
  ASSERT_EQ(frames.size(), stages);
  EXPECT_EQ(DecodeFrames(profile->get(), spec, frames, 3, &rows).ToString(),
            "OK");
}

TEST(KltSeedTest, EncodingsDecode) {
  ExpectKltDecodes("klt_fuzz/archive", "tier=archive", KvKind::kTypical, 1);
  ExpectKltDecodes("klt_fuzz/near", "tier=near", KvKind::kTypical, 3);
  ExpectKltDecodes("klt_fuzz/four", "stages=4,shift=9", KvKind::kTypical, 4);
  ExpectKltDecodes("klt_fuzz/raw_tokens", "tier=coarse", KvKind::kSpecials, 2);
}

}  // namespace
}  // namespace reprise
