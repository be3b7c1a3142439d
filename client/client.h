// Reprise for an inference worker: the whole public interface.
//
//   auto client  = Client::Connect({.endpoint = "127.0.0.1:7077"});
//   auto model   = (*client)->RegisterModel(spec);
//   auto match   = (*client)->Match(*model, tokens, {});
//   auto saved   = (*client)->Save("chat-42", {.model = *model,
//                                              .tokens = tokens,
//                                              .kv = view});
//   auto resumed = (*client)->Restore("chat-42", {.model = *model,
//                                                 .make_sink = ...});
//
// The library never aborts and never throws across this border. Its memory is
// bounded by ClientOptions, every call by a deadline. When the daemon is away,
// slow or answers garbage, calls answer kUnavailable, kDeadlineExceeded or
// kDataLoss within that deadline, and the worker recomputes. Connections are
// made again by themselves, with back-off; a save or a restore under way goes
// on where it was.
//
// A Client is thread-safe: any number of saves and restores at once. KV bytes
// are encoded and decoded here, on a small pool of threads; the daemon stores
// and streams what it is given. Stored token ids are compared with the
// caller's before anything is decoded.
#ifndef REPRISE_CLIENT_CLIENT_H_
#define REPRISE_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/hash.h"
#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/frame.h"
#include "codec/model_spec.h"
#include "codec/segment.h"
#include "codec/tier.h"

