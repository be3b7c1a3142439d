#include "store/fsck.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/limits.h"
#include "store/coverage.h"
#include "store/frame_facts.h"
#include "store/mark_set.h"
#include "store/segment_reader.h"
#include "store/stages.h"

namespace reprise {
namespace {

constexpr uint32_t kListed = 1000;
constexpr size_t kSegmentsAtOnce = 256;
constexpr uint64_t kProgressFrames = 256;

uint64_t HashOf(ObjectSpace space, std::string_view key) {
  return Checksum(AsBytes(key)) + static_cast<uint64_t>(space);
}

// Where the thing being checked belongs: the session that names it.
struct Place {
  std::string session_key;  // domain of the tenant, then the name
  DomainId domain;
  CommitId commit;
};

class Checker {
 public:
  Checker(Catalogue* catalogue, const FsckOptions& options)
      : catalogue_(catalogue),
        engine_(catalogue->engine()),
        options_(options) {}

  Result<FsckReport> Run() {
    REPRISE_RETURN_IF_ERROR(ForEachHead(
        HeadSpace::kSession, [this](const HeadStore::ListedHead& head) {
          return CheckSession(head);
        }));
    REPRISE_RETURN_IF_ERROR(CheckOtherHeads());
    referenced_.Seal();
    for (const ObjectSpace space : kAllObjectSpaces) {
      REPRISE_RETURN_IF_ERROR(CountUnreferenced(space));
    }
    ReportProgress();
    return std::move(report_);
  }

 private:
  struct Model {
    Status status;
    ModelId id;
    ModelSpec spec;
    std::vector<LayerGroup> groups;
  };

  // --- Listing. ---

  template <typename Function>
  Status ForEachHead(HeadSpace space, Function function) {
    std::string cursor;
    while (true) {
      std::vector<HeadStore::ListedHead> listed;
      REPRISE_RETURN_IF_ERROR(
          engine_->ListHeads(space, "", cursor, kListed, &listed));
      if (listed.empty()) return Status();
      cursor = listed.back().key;
      for (const HeadStore::ListedHead& head : listed) {
        REPRISE_RETURN_IF_ERROR(function(head));
      }
    }
  }

  void Find(const Place* place, uint64_t token, const Status& status) {
    // What was removed while we read is no damage.
    if (place != nullptr && !StillNames(*place)) return;
    FsckFinding finding;
    finding.what = std::string(status.message());
    if (place != nullptr) {
      finding.session = place->session_key.substr(kDomainBytes);
    }
    finding.recompute_from_token = token;
    report_.findings.push_back(std::move(finding));
  }

  bool StillNames(const Place& place) {
    const Result<HeadRecord> head =
        engine_->GetHead(HeadSpace::kSession, place.session_key);
    if (!head.ok()) return !head.status().Is(StatusCode::kNotFound);
    const Result<SessionRecord> session = DecodeSession(head->value.view());
    if (!session.ok()) return true;
    return session->head == place.commit ||
           std::ranges::find(session->recent, place.commit) !=
               session->recent.end();
  }

  // --- From sessions down to frames. ---

  Status CheckSession(const HeadStore::ListedHead& head) {
    ++report_.sessions;
    const Result<SessionRecord> session =
        DecodeSession(head.record.value.view());
    if (!session.ok()) {
      FsckFinding finding;
      finding.what = std::string(session.status().message());
      finding.session = head.key.substr(kDomainBytes);
      report_.findings.push_back(std::move(finding));
      return Status();
    }
    std::vector<CommitId> roots = {session->head};
    roots.insert(roots.end(), session->recent.begin(), session->recent.end());
    for (const CommitId& root : roots) {
      REPRISE_RETURN_IF_ERROR(
          CheckCommit({head.key, session->domain, root}, session->model));
    }
    return Status();
  }

  Status CheckCommit(const Place& place, const ModelId& model) {
    const std::string key = DomainKey(place.domain, place.commit.view());
    if (!IsFirstVisit(ObjectSpace::kCommit, key)) return Status();
    ++report_.commits;
    const Result<CommitRecord> commit =
        catalogue_->GetCommit(place.domain, place.commit);
    if (!commit.ok()) {
      Find(&place, 0, commit.status());
      return Status();
    }
    if (commit->model != model) {
      Find(&place, 0,
           DataLossError("commit: its model is " + commit->model.ShortHex() +
                         ", the session's " + model.ShortHex()));
    }
    const Model& spec = LoadModel(place.domain, commit->model);
    if (!spec.status.ok()) {
      Find(&place, 0, spec.status);
      return Status();
    }
    const std::vector<SegmentRef> refs = SegmentRefsOf(*commit);
    for (size_t first = 0; first < refs.size(); first += kSegmentsAtOnce) {
      REPRISE_RETURN_IF_ERROR(
          CheckSegments(place, *commit, spec, refs, first,
                        std::min(kSegmentsAtOnce, refs.size() - first)));
    }
    return Status();
  }

