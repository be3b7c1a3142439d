#include "client/saver.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "client/calls.h"
#include "client/device_rows.h"
#include "client/model.h"
#include "client/save_messages.h"
#include "client/session_calls.h"

namespace reprise {
namespace {

// How often a save starts again because others moved the head, or because the
// daemon lost what it had.
constexpr int kMaxTries = 8;
// Bounds the metadata of one Publish.
constexpr size_t kFramesAPublish = 8192;
constexpr size_t kItemsAPublish = 512;

std::vector<KvView> ViewsOf(const SaveRequest& request) {
  std::vector<KvView> views{request.kv};
  views.insert(views.end(), request.shards.begin(), request.shards.end());
  return views;
}

Status OverLimit(const char* what, uint64_t is, uint64_t limit) {
  return InvalidArgumentError(std::string("save: ") + what + " is " +
                              std::to_string(is) + ", the limit is " +
                              std::to_string(limit));
}

std::string Describe(const SessionVersion& version) {
  return std::to_string(version.version) + " of incarnation " +
         std::to_string(version.incarnation);
}

}  // namespace

Status CheckSaveRequest(std::string_view session, const SaveRequest& request) {
  if (request.model == nullptr) {
    return InvalidArgumentError("save: no model");
  }
  if (session.empty() || session.size() > kMaxSessionNameBytes) {
    return OverLimit("bytes of the session's name", session.size(),
                     kMaxSessionNameBytes);
  }
  if (request.tokens.size() > kMaxSessionTokens) {
    return OverLimit("tokens", request.tokens.size(), kMaxSessionTokens);
  }
  if (request.pending.size() > kMaxPendingTokens) {
    return OverLimit("pending tokens", request.pending.size(),
                     kMaxPendingTokens);
  }
  if (request.labels.size() > kMaxLabels) {
    return OverLimit("labels", request.labels.size(), kMaxLabels);
  }
  const Result<CodecChoice> choice = ParseCodecChoice(request.codec);
  if (!choice.ok()) return choice.status().WithContext("save");
  if (request.keep.empty()) return Status();
  if (request.keep.size() != request.tokens.size()) {
    return InvalidArgumentError(
        "save: keep is of " + std::to_string(request.keep.size()) +
        " tokens, there are " + std::to_string(request.tokens.size()));
  }
  if (!choice->codec->can_drop_tokens()) {
    return UnimplementedError("save: codec \"" + request.codec +
                              "\" can't drop tokens");
  }
  return Status();
}

Tier SavedTierOf(const SaveRequest& request) {
  const Tier tier = ParseCodecChoice(request.codec)->tier();
  const bool drops = std::find(request.keep.begin(), request.keep.end(),
                               uint8_t{0}) != request.keep.end();
  return drops ? WorseOf(tier, Tier::kArchive) : tier;
}

Saver::Saver(ClientCore* core, std::string_view session,
             const SaveRequest& request, std::shared_ptr<SaveState> state,
             bool keeps_view)
    : core_(core),
      session_(session),
      state_(std::move(state)),
      call_(state_->context),
      keeps_view_(keeps_view),
      model_(request.model),
      tokens_(request.tokens.begin(), request.tokens.end()),
      pending_(request.pending.begin(), request.pending.end()),
      basis_(request.basis),
      labels_(request.labels),
      expected_(request.expected == nullptr ? std::nullopt
                                            : std::optional(*request.expected)),
      synced_(request.synced),
      keep_(request.keep.begin(), request.keep.end()),
      chain_(model_->id(), tokens_),
      start_ns_(CallContext::NowNs()),
      views_(ViewsOf(request)),
      devices_(views_.size(), nullptr),
      encoding_{.choice = *ParseCodecChoice(request.codec)},
      rendition_(DrawRenditionId()) {
  encoding_.tier = SavedTierOf(request);
  // A tail will be sealed into a segment out of what is stored of it, if its
  // worker is gone by then: it stays exact.
  if (!encoding_.choice.codec->is_exact()) {
    tail_encoding_ = Encoding{.choice = {.codec = FindCodec(CodecId::kExact)}};
  }
}

Status Saver::TakeDevices() {
  for (size_t i = 0; i < views_.size(); ++i) {
    const KvDevice& device = views_[i].device;
    if (!device.is_device || views_[i].planes.empty()) continue;
    REPRISE_ASSIGN_OR_RETURN(devices_[i],
                             core_->devices.Encoder(device.ordinal));
    REPRISE_RETURN_IF_ERROR(
        devices_[i]->WaitFor(device.stream, device.ready_event));
  }
  return Status();
}

Result<SaveResult> Saver::Run() {
  REPRISE_RETURN_IF_ERROR(TakeSources());
  std::optional<SessionHead> head = core_->heads.Find(session_);
  bool is_guess = head.has_value();
  Status status;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    if (!head.has_value()) {
      REPRISE_ASSIGN_OR_RETURN(head, LoadHead(core_, call_, session_));
    }
    status = TryOn(*head);
    if (status.ok()) {
      result_.total_ms =
          static_cast<double>(CallContext::NowNs() - start_ns_) / 1e6;
      return result_;
    }
    core_->heads.Drop(session_);
    if (!status.Is(StatusCode::kFailedPrecondition)) return status;
    // Only another head can change the outcome.
    const SessionVersion tried = head->version;
    REPRISE_ASSIGN_OR_RETURN(head, LoadHead(core_, call_, session_));
    if (head->version == tried && !is_guess && !try_again_) return status;
    is_guess = false;
    try_again_ = false;
  }
  return status;
}

