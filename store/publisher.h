// One Publish call: checks renditions and makes them visible. Inside of the
// catalogue only.
//
// Order makes it safe beside collectors and other publishers: frames are
// touched, then the rendition record is swapped, then the segment object is
// put. Whoever puts a segment object that was absent swaps its record first,
// even to the same value: a collector that removed the object holds the
// record's old version and can't remove the record any more. Nothing ever
// names frames that were swept: they were touched after the collector's epoch
// began, or reported missing.
#ifndef REPRISE_STORE_PUBLISHER_H_
#define REPRISE_STORE_PUBLISHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "store/catalogue_impl.h"

namespace reprise {

class Publisher {
 public:
  Publisher(Engine* engine, FrameFactsCache* facts, const DomainId& domain,
            Epoch epoch)
      : engine_(engine), facts_(facts), domain_(domain), epoch_(epoch) {}

  // Everything about the item that can be told without the store.
  // kInvalidArgument.
  Status Add(const PublishItem& item, std::shared_ptr<const StoredModel> model,
             int64_t now_ms);
  // The same of what was made from a better rendition of the same segment: then
  // neither parents nor segment objects are looked at, and what is better
  // stays.
  Status AddLowered(const LoweredItem& lowered,
                    std::shared_ptr<const StoredModel> model, int64_t now_ms);
  // kFailedPrecondition unless every parent is stored or in this call.
  Status CheckParents();
  // Touches the items' frames; those that are missing settle their item.
  // kInvalidArgument when a stored frame is not what the item says it is.
  Status FindFrames();

  // Reads what is stored of the items not settled, and swaps their records,
  // unless `check_deadline` fails right before. To be called until settled().
  Status SwapRound(const std::function<Status()>& check_deadline);
  bool settled() const { return open_.empty(); }
  // Puts the segment objects that were absent.
  Status PutSegments();

  void TakeOutcomes(std::vector<PublishOutcome>* out);

 private:
  struct Work {
    SegmentRecord segment;
    SegmentId id;
    std::shared_ptr<const StoredModel> model;
    Rendition rendition;                // frames in order of their index
    std::vector<uint32_t> positions;    // of these frames in the item
    std::optional<RenditionId> source;  // lowered from it
    bool put_segment = false;
    bool segment_damaged = false;
    Bytes record;  // the swap under way
    PublishOutcome outcome;

    ObjectSpace space() const {
      return segment.is_tail() ? ObjectSpace::kTail : ObjectSpace::kSegment;
    }
  };

  Status CheckAgainstStored(Work* work, const std::vector<bool>& present);
  Status ReadFacts(Work* work, std::span<const uint32_t> frames,
                   std::span<const std::string_view> keys);
  void SettleMissing();
  // What the record is to become; false when it can stay as it is.
  static bool NextSet(const Work& work, const StoredSegment& stored,
                      RenditionSet* next);
  // The same of lowered ones. kInvalidArgument for a promotion.
  static Result<bool> NextLowered(const Work& work, const StoredSegment& stored,
                                  RenditionSet* next);

  Engine* const engine_;
  FrameFactsCache* const facts_;
  const DomainId domain_;
  const Epoch epoch_;
  std::vector<Work> works_;
  std::unordered_set<SegmentId, DigestHash> ids_;  // of works_
  std::vector<uint32_t> open_;                     // works not settled
};

}  // namespace reprise

#endif  // REPRISE_STORE_PUBLISHER_H_
