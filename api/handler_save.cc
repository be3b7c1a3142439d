// Saving: frames, then what they are renditions of, then the commit.
#include <string>
#include <utility>
#include <vector>

#include "api/handler_call.h"
#include "api/wire_records.h"

namespace reprise {
namespace {

Result<std::vector<FramePut>> FramesOfBody(
    const flatbuffers::Vector<const wire::FramePut*>& table, ByteView body) {
  std::vector<FramePut> frames;
  frames.reserve(table.size());
  uint64_t offset = 0;
  for (const wire::FramePut* put : table) {
    if (put->bytes() == 0 || put->bytes() > kMaxFrameBytes) {
      return OverLimit(
          "put frames: bytes of frame " + std::to_string(frames.size()),
          put->bytes(), kMaxFrameBytes);
    }
    REPRISE_ASSIGN_OR_RETURN(Tier tier,
                             CheckTier("put frames: tier", put->tier()));
    if (tier == Tier::kTokens) {
      return InvalidArgumentError("put frames: tier is tokens, without frames");
    }
    if (offset + put->bytes() > body.size()) {
      return InvalidArgumentError(
          "put frames: frame " + std::to_string(frames.size()) + " ends at " +
          std::to_string(offset + put->bytes()) + ", the body at " +
          std::to_string(body.size()));
    }
    frames.push_back({.rendition = RenditionIdFromWire(put->rendition()),
                      .tier = tier,
                      .frame = body.subspan(offset, put->bytes())});
    offset += put->bytes();
  }
  if (offset != body.size()) {
    return InvalidArgumentError(
        "put frames: body is " + std::to_string(body.size()) +
        " bytes, its frames are " + std::to_string(offset));
  }
  return frames;
}

Result<PublishItem> ItemFromWire(const wire::PublishItem& table,
                                 const ModelId& model,
                                 const std::vector<LayerGroup>& groups,
                                 int64_t now_ms) {
  if (table.segment() == nullptr || table.parent() == nullptr ||
      table.rendition() == nullptr || table.tokens() == nullptr) {
    return InvalidArgumentError(
        "segment, parent, tokens or rendition are missing");
  }
  uint32_t count = table.tokens()->size();
  if (count == 0 || count > kSegmentTokens) {
    return OverLimit("tokens", count, kSegmentTokens);
  }
  PublishItem item;
  item.segment.model = model;
  item.segment.parent = IdFromWire<SegmentId>(table.parent());
  item.segment.first_token = table.first_token();
  item.segment.tokens.assign(table.tokens()->begin(), table.tokens()->end());
  auto given = IdFromWire<SegmentId>(table.segment());
  if (SegmentId id = item.segment.Id(); id != given) {
    return InvalidArgumentError("segment is " + given.ShortHex() +
                                ", parent and tokens give " + id.ShortHex());
  }
  REPRISE_ASSIGN_OR_RETURN(item.rendition,
                           RenditionFromWire(*table.rendition(), groups));
  item.rendition.time_ms = now_ms;
  return item;
}

// Tables of a FlatBuffer may share what they point to: a small message could
// name the same frames a million times. What is copied must have travelled.
Status CheckUnshared(
    const flatbuffers::Vector<flatbuffers::Offset<wire::PublishItem>>& items,
    uint64_t meta_bytes) {
  uint64_t copied = 0;
  for (const wire::PublishItem* item : items) {
    if (item->tokens() != nullptr) copied += item->tokens()->size() * 4;
    if (item->rendition() != nullptr &&
        item->rendition()->frames() != nullptr) {
      copied += item->rendition()->frames()->size() * sizeof(wire::FrameRef);
    }
  }
  if (copied <= meta_bytes) return Status::Ok();
  return InvalidArgumentError("publish: items hold " + std::to_string(copied) +
                              " bytes of tokens and frames, the metadata " +
                              std::to_string(meta_bytes));
}

Result<Durability> DurabilityFromWire(const HandlerCall& call, uint8_t value) {
  if (value == 0) return call.context.default_durability;
  if (value > static_cast<uint8_t>(Durability::kSynced)) {
    return OverLimit("commit: durability", value,
                     static_cast<uint8_t>(Durability::kSynced));
  }
  return static_cast<Durability>(value);
}

using Labels = std::vector<std::pair<std::string, std::string>>;

Result<Labels> LabelsFromWire(
    const flatbuffers::Vector<flatbuffers::Offset<wire::Label>>* table) {
  Labels labels;
  if (table == nullptr) return labels;
  if (table->size() > kMaxLabels) {
    return OverLimit("commit: labels", table->size(), kMaxLabels);
  }
  for (const wire::Label* label : *table) {
    std::string_view key = TextFromWire(label->key());
    std::string_view value = TextFromWire(label->value());
    if (key.empty() || key.size() > kMaxLabelKeyBytes) {
      return OverLimit("commit: bytes of a label's key", key.size(),
                       kMaxLabelKeyBytes);
    }
    if (value.size() > kMaxLabelValueBytes) {
      return OverLimit("commit: bytes of a label's value", value.size(),
                       kMaxLabelValueBytes);
    }
    labels.emplace_back(key, value);
  }
  return labels;
}

}  // namespace

Result<HandlerReply> HandlePutFrames(const HandlerCall& call,
                                     const wire::PutFrames& put) {
  if (put.frames() == nullptr || put.frames()->size() == 0) {
    return InvalidArgumentError("put frames: there are none");
  }
  REPRISE_ASSIGN_OR_RETURN(
      std::vector<FramePut> frames,
      FramesOfBody(*put.frames(), call.request.body.view()));
  // Frames are what takes space; what makes them a state is let through, so
  // that a save whose frames are there can end.
  if (SpaceGuard* const space = call.context.space) {
    const Status admitted = space->Admit(call.request.body.view().size());
    if (!admitted.ok()) return admitted.WithContext("put frames");
  }
  REPRISE_RETURN_IF_ERROR(call.catalogue()->PutFrames(call.tenant(), frames));
  call.context.metrics->frames_stored += frames.size();
  return call.Only(wire::PutFramesReplyT());
}

Result<HandlerReply> HandlePublish(const HandlerCall& call,
                                   const wire::Publish& publish) {
  REPRISE_ASSIGN_OR_RETURN(ModelId model, CheckModel(publish.model()));
  if (publish.items() == nullptr || publish.items()->size() == 0) {
    return InvalidArgumentError("publish: there are no items");
  }
  REPRISE_RETURN_IF_ERROR(
      CheckUnshared(*publish.items(), call.request.meta.size()));
  REPRISE_ASSIGN_OR_RETURN(
      ModelShapes::Groups groups,
      call.context.shapes.Find(call.catalogue(), call.tenant(), model));
  std::vector<PublishItem> items;
  items.reserve(publish.items()->size());
  for (const wire::PublishItem* table : *publish.items()) {
    Result<PublishItem> item =
        ItemFromWire(*table, model, *groups, call.context.clock->WallMs());
    if (!item.ok()) {
      return item.status().WithContext("publish: item " +
                                       std::to_string(items.size()));
    }
    items.push_back(*std::move(item));
  }
  std::vector<PublishOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      call.catalogue()->Publish(call.tenant(), items, &outcomes));
  wire::PublishReplyT reply;
  for (PublishOutcome& outcome : outcomes) {
    auto wire = std::make_unique<wire::PublishOutcomeT>();
    wire->kind = static_cast<uint8_t>(outcome.kind);
    wire->missing = std::move(outcome.missing);
    reply.outcomes.push_back(std::move(wire));
  }
  return call.Only(reply);
}