Status Saver::TakeSources() {
  for (size_t i = 0; i < views_.size(); ++i) {
    const KvView& view = views_[i];
    REPRISE_ASSIGN_OR_RETURN(KvSource map,
                             view.device.is_device
                                 ? KvSource::MakeOfDevice(model_->spec(), view)
                                 : KvSource::Make(model_->spec(), view));
    Source source{std::move(map), {}, devices_[i], {}};
    if (source.device != nullptr) {
      REPRISE_RETURN_IF_ERROR(
          CheckDeviceMemory(model_->spec(), source.map).WithContext("save"));
    }
    for (const LayerGroup& group : model_->groups()) {
      REPRISE_ASSIGN_OR_RETURN(
          source.slices.emplace_back(),
          SlicePlanes(model_->spec(), group, source.map.heads()));
    }
    sources_.push_back(std::move(source));
  }
  std::vector<HeadRange> heads;
  view_end_ = UINT64_MAX;
  for (const Source& source : sources_) {
    view_first_ = std::max(view_first_, source.map.first_token());
    view_end_ = std::min(view_end_, source.map.end_token());
    heads.push_back(source.map.heads());
  }
  std::sort(heads.begin(), heads.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  uint32_t covered = 0;
  for (const HeadRange& range : heads) {
    if (range.total != heads[0].total || range.first != covered) break;
    covered = uint32_t{range.first} + range.count;
  }
  if (covered == heads[0].total) return Status();
  return FailedPreconditionError(
      "save: the views hold heads up to " + std::to_string(covered) + " of " +
      std::to_string(heads[0].total) + ", each is wanted once");
}

Status Saver::CheckHead(const SessionHead& head) {
  if (expected_.has_value() && *expected_ != head.version) {
    return FailedPreconditionError("save: the head is at version " +
                                   Describe(head.version) + ", expected is " +
                                   Describe(*expected_));
  }
  if (!head.exists()) return Status();
  REPRISE_RETURN_IF_ERROR(CheckSameModel(core_, call_, *model_, head.model));
  return CheckHeadIsPrefix(head, chain_);
}

Status Saver::TryOn(const SessionHead& head) {
  REPRISE_RETURN_IF_ERROR(CheckHead(head));
  REPRISE_RETURN_IF_ERROR(StoreItems(head));
  if (head.exists() && head.tokens == tokens_.size() &&
      head.pending == pending_) {
    Finish(head, head.version);
    return Status();
  }
  return SwingHead(head);
}

Status Saver::StoreItems(const SessionHead& head) {
  // Anything that is stored counts; what is worse than ours is improved.
  REPRISE_ASSIGN_OR_RETURN(
      const MatchAnswer match,
      MatchChain(core_, call_, chain_, {}, /*lease_ms=*/0));
  const PlannedSave plan = PlanItems({.chain = &chain_,
                                      .head = &head,
                                      .stored = &match.stored,
                                      .tier = encoding_.tier,
                                      .basis = basis_,
                                      .view_first = view_first_,
                                      .view_end = view_end_,
                                      .missing = &missing_});
  if (captured_ && !keeps_view_) {
    if (plan.needed_first == plan.needed_end) return Status();
    return UnavailableError(
        "save: the daemon no longer has what it was sent from token " +
        std::to_string(plan.needed_first) + " on; save again");
  }
  REPRISE_RETURN_IF_ERROR(CheckSources(plan));
  REPRISE_RETURN_IF_ERROR(ChooseProfiles(plan));
  REPRISE_RETURN_IF_ERROR(PlaceProfiles(plan));
  return Upload(plan.items);
}

Status Saver::CheckSources(const PlannedSave& plan) {
  for (const Source& source : sources_) {
    REPRISE_RETURN_IF_ERROR(
        source.map.CheckTokens(plan.needed_first, plan.needed_end)
            .WithContext("save"));
    for (const PlannedItem& item : plan.items) {
      REPRISE_RETURN_IF_ERROR(source.map
                                  .CheckTokens(chain_.first_token(item.item),
                                               chain_.end_token(item.item))
                                  .WithContext("save"));
    }
  }
  return Status();
}

// --- Profiles. ---

Status Saver::ChooseProfiles(const PlannedSave& plan) {
  for (const PlannedItem& item : plan.items) {
    REPRISE_RETURN_IF_ERROR(ChooseProfile(&EncodingOf(item.item)));
  }
  return Status();
}

Status Saver::ChooseProfile(Encoding* encoding) {
  if (encoding->profile != nullptr) return Status();
  const Codec& codec = *encoding->choice.codec;
  const ProfileId known = model_->ProfileOf(codec.id());
  if (!known.IsZero()) {
    auto profile =
        GetParsedProfile(&core_->profiles, &core_->control, call_,
                         core_->options.request_timeout_ms, codec, known);
    if (profile.ok()) return UseProfile(*std::move(profile), encoding);
    const StatusCode code = profile.status().code();
    const bool lost =
        code == StatusCode::kNotFound || code == StatusCode::kDataLoss;
    if (!lost) return profile.status();
  }
  if (codec.id() == CodecId::kExact) return FitProfile(encoding);
  if (!codec.needs_profile()) return Status();
  return FailedPreconditionError("save: the daemon has no profile of codec " +
                                 std::string(codec.name()) +
                                 " for this model; `reprise calibrate " +
                                 std::string(codec.name()) + "` makes one");
}

Status Saver::PlaceProfiles(const PlannedSave& plan) {
  for (const PlannedItem& item : plan.items) {
    const ProfilePtr& profile = EncodingOf(item.item).profile;
    if (profile == nullptr) continue;
    for (Source& source : sources_) {
      if (source.device == nullptr) continue;
      REPRISE_RETURN_IF_ERROR(PlaceProfile(profile, &source));
    }
  }
  return Status();
}

Status Saver::PlaceProfile(const ProfilePtr& profile, Source* source) {
  if (source->profiles.contains(profile.get())) return Status();
  auto uploaded = core_->devices.Upload(source->device->shared_device(),
                                        profile, source->map.end_token());
  const Status status =
      uploaded.ok() ? (*uploaded)->PrepareToEncode() : uploaded.status();
  if (status.ok()) {
    source->profiles[profile.get()] = *std::move(uploaded);
    return Status();
  }
  // Without its tables the device hands rows to the host.
  if (!status.Is(StatusCode::kUnimplemented) &&
      !status.Is(StatusCode::kResourceExhausted)) {
    return status;
  }
  source->profiles[profile.get()] = nullptr;
  return Status();
}

Status Saver::UseProfile(ProfilePtr profile, Encoding* encoding) {
  REPRISE_ASSIGN_OR_RETURN(encoding->other_weights,
                           CheckProfileFits(model_->spec(), *profile));
  if (encoding->other_weights &&
      !model_->AcceptsOtherWeights(profile->codec())) {
    return OtherWeightsError(model_->spec(), *profile);
  }
  encoding->profile = std::move(profile);
  return Status();
}

Status Saver::FitProfile(Encoding* encoding) {
  // Tokens that are here anyway, also those that are stored already.
  const uint64_t first =
      (view_first_ + kSegmentTokens - 1) / kSegmentTokens * kSegmentTokens;
  const uint64_t end = std::min<uint64_t>(
      {view_end_, tokens_.size(), first + ExactProfileFitter::kWantedTokens});
  // With so few the codec does without; a later save fits one.
  if (sources_.size() != 1 || end < first + kSegmentTokens) return Status();
  if (!sources_[0].map.CheckTokens(first, end).ok()) return Status();
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes, FitExact(first, end));
  const Codec& codec = *encoding->choice.codec;
  REPRISE_ASSIGN_OR_RETURN(encoding->profile, codec.ParseProfile(bytes));
  core_->profiles.Add(encoding->profile);
  REPRISE_ASSIGN_OR_RETURN(
      const ProfileId id,
      UploadProfile(&core_->control, call_, core_->options.request_timeout_ms,
                    {model_->id(), codec.id(), bytes}));
  model_->SetProfile(codec.id(), id, /*other_weights=*/false);
  return Status();
}

