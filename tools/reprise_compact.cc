// compact run, status, pause, resume, cancel: sessions sink down their ladders,
// by a daemon or in the store of one that is stopped.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/duration.h"
#include "store/collector.h"
#include "tools/compaction/compaction_job.h"
#include "tools/compaction/compaction_run.h"
#include "tools/compaction/reclaim_hook.h"
#include "tools/compaction/run_request.h"
#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/signal_pause.h"
#include "tools/stopped_store.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

struct CompactArguments {
  std::string dir;
  RulesArguments rules;
  std::optional<uint64_t> bytes_per_s;
  uint32_t threads = 0;
  uint64_t until_below_bytes = 0;
  uint64_t profile_memory_bytes = 0;
  std::string idle_plus;  // a rehearsal
};

std::string RatioText(uint64_t before, uint64_t after) {
  if (after == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2fx",
                static_cast<double>(before) / static_cast<double>(after));
  return text;
}

// `report` is a RunJson.
void ShowProgress(const json& report, Progress* bar) {
  const auto number = [&](const char* key) {
    return report.value(key, uint64_t{0});
  };
  const uint64_t before = number("bytes_before");
  const uint64_t after = number("bytes_after");
  const std::string stage = report.value("stage", "");
  // The mark pass does not know how long it will take.
  const bool is_known = !report.value("preparing", true);
  bar->Update(number("done_segments"), is_known ? number("total_segments") : 0,
              FormatBytes(before) + " to " + FormatBytes(after) + " (" +
                  RatioText(before, after) + ")" +
                  (stage == "policy" ? "" : ", " + stage));
}

// What only a whole run tells.
std::string RunText(const json& report) {
  if (!report.contains("used_bytes_after")) return {};
  const auto number = [&](const char* key) {
    return report.value(key, uint64_t{0});
  };
  const std::string stage = report.value("stage", "");
  std::string text =
      "taken on the disk: " + FormatBytes(number("used_bytes_before")) +
      " before, " + FormatBytes(number("used_bytes_after")) +
      (stage == "ended" ? " after\n" : " now\n");
  if (stage != "ended") text += "now: " + Printable(stage) + "\n";
  if (const uint64_t removed = number("sessions_removed"); removed > 0) {
    text += FormatCount(removed) + " sessions removed by their TTL\n";
  }
  if (const uint64_t made = number("profiles_made"); made > 0) {
    text += FormatCount(made) + " profiles trained\n";
  }
  for (const json& wait : report.value("profiles_wait", json::array())) {
    text += "no profile yet: " +
            Printable(wait.is_string() ? wait.get<std::string>() : "") + "\n";
  }
  if (report.value("is_over", false)) {
    text += "that is still over " + FormatBytes(number("target_bytes")) +
            ": what is left is pinned, in use, or as low as it may sink\n";
  }
  // Of a failed job the reason is said already.
  if (report.contains("failure") && report.value("phase", "") != "failed") {
    text += "it ended early: " + Printable(report.value("failure", "")) + "\n";
  }
  for (const json& left : report.value("space_left", json::array())) {
    text += "not given back: " +
            Printable(left.is_string() ? left.get<std::string>() : "") + "\n";
  }
  return text;
}

std::string CompactionText(const json& report) {
  const uint64_t before = report.value("bytes_before", uint64_t{0});
  const uint64_t after = report.value("bytes_after", uint64_t{0});
  std::string text =
      report.value("phase", "") + ": " +
      FormatCount(report.value("done_segments", uint64_t{0})) + " of " +
      FormatCount(report.value("total_segments", uint64_t{0})) + " segments, " +
      FormatBytes(before) + " to " + FormatBytes(after) + " of frames (" +
      RatioText(before, after) + ")\n";
  if (report.contains("reason")) {
    text += "because: " + Printable(report.value("reason", "")) + "\n";
  }
  const std::string holder = report.value("holder", "");
  text += "by " + Printable(holder) + ", heard of " +
          FormatTime(report.value("heartbeat_ms", int64_t{0})) + "\n";
  Table table({"segments", ">count"});
  const json segments = report.value("segments", json::object());
  for (const auto& [key, value] : segments.items()) {
    if (value.is_number() && value != 0) table.Add({key, FormatCount(value)});
  }
  if (table.row_count() > 0) text += table.ToString();
  for (const json& each : report.value("kept_because", json::array())) {
    const std::string tier = each.value("sunk_to", "");
    text += FormatCount(each.value("segments", uint64_t{0})) +
            (tier.empty() ? " kept: " : " sunk to " + Printable(tier) + ": ") +
            Printable(each.value("reason", "")) + "\n";
  }
  return text + RunText(report);
}

