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
                      std::span<const EncodedState::Segment> segments) {
  CommitRecord commit;
  commit.model = model;
  for (const EncodedState::Segment& each : segments) {
    const SegmentRecord& segment = each.record;
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

// How one segment of a request is coded: whole ones as asked for, tails
// exactly and with all their tokens.
class SegmentCoding {
 public:
  SegmentCoding(const CodeRequest& request, const SegmentRecord& segment)
      : request_(request), segment_(segment) {}

  bool is_coded() const { return !segment_.is_tail(); }
  const Codec& codec() const {
    return is_coded() ? *request_.choice->codec : *FindCodec(CodecId::kExact);
  }
  const CodecOptions* options() const {
    return is_coded() ? request_.choice->options.get() : nullptr;
  }
  const CodecProfile* profile() const {
    const bool has_one = request_.profile != nullptr && is_coded();
    return has_one ? request_.profile->profile.get() : nullptr;
  }
  std::span<const uint8_t> keep() const {
    if (request_.keep.empty() || !is_coded()) return {};
    return request_.keep.subspan(segment_.first_token, segment_.tokens.size());
  }
  TokenMask mask() const {
    const auto flags = keep();
    return flags.empty() || !codec().can_drop_tokens() ? kAllTokens
                                                       : MaskOf(flags);
  }
  // Of stages 0 to `last_stage`.
  Tier tier(uint32_t last_stage) const {
    if (!is_coded()) return Tier::kExact;
    return request_.keep.empty() ? codec().stage_tier(last_stage, options())
                                 : Tier::kArchive;
  }

 private:
  const CodeRequest& request_;
  const SegmentRecord& segment_;
};

}  // namespace

// One state on its way into the store and back.
struct StateCoder::Session {
  const CodeRequest& request;
  const EncodedState& encoded;
  uint32_t stages;  // at most so many are stored; 0: all
  KvTarget target;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Catalogue> catalogue;
  DomainId domain = TenantDomain("eval");
  std::vector<PublishItem> items;
  // What the frames' bytes are taken to be less, and masks to be more.
  double bytes_left_out = 0;
  FallbackCount fallbacks;
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
  const uint32_t stages = choice.codec->stage_count(choice.options.get());
  std::vector<FrameBuilder*> builders;
  for (uint32_t k = 0; k < stages; ++k) builders.push_back(&builders_[k]);
  return choice.codec->EncodeStages(request, &scratch_, builders).ok();
}

Status StateCoder::EncodeGroup(const EncodeRequest& request, const Codec& codec,
                               uint32_t group, EncodedState::Segment* segment) {
  std::vector<FrameBuilder*> builders;
  for (uint32_t k = 0; k < segment->stages; ++k) {
    builders.push_back(&builders_[k]);
  }
  REPRISE_RETURN_IF_ERROR(codec.EncodeStages(request, &scratch_, builders));
  for (uint32_t k = 0; k < segment->stages; ++k) {
    REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builders_[k].Finish());
    REPRISE_RETURN_IF_ERROR(ParseFrameDirectory(frame, &frames_[0]));
    segment->profile = frames_[0].info.profile;
    segment->frames[k * groups_.size() + group].assign(frame.begin(),
                                                       frame.end());
  }
  return Status();
}

Status StateCoder::EncodeSegment(const CodeRequest& request,
                                 const KvSource& source,
                                 EncodedState::Segment* segment) {
  const SegmentRecord& record = segment->record;
  const SegmentCoding coding(request, record);
  segment->codec = coding.codec().id();
  segment->stages = coding.codec().stage_count(coding.options());
  segment->frames.resize(segment->stages * groups_.size());
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    const auto count = static_cast<uint32_t>(record.tokens.size());
    Gather(source, group, record.first_token, count);
    EncodeRequest encode;
    encode.info.is_tail = record.is_tail();
    encode.info.model = model_;
    encode.info.segment = record.Id();
    encode.info.first_token = record.first_token;
    encode.info.token_count = static_cast<uint16_t>(count);
    encode.info.layers = group.layers;
    encode.slices = group.slices;
    encode.rows = source_rows_;
    encode.profile = coding.profile();
    encode.options = coding.options();
    encode.kept = coding.mask();
    REPRISE_RETURN_IF_ERROR(EncodeGroup(encode, coding.codec(), g, segment));
  }
  return Status();
}

