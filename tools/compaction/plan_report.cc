#include "tools/compaction/plan_report.h"

#include <random>
#include <string>

#include "store/clock_guard.h"
#include "tools/compaction/plan.h"
#include "tools/compaction/plan_text.h"
#include "tools/compaction/tier_check.h"
#include "tools/table.h"

namespace reprise {
namespace {

// What stops a job, but not a plan. Empty: nothing.
std::string ClockProblem(Catalogue* catalogue) {
  const auto reading =
      ReadClock(catalogue->engine(), catalogue->clock()->WallMs());
  const Status status = reading.ok() ? CheckClock(*reading) : reading.status();
  return status.ok() ? std::string() : std::string(status.message());
}

}  // namespace

Result<nlohmann::json> ReportPlan(Catalogue* catalogue,
                                  const PolicyRules& rules,
                                  const PlanQuestion& question) {
  CompactionPlanner::Options options;
  options.now_ms = question.at_ms;
  if (options.now_ms == 0) options.now_ms = catalogue->clock()->WallMs();
  if (question.idle_plus_ms > kMaxDurationMs) {
    return InvalidArgumentError(
        "plan: idle time is " + std::to_string(question.idle_plus_ms) +
        " ms, at most " + std::to_string(kMaxDurationMs) + " are allowed");
  }
  options.now_ms += question.idle_plus_ms;
  options.encode_bytes_per_s = static_cast<double>(question.encode_bytes_per_s);
  options.seed = std::random_device()();
  CompactionPlanner planner(catalogue, &rules, MakeTierCheck(catalogue),
                            options);
  while (!planner.done()) {
    REPRISE_RETURN_IF_ERROR(planner.Step());
    if (question.progress == nullptr) continue;
    if (!question.progress(planner.segments_seen(), planner.segments_known())) {
      return UnavailableError("plan: stopped");
    }
  }
  nlohmann::json report = PlanJson(planner.plan());
  report["at_ms"] = options.now_ms;
  std::string text = "as of " + FormatTime(options.now_ms) + " UTC\n\n" +
                     PlanText(planner.plan());
  const std::string problem = ClockProblem(catalogue);
  report["clock_problem"] =
      problem.empty() ? nlohmann::json() : nlohmann::json(problem);
  if (!problem.empty()) text += "a job would not begin: " + problem + "\n";
  report["text"] = text;
  return report;
}

}  // namespace reprise