Result<HandlerReply> HandleCommit(const HandlerCall& call,
                                  const wire::Commit& commit) {
  CommitRequest request;
  REPRISE_ASSIGN_OR_RETURN(request.session,
                           CheckName("commit", commit.session()));
  request.expected_incarnation = commit.expected_incarnation();
  request.expected_version = commit.expected_version();
  request.commit = call.request.body.view();
  REPRISE_ASSIGN_OR_RETURN(request.durability,
                           DurabilityFromWire(call, commit.durability()));
  REPRISE_ASSIGN_OR_RETURN(request.labels, LabelsFromWire(commit.labels()));
  request.private_domain = commit.private_domain();
  REPRISE_ASSIGN_OR_RETURN(CommitOutcome outcome,
                           call.catalogue()->Commit(call.tenant(), request));
  if (outcome.missing.empty()) {
    call.catalogue()->MarkUsed(call.tenant(), request.session);
  }
  return CommitAnswer(call, outcome);
}

HandlerReply CommitAnswer(const HandlerCall& call,
                          const CommitOutcome& outcome) {
  wire::CommitReplyT reply;
  reply.commit = OptionalIdToWire(outcome.commit);
  reply.incarnation = outcome.incarnation;
  reply.version = outcome.version;
  reply.repeated = outcome.repeated;
  reply.missing.reserve(outcome.missing.size() * sizeof(SegmentId));
  for (const SegmentId& id : outcome.missing) {
    reply.missing.insert(reply.missing.end(), id.bytes.begin(), id.bytes.end());
  }
  return call.Only(reply);
}

}  // namespace reprise
