// The Catalogue on an Engine. Split by concern: catalogue.cc has what is
// common, models and profiles; catalogue_{save,commit,read,sessions,settings,
// leases,sink,quarantine,measure}.cc the rest. Inside of these files only.
#ifndef REPRISE_STORE_CATALOGUE_IMPL_H_
#define REPRISE_STORE_CATALOGUE_IMPL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "store/catalogue.h"
#include "store/frame_facts.h"
#include "store/segment_reader.h"

namespace reprise {

// A model's spec, decoded once. Immutable.
struct StoredModel {
  ModelId id;
  ModelSpec spec;
  std::vector<LayerGroup> groups;
};

class CatalogueImpl final : public Catalogue {
 public:
  CatalogueImpl(Engine* engine, const Clock* clock,
                const CatalogueOptions& options)
      : engine_(engine), clock_(clock), options_(options) {}

  Result<ModelId> PutModel(const DomainId& domain,
                           ByteView spec_bytes) override;
  Result<PinnedBytes> GetModel(const DomainId& domain,
                               const ModelId& model) override;
  Result<ProfileId> PutProfile(const DomainId& domain, const ModelId& model,
                               CodecId codec, ByteView profile,
                               bool other_weights) override;
  Result<PinnedBytes> GetProfile(const DomainId& domain,
                                 const ProfileId& profile) override;
  Result<ProfileRecord> FindProfile(const DomainId& domain,
                                    const ModelId& model,
                                    CodecId codec) override;

  Status PutFrames(const DomainId& domain,
                   std::span<const FramePut> frames) override;
  Status Publish(const DomainId& domain, std::span<const PublishItem> items,
                 std::vector<PublishOutcome>* out) override;
  Result<CommitOutcome> Commit(const DomainId& tenant,
                               const CommitRequest& request) override;

  Result<MatchResult> Match(const DomainId& domain,
                            const MatchRequest& request) override;
  Result<FetchPlan> PlanFetch(const DomainId& tenant,
                              const FetchRequest& request) override;
  Result<PinnedBytes> GetFrame(const DomainId& domain, const SegmentId& segment,
                               const FrameRef& frame) override;
  void GetFrames(const DomainId& domain, const SegmentId& segment,
                 std::span<const FrameRef> frames,
                 std::vector<Result<PinnedBytes>>* out) override;

  Result<SessionInfo> GetSession(const DomainId& tenant,
                                 std::string_view name) override;
  Result<std::vector<SessionInfo>> ListSessions(const DomainId& tenant,
                                                std::string_view prefix,
                                                std::string_view cursor,
                                                uint32_t limit) override;
  Result<CommitRecord> GetCommit(const DomainId& domain,
                                 const CommitId& commit) override;
  Result<CommitOutcome> Fork(const DomainId& tenant, std::string_view from,
                             const CommitId& commit,
                             std::string_view to) override;
  Result<CommitOutcome> Rewind(const DomainId& tenant, std::string_view name,
                               uint64_t expected_incarnation,
                               uint64_t expected_version,
                               const RewindTarget& target) override;
  Status RemoveSession(const DomainId& tenant, std::string_view name) override;
  Result<SessionRecord> SetPolicy(const DomainId& tenant, std::string_view name,
                                  const PolicyChange& change) override;
  Result<SessionRecord> Pin(const DomainId& tenant, std::string_view name,
                            int64_t until_ms) override;
  Result<bool> RemoveSessionIf(
      const DomainId& tenant, std::string_view name,
      const std::function<bool(const SessionInfo&)>& is_due) override;
  void MarkUsed(const DomainId& tenant, std::string_view name) override;
  Status Flush() override;

  Result<uint64_t> Lease(const DomainId& domain,
                         std::span<const SegmentId> segments,
                         const TierWish& wish, int64_t lease_ms) override;
  Status RenewLease(uint64_t lease, int64_t lease_ms) override;
  Status ReleaseLease(uint64_t lease) override;

  Status DeriveRenditions(const DomainId& domain,
                          std::span<const SegmentId> segments,
                          const Derivation& derivation,
                          std::vector<SinkOutcome>* out) override;
  Status PublishLowered(const DomainId& domain,
                        std::span<const LoweredItem> items,
                        std::vector<PublishOutcome>* out) override;
  Status DropRenditions(const DomainId& domain,
                        std::span<const SegmentId> segments, Tier tier,
                        std::vector<SinkOutcome>* out) override;
  Status DropNamed(const DomainId& domain, std::span<const RenditionDrop> drops,
                   std::vector<SinkOutcome>* out) override;

  Status SetAsideFrames(const DomainId& domain, const SegmentId& segment,
                        std::span<const FrameRef> frames,
                        std::string_view reason) override;
  Status DropMissing(const DomainId& domain,
                     std::span<const SegmentId> segments,
                     std::vector<SinkOutcome>* out) override;
  Result<uint64_t> SalvageHead(const DomainId& tenant, std::string_view name,
                               bool dry_run) override;

  Result<SessionSize> MeasureSession(const DomainId& tenant,
                                     std::string_view name) override;

  Engine* engine() override { return engine_; }
  const Clock* clock() override { return clock_; }

 private:
  // What a writing operation knows from its start on: the epoch at which it
  // touches, and the moment after which it must not swing anything.
  struct Begun {
    Epoch epoch = 0;
    int64_t start_ns = 0;
  };
  Result<Begun> Begin() const;
  // kDeadlineExceeded once max_commit_ms have passed. To be asked right
  // before anything becomes visible.
  Status CheckDeadline(const Begun& begun) const;

