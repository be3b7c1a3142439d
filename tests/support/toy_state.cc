#include "tests/support/toy_state.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

FrameInfo InfoOf(const SegmentRecord& segment, const LayerGroup& group,
                 const HeadRange& heads, uint8_t stage, ProfileId profile) {
  FrameInfo info;
  info.codec = CodecId::kRaw;
  info.stage = stage;
  info.is_tail = segment.is_tail();
  info.model = segment.model;
  info.segment = segment.Id();
  info.profile = profile;
  info.first_token = segment.first_token;
  info.token_count = static_cast<uint16_t>(segment.tokens.size());
  info.layers = group;
  info.heads = heads;
  return info;
}

// One section, of the first plane slice, with random bytes.
Bytes MakeFrame(const ModelSpec& spec, FrameInfo info, uint32_t section_bytes,
                Random* random) {
  const auto slices = SlicePlanes(spec, info.layers, info.heads);
  REPRISE_CHECK(slices.ok() && !slices->empty());
  for (const PlaneSlice& slice : *slices) {
    info.raw_bytes += slice.token_bytes() * info.token_count;
  }
  FrameBuilder builder;
  builder.Start(info, 1);
  random->Fill(builder.BeginSection(section_bytes));
  FrameSection section;
  section.layer = slices->front().layer;
  section.plane = slices->front().plane;
  section.channel_first = slices->front().channel_first();
  section.channel_count = slices->front().channels();
  builder.EndSection(section, section_bytes);
  const Result<ByteView> bytes = builder.Finish();
  REPRISE_CHECK(bytes.ok());
  return Bytes(bytes->begin(), bytes->end());
}

}  // namespace

