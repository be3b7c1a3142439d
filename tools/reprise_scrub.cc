// scrub and quarantine: everything read and verified at a rate, and what was
// set aside looked at.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/admin_json.h"
#include "store/quarantine.h"
#include "store/scrub_job.h"
#include "tools/check_text.h"
#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/signal_pause.h"
#include "tools/stopped_store.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

struct ScrubArguments {
  std::string dir;
  uint64_t bytes_per_s = 0;
  bool status = false;
  bool pause = false;
  bool cancel = false;
};

std::string ScrubText(const json& report) {
  const std::string phase = report.value("phase", "");
  if (phase == "none") return "none: no scrub has run yet\n";
  std::string text =
      phase + ": " + FormatBytes(report.value("done_bytes", uint64_t{0})) +
      " of about " + FormatBytes(report.value("total_bytes", uint64_t{0})) +
      ", at most " + FormatBytes(report.value("bytes_per_s", uint64_t{0})) +
      " a second\n";
  if (report.contains("reason")) {
    text += "because: " + Printable(report.value("reason", "")) + "\n";
  }
  const json counts = report.value("report", json::object());
  return text + CheckText(counts);
}

Status ShowScrub(CommandContext* context, const std::string& text) {
  const json report = json::parse(text, nullptr, false);
  if (report.is_discarded()) return DataLossError("scrub: report is no JSON");
  context->Show(report, ScrubText(report));
  return CheckOutcome("scrub", report.value("report", json::object()));
}

std::string JsonOf(const ScrubJob& job) {
  return ScrubReportJson(job.record(), job.bytes_per_s(), job.report());
}

Status RunJob(CommandContext* context, const StoppedStore& store,
              const ScrubArguments& arguments) {
  SignalPause signals;
  ScrubOptions options;
  options.bytes_per_s = arguments.bytes_per_s;
  options.holder = "pid " + std::to_string(getpid()) + " (reprise)";
  options.started_by = "reprise scrub";
  options.has_store_alone = true;
  options.only_go_on = arguments.pause || arguments.cancel;
  REPRISE_ASSIGN_OR_RETURN(const auto job,
                           ScrubJob::Start(store.catalogue.get(), options));
  if (arguments.pause) job->Pause();
  if (arguments.cancel) job->Cancel();
  signals.Begin([&job] { job->Pause(); });
  Status status;
  {
    Progress bar("scrub");
    while (status.ok() && !job->ended()) {
      status = job->Step();
      const FsckReport& report = job->report();
      bar.Update(report.bytes_read, job->record().total,
                 FormatCount(report.finding_count) + " findings");
      const int64_t rest_ms =
          job->wait_until_ms() - store.catalogue->clock()->MonotonicMs();
      if (rest_ms <= 0) continue;
      std::this_thread::sleep_for(
          std::chrono::milliseconds(std::min<int64_t>(rest_ms, 100)));
    }
  }
  signals.End();
  REPRISE_RETURN_IF_ERROR(status);
  return ShowScrub(context, JsonOf(*job));
}

Status RunOffline(CommandContext* context, const ScrubArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  if (!arguments.status) return RunJob(context, store, arguments);
  REPRISE_ASSIGN_OR_RETURN(const auto last, ReadScrub(store.engine.get()));
  return ShowScrub(
      context,
      last ? ScrubReportJson(last->record, last->bytes_per_s, last->counts)
           : "{\"phase\":\"none\"}");
}

Status RunOnline(CommandContext* context, const ScrubArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  ScrubCall call;
  if (arguments.status) call.action = ScrubCall::Action::kStatus;
  if (arguments.pause) call.action = ScrubCall::Action::kPause;
  if (arguments.cancel) call.action = ScrubCall::Action::kCancel;
  call.bytes_per_s = arguments.bytes_per_s;
  std::string text;
  {
    Progress bar("scrub");
    call.progress = [&](uint64_t done, uint64_t total) {
      bar.Update(done, total);
    };
    REPRISE_ASSIGN_OR_RETURN(text, client->Scrub(call));
  }
  return ShowScrub(context, text);
}