Result<EncodedState> StateCoder::Encode(const CodeRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(const KvSource source,
                           KvSource::Make(spec_, *request.view));
  REPRISE_RETURN_IF_ERROR(source.CheckTokens(0, request.tokens.size()));
  EncodedState out;
  const auto start = std::chrono::steady_clock::now();
  for (SegmentRecord& record : SegmentsOf(model_, request.tokens)) {
    out.segments.push_back({.record = std::move(record)});
    REPRISE_RETURN_IF_ERROR(
        EncodeSegment(request, source, &out.segments.back()));
  }
  out.encode_s = SecondsSince(start);
  return out;
}

Status StateCoder::PutSegment(Session* session, size_t index) {
  const EncodedState::Segment& segment = session->encoded.segments[index];
  const SegmentCoding coding(session->request, segment.record);
  const uint32_t stages = session->stages == 0 || !coding.is_coded()
                              ? segment.stages
                              : std::min(session->stages, segment.stages);
  Rendition rendition;
  StoreLe<uint64_t>(rendition.id.bytes.data(), index + 1);
  rendition.tier = coding.tier(stages - 1);
  rendition.codec = segment.codec;
  rendition.profile = segment.profile;
  std::vector<FramePut> puts;
  for (uint32_t k = 0; k < stages; ++k) {
    // A stage lies with the lowest tier that has a use for it.
    const Tier tier = coding.tier(k);
    for (uint32_t g = 0; g < groups_.size(); ++g) {
      const Bytes& frame = segment.frames[k * groups_.size() + g];
      const LayerGroup& layers = groups_[g].layers;
      puts.push_back({rendition.id, tier, frame});
      rendition.frames.push_back(
          {.rendition = rendition.id,
           .space = FrameSpaceOf(tier, segment.record.is_tail()),
           .stage = static_cast<uint8_t>(k),
           .first_layer = static_cast<uint16_t>(layers.first_layer),
           .layer_count = static_cast<uint16_t>(layers.layer_count),
           .heads = HeadRange::All(),
           .index = FrameIndex(static_cast<uint8_t>(k), g, 0),
           .bytes = static_cast<uint32_t>(frame.size()),
           .checksum = Checksum(frame)});
    }
  }
  const auto keep = coding.keep();
  if (!keep.empty() && !coding.codec().can_drop_tokens()) {
    const auto bytes = static_cast<double>(rendition.stored_bytes());
    session->bytes_left_out += bytes * (1 - ShareOfBytes(keep)) - kMaskBytes;
  }
  session->items.push_back({segment.record, std::move(rendition)});
  return session->catalogue->PutFrames(session->domain, puts);
}

Status StateCoder::DecodeGroup(Session* session, const FetchSegment& fetched,
                               const Group& group,
                               std::span<const ByteView> stages) {
  std::vector<const FrameView*> frames;
  for (size_t k = 0; k < stages.size(); ++k) {
    REPRISE_RETURN_IF_ERROR(ParseFrame(stages[k], &frames_[k]));
    REPRISE_RETURN_IF_ERROR(CheckFrameAgainstModel(frames_[k], spec_));
    frames.push_back(&frames_[k]);
  }
  REPRISE_RETURN_IF_ERROR(
      CountFallbacks(frames_[0], group.slices, &session->fallbacks));
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
  const SegmentCoding coding(session->request, fetched.segment);
  const TokenMask wanted = coding.mask() & FirstTokens(count);
  TokenMask kept = FirstTokens(count);
  DecodeRequest request;
  request.slices = group.slices;
  request.rows = target_rows_;
  request.token_count = count;
  request.profile = coding.profile();
  request.kept = &kept;
  REPRISE_RETURN_IF_ERROR(
      coding.codec().DecodeStages(frames, request, &scratch_));
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
  const std::vector<FrameRef>& refs = fetched.rendition.frames;
  const size_t stages = refs.size() / groups_.size();
  if (stages == 0 || stages > kMaxStages ||
      refs.size() != stages * groups_.size()) {
    return DataLossError("eval: " + std::to_string(refs.size()) +
                         " frames came back for " +
                         std::to_string(groups_.size()) + " groups of layers");
  }
  std::vector<Result<PinnedBytes>> frames;
  session->catalogue->GetFrames(session->domain, fetched.id, refs, &frames);
  for (const auto& frame : frames) {
    if (!frame.ok()) return frame.status();
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    std::vector<ByteView> bytes;
    for (size_t k = 0; k < stages; ++k) {
      bytes.push_back(frames[k * groups_.size() + g]->view());
    }
    REPRISE_RETURN_IF_ERROR(DecodeGroup(session, fetched, groups_[g], bytes));
  }
  return Status();
}

