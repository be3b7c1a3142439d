#include "client/match_ticket.h"

#include <string>

#include "base/limits.h"

namespace reprise {
namespace {

constexpr uint32_t kMagic = 0x314b4d52;  // "RMK1"
constexpr size_t kTicketBytes = 4 + 8 + 32 + 8 + 8;

}  // namespace

Bytes EncodeMatchTicket(const MatchTicket& ticket) {
  ByteWriter out;
  out.U32(kMagic);
  out.U64(ticket.lease);
  out.Raw(ticket.model.view());
  out.U64(ticket.tokens);
  out.U64(Checksum(out.bytes()));
  return out.Take();
}

Result<MatchTicket> DecodeMatchTicket(ByteView bytes) {
  if (bytes.size() != kTicketBytes) {
    return InvalidArgumentError(
        "match ticket: " + std::to_string(bytes.size()) + " bytes, one has " +
        std::to_string(kTicketBytes));
  }
  ByteReader in(bytes);
  const uint32_t magic = in.U32();
  MatchTicket ticket;
  ticket.lease = in.U64();
  ticket.model = ReadId<ModelId>(&in);
  ticket.tokens = in.U64();
  const uint64_t checksum = in.U64();
  if (magic != kMagic) {
    return InvalidArgumentError("match ticket: magic is " +
                                std::to_string(magic) + ", wanted is " +
                                std::to_string(kMagic));
  }
  const ByteView checked = bytes.first(kTicketBytes - sizeof(checksum));
  if (checksum != Checksum(checked)) {
    return InvalidArgumentError("match ticket: checksum of " +
                                std::to_string(checked.size()) +
                                " bytes differs");
  }
  if (ticket.tokens == 0 || ticket.tokens > kMaxSessionTokens) {
    return InvalidArgumentError(
        "match ticket: " + std::to_string(ticket.tokens) + " tokens, 1 to " +
        std::to_string(kMaxSessionTokens) + " are possible");
  }
  return ticket;
}

}  // namespace reprise