Result<Bytes> Saver::FitExact(uint64_t first_token, uint64_t end_token) {
  ExactProfileFitter fitter(model_->spec());
  const Source& source = sources_[0];
  for (uint64_t token = first_token; token < end_token;
       token += kSegmentTokens) {
    if (call_->cancelled()) return UnavailableError("save: cancelled");
    const auto count = static_cast<uint32_t>(
        std::min<uint64_t>(kSegmentTokens, end_token - token));
    for (size_t group = 0; group < source.slices.size(); ++group) {
      REPRISE_RETURN_IF_ERROR(AddToFit(source, group, token, count, &fitter));
    }
  }
  return fitter.Fit();
}

Status Saver::AddToFit(const Source& source, size_t group, uint64_t first_token,
                       uint32_t count, ExactProfileFitter* fitter) {
  const std::vector<PlaneSlice>& slices = source.slices[group];
  const auto first = static_cast<uint32_t>(first_token);
  if (source.device == nullptr) {
    const GatheredRows rows =
        GatherGroup(source.map, slices, first_token, count);
    fitter->Add(first, count, slices, rows.rows);
    return Status();
  }
  DeviceEncodeUnit unit;
  unit.request.info.is_tail = count < kSegmentTokens;
  unit.request.info.first_token = first;
  unit.request.info.token_count = static_cast<uint16_t>(count);
  unit.request.slices = slices;
  unit.source = &source.map;
  REPRISE_ASSIGN_OR_RETURN(const std::shared_ptr<EncodedUnit> gathered,
                           source.device->Gather(unit));
  std::vector<ConstPlaneRows> rows;
  gathered->AppendRows(&rows);
  fitter->Add(first, count, slices, rows);
  return Status();
}

