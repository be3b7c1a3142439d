// Messages that were once written are read for good (tests/golden/README.md),
// and the exchange on docs/format/wire.md is the one that the daemon has.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "api/framing.h"
#include "api/handler.h"
#include "api/metadata.h"
#include "base/clock.h"
#include "base/hash.h"
#include "codec/frame.h"
#include "store/memory_engine.h"
#include "tests/support/hex_dump.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "tests/golden/wire";
constexpr uint8_t kProfile[] = {0x70, 0x72, 0x6f, 0x66, 0x69, 0x6c, 0x65, 0x21};

Bytes ReadBytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}
Bytes Golden(const std::string& name) {
  return ReadBytes(fs::path(kFolder) / (name + ".bin"));
}

// One after the other, as they stand on the page.
struct Exchange {
  std::string name;
  Bytes request;
};

Bytes Message(const MessageHead& head, ByteView body) {
  ByteWriter writer;
  writer.Raw(head.header_view());
  writer.Raw(head.meta_view());
  writer.Raw(body);
  return writer.Take();
}

Exchange HelloExchange() {
  wire::HelloT hello;
  hello.version_min = 1;
  hello.version_max = 1;
  hello.client = "worker 1.0";
  return {
      "hello",
      Message(PackMessage(MessageType::kHello, 0, /*request=*/1, hello), {})};
}

Exchange PutProfileExchange() {
  wire::PutProfileT put;
  put.model = OptionalIdToWire(ModelIdOf(OneChannelModel()));
  put.codec = static_cast<uint16_t>(CodecId::kExact);
  put.total_bytes = sizeof(kProfile);
  put.checksum = Checksum(kProfile);
  return {"put_profile",
          Message(PackMessage(MessageType::kPutProfile, 0, /*request=*/2, put,
                              sizeof(kProfile)),
                  kProfile)};
}

// Nothing of it is stored, so its answer is an error and no part of the page.
Exchange FetchExchange() {
  wire::FetchT fetch;
  fetch.session = "chat";
  fetch.lowest_tier = static_cast<uint8_t>(Tier::kArchive);
  fetch.highest_tier = static_cast<uint8_t>(Tier::kCoarse);
  fetch.stage_major = true;
  return {
      "fetch",
      Message(PackMessage(MessageType::kFetch, 0, /*request=*/3, fetch), {})};
}

HandlerRequest Split(ByteView bytes, bool replies) {
  HandlerRequest message;
  EXPECT_EQ(ParseMessageHeader(bytes.first(kMessageHeaderBytes), replies, {},
                               &message.header)
                .ToString(),
            "OK");
  ByteView rest = bytes.subspan(kMessageHeaderBytes);
  EXPECT_EQ(rest.size(), message.header.meta_bytes + message.header.body_bytes);
  message.meta = AlignedBytes::CopyOf(rest.first(message.header.meta_bytes));
  message.body = AlignedBytes::CopyOf(rest.subspan(message.header.meta_bytes));
  EXPECT_EQ(MetaChecksum(message.meta.view()), message.header.meta_checksum);
  return message;
}

// The metadata of a golden message, which goes to `out`.
template <typename Table>
const Table* Parse(const std::string& name, bool replies, HandlerRequest* out) {
  *out = Split(Golden(name), replies);
  auto table = VerifiedMeta<Table>(out->meta.view());
  EXPECT_EQ(table.status().ToString(), "OK") << name;
  return *table;
}

// A daemon that knows the one model, and a connection to it.
class GoldenWireTest : public testing::Test {
 protected:
  GoldenWireTest()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &SystemClock(), {})) {
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    handler_ = std::make_unique<ConnectionHandler>(&context_);
    EXPECT_TRUE(catalogue_
                    ->PutModel(TenantDomain("default"),
                               EncodeModelSpec(OneChannelModel()))
                    .ok());
  }

  Bytes AnswerTo(ByteView request) {
    HandlerRequest parsed = Split(request, /*replies=*/false);
    EXPECT_EQ(handler_->Admit(parsed.header).ToString(), "OK");
    HandlerReply reply = handler_->Handle(parsed);
    EXPECT_TRUE(reply.first.body.empty());
    return Message(reply.first.head, {});
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ServerMetrics metrics_;
  HandlerContext context_;
  std::unique_ptr<ConnectionHandler> handler_;
};

