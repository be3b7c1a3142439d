#include "client/restorer.h"

#include <algorithm>

#include "base/limits.h"
#include "client/calls.h"
#include "client/device_rows.h"
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

struct Restorer::Kept {
  Kept(FlightBudget* of, uint64_t reserved, ByteView frame)
      : budget(of),
        reserved_bytes(reserved),
        bytes(frame.begin(), frame.end()) {}
  ~Kept() {
    if (reserved_bytes > 0) budget->Give(reserved_bytes);
  }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  FlightBudget* const budget;
  const uint64_t reserved_bytes;
  const Bytes bytes;
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
  REPRISE_RETURN_IF_ERROR(
      CheckTiers("restore", {request.lowest, request.highest}));
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
      book_(static_cast<uint32_t>(model_->groups().size())),
      stream_is_stage_major_(request.progressive) {}

Result<RestoreResult> Restorer::Run() {
  REPRISE_ASSIGN_OR_RETURN(
      const WireRequestPtr fetch,
      MakeFetch(request_.commit, {.first_token = request_.first_token,
                                  .end_token = request_.end_token,
                                  .token_major = request_.token_major,
                                  .stage_major = request_.progressive}));
  REPRISE_ASSIGN_OR_RETURN(const WireAnswer first, Begin(fetch));
  REPRISE_RETURN_IF_ERROR(TakeManifest(first));
  REPRISE_RETURN_IF_ERROR(LoadProfiles());
  REPRISE_RETURN_IF_ERROR(PlanFrames());
  REPRISE_RETURN_IF_ERROR(TakeSink());
  REPRISE_RETURN_IF_ERROR(TakeStreams(first.header.end()));
  decoder_->WaitForJobs();
  if (call_->cancelled()) return UnavailableError("restore: cancelled");
  if (device_ != nullptr) {
    REPRISE_RETURN_IF_ERROR(device_->failure().WithContext("restore"));
  }
  pending_ = Pending();
  core_->fetches.Return(std::move(connection_));
  const uint32_t good = decoder_->GoodSegments();
  for (uint32_t i = 0; i < good; ++i) {
    manifest_.segments[i].tier = decoder_->TierInPlace(i);
  }
  result_.info.ranges = RangesOf(manifest_);
  result_.valid_end = ValidEnd();
  const uint64_t wanted =
      std::max(request_.first_token,
               std::min(request_.end_token, manifest_.token_count));
  if (result_.valid_end < wanted) result_.recompute_from = result_.valid_end;
  result_.dropped = decoder_->Dropped(result_.valid_end);
  decoder_->AddStats(&result_);
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
  fetch.highest_tier = static_cast<uint8_t>(request_.highest);
  fetch.token_major = range.token_major;
  fetch.stage_major = range.stage_major;
  fetch.first_stage = static_cast<uint8_t>(range.first_stage);
  fetch.stage_count = static_cast<uint8_t>(range.stage_count);
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
  range.first_stage = part.first_stage;
  range.stage_count = part.end_stage - part.first_stage;
  // Where there was no memory for frames that wait, none must wait long.
  range.token_major = request_.token_major && !has_forgotten_;
  range.stage_major = request_.progressive && !has_forgotten_;
  return MakeFetch(manifest_.version.head, range);
}

void Restorer::Send(const WireRequestPtr& fetch) {
  pending_ = Pending();
  if (connection_ != nullptr) core_->fetches.Return(std::move(connection_));
  connection_ = core_->fetches.Take();
  pending_ = connection_->Start(fetch, call_);
  pending_.ReceiveInto(bodies_);
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
  decoder_.emplace(FrameDecoder::Options{core_, state_, &request_});
  for (const ManifestSegment& segment : manifest_.segments) {
    if (segment.tier == Tier::kTokens) break;
    std::vector<FrameBook::Place> places;
    for (const ManifestFrame& frame : segment.frames) {
      const auto group = static_cast<uint32_t>(
          std::find(groups.begin(), groups.end(), frame.layers) -
          groups.begin());
      places.push_back({group, frame.stage});
    }
    REPRISE_RETURN_IF_ERROR(
        decoder_->AddSegment(&segment, profiles_[book_.segment_count()]));
    book_.AddSegment(places);
  }
  stream_usable_ = book_.segment_count();
  return Status();
}

Status Restorer::TakeSink() {
  REPRISE_RETURN_IF_ERROR(call_->Check());
  result_.info = InfoOf(manifest_, request_.first_token);
  const RestoreInfo& info = result_.info;
  REPRISE_ASSIGN_OR_RETURN(const KvSink sink, request_.make_sink(info));
  REPRISE_ASSIGN_OR_RETURN(target_,
                           sink.device.is_device
                               ? KvTarget::MakeOfDevice(model_->spec(), sink)
                               : KvTarget::Make(model_->spec(), sink));
  decoder_->set_target(&*target_);
  REPRISE_RETURN_IF_ERROR(
      target_
          ->CheckTokens(info.first_token, info.first_token + info.tokens.size())
          .WithContext("restore"));
  if (sink.device.is_device && !sink.planes.empty()) {
    REPRISE_RETURN_IF_ERROR(UseDevice(sink.device));
  }
  bodies_ = device_ == nullptr ? nullptr : device_->bodies();
  pending_.ReceiveInto(bodies_);
  core_->devices.NoteBodies(bodies_);
  return Status();
}

Status Restorer::UseDevice(const KvDevice& device) {
  const size_t layers = model_->spec().layers.size();
  const size_t events = device.layer_events.size();
  if (events != 0 && events != layers) {
    return InvalidArgumentError("restore: " + std::to_string(events) +
                                " layer events, the model has " +
                                std::to_string(layers) + " layers");
  }
  REPRISE_RETURN_IF_ERROR(
      CheckDeviceMemory(model_->spec(), *target_).WithContext("restore"));
  REPRISE_ASSIGN_OR_RETURN(device_, core_->devices.Decoder(device.ordinal));
  FrameDecoder::DeviceProfiles profiles;
  for (const ProfilePtr& profile : kept_profiles_) {
    REPRISE_ASSIGN_OR_RETURN(
        profiles[profile.get()],
        core_->devices.Upload(device_->shared_device(), profile,
                              target_->end_token()));
  }
  for (uint32_t i = 0; i < book_.segment_count(); ++i) {
    const CodecId codec = manifest_.segments[i].codec;
    if (FindGpuCodec(codec) == nullptr) {
      return UnimplementedError("restore: there are no kernels for codec " +
                                std::string(CodecIdName(codec)));
    }
  }
  REPRISE_RETURN_IF_ERROR(device_->WaitFor(device.stream, device.ready_event));
  decoder_->UseDevice(device_, device, std::move(profiles));
  return Status();
}

// --- Streams. ---

Status Restorer::TakeStreams(bool ended) {
  Status status = TakeStream(book_.Whole(), ended);
  uint64_t progress = 0;
  for (;;) {
    if (!status.ok()) {
      const Status failure = WaitToResume(status);
      if (!failure.ok()) {
        if (MayEnd(failure)) break;
        return failure;
      }
    } else if (has_forgotten_ && decided_ + book_.came_count() == progress) {
      break;  // whatever order the daemon sends in, it does not help
    } else {
      progress = decided_ + book_.came_count();
    }
    const std::optional<Part> part = NextMissing();
    if (!part.has_value()) break;
    status = Resume(*part);
  }
  // What comes after a lost frame is of no use: it was not asked for again.
  book_.BeginStream();
  GiveUp(book_.Whole());
  return Status();
}

std::optional<FrameBook::Part> Restorer::NextMissing() {
  FrameBook::Missing missing{.end_segment = decoder_->GoodSegments(),
                             .token_major = request_.token_major};
  if (request_.progressive) {
    FrameBook::Missing base = missing;
    base.end_stage = 1;
    base.never_came = true;
    if (const auto part = book_.NextMissing(base)) return part;
  }
  // What is kept makes room for others when it is complete.
  FrameBook::Missing waited_for = missing;
  waited_for.with_base_only = true;
  if (const auto part = book_.NextMissing(waited_for)) return part;
  return book_.NextMissing(missing);
}

bool Restorer::MayEnd(const Status& failure) {
  const bool is_lost_for_good = failure.Is(StatusCode::kUnavailable) ||
                                failure.Is(StatusCode::kDeadlineExceeded);
  return is_lost_for_good && request_.progressive && !call_->cancelled() &&
         decoder_->IsUsable();
}

Status Restorer::TakeStream(const Part& part, bool ended) {
  while (!ended) {
    REPRISE_ASSIGN_OR_RETURN(WireAnswer answer, NextAnswer());
    ended = answer.header.end();
    REPRISE_RETURN_IF_ERROR(TakeFrames(std::move(answer)));
    if (comes_in_vain_) {
      pending_ = Pending();  // tells the daemon
      return Status();
    }
  }
  GiveUp(part);
  return Status();
}

Status Restorer::Resume(const Part& part) {
  REPRISE_ASSIGN_OR_RETURN(const WireRequestPtr fetch, MakeFetchOf(part));
  stream_is_compact_ = has_forgotten_;
  stream_is_stage_major_ = request_.progressive && !has_forgotten_;
  comes_in_vain_ = false;
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
  Part changed = book_.Whole();
  changed.first_segment = stream_usable_;
  changed.end_segment = stream_end_;
  changed.end_group = part.end_group;
  GiveUp(changed);
  return TakeStream(part, answer.header.end());
}

Status Restorer::WaitToResume(const Status& failure) {
  if (!failure.Is(StatusCode::kUnavailable) || call_->cancelled()) {
    return failure;
  }
  if (failures_ == 0 || book_.progress() != progress_at_failure_) {
    failures_ = 0;
    progress_at_failure_ = book_.progress();
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
  KeepWaiting(held);
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
  // A base that could not be kept must come again to be refined, and with it
  // what this stream would bring.
  const ManifestFrame& is = manifest_.segments[segment].frames[frame];
  comes_in_vain_ = has_forgotten_ && stream_is_stage_major_ && is.stage > 0;
  if (bytes.size() != is.bytes || segment > decoder_->GoodSegments()) {
    Settle(segment, frame, {});
  } else {
    Settle(segment, frame, {bytes, held});
  }
  return Status();
}

void Restorer::Settle(uint32_t segment, uint32_t frame, FrameBytes bytes) {
  const ManifestSegment& of = manifest_.segments[segment];
  if (of.stage_count() == 1) {
    std::vector<FrameBytes> frames;
    if (bytes.is_here()) frames.push_back(std::move(bytes));
    decoder_->Submit(segment, frame, std::move(frames), true);
    return;
  }
  const UnitKey key{segment, frame % of.units()};
  OpenUnit& open = open_[key];
  if (bytes.is_here()) {
    open.frames[frame / of.units()] = std::move(bytes);
    touched_.push_back(key);
  }
  Advance(key);
}

void Restorer::Advance(UnitKey key) {
  const auto [segment, unit] = key;
  const ManifestSegment& of = manifest_.segments[segment];
  OpenUnit& open = open_[key];
  uint32_t here = 0;
  while (here < of.stage_count() && open.frames[here].is_here()) ++here;
  const bool is_last = here == of.stage_count() ||
                       book_.is_taken(segment, here * of.units() + unit);
  const bool is_better =
      request_.progressive && of.tier_of(here) < of.tier_of(open.submitted);
  if (!is_last && !is_better) return;
  decoder_->Submit(segment, unit,
                   {open.frames.begin(), open.frames.begin() + here}, is_last);
  open.submitted = std::max(open.submitted, here);
  if (!is_last) return;
  open_.erase(key);
  if (overdraft_ == key) overdraft_.reset();
  ++decided_;
}

void Restorer::KeepWaiting(const std::shared_ptr<Held>& held) {
  for (const UnitKey& key : touched_) {
    const auto open = open_.find(key);
    if (open == open_.end()) continue;
    for (uint32_t stage = 0; stage < kMaxStages; ++stage) {
      if (open->second.frames[stage].owner == held) Keep(key, stage);
    }
  }
  touched_.clear();
}

// What is beyond the memory for such frames is kept of one unit only: in an
// order in which stages come together no more is ever needed, and so each
// stream brings the end nearer.
void Restorer::Keep(UnitKey key, uint32_t stage) {
  uint64_t bytes = open_[key].frames[stage].bytes.size();
  if (!core_->kept_bytes.TryTake(bytes)) {
    bytes = 0;
    if (overdraft_.has_value() && *overdraft_ != key) {
      if (!stream_is_compact_) return Forget(key, stage);
      for (uint32_t s = 0; s < kMaxStages; ++s) Forget(*overdraft_, s);
    }
    overdraft_ = key;
  }
  FrameBytes& frame = open_[key].frames[stage];
  const auto kept =
      std::make_shared<Kept>(&core_->kept_bytes, bytes, frame.bytes);
  frame = {kept->bytes, kept};
}

void Restorer::Forget(UnitKey key, uint32_t stage) {
  FrameBytes& frame = open_[key].frames[stage];
  if (!frame.is_here()) return;
  frame = {};
  book_.Forget(key.first,
               stage * manifest_.segments[key.first].units() + key.second);
  has_forgotten_ = true;
}

void Restorer::GiveUp(const Part& part) {
  book_.GiveUp(part, [this](uint32_t segment, uint32_t frame) {
    Settle(segment, frame, {});
  });
}

uint64_t Restorer::ValidEnd() {
  const uint32_t valid = decoder_->GoodSegments();
  if (valid < manifest_.segments.size()) {
    return manifest_.segments[valid].first_token;
  }
  return result_.info.first_token + result_.info.tokens.size();
}

}  // namespace reprise
