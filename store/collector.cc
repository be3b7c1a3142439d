#include "store/collector.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/frame_references.h"
#include "store/marker.h"
#include "store/meta.h"
#include "store/quarantine.h"

namespace reprise {
namespace {

// In the order in which they are listed and removed: a segment object goes
// before its rendition record, and that before its frames.
constexpr ObjectSpace kStateSpaces[] = {
    ObjectSpace::kCommit, ObjectSpace::kSegment, ObjectSpace::kTail};
constexpr ObjectSpace kFrameSpaces[] = {
    ObjectSpace::kTailFrame, ObjectSpace::kFrameExact, ObjectSpace::kFrameNear,
    ObjectSpace::kFrameCoarse, ObjectSpace::kFrameArchive};

struct CondemnedObject {
  ObjectSpace space;
  std::string key;
  uint64_t bytes = 0;
};
struct CondemnedRecord {
  std::string key;
  HeadVersion version = 0;
  uint64_t bytes = 0;
};

class CollectorImpl final : public Collector {
 public:
  CollectorImpl(Catalogue* catalogue, const CollectorOptions& options)
      : catalogue_(catalogue),
        engine_(catalogue->engine()),
        options_(options) {}

  Phase phase() const override { return phase_; }
  int64_t wait_until_ms() const override { return wait_until_ms_; }
  const CollectorReport& report() const override { return report_; }

  Status Step() override {
    switch (phase_) {
      case Phase::kBegin:
        return Begin();
      case Phase::kWaitFirst:
        return Wait(Phase::kMarkFirst);
      case Phase::kMarkFirst:
        return Mark(Phase::kCondemn);
      case Phase::kCondemn:
        return Condemn();
      case Phase::kWaitSecond:
        return Wait(Phase::kMarkSecond);
      case Phase::kMarkSecond:
        return Mark(Phase::kSweep);
      case Phase::kSweep:
        return Sweep();
      case Phase::kDone:
        break;
    }
    return Status();
  }

 private:
  Status Begin() {
    REPRISE_ASSIGN_OR_RETURN(epoch_, RaiseEpoch(engine_));
    StartWait(Phase::kWaitFirst);
    return Status();
  }

  void StartWait(Phase phase) {
    wait_until_ms_ = catalogue_->clock()->MonotonicMs() + options_.wait_ms;
    phase_ = phase;
  }

  Status Wait(Phase next) {
    if (catalogue_->clock()->MonotonicMs() < wait_until_ms_) return Status();
    marker_.emplace(catalogue_, Marker::Options{epoch_, options_.step_objects,
                                                options_.wait_ms});
    phase_ = next;
    return Status();
  }

  Status Mark(Phase next) {
    REPRISE_RETURN_IF_ERROR(marker_->Step());
    if (!marker_->done()) return Status();
    report_.marked = marker_->marked();
    report_.expired_leases += marker_->expired_leases();
    report_.kept_domains = marker_->kept_domains();
    phase_ = next;
    return Status();
  }

  // --- Condemning: spaces of state, rendition records, spaces of frames. ---

  Status Condemn() {
    constexpr size_t kStates = std::size(kStateSpaces);
    constexpr size_t kAll = kStates + 1 + std::size(kFrameSpaces);
    bool end = true;
    if (report_.condemned < options_.max_condemned && part_ < kAll) {
      if (part_ < kStates) {
        REPRISE_RETURN_IF_ERROR(CondemnState(kStateSpaces[part_], &end));
      } else if (part_ == kStates) {
        REPRISE_RETURN_IF_ERROR(CondemnRecords(&end));
      } else {
        REPRISE_RETURN_IF_ERROR(
            CondemnFrames(kFrameSpaces[part_ - kStates - 1], &end));
      }
      if (!end) return Status();
      cursor_.clear();
      if (++part_ < kAll) return Status();
    }
    cursor_.clear();
    StartWait(Phase::kWaitSecond);
    return Status();
  }

  Status ListNext(ObjectSpace space, std::vector<ObjectStore::Listed>* out,
                  bool* end) {
    REPRISE_RETURN_IF_ERROR(
        engine_->List(space, "", cursor_, options_.step_objects, out));
    *end = out->empty();
    if (!*end) cursor_ = out->back().key;
    return Status();
  }

