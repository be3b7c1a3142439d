#include "client/profiles.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/limits.h"
#include "client/calls.h"
#include "codec/klt_fit.h"
#include "codec/klt_profile.h"

namespace reprise {
namespace {

constexpr uint64_t kPieceBytes = 8ull << 20;

// Appends one piece of a profile after checking it.
Status TakePiece(const WireReply<wire::GetProfileReply>& reply, Bytes* out) {
  const ByteView piece = reply.answer.body.view();
  const uint64_t total = reply->total_bytes();
  // An empty piece would let a daemon send them for ever.
  if (total > kMaxProfileBytes || reply->offset() != out->size() ||
      piece.empty() || out->size() > total ||
      piece.size() > total - out->size()) {
    return DataLossError("profile: a piece of " + std::to_string(piece.size()) +
                         " bytes at " + std::to_string(reply->offset()) +
                         " of " + std::to_string(total) +
                         ", wanted is one at " + std::to_string(out->size()));
  }
  if (Checksum(piece) != reply->checksum()) {
    return DataLossError("profile: checksum of the piece at " +
                         std::to_string(out->size()) + " differs");
  }
  out->insert(out->end(), piece.begin(), piece.end());
  if (reply.answer.header.end() && out->size() != total) {
    return DataLossError("profile: ends at " + std::to_string(out->size()) +
                         " of " + std::to_string(total) + " bytes");
  }
  return Status();
}

Result<Bytes> FetchProfileOnce(Connection* connection,
                               const std::shared_ptr<CallContext>& call,
                               int64_t timeout_ms,
                               const WireRequestPtr& request) {
  Bytes bytes;
  Pending pending = connection->Start(request, call);
  for (;;) {
    REPRISE_ASSIGN_OR_RETURN(auto reply,
                             ReadReply<wire::GetProfileReply>(
                                 pending.Next(CallContext::InMs(timeout_ms))));
    REPRISE_RETURN_IF_ERROR(TakePiece(reply, &bytes));
    if (reply.answer.header.end()) return bytes;
  }
}

}  // namespace

Result<Bytes> FetchProfile(Connection* connection,
                           const std::shared_ptr<CallContext>& call,
                           int64_t timeout_ms, const ProfileId& profile) {
  wire::GetProfileT get;
  get.profile = OptionalIdToWire(profile);
  const WireRequestPtr request = MakeRequest(MessageType::kGetProfile, get);
  for (int failures = 0;;) {
    auto bytes = FetchProfileOnce(connection, call, timeout_ms, request);
    if (!bytes.ok()) {
      REPRISE_RETURN_IF_ERROR(WaitForRetry(connection, call.get(), Retry::kOnce,
                                           ++failures, bytes.status()));
      continue;
    }
    if (Sha256(*bytes).bytes != profile.bytes) {
      return DataLossError("profile: digest of " +
                           std::to_string(bytes->size()) +
                           " bytes is not its id");
    }
    return bytes;
  }
}

Result<ProfileId> UploadProfile(Connection* connection,
                                const std::shared_ptr<CallContext>& call,
                                int64_t timeout_ms,
                                const ProfileToUpload& profile) {
  const ByteView bytes = profile.bytes;
  if (bytes.empty() || bytes.size() > kMaxProfileBytes) {
    return InvalidArgumentError(
        "profile: " + std::to_string(bytes.size()) + " bytes, 1 to " +
        std::to_string(kMaxProfileBytes) + " are possible");
  }
  ProfileId wanted;
  wanted.bytes = Sha256(bytes).bytes;
  for (uint64_t offset = 0; offset < bytes.size();) {
    const ByteView piece =
        bytes.subspan(offset, std::min(kPieceBytes, bytes.size() - offset));
    wire::PutProfileT put;
    put.model = OptionalIdToWire(profile.model);
    put.codec = static_cast<uint16_t>(profile.codec);
    put.total_bytes = static_cast<uint32_t>(bytes.size());
    put.offset = static_cast<uint32_t>(offset);
    put.checksum = Checksum(piece);
    put.other_weights = profile.other_weights;
    std::vector<Bytes> body;
    body.emplace_back(piece.begin(), piece.end());
    const WireRequestPtr request =
        MakeRequest(MessageType::kPutProfile, put, std::move(body));
    REPRISE_ASSIGN_OR_RETURN(
        const auto reply,
        ReadReply<wire::PutProfileReply>(
            Call(connection, request, call, timeout_ms, Retry::kOnce)));
    offset += piece.size();
    if (offset == bytes.size() &&
        IdFromWire<ProfileId>(reply->profile()) != wanted) {
      return DataLossError("profile: the daemon's id is not the digest of " +
                           std::to_string(bytes.size()) + " bytes");
    }
  }
  return wanted;
}

Result<bool> CheckProfileFits(const ModelSpec& spec,
                              const CodecProfile& profile) {
  if (profile.codec() != CodecId::kKlt) return false;
  const auto& klt = static_cast<const KltProfile&>(profile);
  REPRISE_RETURN_IF_ERROR(CheckKltFits(spec, klt));
  return IsOfOtherWeights(spec, klt);
}

Status OtherWeightsError(const ModelSpec& spec, const CodecProfile& profile) {
  const auto& klt = static_cast<const KltProfile&>(profile);
  return FailedPreconditionError(
      "profile: weights are " + spec.weights_hash.ShortHex() +
      " in the model, the profile was trained on " +
      (klt.weights().IsZero() ? "unknown ones" : klt.weights().ShortHex()) +
      "; this must be accepted (--accept-other-weights)");
}

ProfilePtr ProfileCache::Find(const ProfileId& profile) {
  std::lock_guard lock(mutex_);
  const auto found = std::find_if(
      profiles_.begin(), profiles_.end(),
      [&](const ProfilePtr& kept) { return kept->id() == profile; });
  if (found == profiles_.end()) return nullptr;
  std::rotate(profiles_.begin(), found, found + 1);
  return profiles_.front();
}

void ProfileCache::Add(ProfilePtr profile) {
  if (Find(profile->id()) != nullptr) return;
  std::lock_guard lock(mutex_);
  profiles_.push_front(std::move(profile));
  if (profiles_.size() > kMaxProfiles) profiles_.pop_back();
}

Result<ProfilePtr> GetParsedProfile(ProfileCache* cache, Connection* connection,
                                    const std::shared_ptr<CallContext>& call,
                                    int64_t timeout_ms, const Codec& codec,
                                    const ProfileId& profile) {
  if (ProfilePtr kept = cache->Find(profile)) return kept;
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes,
                           FetchProfile(connection, call, timeout_ms, profile));
  REPRISE_ASSIGN_OR_RETURN(ProfilePtr parsed, codec.ParseProfile(bytes));
  cache->Add(parsed);
  return parsed;
}

}  // namespace reprise