std::vector<TokenId> ToyTokens(uint64_t seed, size_t count) {
  Random random(seed * 1000003);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) {
    token = static_cast<TokenId>(random.Below(50'000));
  }
  return tokens;
}

std::vector<SegmentRecord> ToySegments(const ModelId& model,
                                       std::span<const TokenId> tokens) {
  std::vector<SegmentRecord> segments;
  SegmentId parent = RootSegmentId(model);
  for (size_t first = 0; first < tokens.size(); first += kSegmentTokens) {
    const auto part = tokens.subspan(
        first, std::min<size_t>(kSegmentTokens, tokens.size() - first));
    SegmentRecord segment;
    segment.model = model;
    segment.parent = parent;
    segment.first_token = static_cast<uint32_t>(first);
    segment.tokens.assign(part.begin(), part.end());
    parent = segment.Id();
    segments.push_back(std::move(segment));
  }
  return segments;
}

CommitRecord ToyCommit(const ModelId& model, std::span<const TokenId> tokens,
                       const CommitId& parent, int64_t time_ms) {
  CommitRecord commit;
  commit.parent = parent;
  commit.model = model;
  commit.token_count = tokens.size();
  commit.segments = SegmentIdsOf(model, tokens);
  commit.time_ms = time_ms;
  const size_t rest = tokens.size() % kSegmentTokens;
  if (rest == 0) return commit;
  commit.end = CommitEnd::kTail;
  commit.tail = TailId(
      commit.segments.empty() ? RootSegmentId(model) : commit.segments.back(),
      tokens.last(rest));
  return commit;
}

Tier ToyStageTier(const ToyOptions& options, uint8_t stage) {
  return options.stage_tiers.empty() ? options.tier
                                     : options.stage_tiers[stage];
}

ToyOptions StagedToy(uint64_t seed) {
  ToyOptions options;
  options.seed = seed;
  options.tier = Tier::kNear;
  options.stages = 3;
  options.stage_tiers = {Tier::kArchive, Tier::kCoarse, Tier::kNear};
  return options;
}

ToyRendition MakeToyRendition(const ModelSpec& spec,
                              const SegmentRecord& segment,
                              const ToyOptions& options) {
  Random random(options.seed);
  ToyRendition toy;
  Rendition& rendition = toy.rendition;
  random.Fill(rendition.id.bytes);
  rendition.tier = options.tier;
  rendition.basis = options.basis;
  rendition.profile = options.profile;
  rendition.other_weights = options.other_weights;
  rendition.time_ms = 1;
  const std::vector<LayerGroup> groups = LayerGroupsOf(spec);
  for (uint8_t stage = 0; stage < options.stages; ++stage) {
    for (uint32_t g = 0; g < groups.size(); ++g) {
      for (uint16_t rank = 0; rank < options.ranks; ++rank) {
        const HeadRange heads{rank, 1, options.ranks};
        const FrameInfo info =
            InfoOf(segment, groups[g], heads, stage, options.profile);
        toy.frames.push_back(
            MakeFrame(spec, info, options.section_bytes, &random));
        FrameRef ref;
        ref.rendition = rendition.id;
        ref.space =
            FrameSpaceOf(ToyStageTier(options, stage), segment.is_tail());
        ref.stage = stage;
        ref.first_layer = static_cast<uint16_t>(groups[g].first_layer);
        ref.layer_count = static_cast<uint16_t>(groups[g].layer_count);
        ref.heads = heads;
        ref.index = FrameIndex(stage, g, rank);
        ref.bytes = static_cast<uint32_t>(toy.frames.back().size());
        ref.checksum = Checksum(toy.frames.back());
        rendition.frames.push_back(ref);
      }
    }
  }
  return toy;
}

ToyWorker::ToyWorker(Catalogue* catalogue, const DomainId& tenant,
                     ModelSpec spec)
    : catalogue_(catalogue), tenant_(tenant), spec_(std::move(spec)) {
  const Result<ModelId> model =
      catalogue->PutModel(tenant, EncodeModelSpec(spec_));
  REPRISE_CHECK(model.ok());
  model_ = *model;
}

Status ToyWorker::Put(std::span<const TokenId> tokens,
                      const ToyOptions& options, size_t first, size_t end) {
  std::vector<PublishOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(Put(tokens, options, first, end, &outcomes));
  for (const PublishOutcome& outcome : outcomes) {
    if (outcome.kind == PublishOutcome::Kind::kMissingFrames) {
      return NotFoundError("toy: a frame that was put is missing");
    }
  }
  return Status();
}

Status ToyWorker::Put(std::span<const TokenId> tokens,
                      const ToyOptions& options, size_t first, size_t end,
                      std::vector<PublishOutcome>* out) {
  const std::vector<SegmentRecord> segments = ToySegments(model_, tokens);
  std::vector<ToyRendition> made;
  for (size_t i = first; i < std::min(end, segments.size()); ++i) {
    made.push_back(MakeToyRendition(spec_, segments[i], options));
  }
  std::vector<FramePut> puts;
  std::vector<PublishItem> items;
  for (size_t i = 0; i < made.size(); ++i) {
    for (size_t f = 0; f < made[i].frames.size(); ++f) {
      const uint8_t stage = made[i].rendition.frames[f].stage;
      puts.push_back({made[i].rendition.id, ToyStageTier(options, stage),
                      made[i].frames[f]});
    }
    items.push_back({segments[first + i], made[i].rendition});
  }
  REPRISE_RETURN_IF_ERROR(catalogue_->PutFrames(tenant_, puts));
  return catalogue_->Publish(tenant_, items, out);
}

Result<CommitOutcome> ToyWorker::Commit(std::string_view session,
                                        std::span<const TokenId> tokens,
                                        int64_t time_ms) {
  CommitRequest request;
  request.session = session;
  request.durability = durability_;
  CommitId parent;
  const Result<SessionInfo> now = catalogue_->GetSession(tenant_, session);
  if (now.ok()) {
    request.expected_incarnation = now->record.incarnation;
    request.expected_version = now->record.version;
    parent = now->record.head;
  } else if (!now.status().Is(StatusCode::kNotFound)) {
    return now.status();
  }
  const Bytes commit = EncodeCommit(ToyCommit(model_, tokens, parent, time_ms));
  request.commit = commit;
  return catalogue_->Commit(tenant_, request);
}

Result<CommitOutcome> ToyWorker::Save(std::string_view session,
                                      std::span<const TokenId> tokens,
                                      const ToyOptions& options) {
  REPRISE_RETURN_IF_ERROR(Put(tokens, options));
  Result<CommitOutcome> outcome = Commit(session, tokens);
  if (outcome.ok() && !outcome->missing.empty()) {
    return NotFoundError("toy: commit misses " +
                         std::to_string(outcome->missing.size()) + " segments");
  }
  return outcome;
}

}  // namespace reprise
