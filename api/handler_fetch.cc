// Fetch: what is stored of a session, first as a manifest, then frame by
// frame in the order asked for. Frames are read in batches under one lease;
// one that is lost costs its segment and not the stream.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/handler_call.h"
#include "api/wire_records.h"

namespace reprise {
namespace {

constexpr uint32_t kDefaultLeaseMs = 60'000;

// What of a manifest is sent: a frame of a segment.
struct FrameAt {
  uint32_t segment = 0;
  uint32_t frame = 0;
};

bool IsStored(const FetchSegment& segment) {
  return segment.rendition.tier != Tier::kTokens;
}

// The layers and stages that a fetch asks for.
class Wanted {
 public:
  explicit Wanted(const wire::Fetch& fetch)
      : first_layer_(fetch.first_layer()),
        end_layer_(End(first_layer_, fetch.layer_count())),
        first_stage_(fetch.first_stage()),
        end_stage_(End(first_stage_, fetch.stage_count())) {}

  bool Has(const FrameRef& frame) const {
    const uint64_t frame_end = uint64_t{frame.first_layer} + frame.layer_count;
    return frame.first_layer < end_layer_ && frame_end > first_layer_ &&
           frame.stage >= first_stage_ && frame.stage < end_stage_;
  }

 private:
  static uint64_t End(uint64_t first, uint64_t count) {
    return count == 0 ? UINT64_MAX : first + count;
  }
  uint64_t first_layer_;
  uint64_t end_layer_;
  uint64_t first_stage_;
  uint64_t end_stage_;
};

// The frames that are asked for, in the order of the stream.
std::vector<FrameAt> ScheduleOf(const FetchPlan& plan,
                                const wire::Fetch& fetch) {
  const Wanted wanted(fetch);
  std::vector<FrameAt> schedule;
  for (uint32_t s = 0; s < plan.segments.size(); s++) {
    if (!IsStored(plan.segments[s])) continue;
    const auto& frames = plan.segments[s].rendition.frames;
    for (uint32_t f = 0; f < frames.size(); f++) {
      if (wanted.Has(frames[f])) schedule.push_back({s, f});
    }
  }
  // By segment and index so far. The stages of a layer group stay together
  // unless they are what is asked for in order.
  auto rank = [&](const FrameAt& at) {
    const FrameRef& frame =
        plan.segments[at.segment].rendition.frames[at.frame];
    return std::pair(fetch.stage_major() ? frame.stage : 0,
                     fetch.token_major() ? 0 : frame.first_layer);
  };
  std::stable_sort(
      schedule.begin(), schedule.end(),
      [&](const FrameAt& a, const FrameAt& b) { return rank(a) < rank(b); });
  return schedule;
}

flatbuffers::Offset<wire::FetchSegment> SegmentToWire(
    const FetchSegment& segment, flatbuffers::FlatBufferBuilder* builder) {
  flatbuffers::Offset<wire::Rendition> rendition;
  if (IsStored(segment))
    rendition = RenditionToWire(segment.rendition, builder);
  auto tokens = builder->CreateVector(segment.segment.tokens);
  wire::Id32 id = IdToWire(segment.id);
  return wire::CreateFetchSegment(*builder, &id, segment.segment.first_token,
                                  segment.token_count, tokens, rendition);
}

// About the bytes that a manifest takes; never far below.
uint64_t ManifestBytes(const FetchPlan& plan) {
  uint64_t bytes = 1024 + plan.pending.size() * sizeof(TokenId);
  for (const FetchSegment& segment : plan.segments) {
    bytes += 256 + segment.segment.tokens.size() * sizeof(TokenId);
    if (IsStored(segment)) {
      bytes += segment.rendition.frames.size() * sizeof(wire::FrameRef);
    }
  }
  return bytes;
}

Answer ManifestAnswer(const HandlerCall& call, const FetchPlan& plan,
                      uint32_t lease_ms, bool end) {
  flatbuffers::FlatBufferBuilder builder(ManifestBytes(plan));
  std::vector<flatbuffers::Offset<wire::FetchSegment>> segments;
  segments.reserve(plan.segments.size());
  for (const FetchSegment& segment : plan.segments) {
    segments.push_back(SegmentToWire(segment, &builder));
  }
  auto segments_at = builder.CreateVector(segments);
  auto pending = builder.CreateVector(plan.pending);
  wire::Id32 model = IdToWire(plan.model);
  wire::Id32 commit = IdToWire(plan.commit);
  builder.Finish(wire::CreateFetchManifest(
      builder, &model, plan.commit.IsZero() ? nullptr : &commit,
      plan.incarnation, plan.version, plan.token_count, segments_at, pending,
      plan.lease, lease_ms));
  Answer answer;
  answer.end = end;
  answer.head =
      FinishMessage(call.type(), call.Flags(end), call.id(), 0, &builder);
  return answer;
}

// The frames after a manifest. Keeps the lease as long as it lives.
class FrameStream final : public AnswerStream {
 public:
  FrameStream(const HandlerCall& call, FetchPlan plan,
              std::vector<FrameAt> schedule, int64_t lease_ms)
      : context_(call.context),
        connection_(call.connection),
        id_(call.id()),
        cancelled_(call.cancelled),
        plan_(std::move(plan)),
        schedule_(std::move(schedule)),
        lease_ms_(lease_ms),
        began_ns_(context_.clock->MonotonicNs()),
        renewed_ms_(context_.clock->MonotonicMs()) {}

