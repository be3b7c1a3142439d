// The catalogue: conversation state as git keeps source. Segments, tails and
// commits are immutable and named by content; renditions are replaced by
// guarded swaps; a session is a name with a head commit. Built on an Engine
// and nothing else: any number of catalogues (daemons) may work on one store.
//
// A save is PutFrames, Publish, Commit, in this order. Nothing is visible
// before it is published, a session never points at what is not there, and a
// crash leaves objects that nobody refers to, which the collector sweeps.
//
// Every method is thread-safe and blocks on the engine. Bytes of a damaged
// record answer kDataLoss; nothing here decodes a frame.
#ifndef REPRISE_STORE_CATALOGUE_H_
#define REPRISE_STORE_CATALOGUE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/model_spec.h"
#include "codec/segment.h"
#include "store/engine.h"
#include "store/records.h"
#include "store/stages.h"

namespace reprise {

struct CatalogueOptions {
  // Commits are acknowledged at this level unless the request names one.
  Durability durability = Durability::kSynced;
  // No commit swings a head later than this after it was begun; the collector
  // waits longer.
  int64_t max_commit_ms = 60'000;
  uint32_t kept_commits = kKeptCommits;
};

// A frame to store, under a RenditionId that is not zero, in a tier from exact
// to archive. The model must be stored in the same domain. The frame's header
// is checked against the model; its checksums must hold.
struct FramePut {
  RenditionId rendition;
  Tier tier = Tier::kExact;
  ByteView frame;
};

struct PublishItem {
  SegmentRecord segment;  // a tail when it has fewer than 64 tokens
  // Every frame stored before, in any order. raw_bytes is worked out, and a
  // time of 0 becomes the present.
  Rendition rendition;
};

struct PublishOutcome {
  enum class Kind : uint8_t {
    kPublished = 1,
    kKept = 2,           // what is stored is as good or better
    kMissingFrames = 3,  // put them again; see missing
  };
  Kind kind = Kind::kPublished;
  std::vector<uint32_t> missing;  // positions in rendition.frames
};

// What would be read of one segment: the answer of Match.
struct MatchedSegment {
  Tier tier = Tier::kExact;  // of the rendition, or of its first stages
  Tier basis = Tier::kExact;
  uint64_t stored_bytes = 0;  // of these frames
};

struct MatchRequest {
  ModelId model;
  std::span<const SegmentId> segments;  // a chain from the model's root on
  Tier lowest = Tier::kExact;
  // As in FetchRequest.
  Tier highest = Tier::kExact;
  // Tokens after the last segment, to look for a stored tail; may be empty.
  std::span<const TokenId> tail_tokens;
};

struct MatchResult {
  // The longest stored prefix: segments[0 .. matched.size()).
  std::vector<MatchedSegment> matched;
  // How many of tail_tokens a stored tail covers (the whole tail or none).
  uint32_t tail_tokens = 0;
  std::optional<MatchedSegment> tail;
  uint64_t bytes_to_move = 0;
};

// A compare-and-swap on a session's head.
struct CommitRequest {
  std::string_view session;
  // Zero: the session must not exist yet.
  uint64_t expected_incarnation = 0;
  uint64_t expected_version = 0;
  ByteView commit;  // its bytes, fixed once by the client
  Durability durability = Durability::kSynced;
  // For a new session only.
  std::vector<std::pair<std::string, std::string>> labels;
  bool private_domain = false;
};

struct CommitOutcome {
  CommitId commit;
  uint64_t incarnation = 0;
  uint64_t version = 0;
  // Not empty: nothing was swung; these segments or tails have no rendition
  // or are gone. Put and publish them again.
  std::vector<SegmentId> missing;
  // The commit was the head or an ancestor already.
  bool repeated = false;
};

struct SessionInfo {
  std::string name;
  SessionRecord record;
  int64_t last_use_ms = 0;
};

// What is unset stays as it is.
struct PolicyChange {
  std::optional<std::string_view> policy;  // empty: the default
  // 1 s to kMaxDurationMs; 0: the default; kForeverMs: never.
  std::optional<int64_t> ttl_ms;
};

// What is read for one segment of a fetch.
struct FetchSegment {
  SegmentId id;
  SegmentRecord segment;
  // Of a staged one perhaps the first stages alone, with their tier. Tier
  // kTokens when none is good enough or the record is damaged: these tokens
  // must be recomputed.
  Rendition rendition;
  // Tokens of the segment that are part of the state (fewer after a cut). The
  // segment's own tokens are empty when its record is gone or damaged.
  uint32_t token_count = 0;
};

struct FetchPlan {
  uint64_t lease = 0;
  int64_t lease_expires_wall_ms = 0;
  ModelId model;
  DomainId domain;
  CommitId commit;  // zero when fetched by segment ids
  // Of the whole state, whatever the range; by ids, a tail outside of the
  // range is not counted.
  uint64_t token_count = 0;
  uint64_t incarnation = 0;
  uint64_t version = 0;
  std::vector<FetchSegment> segments;  // a tail is the last one
  std::vector<TokenId> pending;
};

struct FetchRequest {
  // One of: a session's head, a commit of the session, or a chain of ids.
  std::string_view session;
  CommitId commit;
  std::span<const SegmentId> segments;
  SegmentId tail;  // with `segments`: the TailId after them; zero: none
  ModelId model;   // checked against what is stored; zero: not checked
  uint64_t first_token = 0;
  uint64_t end_token = UINT64_MAX;
  Tier lowest = Tier::kExact;
  // Better is of no use to the reader: of several renditions the best is taken
  // that is not better, else the least better one, and of a staged one only
  // the stages that are needed for it. Not lower than `lowest`, else
  // kInvalidArgument.
  Tier highest = Tier::kExact;
  int64_t lease_ms = 60'000;  // 0: without a lease
};

// --- Sinking to a lower tier without encoding anything again. ---

// A staged rendition of tier `from` gives one of tier `to` that shares the
// frames of its first stages.
struct Derivation {
  Tier from = Tier::kNear;
  Tier to = Tier::kCoarse;
};

// What became of one segment.
enum class SinkOutcome : uint8_t {
  kDone = 1,
  kKept = 2,           // derive: one of tier `to` is there, as good
  kNoRendition = 3,    // none of this tier or id is stored, or no segment
  kNotStaged = 4,      // derive: no stages of it end at `to`: encode again
  kMissingFrames = 5,  // what would remain is too bad, or can't be read whole
  kLast = 6,           // drop: it is the only one
};

// A rendition that was made out of a better one of the same segment.
struct LoweredItem {
  PublishItem item;
  RenditionId source;
};

// Renditions of one segment or tail, by their ids: one that was saved since
// they were looked at has another id and is not meant.
struct RenditionDrop {
  SegmentId segment;
  std::vector<RenditionId> renditions;
  // A whole one that counts as this tier or better must remain, else nothing
  // is dropped. kTokens: none need remain.
  Tier lowest = Tier::kArchive;
};

class Catalogue {
 public:
  // Reads or makes the store's meta record. Neither engine nor clock is
  // owned; both must outlive the catalogue.
  // kFailedPrecondition when the store's format version is another.
  static Result<std::unique_ptr<Catalogue>> Open(
      Engine* engine, const Clock* clock, const CatalogueOptions& options);
  virtual ~Catalogue() = default;

