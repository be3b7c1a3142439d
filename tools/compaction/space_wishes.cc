#include "tools/compaction/space_wishes.h"

#include <utility>
#include <vector>

namespace reprise {

SpaceWishes::SpaceWishes(Catalogue* catalogue, const PolicyRules* rules,
                         TierCheck check, const Options& options)
    : catalogue_(catalogue),
      rules_(rules),
      options_(options),
      now_ms_(catalogue->clock()->WallMs()),
      survey_(
          catalogue, rules, std::move(check),
          {.now_ms = now_ms_, .seed = options.seed, .rates = options.rates}) {}

Status SpaceWishes::Prepare() {
  REPRISE_RETURN_IF_ERROR(survey_.Step());
  if (!survey_.done()) return Status();
  plan_ = PlanSpace(options_.used_bytes, options_.marks, options_.rates,
                    survey_.Facts());
  for (const SpaceChoice& choice : plan_.choices) {
    total_ += survey_.sessions()[choice.index].own_segments;
  }
  is_planned_ = true;
  return Status();
}

Result<WishSource::Batch> SpaceWishes::Next(uint32_t limit) {
  Batch batch;
  while (batch.tasks.size() < limit && next_choice_ < plan_.choices.size()) {
    const size_t before = batch.tasks.size();
    const Status added = AddTasks(plan_.choices[next_choice_], &batch);
    if (!added.ok()) {
      // The sessions before it are given now, this one with the next call.
      batch.tasks.resize(before);
      if (batch.tasks.empty()) return added;
      break;
    }
    ++next_choice_;
  }
  batch.is_last = next_choice_ == plan_.choices.size();
  batch.beyond_cursor = batch.tasks.size();
  return batch;
}

Status SpaceWishes::AddTasks(const SpaceChoice& choice, Batch* batch) {
  const SurveyedSession& surveyed = survey_.sessions()[choice.index];
  const Result<SessionInfo> info =
      catalogue_->GetSession(surveyed.tenant, surveyed.name);
  if (info.status().Is(StatusCode::kNotFound) ||
      info.status().Is(StatusCode::kDataLoss)) {
    return Status();
  }
  if (!info.ok()) return info.status();
  const SessionRecord& record = info->record;
  const Result<Policy> policy = PolicyOf(*rules_, record);
  if (!policy.ok() || IsPinned(record, now_ms_) ||
      IdleMs(*info, now_ms_) < surveyed.facts.idle_ms) {
    return Status();
  }
  // A policy is changed without a use.
  const Tier tier = choice.to_tokens ? Tier::kTokens : surveyed.sink_to;
  const Tier lowest =
      choice.to_tokens ? policy->rungs.back().tier : LowestWithFrames(*policy);
  if (tier != lowest) return Status();
  std::vector<Tier> tiers{tier};
  if (!choice.to_tokens) tiers = TiersDownTo(*policy, tier);
  const Ladder* const ladder = FindLadder(rules_->ladders, policy->ladder);
  SessionSegments segments(catalogue_, record);
  std::vector<SegmentUse> uses;
  while (!segments.done()) {
    const Status read = segments.Next(&uses);
    if (read.Is(StatusCode::kNotFound) || read.Is(StatusCode::kDataLoss)) {
      segments.SkipCommit();
      continue;
    }
    REPRISE_RETURN_IF_ERROR(read);
    for (const SegmentUse& use : uses) {
      if (!survey_.IsOwn(segments.domain(), use.id)) continue;
      batch->tasks.push_back({segments.domain(), use.id, tiers, ladder});
    }
  }
  return Status();
}

}  // namespace reprise