  ~FrameStream() override {
    // Nobody is there to be told that the lease could not be given back; it
    // runs out by itself.
    (void)context_.catalogue->ReleaseLease(plan_.lease);
    connection_.leases.Drop(plan_.lease);
    context_.metrics->fetch_rate.Record(
        sent_bytes_, context_.clock->MonotonicNs() - began_ns_);
  }

  Answer Next() override {
    RenewLease();
    Answer answer;
    sent_.clear();
    size_t batch_end = *cancelled_ ? next_ : BatchEnd();
    while (next_ < batch_end) ReadRun(batch_end, &answer.body);
    answer.end = *cancelled_ || next_ == schedule_.size();
    Pack(&answer);
    return answer;
  }

  uint64_t next_body_bytes() const override {
    uint64_t bytes = 0;
    const size_t end = BatchEnd();
    for (size_t i = next_; i < end; i++) bytes += RefAt(i).bytes;
    return bytes;
  }

 private:
  const FrameRef& RefAt(size_t i) const {
    const FrameAt& at = schedule_[i];
    return plan_.segments[at.segment].rendition.frames[at.frame];
  }

  // Where the batch ends that starts at next_: at least one frame.
  size_t BatchEnd() const {
    uint64_t bytes = 0;
    size_t end = next_;
    while (end < schedule_.size()) {
      bytes += RefAt(end).bytes;
      if (end > next_ && bytes > context_.limits.fetch_message_bytes) break;
      end++;
    }
    return end;
  }

  // Reads the frames from next_ on that are of one segment.
  void ReadRun(size_t batch_end, std::vector<PinnedBytes>* body) {
    uint32_t segment = schedule_[next_].segment;
    refs_.clear();
    size_t end = next_;
    while (end < batch_end && schedule_[end].segment == segment) {
      refs_.push_back(RefAt(end++));
    }
    frames_.clear();
    context_.catalogue->GetFrames(plan_.domain, plan_.segments[segment].id,
                                  refs_, &frames_);
    for (Result<PinnedBytes>& frame : frames_) Add(&frame, body);
  }

  void Add(Result<PinnedBytes>* frame, std::vector<PinnedBytes>* body) {
    const FrameAt& at = schedule_[next_];
    // What does not have its size would shift all that comes after it.
    bool good = frame->ok() && (*frame)->size() == RefAt(next_).bytes;
    auto bytes = good ? RefAt(next_).bytes : 0;
    sent_.emplace_back(at.segment, at.frame, bytes);
    sent_bytes_ += bytes;
    if (good) body->push_back(**std::move(frame));
    (good ? context_.metrics->frames_sent : context_.metrics->frames_lost)++;
    next_++;
  }

  void Pack(Answer* answer) {
    uint16_t flags = kFlagReply;
    if (answer->end) flags |= kFlagEnd;
    if (context_.draining) flags |= kFlagDraining;
    uint32_t body_bytes = 0;
    for (const PinnedBytes& frame : answer->body) {
      body_bytes += static_cast<uint32_t>(frame.size());
    }
    flatbuffers::FlatBufferBuilder builder;
    auto sent = builder.CreateVectorOfStructs(sent_);
    builder.Finish(wire::CreateFetchFrames(builder, sent));
    answer->head =
        FinishMessage(MessageType::kFetch, flags, id_, body_bytes, &builder);
  }

  // A slow reader's stream may outlast its lease.
  void RenewLease() {
    int64_t now_ms = context_.clock->MonotonicMs();
    if (plan_.lease == 0 || now_ms - renewed_ms_ < lease_ms_ / 2) return;
    // If it fails, frames that the collector takes show as lost.
    if (context_.catalogue->RenewLease(plan_.lease, lease_ms_).ok()) {
      connection_.leases.Renew(plan_.lease, now_ms + lease_ms_);
    }
    renewed_ms_ = now_ms;
  }

