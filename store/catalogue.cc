// Opening, models and profiles, and what the other parts share.
#include "store/catalogue.h"

#include <random>

#include "base/limits.h"
#include "store/catalogue_impl.h"
#include "store/meta.h"

namespace reprise {
namespace {

// An object under DomainKey(domain, id).
template <typename Id>
Result<PinnedBytes> GetById(Engine* engine, ObjectSpace space,
                            const DomainId& domain, const Id& id) {
  const std::string key = DomainKey(domain, id.view());
  Result<PinnedBytes> bytes = engine->Get({space, key});
  if (bytes.ok()) return bytes;
  return bytes.status().WithContext(std::string(ObjectSpaceName(space)) + " " +
                                    id.ShortHex());
}

}  // namespace

Result<std::unique_ptr<Catalogue>> Catalogue::Open(
    Engine* engine, const Clock* clock, const CatalogueOptions& options) {
  if (options.kept_commits > kMaxRecentCommits) {
    return InvalidArgumentError(
        "open catalogue: " + std::to_string(options.kept_commits) +
        " commits to keep, at most " + std::to_string(kMaxRecentCommits));
  }
  REPRISE_RETURN_IF_ERROR(OpenStoreMeta(engine, *clock));
  return std::unique_ptr<Catalogue>(
      std::make_unique<CatalogueImpl>(engine, clock, options));
}

Status CheckSessionName(std::string_view name) {
  if (!name.empty() && name.size() <= kMaxSessionNameBytes) return Status();
  return InvalidArgumentError(
      "session name: " + std::to_string(name.size()) + " bytes, 1 to " +
      std::to_string(kMaxSessionNameBytes) + " are allowed");
}

uint64_t RandomId64() {
  std::random_device device;
  uint64_t id = 0;
  while (id == 0) id = uint64_t{device()} << 32 | device();
  return id;
}

// The clock is read before the epoch: whoever got an epoch older than the
// collector's began, by its own clock too, before the collector raised it.
Result<CatalogueImpl::Begun> CatalogueImpl::Begin() const {
  Begun begun;
  begun.start_ns = clock_->MonotonicNs();
  REPRISE_ASSIGN_OR_RETURN(begun.epoch, ReadEpoch(engine_));
  return begun;
}

Status CatalogueImpl::CheckDeadline(const Begun& begun) const {
  const int64_t spent_ms = (clock_->MonotonicNs() - begun.start_ns) / 1'000'000;
  if (spent_ms < options_.max_commit_ms) return Status();
  return DeadlineExceededError("catalogue: " + std::to_string(spent_ms) +
                               " ms since the start, at most " +
                               std::to_string(options_.max_commit_ms));
}

// --- Models. ---

Result<ModelId> CatalogueImpl::PutModel(const DomainId& domain,
                                        ByteView spec_bytes) {
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, DecodeModelSpec(spec_bytes));
  const ModelId id = ModelIdOf(spec);
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  const std::string key = DomainKey(domain, id.view());
  const ObjectPut put{ObjectSpace::kModel, key, spec_bytes};
  const ObjectRef ref{ObjectSpace::kModel, key};
  // A damaged one would keep its place for ever.
  const Result<PinnedBytes> stored = engine_->Get(ref);
  if (stored.ok() ? !DecodeModelSpec(stored->view()).ok()
                  : stored.status().Is(StatusCode::kDataLoss)) {
    REPRISE_RETURN_IF_ERROR(
        engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).status());
  }
  REPRISE_RETURN_IF_ERROR(
      engine_->Put({&put, 1}, begun.epoch, options_.durability));
  return id;
}

Result<PinnedBytes> CatalogueImpl::GetModel(const DomainId& domain,
                                            const ModelId& model) {
  return GetById(engine_, ObjectSpace::kModel, domain, model);
}

