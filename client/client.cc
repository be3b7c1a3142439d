#include "client/client.h"

#include <algorithm>
#include <mutex>

#include "base/limits.h"
#include "client/calls.h"
#include "client/client_core.h"
#include "client/exporter.h"
#include "client/importer.h"
#include "client/match_ticket.h"
#include "client/model.h"
#include "client/profiles.h"
#include "client/restorer.h"
#include "client/saver.h"
#include "client/session_calls.h"
#include "client/tickets.h"
#include "codec/klt_profile.h"

namespace reprise {
namespace {

// Of a session's history, how much Describe shows.
constexpr uint32_t kDescribedCommits = kKeptCommits;

std::vector<std::pair<std::string, std::string>> LabelsOf(
    const flatbuffers::Vector<flatbuffers::Offset<wire::Label>>* labels) {
  std::vector<std::pair<std::string, std::string>> out;
  if (labels == nullptr) return out;
  for (const wire::Label* label : *labels) {
    out.emplace_back(TextFromWire(label->key()), TextFromWire(label->value()));
  }
  return out;
}

EffectivePolicy EffectiveOf(const wire::EffectivePolicy* effective) {
  EffectivePolicy out;
  if (effective == nullptr) return out;
  out.policy = TextFromWire(effective->policy());
  out.ttl_ms = effective->ttl_ms();
  out.problem = TextFromWire(effective->problem());
  if (effective->codecs() == nullptr) return out;
  for (const wire::TierCodec* each : *effective->codecs()) {
    const Result<Tier> tier = TierFromValue(each->tier());
    if (!tier.ok()) continue;
    out.codecs.push_back({*tier, std::string(TextFromWire(each->codec()))});
  }
  return out;
}

// Of a Session or a SettingsReply.
template <typename Table>
SessionSettings SettingsOf(const Table& table) {
  return {std::string(TextFromWire(table.policy())), table.ttl_ms(),
          table.pinned_until_ms()};
}

SessionSummary SummaryOf(const wire::Session& session) {
  SessionSummary out;
  out.name = TextFromWire(session.name());
  out.model = IdFromWire<ModelId>(session.model());
  out.version = {session.incarnation(), session.version(),
                 IdFromWire<CommitId>(session.head())};
  out.tokens = session.token_count();
  out.created_ms = session.created_ms();
  out.changed_ms = session.changed_ms();
  out.last_use_ms = session.last_use_ms();
  out.labels = LabelsOf(session.labels());
  out.settings = SettingsOf(session);
  return out;
}

SessionDetails DetailsOf(const wire::DescribeReply& reply) {
  SessionDetails out;
  if (reply.session() != nullptr) out.summary = SummaryOf(*reply.session());
  if (reply.history() != nullptr) {
    for (const wire::CommitLine* line : *reply.history()) {
      out.history.push_back({IdFromWire<CommitId>(line->commit()),
                             IdFromWire<CommitId>(line->parent()),
                             line->token_count(), line->pending_count(),
                             line->time_ms()});
    }
  }
  out.raw_bytes = reply.raw_bytes();
  out.values = reply.values();
  out.frame_bytes = reply.frame_bytes();
  out.record_bytes = reply.record_bytes();
  out.profile_bytes = reply.profile_bytes();
  out.other_weights_segments = reply.other_weights_segments();
  out.effective = EffectiveOf(reply.effective());
  if (reply.segments_by_tier() == nullptr) return out;
  for (uint32_t i = 0; i < reply.segments_by_tier()->size(); ++i) {
    const uint64_t segments = reply.segments_by_tier()->Get(i);
    const auto tier = TierFromValue(static_cast<uint8_t>(std::min(i, 255u)));
    if (segments > 0 && tier.ok()) {
      out.segments_by_tier.emplace_back(*tier, segments);
    }
  }
  return out;
}

class ClientImpl final : public Client {
 public:
  explicit ClientImpl(const ClientOptions& options) : core_(options) {}
  ~ClientImpl() override { CancelAll(); }

  // One request, so that what is wrong shows at once.
  Status SayHello() { return List("", "", 1).status(); }