void WriteNew(const fs::path& path, ByteView bytes) {
  if (fs::exists(path)) return;
  std::ofstream(path, std::ios::binary) << AsText(bytes);
}

TEST_F(GoldenWireTest, IsWhatClientAndDaemonWrite) {
  const char* out = std::getenv("REPRISE_WRITE_GOLDEN");
  for (const Exchange& exchange : {HelloExchange(), PutProfileExchange()}) {
    const Bytes answer = AnswerTo(exchange.request);
    if (out != nullptr) {
      WriteNew(fs::path(out) / (exchange.name + ".request.bin"),
               exchange.request);
      WriteNew(fs::path(out) / (exchange.name + ".answer.bin"), answer);
      continue;
    }
    EXPECT_EQ(HexDump(exchange.request),
              HexDump(Golden(exchange.name + ".request")));
    EXPECT_EQ(HexDump(answer), HexDump(Golden(exchange.name + ".answer")));
  }
}

TEST_F(GoldenWireTest, AFetchIsWhatAClientWrites) {
  const Exchange exchange = FetchExchange();
  if (const char* out = std::getenv("REPRISE_WRITE_GOLDEN")) {
    WriteNew(fs::path(out) / "fetch.request.bin", exchange.request);
    return;
  }
  EXPECT_EQ(HexDump(exchange.request), HexDump(Golden("fetch.request")));
  HandlerRequest message;
  const auto* fetch = Parse<wire::Fetch>("fetch.request", false, &message);
  EXPECT_EQ(TextFromWire(fetch->session()), "chat");
  EXPECT_EQ(fetch->lowest_tier(), 4);
  EXPECT_EQ(fetch->highest_tier(), 3);
  EXPECT_TRUE(fetch->stage_major());
  EXPECT_EQ(fetch->stage_count(), 0);
}

TEST_F(GoldenWireTest, IsReadAsWhatItSays) {
  HandlerRequest message;
  const auto* hello = Parse<wire::Hello>("hello.request", false, &message);
  EXPECT_EQ(message.header.type, MessageType::kHello);
  EXPECT_EQ(message.header.request, 1u);
  EXPECT_EQ(hello->version_max(), 1);
  EXPECT_EQ(TextFromWire(hello->client()), "worker 1.0");

  const auto* greeting =
      Parse<wire::HelloReply>("hello.answer", true, &message);
  EXPECT_TRUE(message.header.end());
  EXPECT_EQ(greeting->version(), 1);
  EXPECT_EQ(TextFromWire(greeting->server()), "reprised");
  EXPECT_EQ(greeting->max_in_flight_bytes(), 64u << 20);

  const auto* put =
      Parse<wire::PutProfile>("put_profile.request", false, &message);
  EXPECT_EQ(message.header.type, MessageType::kPutProfile);
  EXPECT_EQ(IdFromWire<ModelId>(put->model()), ModelIdOf(OneChannelModel()));
  EXPECT_EQ(put->total_bytes(), sizeof(kProfile));
  EXPECT_EQ(put->checksum(), Checksum(message.body.view()));
  EXPECT_EQ(ToHex(message.body.view()), ToHex(kProfile));

  const auto* stored =
      Parse<wire::PutProfileReply>("put_profile.answer", true, &message);
  EXPECT_EQ(message.header.request, 2u);
  EXPECT_EQ(IdFromWire<ProfileId>(stored->profile()).bytes,
            Sha256(kProfile).bytes);
}

TEST_F(GoldenWireTest, PageShowsEveryFile) {
  const Bytes page = ReadBytes("docs/format/wire.md");
  size_t at = 0;
  for (const char* name :
       {"hello.request", "hello.answer", "put_profile.request",
        "put_profile.answer", "fetch.request"}) {
    const std::string dump = HexDump(Golden(name));
    const size_t found = AsText(page).find(dump, at);
    ASSERT_NE(found, std::string_view::npos)
        << "wire.md does not show " << name << ":\n"
        << dump;
    at = found + dump.size();
  }
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    EXPECT_NE(AsText(page).find(name), std::string_view::npos) << name;
  }
}

}  // namespace
}  // namespace reprise
