#include "api/session_census.h"

#include <algorithm>
#include <string>
#include <vector>

#include "store/records.h"

namespace reprise {
namespace {

constexpr uint64_t kPage = 1000;

}  // namespace

SessionCensus::SessionCensus(Engine* engine, const Clock* clock,
                             const Options& options)
    : engine_(engine),
      clock_(clock),
      options_(options),
      counted_ms_(clock->MonotonicMs()) {}

SessionFigures SessionCensus::Get() {
  std::lock_guard lock(mutex_);
  const int64_t now_ms = clock_->MonotonicMs();
  if (!tried_ms_ || now_ms - *tried_ms_ >= options_.max_age_ms) {
    tried_ms_ = now_ms;
    Result<SessionFigures> counted = Count();
    if (counted.ok()) {
      figures_ = *counted;
      counted_ms_ = now_ms;
    }
  }
  SessionFigures figures = figures_;
  figures.age_ms = now_ms - counted_ms_;
  return figures;
}

Result<SessionFigures> SessionCensus::Count() {
  SessionFigures figures;
  std::string cursor;
  std::vector<HeadStore::ListedHead> page;
  for (;;) {
    // One more than are counted tells whether there are more.
    const uint64_t left = options_.max_sessions - figures.sessions;
    const uint64_t wanted = std::min(left + 1, kPage);
    page.clear();
    REPRISE_RETURN_IF_ERROR(engine_->ListHeads(
        HeadSpace::kSession, "", cursor, static_cast<uint32_t>(wanted), &page));
    for (const HeadStore::ListedHead& head : page) {
      if (figures.sessions == options_.max_sessions) return figures;
      figures.sessions++;
      Result<SessionRecord> record = DecodeSession(head.record.value.view());
      // A damaged one is fsck's matter.
      if (record.ok()) figures.tokens += record->token_count;
    }
    if (page.size() < wanted) break;
    cursor = page.back().key;
  }
  figures.at_least = false;
  return figures;
}

}  // namespace reprise
