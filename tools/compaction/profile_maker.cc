#include "tools/compaction/profile_maker.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "codec/segment.h"
#include "store/segment_reader.h"
#include "tools/compaction/session_walk.h"
#include "tools/table.h"

namespace reprise {
namespace {

constexpr size_t kBatchSegments = 64;

// What concerns one profile: the next one may be made all the same.
bool IsOfOne(const Status& status) {
  return status.Is(StatusCode::kFailedPrecondition) ||
         status.Is(StatusCode::kInvalidArgument) ||
         status.Is(StatusCode::kNotFound) || status.Is(StatusCode::kDataLoss) ||
         status.Is(StatusCode::kUnimplemented) ||
         // Of a trainer's memory.
         status.Is(StatusCode::kResourceExhausted);
}

std::string WaitText(const ProfileNeed& need) {
  return "needs " + FormatCount(need.min_tokens) +
         " tokens of exact state of model " + need.model.ShortHex() +
         " for codec " + std::string(need.choice.codec->name()) + ", has " +
         FormatCount(need.has_tokens);
}

}  // namespace

ProfileMaker::ProfileMaker(Catalogue* catalogue, const PolicyRules* rules,
                           const Options& options)
    : catalogue_(catalogue),
      rules_(rules),
      options_(options),
      shelf_(catalogue),
      rate_(options.bytes_per_s) {}

uint64_t ProfileMaker::made() const {
  return static_cast<uint64_t>(
      std::ranges::count_if(needs_, &ProfileNeed::is_made));
}

Status ProfileMaker::CheckStop() const {
  return *stop_ ? UnavailableError("profiles: stopped") : Status();
}

Status ProfileMaker::Run(const std::atomic<bool>& stop) {
  stop_ = &stop;
  REPRISE_RETURN_IF_ERROR(FindNeeds());
  for (ProfileNeed& need : needs_) {
    const Status status = Make(&need);
    if (status.ok()) continue;
    if (!IsOfOne(status)) return status;
    need.waits_for = "no profile of codec " +
                     std::string(need.choice.codec->name()) + " for model " +
                     need.model.ShortHex() + ": " +
                     std::string(status.message());
  }
  return Status();
}

// --- What is lacking. ---

Status ProfileMaker::FindNeeds() {
  SessionWalk walk(catalogue_->engine());
  while (true) {
    REPRISE_RETURN_IF_ERROR(CheckStop());
    REPRISE_ASSIGN_OR_RETURN(const std::optional<WalkedSession> session,
                             walk.Next());
    if (!session) return Status();
    if (!session->record_status.ok()) continue;
    REPRISE_RETURN_IF_ERROR(AddNeeds(session->info.record));
  }
}

Status ProfileMaker::AddNeeds(const SessionRecord& session) {
  // Also those that ask for no such tier: their state tells as much.
  for (ProfileNeed& need : needs_) {
    if (need.domain == session.domain && need.model == session.model) {
      ++need.sessions;
    }
  }
  const Result<Policy> policy = PolicyOf(*rules_, session);
  if (!policy.ok()) return Status();  // it is left as it is
  const Ladder* const ladder = FindLadder(rules_->ladders, policy->ladder);
  if (ladder == nullptr) return Status();
  for (const PolicyRung& rung : policy->rungs) {
    const LadderTier* const tier = ladder->Find(rung.tier);
    if (tier == nullptr || rung.tier == Tier::kExact) continue;
    const Result<CodecChoice> choice = ParseCodecChoice(tier->codec_choice);
    if (!choice.ok() || !choice->codec->needs_profile()) continue;
    const CodecId codec = choice->codec->id();
    const bool is_known = std::ranges::any_of(needs_, [&](const auto& need) {
      return need.domain == session.domain && need.model == session.model &&
             need.choice.codec->id() == codec;
    });
    if (is_known || needs_.size() == kMaxNeeds) continue;
    const auto found =
        catalogue_->FindProfile(session.domain, session.model, codec);
    if (found.ok()) continue;
    if (!found.status().Is(StatusCode::kNotFound)) return found.status();
    ProfileNeed need;
    need.domain = session.domain;
    need.model = session.model;
    need.choice = *choice;
    need.sessions = 1;
    needs_.push_back(std::move(need));
  }
  return Status();
}

// --- What there is to train on. ---

Status ProfileMaker::VisitSessions(const ProfileNeed& need,
                                   const Visit& visit) {
  SessionWalk walk(catalogue_->engine());
  while (true) {
    REPRISE_RETURN_IF_ERROR(CheckStop());
    REPRISE_ASSIGN_OR_RETURN(const std::optional<WalkedSession> session,
                             walk.Next());
    if (!session) return Status();
    const SessionRecord& record = session->info.record;
    if (!session->record_status.ok() || record.domain != need.domain ||
        record.model != need.model) {
      continue;
    }
    REPRISE_ASSIGN_OR_RETURN(const bool goes_on, visit(record));
    if (!goes_on) return Status();
  }
}

Status ProfileMaker::ExactOf(const SessionRecord& session,
                             std::vector<ExactSegment>* out) {
  out->clear();
  const auto commit = catalogue_->GetCommit(session.domain, session.head);
  if (commit.status().Is(StatusCode::kNotFound) ||
      commit.status().Is(StatusCode::kDataLoss)) {
    return Status();
  }
  REPRISE_RETURN_IF_ERROR(commit.status());
  std::vector<SegmentRef> refs = SegmentRefsOf(*commit);
  std::erase_if(refs, [](const SegmentRef& ref) {
    return ref.space != ObjectSpace::kSegment;
  });
  for (size_t first = 0; first < refs.size(); first += kBatchSegments) {
    REPRISE_RETURN_IF_ERROR(CheckStop());
    const size_t count = std::min(kBatchSegments, refs.size() - first);
    std::vector<StoredSegment> stored;
    REPRISE_RETURN_IF_ERROR(ReadSegments(catalogue_->engine(), session.domain,
                                         std::span(refs).subspan(first, count),
                                         {}, &stored));
    for (size_t i = 0; i < count; ++i) {
      if (!stored[i].status.ok() || !stored[i].rendition_status.ok()) continue;
      for (Rendition& each : stored[i].set.renditions) {
        if (each.effective() != Tier::kExact) continue;
        out->push_back({refs[first + i].id, std::move(stored[i].segment),
                        std::move(each)});
        break;
      }
    }
  }
  return Status();
}

Status ProfileMaker::Count(ProfileNeed* need) {
  std::set<SegmentId> seen;
  std::vector<ExactSegment> exact;
  const Status status =
      VisitSessions(*need, [&](const SessionRecord& session) -> Result<bool> {
        REPRISE_RETURN_IF_ERROR(ExactOf(session, &exact));
        for (const ExactSegment& each : exact) seen.insert(each.id);
        return seen.size() * kSegmentTokens < need->wanted_tokens;
      });
  need->has_tokens =
      std::min<uint64_t>(seen.size() * kSegmentTokens, need->wanted_tokens);
  return status;
}

// --- Training. ---

Status ProfileMaker::Make(ProfileNeed* need) {
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           shelf_.Model(need->domain, need->model));
  REPRISE_ASSIGN_OR_RETURN(
      const std::unique_ptr<ProfileTrainer> trainer,
      MakeProfileTrainer(need->choice.codec->id(), model->spec,
                         {.codec_options = need->choice.options.get(),
                          .max_memory_bytes = options_.max_memory_bytes,
                          .seed = options_.seed}));
  need->min_tokens = trainer->min_tokens();
  need->wanted_tokens = trainer->wanted_tokens();
  REPRISE_RETURN_IF_ERROR(Count(need));
  if (need->has_tokens < need->min_tokens) {
    need->waits_for = WaitText(*need);
    return Status();
  }
  REPRISE_RETURN_IF_ERROR(Feed(*need, trainer.get()));
  REPRISE_ASSIGN_OR_RETURN(const Bytes profile,
                           trainer->Fit([&](double) { return !*stop_; }));
  REPRISE_RETURN_IF_ERROR(catalogue_
                              ->PutProfile(need->domain, need->model,
                                           need->choice.codec->id(), profile,
                                           /*other_weights=*/false)
                              .status());
  need->is_made = true;
  return Status();
}