// Shows it; `text` is a CompactionJson, a RunJson, or says that there is none.
Result<json> Show(CommandContext* context, const std::string& text) {
  json report = json::parse(text, nullptr, false);
  if (!report.is_object()) return DataLossError("compact: report is no JSON");
  std::string shown = report.value("phase", "") == "none"
                          ? "none: no job has run yet\n"
                          : CompactionText(report);
  if (report.value("waits_for_clock", false)) {
    shown +=
        "the clock is in doubt, so nothing sinks: look at `date`, then "
        "`reprise compact confirm-clock`\n";
  }
  context->Show(report, shown);
  return report;
}

// With the exit status that a run gives.
Status ShowRun(CommandContext* context, const std::string& text) {
  REPRISE_ASSIGN_OR_RETURN(const json report, Show(context, text));
  const uint64_t failed = report.value("segments", json::object())
                              .value("failed-check", uint64_t{0});
  if (failed == 0) return Status();
  return DataLossError("compact: " + std::to_string(failed) +
                       " segments failed the check and keep what they had");
}

// --- By a daemon. ---

Result<std::string> Ask(CommandContext* context,
                        const CompactArguments& arguments,
                        CompactCall::Action action) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  Progress bar("compact");
  CompactCall call;
  call.action = action;
  call.bytes_per_s = arguments.bytes_per_s;
  call.threads = arguments.threads;
  call.until_below_bytes = arguments.until_below_bytes;
  call.policy = arguments.rules.policy;
  call.ladders = arguments.rules.ladder;
  call.progress = [&](uint64_t, uint64_t, std::string_view text) {
    const json report = json::parse(text, nullptr, false);
    if (report.is_object()) ShowProgress(report, &bar);
  };
  return client->Compact(call);
}

Status AskAndShow(CommandContext* context, const CompactArguments& arguments,
                  CompactCall::Action action) {
  REPRISE_ASSIGN_OR_RETURN(const std::string text,
                           Ask(context, arguments, action));
  return ShowRun(context, text);
}

// --- On the store of one that is stopped. ---

// Nobody else has the store: nothing to wait for, nothing to leave room to.
Status CollectAlone(Catalogue* catalogue, const std::atomic<bool>* stop) {
  CollectorOptions options;
  options.wait_ms = 0;
  const auto collector = MakeCollector(catalogue, options);
  while (collector->phase() != Collector::Phase::kDone) {
    if (*stop) return UnavailableError("collect: stopped");
    REPRISE_RETURN_IF_ERROR(collector->Step());
  }
  return Status();
}

// For a daemon that goes on with it.
CompactionRequest RequestOf(const CompactArguments& arguments) {
  CompactionRequest request;
  request.bytes_per_s = arguments.bytes_per_s;
  request.threads = arguments.threads;
  request.until_below_bytes = arguments.until_below_bytes;
  request.policy = arguments.rules.policy;
  request.ladders = arguments.rules.ladder;
  return request;
}