Status StateCoder::DecodeAll(Session* session) {
  FetchRequest fetch;
  fetch.session = kSession;
  fetch.lowest = Tier::kArchive;
  fetch.lease_ms = 0;
  REPRISE_ASSIGN_OR_RETURN(const FetchPlan plan, session->catalogue->PlanFetch(
                                                     session->domain, fetch));
  for (const FetchSegment& segment : plan.segments) {
    REPRISE_RETURN_IF_ERROR(DecodeSegment(session, segment));
  }
  return Status();
}

// The one place where the store is given a profile. The judged model may have
// other weights than those that a profile from a file names (the same model
// quantised otherwise): whoever runs the judge says by naming the file that it
// is meant, so what must be said to the store for that is said here.
Status StateCoder::PutProfile(Session* session) {
  const EvalProfile* const profile = session->request.profile;
  if (profile == nullptr) return Status();
  return session->catalogue
      ->PutProfile(session->domain, model_,
                   session->request.choice->codec->id(), profile->bytes,
                   /*other_weights=*/false)
      .status();
}

Status StateCoder::OpenStore(Session* session) {
  session->engine = OpenMemoryEngine(MakeMemoryStore());
  REPRISE_ASSIGN_OR_RETURN(
      session->catalogue,
      Catalogue::Open(session->engine.get(), &SystemClock(), {}));
  REPRISE_RETURN_IF_ERROR(
      session->catalogue->PutModel(session->domain, EncodeModelSpec(spec_))
          .status());
  return PutProfile(session);
}

Result<CodedState> StateCoder::Store(const CodeRequest& request,
                                     const EncodedState& encoded,
                                     uint32_t stages) {
  REPRISE_ASSIGN_OR_RETURN(KvTarget target,
                           KvTarget::Make(spec_, *request.sink));
  REPRISE_RETURN_IF_ERROR(target.CheckTokens(0, request.tokens.size()));
  Session session = {request, encoded, stages, std::move(target)};
  REPRISE_RETURN_IF_ERROR(OpenStore(&session));
  for (size_t i = 0; i < encoded.segments.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(PutSegment(&session, i));
  }
  REPRISE_RETURN_IF_ERROR(Publish(&session));

  CodedState out;
  out.encode_s = encoded.encode_s;
  const auto start = std::chrono::steady_clock::now();
  REPRISE_RETURN_IF_ERROR(DecodeAll(&session));
  out.decode_s = SecondsSince(start);

  REPRISE_ASSIGN_OR_RETURN(
      const Catalogue::SessionSize size,
      session.catalogue->MeasureSession(session.domain, kSession));
  out.fallbacks = session.fallbacks;
  out.size.tokens = size.tokens;
  out.size.values = size.values;
  out.size.frame_bytes =
      static_cast<double>(size.frame_bytes) - session.bytes_left_out;
  out.size.record_bytes = static_cast<double>(size.record_bytes);
  out.size.profile_bytes = static_cast<double>(size.profile_bytes);
  return out;
}

Result<CodedState> StateCoder::Code(const CodeRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(const EncodedState encoded, Encode(request));
  return Store(request, encoded, 0);
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
  const Bytes bytes = EncodeCommit(CommitOf(model_, session->encoded.segments));
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
