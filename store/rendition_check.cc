#include "store/rendition_check.h"

#include <algorithm>
#include <cstring>

#include "store/coverage.h"
#include "store/frame_facts.h"
#include "store/key_arena.h"
#include "store/stages.h"

namespace reprise {
namespace {

uint64_t HashOf(const FrameRef& frame) {
  return LoadLe<uint64_t>(frame.rendition.bytes.data()) ^
         (uint64_t{frame.index} << 8) ^ static_cast<uint64_t>(frame.space);
}

// REQUIRES: the key of a record: a domain and an id.
void SplitKey(std::string_view key, DomainId* domain, SegmentId* segment) {
  std::memcpy(domain->bytes.data(), key.data(), kDomainBytes);
  std::memcpy(segment->bytes.data(), key.data() + kDomainBytes, 32);
}

}  // namespace

Status DropAllRenditions(Catalogue* catalogue, const DomainId& domain,
                         const SegmentId& segment) {
  const std::string key = DomainKey(domain, segment.view());
  const Result<HeadRecord> head =
      catalogue->engine()->GetHead(HeadSpace::kRendition, key);
  if (head.status().Is(StatusCode::kNotFound)) return Status();
  if (!head.ok()) return head.status();
  const Result<RenditionSet> set = DecodeRenditionSet(head->value.view());
  if (!set.ok() || set->renditions.empty()) return Status();
  RenditionDrop drop;
  drop.segment = segment;
  drop.lowest = Tier::kTokens;
  for (const Rendition& each : set->renditions) {
    drop.renditions.push_back(each.id);
  }
  std::vector<SinkOutcome> outcomes;
  return catalogue->DropNamed(domain, {&drop, 1}, &outcomes);
}

const CheckedModel& CheckedModels::Get(const DomainId& domain,
                                       const ModelId& id) {
  const auto key = std::make_pair(domain, id);
  if (models_.size() >= kMost && !models_.contains(key)) models_.clear();
  const auto [it, is_new] = models_.try_emplace(key);
  CheckedModel& model = it->second;
  // One that was put meanwhile counts.
  if (!is_new && model.status.ok()) return model;
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

size_t RenditionChecker::CountFor(std::span<const HeadStore::ListedHead> heads,
                                  uint64_t bytes) {
  uint64_t sum = 0;
  size_t count = 0;
  for (const HeadStore::ListedHead& head : heads) {
    RenditionSummaries summaries;
    sum += head.record.value.size();
    if (DecodeRenditionSummaries(head.record.value.view(), &summaries).ok()) {
      for (uint32_t i = 0; i < summaries.count; ++i) {
        sum += summaries.items[i].stored_bytes;
      }
    }
    if (count > 0 && sum > bytes) break;
    ++count;
  }
  return count;
}

Status RenditionChecker::Check(std::span<const HeadStore::ListedHead> heads,
                               uint64_t batch_bytes,
                               std::vector<RecordVerdict>* out,
                               uint64_t* bytes_read) {
  out->assign(heads.size(), RecordVerdict());
  jobs_.clear();
  REPRISE_RETURN_IF_ERROR(ReadSegments(heads, bytes_read));
  for (size_t i = 0; i < heads.size(); ++i) {
    *bytes_read += heads[i].record.value.size();
    CheckRecord(heads[i], i, &(*out)[i]);
  }
  for (size_t first = 0; first < jobs_.size();) {
    uint64_t bytes = 0;
    size_t end = first;
    while (end < jobs_.size()) {
      bytes += jobs_[end].frame.bytes;
      if (end > first && bytes > batch_bytes) break;
      ++end;
    }
    REPRISE_RETURN_IF_ERROR(CheckFrames(
        std::span(jobs_).subspan(first, end - first), out, bytes_read));
    first = end;
  }
  return Status();
}

// Those that can't be read are found by who checks segments.
Status RenditionChecker::ReadSegments(
    std::span<const HeadStore::ListedHead> heads, uint64_t* bytes_read) {
  segments_.assign(heads.size(), SegmentRecord());
  std::vector<ObjectRef> refs;
  for (const HeadStore::ListedHead& head : heads) {
    refs.push_back({ObjectSpace::kSegment, head.key});
    refs.push_back({ObjectSpace::kTail, head.key});
  }
  std::vector<Result<PinnedBytes>> values;
  catalogue_->engine()->GetMany(refs, &values);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].ok()) continue;
    *bytes_read += values[i]->size();
    Result<SegmentRecord> segment = DecodeSegment(values[i]->view());
    if (!segment.ok()) continue;
    DomainId domain;
    SegmentId id;
    SplitKey(refs[i].key, &domain, &id);
    if (segment->Id() == id) segments_[i / 2] = *std::move(segment);
  }
  return Status();
}

