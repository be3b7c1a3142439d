#include "tools/eval/state_coder.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "store/memory_engine.h"
#include "tools/eval/importance.h"

namespace reprise {
namespace {

constexpr std::string_view kSession = "eval";
constexpr uint64_t kMaskBytes = 8;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  const auto spent = std::chrono::steady_clock::now() - start;
  return std::chrono::duration<double>(spent).count();
}

std::vector<SegmentRecord> SegmentsOf(const ModelId& model,
                                      std::span<const TokenId> tokens) {
  std::vector<SegmentRecord> segments;
  SegmentId parent = RootSegmentId(model);
  for (size_t first = 0; first < tokens.size(); first += kSegmentTokens) {
    const auto part = tokens.subspan(
        first, std::min<size_t>(kSegmentTokens, tokens.size() - first));
    segments.push_back({model,
                        parent,
                        static_cast<uint32_t>(first),
                        {part.begin(), part.end()}});
    parent = segments.back().Id();
  }
  return segments;
}

CommitRecord CommitOf(const ModelId& model,
                      std::span<const SegmentRecord> segments) {
  CommitRecord commit;
  commit.model = model;
  for (const SegmentRecord& segment : segments) {
    commit.token_count += segment.tokens.size();
    if (segment.is_tail()) {
      commit.end = CommitEnd::kTail;
      commit.tail = segment.Id();
    } else {
      commit.segments.push_back(segment.Id());
    }
  }
  return commit;
}

// A stand-in for what a codec would leave out that can't drop tokens.
double ShareOfBytes(std::span<const uint8_t> keep) {
  const auto kept = std::count(keep.begin(), keep.end(), uint8_t{1});
  return static_cast<double>(kept) / static_cast<double>(keep.size());
}

}  // namespace

// One state on its way into the store and back.
struct StateCoder::Session {
  const CodeRequest& request;
  KvSource source;
  KvTarget target;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Catalogue> catalogue;
  DomainId domain = TenantDomain("eval");
  std::vector<SegmentRecord> segments;
  std::vector<PublishItem> items;
  // What the frames' bytes are taken to be less, and masks to be more.
  double bytes_left_out = 0;
  FallbackCount fallbacks;

  // Tails are exact and keep all their tokens.
  bool is_coded(const SegmentRecord& segment) const {
    return !segment.is_tail();
  }
  bool can_drop() const { return request.choice->codec->can_drop_tokens(); }
  const Codec& codec(const SegmentRecord& segment) const {
    return is_coded(segment) ? *request.choice->codec
                             : *FindCodec(CodecId::kExact);
  }
  const CodecProfile* profile(const SegmentRecord& segment) const {
    const bool has_one = request.profile != nullptr && is_coded(segment);
    return has_one ? request.profile->profile.get() : nullptr;
  }
  std::span<const uint8_t> keep(const SegmentRecord& segment) const {
    if (request.keep.empty() || !is_coded(segment)) return {};
    return request.keep.subspan(segment.first_token, segment.tokens.size());
  }
  TokenMask mask(const SegmentRecord& segment) const {
    const auto flags = keep(segment);
    return flags.empty() || !can_drop() ? kAllTokens : MaskOf(flags);
  }
  Tier tier(const SegmentRecord& segment) const {
    if (!is_coded(segment)) return Tier::kExact;
    return request.keep.empty() ? request.choice->tier() : Tier::kArchive;
  }
};

StateCoder::StateCoder(const ModelSpec& spec)
    : spec_(spec), model_(ModelIdOf(spec)) {
  for (const LayerGroup& layers : LayerGroupsOf(spec_)) {
    auto slices = SlicePlanes(spec_, layers, HeadRange::All());
    REPRISE_CHECK(slices.ok());
    groups_.push_back({layers, *std::move(slices)});
  }
}

void StateCoder::Gather(const KvSource& source, const Group& group,
                        uint64_t first_token, uint32_t count) {
  packed_.resize(std::max<size_t>(packed_.size(),
                                  RawBytesOf(group.slices, kSegmentTokens)));
  uint8_t* packed = packed_.data();
  source_rows_.clear();
  for (const PlaneSlice& slice : group.slices) {
    source_rows_.push_back(
        GatherRows(source, slice, first_token, count, packed));
    packed += slice.token_bytes() * count;
  }
}

Status StateCoder::Feed(const KvView& view, ProfileTrainer* trainer) {
  REPRISE_ASSIGN_OR_RETURN(const KvSource source, KvSource::Make(spec_, view));
  REPRISE_RETURN_IF_ERROR(source.CheckTokens(0, view.token_count));
  for (uint64_t first = 0; first < view.token_count; first += kSegmentTokens) {
    const auto count = static_cast<uint32_t>(
        std::min<uint64_t>(kSegmentTokens, view.token_count - first));
    for (const Group& group : groups_) {
      Gather(source, group, first, count);
      REPRISE_RETURN_IF_ERROR(trainer->Add(static_cast<uint32_t>(first), count,
                                           group.slices, source_rows_));
    }
  }
  return Status();
}