// --- Frames, renditions, the commit. ---

TokenMask Saver::KeptOf(uint32_t item) const {
  if (keep_.empty() || chain_.is_tail(item)) return kAllTokens;
  TokenMask kept = 0;
  for (uint32_t t = 0; t < kSegmentTokens; ++t) {
    const bool keeps = keep_[chain_.first_token(item) + t] != 0;
    kept |= TokenMask{keeps} << t;
  }
  return kept;
}

EncodeJob Saver::JobOf(uint32_t item, const Source& source, size_t group) {
  const Encoding& encoding = EncodingOf(item);
  EncodeJob job;
  job.codec = encoding.choice.codec;
  job.profile = encoding.profile.get();
  job.options = encoding.choice.options.get();
  job.tier = encoding.tier;
  job.kept = KeptOf(item);
  job.source = &source.map;
  job.device = source.device;
  const auto on_device = source.profiles.find(job.profile);
  if (on_device != source.profiles.end()) {
    job.device_profile = on_device->second.get();
  }
  job.slices = source.slices[group];
  job.group = model_->groups()[group];
  job.model = model_->id();
  job.segment = chain_.id(item);
  job.first_token = chain_.first_token(item);
  job.token_count = static_cast<uint32_t>(chain_.tokens_of(item).size());
  return job;
}

