// compact plan, compact confirm-clock: on a store whose daemon is stopped.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/duration.h"
#include "store/catalogue.h"
#include "store/clock_guard.h"
#include "tools/compaction/plan.h"
#include "tools/compaction/plan_text.h"
#include "tools/compaction/tier_check.h"
#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/stopped_store.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

struct PlanArguments {
  std::string dir;
  RulesArguments rules;
  std::string at;
  std::string idle_plus;
  uint64_t encode_rate = 0;
};

Result<int64_t> TimeOf(const PlanArguments& arguments) {
  if (!arguments.at.empty()) {
    const Result<int64_t> at_ms = ParseTime(arguments.at);
    if (!at_ms.ok()) return at_ms.status().WithContext("--at");
    return at_ms;
  }
  const int64_t now_ms = SystemClock().WallMs();
  if (arguments.idle_plus.empty()) return now_ms;
  const Result<int64_t> plus_ms = ParseDuration(arguments.idle_plus);
  if (!plus_ms.ok()) return plus_ms.status().WithContext("--idle-plus");
  return now_ms + *plus_ms;
}

// What stops a job, but not a plan. Empty: nothing.
std::string ClockProblem(HeadStore* heads) {
  const auto reading = ReadClock(heads, SystemClock().WallMs());
  const Status status = reading.ok() ? CheckClock(*reading) : reading.status();
  return status.ok() ? std::string() : std::string(status.message());
}

Status RunPlan(CommandContext* context, const PlanArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const PolicyRules rules,
                           ReadRules(arguments.dir, arguments.rules));
  CompactionPlanner::Options options;
  REPRISE_ASSIGN_OR_RETURN(options.now_ms, TimeOf(arguments));
  options.encode_bytes_per_s = static_cast<double>(arguments.encode_rate);
  options.seed = static_cast<uint64_t>(SystemClock().MonotonicNs());
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  CompactionPlanner planner(store.catalogue.get(), &rules,
                            MakeTierCheck(store.catalogue.get()), options);
  {
    Progress progress("compact plan");
    while (!planner.done()) {
      REPRISE_RETURN_IF_ERROR(planner.Step());
      progress.Update(planner.segments_seen(), planner.segments_known());
    }
  }
  json shown = PlanJson(planner.plan());
  const std::string at = FormatTime(options.now_ms);
  shown["at_ms"] = options.now_ms;
  std::string text = "as of " + at + " UTC\n\n" + PlanText(planner.plan());
  const std::string problem = ClockProblem(store.engine.get());
  shown["clock_problem"] = problem.empty() ? json() : json(problem);
  if (!problem.empty()) text += "a job would not begin: " + problem + "\n";
  context->Show(shown, text);
  return Status();
}

Status RunConfirmClock(CommandContext* context, const std::string& dir) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store, OpenStopped(dir));
  const int64_t now_ms = SystemClock().WallMs();
  const auto before = ReadClock(store.engine.get(), now_ms);
  REPRISE_RETURN_IF_ERROR(ConfirmClock(store.engine.get(), now_ms));
  const int64_t kept_ms = before.ok() ? before->kept_ms : 0;
  context->Show({{"now_ms", now_ms}, {"before_ms", kept_ms}},
                "the time is " + FormatTime(now_ms) +
                    " UTC; before, it was written down last as " +
                    FormatTime(kept_ms) + "\n");
  return Status();
}

}  // namespace

void AddCompactPlanCommands(CLI::App* compact, CommandContext* context) {
  auto arguments = std::make_shared<PlanArguments>();
  auto* plan = compact->add_subcommand(
      "plan", "what a compaction would do, without doing it");
  AddDirOption(plan, &arguments->dir);
  AddRulesOptions(plan, &arguments->rules);
  auto* at = plan->add_option("--at", arguments->at,
                              "as if it were then, in UTC: 2027-01-31");
  plan->add_option("--idle-plus", arguments->idle_plus,
                   "as if nobody used anything for so long: 30d")
      ->excludes(at);
  plan->add_option("--encode-rate", arguments->encode_rate,
                   "bytes a second that are encoded anew: 200MB")
      ->transform(CLI::AsSizeValue(true));
  plan->callback([context, arguments] {
    context->run = [=] { return RunPlan(context, *arguments); };
  });

  auto dir = std::make_shared<std::string>();
  auto* confirm = compact->add_subcommand(
      "confirm-clock", "say that the machine's clock is right after a jump");
  AddDirOption(confirm, dir.get());
  confirm->footer(
      "Nothing sinks or is removed by its TTL while the clock is more than a "
      "day\nahead of the last time that the store knows of.");
  confirm->callback([context, dir] {
    context->run = [=] { return RunConfirmClock(context, *dir); };
  });
}

}  // namespace reprise