  void CondemnObject(ObjectSpace space, const ObjectStore::Listed& object,
                     std::vector<CondemnedObject>* list) {
    list->push_back({space, object.key, object.bytes});
    ++report_.condemned;
  }

  Status CondemnState(ObjectSpace space, bool* end) {
    std::vector<ObjectStore::Listed> listed;
    REPRISE_RETURN_IF_ERROR(ListNext(space, &listed, end));
    REPRISE_RETURN_IF_ERROR(EraseQuarantined(engine_, space, &listed));
    for (const ObjectStore::Listed& object : listed) {
      const bool marked = space == ObjectSpace::kCommit
                              ? marker_->IsMarkedCommit(object.key)
                              : marker_->IsMarkedSegment(object.key);
      if (marked || object.epoch >= epoch_) continue;
      CondemnObject(space, object, &state_);
    }
    return Status();
  }

  // With the version seen now: whoever makes the segment anew swaps it.
  Status CondemnRecords(bool* end) {
    std::vector<HeadStore::ListedHead> listed;
    REPRISE_RETURN_IF_ERROR(engine_->ListHeads(
        HeadSpace::kRendition, "", cursor_, options_.step_objects, &listed));
    for (const HeadStore::ListedHead& head : listed) {
      if (marker_->IsMarkedSegment(head.key)) continue;
      records_.push_back(
          {head.key, head.record.version, head.record.value.size()});
      ++report_.condemned;
    }
    *end = listed.empty();
    if (!*end) cursor_ = listed.back().key;
    return Status();
  }

  // Those of segments that are not marked, and those that a marked segment's
  // record does not name: replaced, or never published.
  Status CondemnFrames(ObjectSpace space, bool* end) {
    std::vector<ObjectStore::Listed> listed;
    REPRISE_RETURN_IF_ERROR(ListNext(space, &listed, end));
    std::erase_if(listed, [this](const ObjectStore::Listed& object) {
      return object.epoch >= epoch_ || marker_->IsLeasedFrame(object.key);
    });
    FrameReferences references(engine_);
    for (const ObjectStore::Listed& object : listed) {
      if (marker_->IsMarkedSegment(object.key)) references.Add(object.key);
    }
    REPRISE_RETURN_IF_ERROR(references.Load());
    std::erase_if(listed, [&](const ObjectStore::Listed& object) {
      return references.Names(space, object.key);
    });
    REPRISE_RETURN_IF_ERROR(EraseQuarantined(engine_, space, &listed));
    for (const ObjectStore::Listed& object : listed) {
      CondemnObject(space, object, &frames_);
    }
    return Status();
  }

  // --- Sweeping, in the same order. ---

  Status Sweep() {
    if (state_done_ < state_.size()) return SweepState();
    if (records_done_ < records_.size()) return SweepRecords();
    if (frames_done_ < frames_.size()) return SweepFrames();
    bool end = false;
    if (!last_uses_done_) {
      REPRISE_RETURN_IF_ERROR(SweepLastUses(&end));
      last_uses_done_ = end;
      if (end) cursor_.clear();
      return Status();
    }
    REPRISE_RETURN_IF_ERROR(
        ExpireQuarantine(engine_, catalogue_->clock()->WallMs(),
                         options_.step_objects, &cursor_, &end));
    if (!end) return Status();
    marker_.reset();
    phase_ = Phase::kDone;
    return Status();
  }

  Status SweepState() {
    std::vector<const CondemnedObject*> batch;
    const size_t end =
        std::min<size_t>(state_done_ + options_.step_objects, state_.size());
    for (; state_done_ < end; ++state_done_) {
      const CondemnedObject& object = state_[state_done_];
      const bool marked = object.space == ObjectSpace::kCommit
                              ? marker_->IsMarkedCommit(object.key)
                              : marker_->IsMarkedSegment(object.key);
      if (!marked) batch.push_back(&object);
    }
    return Remove(batch);
  }

