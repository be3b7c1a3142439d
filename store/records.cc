#include "store/records.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "store/record_envelope.h"

namespace reprise {
namespace {

// What version 2 of a profile record adds.
constexpr uint8_t kOtherWeights = 1;

template <typename Id>
void WriteId(RecordWriter* out, const Id& id) {
  out->Raw(id.bytes);
}

// RenditionIds and DomainIds, which are no digests.
template <typename Id>
Id ReadShortId(ByteReader* in) {
  Id id;
  in->Copy(id.bytes);
  return id;
}

DomainId DomainOf(std::string_view tag, ByteView first, ByteView second) {
  Sha256Stream stream;
  stream.Update(AsBytes(tag));
  stream.Update(first);
  stream.Update(second);
  const Sha256Digest digest = stream.Finish();
  DomainId domain;
  std::copy_n(digest.bytes.begin(), domain.bytes.size(), domain.bytes.begin());
  return domain;
}

void AppendBytes(std::string* key, ByteView bytes) {
  key->append(AsText(bytes));
}

void AppendBigEndian(std::string* key, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    key->push_back(static_cast<char>(value >> (8 * i)));
  }
}

}  // namespace

DomainId TenantDomain(std::string_view tenant) {
  return DomainOf("reprise/domain/1", AsBytes(tenant), {});
}

DomainId PrivateDomain(const DomainId& tenant, std::string_view session) {
  return DomainOf("reprise/private/1", tenant.bytes, AsBytes(session));
}

// --- Segments. ---

SegmentId SegmentRecord::Id() const {
  return is_tail() ? TailId(parent, tokens) : ChildSegmentId(parent, tokens);
}

Bytes EncodeSegment(const SegmentRecord& record) {
  REPRISE_CHECK(!record.tokens.empty() &&
                record.tokens.size() <= kSegmentTokens);
  RecordWriter out(kSegmentKind, 72 + record.tokens.size() * 4);
  WriteId(&out, record.model);
  WriteId(&out, record.parent);
  out.U32(record.first_token);
  out.U32(static_cast<uint32_t>(record.tokens.size()));
  for (const TokenId token : record.tokens) {
    out.U32(static_cast<uint32_t>(token));
  }
  return out.Finish();
}

Result<SegmentRecord> DecodeSegment(ByteView bytes) {
  constexpr std::string_view kName = "segment record";
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kSegmentKind, kName));
  SegmentRecord record;
  record.model = ReadId<ModelId>(&in);
  record.parent = ReadId<SegmentId>(&in);
  record.first_token = in.U32();
  const uint32_t count = in.U32();
  REPRISE_RETURN_IF_ERROR(in.Check(kName));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "token count", count, 1, kSegmentTokens));
  if (record.first_token % kSegmentTokens != 0) {
    return DataLossError("segment record: first token is " +
                         std::to_string(record.first_token) +
                         ", no multiple of 64");
  }
  if (in.left() != count * 4) {
    return DataLossError("segment record: " + std::to_string(in.left()) +
                         " bytes of tokens, " + std::to_string(count * 4) +
                         " are wanted");
  }
  record.tokens.resize(count);
  for (TokenId& token : record.tokens) token = static_cast<TokenId>(in.U32());
  REPRISE_RETURN_IF_ERROR(in.Finish(kName));
  return record;
}

// --- Sessions and leases. ---

Bytes EncodeSession(const SessionRecord& record) {
  REPRISE_CHECK(record.labels.size() <= kMaxLabels);
  REPRISE_CHECK(record.recent.size() <= kMaxRecentCommits);
  const bool has_settings = record.ttl_ms != 0 || record.pinned_until_ms != 0;
  RecordWriter out(kSessionKind, 256 + record.recent.size() * 32,
                   has_settings ? 2 : 1);
  WriteId(&out, record.domain);
  WriteId(&out, record.head);
  WriteId(&out, record.model);
  out.U64(record.incarnation);
  out.U64(record.version);
  out.U64(record.token_count);
  out.U64(static_cast<uint64_t>(record.created_ms));
  out.U64(static_cast<uint64_t>(record.changed_ms));
  out.Text16(record.policy);
  out.U8(static_cast<uint8_t>(record.labels.size()));
  for (const auto& [key, value] : record.labels) {
    out.Text16(key);
    out.Text16(value);
  }
  out.U8(static_cast<uint8_t>(record.recent.size()));
  for (const CommitId& commit : record.recent) WriteId(&out, commit);
  if (has_settings) {
    out.U64(static_cast<uint64_t>(record.ttl_ms));
    out.U64(static_cast<uint64_t>(record.pinned_until_ms));
  }
  return out.Finish();
}

