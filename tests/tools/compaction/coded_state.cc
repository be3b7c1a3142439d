#include "tests/tools/compaction/coded_state.h"

#include <atomic>

#include "tests/support/kv_values.h"
#include "tests/support/random.h"

namespace reprise {

std::vector<Bytes> CodedWorker::Values(const SegmentRecord& segment,
                                       uint64_t seed) {
  const auto model = shelf_.Model(tenant_, segment.model);
  REPRISE_CHECK(model.ok());
  std::vector<Bytes> values;
  for (const SegmentModel::Group& group : (*model)->groups) {
    KvRows rows(group.slices, static_cast<uint32_t>(segment.tokens.size()));
    // Segments at the same place of two sessions differ too.
    rows.Fill(KvKind::kTypical, seed + static_cast<uint64_t>(segment.tokens[0]),
              segment.first_token);
    values.push_back(rows.Packed());
  }
  return values;
}

Status CodedWorker::PutOne(const SegmentRecord& segment,
                           const CodedOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           shelf_.Model(tenant_, segment.model));
  TierCodec codec;
  REPRISE_ASSIGN_OR_RETURN(
      codec.choice,
      ParseCodecChoice(segment.is_tail() ? std::string_view("exact")
                                         : options.codec));
  PublishItem item;
  item.segment = segment;
  Rendition& rendition = item.rendition;
  static std::atomic<uint64_t> drawn = 0;
  Random(++drawn).Fill(rendition.id.bytes);
  const bool is_named = options.tier != Tier::kTokens && !segment.is_tail();
  rendition.tier = is_named ? options.tier : codec.choice.tier();
  rendition.basis = options.basis;
  rendition.codec = codec.choice.codec->id();
  rendition.writer = 7;
  const std::vector<Bytes> values = Values(segment, options.seed);
  for (size_t g = 0; g < values.size(); ++g) {
    REPRISE_ASSIGN_OR_RETURN(
        const std::vector<Bytes> frames,
        coder_.Encode(*model, segment, codec, g, values[g]));
    for (uint8_t stage = 0; stage < frames.size(); ++stage) {
      const Tier tier = WorseOf(
          codec.choice.codec->stage_tier(stage, codec.choice.options.get()),
          rendition.tier);
      const FramePut put{rendition.id, tier, frames[stage]};
      REPRISE_RETURN_IF_ERROR(catalogue_->PutFrames(tenant_, {&put, 1}));
      FrameRef ref;
      ref.rendition = rendition.id;
      ref.space = FrameSpaceOf(tier, segment.is_tail());
      ref.stage = stage;
      const LayerGroup& layers = model->groups[g].layers;
      ref.first_layer = static_cast<uint16_t>(layers.first_layer);
      ref.layer_count = static_cast<uint16_t>(layers.layer_count);
      ref.index = FrameIndex(stage, static_cast<uint32_t>(g), 0);
      ref.bytes = static_cast<uint32_t>(frames[stage].size());
      ref.checksum = Checksum(frames[stage]);
      rendition.frames.push_back(ref);
    }
  }
  std::vector<PublishOutcome> out;
  REPRISE_RETURN_IF_ERROR(catalogue_->Publish(tenant_, {&item, 1}, &out));
  if (out[0].kind != PublishOutcome::Kind::kMissingFrames) return Status();
  return NotFoundError("coded: a frame that was put is missing");
}

Status CodedWorker::Put(std::span<const TokenId> tokens,
                        const CodedOptions& options) {
  for (const SegmentRecord& segment : ToySegments(model(), tokens)) {
    REPRISE_RETURN_IF_ERROR(PutOne(segment, options));
  }
  return Status();
}

Status CodedWorker::Save(std::string_view session,
                         std::span<const TokenId> tokens,
                         const CodedOptions& options) {
  REPRISE_RETURN_IF_ERROR(Put(tokens, options));
  REPRISE_ASSIGN_OR_RETURN(const CommitOutcome outcome,
                           toy_.Commit(session, tokens));
  if (outcome.missing.empty()) return Status();
  return NotFoundError("coded: commit misses " +
                       std::to_string(outcome.missing.size()) + " segments");
}

Result<std::vector<Bytes>> CodedWorker::Read(const SegmentRecord& segment,
                                             const Rendition& rendition) {
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           shelf_.Model(tenant_, segment.model));
  const Codec* const codec = FindCodec(rendition.codec);
  REPRISE_CHECK(codec != nullptr);
  REPRISE_ASSIGN_OR_RETURN(const ProfilePtr profile,
                           shelf_.Profile(tenant_, *codec, rendition.profile));
  std::vector<Result<PinnedBytes>> pins;
  catalogue_->GetFrames(tenant_, segment.Id(), rendition.frames, &pins);
  std::vector<ByteView> bytes;
  for (const auto& pin : pins) {
    if (!pin.ok()) return pin.status();
    bytes.push_back(pin->view());
  }
  std::vector<Bytes> values((*model).groups.size());
  for (size_t g = 0; g < values.size(); ++g) {
    REPRISE_RETURN_IF_ERROR(coder_.Decode(
        *model, segment, {&rendition, bytes, codec, profile.get()}, g,
        &values[g]));
  }
  return values;
}

Result<std::vector<CodedWorker::ReadSegment>> CodedWorker::ReadAll(
    std::string_view session, Tier lowest) {
  FetchRequest request;
  request.session = session;
  request.lowest = lowest;
  request.lease_ms = 0;
  REPRISE_ASSIGN_OR_RETURN(FetchPlan plan,
                           catalogue_->PlanFetch(tenant_, request));
  std::vector<ReadSegment> out;
  for (FetchSegment& segment : plan.segments) {
    ReadSegment read{
        std::move(segment.segment), std::move(segment.rendition), {}};
    if (read.segment.tokens.empty()) {
      return DataLossError("coded: a segment record is gone");
    }
    if (read.rendition.tier != Tier::kTokens) {
      REPRISE_ASSIGN_OR_RETURN(read.values, Read(read.segment, read.rendition));
    }
    out.push_back(std::move(read));
  }
  return out;
}

}  // namespace reprise