  // Those of refs [first, first + count) that nobody came to before.
  Status CheckSegments(const Place& place, const CommitRecord& commit,
                       const Model& model, std::span<const SegmentRef> refs,
                       size_t first, size_t count) {
    if (options_.stop && options_.stop()) {
      return UnavailableError("fsck: stopped after " +
                              std::to_string(report_.segments) + " segments");
    }
    std::vector<SegmentRef> fresh;
    std::vector<size_t> positions;
    for (size_t i = first; i < first + count; ++i) {
      const std::string key = DomainKey(place.domain, refs[i].id.view());
      if (!IsFirstVisit(refs[i].space, key)) continue;
      fresh.push_back(refs[i]);
      positions.push_back(i);
    }
    std::vector<StoredSegment> stored;
    REPRISE_RETURN_IF_ERROR(
        ReadSegments(engine_, place.domain, fresh, {}, &stored));
    for (size_t i = 0; i < fresh.size(); ++i) {
      const size_t at = positions[i];
      const uint64_t token = at * kSegmentTokens;
      const SegmentId expected_parent =
          at == 0 ? RootSegmentId(commit.model) : commit.segments[at - 1];
      ++report_.segments;
      CheckSegment(place, token, expected_parent, model.id, stored[i]);
      if (!stored[i].rendition_status.ok()) {
        Find(&place, token, stored[i].rendition_status);
      }
      of_segment_.clear();
      for (const Rendition& rendition : stored[i].set.renditions) {
        CheckRendition(place, token, model, fresh[i].id, stored[i].segment,
                       rendition);
      }
    }
    return Status();
  }

  void CheckSegment(const Place& place, uint64_t token, const SegmentId& parent,
                    const ModelId& model, const StoredSegment& stored) {
    if (!stored.status.ok()) {
      Find(&place, token, stored.status);
      return;
    }
    const SegmentRecord& segment = stored.segment;
    if (segment.parent == parent && segment.model == model &&
        segment.first_token == token) {
      return;
    }
    Find(&place, token,
         DataLossError("segment record: begins at token " +
                       std::to_string(segment.first_token) + " after " +
                       segment.parent.ShortHex() + ", its commit has it at " +
                       std::to_string(token) + " after " + parent.ShortHex()));
  }

  void CheckRendition(const Place& place, uint64_t token, const Model& model,
                      const SegmentId& id, const SegmentRecord& segment,
                      const Rendition& rendition) {
    ++report_.renditions;
    Status covered = CheckCoverage(model.spec, model.groups, rendition.frames);
    if (covered.ok()) covered = CheckStages(rendition, segment.is_tail());
    if (!covered.ok()) Find(&place, token, covered);
    std::vector<std::string> keys;
    std::vector<ObjectRef> refs;
    std::vector<const FrameRef*> fresh;
    keys.reserve(rendition.frames.size());
    for (const FrameRef& ref : rendition.frames) {
      std::string key = FrameKey(place.domain, id, ref.rendition, ref.index);
      const uint64_t hash = HashOf(ref.space, key);
      // Shared with a rendition of the segment that was checked just before.
      if (!of_segment_.insert(hash).second) continue;
      keys.push_back(std::move(key));
      refs.push_back({ref.space, keys.back()});
      fresh.push_back(&ref);
      referenced_.Add(hash);
    }
    // Not by the catalogue, which removes what it finds damaged.
    std::vector<Result<PinnedBytes>> frames;
    std::vector<bool> present(refs.size(), true);
    if (options_.read_frames) {
      engine_->GetMany(refs, &frames);
    } else if (!engine_->Exists(refs, &present).ok()) {
      present.assign(refs.size(), false);
    }
    for (size_t i = 0; i < fresh.size(); ++i) {
      const FrameRef& ref = *fresh[i];
      ++report_.frames;
      report_.frame_bytes += ref.bytes;
      if (report_.frames % kProgressFrames == 0) ReportProgress();
      Status status;
      if (!present[i]) {
        status = NotFoundError("frame: it is not stored");
      } else if (options_.read_frames) {
        status = CheckBytes(model, id, segment, ref, frames[i]);
      }
      if (!status.ok()) {
        Find(&place, token,
             status.WithContext("frame " +
                                std::to_string(&ref - rendition.frames.data()) +
                                " of segment " + id.ShortHex()));
      }
    }
  }