namespace reprise {

class Device;  // gpu/device.h

struct ClientOptions {
  // "127.0.0.1:7077", "[::1]:7077" or "unix:/run/reprise.sock".
  std::string endpoint;
  std::string token;                    // empty: none
  std::string name = "reprise-client";  // shown in the daemon's log
  int64_t connect_timeout_ms = 2'000;
  int64_t request_timeout_ms = 10'000;    // without bodies
  int64_t transfer_timeout_ms = 120'000;  // of a whole Save or Restore
  // How long a Restore that lost its connection in mid-stream tries to get it
  // back; counted anew when a frame has come since. 0: not at all.
  int64_t reconnect_timeout_ms = 10'000;
  uint32_t codec_threads = 1;
  // Encoded frames on their way, or waiting for those of another stage, of all
  // calls together.
  uint64_t max_buffer_bytes = 64ull << 20;
  // Saves waiting for a thread; one more answers kResourceExhausted at once.
  uint32_t max_queued_saves = 16;
  // Names this worker in the renditions that it writes; 0: drawn at random.
  uint64_t writer = 0;
  // For sinks in a device's memory. Frames are received into half of so much
  // pinned memory, and those that came elsewhere are packed into the other; as
  // much is on the device. Got with the first such sink and kept. For views in
  // one: what is encoded there comes to so much pinned memory, with twice as
  // much scratch on the device, got with the first such view and kept.
  uint64_t device_ring_bytes = 64ull << 20;
  // Blocks of threads a kernel may have, so that it leaves room for who serves
  // on the same device; 0: as many as are of use.
  uint32_t device_blocks = 0;
  // Instead of the machine's own device of that ordinal: for tests.
  std::shared_ptr<Device> device;
};

// A model known to the daemon. Immutable, cheap to copy, outlives the client.
class RegisteredModel;
using Model = std::shared_ptr<const RegisteredModel>;
const ModelSpec& SpecOf(const Model& model);
const ModelId& IdOf(const Model& model);

// A profile that saves with its codec use.
struct ProfileInUse {
  CodecId codec = CodecId::kRaw;
  ProfileId profile;
  // It was trained on other weights than the model's, and that was accepted.
  bool other_weights = false;
};
// Those that the client knows of, by codec: what RegisterModel was told, and
// what this client put since.
std::vector<ProfileInUse> ProfilesOf(const Model& model);

// Tokens [first_token, end_token) of one quality.
struct TierRange {
  uint64_t first_token = 0;
  uint64_t end_token = 0;
  Tier tier = Tier::kExact;
  Tier basis = Tier::kExact;
  bool operator==(const TierRange&) const = default;
};

struct MatchOptions {
  Tier lowest = Tier::kExact;
  Tier highest = Tier::kExact;  // as RestoreRequest::highest
  // Keep what matched readable for so long: 0, or at most ten minutes.
  int64_t lease_ms = 0;
};

// What it takes to restore a range.
struct MatchCost {
  uint64_t bytes_to_move = 0;
  double expected_ms = 0;  // at the rate that the daemon saw last; 0: not known
  bool operator==(const MatchCost&) const = default;
};

// How much of a prompt is stored.
struct MatchResultInfo {
  uint64_t tokens = 0;  // of the longest stored prefix
  // Adjacent, from token 0 on: a caller may restore up to where one of them
  // ends, and recompute from there.
  std::vector<TierRange> ranges;
  std::vector<MatchCost> costs;  // of each of the ranges
  uint64_t bytes_to_move = 0;
  double expected_ms = 0;  // 0: not known yet
  // Plain bytes that any process can hand to RestoreRequest::match while the
  // lease lasts. Empty when no lease was asked for.
  Bytes ticket;
};

struct SessionVersion {
  uint64_t incarnation = 0;  // 0: the session does not exist
  uint64_t version = 0;
  CommitId head;
  bool operator==(const SessionVersion&) const = default;
};

struct SaveRequest {
  Model model;
  // All tokens of the state whose KV exists, from position 0 on.
  std::span<const TokenId> tokens;
  // Tokens after them, chosen but not computed yet (the next one to decode):
  // at most 64.
  std::span<const TokenId> pending;
  // KV of at least the tokens from SavePlan::first_token on. May be empty
  // memory when nothing is needed. It may be a device's (KvMemory::device):
  // then it is encoded there, by the same bytes, where the device has an
  // encoder for the codec, and by the host otherwise. kUnimplemented in a
  // build without CUDA, kUnavailable when there is no such device or it fails.
  KvView kv;
  // Where one process holds the heads of several ranks, each rank's share
  // apart: the others'. Together with `kv` they hold each head once.
  std::vector<KvView> shards;
  // Quality of what the KV was computed from; empty: exact. As Restore
  // returned it.
  std::vector<TierRange> basis;
  // Of the segments: a tier ("exact", "near", "coarse", "archive"), or a codec
  // with its options ("raw", "tsc:bits=8", ...): see ParseCodecChoice. The
  // tail is always exact. kFailedPrecondition when the codec, as that of the
  // lower tiers, needs a profile and the daemon has none for the model: then
  // `reprise calibrate` makes one.
  std::string codec = "exact";
  // One a token; 0: its KV is dropped, where the codec can do that. Whole
  // segments only: the tail keeps all its tokens. Empty: all are kept.
  std::span<const uint8_t> keep;
  // Where the head must stand. Null: wherever it is, as long as what it holds
  // is a prefix of `tokens`.
  const SessionVersion* expected = nullptr;
  // Answer when the daemon has it in its log, or when it is on the disk.
  bool synced = true;
  std::vector<std::pair<std::string, std::string>> labels;  // when new
};

// What a save would have to send.
struct SavePlan {
  // KV is needed from here on; a multiple of 64, or tokens.size() when all is
  // stored.
  uint64_t first_token = 0;
  // KV from here on improves what is stored: it is needed, or worse there than
  // what the request would save. At most `first_token`. Save replaces what is
  // worse where its memory holds it, and leaves the rest as it is.
  uint64_t better_from = 0;
  uint64_t stored_tokens = 0;  // found under these tokens already
  SessionVersion head;
};

struct SaveResult {
  SessionVersion version;
  uint64_t tokens = 0;
  uint64_t new_segments = 0;
  uint64_t tail_tokens = 0;
  uint64_t raw_bytes = 0;  // of the KV that was encoded
  // Of those, encoded on the device that holds them. What there is no encoder
  // for came to the host as it is.
  uint64_t device_bytes = 0;
  uint64_t frame_bytes = 0;  // sent as frames
  uint64_t wire_bytes = 0;   // sent in all
  double encode_ms = 0;      // summed over threads
  double total_ms = 0;
};

// A save under way. Thread-safe.
class SaveTicket {
 public:
  virtual ~SaveTicket() = default;  // cancels and waits
  // Until the view may be reused.
  virtual Status WaitCaptured() = 0;
  // Until it is acknowledged.
  virtual Result<SaveResult> Wait() = 0;
  // After it returns, nothing touches the view. The outcome may be either.
  virtual void Cancel() = 0;
};

// What is about to be restored: known before a byte is decoded.
struct RestoreInfo {
  SessionVersion version;
  uint64_t first_token = 0;
  std::vector<TokenId> tokens;   // from first_token on, those with KV
  std::vector<TokenId> pending;  // empty when `tokens` end before them
  std::vector<TierRange> ranges;
  uint64_t bytes_to_move = 0;
};

// Some layers of some tokens, at the quality at which they are in the sink.
struct RestoredPart {
  uint32_t first_layer = 0;
  uint32_t layer_count = 0;
  TierRange range;
};

struct RestoreRequest {
  Model model;
  // The commit of the session to restore; zero: the head.
  CommitId commit;
  // Instead of a session: what Match found for `tokens`.
  ByteView match;
  // Compared with the stored ids: they must begin alike (the shorter one
  // decides). Needed with `match`; else may be empty.
  std::span<const TokenId> tokens;
  uint64_t first_token = 0;  // a multiple of 64
  uint64_t end_token = UINT64_MAX;
  Tier lowest = Tier::kExact;
  // Better is of no use: of several renditions the best is taken that is not
  // better, and of one whose codec works in stages no more of them than
  // needed. What is stored in a better form only comes in that. Not lower than
  // `lowest`.
  Tier highest = Tier::kExact;
  // State from which tokens were dropped (SaveRequest::keep) can be used: see
  // RestoreResult::dropped. Else the first such segment counts as lost.
  bool accept_dropped = false;
  bool token_major = false;  // else layer 0 arrives first
  // The base of all layers and tokens first, then what refines it, for state
  // that is stored in stages (other state comes at once): it can be used, at a
  // low tier, long before all of it is here. A layer counts as in place
  // (on_layer, WaitLayer) with its base. If the connection is lost for good
  // while refinements come, and what is in place is as good as `lowest`, the
  // restore is over and OK.
  //
  // Refinements are written over rows that are valid already, by a thread of
  // the client: see rows_lock.
  bool progressive = false;
  // Held alone while rows that were reported valid are overwritten, of one
  // segment and layer group at a time, with rows that are whole already. Who
  // reads the sink under it, shared, finds in each segment and layer group
  // rows of one tier; those of others may be of another (on_tier,
  // RestoreTicket::ValidRanges). Who reads it without it while a refinement is
  // written may find elements of both tiers in one row, and in C++ has a data
  // race. May be null. Don't wait for a restore, or cancel one, while holding
  // it; whoever holds it long keeps a thread of the client waiting.
  //
  // On a device rows are overwritten in the order of KvDevice::stream, so that
  // kernels there need no lock. It is held while that is queued: whoever holds
  // it, shared, while queuing several kernels has them all see the same rows.
  std::shared_mutex* rows_lock = nullptr;
  // Called once, on a thread of the client, as soon as the manifest is here.
  // The memory must hold info.tokens from info.first_token on and live until
  // the restore is over. It may be a device's (KvMemory::device): then frames
  // are checked here and decoded there. The restore answers kUnimplemented in
  // a build without CUDA and for a codec without kernels, kUnavailable when
  // there is no such device or it fails: a sink in the host's memory still
  // serves.
  std::function<Result<KvSink>(const RestoreInfo& info)> make_sink;
  // Called on a thread of the client when all of a layer is in place. May be
  // null. Must not block.
  std::function<void(uint32_t layer)> on_layer;
  // Called on threads of the client, several at once, when rows are in place
  // at a better tier than before: of one segment and layer group a call. May
  // be null. Must not block.
  std::function<void(const RestoredPart& part)> on_tier;
};

struct RestoreResult {
  // Its ranges before valid_end say what was delivered: where frames of later
  // stages were lost, it is less than was announced, but not below `lowest`.
  RestoreInfo info;
  // Tokens [info.first_token, valid_end) are in the sink, in all layers.
  uint64_t valid_end = 0;
  // The first token that must be recomputed, which is valid_end; absent when
  // all that was asked for is in the sink. What is stored is then worse than
  // `lowest`, damaged or gone, or its tokens themselves are: who computes the
  // state from here on and saves it makes it whole again.
  std::optional<uint64_t> recompute_from;
  // Positions before valid_end that have no KV, ascending: their rows in the
  // sink are zeros, which nothing must attend to.
  std::vector<uint64_t> dropped;
  uint64_t raw_bytes = 0;
  uint64_t wire_bytes = 0;
  // Into a device: of frames that were copied on the host before they went
  // there. The others were received into pinned memory.
  uint64_t packed_bytes = 0;
  double decode_ms = 0;  // summed over threads
  double total_ms = 0;
};

// A restore under way. Thread-safe.
class RestoreTicket {
 public:
  virtual ~RestoreTicket() = default;  // cancels and waits
  // Until all of the layer is in place: with its base, if progressive.
  // kInvalidArgument for a layer that there is not, kDataLoss when tokens of it
  // are lost, and the restore's error.
  virtual Status WaitLayer(uint32_t layer) = 0;
  // Until its event was recorded (KvDevice::layer_events): kernels may be
  // queued that wait for it. Whether what they read is whole says WaitLayer, or
  // Wait. Without events as WaitLayer, and with the same errors.
  virtual Status WaitLayerQueued(uint32_t layer) = 0;
  virtual Result<RestoreResult> Wait() = 0;
  // After it returns, nothing touches the sink. What ValidRanges says then is
  // there, in rows of one tier each, and can be used: a refinement under way
  // was finished, or had not begun to be written.
  virtual void Cancel() = 0;
  // The tokens whose rows are in place now, in this layer or in all, at which
  // tier; ascending, others are left out. It may get better at any time; what
  // it said stays true as a lower bound.
  virtual std::vector<TierRange> ValidRanges(uint32_t layer) = 0;
  virtual std::vector<TierRange> ValidRanges() = 0;
};

// What a session was told about sinking, docs/format/policy.md: nothing, at
// first. All of it stays through saves and rewinds; a fork gets policy and TTL.
struct SessionSettings {
  std::string policy;  // in its canonical form; empty: the daemon's default
  // Idle time after which it is removed; 0: the daemon's default; kForeverMs:
  // never.
  int64_t ttl_ms = 0;
  // It neither sinks nor is removed by its TTL until then, in ms since 1970;
  // 0: not pinned; kForeverMs: for ever.
  int64_t pinned_until_ms = 0;
  bool operator==(const SessionSettings&) const = default;
};

// By which codec a tier is made: what ParseCodecChoice takes, of the daemon's.
struct TierCodecName {
  Tier tier = Tier::kNear;
  std::string codec;
  bool operator==(const TierCodecName&) const = default;
};

// What it follows, the daemon's defaults filled in.
struct EffectivePolicy {
  std::string policy;  // empty: see `problem`
  int64_t ttl_ms = kForeverMs;
  // Why the session's own policy can't be followed: then it does not sink.
  std::string problem;
  // Of the policy's tiers below exact that have frames, best first. Empty when
  // the daemon is too old to say.
  std::vector<TierCodecName> codecs;
};

struct SettingsResult {
  SessionSettings own;
  EffectivePolicy effective;
};

// What is unset stays as it is.
struct PolicyUpdate {
  std::optional<std::string> policy;  // empty: back to the default
  std::optional<int64_t> ttl_ms;      // 0: back to the default
};

struct SessionSummary {
  std::string name;
  ModelId model;
  SessionVersion version;
  uint64_t tokens = 0;
  int64_t created_ms = 0;
  int64_t changed_ms = 0;
  int64_t last_use_ms = 0;
  std::vector<std::pair<std::string, std::string>> labels;
  SessionSettings settings;
};

struct CommitSummary {
  CommitId commit;
  CommitId parent;
  uint64_t tokens = 0;
  uint64_t pending = 0;
  int64_t time_ms = 0;
};

struct SessionDetails {
  SessionSummary summary;
  std::vector<CommitSummary> history;  // head first
  // Every stored byte of the head's state.
  uint64_t raw_bytes = 0;
  uint64_t values = 0;
  uint64_t frame_bytes = 0;
  uint64_t record_bytes = 0;
  uint64_t profile_bytes = 0;  // shared by all sessions of the model
  std::vector<std::pair<Tier, uint64_t>> segments_by_tier;
  // Of those, coded with a profile of other weights than the model's.
  uint64_t other_weights_segments = 0;
  EffectivePolicy effective;
};

struct PutProfileOptions {
  // The profile was trained on a model of the same shape with other weights,
  // the same model quantised otherwise, say. The store keeps this in mind, and
  // what is saved with the profile says so.
  bool accept_other_weights = false;
};

// What the daemon is asked about compactions; docs/format/wire.md says what
// each action does. What is not set, 0 or empty is as the daemon has it.
struct CompactCall {
  enum class Action : uint8_t {
    kRun = 1,
    kPlan = 2,
    kStatus = 3,
    kPause = 4,
    kResume = 5,
    kCancel = 6,
    kConfirmClock = 7,
  };
  Action action = Action::kStatus;
  std::optional<uint64_t> bytes_per_s;  // 0: no limit
  uint32_t threads = 0;
  uint64_t until_below_bytes = 0;
  std::string policy;
  std::vector<std::string> ladders;  // NAME.TIER=CODEC
  int64_t at_ms = 0;
  int64_t idle_plus_ms = 0;
  uint64_t encode_bytes_per_s = 0;
  // Now and then, with how far it is; the text is JSON or empty. May be null.
  std::function<void(uint64_t done, uint64_t total, std::string_view text)>
      progress;
};

// What the daemon is asked about scrubs: everything in its store read and
// verified at a rate, what is damaged set aside.
struct ScrubCall {
  enum class Action : uint8_t {
    kRun = 1,  // or go on with one; one that is under way is this one
    kStatus = 3,
    kPause = 4,
    kResume = 5,  // kNotFound when none is under way
    kCancel = 6,
  };
  Action action = Action::kRun;
  uint64_t bytes_per_s = 0;  // 0: as it was, or the daemon's default
  // Now and then, with bytes; may be null.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

class Client {
 public:
  // Connects and says hello. kUnavailable, kDeadlineExceeded.
  static Result<std::unique_ptr<Client>> Connect(const ClientOptions& options);
  virtual ~Client() = default;

