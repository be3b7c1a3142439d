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
#include "base/duration.h"
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
// The domain of a session that shares with its forks only: who saves needs it
// before the first commit makes the session.
DomainId PrivateDomain(const DomainId& tenant, std::string_view session);

inline constexpr uint32_t kMaxRenditionsPerSet = 4;
inline constexpr uint32_t kMaxRecentCommits = 255;
inline constexpr uint32_t kMaxLeaseEntries = 1u << 20;

// Immutable: a segment's or a tail's tokens. Object kSegment or kTail.
struct SegmentRecord {
  ModelId model;
  SegmentId parent;
  uint32_t first_token = 0;
  std::vector<TokenId> tokens;  // 64, or 1 to 63 in a tail

  bool operator==(const SegmentRecord&) const = default;

  bool is_tail() const { return tokens.size() < kSegmentTokens; }
  // ChildSegmentId or TailId of the above.
  // REQUIRES: 1 <= tokens.size() <= kSegmentTokens.
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
  // The profile was trained on other weights than the model's, and accepted.
  bool other_weights = false;
  uint64_t writer = 0;  // which worker, by its own choice
  int64_t time_ms = 0;
  uint64_t raw_bytes = 0;
  std::vector<FrameRef> frames;

  // What it counts as.
  Tier effective() const { return WorseOf(tier, basis); }
  uint64_t stored_bytes() const;
  bool operator==(const Rendition&) const = default;
};

// Head record kRendition, by SegmentId or TailId: up to four renditions, at
// most one a tier, best tier first; the frames of each ascend by index. Without
// any, its frames were given up on purpose: it sank to tier kTokens.
struct RenditionSet {
  std::vector<Rendition> renditions;

  // The best by effective tier that is at least as good as `lowest`; null.
  const Rendition* Best(Tier lowest) const;
  bool operator==(const RenditionSet&) const = default;
};
Bytes EncodeRenditionSet(const RenditionSet& set);
Result<RenditionSet> DecodeRenditionSet(ByteView bytes);

// What a Match wants to know of one rendition.
struct RenditionSummary {
  Tier tier = Tier::kExact;
  Tier basis = Tier::kExact;
  CodecId codec = CodecId::kRaw;
  uint32_t frame_count = 0;
  uint64_t stored_bytes = 0;
  uint64_t raw_bytes = 0;

  Tier effective() const { return WorseOf(tier, basis); }
};
struct RenditionSummaries {
  uint32_t count = 0;
  std::array<RenditionSummary, kMaxRenditionsPerSet> items;

  // As RenditionSet::Best.
  const RenditionSummary* Best(Tier lowest) const;
};
// The front of a rendition set. The checksum of the whole is verified, the
// frames are not looked at; allocates nothing.
Status DecodeRenditionSummaries(ByteView bytes, RenditionSummaries* out);

// The only mutable object. Head record kSession.
struct SessionRecord {
  // Where its objects live: its tenant's domain, or one of its own that only
  // its forks share.
  DomainId domain;
  CommitId head;
  uint64_t incarnation = 0;  // drawn anew when the name is made again
  uint64_t version = 0;      // counts moves of the head
  ModelId model;
  uint64_t token_count = 0;
  int64_t created_ms = 0;
  int64_t changed_ms = 0;
  // How it may sink, docs/format/policy.md; empty: the default.
  std::string policy;
  // Idle time after which it is removed; 0: the default; kForeverMs: never.
  int64_t ttl_ms = 0;
  // Until then it neither sinks nor is removed by its TTL; 0: not pinned;
  // kForeverMs: for ever.
  int64_t pinned_until_ms = 0;
  std::vector<std::pair<std::string, std::string>> labels;
  // The heads before this one, latest first, at most kKeptCommits: roots.
  std::vector<CommitId> recent;

  bool operator==(const SessionRecord&) const = default;
};
Bytes EncodeSession(const SessionRecord& record);
Result<SessionRecord> DecodeSession(ByteView bytes);

// Head record kLease.
struct LeaseRecord {
  int64_t expires_wall_ms = 0;
  DomainId domain;
  // Segments and tails; one stands again for each further RenditionId that
  // its frames are keyed by.
  std::vector<SegmentId> segments;
  std::vector<RenditionId> renditions;  // same order; zero: tokens only
  CommitId commit;                      // zero: none

  bool operator==(const LeaseRecord&) const = default;
};
Bytes EncodeLease(const LeaseRecord& record);
Result<LeaseRecord> DecodeLease(ByteView bytes);

// Small records: the store's own, the collector's epoch, the profile last put
// for a model and codec, a session's last use, and what time it was last.
struct StoreRecord {
  uint32_t format_version = 0;
  int64_t created_ms = 0;
};
Bytes EncodeStore(const StoreRecord& record);
Result<StoreRecord> DecodeStore(ByteView bytes);
Bytes EncodeEpoch(Epoch epoch);
Result<Epoch> DecodeEpoch(ByteView bytes);
struct ProfileRecord {
  ProfileId profile;
  int64_t time_ms = 0;
  // Who put it knew that it was trained on other weights than the model's.
  bool other_weights = false;
};
Bytes EncodeProfileRecord(const ProfileRecord& record);
Result<ProfileRecord> DecodeProfileRecord(ByteView bytes);
Bytes EncodeLastUse(int64_t time_ms);
Result<int64_t> DecodeLastUse(ByteView bytes);
// REQUIRES: wall_ms > 0.
Bytes EncodeClock(int64_t wall_ms);
Result<int64_t> DecodeClock(ByteView bytes);

// Keys: domain first, so that a tenant can be listed and removed.
std::string DomainKey(const DomainId& domain, ByteView id);
std::string FrameKey(const DomainId& domain, const SegmentId& segment,
                     const RenditionId& rendition, uint32_t index);
std::string LeaseKey(uint64_t lease);
std::string ProfileKey(const DomainId& domain, const ModelId& model,
                       CodecId codec);
inline constexpr std::string_view kStoreKey = "store";
inline constexpr std::string_view kEpochKey = "epoch";
inline constexpr std::string_view kClockKey = "clock";

inline constexpr size_t kDomainBytes = 16;
inline constexpr size_t kDomainKeyBytes = kDomainBytes + 32;  // with an id
inline constexpr size_t kFrameKeyBytes = kDomainKeyBytes + 16 + 4;

// Where a frame of this tier is put.
ObjectSpace FrameSpaceOf(Tier tier, bool is_tail);

}  // namespace reprise

#endif  // REPRISE_STORE_RECORDS_H_