  HandlerContext& context_;
  ConnectionState& connection_;
  uint64_t id_;
  CancelFlag cancelled_;
  FetchPlan plan_;
  std::vector<FrameAt> schedule_;
  int64_t lease_ms_;
  int64_t began_ns_;
  int64_t renewed_ms_;
  size_t next_ = 0;
  uint64_t sent_bytes_ = 0;
  std::vector<wire::FrameSent> sent_;
  std::vector<FrameRef> refs_;
  std::vector<Result<PinnedBytes>> frames_;
};

// What is to be fetched; `ids` keeps the segments that the request points to.
Result<FetchRequest> RequestOf(const wire::Fetch& fetch,
                               std::vector<SegmentId>* ids) {
  FetchRequest request;
  REPRISE_ASSIGN_OR_RETURN(*ids, CheckIds("fetch: segments", fetch.segments()));
  request.tail = IdFromWire<SegmentId>(fetch.tail());
  bool by_ids = !ids->empty() || !request.tail.IsZero();
  bool by_name = TextFromWire(fetch.session()).size() > 0;
  if (by_ids == by_name) {
    return InvalidArgumentError(
        by_ids ? "fetch: both a session and segments are named"
               : "fetch: neither a session nor segments are named");
  }
  if (by_name) {
    REPRISE_ASSIGN_OR_RETURN(request.session,
                             CheckName("fetch", fetch.session()));
  }
  request.segments = *ids;
  request.commit = IdFromWire<CommitId>(fetch.commit());
  request.model = IdFromWire<ModelId>(fetch.model());
  request.first_token = fetch.first_token();
  request.end_token = fetch.end_token() == 0 ? UINT64_MAX : fetch.end_token();
  if (request.first_token > request.end_token) {
    return OverLimit("fetch: first token", request.first_token,
                     request.end_token);
  }
  REPRISE_ASSIGN_OR_RETURN(
      request.lowest, CheckTier("fetch: lowest tier", fetch.lowest_tier()));
  REPRISE_ASSIGN_OR_RETURN(
      request.highest,
      CheckHighestTier("fetch: highest tier", fetch.highest_tier()));
  REPRISE_RETURN_IF_ERROR(CheckLeaseMs(fetch.lease_ms()));
  request.lease_ms = fetch.lease_ms() == 0 ? kDefaultLeaseMs : fetch.lease_ms();
  return request;
}

Result<FetchPlan> PlanUnderLease(const HandlerCall& call,
                                 const wire::Fetch& fetch,
                                 const FetchRequest& request) {
  LeaseBook& book = call.connection.leases;
  if (fetch.lease() != 0) {
    // What Match found stays while this request takes a lease of its own.
    REPRISE_RETURN_IF_ERROR(
        call.catalogue()->RenewLease(fetch.lease(), request.lease_ms));
    book.Renew(fetch.lease(), call.now_ms() + request.lease_ms);
  }
  REPRISE_RETURN_IF_ERROR(book.Reserve(call.now_ms()));
  Result<FetchPlan> plan = call.catalogue()->PlanFetch(call.tenant(), request);
  if (!plan.ok()) {
    book.Unreserve();
    return plan.status();
  }
  book.Fill(plan->lease, call.now_ms() + request.lease_ms);
  return plan;
}

}  // namespace

Result<HandlerReply> HandleFetch(const HandlerCall& call,
                                 const wire::Fetch& fetch) {
  std::vector<SegmentId> ids;
  REPRISE_ASSIGN_OR_RETURN(FetchRequest request, RequestOf(fetch, &ids));
  REPRISE_ASSIGN_OR_RETURN(FetchPlan plan,
                           PlanUnderLease(call, fetch, request));
  if (uint64_t bytes = ManifestBytes(plan); bytes > kMaxMessageMetaBytes) {
    (void)call.catalogue()->ReleaseLease(plan.lease);
    call.connection.leases.Drop(plan.lease);
    return ResourceExhaustedError(
        "fetch: the manifest would take " + std::to_string(bytes) +
        " bytes, the limit is " + std::to_string(kMaxMessageMetaBytes) +
        ": fetch ranges of tokens");
  }
  if (!request.session.empty()) {
    call.catalogue()->MarkUsed(call.tenant(), request.session);
  }
  auto lease_ms = static_cast<uint32_t>(request.lease_ms);
  if (fetch.manifest_only()) {
    return HandlerReply{ManifestAnswer(call, plan, lease_ms, true), nullptr};
  }
  std::vector<FrameAt> schedule = ScheduleOf(plan, fetch);
  bool end = schedule.empty();
  Answer manifest = ManifestAnswer(call, plan, lease_ms, end);
  // Also without frames: its destructor gives the lease back.
  auto stream = std::make_unique<FrameStream>(call, std::move(plan),
                                              std::move(schedule), lease_ms);
  if (end) return HandlerReply{std::move(manifest), nullptr};
  return HandlerReply{std::move(manifest), std::move(stream)};
}

}  // namespace reprise