  // Idempotent. Also learns which profiles the daemon has for the model.
  virtual Result<Model> RegisterModel(const ModelSpec& spec) = 0;
  // kNotFound.
  virtual Result<ModelSpec> GetModelSpec(const ModelId& model) = 0;
  // Saves with `codec` use it from now on. kFailedPrecondition, with what
  // differs, when it does not fit the model, or was trained on other weights
  // and `options` don't accept that.
  virtual Result<ProfileId> PutProfile(const Model& model, CodecId codec,
                                       ByteView profile,
                                       const PutProfileOptions& options) = 0;
  Result<ProfileId> PutProfile(const Model& model, CodecId codec,
                               ByteView profile) {
    return PutProfile(model, codec, profile, {});
  }
  virtual Result<Bytes> GetProfile(const ProfileId& profile) = 0;

  virtual Result<MatchResultInfo> Match(const Model& model,
                                        std::span<const TokenId> tokens,
                                        const MatchOptions& options) = 0;

  // What Save of this request would need of its tokens' KV, for engines to
  // which reading their cache costs something: its memory is not looked at.
  // kFailedPrecondition as for Save.
  virtual Result<SavePlan> PlanSave(std::string_view session,
                                    const SaveRequest& request) = 0;
  // The same of exact state that was computed from exact state.
  Result<SavePlan> PlanSave(std::string_view session, const Model& model,
                            std::span<const TokenId> tokens) {
    SaveRequest request;
    request.model = model;
    request.tokens = tokens;
    return PlanSave(session, request);
  }
  // Appends to the session, or makes it. Only what is new travels.
  // kFailedPrecondition when the head moved, when what the session holds is no
  // prefix of `tokens` (with the first token that differs), when it is of
  // another model (with the field that differs), or when the view lacks tokens
  // that are needed (with both numbers).
  virtual Result<SaveResult> Save(std::string_view session,
                                  const SaveRequest& request) = 0;
  // Spans and view must live until WaitCaptured.
  virtual Result<std::unique_ptr<SaveTicket>> SaveAsync(
      std::string_view session, const SaveRequest& request) = 0;