// A share of every session, and more of each in later passes, until it is
// enough: a profile is to be of all that is stored, not of its first session.
Status ProfileMaker::Feed(const ProfileNeed& need, ProfileTrainer* trainer) {
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           shelf_.Model(need.domain, need.model));
  const uint64_t wanted = need.wanted_tokens / kSegmentTokens;
  const uint64_t sessions = std::max<uint64_t>(1, need.sessions);
  uint64_t share = std::max<uint64_t>(1, (wanted + sessions - 1) / sessions);
  std::set<SegmentId> seen;
  std::vector<ExactSegment> exact;
  uint64_t fed = 0;
  for (bool is_cut = true; is_cut && fed < wanted; share *= 4) {
    is_cut = false;
    const Status status =
        VisitSessions(need, [&](const SessionRecord& session) -> Result<bool> {
          REPRISE_RETURN_IF_ERROR(ExactOf(session, &exact));
          const uint64_t taken = std::min<uint64_t>(share, exact.size());
          is_cut = is_cut || taken < exact.size();
          for (uint64_t i = 0; i < taken && fed < wanted; ++i) {
            const ExactSegment& each = exact[i * exact.size() / taken];
            if (!seen.insert(each.id).second) continue;
            REPRISE_ASSIGN_OR_RETURN(
                const bool is_added,
                AddSegment(need.domain, *model, each, trainer));
            if (is_added) ++fed;
          }
          return fed < wanted;
        });
    REPRISE_RETURN_IF_ERROR(status);
  }
  return Status();
}

