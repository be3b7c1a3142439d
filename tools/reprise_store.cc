// verify, fsck, gc, dump-frame.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "api/admin_json.h"
#include "codec/frame.h"
#include "store/fsck.h"
#include "store/rocks_engine.h"
#include "tools/check_text.h"
#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/scratch_sink.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxVerifyBytes = 64ull << 30;

// Every frame fetched, its checksums verified, and decoded.
Status RunVerify(CommandContext* context, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const auto details, client->Describe(session));
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec,
                           client->GetModelSpec(details.summary.model));
  ScratchSink scratch;
  RestoreRequest request;
  REPRISE_ASSIGN_OR_RETURN(request.model, client->RegisterModel(spec));
  request.lowest = Tier::kArchive;
  request.accept_dropped = true;
  request.make_sink = [&](const RestoreInfo& info) {
    return scratch.Make(spec, info.first_token, info.tokens.size(),
                        kMaxVerifyBytes);
  };
  REPRISE_ASSIGN_OR_RETURN(const RestoreResult result,
                           client->Restore(session, request));
  const uint64_t tokens = result.info.tokens.size();
  const bool whole = result.valid_end == tokens;
  context->Show({{"session", session},
                 {"ok", whole},
                 {"tokens", tokens},
                 {"valid_tokens", result.valid_end},
                 {"raw_bytes", result.raw_bytes},
                 {"wire_bytes", result.wire_bytes},
                 {"ms", result.total_ms}},
                Printable(session) + ": " + FormatCount(result.valid_end) +
                    " of " + FormatCount(tokens) + " tokens can be restored (" +
                    FormatBytes(result.raw_bytes) + " decoded)\n");
  if (whole) return Status();
  return DataLossError("verify: recompute from token " +
                       std::to_string(result.valid_end) + " of " +
                       std::to_string(tokens));
}

struct FsckArguments {
  std::string dir;
  bool quick = false;
  bool accept_loss = false;
  bool repair = false;
};

Result<std::string> FsckOffline(const FsckArguments& arguments) {
  RocksOptions options;
  options.directory = arguments.dir;
  options.create_if_missing = false;
  options.accept_log_loss = arguments.accept_loss;
  REPRISE_ASSIGN_OR_RETURN(auto engine, OpenRocksEngine(options));
  REPRISE_ASSIGN_OR_RETURN(auto catalogue,
                           Catalogue::Open(engine.get(), &SystemClock(), {}));
  Progress progress("fsck");
  FsckOptions fsck;
  fsck.read_frames = !arguments.quick;
  fsck.repair = arguments.repair;
  fsck.progress = [&](uint64_t done, uint64_t total) {
    progress.Update(done, total);
  };
  REPRISE_ASSIGN_OR_RETURN(const auto report, Fsck(catalogue.get(), fsck));
  return FsckReportJson(report);
}

Result<std::string> FsckOnline(CommandContext* context, bool read_frames) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  Progress progress("fsck");
  return client->RunFsck(read_frames, [&](uint64_t done, uint64_t total) {
    progress.Update(done, total);
  });
}

Status RunFsckCommand(CommandContext* context, const FsckArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const std::string text,
                           arguments.dir.empty()
                               ? FsckOnline(context, !arguments.quick)
                               : FsckOffline(arguments));
  const json report = json::parse(text, nullptr, false);
  if (report.is_discarded()) return DataLossError("fsck: report is no JSON");
  const bool would_repair = !arguments.repair && !arguments.dir.empty() &&
                            report.value("finding_count", uint64_t{0}) > 0;
  context->Show(
      report, CheckText(report) +
                  (would_repair ? "nothing was changed: --repair takes out of "
                                  "the records what can't be read\n"
                                : ""));
  return CheckOutcome("fsck", report);
}

Status RunCollectCommand(CommandContext* context) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const std::string text, client->RunCollection());
  const json report = json::parse(text, nullptr, false);
  if (report.is_discarded()) return DataLossError("gc: report is no JSON");
  context->Show(report, CheckText(report));
  return Status();
}

Status RunDumpFrame(CommandContext* context, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return InvalidArgumentError("dump-frame: cannot read the file");
  const Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  FrameView frame;
  REPRISE_RETURN_IF_ERROR(ParseFrame(bytes, &frame));
  json sections = json::array();
  for (const FrameSection& section : frame.sections) {
    sections.push_back({{"layer", section.layer},
                        {"plane", section.plane},
                        {"mode", section.mode},
                        {"channel_first", section.channel_first},
                        {"channel_count", section.channel_count},
                        {"words", section.words},
                        {"offset", section.offset},
                        {"bytes", section.bytes}});
  }
  const FrameInfo& info = frame.info;
  context->Show({{"codec", static_cast<int>(info.codec)},
                 {"stage", info.stage},
                 {"tail", info.is_tail},
                 {"model", info.model.Hex()},
                 {"segment", info.segment.Hex()},
                 {"profile", info.profile.Hex()},
                 {"first_token", info.first_token},
                 {"token_count", info.token_count},
                 {"first_layer", info.layers.first_layer},
                 {"layer_count", info.layers.layer_count},
                 {"head_first", info.heads.first},
                 {"head_count", info.heads.count},
                 {"head_total", info.heads.total},
                 {"raw_bytes", info.raw_bytes},
                 {"bytes", bytes.size()},
                 {"sections", sections}},
                DescribeFrame(frame));
  return Status();
}

}  // namespace

void AddStoreCommands(CLI::App* app, CommandContext* context) {
  auto session = std::make_shared<std::string>();
  auto* verify =
      app->add_subcommand("verify", "fetch and decode all of a session");
  verify->add_option("session", *session)->required();
  verify->callback([context, session] {
    context->run = [=] { return RunVerify(context, *session); };
  });

  auto arguments = std::make_shared<FsckArguments>();
  auto* fsck = app->add_subcommand(
      "fsck", "check every record, reference and frame of a store");
  auto* dir = fsck->add_option("--dir", arguments->dir,
                               "a store whose daemon is stopped");
  fsck->add_flag("--quick", arguments->quick, "records only, no frames");
  fsck->add_flag("--accept-loss", arguments->accept_loss,
                 "open a damaged log; what follows is lost")
      ->needs(dir);
  fsck->add_flag("--repair", arguments->repair, "drop what names lost frames")
      ->needs(dir);
  fsck->callback([context, arguments] {
    context->run = [=] { return RunFsckCommand(context, *arguments); };
  });

  auto* gc = app->add_subcommand(
      "gc", "collect what no session reaches (takes minutes)");
  gc->callback([context] {
    context->run = [context] { return RunCollectCommand(context); };
  });

  auto path = std::make_shared<std::string>();
  auto* dump = app->add_subcommand("dump-frame", "what is in a frame's file");
  dump->add_option("file", *path)->required()->check(CLI::ExistingFile);
  dump->callback([context, path] {
    context->run = [=] { return RunDumpFrame(context, *path); };
  });
}

}  // namespace reprise