  Result<Model> RegisterModel(const ModelSpec& spec) override;
  Result<ModelSpec> GetModelSpec(const ModelId& model) override {
    return FetchModelSpec(&core_, core_.ShortCall(), model);
  }
  Result<ProfileId> PutProfile(const Model& model, CodecId codec,
                               ByteView profile,
                               const PutProfileOptions& options) override;
  Result<Bytes> GetProfile(const ProfileId& profile) override {
    return FetchProfile(&core_.control, core_.LongCall(),
                        core_.options.request_timeout_ms, profile);
  }

  Result<MatchResultInfo> Match(const Model& model,
                                std::span<const TokenId> tokens,
                                const MatchOptions& options) override;

  Result<SavePlan> PlanSave(std::string_view session,
                            const SaveRequest& request) override;
  Result<SaveResult> Save(std::string_view session,
                          const SaveRequest& request) override;
  Result<std::unique_ptr<SaveTicket>> SaveAsync(
      std::string_view session, const SaveRequest& request) override;
  Result<RestoreResult> Restore(std::string_view session,
                                const RestoreRequest& request) override;
  Result<std::unique_ptr<RestoreTicket>> RestoreAsync(
      std::string_view session, const RestoreRequest& request) override;

  Result<SessionVersion> Fork(std::string_view from, const CommitId& commit,
                              std::string_view to) override;
  Result<SessionVersion> Rewind(std::string_view session,
                                const CommitId& commit) override;
  Result<SessionVersion> RewindToToken(
      std::string_view session, uint64_t tokens,
      std::span<const TokenId> pending) override;
  Status Remove(std::string_view session) override;
  Result<SettingsResult> SetPolicy(std::string_view session,
                                   const PolicyUpdate& update) override;
  Result<SettingsResult> Pin(std::string_view session,
                             int64_t until_ms) override;
  Result<SettingsResult> Unpin(std::string_view session) override {
    return CallForSettings(MessageType::kPin, PinOf(session, 0));
  }
  Result<std::vector<SessionSummary>> List(std::string_view prefix,
                                           std::string_view cursor,
                                           uint32_t limit) override;
  Result<SessionDetails> Describe(std::string_view session) override;

  Status Export(std::string_view session,
                const std::function<Status(ByteView)>& write) override {
    return Exporter(&core_, session, write).Run();
  }
  Result<SessionVersion> Import(
      std::string_view session,
      const std::function<Result<size_t>(MutableByteView)>& read) override {
    return Importer(&core_, session, read).Run();
  }

  Result<std::string> Stats() override;
  Result<std::string> RunFsck(
      bool read_frames,
      const std::function<void(uint64_t, uint64_t)>& progress) override;
  Result<std::string> RunCollection() override;
  Result<std::string> Compact(const CompactCall& call) override;
  Result<std::string> Scrub(const ScrubCall& call) override;

  Traffic traffic() const override {
    return {core_.traffic.sent_bytes, core_.traffic.received_bytes};
  }

 private:
  Result<std::shared_ptr<SaveState>> StartSave(std::string_view session,
                                               const SaveRequest& request,
                                               bool keeps_view);
  Result<SessionVersion> RewindTo(std::string_view session,
                                  const wire::RewindT& target);
  using JobProgress = std::function<void(uint64_t, uint64_t, std::string_view)>;
  Result<std::string> RunJob(const wire::JobT& job,
                             const JobProgress& progress);
  template <typename Native>
  Result<SessionVersion> CallForVersion(MessageType type, const Native& native);
  template <typename Native>
  Result<SettingsResult> CallForSettings(MessageType type,
                                         const Native& native);
  static wire::PinT PinOf(std::string_view session, int64_t until_ms) {
    wire::PinT pin;
    pin.session = session;
    pin.until_ms = until_ms;
    return pin;
  }
  // Calls that must end before the client does.
  void Remember(const std::shared_ptr<CallContext>& call);
  void CancelAll();

