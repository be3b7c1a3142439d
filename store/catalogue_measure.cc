// MeasureSession: every byte that is stored for a session's head.
#include <set>

#include "base/limits.h"
#include "store/catalogue_impl.h"

namespace reprise {
namespace {

// Bytes of a profile, without reading it.
Result<uint64_t> ProfileBytes(Engine* engine, const DomainId& domain,
                              const ProfileId& profile) {
  const std::string key = DomainKey(domain, profile.view());
  std::vector<ObjectStore::Listed> listed;
  REPRISE_RETURN_IF_ERROR(
      engine->List(ObjectSpace::kProfile, key, "", 1, &listed));
  return listed.empty() ? 0 : listed[0].bytes;
}

// Values of one token. Opaque bytes hold no values that anyone could count:
// they are taken for 16-bit ones, so that a ratio at 16 bits compares bytes.
uint64_t HalfValuesOf(const ModelSpec& spec) {
  uint64_t halves = 0;
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const bool opaque = plane.dtype == DType::kOpaque;
      halves += uint64_t{plane.channels()} * (opaque ? 1 : 2);
    }
  }
  return halves;
}

uint64_t SegmentBytes(const SegmentRecord& segment) {
  return kDomainKeyBytes + EncodeSegment(segment).size();
}

void AddSegment(const StoredSegment& stored, Catalogue::SessionSize* size,
                std::set<ProfileId>* profiles) {
  if (stored.status.ok()) size->record_bytes += SegmentBytes(stored.segment);
  if (stored.version != 0) {
    size->record_bytes += kDomainKeyBytes + stored.rendition_record_bytes;
  }
  std::set<std::pair<RenditionId, uint32_t>> counted;
  for (const Rendition& rendition : stored.set.renditions) {
    if (!rendition.profile.IsZero()) profiles->insert(rendition.profile);
    for (const FrameRef& frame : rendition.frames) {
      if (!counted.emplace(frame.rendition, frame.index).second) continue;
      size->frame_bytes += frame.bytes;
      size->record_bytes += kFrameKeyBytes;
    }
  }
  const Rendition* const best = stored.set.Best(Tier::kArchive);
  if (best != nullptr && best->other_weights) ++size->other_weights_segments;
  const Tier tier = best == nullptr ? Tier::kTokens : best->effective();
  ++size->segments_by_tier[static_cast<size_t>(tier)];
}

}  // namespace

Result<Catalogue::SessionSize> CatalogueImpl::MeasureSession(
    const DomainId& tenant, std::string_view name) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  REPRISE_ASSIGN_OR_RETURN(const VersionedSession session,
                           LoadSession(tenant, name));
  const SessionRecord& record = session.record;
  REPRISE_ASSIGN_OR_RETURN(const CommitRecord commit,
                           GetCommit(record.domain, record.head));
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           LoadModel(record.domain, commit.model));

  SessionSize size;
  size.tokens = commit.token_count;
  size.raw_bytes = commit.token_count * model->spec.token_bytes();
  size.values = commit.token_count * HalfValuesOf(model->spec) / 2;
  size.record_bytes += kDomainKeyBytes + EncodeCommit(commit).size();
  size.record_bytes +=
      kDomainBytes + name.size() + EncodeSession(record).size();
  const std::string key = DomainKey(tenant, AsBytes(name));
  const Result<HeadRecord> last_use =
      engine_->GetHead(HeadSpace::kLastUse, key);
  if (last_use.ok()) size.record_bytes += key.size() + last_use->value.size();

  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(
      ReadSegments(engine_, record.domain, SegmentRefsOf(commit), {}, &stored));
  std::set<ProfileId> profiles;
  for (const StoredSegment& each : stored) AddSegment(each, &size, &profiles);
  for (const ProfileId& profile : profiles) {
    REPRISE_ASSIGN_OR_RETURN(const uint64_t bytes,
                             ProfileBytes(engine_, record.domain, profile));
    size.profile_bytes += bytes;
  }
  return size;
}

}  // namespace reprise