// What the job on this store was asked to do, for what is not said now.
Status CompleteFromRecord(const StoppedStore& store,
                          CompactArguments* arguments) {
  REPRISE_ASSIGN_OR_RETURN(const auto recorded,
                           ReadCompaction(store.engine.get()));
  if (!recorded) return Status();
  const Result<CompactionRequest> earlier =
      ParseRunRequest(recorded->record.options);
  if (!earlier.ok()) {
    return earlier.status().WithContext(
        "compact: how it was asked for is unknown; `run` goes on by the "
        "options "
        "that it is given");
  }
  const CompactionRequest request = Completed(RequestOf(*arguments), *earlier);
  arguments->bytes_per_s = request.bytes_per_s;
  arguments->threads = request.threads;
  arguments->until_below_bytes = request.until_below_bytes;
  arguments->rules.policy = request.policy;
  arguments->rules.ladder = request.ladders;
  return Status();
}

Result<RunOptions> RunOptionsOf(const CompactArguments& arguments) {
  RunOptions options;
  options.job.sinker.threads = std::max(1u, arguments.threads);
  options.job.sinker.bytes_per_s = arguments.bytes_per_s.value_or(0);
  options.job.holder = HolderName("reprise");
  options.job.started_by = "reprise compact run";
  options.job.has_store_alone = true;
  options.profile_memory_bytes = arguments.profile_memory_bytes;
  if (arguments.until_below_bytes > 0) {
    options.marks = UntilBelow(arguments.until_below_bytes);
  }
  if (arguments.idle_plus.empty()) {
    REPRISE_ASSIGN_OR_RETURN(options.job.request,
                             FormatRunRequest(RequestOf(arguments)));
    return options;
  }
  REPRISE_RETURN_IF_ERROR(CheckRehearsal(arguments.dir));
  const Result<int64_t> plus_ms = ParseDuration(arguments.idle_plus);
  if (!plus_ms.ok()) return plus_ms.status().WithContext("--idle-plus");
  options.idle_plus_ms = *plus_ms;
  options.job.started_by += " --idle-plus " + arguments.idle_plus;
  return options;
}

Status RunOffline(CommandContext* context, const CompactArguments& arguments) {
  SignalPause signals;
  REPRISE_ASSIGN_OR_RETURN(PolicyRules rules,
                           ReadRules(arguments.dir, arguments.rules));
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  REPRISE_ASSIGN_OR_RETURN(const RunOptions options, RunOptionsOf(arguments));
  Progress bar("compact");
  RunHooks hooks;
  hooks.collect = [&](std::atomic<bool>* stop) {
    return CollectAlone(store.catalogue.get(), stop);
  };
  hooks.reclaim =
      MakeReclaimHook(store.engine.get(),
                      {arguments.dir, {}, arguments.bytes_per_s.value_or(0)});
  hooks.on_progress = [&](const RunProgress& progress) {
    ShowProgress(json::parse(RunJson(progress), nullptr, false), &bar);
  };
  CompactionRun run(store.catalogue.get(), std::move(rules), options,
                    std::move(hooks));
  signals.Begin([&run] { run.Pause(); });
  const Status status = run.Run();
  signals.End();
  const RunProgress progress = run.Progress();
  // One that was refused has nothing to tell.
  if (!status.ok() && progress.jobs.record.run == 0) return status;
  const Status shown = ShowRun(context, RunJson(progress));
  return status.ok() ? shown : status;
}

Result<std::string> StatusOffline(const CompactArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  REPRISE_ASSIGN_OR_RETURN(const auto progress,
                           ReadCompaction(store.engine.get()));
  return progress ? CompactionJson(*progress)
                  : std::string(R"({"phase":"none"})");
}

// Of a job that nobody works on: this program holds the directory.
Status MarkOffline(const CompactArguments& arguments,
                   Status (*mark)(Catalogue*, bool)) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  return mark(store.catalogue.get(), /*has_store_alone=*/true);
}

// --- Commands. ---

Status Run(CommandContext* context, const CompactArguments& arguments) {
  if (!arguments.dir.empty()) return RunOffline(context, arguments);
  return AskAndShow(context, arguments, CompactCall::Action::kRun);
}