bool StateCoder::Serves(const EvalProfile& profile, const CodecChoice& choice,
                        const KvView& view) {
  const Result<KvSource> source = KvSource::Make(spec_, view);
  if (!source.ok() || !source->CheckTokens(0, kSegmentTokens).ok()) {
    return false;
  }
  const Group& group = groups_.front();
  Gather(*source, group, 0, kSegmentTokens);
  EncodeRequest request;
  request.info.model = model_;
  request.info.token_count = kSegmentTokens;
  request.info.layers = group.layers;
  request.slices = group.slices;
  request.rows = source_rows_;
  request.profile = profile.profile.get();
  request.options = choice.options.get();
  return choice.codec->Encode(request, &scratch_, &builder_).ok();
}

Status StateCoder::EncodeSegment(Session* session, size_t index) {
  const SegmentRecord& segment = session->segments[index];
  Rendition rendition;
  StoreLe<uint64_t>(rendition.id.bytes.data(), index + 1);
  rendition.tier = session->tier(segment);
  rendition.codec = session->codec(segment).id();
  std::vector<Bytes> frames;
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    const auto count = static_cast<uint32_t>(segment.tokens.size());
    Gather(session->source, group, segment.first_token, count);
    EncodeRequest request;
    request.info.is_tail = segment.is_tail();
    request.info.model = model_;
    request.info.segment = segment.Id();
    request.info.first_token = segment.first_token;
    request.info.token_count = static_cast<uint16_t>(count);
    request.info.layers = group.layers;
    request.slices = group.slices;
    request.rows = source_rows_;
    request.profile = session->profile(segment);
    if (session->is_coded(segment)) {
      request.options = session->request.choice->options.get();
    }
    request.kept = session->mask(segment);
    REPRISE_RETURN_IF_ERROR(
        session->codec(segment).Encode(request, &scratch_, &builder_));
    REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builder_.Finish());
    frames.emplace_back(frame.begin(), frame.end());
    REPRISE_RETURN_IF_ERROR(ParseFrameDirectory(frame, &frame_));
    rendition.profile = frame_.info.profile;
    rendition.frames.push_back(
        {.rendition = rendition.id,
         .space = FrameSpaceOf(rendition.tier, segment.is_tail()),
         .first_layer = static_cast<uint16_t>(group.layers.first_layer),
         .layer_count = static_cast<uint16_t>(group.layers.layer_count),
         .heads = HeadRange::All(),
         .index = FrameIndex(0, g, 0),
         .bytes = static_cast<uint32_t>(frame.size()),
         .checksum = Checksum(frame)});
  }
  const auto keep = session->keep(segment);
  if (!keep.empty() && !session->can_drop()) {
    const auto bytes = static_cast<double>(rendition.stored_bytes());
    session->bytes_left_out += bytes * (1 - ShareOfBytes(keep)) - kMaskBytes;
  }
  std::vector<FramePut> puts;
  for (const Bytes& frame : frames) {
    puts.push_back({rendition.id, rendition.tier, frame});
  }
  session->items.push_back({segment, std::move(rendition)});
  return session->catalogue->PutFrames(session->domain, puts);
}

Status StateCoder::DecodeGroup(Session* session, const FetchSegment& fetched,
                               const Group& group, ByteView bytes) {
  REPRISE_RETURN_IF_ERROR(ParseFrame(bytes, &frame_));
  REPRISE_RETURN_IF_ERROR(CheckFrameAgainstModel(frame_, spec_));
  REPRISE_RETURN_IF_ERROR(
      CountFallbacks(frame_, group.slices, &session->fallbacks));
  const uint64_t first = fetched.segment.first_token;
  const uint32_t count = fetched.token_count;
  packed_.resize(std::max<size_t>(packed_.size(),
                                  RawBytesOf(group.slices, kSegmentTokens)));
  uint8_t* packed = packed_.data();
  target_rows_.clear();
  for (const PlaneSlice& slice : group.slices) {
    PlaneRows rows = DirectRows(session->target, slice, first, count);
    if (rows.data == nullptr) rows = {packed, slice.token_bytes()};
    target_rows_.push_back(rows);
    packed += slice.token_bytes() * count;
  }
  const TokenMask wanted = session->mask(fetched.segment) & FirstTokens(count);
  TokenMask kept = FirstTokens(count);
  DecodeRequest request;
  request.slices = group.slices;
  request.rows = target_rows_;
  request.token_count = count;
  request.profile = session->profile(fetched.segment);
  request.kept = &kept;
  const Codec& codec = session->codec(fetched.segment);
  REPRISE_RETURN_IF_ERROR(codec.Decode(frame_, request, &scratch_));
  if ((kept & FirstTokens(count)) != wanted) {
    return DataLossError("eval: " + std::to_string(std::popcount(kept)) +
                         " tokens came back, " +
                         std::to_string(std::popcount(wanted)) + " were kept");
  }
  packed = packed_.data();
  for (size_t i = 0; i < group.slices.size(); ++i) {
    if (target_rows_[i].data == packed) {
      ScatterRows(session->target, group.slices[i], first, count, packed);
    }
    packed += group.slices[i].token_bytes() * count;
  }
  return Status();
}

