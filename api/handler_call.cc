#include "api/handler_call.h"

#include <algorithm>

namespace reprise {

Status LeaseBook::Reserve(int64_t now_ms) {
  std::lock_guard lock(mutex_);
  std::erase_if(expires_ms_,
                [&](const auto& lease) { return lease.second <= now_ms; });
  if (reserved_ + expires_ms_.size() >= kMaxLeasesPerClient) {
    return ResourceExhaustedError(
        "lease: this connection holds " +
        std::to_string(reserved_ + expires_ms_.size()) + ", the limit is " +
        std::to_string(kMaxLeasesPerClient));
  }
  reserved_++;
  return Status::Ok();
}

void LeaseBook::Unreserve() {
  std::lock_guard lock(mutex_);
  reserved_--;
}

void LeaseBook::Fill(uint64_t lease, int64_t expires_ms) {
  std::lock_guard lock(mutex_);
  reserved_--;
  expires_ms_[lease] = expires_ms;
}

void LeaseBook::Renew(uint64_t lease, int64_t expires_ms) {
  std::lock_guard lock(mutex_);
  // One that another connection took stays on that one's account.
  auto it = expires_ms_.find(lease);
  if (it != expires_ms_.end()) it->second = expires_ms;
}

void LeaseBook::Drop(uint64_t lease) {
  std::lock_guard lock(mutex_);
  expires_ms_.erase(lease);
}

uint16_t HandlerCall::Flags(bool end) const {
  uint16_t flags = kFlagReply;
  if (end) flags |= kFlagEnd;
  if (context.draining.load(std::memory_order_relaxed)) flags |= kFlagDraining;
  return flags;
}

Answer HandlerCall::Failed(const Status& status) const {
  wire::ErrorT error;
  error.code = static_cast<uint8_t>(status.code());
  error.message = status.message();
  Answer answer;
  answer.head = PackMessage(type(), Flags(true) | kFlagError, id(), error);
  answer.code = status.code();
  return answer;
}

Status OverLimit(std::string_view what, uint64_t is, uint64_t limit) {
  return InvalidArgumentError(std::string(what) + " is " + std::to_string(is) +
                              ", the limit is " + std::to_string(limit));
}

Result<std::string_view> CheckName(std::string_view what,
                                   const flatbuffers::String* name) {
  std::string_view text = TextFromWire(name);
  if (text.empty()) {
    return InvalidArgumentError(std::string(what) +
                                ": the session's name is missing");
  }
  if (text.size() > kMaxSessionNameBytes) {
    return OverLimit(std::string(what) + ": bytes of the session's name",
                     text.size(), kMaxSessionNameBytes);
  }
  return text;
}

Result<Tier> CheckTier(std::string_view what, uint8_t value) {
  Result<Tier> tier = TierFromValue(value);
  if (tier.ok()) return *tier;
  return InvalidArgumentError(
      std::string(what) + " is " + std::to_string(value) + ", tiers are 1 to " +
      std::to_string(int{static_cast<uint8_t>(Tier::kTokens)}));
}

Result<Tier> CheckHighestTier(std::string_view what, uint8_t value) {
  return CheckTier(what,
                   value == 0 ? static_cast<uint8_t>(Tier::kExact) : value);
}

Status CheckLeaseMs(uint32_t lease_ms) {
  if (lease_ms <= kMaxLeaseMs) return Status::Ok();
  return OverLimit("lease: milliseconds", lease_ms, kMaxLeaseMs);
}

Result<ModelId> CheckModel(const wire::Id32* model) {
  auto id = IdFromWire<ModelId>(model);
  if (!id.IsZero()) return id;
  return InvalidArgumentError("the model's id is missing");
}

Result<std::vector<SegmentId>> CheckIds(
    std::string_view what, const flatbuffers::Vector<uint8_t>* bytes) {
  std::vector<SegmentId> ids;
  if (bytes == nullptr) return ids;
  constexpr size_t kIdBytes = sizeof(SegmentId);
  if (bytes->size() % kIdBytes != 0) {
    return InvalidArgumentError(std::string(what) + ": " +
                                std::to_string(bytes->size()) +
                                " bytes are no multiple of 32");
  }
  ids.resize(bytes->size() / kIdBytes);
  if (ids.size() > kMaxMatchSegments) {
    return OverLimit(std::string(what) + ": count", ids.size(),
                     kMaxMatchSegments);
  }
  for (size_t i = 0; i < ids.size(); i++) {
    std::memcpy(ids[i].bytes.data(), bytes->data() + i * kIdBytes, kIdBytes);
  }
  return ids;
}

}  // namespace reprise
