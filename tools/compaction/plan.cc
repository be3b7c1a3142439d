#include "tools/compaction/plan.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "tools/compaction/sink_bytes.h"

namespace reprise {
namespace {

// Records read by one call of the engine.
constexpr size_t kReadBatch = 256;
constexpr size_t kMaxWays = 4096;

PlanRow* RowOf(CompactionPlan* plan, Tier tier) {
  return &plan->rows[static_cast<size_t>(tier)];
}

Tier BestOf(const RenditionSet& set) {
  const Rendition* const best = set.Best(Tier::kArchive);
  return best == nullptr ? Tier::kTokens : best->effective();
}

}  // namespace

bool SkipsTier(const Status& status) {
  return status.Is(StatusCode::kFailedPrecondition) ||
         status.Is(StatusCode::kNotFound) || status.Is(StatusCode::kDataLoss) ||
         status.Is(StatusCode::kUnimplemented);
}

PlanRow CompactionPlan::total() const {
  PlanRow sum;
  for (const PlanRow& row : rows) {
    sum.segments_now += row.segments_now;
    sum.bytes_now += row.bytes_now;
    sum.segments_after += row.segments_after;
    sum.bytes_after += row.bytes_after;
    sum.dropped_bytes += row.dropped_bytes;
    sum.encode_freed_bytes += row.encode_freed_bytes;
  }
  return sum;
}

CompactionPlanner::CompactionPlanner(Catalogue* catalogue,
                                     const PolicyRules* rules, TierCheck check,
                                     const Options& options)
    : catalogue_(catalogue),
      rules_(rules),
      check_(std::move(check)),
      options_(options),
      wanted_(catalogue, rules,
              {options.now_ms, options.step_segments, options.seed}),
      walk_(catalogue->engine()) {}

Status CompactionPlanner::Step() {
  step_done_ = 0;
  if (phase_ == Phase::kMark) {
    REPRISE_RETURN_IF_ERROR(wanted_.Step());
    if (wanted_.done()) phase_ = Phase::kSessions;
    return Status();
  }
  while (!done() && step_done_ < options_.step_segments) {
    if (phase_ == Phase::kGarbage) {
      REPRISE_RETURN_IF_ERROR(NextGarbage());
    } else if (renditions_) {
      REPRISE_RETURN_IF_ERROR(NextUses());
    } else {
      REPRISE_RETURN_IF_ERROR(NextSession());
    }
  }
  return Status();
}

Status CompactionPlanner::NextSession() {
  ++step_done_;
  REPRISE_ASSIGN_OR_RETURN(std::optional<WalkedSession> session, walk_.Next());
  if (!session) {
    phase_ = Phase::kGarbage;
    return Status();
  }
  if (!session->record_status.ok()) return Status();
  session_ = *std::move(session);
  wish_ = WishOf(*rules_, session_, options_.now_ms);
  ladder_ = FindLadder(rules_->ladders, wish_.ladder);
  renditions_.emplace(catalogue_, session_.info.record);
  return Status();
}

Status CompactionPlanner::NoteLadder() {
  if (ladder_ == nullptr) return Status();
  const SessionRecord& session = session_.info.record;
  const LadderKey key(session.domain, session.model, wish_.ladder);
  if (noted_ladders_.contains(key)) return Status();
  if (noted_ladders_.size() >= kMaxWays) return Status();
  for (const LadderTier& each : ladder_->tiers) {
    if (each.tier == Tier::kExact) continue;
    REPRISE_ASSIGN_OR_RETURN(const Result<TierWay>* const way,
                             WayTo(each.tier));
    PlanLadderTier line{session.model,     wish_.ladder, each.tier,
                        each.codec_choice, {},           {}};
    if (way->ok()) {
      line.measured_kl = (*way)->measured_kl;
    } else {
      line.problem = std::string(way->status().message());
    }
    ladder_tiers_.insert(std::move(line));
  }
  noted_ladders_.insert(key);
  return Status();
}

Status CompactionPlanner::NextUses() {
  SessionRenditions& all = *renditions_;
  if (!all.has_entry()) {
    ++step_done_;
    REPRISE_RETURN_IF_ERROR(NoteLadder());
    if (!all.done()) return all.Read();
    renditions_.reset();
    return Status();
  }
  for (; all.has_entry(); all.Pop(), ++step_done_) {
    const auto entry = wanted_.Find(all.domain(), all.use().id);
    // A session that asks for worse than another one leaves it to that one,
    // whose ladder is to be followed.
    if (!entry || entry->is_visited ||
        (entry->wanted != Wanted::kLeftAlone &&
         entry->wanted != wish_.wanted)) {
      continue;
    }
    REPRISE_RETURN_IF_ERROR(Count(all.use(), all.record(), entry->wanted));
    wanted_.Visit(all.domain(), all.use().id);
    ++seen_;
  }
  return Status();
}

Status CompactionPlanner::Count(const SegmentUse& use, const HeadRecord& record,
                                Wanted wanted) {
  RenditionSet set;
  if (record.version != 0) {
    Result<RenditionSet> decoded = DecodeRenditionSet(record.value.view());
    if (!decoded.ok()) {
      ++plan_.unreadable_segments;
      return Status();
    }
    set = *std::move(decoded);
  }
  SinkChoice choice;
  if (wanted > Wanted::kExact) {
    std::vector<Tier> skipped;
    REPRISE_ASSIGN_OR_RETURN(choice, ChooseSink(set, use.is_tail, wish_.tiers,
                                                [&](Tier tier) -> Result<bool> {
                                                  REPRISE_ASSIGN_OR_RETURN(
                                                      const auto* way,
                                                      WayTo(tier));
                                                  if (!way->ok())
                                                    skipped.push_back(tier);
                                                  return way->ok();
                                                }));
    for (const Tier tier : skipped) {
      REPRISE_RETURN_IF_ERROR(CountSkip(set, choice, tier));
    }
  }
  if (choice.plan.way == SinkWay::kEncode) {
    REPRISE_RETURN_IF_ERROR(CountEncode(set, choice));
  } else {
    CountDrop(set, choice);
  }
  if (wanted == Wanted::kLeftAlone) {
    ++plan_.left_alone_segments;
    plan_.left_alone_bytes += StoredBytes(set);
  }
  ratios_.Add(session_.info.record.model, set);
  return Status();
}

Status CompactionPlanner::CountSkip(const RenditionSet& set,
                                    const SinkChoice& choice, Tier tier) {
  REPRISE_ASSIGN_OR_RETURN(const Result<TierWay>* const way, WayTo(tier));
  const std::string reason(way->status().message());
  const ModelId& model = session_.info.record.model;
  const Tier instead =
      choice.plan.way == SinkWay::kNothing ? Tier::kExact : choice.tier;
  PlanSkip* const skip = &skips_[{model, wish_.ladder, tier, reason, instead}];
  *skip = {model,
           wish_.ladder,
           tier,
           reason,
           instead,
           skip->segments + 1,
           skip->bytes + StoredBytes(set)};
  return Status();
}

void CompactionPlanner::CountDrop(const RenditionSet& set,
                                  const SinkChoice& choice) {
  const uint64_t bytes_now = StoredBytes(set);
  PlanRow* const now = RowOf(&plan_, BestOf(set));
  ++now->segments_now;
  now->bytes_now += bytes_now;
  uint64_t bytes_after = bytes_now;
  PlanRow* after = now;
  if (choice.plan.way != SinkWay::kNothing) {
    ++plan_.dropped_segments;
    after = RowOf(&plan_, choice.plan.remains);
    bytes_after = RemainingBytes(set, choice.plan, choice.tier);
  }
  ++after->segments_after;
  after->bytes_after += bytes_after;
  after->dropped_bytes += bytes_now - bytes_after;
}

Status CompactionPlanner::CountEncode(const RenditionSet& set,
                                      const SinkChoice& choice) {
  const SinkPlan& sink = choice.plan;
  REPRISE_ASSIGN_OR_RETURN(const Result<TierWay>* const way,
                           WayTo(choice.tier));
  const uint64_t bytes_now = StoredBytes(set);
  const uint64_t kept_bytes = RemainingBytes(set, sink, choice.tier);
  PlanRow* const now = RowOf(&plan_, BestOf(set));
  ++now->segments_now;
  now->bytes_now += bytes_now;
  const ModelId& model = session_.info.record.model;
  PlanRow* const after = RowOf(&plan_, sink.remains);
  ++after->segments_after;
  after->bytes_after += kept_bytes;
  PlanEncode* const encode =
      &encodes_[{model, (*way)->choice, choice.tier, sink.remains}];
  encode->model = model;
  encode->tier = choice.tier;
  encode->row = sink.remains;
  encode->way = **way;
  ++encode->segments;
  encode->bytes_now += bytes_now - kept_bytes;
  encode->raw_bytes += sink.sources[0]->raw_bytes;
  return Status();
}

// The ladder's answer, kept: there are few ways and many segments.
Result<const Result<TierWay>*> CompactionPlanner::WayTo(Tier tier) {
  const SessionRecord& session = session_.info.record;
  WayKey key(session.domain, session.model, wish_.ladder, tier);
  const auto found = ways_.find(key);
  if (found != ways_.end()) return &found->second;
  Result<TierWay> way = check_(session.domain, session.model, *ladder_, tier);
  if (!way.ok() && !SkipsTier(way.status())) return way.status();
  if (ways_.size() >= kMaxWays) ways_.clear();
  return &ways_.emplace(std::move(key), std::move(way)).first->second;
}

Status CompactionPlanner::NextGarbage() {
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(catalogue_->engine()->ListHeads(
      HeadSpace::kRendition, "", garbage_cursor_, kReadBatch, &listed));
  for (const HeadStore::ListedHead& head : listed) {
    ++step_done_;
    DomainId domain;
    SegmentId id;
    if (head.key.size() != kDomainKeyBytes) continue;
    std::memcpy(domain.bytes.data(), head.key.data(), kDomainBytes);
    std::memcpy(id.bytes.data(), head.key.data() + kDomainBytes, 32);
    if (wanted_.Find(domain, id).has_value()) continue;
    ++plan_.unreferenced_segments;
    const auto set = DecodeRenditionSet(head.record.value.view());
    if (set.ok()) plan_.unreferenced_bytes += StoredBytes(*set);
  }
  if (!listed.empty()) {
    garbage_cursor_ = listed.back().key;
    return Status();
  }
  Finish();
  phase_ = Phase::kDone;
  return Status();
}

// Estimates, once all ratios are known.
void CompactionPlanner::Finish() {
  plan_.sessions = wanted_.report();
  plan_.is_rate_configured = options_.encode_bytes_per_s > 0;
  plan_.drop_seconds =
      static_cast<double>(plan_.dropped_segments) / kAssumedDropRate;
  for (auto& [key, encode] : encodes_) {
    encode.estimate = ratios_.Of(encode.model, encode.way, encode.tier,
                                 encode.segments, encode.raw_bytes);
    const double rate = plan_.is_rate_configured
                            ? options_.encode_bytes_per_s
                            : AssumedEncodeRate(encode.way.codec);
    encode.seconds = static_cast<double>(encode.raw_bytes) / rate;
    plan_.encode_seconds += encode.seconds;
    PlanRow* const row = RowOf(&plan_, encode.row);
    row->bytes_after += encode.estimate.bytes;
    row->encode_freed_bytes +=
        encode.bytes_now - std::min(encode.bytes_now, encode.estimate.bytes);
    plan_.encodes.push_back(encode);
  }
  for (auto& [key, skip] : skips_) plan_.skips.push_back(skip);
  plan_.ladders.assign(ladder_tiers_.begin(), ladder_tiers_.end());
}

}  // namespace reprise