  // --- Models and profiles: idempotent, content-addressed. ---
  virtual Result<ModelId> PutModel(const DomainId& domain,
                                   ByteView spec_bytes) = 0;
  virtual Result<PinnedBytes> GetModel(const DomainId& domain,
                                       const ModelId& model) = 0;
  virtual Result<ProfileId> PutProfile(const DomainId& domain,
                                       const ModelId& model, CodecId codec,
                                       ByteView profile,
                                       bool other_weights) = 0;
  virtual Result<PinnedBytes> GetProfile(const DomainId& domain,
                                         const ProfileId& profile) = 0;
  // The profile last put for this model and codec; kNotFound.
  virtual Result<ProfileRecord> FindProfile(const DomainId& domain,
                                            const ModelId& model,
                                            CodecId codec) = 0;

  // --- Saving. ---
  // Unsynced; the commit that refers to them syncs. All or nothing.
  virtual Status PutFrames(const DomainId& domain,
                           std::span<const FramePut> frames) = 0;
  // Recomputes every id, checks that the frames cover each (layer, plane,
  // head) of the model exactly once in every stage, and swaps the rendition
  // in unless a better one is there (by tier; within a tier by basis).
  // (*out)[i] answers items[i]. kInvalidArgument names the item and check.
  virtual Status Publish(const DomainId& domain,
                         std::span<const PublishItem> items,
                         std::vector<PublishOutcome>* out) = 0;
  // kFailedPrecondition when the head moved (both versions in the message)
  // or the session is of another model; kDeadlineExceeded when it took longer
  // than max_commit_ms.
  virtual Result<CommitOutcome> Commit(const DomainId& tenant,
                                       const CommitRequest& request) = 0;