Result<bool> ProfileMaker::AddSegment(const DomainId& domain,
                                      const SegmentModel& model,
                                      const ExactSegment& exact,
                                      ProfileTrainer* trainer) {
  REPRISE_RETURN_IF_ERROR(CheckStop());
  const Codec* const codec = FindCodec(exact.rendition.codec);
  if (codec == nullptr) return false;
  const auto profile = shelf_.Profile(domain, *codec, exact.rendition.profile);
  if (!profile.ok()) return false;
  (void)rate_.Acquire(exact.rendition.stored_bytes());
  std::vector<Result<PinnedBytes>> pins;
  catalogue_->GetFrames(domain, exact.id, exact.rendition.frames, &pins);
  std::vector<ByteView> bytes;
  for (const Result<PinnedBytes>& pin : pins) {
    if (!pin.ok()) return false;
    bytes.push_back(pin->view());
  }
  // All groups are decoded before the first is added: a token counts only when
  // the rows of all were.
  std::vector<Bytes> rows(model.groups.size());
  for (size_t g = 0; g < rows.size(); ++g) {
    const Status status = coder_.Decode(
        model, exact.segment, {&exact.rendition, bytes, codec, profile->get()},
        g, &rows[g]);
    if (!status.ok()) return false;
  }
  const auto tokens = static_cast<uint32_t>(exact.segment.tokens.size());
  for (size_t g = 0; g < rows.size(); ++g) {
    std::vector<ConstPlaneRows> planes;
    const uint8_t* at = rows[g].data();
    for (const PlaneSlice& slice : model.groups[g].slices) {
      planes.push_back({at, slice.token_bytes()});
      at += tokens * slice.token_bytes();
    }
    REPRISE_RETURN_IF_ERROR(
        trainer->Add(static_cast<uint32_t>(exact.segment.first_token), tokens,
                     model.groups[g].slices, planes));
  }
  return true;
}

}  // namespace reprise
