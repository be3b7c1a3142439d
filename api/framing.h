// The outer shape of the protocol: headers, and a reader that turns any
// sequence of byte chunks into messages. No I/O and no FlatBuffers; daemon
// and client share it. Format: docs/format/wire.md.
//
// The reader is told nothing about sockets. It says where the next bytes are
// to go, and they are read right there:
//
//   MessageReader reader({.replies = true});
//   for (;;) {
//     switch (reader.step()) {
//       case Step::kBytes: {
//         size_t n = read(fd, reader.Space());
//         REPRISE_RETURN_IF_ERROR(reader.Advance(n));
//         break;
//       }
//       case Step::kHeader: reader.ReadMeta(); break;
//       case Step::kMeta: reader.ReadBody(buffer_for(reader.meta())); break;
//       case Step::kMessage: handle(...); reader.NextMessage(); break;
//     }
//   }
//
// so that a body lands in its own buffer without a copy, and whoever reads
// can wait before each part (for memory, say).
#ifndef REPRISE_API_FRAMING_H_
#define REPRISE_API_FRAMING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

namespace reprise {

// What a message is about; the same in request and answer. Values travel.
enum class MessageType : uint8_t {
  kHello = 1,
  kPutModel = 2,
  kGetModel = 3,
  kPutProfile = 4,
  kGetProfile = 5,
  kMatch = 6,
  kPutFrames = 7,
  kPublish = 8,
  kCommit = 9,
  kFetch = 10,
  kCancel = 11,
  kFork = 12,
  kRewind = 13,
  kRemove = 14,
  kDescribe = 15,
  kList = 16,
  kLease = 17,
  kStats = 18,
  kJob = 19,
  kSetPolicy = 20,
  kPin = 21,
};
inline constexpr uint8_t kMaxMessageType = 21;
// "hello", "put_model", ...: for logs and metrics; "?" outside the enum.
std::string_view MessageTypeName(MessageType type);

inline constexpr uint16_t kFlagReply = 1;
inline constexpr uint16_t kFlagEnd = 2;
inline constexpr uint16_t kFlagError = 4;
inline constexpr uint16_t kFlagDraining = 8;
inline constexpr uint16_t kKnownFlags = 15;

inline constexpr uint32_t kMessageMagic = 0x314d5052;  // "RPM1"
inline constexpr uint8_t kWireVersion = 1;
inline constexpr size_t kMessageHeaderBytes = 32;

struct MessageHeader {
  MessageType type = MessageType::kHello;
  uint16_t flags = 0;
  uint64_t request = 0;
  uint32_t meta_bytes = 0;
  uint32_t body_bytes = 0;
  uint32_t meta_checksum = 0;

  bool reply() const { return (flags & kFlagReply) != 0; }
  bool end() const { return (flags & kFlagEnd) != 0; }
  bool error() const { return (flags & kFlagError) != 0; }

  bool operator==(const MessageHeader&) const = default;
};

// What MessageHeader::meta_checksum holds.
uint32_t MetaChecksum(ByteView meta);

using HeaderBytes = std::array<uint8_t, kMessageHeaderBytes>;
HeaderBytes EncodeMessageHeader(const MessageHeader& header);

struct MessageLimits {
  uint32_t meta_bytes = kMaxMessageMetaBytes;
  uint32_t body_bytes = kMaxMessageBodyBytes;
};

// Checks, in this order: magic, header checksum, version, flags, type, sizes,
// request. kInvalidArgument, with the check and both numbers. `out` is filled
// in as soon as the checksum and version hold, so that the failure can be
// answered under its request id; before that its request is 0.
// `replies`: whether messages come from the daemon (kReply is wanted) or from
// a client (kReply is refused).
Status ParseMessageHeader(ByteView bytes, bool replies,
                          const MessageLimits& limits, MessageHeader* out);

// A buffer that begins at a multiple of 8, whose bytes are not cleared: what
// FlatBuffers are verified in and bodies are read into. Movable.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size)
      : words_(std::make_unique_for_overwrite<uint64_t[]>((size + 7) / 8)),
        size_(size) {}
  AlignedBytes(AlignedBytes&& other) noexcept { *this = std::move(other); }
  AlignedBytes& operator=(AlignedBytes&& other) noexcept {
    words_ = std::move(other.words_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  static AlignedBytes CopyOf(ByteView bytes);

  uint8_t* data() { return reinterpret_cast<uint8_t*>(words_.get()); }
  const uint8_t* data() const {
    return reinterpret_cast<const uint8_t*>(words_.get());
  }
  size_t size() const { return size_; }
  MutableByteView span() { return {data(), size_}; }
  ByteView view() const { return {data(), size_}; }

 private:
  std::unique_ptr<uint64_t[]> words_;
  size_t size_ = 0;
};

// Reads one message after the other. Not thread-safe. After a failed Advance
// the reader is of no further use: there is no way to find the next message.
class MessageReader {
 public:
  enum class Step : uint8_t {
    kBytes,    // read into Space(), then Advance()
    kHeader,   // header() is there; go on with ReadMeta()
    kMeta,     // meta() is there and undamaged; go on with ReadBody()
    kMessage,  // all is there; go on with NextMessage()
  };

  struct Options {
    bool replies = false;
    MessageLimits limits;
  };
  explicit MessageReader(const Options& options);

  // Takes effect with the next header.
  void set_limits(const MessageLimits& limits) { options_.limits = limits; }

  Step step() const { return step_; }
  // Where the next bytes from the peer go; never empty.
  // REQUIRES: step() == kBytes.
  MutableByteView Space();
  // `count` bytes were put at the start of Space().
  // kInvalidArgument for a bad header or damaged metadata.
  Status Advance(size_t count);

  // From kHeader on; after a failed Advance, what is known of the message.
  const MessageHeader& header() const { return header_; }
  // From kMeta on, until NextMessage or TakeMeta.
  ByteView meta() const { return meta_.view(); }
  AlignedBytes TakeMeta() { return std::move(meta_); }

  // True when no byte of a next message has come yet.
  bool between_messages() const {
    return part_ == Part::kHeader && header_filled_ == 0 && stage_empty();
  }

  // kInvalidArgument when the metadata, already here, is damaged.
  // REQUIRES: step() == kHeader.
  Status ReadMeta();
  // `body` must live until kMessage.
  // REQUIRES: step() == kMeta; body.size() == header().body_bytes.
  void ReadBody(MutableByteView body);
  // REQUIRES: step() == kMessage. Errors as of Advance: the next message may
  // be here already.
  Status NextMessage();

 private:
  enum class Part : uint8_t { kHeader, kMeta, kBody };
  static constexpr size_t kStageBytes = 16 << 10;

  bool stage_empty() const { return stage_begin_ == stage_end_; }
  // The part being read, and how much of it is filled.
  MutableByteView PartBytes();
  size_t* PartFilled();
  // Moves staged bytes on until a stop or the end of the stage.
  Status Consume();
  Status PartIsComplete();

  Options options_;
  Step step_ = Step::kBytes;
  Part part_ = Part::kHeader;
  MessageHeader header_;
  HeaderBytes header_bytes_{};
  size_t header_filled_ = 0;
  AlignedBytes meta_;
  size_t meta_filled_ = 0;
  MutableByteView body_;
  size_t body_filled_ = 0;

  std::unique_ptr<uint8_t[]> stage_;
  size_t stage_begin_ = 0;
  size_t stage_end_ = 0;
  bool direct_ = false;  // Space() pointed into the part itself
};

}  // namespace reprise

#endif  // REPRISE_API_FRAMING_H_
