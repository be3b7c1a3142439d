// A plan as a report: the same for a store directory and for a daemon's.
#ifndef REPRISE_TOOLS_COMPACTION_PLAN_REPORT_H_
#define REPRISE_TOOLS_COMPACTION_PLAN_REPORT_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"

namespace reprise {

struct PlanQuestion {
  int64_t at_ms = 0;                // as if it were then; 0: now
  int64_t idle_plus_ms = 0;         // and so much later
  uint64_t encode_bytes_per_s = 0;  // 0: what is assumed of each codec
  // After each step, with segments; false ends it with kUnavailable.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};
// Works the plan out, which may take minutes, and writes nothing: PlanJson with
// "at_ms", "clock_problem" (null, or why a job would not begin) and "text", all
// of it for people.
Result<nlohmann::json> ReportPlan(Catalogue* catalogue,
                                  const PolicyRules& rules,
                                  const PlanQuestion& question);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_PLAN_REPORT_H_