Status ShowStatus(CommandContext* context, const CompactArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(
      const std::string text,
      arguments.dir.empty()
          ? Ask(context, arguments, CompactCall::Action::kStatus)
          : StatusOffline(arguments));
  return Show(context, text).status();
}

Status Pause(CommandContext* context, const CompactArguments& arguments) {
  if (arguments.dir.empty()) {
    return AskAndShow(context, arguments, CompactCall::Action::kPause);
  }
  REPRISE_RETURN_IF_ERROR(MarkOffline(arguments, PauseRecorded));
  return ShowStatus(context, arguments);
}

Status Cancel(CommandContext* context, const CompactArguments& arguments) {
  if (arguments.dir.empty()) {
    return AskAndShow(context, arguments, CompactCall::Action::kCancel);
  }
  REPRISE_RETURN_IF_ERROR(MarkOffline(arguments, CancelRecorded));
  return ShowStatus(context, arguments);
}

Status Resume(CommandContext* context, const CompactArguments& arguments) {
  if (arguments.dir.empty()) {
    return AskAndShow(context, arguments, CompactCall::Action::kResume);
  }
  CompactArguments completed = arguments;
  {
    REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                             OpenStopped(arguments.dir));
    REPRISE_ASSIGN_OR_RETURN(const auto progress,
                             ReadCompaction(store.engine.get()));
    const bool is_over = !progress ||
                         progress->record.phase == JobPhase::kDone ||
                         progress->record.phase == JobPhase::kCancelled;
    if (is_over) {
      return NotFoundError("compact: no job is under way; `run` begins one");
    }
    REPRISE_RETURN_IF_ERROR(CompleteFromRecord(store, &completed));
  }
  return RunOffline(context, completed);
}

using Handler = Status (*)(CommandContext*, const CompactArguments&);

void AddCommand(CLI::App* compact, const char* name, const char* about,
                CommandContext* context,
                const std::shared_ptr<CompactArguments>& arguments,
                Handler handler) {
  CLI::App* const command = compact->add_subcommand(name, about);
  CLI::Option* const dir = AddDirOption(command, &arguments->dir);
  const bool runs = handler == Run || handler == Resume;
  if (runs) {
    AddRulesOptions(command, dir, &arguments->rules);
    command
        ->add_option("--rate", arguments->bytes_per_s,
                     "bytes read and written a second: 50MB; 0: no limit")
        ->transform(CLI::AsSizeValue(true));
    CLI::Option* const until_below =
        command
            ->add_option("--until-below", arguments->until_below_bytes,
                         "sink sessions before their time until no more is "
                         "taken: 200GB")
            ->transform(CLI::AsSizeValue(true));
    command
        ->add_option("--profile-memory", arguments->profile_memory_bytes,
                     "train profiles that tiers lack, in so much memory: 2GiB")
        ->transform(CLI::AsSizeValue(false))
        ->needs(dir);
    command
        ->add_option("--idle-plus", arguments->idle_plus,
                     "as if nobody used anything for so long: 30d; only where "
                     "the directory has a file REHEARSAL")
        ->needs(dir)
        ->excludes(until_below);
    command->add_option("--threads", arguments->threads, "that encode")
        ->check(CLI::Range(1, 256));
  }
  command->callback([context, arguments, handler] {
    context->run = [=] { return handler(context, *arguments); };
  });
}

}  // namespace

void AddCompactCommands(CLI::App* compact, CommandContext* context) {
  const auto arguments = std::make_shared<CompactArguments>();
  AddCommand(compact, "run", "sink, or go on where it stopped", context,
             arguments, Run);
  AddCommand(compact, "status", "how far the last job came", context, arguments,
             ShowStatus);
  AddCommand(compact, "pause", "stop, to go on later", context, arguments,
             Pause);
  AddCommand(compact, "resume", "go on with a job that stopped", context,
             arguments, Resume);
  AddCommand(compact, "cancel", "stop for good, or give up one that stopped",
             context, arguments, Cancel);
}

}  // namespace reprise