  // kNotFound: no such session. kFailedPrecondition: another model (with the
  // field), other tokens (with the position), a sink that does not fit (with
  // both numbers). Lost frames are no error: see RestoreResult::valid_end.
  // A connection that breaks in mid-stream is made again, with back-off, and
  // only frames that did not come yet are fetched, of the same commit; what is
  // stored otherwise by then counts as lost. kUnavailable when that takes
  // longer than reconnect_timeout_ms, or the deadline would pass, or when the
  // daemon is away from the start.
  virtual Result<RestoreResult> Restore(std::string_view session,
                                        const RestoreRequest& request) = 0;
  virtual Result<std::unique_ptr<RestoreTicket>> RestoreAsync(
      std::string_view session, const RestoreRequest& request) = 0;

  virtual Result<SessionVersion> Fork(std::string_view from,
                                      const CommitId& commit,
                                      std::string_view to) = 0;
  // To an earlier commit of the session's history.
  virtual Result<SessionVersion> Rewind(std::string_view session,
                                        const CommitId& commit) = 0;
  // To the first `tokens` tokens; `pending` is what follows them.
  virtual Result<SessionVersion> RewindToToken(
      std::string_view session, uint64_t tokens,
      std::span<const TokenId> pending) = 0;
  virtual Status Remove(std::string_view session) = 0;