Status StateCoder::DecodeSegment(Session* session,
                                 const FetchSegment& fetched) {
  if (fetched.rendition.frames.size() != groups_.size()) {
    return DataLossError(
        "eval: " + std::to_string(fetched.rendition.frames.size()) +
        " frames came back, " + std::to_string(groups_.size()) + " were put");
  }
  std::vector<Result<PinnedBytes>> frames;
  session->catalogue->GetFrames(session->domain, fetched.id,
                                fetched.rendition.frames, &frames);
  for (size_t i = 0; i < frames.size(); ++i) {
    if (!frames[i].ok()) return frames[i].status();
    REPRISE_RETURN_IF_ERROR(
        DecodeGroup(session, fetched, groups_[i], frames[i]->view()));
  }
  return Status();
}

Result<CodedState> StateCoder::Code(const CodeRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(KvSource source,
                           KvSource::Make(spec_, *request.view));
  REPRISE_ASSIGN_OR_RETURN(KvTarget target,
                           KvTarget::Make(spec_, *request.sink));
  const uint64_t tokens = request.tokens.size();
  REPRISE_RETURN_IF_ERROR(source.CheckTokens(0, tokens));
  REPRISE_RETURN_IF_ERROR(target.CheckTokens(0, tokens));
  Session session = {request, std::move(source), std::move(target),
                     OpenMemoryEngine(MakeMemoryStore())};
  REPRISE_ASSIGN_OR_RETURN(
      session.catalogue,
      Catalogue::Open(session.engine.get(), &SystemClock(), {}));
  Catalogue* const catalogue = session.catalogue.get();
  REPRISE_RETURN_IF_ERROR(
      catalogue->PutModel(session.domain, EncodeModelSpec(spec_)).status());
  if (request.profile != nullptr) {
    REPRISE_RETURN_IF_ERROR(catalogue
                                ->PutProfile(session.domain, model_,
                                             request.choice->codec->id(),
                                             request.profile->bytes)
                                .status());
  }
  session.segments = SegmentsOf(model_, request.tokens);

  CodedState out;
  auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < session.segments.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(EncodeSegment(&session, i));
  }
  out.encode_s = SecondsSince(start);
  REPRISE_RETURN_IF_ERROR(Publish(&session));

  FetchRequest fetch;
  fetch.session = kSession;
  fetch.lowest = Tier::kArchive;
  fetch.lease_ms = 0;
  REPRISE_ASSIGN_OR_RETURN(const FetchPlan plan,
                           catalogue->PlanFetch(session.domain, fetch));
  start = std::chrono::steady_clock::now();
  for (const FetchSegment& segment : plan.segments) {
    REPRISE_RETURN_IF_ERROR(DecodeSegment(&session, segment));
  }
  out.decode_s = SecondsSince(start);

  REPRISE_ASSIGN_OR_RETURN(const Catalogue::SessionSize size,
                           catalogue->MeasureSession(session.domain, kSession));
  out.fallbacks = session.fallbacks;
  out.size.tokens = size.tokens;
  out.size.values = size.values;
  out.size.frame_bytes =
      static_cast<double>(size.frame_bytes) - session.bytes_left_out;
  out.size.record_bytes = static_cast<double>(size.record_bytes);
  out.size.profile_bytes = static_cast<double>(size.profile_bytes);
  return out;
}

Status StateCoder::Publish(Session* session) {
  std::vector<PublishOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      session->catalogue->Publish(session->domain, session->items, &outcomes));
  for (const PublishOutcome& outcome : outcomes) {
    if (outcome.kind != PublishOutcome::Kind::kPublished) {
      return InternalError("eval: a segment of a new store is not published");
    }
  }
  const Bytes bytes = EncodeCommit(CommitOf(model_, session->segments));
  CommitRequest commit;
  commit.session = kSession;
  commit.commit = bytes;
  commit.durability = Durability::kWritten;
  REPRISE_ASSIGN_OR_RETURN(const CommitOutcome outcome,
                           session->catalogue->Commit(session->domain, commit));
  if (outcome.missing.empty()) return Status();
  return InternalError("eval: " + std::to_string(outcome.missing.size()) +
                       " segments are missing in a new store");
}

}  // namespace reprise
