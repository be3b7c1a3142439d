#include "client/restorer.h"

#include <algorithm>

#include "base/limits.h"
#include "client/calls.h"
#include "client/frame_jobs.h"
#include "client/match_ticket.h"
#include "client/model.h"
#include "client/session_calls.h"

namespace reprise {
namespace {

// The daemon renews it while it streams.
constexpr uint32_t kFetchLeaseMs = 60'000;
// Between two attempts to get a broken connection back.
constexpr int64_t kFirstPauseMs = 30;
constexpr int64_t kLastPauseMs = 1'000;

}  // namespace

struct Restorer::Held {
  Held(FlightBudget* in_flight, WireAnswer message)
      : budget(in_flight), answer(std::move(message)) {}
  ~Held() { budget->Give(answer.body.size()); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  FlightBudget* const budget;
  WireAnswer answer;
};

Status CheckRestoreRequest(std::string_view session,
                           const RestoreRequest& request) {
  if (request.model == nullptr) {
    return InvalidArgumentError("restore: no model");
  }
  if (request.make_sink == nullptr) {
    return InvalidArgumentError("restore: no make_sink");
  }
  if (request.first_token % kSegmentTokens != 0 ||
      request.first_token > request.end_token) {
    return InvalidArgumentError(
        "restore: first token is " + std::to_string(request.first_token) +
        ", wanted is a multiple of 64 up to the end at " +
        std::to_string(request.end_token));
  }
  if (request.match.empty()) {
    if (!session.empty() && session.size() <= kMaxSessionNameBytes) {
      return Status();
    }
    return InvalidArgumentError(
        "restore: the session's name is " + std::to_string(session.size()) +
        " bytes, 1 to " + std::to_string(kMaxSessionNameBytes) +
        " are possible");
  }
  REPRISE_ASSIGN_OR_RETURN(const MatchTicket ticket,
                           DecodeMatchTicket(request.match));
  if (ticket.model != request.model->id()) {
    return FailedPreconditionError("restore: the match is of model " +
                                   ticket.model.ShortHex() + ", given is " +
                                   request.model->id().ShortHex());
  }
  if (request.tokens.size() >= ticket.tokens) return Status();
  return InvalidArgumentError(
      "restore: the match is of " + std::to_string(ticket.tokens) +
      " tokens, given are " + std::to_string(request.tokens.size()));
}

Restorer::Restorer(ClientCore* core, std::string_view session,
                   const RestoreRequest& request,
                   std::shared_ptr<RestoreState> state)
    : core_(core),
      session_(session),
      state_(std::move(state)),
      call_(state_->context),
      request_(request),
      tokens_(request.tokens.begin(), request.tokens.end()),
      match_(request.match.begin(), request.match.end()),
      model_(request.model),
      start_ns_(CallContext::NowNs()),
      book_(static_cast<uint32_t>(model_->groups().size())) {}

Restorer::~Restorer() { WaitForJobs(); }

void Restorer::WaitForJobs() {
  std::unique_lock lock(call_->mutex());
  call_->WaitAlways(lock, [this] { return running_ == 0; });
}

Result<RestoreResult> Restorer::Run() {
  REPRISE_ASSIGN_OR_RETURN(
      const WireRequestPtr fetch,
      MakeFetch(request_.commit, {request_.first_token, request_.end_token}));
  REPRISE_ASSIGN_OR_RETURN(const WireAnswer first, Begin(fetch));
  REPRISE_RETURN_IF_ERROR(TakeManifest(first));
  REPRISE_RETURN_IF_ERROR(LoadProfiles());
  REPRISE_RETURN_IF_ERROR(PlanFrames());
  REPRISE_RETURN_IF_ERROR(TakeSink());
  REPRISE_RETURN_IF_ERROR(TakeStreams(first.header.end()));
  WaitForJobs();
  if (call_->cancelled()) return UnavailableError("restore: cancelled");
  pending_ = Pending();
  core_->fetches.Return(std::move(connection_));
  result_.valid_end = ValidEnd();
  result_.dropped = Dropped(result_.valid_end);
  result_.raw_bytes = raw_bytes_;
  result_.decode_ms = static_cast<double>(decode_ns_) / 1e6;
  result_.total_ms =
      static_cast<double>(CallContext::NowNs() - start_ns_) / 1e6;
  return result_;
}

Result<WireRequestPtr> Restorer::MakeFetch(const CommitId& commit,
                                           const FetchRange& range) const {
  wire::FetchT fetch;
  fetch.first_token = range.first_token;
  fetch.end_token = range.end_token;
  fetch.first_layer = range.first_layer;
  fetch.layer_count = range.layer_count;
  fetch.lowest_tier = static_cast<uint8_t>(request_.lowest);
  fetch.token_major = request_.token_major;
  fetch.lease_ms = kFetchLeaseMs;
  if (match_.empty()) {
    fetch.session = session_;
    fetch.commit = OptionalIdToWire(commit);
    return MakeRequest(MessageType::kFetch, fetch);
  }
  REPRISE_ASSIGN_OR_RETURN(const MatchTicket ticket, DecodeMatchTicket(match_));
  const TokenChain chain(model_->id(), std::span(tokens_).first(ticket.tokens));
  fetch.model = OptionalIdToWire(model_->id());
  fetch.lease = ticket.lease;
  for (const SegmentId& id : chain.segments()) {
    fetch.segments.insert(fetch.segments.end(), id.bytes.begin(),
                          id.bytes.end());
  }
  if (chain.has_tail()) fetch.tail = OptionalIdToWire(chain.tail());
  return MakeRequest(MessageType::kFetch, fetch);
}

Result<WireRequestPtr> Restorer::MakeFetchOf(const Part& part) const {
  const std::vector<LayerGroup>& groups = model_->groups();
  const LayerGroup& last = groups[part.end_group - 1];
  FetchRange range;
  range.first_token = manifest_.segments[part.first_segment].first_token;
  range.end_token = manifest_.segments[part.end_segment - 1].end_token();
  range.first_layer = groups[part.first_group].first_layer;
  range.layer_count = last.first_layer + last.layer_count - range.first_layer;
  return MakeFetch(manifest_.version.head, range);
}

void Restorer::Send(const WireRequestPtr& fetch) {
  pending_ = Pending();
  if (connection_ != nullptr) core_->fetches.Return(std::move(connection_));
  connection_ = core_->fetches.Take();
  pending_ = connection_->Start(fetch, call_);
}

Result<WireAnswer> Restorer::NextAnswer() {
  REPRISE_RETURN_IF_ERROR(call_->Check());
  REPRISE_ASSIGN_OR_RETURN(
      WireAnswer answer,
      pending_.Next(CallContext::InMs(core_->options.request_timeout_ms)));
  result_.wire_bytes +=
      kMessageHeaderBytes + answer.meta.size() + answer.body.size();
  return answer;
}

Result<WireAnswer> Restorer::Begin(const WireRequestPtr& fetch) {
  for (int failures = 0;;) {
    Send(fetch);
    Result<WireAnswer> answer = NextAnswer();
    if (answer.ok()) return answer;
    REPRISE_RETURN_IF_ERROR(WaitForRetry(connection_.get(), call_.get(),
                                         Retry::kOnce, ++failures,
                                         answer.status()));
  }
}

Status Restorer::TakeManifest(const WireAnswer& answer) {
  REPRISE_ASSIGN_OR_RETURN(manifest_, ReadManifest(answer));
  REPRISE_RETURN_IF_ERROR(
      CheckSameModel(core_, call_, *model_, manifest_.model));
  stream_end_ = static_cast<uint32_t>(manifest_.segments.size());
  ManifestChecks checks{.model = model_->id(),
                        .commit = request_.commit,
                        .groups = &model_->groups(),
                        .first_token = request_.first_token,
                        .end_token = request_.end_token,
                        .tokens = tokens_,
                        .lowest = request_.lowest};
  if (!match_.empty()) {
    REPRISE_ASSIGN_OR_RETURN(const MatchTicket ticket,
                             DecodeMatchTicket(match_));
    checks.commit = CommitId();
    checks.most_tokens = ticket.tokens;
  }
  return CheckManifest(checks, &manifest_);
}

Status Restorer::LoadProfiles() {
  for (ManifestSegment& segment : manifest_.segments) {
    const CodecProfile* found = nullptr;
    if (segment.tier != Tier::kTokens && !segment.profile.IsZero()) {
      // Asked for once a profile: after that it is in the cache.
      auto profile =
          GetParsedProfile(&core_->profiles, &core_->control, call_,
                           core_->options.request_timeout_ms,
                           *FindCodec(segment.codec), segment.profile);
      const StatusCode code = profile.status().code();
      if (profile.ok()) {
        found = profile->get();
        if (kept_profiles_.empty() || kept_profiles_.back() != *profile) {
          kept_profiles_.push_back(*profile);
        }
      } else if (code == StatusCode::kNotFound ||
                 code == StatusCode::kDataLoss ||
                 code == StatusCode::kInvalidArgument) {
        DropRendition(&segment);
      } else {
        return profile.status();
      }
    }
    profiles_.push_back(found);
    // What comes after a gap is of no use: it would not be valid.
    if (segment.tier == Tier::kTokens) return Status();
  }
  return Status();
}

Status Restorer::PlanFrames() {
  const std::vector<LayerGroup>& groups = model_->groups();
  frames_left_.assign(groups.size(), 0);
  for (const ManifestSegment& segment : manifest_.segments) {
    if (segment.tier == Tier::kTokens) break;
    std::vector<uint32_t> groups_of_frames;
    auto& slices_of_frames = slices_of_.emplace_back();
    for (const ManifestFrame& frame : segment.frames) {
      const auto group = static_cast<uint32_t>(
          std::find(groups.begin(), groups.end(), frame.layers) -
          groups.begin());
      const HeadRange& heads = frame.heads;
      auto& slices = slices_[{group, heads.first, heads.count, heads.total}];
      if (slices.empty()) {
        auto cut = SlicePlanes(model_->spec(), frame.layers, heads);
        if (!cut.ok())
          return DataLossError(std::string(cut.status().message()));
        slices = *std::move(cut);
      }
      groups_of_frames.push_back(group);
      slices_of_frames.push_back(&slices);
      ++frames_left_[group];
    }
    book_.AddSegment(std::move(groups_of_frames));
  }
  stream_usable_ = book_.segment_count();
  kept_.assign(book_.segment_count(), kAllTokens);
  return Status();
}

Status Restorer::TakeSink() {
  REPRISE_RETURN_IF_ERROR(call_->Check());
  result_.info = InfoOf(manifest_, request_.first_token);
  const RestoreInfo& info = result_.info;
  REPRISE_ASSIGN_OR_RETURN(const KvSink sink, request_.make_sink(info));
  REPRISE_ASSIGN_OR_RETURN(target_, KvTarget::Make(model_->spec(), sink));
  return target_
      ->CheckTokens(info.first_token, info.first_token + info.tokens.size())
      .WithContext("restore");
}

// --- Streams. ---

Status Restorer::TakeStreams(bool ended) {
  Status status = TakeStream(book_.Whole(), ended);
  for (;;) {
    if (!status.ok()) REPRISE_RETURN_IF_ERROR(WaitToResume(status));
    const std::optional<Part> part =
        book_.NextMissing(GoodSegments(), request_.token_major);
    if (!part.has_value()) break;
    status = Resume(*part);
  }
  // What comes after a lost frame is of no use: it was not asked for again.
  GiveUp(book_.Whole());
  return Status();
}

Status Restorer::TakeStream(const Part& part, bool ended) {
  while (!ended) {
    REPRISE_ASSIGN_OR_RETURN(WireAnswer answer, NextAnswer());
    ended = answer.header.end();
    REPRISE_RETURN_IF_ERROR(TakeFrames(std::move(answer)));
  }
  GiveUp(part);
  return Status();
}

Status Restorer::Resume(const Part& part) {
  REPRISE_ASSIGN_OR_RETURN(const WireRequestPtr fetch, MakeFetchOf(part));
  Send(fetch);
  REPRISE_ASSIGN_OR_RETURN(const WireAnswer answer, NextAnswer());
  REPRISE_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(answer));
  stream_first_ = part.first_segment;
  stream_end_ = part.end_segment;
  REPRISE_ASSIGN_OR_RETURN(
      stream_usable_,
      CheckContinuation(manifest_, stream_first_, stream_end_, manifest));
  book_.BeginStream();
  // Frames of two renditions would be of two qualities.
  GiveUp({stream_usable_, stream_end_, 0, part.end_group});
  return TakeStream(part, answer.header.end());
}

Status Restorer::WaitToResume(const Status& failure) {
  if (!failure.Is(StatusCode::kUnavailable) || call_->cancelled()) {
    return failure;
  }
  if (failures_ == 0 || book_.taken_count() != taken_at_failure_) {
    failures_ = 0;
    taken_at_failure_ = book_.taken_count();
    give_up_ns_ =
        std::min(call_->deadline_ns(),
                 CallContext::InMs(core_->options.reconnect_timeout_ms));
  }
  const int64_t pause_ms =
      std::min(kFirstPauseMs << std::min(failures_++, 10), kLastPauseMs);
  const int64_t until_ns =
      std::max(connection_->retry_at_ns(), CallContext::InMs(pause_ms));
  return until_ns < give_up_ns_ ? call_->SleepUntil(until_ns) : failure;
}

Status Restorer::TakeFrames(WireAnswer answer) {
  auto table = VerifiedMeta<wire::FetchFrames>(answer.meta.view());
  if (!table.ok()) return DataLossError(std::string(table.status().message()));
  REPRISE_RETURN_IF_ERROR(core_->restore_bytes.Take(call_, answer.body.size()));
  const auto held =
      std::make_shared<Held>(&core_->restore_bytes, std::move(answer));
  ByteView left = held->answer.body.view();
  const uint32_t count =
      (*table)->frames() == nullptr ? 0 : (*table)->frames()->size();
  for (uint32_t i = 0; i < count; ++i) {
    const wire::FrameSent& sent = *(*table)->frames()->Get(i);
    if (sent.bytes() > left.size()) {
      return DataLossError("restore: a frame of " +
                           std::to_string(sent.bytes()) + " bytes, " +
                           std::to_string(left.size()) + " are there");
    }
    REPRISE_RETURN_IF_ERROR(TakeFrame(sent.segment(), sent.frame(),
                                      left.first(sent.bytes()), held));
    left = left.subspan(sent.bytes());
  }
  if (left.empty()) return Status();
  return DataLossError("restore: " + std::to_string(left.size()) +
                       " bytes belong to no frame");
}

Status Restorer::TakeFrame(uint32_t segment, uint32_t frame, ByteView bytes,
                           const std::shared_ptr<Held>& held) {
  if (segment >= stream_end_ - stream_first_) {
    return DataLossError("restore: a frame of segment " +
                         std::to_string(segment) + ", the manifest has " +
                         std::to_string(stream_end_ - stream_first_));
  }
  segment += stream_first_;
  if (segment >= stream_usable_) return Status();
  REPRISE_ASSIGN_OR_RETURN(const bool is_new, book_.Take(segment, frame));
  if (!is_new) return Status();
  const uint32_t wanted_bytes = manifest_.segments[segment].frames[frame].bytes;
  if (bytes.size() != wanted_bytes || segment > GoodSegments()) {
    FrameDone(segment, book_.group_of(segment, frame), true);
  } else {
    Submit(segment, frame, bytes, held);
  }
  return Status();
}

void Restorer::Submit(uint32_t segment, uint32_t frame, ByteView bytes,
                      std::shared_ptr<Held> held) {
  DecodeJob job;
  job.spec = &model_->spec();
  job.model = model_->id();
  job.segment = &manifest_.segments[segment];
  job.frame = &job.segment->frames[frame];
  job.codec = FindCodec(job.segment->codec);
  job.profile = profiles_[segment];
  job.target = &*target_;
  job.slices = *slices_of_[segment][frame];
  job.bytes = bytes;
  {
    std::lock_guard lock(call_->mutex());
    ++running_;
  }
  // The pool of codec jobs has no limit of its own: this cannot fail.
  (void)core_->codecs.Submit(
      [this, job, segment, group = book_.group_of(segment, frame),
       held = std::move(held)](WorkerMemory& memory) mutable {
        const int64_t start_ns = CallContext::NowNs();
        TokenMask kept = kAllTokens;
        if (request_.accept_dropped) job.kept = &kept;
        const bool is_lost =
            call_->cancelled() || !DecodeFrame(job, &memory).ok();
        const int64_t took_ns = CallContext::NowNs() - start_ns;
        held.reset();
        FrameDone(segment, group, is_lost);
        // Held while notifying: the restorer may go as soon as it sees this.
        const auto call = call_;
        std::lock_guard lock(call->mutex());
        decode_ns_ += took_ns;
        kept_[segment] &= kept;
        if (!is_lost)
          raw_bytes_ += RawBytesOf(job.slices, job.segment->token_count);
        // Each frame's end is of interest to nobody; waking for it costs more
        // than to decode it.
        if (--running_ == 0) call->Notify();
      });
}

void Restorer::FrameDone(uint32_t segment, uint32_t group, bool is_lost) {
  const LayerGroup& layers = model_->groups()[group];
  {
    std::lock_guard lock(call_->mutex());
    if (is_lost) first_lost_ = std::min(first_lost_, segment);
    for (uint32_t i = 0; is_lost && i < layers.layer_count; ++i) {
      state_->layers[layers.first_layer + i] = RestoreState::Layer::kLost;
    }
    if (--frames_left_[group] != 0) return;
    for (uint32_t i = 0; i < layers.layer_count; ++i) {
      RestoreState::Layer& layer = state_->layers[layers.first_layer + i];
      if (layer == RestoreState::Layer::kComing) {
        layer = RestoreState::Layer::kHere;
      }
    }
  }
  call_->Notify();
  if (request_.on_layer == nullptr || call_->cancelled()) return;
  for (uint32_t i = 0; i < layers.layer_count; ++i) {
    request_.on_layer(layers.first_layer + i);
  }
}

void Restorer::GiveUp(const Part& part) {
  book_.GiveUp(part, [this](uint32_t segment, uint32_t group) {
    FrameDone(segment, group, true);
  });
}

uint32_t Restorer::GoodSegments() {
  std::lock_guard lock(call_->mutex());
  return std::min(book_.segment_count(), first_lost_);
}

std::vector<uint64_t> Restorer::Dropped(uint64_t end) const {
  std::vector<uint64_t> dropped;
  for (size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i] == kAllTokens) continue;
    const ManifestSegment& segment = manifest_.segments[i];
    for (uint32_t t = 0; t < segment.token_count; ++t) {
      const uint64_t position = segment.first_token + t;
      const bool is_kept = (kept_[i] >> t & 1) != 0;
      if (!is_kept && position < end) dropped.push_back(position);
    }
  }
  return dropped;
}

uint64_t Restorer::ValidEnd() {
  const uint32_t valid = GoodSegments();
  if (valid < manifest_.segments.size()) {
    return manifest_.segments[valid].first_token;
  }
  return result_.info.first_token + result_.info.tokens.size();
}

}  // namespace reprise