Status Saver::Upload(const std::vector<PlannedItem>& items) {
  std::vector<PlannedItem> left = items;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const size_t groups = model_->groups().size();
    const size_t jobs_an_item = groups * sources_.size();
    // Outlives the uploader, whose jobs write into it until it has gone.
    std::vector<UploadedFrames> frames;
    FrameUploader uploader({.core = core_,
                            .call = call_,
                            .rendition = rendition_,
                            .job_count = left.size() * jobs_an_item,
                            .job_at =
                                [&](size_t index) {
                                  return JobOf(
                                      left[index / jobs_an_item].item,
                                      sources_[index % jobs_an_item / groups],
                                      index % groups);
                                },
                            .on_captured = [this] { SetCaptured(); }});
    const Status status = uploader.Run(&frames);
    result_.raw_bytes += uploader.totals().raw_bytes;
    result_.device_bytes += uploader.totals().device_bytes;
    result_.frame_bytes += uploader.totals().frame_bytes;
    result_.wire_bytes += uploader.totals().wire_bytes;
    result_.encode_ms += static_cast<double>(uploader.totals().encode_ns) / 1e6;
    REPRISE_RETURN_IF_ERROR(status);
    std::vector<PlannedItem> again;
    REPRISE_RETURN_IF_ERROR(Publish(left, frames, &again));
    if (again.empty()) return Status();
    if (!keeps_view_) break;
    left = std::move(again);
  }
  return UnavailableError(
      "save: the daemon lost frames before they were published; save again");
}

RenditionParts Saver::PartsOf(uint32_t item) {
  const Encoding& encoding = EncodingOf(item);
  RenditionParts parts;
  parts.id = rendition_;
  parts.tier = encoding.tier;
  parts.codec = encoding.choice.codec->id();
  if (encoding.profile != nullptr) parts.profile = encoding.profile->id();
  parts.other_weights = encoding.other_weights;
  parts.writer = core_->options.writer;
  parts.token_bytes = model_->spec().token_bytes();
  for (const Source& source : sources_) {
    for (size_t group = 0; group < source.slices.size(); ++group) {
      const EncodeJob job = JobOf(item, source, group);
      for (uint8_t stage = 0; stage < StageCountOf(job); ++stage) {
        parts.frames.push_back(
            {job.group, source.map.heads(), stage, StageTierOf(job, stage)});
      }
    }
  }
  return parts;
}