  std::mutex mutex_;
  std::vector<std::weak_ptr<CallContext>> calls_;
  ClientCore core_;
};

// --- Models and profiles. ---

Result<Model> ClientImpl::RegisterModel(const ModelSpec& spec) {
  REPRISE_RETURN_IF_ERROR(ValidateModelSpec(spec));
  auto model = std::make_shared<RegisteredModel>(spec);
  const WireRequestPtr request = MakeRequest(
      MessageType::kPutModel, wire::PutModelT(), {EncodeModelSpec(spec)});
  REPRISE_ASSIGN_OR_RETURN(
      const auto reply, ReadReply<wire::PutModelReply>(Call(
                            &core_.control, request, core_.ShortCall(),
                            core_.options.request_timeout_ms, Retry::kOnce)));
  if (IdFromWire<ModelId>(reply->model()) != model->id()) {
    return DataLossError("model: the daemon's id is not ours, " +
                         model->id().ShortHex());
  }
  if (reply->profiles() != nullptr) {
    for (const wire::ProfileOfCodec* known : *reply->profiles()) {
      model->SetProfile(static_cast<CodecId>(known->codec()),
                        IdFromWire<ProfileId>(known->profile()),
                        known->other_weights());
    }
  }
  return Model(std::move(model));
}

Result<ProfileId> ClientImpl::PutProfile(const Model& model, CodecId codec,
                                         ByteView profile,
                                         const PutProfileOptions& options) {
  if (model == nullptr) return InvalidArgumentError("profile: no model");
  bool other_weights = false;
  // Those of other codecs name no weights, and are checked when they are used.
  if (codec == CodecId::kKlt) {
    REPRISE_ASSIGN_OR_RETURN(const auto parsed, KltProfile::Parse(profile));
    REPRISE_ASSIGN_OR_RETURN(other_weights,
                             CheckProfileFits(model->spec(), *parsed));
    if (other_weights && !options.accept_other_weights) {
      return OtherWeightsError(model->spec(), *parsed);
    }
  }
  REPRISE_ASSIGN_OR_RETURN(
      const ProfileId id,
      UploadProfile(&core_.control, core_.LongCall(),
                    core_.options.request_timeout_ms,
                    {model->id(), codec, profile, other_weights}));
  model->SetProfile(codec, id, other_weights);
  return id;
}

// --- Match, save, restore. ---

Result<MatchResultInfo> ClientImpl::Match(const Model& model,
                                          std::span<const TokenId> tokens,
                                          const MatchOptions& options) {
  if (model == nullptr) return InvalidArgumentError("match: no model");
  if (tokens.size() > kMaxSessionTokens || options.lease_ms < 0 ||
      options.lease_ms > kMaxLeaseMs) {
    return InvalidArgumentError(
        "match: " + std::to_string(tokens.size()) + " tokens and a lease of " +
        std::to_string(options.lease_ms) + " ms, at most " +
        std::to_string(kMaxSessionTokens) + " and " +
        std::to_string(kMaxLeaseMs));
  }
  REPRISE_RETURN_IF_ERROR(
      CheckTiers("match", {options.lowest, options.highest}));
  const TokenChain chain(model->id(), tokens);
  REPRISE_ASSIGN_OR_RETURN(
      MatchAnswer match,
      MatchChain(&core_, core_.ShortCall(), chain,
                 {options.lowest, options.highest}, options.lease_ms));
  MatchResultInfo out;
  out.tokens = match.stored.tokens(chain);
  out.ranges = std::move(match.ranges);
  out.costs = std::move(match.costs);
  out.bytes_to_move = match.bytes_to_move;
  out.expected_ms = match.expected_ms;
  if (match.lease != 0 && out.tokens > 0) {
    out.ticket = EncodeMatchTicket({match.lease, model->id(), out.tokens});
  }
  return out;
}

Result<SavePlan> ClientImpl::PlanSave(std::string_view session,
                                      const SaveRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckSaveRequest(session, request));
  const RegisteredModel& model = *request.model;
  const auto call = core_.ShortCall();
  const TokenChain chain(model.id(), request.tokens);
  REPRISE_ASSIGN_OR_RETURN(const SessionHead head,
                           LoadHead(&core_, call, session));
  if (head.exists()) {
    REPRISE_RETURN_IF_ERROR(CheckSameModel(&core_, call, model, head.model));
    REPRISE_RETURN_IF_ERROR(CheckHeadIsPrefix(head, chain));
  }
  REPRISE_ASSIGN_OR_RETURN(const MatchAnswer match,
                           MatchChain(&core_, call, chain, {}, /*lease_ms=*/0));
  const PlannedSave plan = PlanItems({.chain = &chain,
                                      .head = &head,
                                      .stored = &match.stored,
                                      .tier = SavedTierOf(request),
                                      .basis = request.basis});
  return SavePlan{plan.needed_first, plan.wanted_first,
                  match.stored.tokens(chain), head.version};
}

Result<std::shared_ptr<SaveState>> ClientImpl::StartSave(
    std::string_view session, const SaveRequest& request, bool keeps_view) {
  REPRISE_RETURN_IF_ERROR(CheckSaveRequest(session, request));
  auto state = std::make_shared<SaveState>(core_.LongCall());
  auto saver =
      std::make_shared<Saver>(&core_, session, request, state, keeps_view);
  REPRISE_RETURN_IF_ERROR(saver->TakeDevices());
  REPRISE_RETURN_IF_ERROR(
      core_.saves.Submit([saver, state](WorkerMemory&) mutable {
        Result<SaveResult> result = saver->Run();
        saver = nullptr;
        SetResult(state.get(), std::move(result));
      }));
  Remember(state->context);
  return state;
}

Result<SaveResult> ClientImpl::Save(std::string_view session,
                                    const SaveRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(auto state,
                           StartSave(session, request, /*keeps_view=*/true));
  return SaveTicketImpl(std::move(state)).Wait();
}

Result<std::unique_ptr<SaveTicket>> ClientImpl::SaveAsync(
    std::string_view session, const SaveRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(auto state,
                           StartSave(session, request, /*keeps_view=*/false));
  return std::unique_ptr<SaveTicket>(
      std::make_unique<SaveTicketImpl>(std::move(state)));
}

Result<RestoreResult> ClientImpl::Restore(std::string_view session,
                                          const RestoreRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(auto ticket, RestoreAsync(session, request));
  return ticket->Wait();
}

Result<std::unique_ptr<RestoreTicket>> ClientImpl::RestoreAsync(
    std::string_view session, const RestoreRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckRestoreRequest(session, request));
  auto state = std::make_shared<RestoreState>(core_.LongCall(), request.model);
  auto restorer = std::make_shared<Restorer>(&core_, session, request, state);
  REPRISE_RETURN_IF_ERROR(
      core_.restores.Submit([restorer, state](WorkerMemory&) mutable {
        Result<RestoreResult> result = restorer->Run();
        restorer = nullptr;  // waits for its jobs
        SetResult(state.get(), std::move(result));
      }));
  Remember(state->context);
  return std::unique_ptr<RestoreTicket>(
      std::make_unique<RestoreTicketImpl>(std::move(state)));
}