Result<std::shared_ptr<const StoredModel>> CatalogueImpl::LoadModel(
    const DomainId& domain, const ModelId& model) {
  const std::pair<DomainId, ModelId> key(domain, model);
  {
    std::lock_guard lock(models_mutex_);
    const auto it = models_.find(key);
    if (it != models_.end()) return it->second;
  }
  const Result<PinnedBytes> bytes = GetModel(domain, model);
  if (bytes.status().Is(StatusCode::kNotFound)) {
    return FailedPreconditionError("model " + model.ShortHex() +
                                   " is not stored: put it first");
  }
  if (!bytes.ok()) return bytes.status();
  auto stored = std::make_shared<StoredModel>();
  REPRISE_ASSIGN_OR_RETURN(stored->spec, DecodeModelSpec(bytes->view()));
  stored->id = ModelIdOf(stored->spec);
  if (stored->id != model) {
    return DataLossError("model: stored spec is of " + stored->id.ShortHex() +
                         ", its key says " + model.ShortHex());
  }
  stored->groups = LayerGroupsOf(stored->spec);
  std::lock_guard lock(models_mutex_);
  return models_.emplace(key, std::move(stored)).first->second;
}

// --- Profiles. ---

Result<ProfileId> CatalogueImpl::PutProfile(const DomainId& domain,
                                            const ModelId& model, CodecId codec,
                                            ByteView profile,
                                            bool other_weights) {
  if (profile.empty() || profile.size() > kMaxProfileBytes) {
    return InvalidArgumentError(
        "put profile: " + std::to_string(profile.size()) + " bytes, 1 to " +
        std::to_string(kMaxProfileBytes) + " are allowed");
  }
  REPRISE_ASSIGN_OR_RETURN(const auto stored, LoadModel(domain, model));
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  ProfileId id;
  id.bytes = Sha256(profile).bytes;
  const std::string key = DomainKey(domain, id.view());
  if (GetProfile(domain, id).status().Is(StatusCode::kDataLoss)) {
    const ObjectRef ref{ObjectSpace::kProfile, key};
    REPRISE_RETURN_IF_ERROR(
        engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).status());
  }
  const ObjectPut put{ObjectSpace::kProfile, key, profile};
  REPRISE_RETURN_IF_ERROR(
      engine_->Put({&put, 1}, begun.epoch, Durability::kWritten));

  const std::string last_key = ProfileKey(domain, model, codec);
  const Bytes record =
      EncodeProfileRecord({id, clock_->WallMs(), other_weights});
  while (true) {
    const Result<HeadRecord> last =
        engine_->GetHead(HeadSpace::kMeta, last_key);
    if (!last.ok() && !last.status().Is(StatusCode::kNotFound)) {
      return last.status();
    }
    const Result<HeadVersion> swapped = engine_->CompareAndSwap(
        HeadSpace::kMeta, last_key, last.ok() ? last->version : 0, record,
        options_.durability);
    if (swapped.ok()) return id;
    // Somebody put another one just now; ours comes after it.
    if (!swapped.status().Is(StatusCode::kFailedPrecondition)) {
      return swapped.status().WithContext("put profile");
    }
  }
}

Result<PinnedBytes> CatalogueImpl::GetProfile(const DomainId& domain,
                                              const ProfileId& profile) {
  REPRISE_ASSIGN_OR_RETURN(
      PinnedBytes bytes,
      GetById(engine_, ObjectSpace::kProfile, domain, profile));
  const Sha256Digest digest = Sha256(bytes.view());
  if (digest.bytes == profile.bytes) return bytes;
  return DataLossError(
      "profile: SHA-256 of its " + std::to_string(bytes.size()) + " bytes is " +
      digest.ShortHex() + ", its key says " + profile.ShortHex());
}

Result<ProfileRecord> CatalogueImpl::FindProfile(const DomainId& domain,
                                                 const ModelId& model,
                                                 CodecId codec) {
  REPRISE_ASSIGN_OR_RETURN(
      const HeadRecord last,
      engine_->GetHead(HeadSpace::kMeta, ProfileKey(domain, model, codec)));
  return DecodeProfileRecord(last.value.view());
}

}  // namespace reprise