  // --- Finding and reading. ---
  virtual Result<MatchResult> Match(const DomainId& domain,
                                    const MatchRequest& request) = 0;
  // Resolves once, under a lease: what the plan names stays readable until
  // the lease ends.
  virtual Result<FetchPlan> PlanFetch(const DomainId& tenant,
                                      const FetchRequest& request) = 0;
  virtual Result<PinnedBytes> GetFrame(const DomainId& domain,
                                       const SegmentId& segment,
                                       const FrameRef& frame) = 0;
  // GetFrame for many of one segment, in one batch. Sizes and whole-frame
  // checksums are verified: kDataLoss for a frame that fails. One whose stored
  // bytes are damaged, read twice, is set aside: its segment can then be
  // published anew.
  virtual void GetFrames(const DomainId& domain, const SegmentId& segment,
                         std::span<const FrameRef> frames,
                         std::vector<Result<PinnedBytes>>* out) = 0;

  // --- Sessions. ---
  virtual Result<SessionInfo> GetSession(const DomainId& tenant,
                                         std::string_view name) = 0;
  // In order of their names, after `cursor` (a name; empty: from the start). A
  // session whose record is damaged is listed with version 0.
  virtual Result<std::vector<SessionInfo>> ListSessions(const DomainId& tenant,
                                                        std::string_view prefix,
                                                        std::string_view cursor,
                                                        uint32_t limit) = 0;
  virtual Result<CommitRecord> GetCommit(const DomainId& domain,
                                         const CommitId& commit) = 0;
  // A new session `to` on the head, or on a named commit, of `from`.
  // kFailedPrecondition when `to` exists, unless it is this very fork,
  // unchanged.
  virtual Result<CommitOutcome> Fork(const DomainId& tenant,
                                     std::string_view from,
                                     const CommitId& commit,
                                     std::string_view to) = 0;
  struct RewindTarget {
    CommitId commit;  // an ancestor; zero: by token count
    uint64_t token_count = 0;
    // Pending tokens of the new commit, when by token count.
    std::vector<TokenId> pending;
  };
  // kFailedPrecondition when the version moved; kNotFound when the commit is
  // neither an ancestor of the head nor one of its recent heads, or was
  // collected.
  virtual Result<CommitOutcome> Rewind(const DomainId& tenant,
                                       std::string_view name,
                                       uint64_t expected_incarnation,
                                       uint64_t expected_version,
                                       const RewindTarget& target) = 0;
  virtual Status RemoveSession(const DomainId& tenant,
                               std::string_view name) = 0;

  // --- Settings of a session: how it may sink, docs/format/policy.md. Each
  // --- is a guarded swap of its record, tried until it succeeds: it survives
  // --- saves and rewinds that run beside it, and neither makes one of them
  // --- fail nor counts as a use. A fork gets policy and TTL, not the pin. Both
  // --- answer the record as it is now; kNotFound.

  // kInvalidArgument for a text that is no policy, with the column, and for a
  // TTL that is none. Whether there is such a ladder is not looked at.
  virtual Result<SessionRecord> SetPolicy(const DomainId& tenant,
                                          std::string_view name,
                                          const PolicyChange& change) = 0;
  // Until this time, by the wall clock; kForeverMs: for ever; 0: no more.
  // kInvalidArgument for a time that is over.
  virtual Result<SessionRecord> Pin(const DomainId& tenant,
                                    std::string_view name,
                                    int64_t until_ms) = 0;
  // Removes it if `is_due` holds for what it is at that moment; asked again
  // when somebody changed it meanwhile, so that a session that is saved to
  // right then stays. For removals that nobody asked for by name, as by a TTL.
  // Whether it was removed; kNotFound; kDataLoss when the record of its last
  // use is damaged.
  virtual Result<bool> RemoveSessionIf(
      const DomainId& tenant, std::string_view name,
      const std::function<bool(const SessionInfo&)>& is_due) = 0;

  // Batched in memory, written by Flush and every few seconds.
  virtual void MarkUsed(const DomainId& tenant, std::string_view name) = 0;
  virtual Status Flush() = 0;