  struct VersionedSession {
    SessionRecord record;
    HeadVersion version = 0;
  };
  // kNotFound.
  Result<VersionedSession> LoadSession(const DomainId& tenant,
                                       std::string_view name) const;
  // A new session record for `name`, at its first version.
  SessionRecord NewSession(const DomainId& domain) const;
  // `session` with its head at `commit`, one version on.
  SessionRecord Advance(const SessionRecord& session, const CommitId& id,
                        const CommitRecord& commit) const;
  // Swings: kFailedPrecondition when somebody else moved the head. Settings
  // that were changed since `next` was made are kept.
  Result<CommitOutcome> Swing(const DomainId& tenant, std::string_view name,
                              HeadVersion expected, SessionRecord next,
                              const Begun& begun, Durability durability);
  // When the session of this key was last used, also if that is not written
  // yet; 0: not known.
  Result<int64_t> LastUse(const std::string& key);
  // Of a session that is gone.
  Status ForgetLastUse(const std::string& key);
  // Changes a session's settings, again until nobody was faster.
  Result<SessionRecord> ChangeSettings(
      const DomainId& tenant, std::string_view name,
      const std::function<void(SessionRecord*)>& change);

  // kFailedPrecondition when the model was never put.
  Result<std::shared_ptr<const StoredModel>> LoadModel(const DomainId& domain,
                                                       const ModelId& model);

  // Whether `ancestor` is `head` or one that its parents lead to, within
  // reach: some may be collected already.
  Result<bool> IsAncestor(const DomainId& domain, const CommitId& head,
                          const CommitId& ancestor);
  Result<bool> WasCommitted(const SessionRecord& session, const CommitId& id);
  Status PutCommit(const DomainId& domain, const CommitId& id, ByteView bytes,
                   Epoch epoch);
  // A commit of a session: its head, a recent one or an ancestor. kNotFound.
  // *is_root says whether the session keeps it from being collected.
  Result<CommitRecord> FindCommitOf(const SessionRecord& session,
                                    const CommitId& commit, bool* is_root);
  // Touches what `commit` refers to and `reached` (may be null) does not.
  // What is missing or incomplete is appended to `missing`, and with
  // `needs_state` also what sank to tokens.
  Status Retain(const DomainId& domain, const CommitRecord& commit,
                const CommitRecord* reached, Epoch epoch, bool needs_state,
                std::vector<SegmentId>* missing);
  // For a session that is about to point at a commit that exists: kNotFound
  // when it, or something that it refers to, is collected already.
  Status RetainExisting(const SessionRecord& session, const CommitId& id,
                        const CommitRecord& commit, bool is_root, Epoch epoch);

  // The commit that cuts `head` after `token_count` tokens.
  Result<CommitRecord> CutCommit(const SessionRecord& session,
                                 const RewindTarget& target);

  // --- PlanFetch. ---
  Status PlanSession(const DomainId& tenant, const FetchRequest& request,
                     FetchPlan* plan, std::vector<SegmentRef>* refs,
                     bool* is_root);
  Status PlanIds(const DomainId& domain, const FetchRequest& request,
                 FetchPlan* plan, std::vector<SegmentRef>* refs);
  // `bytes`, if they are what `frame` says.
  Result<PinnedBytes> VerifyFrame(Result<PinnedBytes> bytes,
                                  const DomainId& domain,
                                  const SegmentId& segment,
                                  const FrameRef& frame);
  Result<uint64_t> WriteLease(const LeaseRecord& record, const Begun& begun);

  // --- Damage. ---
  Status SetAsideFrame(const DomainId& domain, const SegmentId& segment,
                       const FrameRef& frame, uint8_t lost_tier,
                       std::string_view reason, Epoch epoch);
  // What a damaged head's bytes still prove.
  Result<CommitRecord> SalvageCommit(const SessionRecord& session,
                                     ByteView damaged);

  // --- Sinking. ---
  // What the set of the index-th segment is to become when the outcome is
  // kDone. (*present)[i] frames of renditions[i] are there, from the first on.
  using NextSet = std::function<SinkOutcome(
      size_t index, const RenditionSet& set, std::span<const size_t> present,
      RenditionSet*)>;
  Status Sink(const DomainId& domain, std::span<const SegmentId> segments,
              const NextSet& next_set, std::vector<SinkOutcome>* out);
  Status SwapSets(const DomainId& domain, std::span<const SegmentId> segments,
                  size_t first_index, const NextSet& next_set,
                  const Begun& begun, std::span<SinkOutcome> out);

  Engine* const engine_;
  const Clock* const clock_;
  const CatalogueOptions options_;

  std::mutex models_mutex_;
  std::map<std::pair<DomainId, ModelId>, std::shared_ptr<const StoredModel>>
      models_;  // guarded by models_mutex_

  FrameFactsCache frame_facts_;

  std::mutex last_use_mutex_;
  // By session key; guarded by last_use_mutex_.
  std::map<std::string, int64_t> last_use_ms_;
  int64_t last_flush_ms_ = 0;  // monotonic; guarded by last_use_mutex_
};

// kInvalidArgument unless 1 to kMaxSessionNameBytes bytes.
Status CheckSessionName(std::string_view name);

// kInvalidArgument unless 1 to kMaxLeaseMs.
Status CheckLeaseMs(int64_t lease_ms);

// Random, never zero.
uint64_t RandomId64();

}  // namespace reprise

#endif  // REPRISE_STORE_CATALOGUE_IMPL_H_