void ClientImpl::Remember(const std::shared_ptr<CallContext>& call) {
  std::lock_guard lock(mutex_);
  std::erase_if(calls_, [](const auto& weak) { return weak.expired(); });
  calls_.push_back(call);
}

void ClientImpl::CancelAll() {
  std::lock_guard lock(mutex_);
  for (const auto& weak : calls_) {
    if (const auto call = weak.lock()) call->Cancel();
  }
}

// --- Sessions. ---

template <typename Native>
Result<SessionVersion> ClientImpl::CallForVersion(MessageType type,
                                                  const Native& native) {
  REPRISE_ASSIGN_OR_RETURN(
      const CommitAnswer answer,
      ReadCommit(Call(&core_.control, MakeRequest(type, native),
                      core_.ShortCall(), core_.options.request_timeout_ms,
                      Retry::kOnce)));
  if (answer.missing.empty()) return answer.version;
  return FailedPreconditionError(
      "session: " + std::to_string(answer.missing.size()) +
      " of the commit's segments are gone");
}

Result<SessionVersion> ClientImpl::Fork(std::string_view from,
                                        const CommitId& commit,
                                        std::string_view to) {
  wire::ForkT fork;
  fork.from = from;
  fork.commit = OptionalIdToWire(commit);
  fork.to = to;
  return CallForVersion(MessageType::kFork, fork);
}