Status Saver::Publish(const std::vector<PlannedItem>& items,
                      const std::vector<UploadedFrames>& frames,
                      std::vector<PlannedItem>* again) {
  const size_t each = frames.size() / std::max<size_t>(items.size(), 1);
  const size_t batch = std::clamp<size_t>(
      kFramesAPublish / std::max<size_t>(each * kMaxStages, 1), 1,
      kItemsAPublish);
  for (size_t first = 0; first < items.size();) {
    // Of one encoding.
    const uint32_t first_item = items[first].item;
    std::vector<PublishedItem> some;
    while (some.size() < batch && first + some.size() < items.size()) {
      const PlannedItem& item = items[first + some.size()];
      if (&EncodingOf(item.item) != &EncodingOf(first_item)) break;
      some.push_back(ItemOf(chain_, item));
    }
    const size_t count = some.size();
    const RenditionParts parts = PartsOf(first_item);
    std::vector<UploadedFrame> of_these;
    for (size_t job = first * each; job < (first + count) * each; ++job) {
      const size_t stages = parts.frames.size() / each;
      of_these.insert(of_these.end(), frames[job].begin(),
                      frames[job].begin() + stages);
    }
    const WireRequestPtr request =
        MakePublish(model_->id(), parts, some, of_these);
    std::vector<bool> missing;
    REPRISE_RETURN_IF_ERROR(
        ReadPublish(CallPatiently(request), count, &missing));
    for (size_t i = 0; i < count; ++i) {
      if (missing[i]) {
        again->push_back(items[first + i]);
      } else if (!chain_.is_tail(items[first + i].item)) {
        ++result_.new_segments;
      }
    }
    first += count;
  }
  return Status();
}

Status Saver::SwingHead(const SessionHead& head) {
  const CommitRecord record =
      MakeCommit(chain_, head, pending_, SystemClock().WallMs());
  REPRISE_RETURN_IF_ERROR(ValidateCommit(record));
  // Fixed once: after a lost answer the very same commit is sent again.
  const Bytes bytes = EncodeCommit(record);
  const WireRequestPtr request = MakeCommitRequest({.session = session_,
                                                    .expected = head.version,
                                                    .synced = synced_,
                                                    .labels = labels_},
                                                   bytes);
  REPRISE_ASSIGN_OR_RETURN(const CommitAnswer answer,
                           ReadCommit(CallPatiently(request)));
  if (!answer.missing.empty()) {
    missing_.insert(answer.missing.begin(), answer.missing.end());
    try_again_ = true;
    return FailedPreconditionError("save: the daemon misses " +
                                   std::to_string(answer.missing.size()) +
                                   " segments of the commit");
  }
  if (answer.version.head != CommitIdOf(bytes)) {
    return DataLossError("commit: the daemon's id is not the digest of " +
                         std::to_string(bytes.size()) + " bytes");
  }
  Finish(head, answer.version);
  return Status();
}

Result<WireAnswer> Saver::CallPatiently(const WireRequestPtr& request) {
  result_.wire_bytes += request->wire_bytes();
  return Call(&core_->control, request, call_,
              core_->options.request_timeout_ms, Retry::kPatiently);
}

void Saver::SetCaptured() {
  captured_ = true;
  if (keeps_view_) return;
  {
    std::lock_guard lock(call_->mutex());
    state_->captured = true;
  }
  call_->Notify();
}

void Saver::Finish(const SessionHead& head, const SessionVersion& version) {
  result_.version = version;
  result_.tokens = tokens_.size();
  result_.tail_tokens = tokens_.size() % kSegmentTokens;
  SessionHead next;
  next.version = version;
  next.model = model_->id();
  next.tokens = tokens_.size();
  next.pending = pending_;
  if (chain_.item_count() > 0) {
    const uint32_t last = chain_.item_count() - 1;
    next.last = chain_.id(last);
    next.last_first_token = chain_.first_token(last);
    const auto tokens = chain_.tokens_of(last);
    next.last_tokens.assign(tokens.begin(), tokens.end());
  }
  // Where nothing was swung, the head may end otherwise, by a cut.
  core_->heads.Put(session_, head.version == version ? head : next);
}

}  // namespace reprise