// --- quarantine. ---

struct QuarantineArguments {
  std::string dir;
  std::string out;
};

// What is kept of it; empty: nothing.
Bytes KeptOf(Engine* engine, const Quarantined& each) {
  if (each.record.holds == QuarantineHolds::kCopy) return each.record.copy;
  if (each.record.holds == QuarantineHolds::kNothing) return {};
  const Result<PinnedBytes> bytes =
      engine->Get({static_cast<ObjectSpace>(each.now.space), each.now.key});
  if (!bytes.ok()) return {};
  return {bytes->view().begin(), bytes->view().end()};
}

Status RunQuarantine(CommandContext* context,
                     const QuarantineArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const StoppedStore store,
                           OpenStopped(arguments.dir));
  if (!arguments.out.empty()) {
    std::error_code error;
    std::filesystem::create_directories(arguments.out, error);
  }
  json all = json::array();
  Table table({"found", "what", ">bytes", "because"});
  std::string cursor;
  for (bool end = false; !end;) {
    std::vector<Quarantined> listed;
    REPRISE_RETURN_IF_ERROR(
        ListQuarantine(store.engine.get(), 256, &cursor, &listed, &end));
    for (const Quarantined& each : listed) {
      const Bytes kept = KeptOf(store.engine.get(), each);
      const QuarantineRecord& record = each.record;
      json line = {{"time_ms", record.time_ms},
                   {"space", record.was.SpaceName()},
                   {"key", ToHex(AsBytes(record.was.key))},
                   {"reason", record.reason},
                   {"bytes", kept.size()}};
      if (!arguments.out.empty() && !kept.empty()) {
        const std::string file = arguments.out + "/" +
                                 std::to_string(all.size()) + "-" +
                                 std::string(record.was.SpaceName()) + ".bin";
        REPRISE_RETURN_IF_ERROR(WriteFile(file, kept));
        line["file"] = file;
      }
      table.Add({FormatTime(record.time_ms),
                 std::string(record.was.SpaceName()), FormatCount(kept.size()),
                 Printable(record.reason)});
      all.push_back(std::move(line));
    }
  }
  context->Show(all, all.empty() ? "nothing is set aside\n" : table.ToString());
  return Status();
}

void AddScrub(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<ScrubArguments>();
  CLI::App* const scrub =
      app->add_subcommand("scrub", "read and verify all of a store, at a rate");
  scrub->add_option("--dir", arguments->dir, "a store whose daemon is stopped");
  scrub
      ->add_option("--rate", arguments->bytes_per_s,
                   "bytes read a second: 32MB")
      ->transform(CLI::AsSizeValue(true));
  auto* const status = scrub->add_flag("--status", arguments->status,
                                       "how far it is, or came last");
  auto* const pause =
      scrub->add_flag("--pause", arguments->pause, "stop it for now");
  auto* const cancel =
      scrub->add_flag("--cancel", arguments->cancel, "give it up");
  status->excludes(pause)->excludes(cancel);
  pause->excludes(cancel);
  scrub->callback([context, arguments] {
    context->run = [=] {
      return arguments->dir.empty() ? RunOnline(context, *arguments)
                                    : RunOffline(context, *arguments);
    };
  });
}

}  // namespace

void AddScrubCommands(CLI::App* app, CommandContext* context) {
  AddScrub(app, context);
  const auto arguments = std::make_shared<QuarantineArguments>();
  CLI::App* const quarantine =
      app->add_subcommand("quarantine", "what was set aside as damaged");
  AddDirOption(quarantine, &arguments->dir);
  quarantine->add_option("--out", arguments->out,
                         "a folder for what is left of it");
  quarantine->callback([context, arguments] {
    context->run = [=] { return RunQuarantine(context, *arguments); };
  });
}

}  // namespace reprise