void RenditionChecker::CheckRecord(const HeadStore::ListedHead& head,
                                   size_t index, RecordVerdict* verdict) {
  if (head.key.size() != kDomainKeyBytes) {
    verdict->status = DataLossError(
        "rendition record: its key has " + std::to_string(head.key.size()) +
        " bytes, " + std::to_string(kDomainKeyBytes) + " are wanted");
    return;
  }
  const Result<RenditionSet> set = DecodeRenditionSet(head.record.value.view());
  verdict->status = set.status();
  if (!set.ok()) return;
  Job job;
  job.head = index;
  SplitKey(head.key, &job.domain, &job.segment);
  const SegmentRecord& segment = segments_[index];
  of_segment_.clear();
  for (const Rendition& rendition : set->renditions) {
    ++verdict->rendition_count;
    if (!segment.tokens.empty()) {
      const CheckedModel& model = models_->Get(job.domain, segment.model);
      Status covered;
      if (model.status.ok()) {
        covered = CheckCoverage(model.spec, model.groups, rendition.frames);
      }
      if (covered.ok()) covered = CheckStages(rendition, segment.is_tail());
      if (!covered.ok()) verdict->renditions.push_back({rendition.id, covered});
    }
    for (const FrameRef& frame : rendition.frames) {
      // Shared with a rendition of the segment that was looked at before.
      if (!of_segment_.insert(HashOf(frame)).second) continue;
      ++verdict->frame_count;
      verdict->frame_bytes += frame.bytes;
      job.frame = frame;
      jobs_.push_back(job);
    }
  }
}

Status RenditionChecker::CheckFrames(std::span<const Job> jobs,
                                     std::vector<RecordVerdict>* out,
                                     uint64_t* bytes_read) {
  KeyArena arena;
  std::vector<ObjectRef> refs;
  refs.reserve(jobs.size());
  for (const Job& job : jobs) {
    refs.push_back(
        {job.frame.space, arena.AddFrame(job.domain, job.segment, job.frame)});
  }
  Engine* const engine = catalogue_->engine();
  std::vector<Result<PinnedBytes>> frames;
  std::vector<bool> present;
  if (read_frames_) {
    engine->GetMany(refs, &frames);
  } else {
    REPRISE_RETURN_IF_ERROR(engine->Exists(refs, &present));
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    Status status;
    if (read_frames_) {
      if (frames[i].ok()) *bytes_read += frames[i]->size();
      status = CheckBytes(jobs[i], frames[i]);
    } else if (!present[i]) {
      status = NotFoundError("it is not stored");
    }
    if (status.ok()) continue;
    // The engine itself is in trouble: that is no finding.
    if (status.Is(StatusCode::kUnavailable) ||
        status.Is(StatusCode::kInternal)) {
      return status;
    }
    (*out)[jobs[i].head].frames.push_back({jobs[i].frame, std::move(status)});
  }
  return Status();
}

Status RenditionChecker::CheckBytes(const Job& job,
                                    const Result<PinnedBytes>& bytes) {
  if (bytes.status().Is(StatusCode::kNotFound)) {
    return NotFoundError("it is not stored");
  }
  if (!bytes.ok()) return bytes.status();
  const SegmentRecord& segment = segments_[job.head];
  REPRISE_RETURN_IF_ERROR(ParseFrame(bytes->view(), &view_));
  if (!segment.tokens.empty()) {
    const CheckedModel& model = models_->Get(job.domain, segment.model);
    if (model.status.ok()) {
      REPRISE_RETURN_IF_ERROR(CheckFrameAgainstModel(view_, model.spec));
    }
    return CompareFacts(FactsOf(view_), job.frame, segment, job.segment);
  }
  // Without its segment there is less to compare it with.
  if (view_.info.segment != job.segment || bytes->size() != job.frame.bytes ||
      Checksum(bytes->view()) != job.frame.checksum) {
    return DataLossError(
        "frame: it is of segment " + view_.info.segment.ShortHex() +
        " and has " + std::to_string(bytes->size()) + " bytes, named are " +
        job.segment.ShortHex() + " and " + std::to_string(job.frame.bytes));
  }
  return Status();
}

}  // namespace reprise
