// What Match hands out for Restore, here or in another process: plain bytes.
#ifndef REPRISE_CLIENT_MATCH_TICKET_H_
#define REPRISE_CLIENT_MATCH_TICKET_H_

#include <cstdint>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

namespace reprise {

// Little endian:
//
//   u32 magic "RMK1" | u64 lease | ModelId | u64 tokens | u64 XXH3 of before
struct MatchTicket {
  uint64_t lease = 0;
  ModelId model;
  uint64_t tokens = 0;  // how many of the prompt's are stored

  bool operator==(const MatchTicket&) const = default;
};

Bytes EncodeMatchTicket(const MatchTicket& ticket);
// kInvalidArgument for bytes that are no ticket.
Result<MatchTicket> DecodeMatchTicket(ByteView bytes);

}  // namespace reprise

#endif  // REPRISE_CLIENT_MATCH_TICKET_H_