namespace {

// What version 2 of a session adds; one of the two at least is not 0.
Status ReadSettings(ByteReader* in, SessionRecord* record) {
  constexpr std::string_view kName = "session record";
  const uint64_t ttl_ms = in->U64();
  const uint64_t pinned_until_ms = in->U64();
  REPRISE_RETURN_IF_ERROR(in->Check(kName));
  if (ttl_ms != static_cast<uint64_t>(kForeverMs)) {
    REPRISE_RETURN_IF_ERROR(InRange(kName, "TTL", ttl_ms, 0, kMaxDurationMs));
  }
  REPRISE_RETURN_IF_ERROR(InRange(kName, "pinned until", pinned_until_ms,
                                  ttl_ms == 0 ? 1 : 0, kForeverMs));
  record->ttl_ms = static_cast<int64_t>(ttl_ms);
  record->pinned_until_ms = static_cast<int64_t>(pinned_until_ms);
  return Status();
}

}  // namespace

Result<SessionRecord> DecodeSession(ByteView bytes) {
  constexpr std::string_view kName = "session record";
  REPRISE_ASSIGN_OR_RETURN(
      ByteReader in, OpenRecord(bytes, kSessionKind, kName, /*latest=*/2));
  SessionRecord record;
  record.domain = ReadShortId<DomainId>(&in);
  record.head = ReadId<CommitId>(&in);
  record.model = ReadId<ModelId>(&in);
  record.incarnation = in.U64();
  record.version = in.U64();
  record.token_count = in.U64();
  record.created_ms = static_cast<int64_t>(in.U64());
  record.changed_ms = static_cast<int64_t>(in.U64());
  record.policy = in.Text16();
  const uint8_t label_count = in.U8();
  REPRISE_RETURN_IF_ERROR(in.Check(kName));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "policy bytes", record.policy.size(), 0, kMaxPolicyBytes));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "label count", label_count, 0, kMaxLabels));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "tokens", record.token_count, 0, kMaxSessionTokens));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "incarnation", record.incarnation, 1, UINT64_MAX));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "version", record.version, 1, UINT64_MAX));
  for (uint8_t i = 0; i < label_count; ++i) {
    const std::string_view key = in.Text16();
    const std::string_view value = in.Text16();
    REPRISE_RETURN_IF_ERROR(in.Check(kName));
    REPRISE_RETURN_IF_ERROR(
        InRange(kName, "label key bytes", key.size(), 1, kMaxLabelKeyBytes));
    REPRISE_RETURN_IF_ERROR(InRange(kName, "label value bytes", value.size(), 0,
                                    kMaxLabelValueBytes));
    record.labels.emplace_back(key, value);
  }
  const uint8_t recent_count = in.U8();
  REPRISE_RETURN_IF_ERROR(in.Check(kName));
  record.recent.resize(recent_count);
  for (CommitId& commit : record.recent) in.Copy(commit.bytes);
  if (RecordVersion(bytes) == 2) {
    REPRISE_RETURN_IF_ERROR(ReadSettings(&in, &record));
  }
  REPRISE_RETURN_IF_ERROR(in.Finish(kName));
  return record;
}

Bytes EncodeLease(const LeaseRecord& record) {
  REPRISE_CHECK(record.segments.size() == record.renditions.size());
  REPRISE_CHECK(record.segments.size() <= kMaxLeaseEntries);
  RecordWriter out(kLeaseKind, 60 + record.segments.size() * 48);
  out.U64(static_cast<uint64_t>(record.expires_wall_ms));
  WriteId(&out, record.domain);
  WriteId(&out, record.commit);
  out.U32(static_cast<uint32_t>(record.segments.size()));
  for (size_t i = 0; i < record.segments.size(); ++i) {
    WriteId(&out, record.segments[i]);
    WriteId(&out, record.renditions[i]);
  }
  return out.Finish();
}

Result<LeaseRecord> DecodeLease(ByteView bytes) {
  constexpr std::string_view kName = "lease record";
  REPRISE_ASSIGN_OR_RETURN(ByteReader in, OpenRecord(bytes, kLeaseKind, kName));
  LeaseRecord record;
  record.expires_wall_ms = static_cast<int64_t>(in.U64());
  record.domain = ReadShortId<DomainId>(&in);
  record.commit = ReadId<CommitId>(&in);
  const uint32_t count = in.U32();
  REPRISE_RETURN_IF_ERROR(in.Check(kName));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "entry count", count, 0, kMaxLeaseEntries));
  if (in.left() != uint64_t{count} * 48) {
    return DataLossError("lease record: " + std::to_string(in.left()) +
                         " bytes of entries, " +
                         std::to_string(uint64_t{count} * 48) + " are wanted");
  }
  record.segments.resize(count);
  record.renditions.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    in.Copy(record.segments[i].bytes);
    in.Copy(record.renditions[i].bytes);
  }
  REPRISE_RETURN_IF_ERROR(in.Finish(kName));
  return record;
}

// --- Small ones. ---