Result<SessionVersion> ClientImpl::RewindTo(std::string_view session,
                                            const wire::RewindT& target) {
  core_.heads.Drop(session);
  REPRISE_ASSIGN_OR_RETURN(const SessionDetails details, Describe(session));
  wire::RewindT rewind = target;
  rewind.session = session;
  rewind.expected_incarnation = details.summary.version.incarnation;
  rewind.expected_version = details.summary.version.version;
  return CallForVersion(MessageType::kRewind, rewind);
}

Result<SessionVersion> ClientImpl::Rewind(std::string_view session,
                                          const CommitId& commit) {
  if (commit.IsZero()) return InvalidArgumentError("rewind: no commit");
  wire::RewindT target;
  target.commit = OptionalIdToWire(commit);
  return RewindTo(session, target);
}

Result<SessionVersion> ClientImpl::RewindToToken(
    std::string_view session, uint64_t tokens,
    std::span<const TokenId> pending) {
  wire::RewindT target;
  target.token_count = tokens;
  target.pending.assign(pending.begin(), pending.end());
  return RewindTo(session, target);
}

Status ClientImpl::Remove(std::string_view session) {
  core_.heads.Drop(session);
  wire::RemoveT remove;
  remove.session = session;
  return Call(&core_.control, MakeRequest(MessageType::kRemove, remove),
              core_.ShortCall(), core_.options.request_timeout_ms, Retry::kOnce)
      .status();
}

template <typename Native>
Result<SettingsResult> ClientImpl::CallForSettings(MessageType type,
                                                   const Native& native) {
  REPRISE_ASSIGN_OR_RETURN(const auto reply,
                           CallFor<wire::SettingsReply>(
                               &core_.control, type, native, core_.ShortCall(),
                               core_.options.request_timeout_ms));
  return SettingsResult{SettingsOf(*reply.table),
                        EffectiveOf(reply->effective())};
}

Result<SettingsResult> ClientImpl::SetPolicy(std::string_view session,
                                             const PolicyUpdate& update) {
  wire::SetPolicyT set;
  set.session = session;
  if (update.policy) {
    set.policy = *update.policy;
    set.default_policy = update.policy->empty();
  }
  if (update.ttl_ms) {
    if (*update.ttl_ms < 0) {
      return InvalidArgumentError("policy: ttl is " +
                                  std::to_string(*update.ttl_ms) +
                                  " ms, at least 0 is wanted");
    }
    set.ttl_ms = *update.ttl_ms;
  }
  return CallForSettings(MessageType::kSetPolicy, set);
}

Result<SettingsResult> ClientImpl::Pin(std::string_view session,
                                       int64_t until_ms) {
  if (until_ms <= 0) {
    return InvalidArgumentError("pin: until " + std::to_string(until_ms) +
                                ", a time after 1970 is wanted");
  }
  return CallForSettings(MessageType::kPin, PinOf(session, until_ms));
}

Result<std::vector<SessionSummary>> ClientImpl::List(std::string_view prefix,
                                                     std::string_view cursor,
                                                     uint32_t limit) {
  wire::ListT list;
  list.prefix = prefix;
  list.cursor = cursor;
  list.limit = limit;
  REPRISE_ASSIGN_OR_RETURN(
      const auto reply,
      CallFor<wire::ListReply>(&core_.control, MessageType::kList, list,
                               core_.ShortCall(),
                               core_.options.request_timeout_ms));
  std::vector<SessionSummary> out;
  if (reply->sessions() == nullptr) return out;
  for (const wire::Session* session : *reply->sessions()) {
    out.push_back(SummaryOf(*session));
  }
  return out;
}

Result<SessionDetails> ClientImpl::Describe(std::string_view session) {
  wire::DescribeT describe;
  describe.session = session;
  describe.with_sizes = true;
  describe.commits = kDescribedCommits;
  REPRISE_ASSIGN_OR_RETURN(
      const auto reply,
      CallFor<wire::DescribeReply>(&core_.control, MessageType::kDescribe,
                                   describe, core_.ShortCall(),
                                   core_.options.request_timeout_ms));
  return DetailsOf(*reply.table);
}

// --- Operations. ---

