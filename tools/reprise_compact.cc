// compact run, status, pause, resume, cancel: sessions sink down their ladders,
// in a store whose daemon is stopped.
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "tools/compaction/compaction_job.h"
#include "tools/compaction/policy_wishes.h"
#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/stopped_store.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

struct CompactArguments {
  std::string dir;
  RulesArguments rules;
  uint64_t bytes_per_s = 0;
  uint32_t threads = 1;
};

// Holds back the signals to stop, from its making on. Once there is a job, the
// first of them pauses it; a second one ends the program, whose job is then
// gone on with like one that crashed.
class SignalPause {
 public:
  SignalPause() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      sigaddset(&signals_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~SignalPause() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  void Begin(CompactionJob* job) {
    done_ = false;
    thread_ = std::thread([this, job] { Wait(job); });
  }
  // The job may go away then. REQUIRES: Begin.
  void End() {
    done_ = true;
    thread_.join();
  }

 private:
  void Wait(CompactionJob* job) {
    constexpr timespec kLook{0, 50'000'000};
    while (!done_) {
      if (sigtimedwait(&signals_, nullptr, &kLook) < 0) continue;
      job->Pause();
      pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
    }
  }

  sigset_t signals_;
  sigset_t before_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

std::string RatioText(uint64_t before, uint64_t after) {
  if (after == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2fx",
                static_cast<double>(before) / static_cast<double>(after));
  return text;
}

void ShowProgress(const CompactionProgress& now, Progress* bar) {
  const CompactionTotals& totals = now.totals;
  // The mark pass does not know how long it will take.
  bar->Update(now.record.done, now.preparing ? 0 : now.record.total,
              FormatBytes(totals.bytes_before) + " to " +
                  FormatBytes(totals.bytes_after) + " (" +
                  RatioText(totals.bytes_before, totals.bytes_after) + ")");
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
    text += FormatCount(each.value("segments", uint64_t{0})) +
            " kept: " + Printable(each.value("reason", "")) + "\n";
  }
  return text;
}

Status Show(CommandContext* context, const CompactionProgress& progress) {
  const json report = json::parse(CompactionJson(progress), nullptr, false);
  if (report.is_discarded()) return InternalError("compact: report is no JSON");
  context->Show(report, CompactionText(report));
  return Status();
}

Status RunJob(CommandContext* context, const CompactArguments& arguments) {
  SignalPause signals;
  REPRISE_ASSIGN_OR_RETURN(const PolicyRules rules,
                           ReadRules(arguments.dir, arguments.rules));
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  PolicyWishes wishes(store.catalogue.get(), &rules);
  CompactionOptions options;
  options.sinker.threads = arguments.threads;
  options.sinker.bytes_per_s = arguments.bytes_per_s;
  options.holder = HolderName("reprise");
  options.started_by = "reprise compact run";
  options.has_store_alone = true;
  REPRISE_ASSIGN_OR_RETURN(
      const auto job,
      CompactionJob::Start(store.catalogue.get(), &wishes, options));
  Status status;
  {
    signals.Begin(job.get());
    Progress bar("compact");
    while (status.ok() && !job->ended()) {
      status = job->Step();
      ShowProgress(job->Progress(), &bar);
    }
    signals.End();
  }
  const CompactionProgress progress = job->Progress();
  REPRISE_RETURN_IF_ERROR(Show(context, progress));
  REPRISE_RETURN_IF_ERROR(status);
  const uint64_t failed =
      progress.totals.segments[static_cast<size_t>(SinkResult::kFailedCheck)];
  if (failed == 0) return Status();
  return DataLossError("compact: " + std::to_string(failed) +
                       " segments failed the check and keep what they had");
}

Status RunStatus(CommandContext* context, const CompactArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  REPRISE_ASSIGN_OR_RETURN(const auto progress,
                           ReadCompaction(store.engine.get()));
  if (progress) return Show(context, *progress);
  context->Show({{"phase", "none"}}, "none: no job has run yet\n");
  return Status();
}

// Of a job that nobody works on: this program holds the directory.
Status Mark(CommandContext* context, const CompactArguments& arguments,
            Status (*mark)(Catalogue*, bool)) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  REPRISE_RETURN_IF_ERROR(
      mark(store.catalogue.get(), /*has_store_alone=*/true));
  REPRISE_ASSIGN_OR_RETURN(const auto progress,
                           ReadCompaction(store.engine.get()));
  return progress ? Show(context, *progress) : Status();
}

Status Resume(CommandContext* context, const CompactArguments& arguments) {
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
  }
  return RunJob(context, arguments);
}

using Handler = Status (*)(CommandContext*, const CompactArguments&);

void AddCommand(CLI::App* compact, const char* name, const char* about,
                CommandContext* context,
                const std::shared_ptr<CompactArguments>& arguments,
                Handler handler) {
  CLI::App* const command = compact->add_subcommand(name, about);
  AddDirOption(command, &arguments->dir);
  const bool runs = handler == RunJob || handler == Resume;
  if (runs) {
    AddRulesOptions(command, &arguments->rules);
    command
        ->add_option("--rate", arguments->bytes_per_s,
                     "bytes read and written a second: 50MB; 0: no limit")
        ->transform(CLI::AsSizeValue(true));
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
             arguments, RunJob);
  AddCommand(compact, "status", "how far the last job came", context, arguments,
             RunStatus);
  AddCommand(compact, "pause", "keep a job that was cut off for later", context,
             arguments, [](CommandContext* c, const CompactArguments& a) {
               return Mark(c, a, PauseRecorded);
             });
  AddCommand(compact, "resume", "go on with a job that stopped", context,
             arguments, Resume);
  AddCommand(compact, "cancel", "give up a job that stopped", context,
             arguments, [](CommandContext* c, const CompactArguments& a) {
               return Mark(c, a, CancelRecorded);
             });
}

}  // namespace reprise
