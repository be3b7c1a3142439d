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
      Measure(all.use(), all.record());
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
  std::optional<TierWay> way;
  if (session.sink_to > Tier::kExact && session.sink_to < Tier::kTokens) {
    const Result<TierWay> made =
        check_(record.domain, record.model,
               *FindLadder(rules_->ladders, policy.ladder), session.sink_to);
    if (made.ok()) {
      way = *made;
    } else if (!SkipsTier(made.status())) {
      return made.status();
    }
  }
  const bool ends_in_tokens = policy.rungs.back().tier == Tier::kTokens;
  // Set to what it holds once that is known.
  session.facts.tokens_free_bytes = ends_in_tokens ? 1 : 0;
  current_ = Current{std::move(session), record.model, std::move(way),
                     SessionRenditions(catalogue_, record)};
  walked_.reset();
  return Status();
}

void SpaceSurvey::Measure(const SegmentUse& use, const HeadRecord& record) {
  if (record.version == 0) return;
  const Result<RenditionSet> set = DecodeRenditionSet(record.value.view());
  if (!set.ok()) return;
  SessionFacts* const facts = &current_->session.facts;
  const uint64_t bytes = StoredBytes(*set);
  facts->bytes += bytes;
  ratios_.Add(current_->model, *set);
  if (!IsOwn(current_->renditions.domain(), use.id)) return;
  facts->own_bytes += bytes;
  ++current_->session.own_segments;
  const Tier tier = current_->session.sink_to;
  if (tier == Tier::kExact || tier == Tier::kTokens) return;
  const SinkPlan sink = PlanSink(*set, use.is_tail, tier);
  uint64_t after = RemainingBytes(*set, sink, tier);
  if (sink.way == SinkWay::kEncode) {
    if (!current_->way) return;
    after += ratios_
                 .Of(current_->model, *current_->way, tier, 1,
                     sink.sources[0]->raw_bytes)
                 .bytes;
  }
  facts->sink_frees_bytes += bytes - std::min(bytes, after);
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
