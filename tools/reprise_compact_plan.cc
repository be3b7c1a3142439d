// compact plan, compact confirm-clock: by a daemon, or on the store of one that
// is stopped.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/duration.h"
#include "store/clock_guard.h"
#include "tools/compaction/plan_report.h"
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

// 0: the present.
Result<int64_t> TimeOf(const PlanArguments& arguments) {
  if (arguments.at.empty()) return 0;
  const Result<int64_t> at_ms = ParseTime(arguments.at);
  if (!at_ms.ok()) return at_ms.status().WithContext("--at");
  return at_ms;
}

Result<int64_t> IdlePlusOf(const PlanArguments& arguments) {
  if (arguments.idle_plus.empty()) return 0;
  const Result<int64_t> plus_ms = ParseDuration(arguments.idle_plus);
  if (!plus_ms.ok()) return plus_ms.status().WithContext("--idle-plus");
  return plus_ms;
}

Result<json> PlanOffline(const PlanArguments& arguments,
                         PlanQuestion question) {
  REPRISE_ASSIGN_OR_RETURN(const PolicyRules rules,
                           ReadRules(arguments.dir, arguments.rules));
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  Progress bar("compact plan");
  question.progress = [&](uint64_t done, uint64_t total) {
    bar.Update(done, total);
    return true;
  };
  return ReportPlan(store.catalogue.get(), rules, question);
}

Result<json> PlanOnline(CommandContext* context, const PlanArguments& arguments,
                        const PlanQuestion& question) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  Progress bar("compact plan");
  CompactCall call;
  call.action = CompactCall::Action::kPlan;
  call.policy = arguments.rules.policy;
  call.ladders = arguments.rules.ladder;
  call.at_ms = question.at_ms;
  call.idle_plus_ms = question.idle_plus_ms;
  call.encode_bytes_per_s = question.encode_bytes_per_s;
  call.progress = [&](uint64_t done, uint64_t total, std::string_view) {
    bar.Update(done, total);
  };
  REPRISE_ASSIGN_OR_RETURN(const std::string text, client->Compact(call));
  json report = json::parse(text, nullptr, false);
  if (report.is_object()) return report;
  return DataLossError("compact: report is no JSON");
}

Status RunPlan(CommandContext* context, const PlanArguments& arguments) {
  PlanQuestion question;
  REPRISE_ASSIGN_OR_RETURN(question.at_ms, TimeOf(arguments));
  REPRISE_ASSIGN_OR_RETURN(question.idle_plus_ms, IdlePlusOf(arguments));
  question.encode_bytes_per_s = arguments.encode_rate;
  REPRISE_ASSIGN_OR_RETURN(json report,
                           arguments.dir.empty()
                               ? PlanOnline(context, arguments, question)
                               : PlanOffline(arguments, question));
  const std::string text = report.value("text", "");
  report.erase("text");
  context->Show(report, text);
  return Status();
}

Result<json> ConfirmOffline(const std::string& dir) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store, OpenStopped(dir));
  const int64_t now_ms = SystemClock().WallMs();
  const auto before = ReadClock(store.engine.get(), now_ms);
  REPRISE_RETURN_IF_ERROR(ConfirmClock(store.engine.get(), now_ms));
  const int64_t kept_ms = before.ok() ? before->kept_ms : 0;
  return json{{"now_ms", now_ms}, {"before_ms", kept_ms}};
}

Result<json> ConfirmOnline(CommandContext* context) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  CompactCall call;
  call.action = CompactCall::Action::kConfirmClock;
  REPRISE_ASSIGN_OR_RETURN(const std::string text, client->Compact(call));
  json report = json::parse(text, nullptr, false);
  if (report.is_object()) return report;
  return DataLossError("compact: report is no JSON");
}

Status RunConfirmClock(CommandContext* context, const std::string& dir) {
  REPRISE_ASSIGN_OR_RETURN(const json report, dir.empty()
                                                  ? ConfirmOnline(context)
                                                  : ConfirmOffline(dir));
  context->Show(
      report, "the time is " + FormatTime(report.value("now_ms", int64_t{0})) +
                  " UTC; before, it was written down last as " +
                  FormatTime(report.value("before_ms", int64_t{0})) + "\n");
  return Status();
}

}  // namespace

void AddCompactPlanCommands(CLI::App* compact, CommandContext* context) {
  auto arguments = std::make_shared<PlanArguments>();
  auto* plan = compact->add_subcommand(
      "plan", "what a compaction would do, without doing it");
  AddRulesOptions(plan, AddDirOption(plan, &arguments->dir), &arguments->rules);
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