  // How far the session may sink, and when it is removed. Beside saves and
  // rewinds too: neither disturbs the other, and the session's version stays
  // the same. kInvalidArgument for a text that is no policy, with the column
  // that is wrong and what is expected there; for a ladder that the daemon
  // doesn't have, or that lacks one of the tiers; and for a TTL that is none.
  virtual Result<SettingsResult> SetPolicy(std::string_view session,
                                           const PolicyUpdate& update) = 0;
  // Keeps it as it is until this time (ms since 1970), or with kForeverMs
  // until it is unpinned. kInvalidArgument for a time that is over.
  virtual Result<SettingsResult> Pin(std::string_view session,
                                     int64_t until_ms) = 0;
  virtual Result<SettingsResult> Unpin(std::string_view session) = 0;

  virtual Result<std::vector<SessionSummary>> List(std::string_view prefix,
                                                   std::string_view cursor,
                                                   uint32_t limit) = 0;
  virtual Result<SessionDetails> Describe(std::string_view session) = 0;

  // A session's head as one file (docs/format/export.md), its frames as they
  // are stored. `write` gets it piece by piece; its error ends the export.
  // kDataLoss when a frame is lost: the file is then not to be used.
  virtual Status Export(std::string_view session,
                        const std::function<Status(ByteView)>& write) = 0;
  // The way back, under any name that is free. `read` fills as much of the
  // view as it can; fewer bytes mean the end of the file. Nothing of a file
  // that is damaged becomes visible. kFailedPrecondition when the session
  // exists; kDataLoss.
  virtual Result<SessionVersion> Import(
      std::string_view session,
      const std::function<Result<size_t>(MutableByteView)>& read) = 0;

  // Named figures of the daemon, as JSON.
  virtual Result<std::string> Stats() = 0;
  // A check of the whole store, or a collection, run by the daemon; the
  // report as JSON. `progress` may be null.
  virtual Result<std::string> RunFsck(
      bool read_frames,
      const std::function<void(uint64_t, uint64_t)>& progress) = 0;
  virtual Result<std::string> RunCollection() = 0;
  // Asks the daemon about its compactions; the report as JSON. It answers when
  // what was asked for is done, a run after hours. A run goes on when this call
  // ends early. kUnimplemented of daemons that know of none.
  virtual Result<std::string> Compact(const CompactCall& call) = 0;

  // The report as JSON, when what was asked for is done; a scrub goes on when
  // this call ends early.
  virtual Result<std::string> Scrub(const ScrubCall& call) = 0;

  // Bytes that this client has sent and received since it was made.
  struct Traffic {
    uint64_t sent_bytes = 0;
    uint64_t received_bytes = 0;
  };
  virtual Traffic traffic() const = 0;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_CLIENT_H_