  Status CheckBytes(const Model& model, const SegmentId& id,
                    const SegmentRecord& segment, const FrameRef& ref,
                    const Result<PinnedBytes>& bytes) {
    if (!bytes.ok()) return bytes.status();
    REPRISE_RETURN_IF_ERROR(
        CheckFrame(bytes->view(), model.id, model.spec, &view_));
    // Without its segment there is nothing more to compare it with.
    if (segment.tokens.empty()) return Status();
    return CompareFacts(FactsOf(view_), ref, segment, id);
  }

  const Model& LoadModel(const DomainId& domain, const ModelId& id) {
    const auto [it, is_new] = models_.try_emplace(std::make_pair(domain, id));
    Model& model = it->second;
    if (!is_new) return model;
    model.id = id;
    const Result<PinnedBytes> bytes = catalogue_->GetModel(domain, id);
    model.status = bytes.status();
    if (!bytes.ok()) return model;
    Result<ModelSpec> spec = DecodeModelSpec(bytes->view());
    model.status = spec.status();
    if (!spec.ok()) return model;
    model.spec = *std::move(spec);
    if (const ModelId found = ModelIdOf(model.spec); found != id) {
      model.status =
          DataLossError("model: stored spec is of " + found.ShortHex() +
                        ", its key says " + id.ShortHex());
      return model;
    }
    model.groups = LayerGroupsOf(model.spec);
    return model;
  }

  // --- What no session leads to. ---

  Status CheckOtherHeads() {
    const auto find_damage = [this](const Status& status) {
      if (!status.ok()) Find(nullptr, 0, status);
      return Status();
    };
    REPRISE_RETURN_IF_ERROR(
        ForEachHead(HeadSpace::kLease, [&](const HeadStore::ListedHead& head) {
          return find_damage(DecodeLease(head.record.value.view()).status());
        }));
    REPRISE_RETURN_IF_ERROR(ForEachHead(
        HeadSpace::kLastUse, [&](const HeadStore::ListedHead& head) {
          return find_damage(DecodeLastUse(head.record.value.view()).status());
        }));
    return ForEachHead(
        HeadSpace::kRendition, [&](const HeadStore::ListedHead& head) {
          if (visited_.contains(HashOf(ObjectSpace::kSegment, head.key)) ||
              visited_.contains(HashOf(ObjectSpace::kTail, head.key))) {
            return Status();
          }
          ++report_.unreferenced;
          return find_damage(
              DecodeRenditionSet(head.record.value.view()).status());
        });
  }

  Status CountUnreferenced(ObjectSpace space) {
    // Models and profiles are kept whoever uses them.
    if (space == ObjectSpace::kModel) return Status();
    if (space == ObjectSpace::kProfile) return CheckProfiles();
    std::string cursor;
    while (true) {
      std::vector<ObjectStore::Listed> listed;
      REPRISE_RETURN_IF_ERROR(
          engine_->List(space, "", cursor, kListed, &listed));
      if (listed.empty()) return Status();
      cursor = listed.back().key;
      for (const ObjectStore::Listed& object : listed) {
        const uint64_t hash = HashOf(space, object.key);
        if (!visited_.contains(hash) && !referenced_.Contains(hash)) {
          ++report_.unreferenced;
        }
      }
    }
  }

  Status CheckProfiles() {
    if (!options_.read_frames) return Status();
    std::string cursor;
    while (true) {
      std::vector<ObjectStore::Listed> listed;
      REPRISE_RETURN_IF_ERROR(
          engine_->List(ObjectSpace::kProfile, "", cursor, kListed, &listed));
      if (listed.empty()) return Status();
      cursor = listed.back().key;
      for (const ObjectStore::Listed& object : listed) {
        DomainId domain;
        ProfileId id;
        ByteReader key(AsBytes(object.key));
        key.Copy(domain.bytes);
        key.Copy(id.bytes);
        const Status status = catalogue_->GetProfile(domain, id).status();
        if (!status.ok()) Find(nullptr, 0, status);
      }
    }
  }

  bool IsFirstVisit(ObjectSpace space, std::string_view key) {
    return visited_.insert(HashOf(space, key)).second;
  }

  void ReportProgress() {
    if (options_.progress) options_.progress(report_.frames, report_.frames);
  }

  Catalogue* const catalogue_;
  Engine* const engine_;
  const FsckOptions& options_;
  FsckReport report_;
  FrameView view_;  // used again and again
  std::map<std::pair<DomainId, ModelId>, Model> models_;
  // Hashes of keys: commits, segments and tails seen; frames of one segment;
  // frames that some rendition names.
  std::unordered_set<uint64_t> visited_;
  std::unordered_set<uint64_t> of_segment_;
  MarkSet referenced_;
};

}  // namespace

Result<FsckReport> Fsck(Catalogue* catalogue, const FsckOptions& options) {
  return Checker(catalogue, options).Run();
}

}  // namespace reprise