Bytes EncodeStore(const StoreRecord& record) {
  RecordWriter out(kStoreKind, 12);
  out.U32(record.format_version);
  out.U64(static_cast<uint64_t>(record.created_ms));
  return out.Finish();
}

Result<StoreRecord> DecodeStore(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kStoreKind, "store record"));
  StoreRecord record;
  record.format_version = in.U32();
  record.created_ms = static_cast<int64_t>(in.U64());
  REPRISE_RETURN_IF_ERROR(in.Finish("store record"));
  return record;
}

Bytes EncodeEpoch(Epoch epoch) {
  RecordWriter out(kEpochKind, 8);
  out.U64(epoch);
  return out.Finish();
}

Result<Epoch> DecodeEpoch(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kEpochKind, "epoch record"));
  const Epoch epoch = in.U64();
  REPRISE_RETURN_IF_ERROR(in.Finish("epoch record"));
  REPRISE_RETURN_IF_ERROR(
      InRange("epoch record", "epoch", epoch, 1, UINT64_MAX));
  return epoch;
}

Bytes EncodeProfileRecord(const ProfileRecord& record) {
  RecordWriter out(kProfileKind, 41, record.other_weights ? 2 : 1);
  WriteId(&out, record.profile);
  out.U64(static_cast<uint64_t>(record.time_ms));
  if (record.other_weights) out.U8(kOtherWeights);
  return out.Finish();
}

Result<ProfileRecord> DecodeProfileRecord(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kProfileKind, "profile record",
                                      /*latest=*/2));
  ProfileRecord record;
  record.profile = ReadId<ProfileId>(&in);
  record.time_ms = static_cast<int64_t>(in.U64());
  record.other_weights = RecordVersion(bytes) == 2;
  const uint8_t flags = record.other_weights ? in.U8() : kOtherWeights;
  REPRISE_RETURN_IF_ERROR(in.Finish("profile record"));
  REPRISE_RETURN_IF_ERROR(
      InRange("profile record", "flags", flags, kOtherWeights, kOtherWeights));
  return record;
}

Bytes EncodeLastUse(int64_t time_ms) {
  RecordWriter out(kLastUseKind, 8);
  out.U64(static_cast<uint64_t>(time_ms));
  return out.Finish();
}

Result<int64_t> DecodeLastUse(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kLastUseKind, "last-use record"));
  const int64_t time_ms = static_cast<int64_t>(in.U64());
  REPRISE_RETURN_IF_ERROR(in.Finish("last-use record"));
  return time_ms;
}

Bytes EncodeClock(int64_t wall_ms) {
  REPRISE_CHECK(wall_ms > 0);
  RecordWriter out(kClockKind, 8);
  out.U64(static_cast<uint64_t>(wall_ms));
  return out.Finish();
}

Result<int64_t> DecodeClock(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kClockKind, "clock record"));
  const uint64_t wall_ms = in.U64();
  REPRISE_RETURN_IF_ERROR(in.Finish("clock record"));
  REPRISE_RETURN_IF_ERROR(InRange("clock record", "time", wall_ms, 1,
                                  static_cast<uint64_t>(INT64_MAX)));
  return static_cast<int64_t>(wall_ms);
}

// --- Keys. ---

std::string DomainKey(const DomainId& domain, ByteView id) {
  std::string key;
  key.reserve(kDomainBytes + id.size());
  AppendBytes(&key, domain.bytes);
  AppendBytes(&key, id);
  return key;
}

std::string FrameKey(const DomainId& domain, const SegmentId& segment,
                     const RenditionId& rendition, uint32_t index) {
  std::string key;
  key.reserve(kFrameKeyBytes);
  AppendBytes(&key, domain.bytes);
  AppendBytes(&key, segment.bytes);
  AppendBytes(&key, rendition.bytes);
  AppendBigEndian(&key, index, 4);
  return key;
}

std::string LeaseKey(uint64_t lease) {
  std::string key;
  AppendBigEndian(&key, lease, 8);
  return key;
}

std::string ProfileKey(const DomainId& domain, const ModelId& model,
                       CodecId codec) {
  std::string key = "profile/";
  AppendBytes(&key, domain.bytes);
  AppendBytes(&key, model.bytes);
  AppendBigEndian(&key, static_cast<uint16_t>(codec), 2);
  return key;
}

ObjectSpace FrameSpaceOf(Tier tier, bool is_tail) {
  if (is_tail) return ObjectSpace::kTailFrame;
  switch (tier) {
    case Tier::kExact:
      return ObjectSpace::kFrameExact;
    case Tier::kNear:
      return ObjectSpace::kFrameNear;
    case Tier::kCoarse:
      return ObjectSpace::kFrameCoarse;
    case Tier::kArchive:
    case Tier::kTokens:
      break;
  }
  return ObjectSpace::kFrameArchive;
}

}  // namespace reprise
