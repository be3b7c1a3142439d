// Whether rendition records are what they should be, and each frame that they
// name: the part of checking a store that reads nearly all of its bytes.
#ifndef REPRISE_STORE_RENDITION_CHECK_H_
#define REPRISE_STORE_RENDITION_CHECK_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "codec/frame.h"
#include "codec/model_spec.h"
#include "store/catalogue.h"

namespace reprise {

struct CheckedModel {
  // kNotFound; kDataLoss.
  Status status;
  ModelId id;
  ModelSpec spec;
  std::vector<LayerGroup> groups;
};
// Models, decoded once. Not thread-safe.
class CheckedModels {
 public:
  explicit CheckedModels(Catalogue* catalogue) : catalogue_(catalogue) {}
  // Until the next call.
  const CheckedModel& Get(const DomainId& domain, const ModelId& id);

 private:
  static constexpr size_t kMost = 64;
  Catalogue* const catalogue_;
  std::map<std::pair<DomainId, ModelId>, CheckedModel> models_;
};

// What is wrong with one record; nothing, when all of it is empty and OK.
struct RecordVerdict {
  Status status;  // of the record itself
  struct BadFrame {
    FrameRef frame;
    Status status;
  };
  std::vector<BadFrame> frames;
  struct BadRendition {
    RenditionId id;
    Status status;
  };
  std::vector<BadRendition> renditions;

  uint64_t rendition_count = 0;
  uint64_t frame_count = 0;
  uint64_t frame_bytes = 0;

  bool ok() const {
    return status.ok() && frames.empty() && renditions.empty();
  }
};

// Leaves a segment without any rendition: what can't be read without its record
// is not to be taken for stored.
Status DropAllRenditions(Catalogue* catalogue, const DomainId& domain,
                         const SegmentId& segment);

// Not thread-safe.
class RenditionChecker {
 public:
  // Without `read_frames` frames need only be there.
  RenditionChecker(Catalogue* catalogue, CheckedModels* models,
                   bool read_frames)
      : catalogue_(catalogue), models_(models), read_frames_(read_frames) {}

  // Records of HeadSpace::kRendition: (*out)[i] answers heads[i]. About
  // `batch_bytes` of frames are held at a time, one at least. Adds what it read
  // to *bytes_read. Not OK only when the store can't be read at all.
  Status Check(std::span<const HeadStore::ListedHead> heads,
               uint64_t batch_bytes, std::vector<RecordVerdict>* out,
               uint64_t* bytes_read);

  // Of the first so many records frames have about `bytes`; one at least.
  // REQUIRES: heads is not empty.
  static size_t CountFor(std::span<const HeadStore::ListedHead> heads,
                         uint64_t bytes);

 private:
  struct Job {
    size_t head = 0;
    DomainId domain;
    SegmentId segment;
    FrameRef frame;
  };
  Status ReadSegments(std::span<const HeadStore::ListedHead> heads,
                      uint64_t* bytes_read);
  void CheckRecord(const HeadStore::ListedHead& head, size_t index,
                   RecordVerdict* verdict);
  Status CheckFrames(std::span<const Job> jobs, std::vector<RecordVerdict>* out,
                     uint64_t* bytes_read);
  Status CheckBytes(const Job& job, const Result<PinnedBytes>& bytes);

  Catalogue* const catalogue_;
  CheckedModels* const models_;
  const bool read_frames_;
  FrameView view_;                       // used again and again
  std::vector<SegmentRecord> segments_;  // without tokens: can't be read
  std::vector<Job> jobs_;
  std::unordered_set<uint64_t> of_segment_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_RENDITION_CHECK_H_
