#include "store/segment_reader.h"

#include <algorithm>
#include <string_view>

#include "store/key_arena.h"

namespace reprise {
namespace {

// Segments read by one call of the engine.
constexpr size_t kBatchSegments = 512;

// One batch. Every step looks at what the steps before it found.
class BatchReader {
 public:
  BatchReader(Engine* engine, const DomainId& domain,
              std::span<const SegmentRef> refs, std::span<StoredSegment> out)
      : engine_(engine), domain_(domain), refs_(refs), out_(out) {
    keys_.reserve(refs.size());
    objects_.reserve(refs.size());
    for (const SegmentRef& ref : refs) {
      keys_.push_back(arena_.Add(domain, ref.id));
      objects_.push_back({ref.space, keys_.back()});
    }
  }

  Status TouchSegments(Epoch epoch) {
    std::vector<bool> present;
    return engine_->Touch(objects_, epoch, &present);
  }

  void ReadObjects() {
    std::vector<Result<PinnedBytes>> values;
    engine_->GetMany(objects_, &values);
    for (size_t i = 0; i < refs_.size(); ++i) {
      out_[i].status = ReadObject(values[i], refs_[i].id, &out_[i].segment);
    }
  }

  Status ReadRenditions() {
    std::vector<HeadRecord> records;
    REPRISE_RETURN_IF_ERROR(
        engine_->GetHeads(HeadSpace::kRendition, keys_, &records));
    for (size_t i = 0; i < refs_.size(); ++i) {
      StoredSegment& stored = out_[i];
      stored.version = records[i].version;
      if (stored.version == 0) {
        stored.rendition_status = NotFoundError("rendition: none is stored");
        continue;
      }
      const ByteView bytes = records[i].value.view();
      stored.rendition_record_bytes = bytes.size();
      Result<RenditionSet> set = DecodeRenditionSet(bytes);
      if (set.ok()) {
        stored.set = *std::move(set);
      } else {
        stored.rendition_status = std::move(set).status();
      }
    }
    return Status();
  }

  Status TouchAllFrames(Epoch epoch) {
    std::vector<ObjectRef> frames;
    for (size_t i = 0; i < refs_.size(); ++i) {
      for (const Rendition& rendition : out_[i].set.renditions) {
        for (const FrameRef& frame : rendition.frames) {
          frames.push_back(
              {frame.space, arena_.AddFrame(domain_, refs_[i].id, frame)});
        }
      }
    }
    std::vector<bool> present;
    REPRISE_RETURN_IF_ERROR(engine_->Touch(frames, epoch, &present));
    auto next = present.begin();
    for (StoredSegment& stored : out_) {
      for (size_t r = 0; r < stored.set.renditions.size(); ++r) {
        const auto end = next + stored.set.renditions[r].frames.size();
        const auto missing = std::find(next, end, false);
        stored.complete[r] = missing == end;
        stored.present[r] = static_cast<size_t>(missing - next);
        next = end;
      }
    }
    return Status();
  }

 private:
  static Status ReadObject(const Result<PinnedBytes>& value,
                           const SegmentId& id, SegmentRecord* out) {
    if (!value.ok()) return value.status();
    REPRISE_ASSIGN_OR_RETURN(SegmentRecord segment,
                             DecodeSegment(value->view()));
    if (const SegmentId found = segment.Id(); found != id) {
      return DataLossError("segment record: it is of " + found.ShortHex() +
                           ", its key says " + id.ShortHex());
    }
    *out = std::move(segment);
    return Status();
  }

  Engine* const engine_;
  const DomainId domain_;
  const std::span<const SegmentRef> refs_;
  const std::span<StoredSegment> out_;
  KeyArena arena_;
  std::vector<std::string_view> keys_;
  std::vector<ObjectRef> objects_;
};

}  // namespace

std::vector<SegmentRef> SegmentRefsOf(const CommitRecord& commit,
                                      size_t first) {
  std::vector<SegmentRef> refs;
  refs.reserve(commit.segments.size() + 1 - first);
  for (size_t i = first; i < commit.segments.size(); ++i) {
    refs.push_back({commit.segments[i], ObjectSpace::kSegment});
  }
  if (!commit.tail.IsZero()) refs.push_back({commit.tail, ObjectSpace::kTail});
  return refs;
}

Status ReadSegments(Engine* engine, const DomainId& domain,
                    std::span<const SegmentRef> refs,
                    std::optional<Epoch> touch_epoch,
                    std::vector<StoredSegment>* out) {
  out->assign(refs.size(), StoredSegment());
  for (size_t done = 0; done < refs.size(); done += kBatchSegments) {
    const size_t count = std::min(kBatchSegments, refs.size() - done);
    BatchReader batch(engine, domain, refs.subspan(done, count),
                      std::span(*out).subspan(done, count));
    if (touch_epoch) {
      REPRISE_RETURN_IF_ERROR(batch.TouchSegments(*touch_epoch));
    }
    batch.ReadObjects();
    REPRISE_RETURN_IF_ERROR(batch.ReadRenditions());
    if (touch_epoch) {
      REPRISE_RETURN_IF_ERROR(batch.TouchAllFrames(*touch_epoch));
    }
  }
  return Status();
}

Status TouchFrames(Engine* engine, const DomainId& domain,
                   const SegmentId& segment, std::span<const FrameRef> frames,
                   Epoch epoch, std::vector<bool>* present) {
  KeyArena arena;
  std::vector<ObjectRef> refs;
  refs.reserve(frames.size());
  for (const FrameRef& frame : frames) {
    refs.push_back({frame.space, arena.AddFrame(domain, segment, frame)});
  }
  return engine->Touch(refs, epoch, present);
}

}  // namespace reprise
