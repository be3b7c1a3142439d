#include "tools/compaction/policy_wishes.h"

#include <random>
#include <utility>

namespace reprise {
namespace {

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

WantedTiers::Options OptionsAt(int64_t now_ms) {
  WantedTiers::Options options;
  options.now_ms = now_ms;
  options.seed = DrawSeed();
  return options;
}

}  // namespace

PolicyWishes::PolicyWishes(Catalogue* catalogue, const PolicyRules* rules,
                           int64_t idle_plus_ms)
    : catalogue_(catalogue),
      rules_(rules),
      now_ms_(catalogue->clock()->WallMs() + idle_plus_ms),
      wanted_(catalogue, rules, OptionsAt(now_ms_)),
      walk_(catalogue->engine()) {}

uint64_t PolicyWishes::total() const {
  const auto counts = wanted_.map().Counts();
  uint64_t total = 0;
  for (auto each = static_cast<size_t>(Wanted::kNear); each < counts.size();
       ++each) {
    total += counts[each];
  }
  return total;
}

Result<bool> PolicyWishes::NextSession() {
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const std::optional<WalkedSession> session,
                             walk_.Next());
    if (!session) return false;
    const std::string key =
        DomainKey(session->tenant, AsBytes(session->info.name));
    // Sessions come in the order of their keys.
    if (key <= walked_) continue;
    walked_ = key;
    SessionWish wish = WishOf(*rules_, *session, now_ms_);
    if (wish.wanted < Wanted::kNear) continue;
    current_.emplace(Current{key, wish.wanted, std::move(wish.tiers),
                             FindLadder(rules_->ladders, wish.ladder),
                             SessionSegments(catalogue_, session->info.record),
                             /*given=*/0});
    return true;
  }
}

void PolicyWishes::AddTasks(const std::vector<SegmentUse>& uses, Batch* batch) {
  const DomainId& domain = current_->segments.domain();
  for (const SegmentUse& use : uses) {
    const auto entry = wanted_.Find(domain, use.id);
    // Whose wish holds brings the ladder; some session's does. Who asks for
    // more than the pass noted came after it.
    if (!entry || entry->wanted != current_->wanted) continue;
    if (!wanted_.Visit(domain, use.id)) continue;
    batch->tasks.push_back({domain, use.id, current_->tiers, current_->ladder});
    ++current_->given;
  }
}

Result<WishSource::Batch> PolicyWishes::Next(uint32_t limit) {
  Batch batch;
  // What was gathered before an error is given, and the error with the next
  // call.
  Status error;
  while (error.ok() && !batch.is_last && batch.tasks.size() < limit) {
    if (!current_) {
      const Result<bool> more = NextSession();
      error = more.status();
      batch.is_last = more.ok() && !*more;
      if (batch.is_last) done_ = walked_;
      continue;
    }
    std::vector<SegmentUse> uses;
    const Status status = current_->segments.Next(&uses);
    if (status.ok()) {
      AddTasks(uses, &batch);
    } else if (status.Is(StatusCode::kNotFound) ||
               status.Is(StatusCode::kDataLoss)) {
      // Collected meanwhile, or damaged: then the pass left it alone too.
      current_->segments.SkipCommit();
    } else {
      error = status;
    }
    if (!current_->segments.done()) continue;
    current_.reset();
    done_ = walked_;
  }
  if (!error.ok() && batch.tasks.empty()) return error;
  batch.cursor = done_;
  if (current_) batch.beyond_cursor = current_->given;
  return batch;
}

}  // namespace reprise