  // --- Leases. ---
  // Over what a fetch of these tiers would read of a matched prefix.
  virtual Result<uint64_t> Lease(const DomainId& domain,
                                 std::span<const SegmentId> segments,
                                 const TierWish& wish, int64_t lease_ms) = 0;
  virtual Status RenewLease(uint64_t lease, int64_t lease_ms) = 0;
  virtual Status ReleaseLease(uint64_t lease) = 0;

  // --- Sinking: what a compaction calls, to derive a rendition and then to
  // --- drop the better one. Each changes the records of many segments or
  // --- tails, each record by a guarded swap: others that change it at the
  // --- same time are seen, and a crash leaves every record whole, old or new.
  // --- (*out)[i] answers segments[i]; kInvalidArgument for tiers that make no
  // --- sense; kDeadlineExceeded after max_commit_ms, with some of it done.

  // Adds a rendition of tier `to` made of the first stages of one of tier
  // `from`: no frame is written or moved, the new rendition names those of the
  // old one. `to` must be lower. One of tier `to` with a worse basis, or that
  // lost a frame, is replaced.
  virtual Status DeriveRenditions(const DomainId& domain,
                                  std::span<const SegmentId> segments,
                                  const Derivation& derivation,
                                  std::vector<SinkOutcome>* out) = 0;
  // Publishes what a compaction encoded, beside the better rendition that it
  // was made from, and syncs it. Its frames were put before. It must be of a
  // lower tier than its source, and its basis no better than what the source
  // counts as: kInvalidArgument, for nothing is promoted. kKept when the source
  // is not stored any more, or one of this tier is as good.
  virtual Status PublishLowered(const DomainId& domain,
                                std::span<const LoweredItem> items,
                                std::vector<PublishOutcome>* out) = 0;
  // Takes the rendition of this tier out. Frames that no other rendition names
  // are garbage then: they go with a later collection, when the leases that
  // hold them are over. The last rendition stays, as does one without which
  // nothing could be read whole.
  virtual Status DropRenditions(const DomainId& domain,
                                std::span<const SegmentId> segments, Tier tier,
                                std::vector<SinkOutcome>* out) = 0;
  // Takes the named renditions out, in the same way. With `lowest` kTokens all
  // may go: token ids are all that is left then, a fetch answers tier kTokens,
  // and whoever computes the state again may publish it. (*out)[i] answers
  // drops[i]; no segment may be named twice.
  virtual Status DropNamed(const DomainId& domain,
                           std::span<const RenditionDrop> drops,
                           std::vector<SinkOutcome>* out) = 0;

  // --- Damage, docs/format/records.md, section 9. ---

  // Moves these frames out of the way if they are damaged, or notes that they
  // are gone, and drops what they leave incomplete (DropMissing). One that is
  // what its rendition says, or that no rendition names any more, is left
  // alone. `reason` is for people.
  virtual Status SetAsideFrames(const DomainId& domain,
                                const SegmentId& segment,
                                std::span<const FrameRef> frames,
                                std::string_view reason) = 0;
  // Takes renditions out that lack a frame; of staged ones the first stages
  // stay, as far as they are whole. kDone where something went, else kKept.
  virtual Status DropMissing(const DomainId& domain,
                             std::span<const SegmentId> segments,
                             std::vector<SinkOutcome>* out) = 0;
  // Gives a session whose head commit is damaged or gone a new one, of what the
  // damaged bytes name; answers its token count. With `dry_run` only says what
  // that would be. kFailedPrecondition when the head can be read, or moved.
  virtual Result<uint64_t> SalvageHead(const DomainId& tenant,
                                       std::string_view name, bool dry_run) = 0;

  // --- Figures. ---
  struct SessionSize {
    uint64_t tokens = 0;
    uint64_t raw_bytes = 0;  // of the state, as cached by the engine
    // For ratios at 16 bits a value; two opaque bytes count as one.
    uint64_t values = 0;
    uint64_t frame_bytes = 0;
    uint64_t record_bytes = 0;   // segments, renditions, tail, commit, head
    uint64_t profile_bytes = 0;  // shared by all sessions of the model
    uint64_t segments_by_tier[6] = {};
    // Of those, with a profile of other weights in the rendition counted.
    uint64_t other_weights_segments = 0;
  };
  // Every stored byte of one session's head.
  virtual Result<SessionSize> MeasureSession(const DomainId& tenant,
                                             std::string_view name) = 0;

  virtual Engine* engine() = 0;
  virtual const Clock* clock() = 0;
};

}  // namespace reprise

#endif  // REPRISE_STORE_CATALOGUE_H_
