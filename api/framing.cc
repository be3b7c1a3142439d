#include "api/framing.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/hash.h"

namespace reprise {
namespace {

// Where each field of a header lies.
constexpr size_t kMagicAt = 0;
constexpr size_t kVersionAt = 4;
constexpr size_t kTypeAt = 5;
constexpr size_t kFlagsAt = 6;
constexpr size_t kRequestAt = 8;
constexpr size_t kMetaBytesAt = 16;
constexpr size_t kBodyBytesAt = 20;
constexpr size_t kMetaChecksumAt = 24;
constexpr size_t kHeaderChecksumAt = 28;

constexpr std::string_view kTypeNames[] = {
    "?",           "hello",  "put_model",  "get_model", "put_profile",
    "get_profile", "match",  "put_frames", "publish",   "commit",
    "fetch",       "cancel", "fork",       "rewind",    "remove",
    "describe",    "list",   "lease",      "stats",     "job",
    "set_policy",  "pin",
};
static_assert(std::size(kTypeNames) == kMaxMessageType + 1);

// "message: WHAT is A, B is wanted".
Status Bad(std::string_view what, uint64_t is, std::string_view relation,
           uint64_t wanted) {
  return InvalidArgumentError(
      "message: " + std::string(what) + " is " + std::to_string(is) + ", " +
      std::string(relation) + " " + std::to_string(wanted));
}

Status CheckFields(const MessageHeader& header, uint8_t type, bool replies,
                   const MessageLimits& limits) {
  if (uint16_t unknown = header.flags & ~kKnownFlags; unknown != 0) {
    return Bad("flags", header.flags, "known are", kKnownFlags);
  }
  if (header.reply() != replies) {
    return Bad("flag reply", header.reply(), "wanted is", replies);
  }
  if (!replies && header.flags != 0) {
    return Bad("flags of a request", header.flags, "wanted is", 0);
  }
  if (header.error() && !header.end()) {
    return Bad("flags of an error", header.flags, "wanted is",
               header.flags | kFlagEnd);
  }
  if (type == 0 || type > kMaxMessageType) {
    return Bad("type", type, "the highest known is", kMaxMessageType);
  }
  if (header.meta_bytes > limits.meta_bytes) {
    return Bad("metadata bytes", header.meta_bytes, "the limit is",
               limits.meta_bytes);
  }
  if (header.body_bytes > limits.body_bytes) {
    return Bad("body bytes", header.body_bytes, "the limit is",
               limits.body_bytes);
  }
  // The daemon answers with request 0 where it could not read a header.
  if (header.request == 0 && !header.error()) {
    return Bad("request", 0, "the lowest is", 1);
  }
  return Status::Ok();
}

}  // namespace

std::string_view MessageTypeName(MessageType type) {
  auto value = static_cast<uint8_t>(type);
  return kTypeNames[value <= kMaxMessageType ? value : 0];
}

uint32_t MetaChecksum(ByteView meta) {
  return static_cast<uint32_t>(Checksum(meta));
}

HeaderBytes EncodeMessageHeader(const MessageHeader& header) {
  HeaderBytes out;
  StoreLe(&out[kMagicAt], kMessageMagic);
  out[kVersionAt] = kWireVersion;
  out[kTypeAt] = static_cast<uint8_t>(header.type);
  StoreLe(&out[kFlagsAt], header.flags);
  StoreLe(&out[kRequestAt], header.request);
  StoreLe(&out[kMetaBytesAt], header.meta_bytes);
  StoreLe(&out[kBodyBytesAt], header.body_bytes);
  StoreLe(&out[kMetaChecksumAt], header.meta_checksum);
  StoreLe(&out[kHeaderChecksumAt],
          MetaChecksum(ByteView(out).first(kHeaderChecksumAt)));
  return out;
}

Status ParseMessageHeader(ByteView bytes, bool replies,
                          const MessageLimits& limits, MessageHeader* out) {
  *out = {};
  if (bytes.size() != kMessageHeaderBytes) {
    return Bad("header bytes", bytes.size(), "wanted are", kMessageHeaderBytes);
  }
  const uint8_t* p = bytes.data();
  if (auto magic = LoadLe<uint32_t>(p + kMagicAt); magic != kMessageMagic) {
    return Bad("magic", magic, "wanted is", kMessageMagic);
  }
  auto stored = LoadLe<uint32_t>(p + kHeaderChecksumAt);
  uint32_t computed = MetaChecksum(bytes.first(kHeaderChecksumAt));
  if (stored != computed) {
    return Bad("header checksum", stored, "its bytes give", computed);
  }
  if (p[kVersionAt] != kWireVersion) {
    return Bad("version", p[kVersionAt], "spoken here is", kWireVersion);
  }
  uint8_t type = p[kTypeAt];
  bool known = type != 0 && type <= kMaxMessageType;
  out->type = known ? static_cast<MessageType>(type) : MessageType::kHello;
  out->flags = LoadLe<uint16_t>(p + kFlagsAt);
  out->request = LoadLe<uint64_t>(p + kRequestAt);
  out->meta_bytes = LoadLe<uint32_t>(p + kMetaBytesAt);
  out->body_bytes = LoadLe<uint32_t>(p + kBodyBytesAt);
  out->meta_checksum = LoadLe<uint32_t>(p + kMetaChecksumAt);
  return CheckFields(*out, type, replies, limits);
}

AlignedBytes AlignedBytes::CopyOf(ByteView bytes) {
  AlignedBytes copy(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.data());
  return copy;
}

MessageReader::MessageReader(const Options& options)
    : options_(options),
      stage_(std::make_unique_for_overwrite<uint8_t[]>(kStageBytes)) {}

MutableByteView MessageReader::PartBytes() {
  switch (part_) {
    case Part::kHeader:
      return header_bytes_;
    case Part::kMeta:
      return meta_.span();
    case Part::kBody:
      return body_;
  }
  return {};
}

size_t* MessageReader::PartFilled() {
  switch (part_) {
    case Part::kHeader:
      return &header_filled_;
    case Part::kMeta:
      return &meta_filled_;
    case Part::kBody:
      return &body_filled_;
  }
  return nullptr;
}

MutableByteView MessageReader::Space() {
  REPRISE_DCHECK(step_ == Step::kBytes && stage_empty());
  MutableByteView left = PartBytes().subspan(*PartFilled());
  // A long part is read in place; short ones go through the stage, where one
  // read may bring several of them.
  direct_ = left.size() >= kStageBytes;
  return direct_ ? left : MutableByteView(stage_.get(), kStageBytes);
}

Status MessageReader::Advance(size_t count) {
  REPRISE_DCHECK(step_ == Step::kBytes);
  if (!direct_) {
    stage_begin_ = 0;
    stage_end_ = count;
    return Consume();
  }
  *PartFilled() += count;
  if (*PartFilled() < PartBytes().size()) return Status::Ok();
  return PartIsComplete();
}

Status MessageReader::Consume() {
  for (step_ = Step::kBytes; step_ == Step::kBytes;) {
    MutableByteView part = PartBytes();
    size_t* filled = PartFilled();
    size_t count = std::min(part.size() - *filled, stage_end_ - stage_begin_);
    if (count > 0) {
      std::memcpy(part.data() + *filled, stage_.get() + stage_begin_, count);
    }
    stage_begin_ += count;
    *filled += count;
    if (*filled < part.size()) return Status::Ok();
    REPRISE_RETURN_IF_ERROR(PartIsComplete());
  }
  return Status::Ok();
}

Status MessageReader::PartIsComplete() {
  switch (part_) {
    case Part::kHeader:
      REPRISE_RETURN_IF_ERROR(ParseMessageHeader(
          header_bytes_, options_.replies, options_.limits, &header_));
      step_ = Step::kHeader;
      break;
    case Part::kMeta: {
      uint32_t computed = MetaChecksum(meta_.view());
      if (computed != header_.meta_checksum) {
        return Bad("metadata checksum", header_.meta_checksum, "its bytes give",
                   computed);
      }
      step_ = Step::kMeta;
      break;
    }
    case Part::kBody:
      step_ = Step::kMessage;
      break;
  }
  return Status::Ok();
}

Status MessageReader::ReadMeta() {
  REPRISE_DCHECK(step_ == Step::kHeader);
  meta_ = AlignedBytes(header_.meta_bytes);
  meta_filled_ = 0;
  part_ = Part::kMeta;
  return Consume();
}

void MessageReader::ReadBody(MutableByteView body) {
  REPRISE_DCHECK(step_ == Step::kMeta && body.size() == header_.body_bytes);
  body_ = body;
  body_filled_ = 0;
  part_ = Part::kBody;
  // Filling a body checks nothing, so it can't fail.
  Status filled = Consume();
  REPRISE_DCHECK(filled.ok());
}

Status MessageReader::NextMessage() {
  REPRISE_DCHECK(step_ == Step::kMessage);
  meta_ = {};
  body_ = {};
  header_filled_ = 0;
  part_ = Part::kHeader;
  return Consume();
}

}  // namespace reprise