Result<std::string> ClientImpl::Stats() {
  REPRISE_ASSIGN_OR_RETURN(
      const auto reply,
      CallFor<wire::StatsReply>(&core_.control, MessageType::kStats,
                                wire::StatsT(), core_.ShortCall(),
                                core_.options.request_timeout_ms));
  return std::string(TextFromWire(reply->json()));
}

Result<std::string> ClientImpl::RunJob(const wire::JobT& job,
                                       const JobProgress& progress) {
  const auto call = std::make_shared<CallContext>(INT64_MAX);
  // Not started twice: a job that was cut off may still run.
  Pending pending =
      core_.control.Start(MakeRequest(MessageType::kJob, job), call);
  for (;;) {
    // A daemon that works on it says so now and then.
    REPRISE_ASSIGN_OR_RETURN(
        const auto reply,
        ReadReply<wire::JobReply>(pending.Next(
            CallContext::InMs(core_.options.transfer_timeout_ms))));
    if (reply.answer.header.end()) {
      return std::string(TextFromWire(reply->json()));
    }
    if (progress == nullptr) continue;
    progress(reply->done(), reply->total(), TextFromWire(reply->progress()));
  }
}

Result<std::string> ClientImpl::RunFsck(
    bool read_frames, const std::function<void(uint64_t, uint64_t)>& progress) {
  wire::JobT job;
  job.kind = wire::JobKind::kFsck;
  job.read_frames = read_frames;
  return RunJob(job, [&](uint64_t done, uint64_t total, std::string_view) {
    if (progress != nullptr) progress(done, total);
  });
}

Result<std::string> ClientImpl::RunCollection() {
  wire::JobT job;
  job.kind = wire::JobKind::kCollect;
  return RunJob(job, nullptr);
}

Result<std::string> ClientImpl::Compact(const CompactCall& call) {
  wire::JobT job;
  job.kind = wire::JobKind::kCompact;
  job.action = static_cast<wire::CompactAction>(call.action);
  if (call.bytes_per_s) {
    job.bytes_per_s =
        static_cast<int64_t>(std::min<uint64_t>(*call.bytes_per_s, INT64_MAX));
  }
  job.threads = call.threads;
  job.until_below_bytes = call.until_below_bytes;
  job.policy = call.policy;
  job.ladders = call.ladders;
  job.at_ms = call.at_ms;
  job.idle_plus_ms = call.idle_plus_ms;
  job.encode_bytes_per_s = call.encode_bytes_per_s;
  return RunJob(job, call.progress);
}

Result<std::string> ClientImpl::Scrub(const ScrubCall& call) {
  wire::JobT job;
  job.kind = wire::JobKind::kScrub;
  job.action = static_cast<wire::CompactAction>(call.action);
  job.bytes_per_s =
      static_cast<int64_t>(std::min<uint64_t>(call.bytes_per_s, INT64_MAX));
  return RunJob(job, [&](uint64_t done, uint64_t total, std::string_view) {
    if (call.progress != nullptr) call.progress(done, total);
  });
}

}  // namespace

const ModelSpec& SpecOf(const Model& model) { return model->spec(); }
const ModelId& IdOf(const Model& model) { return model->id(); }
std::vector<ProfileInUse> ProfilesOf(const Model& model) {
  std::vector<ProfileInUse> profiles;
  for (const auto& [codec, use] : model->Profiles()) {
    profiles.push_back({codec, use.id, use.other_weights});
  }
  return profiles;
}

Result<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  REPRISE_RETURN_IF_ERROR(CheckEndpoint(options.endpoint));
  if (options.connect_timeout_ms <= 0 || options.request_timeout_ms <= 0 ||
      options.transfer_timeout_ms <= 0 || options.reconnect_timeout_ms < 0) {
    return InvalidArgumentError(
        "client: timeouts are " + std::to_string(options.connect_timeout_ms) +
        ", " + std::to_string(options.request_timeout_ms) + ", " +
        std::to_string(options.transfer_timeout_ms) + " and " +
        std::to_string(options.reconnect_timeout_ms) +
        " ms, more than 0 is wanted, at least 0 the last");
  }
  auto client = std::make_unique<ClientImpl>(options);
  REPRISE_RETURN_IF_ERROR(client->SayHello());
  return std::unique_ptr<Client>(std::move(client));
}

}  // namespace reprise
