// The records of the catalogue and their bytes. Format: docs/format/
// records.md. Every Decode answers kDataLoss, with the check and both
// numbers, for bytes that are not exactly one record; every record ends in a
// checksum. Commits have a page of their own: codec/commit.h.
#ifndef REPRISE_STORE_RECORDS_H_
#define REPRISE_STORE_RECORDS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/commit.h"
#include "codec/frame.h"
#include "codec/segment.h"
#include "codec/tier.h"
#include "store/engine.h"

namespace reprise {

// Which objects may be shared: a tenant's, or one session's and its forks'.
struct DomainId {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const DomainId&) const = default;
};
// The first 16 bytes of SHA-256("reprise/domain/1", tenant).
DomainId TenantDomain(std::string_view tenant);

// Immutable: a segment's or a tail's tokens. Object kSegment or kTail.
struct SegmentRecord {
  ModelId model;
  SegmentId parent;
  uint32_t first_token = 0;
  std::vector<TokenId> tokens;  // 64, or 1 to 63 in a tail

  // ChildSegmentId or TailId of the above.
  SegmentId Id() const;
};
Bytes EncodeSegment(const SegmentRecord& record);
Result<SegmentRecord> DecodeSegment(ByteView bytes);

struct FrameRef {
  RenditionId rendition;  // part of its key: a refined rendition shares frames
  ObjectSpace space = ObjectSpace::kFrameExact;
  uint8_t stage = 0;
  uint16_t first_layer = 0;
  uint16_t layer_count = 0;
  HeadRange heads;
  uint32_t index = 0;
  uint32_t bytes = 0;
  uint64_t checksum = 0;  // of the whole frame

  bool operator==(const FrameRef&) const = default;
};

// One way in which a segment's values are stored.
struct Rendition {
  RenditionId id;
  Tier tier = Tier::kExact;
  // The worst tier that these values and their prefix were computed from.
  Tier basis = Tier::kExact;
  CodecId codec = CodecId::kRaw;
  ProfileId profile;
  uint64_t writer = 0;  // which worker, by its own choice
  int64_t time_ms = 0;
  uint64_t raw_bytes = 0;
  std::vector<FrameRef> frames;

  // What it counts as.
  Tier effective() const { return WorseOf(tier, basis); }
  uint64_t stored_bytes() const;
  bool operator==(const Rendition&) const = default;
};

// Head record kRendition, by SegmentId or TailId: at most one rendition a
// tier, best tier first.
struct RenditionSet {
  std::vector<Rendition> renditions;

  // The best by effective tier that is at least as good as `lowest`; null.
  const Rendition* Best(Tier lowest) const;
};
Bytes EncodeRenditionSet(const RenditionSet& set);
Result<RenditionSet> DecodeRenditionSet(ByteView bytes);

// The only mutable object. Head record kSession.
struct SessionRecord {
  // Where its objects live: its tenant's domain, or one of its own that only
  // its forks share.
  DomainId domain;
  CommitId head;
  uint64_t incarnation = 0;  // drawn anew when the name is made again
  uint64_t version = 0;      // counts changes
  ModelId model;
  uint64_t token_count = 0;
  int64_t created_ms = 0;
  int64_t changed_ms = 0;
  std::string policy;  // tier ladder; empty: the default
  std::vector<std::pair<std::string, std::string>> labels;
  // The heads before this one, latest first, at most kKeptCommits: roots.
  std::vector<CommitId> recent;
};
Bytes EncodeSession(const SessionRecord& record);
Result<SessionRecord> DecodeSession(ByteView bytes);

// Head record kLease.
struct LeaseRecord {
  int64_t expires_wall_ms = 0;
  DomainId domain;
  std::vector<SegmentId> segments;      // and tails
  std::vector<RenditionId> renditions;  // same order
  CommitId commit;                      // zero: none
};
Bytes EncodeLease(const LeaseRecord& record);
Result<LeaseRecord> DecodeLease(ByteView bytes);

// Keys: domain first, so that a tenant can be listed and removed.
std::string DomainKey(const DomainId& domain, ByteView id);
std::string FrameKey(const DomainId& domain, const SegmentId& segment,
                     const RenditionId& rendition, uint32_t index);

}  // namespace reprise

#endif  // REPRISE_STORE_RECORDS_H_
