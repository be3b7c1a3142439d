// A connection's bytes after a good Hello, through framing and handler, with
// a memory engine behind: nothing crashes, and each request that is read gets
// one message with kEnd. The input's first byte says which type the first
// header shall have, 0 for what is there; each header read is sealed anew, so
// that what lies behind checksums is reached.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "api/framing.h"
#include "api/handler.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "store/memory_engine.h"

namespace reprise {
namespace {

constexpr uint32_t kMostAnswers = 1000;

class Daemon {
 public:
  Daemon()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &SystemClock(), {})) {
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    handler_ = std::make_unique<ConnectionHandler>(&context_);
    wire::HelloT hello;
    hello.version_min = hello.version_max = kWireVersion;
    MessageHead head = PackMessage(MessageType::kHello, 0, 1, hello);
    Serve({.type = MessageType::kHello, .request = 1}, head.meta_view(), {});
    REPRISE_CHECK(handler_->greeted());
  }

  // False when the connection would be closed.
  bool Serve(const MessageHeader& header, ByteView meta, ByteView body) {
    if (!handler_->Admit(header).ok()) return false;
    HandlerRequest request{header, AlignedBytes::CopyOf(meta),
                           AlignedBytes::CopyOf(body)};
    if (header.type == MessageType::kCancel) {
      return handler_->HandleCancel(request) == nullptr;
    }
    HandlerReply reply = handler_->Handle(request);
    const bool close = reply.first.close;
    bool end = reply.first.end;
    REPRISE_CHECK(end == (reply.rest == nullptr));
    for (uint32_t answers = 1; !end; ++answers) {
      REPRISE_CHECK(answers < kMostAnswers);
      end = reply.rest->Next().end;
    }
    reply.rest.reset();
    handler_->Finish(header.request);
    return !close;
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ServerMetrics metrics_;
  HandlerContext context_;
  std::unique_ptr<ConnectionHandler> handler_;
};

// Makes magic, version, sizes and checksums of the messages in `stream` hold,
// as far as it goes.
void Mend(uint8_t first_type, MutableByteView stream) {
  while (stream.size() > kMessageHeaderBytes) {
    uint8_t* at = stream.data();
    const size_t left = stream.size() - kMessageHeaderBytes;
    MessageHeader header;
    header.type =
        static_cast<MessageType>(first_type != 0 ? first_type : at[5]);
    first_type = 0;
    header.request = std::max<uint64_t>(LoadLe<uint64_t>(at + 8), 1);
    header.meta_bytes = static_cast<uint32_t>(
        std::min<uint64_t>(LoadLe<uint32_t>(at + 16), left));
    header.body_bytes = static_cast<uint32_t>(std::min<uint64_t>(
        LoadLe<uint32_t>(at + 20), left - header.meta_bytes));
    header.meta_checksum =
        MetaChecksum(stream.subspan(kMessageHeaderBytes, header.meta_bytes));
    const HeaderBytes bytes = EncodeMessageHeader(header);
    std::copy(bytes.begin(), bytes.end(), at);
    stream = stream.subspan(kMessageHeaderBytes + header.meta_bytes +
                            header.body_bytes);
  }
}

void Feed(ByteView stream) {
  using Step = MessageReader::Step;
  Daemon daemon;
  MessageReader reader({});
  Bytes body;
  while (!stream.empty() || reader.step() != Step::kBytes) {
    Status status;
    switch (reader.step()) {
      case Step::kBytes: {
        MutableByteView space = reader.Space();
        const size_t count = std::min(space.size(), stream.size());
        std::copy_n(stream.begin(), count, space.begin());
        stream = stream.subspan(count);
        status = reader.Advance(count);
        break;
      }
      case Step::kHeader:
        status = reader.ReadMeta();
        break;
      case Step::kMeta:
        body.resize(reader.header().body_bytes);
        reader.ReadBody(body);
        break;
      case Step::kMessage:
        if (!daemon.Serve(reader.header(), reader.meta(), body)) return;
        status = reader.NextMessage();
        break;
    }
    if (!status.ok()) return;
  }
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using reprise::Bytes;
  if (size == 0) return 0;
  Bytes stream(data + 1, data + size);
  reprise::Feed(stream);
  reprise::Mend(data[0] % (reprise::kMaxMessageType + 1), stream);
  reprise::Feed(stream);
  return 0;
}
