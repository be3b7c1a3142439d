#include "tools/compaction/space_survey.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "tools/compaction/sink_bytes.h"
#include "tools/compaction/sink_plan.h"

namespace reprise {

Tier LowestWithFrames(const Policy& policy) {
  Tier lowest = Tier::kTokens;
  for (const PolicyRung& rung : policy.rungs) {
    if (rung.tier != Tier::kTokens) lowest = rung.tier;
  }
  return lowest;
}

SpaceSurvey::SpaceSurvey(Catalogue* catalogue, const PolicyRules* rules,
                         TierCheck check, const Options& options)
    : catalogue_(catalogue),
      rules_(rules),
      check_(std::move(check)),
      options_(options),
      wanted_(catalogue, rules,
              {options.now_ms, options.step_segments, options.seed}),
      walk_(catalogue->engine()) {}

Status SpaceSurvey::Step() {
  step_done_ = 0;
  if (phase_ == Phase::kMark) {
    REPRISE_RETURN_IF_ERROR(wanted_.Step());
    if (wanted_.done()) phase_ = Phase::kSessions;
    return Status();
  }
  while (!done() && step_done_ < options_.step_segments) {
    if (!current_) {
      REPRISE_RETURN_IF_ERROR(NextSession());
      continue;
    }
    ++step_done_;
    SessionRenditions& all = current_->renditions;
    if (all.has_entry()) {
      REPRISE_RETURN_IF_ERROR(Measure(all.use(), all.record()));
      all.Pop();
    } else if (!all.done()) {
      REPRISE_RETURN_IF_ERROR(all.Read());
    } else {
      Keep(std::move(current_->session));
      current_.reset();
    }
  }
  return Status();
}

Status SpaceSurvey::NextSession() {
  ++step_done_;
  if (!walked_) {
    REPRISE_ASSIGN_OR_RETURN(walked_, walk_.Next());
  }
  if (!walked_) {
    SortOut();
    for (size_t i = 0; i < sessions_.size(); ++i) sessions_[i].facts.index = i;
    phase_ = Phase::kDone;
    return Status();
  }
  const SessionRecord& record = walked_->info.record;
  const SessionWish wish = WishOf(*rules_, *walked_, options_.now_ms);
  if (wish.wanted == Wanted::kLeftAlone) {
    walked_.reset();
    return Status();
  }
  REPRISE_ASSIGN_OR_RETURN(const Policy policy, PolicyOf(*rules_, record));
  SurveyedSession session;
  session.tenant = walked_->tenant;
  session.name = walked_->info.name;
  session.sink_to = LowestWithFrames(policy);
  session.facts.idle_ms = IdleMs(walked_->info, options_.now_ms);
  session.facts.tokens = record.token_count;
  std::vector<Tier> tiers;
  if (session.sink_to != Tier::kTokens) {
    tiers = TiersDownTo(policy, session.sink_to);
  }
  REPRISE_ASSIGN_OR_RETURN(
      auto ways,
      WaysOf(record, *FindLadder(rules_->ladders, policy.ladder), tiers));
  const bool ends_in_tokens = policy.rungs.back().tier == Tier::kTokens;
  // Set to what it holds once that is known.
  session.facts.tokens_free_bytes = ends_in_tokens ? 1 : 0;
  current_ = Current{std::move(session), record.model, std::move(tiers),
                     std::move(ways), SessionRenditions(catalogue_, record)};
  walked_.reset();
  return Status();
}

Result<std::map<Tier, TierWay>> SpaceSurvey::WaysOf(
    const SessionRecord& record, const Ladder& ladder,
    const std::vector<Tier>& tiers) const {
  std::map<Tier, TierWay> ways;
  for (const Tier tier : tiers) {
    Result<TierWay> made = check_(record.domain, record.model, ladder, tier);
    if (made.ok()) {
      ways[tier] = *std::move(made);
    } else if (!SkipsTier(made.status())) {
      return made.status();
    }
  }
  return ways;
}

Status SpaceSurvey::Measure(const SegmentUse& use, const HeadRecord& record) {
  if (record.version == 0) return Status();
  const Result<RenditionSet> set = DecodeRenditionSet(record.value.view());
  if (!set.ok()) return Status();
  const auto& ways = current_->ways;
  REPRISE_ASSIGN_OR_RETURN(
      const SinkChoice choice,
      ChooseSink(*set, use.is_tail, current_->tiers,
                 [&](Tier tier) { return ways.contains(tier); }));
  SessionFacts* const facts = &current_->session.facts;
  const uint64_t bytes = StoredBytes(*set);
  facts->bytes += bytes;
  ratios_.Add(current_->model, *set);
  if (!IsOwn(current_->renditions.domain(), use.id)) return Status();
  facts->own_bytes += bytes;
  ++current_->session.own_segments;
  uint64_t after = RemainingBytes(*set, choice.plan, choice.tier);
  if (choice.plan.way == SinkWay::kEncode) {
    after += ratios_
                 .Of(current_->model, ways.at(choice.tier), choice.tier, 1,
                     choice.plan.sources[0]->raw_bytes)
                 .bytes;
  }
  facts->sink_frees_bytes += bytes - std::min(bytes, after);
  return Status();
}

// A lease counts as sharing it.
bool SpaceSurvey::IsOwn(const DomainId& domain, const SegmentId& id) const {
  const auto entry = wanted_.Find(domain, id);
  return entry && !entry->is_shared && entry->wanted != Wanted::kLeftAlone;
}

void SpaceSurvey::Keep(SurveyedSession session) {
  SessionFacts* const facts = &session.facts;
  if (facts->own_bytes == 0) return;
  if (facts->tokens_free_bytes != 0) {
    facts->tokens_free_bytes = facts->own_bytes;
  }
  sessions_.push_back(std::move(session));
  if (sessions_.size() >= 2 * uint64_t{options_.max_sessions}) SortOut();
}

// By value, and no more than are kept.
void SpaceSurvey::SortOut() {
  std::ranges::sort(sessions_, {}, [this](const SurveyedSession& session) {
    return std::tuple(ValueOf(session.facts, options_.rates), session.tenant,
                      std::string_view(session.name));
  });
  if (sessions_.size() > options_.max_sessions) {
    sessions_.erase(sessions_.begin() + options_.max_sessions, sessions_.end());
  }
}

std::vector<SessionFacts> SpaceSurvey::Facts() const {
  std::vector<SessionFacts> facts;
  for (const SurveyedSession& session : sessions_) {
    facts.push_back(session.facts);
  }
  return facts;
}

}  // namespace reprise