  // A record goes only when its segment is gone and when it has not been
  // written since it was condemned.
  Status SweepRecords() {
    const size_t first = records_done_;
    records_done_ =
        std::min<size_t>(first + options_.step_objects, records_.size());
    std::vector<ObjectRef> refs;
    for (size_t i = first; i < records_done_; ++i) {
      refs.push_back({ObjectSpace::kSegment, records_[i].key});
      refs.push_back({ObjectSpace::kTail, records_[i].key});
    }
    std::vector<bool> present;
    REPRISE_RETURN_IF_ERROR(engine_->Exists(refs, &present));
    for (size_t i = first; i < records_done_; ++i) {
      const size_t at = 2 * (i - first);
      const CondemnedRecord& record = records_[i];
      if (present[at] || present[at + 1] ||
          marker_->IsMarkedSegment(record.key)) {
        continue;
      }
      const Status removed =
          engine_->RemoveHead(HeadSpace::kRendition, record.key, record.version,
                              Durability::kWritten);
      if (removed.Is(StatusCode::kFailedPrecondition)) continue;
      REPRISE_RETURN_IF_ERROR(removed);
      ++report_.removed;
      report_.removed_bytes += record.bytes;
    }
    return Status();
  }

  Status SweepFrames() {
    const size_t first = frames_done_;
    frames_done_ =
        std::min<size_t>(first + options_.step_objects, frames_.size());
    FrameReferences references(engine_);
    for (size_t i = first; i < frames_done_; ++i) {
      references.Add(frames_[i].key);
    }
    REPRISE_RETURN_IF_ERROR(references.Load());
    std::vector<const CondemnedObject*> batch;
    for (size_t i = first; i < frames_done_; ++i) {
      const CondemnedObject& frame = frames_[i];
      if (references.Names(frame.space, frame.key) ||
          marker_->IsLeasedFrame(frame.key)) {
        continue;
      }
      batch.push_back(&frame);
    }
    return Remove(batch);
  }

  Status Remove(const std::vector<const CondemnedObject*>& batch) {
    if (batch.empty()) return Status();
    std::vector<ObjectRef> refs;
    for (const CondemnedObject* object : batch) {
      refs.push_back({object->space, object->key});
    }
    REPRISE_ASSIGN_OR_RETURN(const uint64_t removed,
                             engine_->RemoveIfUntouched(refs, epoch_));
    report_.removed += removed;
    std::vector<bool> present(batch.size(), false);
    if (removed < batch.size()) {
      REPRISE_RETURN_IF_ERROR(engine_->Exists(refs, &present));
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!present[i]) report_.removed_bytes += batch[i]->bytes;
    }
    return Status();
  }

  // Times of last use that were written after their session was removed.
  Status SweepLastUses(bool* end) {
    std::vector<HeadStore::ListedHead> listed;
    REPRISE_RETURN_IF_ERROR(engine_->ListHeads(HeadSpace::kLastUse, "", cursor_,
                                               options_.step_objects, &listed));
    *end = listed.empty();
    if (*end) return Status();
    cursor_ = listed.back().key;
    std::vector<std::string_view> keys;
    for (const HeadStore::ListedHead& head : listed) keys.push_back(head.key);
    std::vector<HeadRecord> sessions;
    REPRISE_RETURN_IF_ERROR(
        engine_->GetHeads(HeadSpace::kSession, keys, &sessions));
    for (size_t i = 0; i < listed.size(); ++i) {
      if (sessions[i].version != 0) continue;
      const Status removed =
          engine_->RemoveHead(HeadSpace::kLastUse, listed[i].key,
                              listed[i].record.version, Durability::kWritten);
      if (removed.Is(StatusCode::kFailedPrecondition)) continue;
      REPRISE_RETURN_IF_ERROR(removed);
    }
    return Status();
  }

  Catalogue* const catalogue_;
  Engine* const engine_;
  const CollectorOptions options_;
  Phase phase_ = Phase::kBegin;
  Epoch epoch_ = 0;
  int64_t wait_until_ms_ = 0;
  CollectorReport report_;
  std::optional<Marker> marker_;
  size_t part_ = 0;     // of what Condemn lists
  std::string cursor_;  // inside of it

  std::vector<CondemnedObject> state_;
  std::vector<CondemnedRecord> records_;
  std::vector<CondemnedObject> frames_;
  size_t state_done_ = 0;
  size_t records_done_ = 0;
  size_t frames_done_ = 0;
  bool last_uses_done_ = false;
};

}  // namespace

std::unique_ptr<Collector> MakeCollector(Catalogue* catalogue,
                                         const CollectorOptions& options) {
  return std::make_unique<CollectorImpl>(catalogue, options);
}

}  // namespace reprise
