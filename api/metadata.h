// Metadata of messages: FlatBuffers, verified before anyone looks at them,
// and packed with a header around them. The only place, with
// protocol_generated.h, where the protocol meets FlatBuffers.
#ifndef REPRISE_API_METADATA_H_
#define REPRISE_API_METADATA_H_

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "api/framing.h"
#include "api/protocol_generated.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

namespace reprise {

inline constexpr uint32_t kMaxMetaDepth = 16;
inline constexpr uint32_t kMaxMetaTables = 262'144;

// The table at the root of `meta`, which lives as long as `meta`'s memory.
// Every offset, vector, string and nested table in it lies inside; its values
// may still be anything. kInvalidArgument when it does not hold.
// REQUIRES: meta begins at a multiple of 8 (AlignedBytes).
template <typename Table>
Result<const Table*> VerifiedMeta(ByteView meta) {
  // The verifier itself takes no fewer bytes than a root offset.
  if (meta.size() >= sizeof(flatbuffers::uoffset_t)) {
    flatbuffers::Verifier verifier(meta.data(), meta.size(), kMaxMetaDepth,
                                   kMaxMetaTables);
    if (verifier.VerifyBuffer<Table>(nullptr)) {
      return flatbuffers::GetRoot<Table>(meta.data());
    }
  }
  return InvalidArgumentError("metadata: " + std::to_string(meta.size()) +
                              " bytes are no valid table of their type");
}

// Header and metadata of one message, ready to be sent; body_bytes of body
// follow from wherever they lie. Movable.
struct MessageHead {
  HeaderBytes header{};
  flatbuffers::DetachedBuffer meta;
  uint32_t body_bytes = 0;

  ByteView header_view() const { return header; }
  ByteView meta_view() const { return {meta.data(), meta.size()}; }
  uint64_t total_bytes() const {
    return header.size() + meta.size() + body_bytes;
  }
};

// Around a builder on which Finish was called.
inline MessageHead FinishMessage(MessageType type, uint16_t flags,
                                 uint64_t request, uint32_t body_bytes,
                                 flatbuffers::FlatBufferBuilder* builder) {
  MessageHead head;
  head.meta = builder->Release();
  head.body_bytes = body_bytes;
  head.header = EncodeMessageHeader(
      {.type = type,
       .flags = flags,
       .request = request,
       .meta_bytes = static_cast<uint32_t>(head.meta.size()),
       .body_bytes = body_bytes,
       .meta_checksum = MetaChecksum(head.meta_view())});
  return head;
}

// From the object form of a table: wire::MatchT and the like.
template <typename Native>
MessageHead PackMessage(MessageType type, uint16_t flags, uint64_t request,
                        const Native& native, uint32_t body_bytes = 0) {
  using Table = typename Native::TableType;
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(Table::Pack(builder, &native));
  return FinishMessage(type, flags, request, body_bytes, &builder);
}

// --- Ids. An absent one is a zero id. ---

template <typename Id>
Id IdFromWire(const wire::Id32* id) {
  Id out;
  if (id != nullptr) std::memcpy(out.bytes.data(), id->bytes()->data(), 32);
  return out;
}
template <typename Tag>
wire::Id32 IdToWire(const DigestId<Tag>& id) {
  return wire::Id32(flatbuffers::span<const uint8_t, 32>(id.bytes));
}
// For the object form: null for a zero id.
template <typename Tag>
std::unique_ptr<wire::Id32> OptionalIdToWire(const DigestId<Tag>& id) {
  if (id.IsZero()) return nullptr;
  return std::make_unique<wire::Id32>(IdToWire(id));
}

// Null is empty.
inline std::string_view TextFromWire(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view()
                         : std::string_view(text->c_str(), text->size());
}

}  // namespace reprise

#endif  // REPRISE_API_METADATA_H_
