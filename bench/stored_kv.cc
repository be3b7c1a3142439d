#include "bench/stored_kv.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/limits.h"
#include "bench/kv_units.h"
#include "bench/synthetic_kv.h"
#include "codec/commit.h"

namespace reprise::bench {
namespace {

Result<Bytes> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFoundError("bench: no file " + path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const ByteView bytes = AsBytes(text);
  return Bytes(bytes.begin(), bytes.end());
}

// The same frame of another segment.
Result<Bytes> Renamed(const Bytes& frame, const SegmentId& segment,
                      FrameBuilder* builder) {
  FrameView view;
  REPRISE_RETURN_IF_ERROR(ParseFrame(frame, &view));
  view.info.segment = segment;
  builder->Start(view.info, static_cast<uint32_t>(view.sections.size()));
  for (const FrameSection& section : view.sections) {
    const ByteView from = view.Section(section);
    std::ranges::copy(from, builder->BeginSection(from.size()).begin());
    builder->EndSection(section, from.size());
  }
  REPRISE_ASSIGN_OR_RETURN(const ByteView renamed, builder->Finish());
  return Bytes(renamed.begin(), renamed.end());
}

std::vector<SegmentRecord> RecordsOf(const ModelId& model,
                                     std::span<const TokenId> tokens) {
  std::vector<SegmentRecord> segments;
  SegmentId parent = RootSegmentId(model);
  for (size_t first = 0; first < tokens.size(); first += kSegmentTokens) {
    const auto part = tokens.subspan(first, kSegmentTokens);
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

}  // namespace

Result<std::unique_ptr<StoredKv>> StoredKv::Make(
    Catalogue* catalogue, const KvDump* dump, const std::string& klt_profile) {
  std::unique_ptr<StoredKv> stored(new StoredKv(catalogue, dump));
  REPRISE_ASSIGN_OR_RETURN(
      const ModelId model,
      catalogue->PutModel(stored->domain_, EncodeModelSpec(dump->spec)));
  if (!klt_profile.empty()) {
    REPRISE_ASSIGN_OR_RETURN(const Bytes profile, ReadFile(klt_profile));
    REPRISE_RETURN_IF_ERROR(catalogue
                                ->PutProfile(stored->domain_, model,
                                             CodecId::kKlt, profile,
                                             /*other_weights=*/true)
                                .status());
  }
  REPRISE_ASSIGN_OR_RETURN(stored->model_,
                           stored->shelf_.Model(stored->domain_, model));
  return stored;
}

Status StoredKv::PutTrained(std::string_view codec, const KvDump& fit) {
  REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice, ParseCodecChoice(codec));
  REPRISE_ASSIGN_OR_RETURN(const Bytes profile,
                           TrainProfileBytes(fit, choice, kAllTokensOfDump));
  return catalogue_
      ->PutProfile(domain_, model(), choice.codec->id(), profile,
                   /*other_weights=*/true)
      .status();
}

Bytes StoredKv::RowsOf(const SegmentModel::Group& group,
                       uint32_t first_token) const {
  Bytes rows;
  for (const PlaneSlice& slice : group.slices) {
    const uint64_t row_bytes = slice.token_bytes();
    const uint8_t* const from =
        dump_->Plane(slice.layer, slice.plane) + first_token * row_bytes;
    rows.insert(rows.end(), from, from + kSegmentTokens * row_bytes);
  }
  return rows;
}

Status StoredKv::Encode(std::string_view codec, uint32_t max_segments) {
  REPRISE_ASSIGN_OR_RETURN(codec_.choice, ParseCodecChoice(codec));
  codec_.profile = nullptr;
  if (codec_.choice.codec->needs_profile()) {
    REPRISE_ASSIGN_OR_RETURN(
        const ProfileRecord profile,
        catalogue_->FindProfile(domain_, model(), codec_.choice.codec->id()));
    REPRISE_ASSIGN_OR_RETURN(
        codec_.profile,
        shelf_.Profile(domain_, *codec_.choice.codec, profile.profile));
  }
  const auto whole =
      static_cast<uint32_t>(dump_->tokens.size() / kSegmentTokens);
  const uint32_t tokens = std::min(whole, max_segments) * kSegmentTokens;
  segments_ = RecordsOf(model(), std::span(dump_->tokens).first(tokens));
  frames_.clear();
  for (const SegmentRecord& segment : segments_) {
    std::vector<Bytes>& all = frames_.emplace_back();
    for (size_t g = 0; g < model_->groups.size(); ++g) {
      const Bytes rows = RowsOf(model_->groups[g], segment.first_token);
      REPRISE_ASSIGN_OR_RETURN(
          std::vector<Bytes> frames,
          coder_.Encode(*model_, segment, codec_, g, rows));
      std::ranges::move(frames, std::back_inserter(all));
    }
  }
  return Status();
}

uint64_t StoredKv::session_raw_bytes() const {
  return frames_.size() * kSegmentTokens * model_->spec.token_bytes();
}

std::vector<SegmentId> StoredKv::SegmentsOf(uint64_t seed) const {
  return SegmentIdsOf(model(),
                      RandomTokens(frames_.size() * kSegmentTokens, seed));
}

Result<Rendition> StoredKv::RenditionOf(
    const std::vector<Bytes>& frames) const {
  const CodecChoice& choice = codec_.choice;
  Rendition rendition;
  rendition.tier = choice.tier();
  rendition.codec = choice.codec->id();
  if (codec_.profile != nullptr) {
    rendition.profile = codec_.profile->id();
    rendition.other_weights = true;
  }
  for (const Bytes& frame : frames) {
    FrameView view;
    REPRISE_RETURN_IF_ERROR(ParseFrame(frame, &view));
    const FrameInfo& info = view.info;
    uint32_t group = 0;
    while (model_->groups[group].layers != info.layers) ++group;
    FrameRef ref;
    ref.stage = info.stage;
    ref.space = FrameSpaceOf(TierOfStage(info.stage), /*is_tail=*/false);
    ref.first_layer = static_cast<uint16_t>(info.layers.first_layer);
    ref.layer_count = static_cast<uint16_t>(info.layers.layer_count);
    ref.index = FrameIndex(info.stage, group, 0);
    ref.bytes = static_cast<uint32_t>(frame.size());
    ref.checksum = Checksum(frame);
    rendition.frames.push_back(ref);
  }
  return rendition;
}

Tier StoredKv::TierOfStage(uint8_t stage) const {
  const CodecChoice& choice = codec_.choice;
  return WorseOf(choice.codec->stage_tier(stage, choice.options.get()),
                 choice.tier());
}

Status StoredKv::Recode(const TierCodec& to) {
  Bytes rows;
  for (size_t i = 0; i < segments_.size(); ++i) {
    REPRISE_ASSIGN_OR_RETURN(Rendition rendition, RenditionOf(frames_[i]));
    const std::vector<ByteView> views(frames_[i].begin(), frames_[i].end());
    const StoredFrames stored{&rendition, views, codec_.choice.codec,
                              codec_.profile.get()};
    for (size_t g = 0; g < model_->groups.size(); ++g) {
      REPRISE_RETURN_IF_ERROR(
          coder_.Decode(*model_, segments_[i], stored, g, &rows));
      REPRISE_RETURN_IF_ERROR(
          coder_.Encode(*model_, segments_[i], to, g, rows).status());
    }
  }
  return Status();
}

Status StoredKv::PutSegment(const SegmentRecord& segment,
                            const std::vector<Bytes>& frames) {
  std::vector<Bytes> renamed;
  for (const Bytes& frame : frames) {
    REPRISE_ASSIGN_OR_RETURN(renamed.emplace_back(),
                             Renamed(frame, segment.Id(), &builder_));
  }
  PublishItem item;
  item.segment = segment;
  REPRISE_ASSIGN_OR_RETURN(item.rendition, RenditionOf(renamed));
  StoreLe<uint64_t>(item.rendition.id.bytes.data(), ++drawn_);
  std::vector<FramePut> puts;
  for (size_t i = 0; i < renamed.size(); ++i) {
    FrameRef& ref = item.rendition.frames[i];
    ref.rendition = item.rendition.id;
    puts.push_back({item.rendition.id, TierOfStage(ref.stage), renamed[i]});
  }
  REPRISE_RETURN_IF_ERROR(catalogue_->PutFrames(domain_, puts));
  std::vector<PublishOutcome> out;
  REPRISE_RETURN_IF_ERROR(catalogue_->Publish(domain_, {&item, 1}, &out));
  if (out[0].kind == PublishOutcome::Kind::kPublished) return Status();
  return InternalError("bench: a segment was not published");
}

Status StoredKv::Save(const std::string& session, uint64_t seed) {
  const auto tokens = RandomTokens(frames_.size() * kSegmentTokens, seed);
  const auto segments = RecordsOf(model(), tokens);
  for (size_t i = 0; i < segments.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(PutSegment(segments[i], frames_[i]));
  }
  CommitRecord record;
  record.model = model();
  record.token_count = tokens.size();
  record.segments = SegmentIdsOf(model(), tokens);
  const Bytes commit = EncodeCommit(record);
  CommitRequest request;
  request.session = session;
  request.commit = commit;
  request.durability = Durability::kWritten;
  REPRISE_ASSIGN_OR_RETURN(const CommitOutcome outcome,
                           catalogue_->Commit(domain_, request));
  if (outcome.missing.empty()) return Status();
  return InternalError("bench: a commit misses " +
                       std::to_string(outcome.missing.size()) + " segments");
}

}  // namespace reprise::bench
