#include "client/save_messages.h"

#include <cstring>
#include <memory>

#include "base/limits.h"
#include "client/calls.h"

namespace reprise {
namespace {

// Values of docs/format/keys.md: where the daemon looks for frames.
constexpr uint8_t kTailFrameSpace = 6;
constexpr uint8_t kExactFrameSpace = 7;

// PublishOutcome::kind.
constexpr uint8_t kMissingFrames = 3;

// Commit::durability.
constexpr uint8_t kWritten = 1;
constexpr uint8_t kSynced = 2;

uint8_t SpaceOf(Tier tier, bool is_tail) {
  if (is_tail) return kTailFrameSpace;
  return static_cast<uint8_t>(kExactFrameSpace + static_cast<uint8_t>(tier) -
                              static_cast<uint8_t>(Tier::kExact));
}

std::unique_ptr<wire::RenditionT> MakeRendition(
    const RenditionParts& parts, Tier basis, bool is_tail, size_t token_count,
    std::span<const UploadedFrame> frames) {
  const wire::Id16 id = IdToWire(parts.id);
  auto out = std::make_unique<wire::RenditionT>();
  out->id = std::make_unique<wire::Id16>(id);
  out->tier = static_cast<uint8_t>(parts.tier);
  out->basis = static_cast<uint8_t>(basis);
  out->codec = static_cast<uint16_t>(parts.codec);
  out->profile = OptionalIdToWire(parts.profile);
  out->other_weights = parts.other_weights;
  out->writer = parts.writer;
  out->raw_bytes = token_count * parts.token_bytes;
  out->frames.reserve(frames.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    const auto& [layers, heads, stage, tier] = parts.frames[i];
    out->frames.emplace_back(id, SpaceOf(tier, is_tail), stage,
                             static_cast<uint16_t>(layers.first_layer),
                             static_cast<uint16_t>(layers.layer_count),
                             heads.first, heads.count, heads.total,
                             frames[i].bytes, frames[i].checksum);
  }
  return out;
}

}  // namespace

PublishedItem ItemOf(const TokenChain& chain, const PlannedItem& planned) {
  return {.id = chain.id(planned.item),
          .parent = chain.parent(planned.item),
          .first_token = chain.first_token(planned.item),
          .tokens = chain.tokens_of(planned.item),
          .basis = planned.basis};
}

WireRequestPtr MakePublish(const ModelId& model, const RenditionParts& parts,
                           std::span<const PublishedItem> items,
                           std::span<const UploadedFrame> frames) {
  wire::PublishT publish;
  publish.model = OptionalIdToWire(model);
  for (const PublishedItem& item : items) {
    auto out = std::make_unique<wire::PublishItemT>();
    out->segment = OptionalIdToWire(item.id);
    out->parent = OptionalIdToWire(item.parent);
    out->first_token = static_cast<uint32_t>(item.first_token);
    out->tokens.assign(item.tokens.begin(), item.tokens.end());
    const bool is_tail = item.tokens.size() < kSegmentTokens;
    out->rendition =
        MakeRendition(parts, item.basis, is_tail, item.tokens.size(),
                      frames.first(parts.frames.size()));
    frames = frames.subspan(parts.frames.size());
    publish.items.push_back(std::move(out));
  }
  return MakeRequest(MessageType::kPublish, publish);
}

Status ReadPublish(Result<WireAnswer> answer, size_t item_count,
                   std::vector<bool>* missing) {
  REPRISE_ASSIGN_OR_RETURN(const auto reply,
                           ReadReply<wire::PublishReply>(std::move(answer)));
  const uint32_t outcomes =
      reply->outcomes() == nullptr ? 0 : reply->outcomes()->size();
  if (outcomes != item_count) {
    return DataLossError("publish: " + std::to_string(outcomes) +
                         " outcomes for " + std::to_string(item_count) +
                         " items");
  }
  missing->clear();
  for (uint32_t i = 0; i < outcomes; ++i) {
    missing->push_back(reply->outcomes()->Get(i)->kind() == kMissingFrames);
  }
  return Status();
}

WireRequestPtr MakeCommitRequest(const CommitParts& parts, ByteView commit) {
  wire::CommitT out;
  out.session = parts.session;
  out.expected_incarnation = parts.expected.incarnation;
  out.expected_version = parts.expected.version;
  out.durability = parts.synced ? kSynced : kWritten;
  for (const auto& [key, value] : parts.labels) {
    auto label = std::make_unique<wire::LabelT>();
    label->key = key;
    label->value = value;
    out.labels.push_back(std::move(label));
  }
  return MakeRequest(MessageType::kCommit, out,
                     {Bytes(commit.begin(), commit.end())});
}

Result<CommitAnswer> ReadCommit(Result<WireAnswer> answer) {
  REPRISE_ASSIGN_OR_RETURN(const auto reply,
                           ReadReply<wire::CommitReply>(std::move(answer)));
  CommitAnswer out;
  out.version = {reply->incarnation(), reply->version(),
                 IdFromWire<CommitId>(reply->commit())};
  if (reply->missing() == nullptr) return out;
  const ByteView missing(reply->missing()->data(), reply->missing()->size());
  if (missing.size() % sizeof(SegmentId) != 0) {
    return DataLossError("commit: " + std::to_string(missing.size()) +
                         " bytes of missing ids, each has 32");
  }
  ByteReader reader(missing);
  while (reader.left() > 0) out.missing.push_back(ReadId<SegmentId>(&reader));
  return out;
}

}  // namespace reprise
