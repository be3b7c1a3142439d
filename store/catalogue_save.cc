// PutFrames, Publish and PublishLowered.
#include "base/check.h"
#include "store/catalogue_impl.h"
#include "store/coverage.h"
#include "store/publisher.h"

namespace reprise {

Status CatalogueImpl::PutFrames(const DomainId& domain,
                                std::span<const FramePut> frames) {
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  std::vector<std::string> keys;
  std::vector<ObjectPut> puts;
  std::vector<ObjectRef> refs;
  std::vector<FrameFacts> facts;
  keys.reserve(frames.size());
  FrameView view;
  for (size_t i = 0; i < frames.size(); ++i) {
    const FramePut& put = frames[i];
    const std::string context = "put frame " + std::to_string(i);
    if (put.tier < Tier::kExact || put.tier > Tier::kArchive ||
        put.rendition == RenditionId()) {
      return InvalidArgumentError(
          context + ": tier is " +
          std::to_string(static_cast<unsigned>(put.tier)) +
          ", 1 to 4 are stored, under a rendition id that is not zero");
    }
    if (Status s = ParseFrame(put.frame, &view); !s.ok()) {
      return s.WithContext(context);
    }
    REPRISE_ASSIGN_OR_RETURN(const auto model,
                             LoadModel(domain, view.info.model));
    if (Status s = CheckFrameAgainstModel(view, model->spec); !s.ok()) {
      return s.WithContext(context);
    }
    const std::optional<uint32_t> group =
        GroupIndexOf(model->groups, view.info.layers.first_layer);
    REPRISE_CHECK(group.has_value());  // it was checked against the model
    keys.push_back(
        FrameKey(domain, view.info.segment, put.rendition,
                 FrameIndex(view.info.stage, *group, view.info.heads.first)));
    const ObjectSpace space = FrameSpaceOf(put.tier, view.info.is_tail);
    puts.push_back({space, keys.back(), put.frame});
    refs.push_back({space, keys.back()});
    facts.push_back(FactsOf(view));
  }
  // A key that is present keeps what it has: then these facts are not its.
  std::vector<bool> present;
  REPRISE_RETURN_IF_ERROR(engine_->Exists(refs, &present));
  REPRISE_RETURN_IF_ERROR(
      engine_->Put(puts, begun.epoch, Durability::kWritten));
  for (size_t i = 0; i < frames.size(); ++i) {
    if (!present[i]) frame_facts_.Add(refs[i].space, refs[i].key, facts[i]);
  }
  return Status();
}

Status CatalogueImpl::Publish(const DomainId& domain,
                              std::span<const PublishItem> items,
                              std::vector<PublishOutcome>* out) {
  out->clear();
  if (items.empty()) return Status();
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  Publisher publisher(engine_, &frame_facts_, domain, begun.epoch);
  const int64_t now_ms = clock_->WallMs();
  for (size_t i = 0; i < items.size(); ++i) {
    REPRISE_ASSIGN_OR_RETURN(auto model,
                             LoadModel(domain, items[i].segment.model));
    if (Status s = publisher.Add(items[i], std::move(model), now_ms); !s.ok()) {
      return s.WithContext("publish: item " + std::to_string(i));
    }
  }
  if (Status s = publisher.CheckParents(); !s.ok()) {
    return s.WithContext("publish");
  }
  if (Status s = publisher.FindFrames(); !s.ok()) {
    return s.WithContext("publish");
  }
  const auto check_deadline = [&] { return CheckDeadline(begun); };
  while (!publisher.settled()) {
    REPRISE_RETURN_IF_ERROR(publisher.SwapRound(check_deadline));
  }
  REPRISE_RETURN_IF_ERROR(CheckDeadline(begun));
  REPRISE_RETURN_IF_ERROR(publisher.PutSegments());
  publisher.TakeOutcomes(out);
  return Status();
}

Status CatalogueImpl::PublishLowered(const DomainId& domain,
                                     std::span<const LoweredItem> items,
                                     std::vector<PublishOutcome>* out) {
  out->clear();
  if (items.empty()) return Status();
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  Publisher publisher(engine_, &frame_facts_, domain, begun.epoch);
  const int64_t now_ms = clock_->WallMs();
  for (size_t i = 0; i < items.size(); ++i) {
    REPRISE_ASSIGN_OR_RETURN(auto model,
                             LoadModel(domain, items[i].item.segment.model));
    if (Status s = publisher.AddLowered(items[i], std::move(model), now_ms);
        !s.ok()) {
      return s.WithContext("publish lowered: item " + std::to_string(i));
    }
  }
  if (Status s = publisher.FindFrames(); !s.ok()) {
    return s.WithContext("publish lowered");
  }
  const auto check_deadline = [&] { return CheckDeadline(begun); };
  while (!publisher.settled()) {
    if (Status s = publisher.SwapRound(check_deadline); !s.ok()) {
      return s.WithContext("publish lowered");
    }
  }
  publisher.TakeOutcomes(out);
  if (options_.durability != Durability::kSynced) return Status();
  return engine_->Sync();
}

}  // namespace reprise
