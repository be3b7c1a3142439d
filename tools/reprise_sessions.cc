// status, ls, show, match, fork, rewind, rm.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/reprise_command.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr uint32_t kPage = 1000;

json LabelsJson(const SessionSummary& session) {
  json labels = json::object();
  for (const auto& [key, value] : session.labels) labels[key] = value;
  return labels;
}

json SummaryJson(const SessionSummary& session) {
  return {{"name", session.name},
          {"model", session.model.Hex()},
          {"head", session.version.head.Hex()},
          {"incarnation", session.version.incarnation},
          {"version", session.version.version},
          {"tokens", session.tokens},
          {"created_ms", session.created_ms},
          {"changed_ms", session.changed_ms},
          {"last_use_ms", session.last_use_ms},
          {"labels", LabelsJson(session)},
          {"settings", SettingsJson(session.settings)}};
}

json VersionJson(const std::string& session, const SessionVersion& version) {
  return {{"session", session},
          {"head", version.head.Hex()},
          {"incarnation", version.incarnation},
          {"version", version.version}};
}

std::string VersionText(const std::string& session,
                        const SessionVersion& version) {
  return Printable(session) + " is at commit " + version.head.ShortHex() +
         ", version " + std::to_string(version.version) + "\n";
}

std::string FigureText(const std::string& path, const json& value) {
  if (value.is_string()) return Printable(value.get<std::string>());
  if (path.ends_with("bytes") && value.is_number_unsigned()) {
    return FormatBytes(value.get<uint64_t>());
  }
  return value.dump();
}

Status RunStatus(CommandContext* context) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const std::string text, client->Stats());
  const json stats = json::parse(text, nullptr, false);
  if (stats.is_discarded()) {
    return DataLossError("status: the daemon's figures are no JSON");
  }
  Table table({"figure", ">value"});
  const json flat = stats.flatten();
  for (const auto& [path, value] : flat.items()) {
    // What an empty object or list becomes; it has no figures.
    if (!value.is_null()) table.Add({path.substr(1), FigureText(path, value)});
  }
  context->Show(stats, table.ToString());
  return Status();
}

Status RunList(CommandContext* context, const std::string& prefix) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  Table table(
      {"session", ">tokens", "model", "head", "changed", "used", "policy"});
  json list = json::array();
  std::string cursor;
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const auto page,
                             client->List(prefix, cursor, kPage));
    if (page.empty()) break;
    for (const SessionSummary& session : page) {
      list.push_back(SummaryJson(session));
      table.Add({Printable(session.name), FormatCount(session.tokens),
                 session.model.ShortHex(), session.version.head.ShortHex(),
                 FormatTime(session.changed_ms),
                 FormatTime(session.last_use_ms),
                 SettingsLine(session.settings)});
    }
    cursor = page.back().name;
  }
  context->Show(list,
                table.row_count() == 0 ? "no sessions\n" : table.ToString());
  return Status();
}

json DetailsJson(const SessionDetails& details) {
  json shown = SummaryJson(details.summary);
  shown["settings"] = SettingsJson(details);
  json history = json::array();
  for (const CommitSummary& line : details.history) {
    history.push_back({{"commit", line.commit.Hex()},
                       {"parent", line.parent.Hex()},
                       {"tokens", line.tokens},
                       {"pending", line.pending},
                       {"time_ms", line.time_ms}});
  }
  shown["history"] = std::move(history);
  shown["raw_bytes"] = details.raw_bytes;
  shown["values"] = details.values;
  shown["frame_bytes"] = details.frame_bytes;
  shown["record_bytes"] = details.record_bytes;
  shown["profile_bytes"] = details.profile_bytes;
  json tiers = json::object();
  for (const auto& [tier, count] : details.segments_by_tier) {
    tiers[std::string(TierName(tier))] = count;
  }
  shown["segments_by_tier"] = std::move(tiers);
  shown["other_weights_segments"] = details.other_weights_segments;
  return shown;
}

std::string DetailsText(const SessionDetails& details) {
  const SessionSummary& summary = details.summary;
  std::string text = Printable(summary.name) + ": " +
                     FormatCount(summary.tokens) + " tokens of model " +
                     summary.model.ShortHex() + "\n\n";
  Table sizes({"what", ">bytes", "note"});
  const uint64_t stored = details.frame_bytes + details.record_bytes;
  sizes.Add({"frames", FormatBytes(details.frame_bytes), ""});
  sizes.Add({"records", FormatBytes(details.record_bytes),
             "tokens, segments, commit, head"});
  sizes.Add({"stored", FormatBytes(stored), ""});
  sizes.Add({"profiles", FormatBytes(details.profile_bytes),
             "shared by all sessions of the model"});
  sizes.Add({"in the engine's cache", FormatBytes(details.raw_bytes), ""});
  if (stored > 0) {
    char ratio[32];
    std::snprintf(
        ratio, sizeof ratio, "%.2fx",
        static_cast<double>(details.values) * 2 / static_cast<double>(stored));
    sizes.Add({"state ratio", ratio, "16 bits a value over stored bytes"});
  }
  text += sizes.ToString() + "\n";
  Table tiers({"tier", ">segments"});
  for (const auto& [tier, count] : details.segments_by_tier) {
    tiers.Add({std::string(TierName(tier)), FormatCount(count)});
  }
  text += tiers.ToString() + "\n" + SettingsText(details) + "\n";
  if (details.other_weights_segments > 0) {
    text += FormatCount(details.other_weights_segments) +
            " segments are coded with a profile of other weights than the "
            "model's, which was accepted\n\n";
  }
  Table history({"commit", ">tokens", ">pending", "made"});
  for (const CommitSummary& line : details.history) {
    history.Add({line.commit.ShortHex(), FormatCount(line.tokens),
                 FormatCount(line.pending), FormatTime(line.time_ms)});
  }
  return text + history.ToString();
}

Status RunShow(CommandContext* context, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const SessionDetails details,
                           client->Describe(session));
  context->Show(DetailsJson(details), DetailsText(details));
  return Status();
}

// Token ids as text, separated by anything that is no digit or sign.
Result<std::vector<TokenId>> ReadTokens(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return InvalidArgumentError("match: cannot read the file of token ids");
  }
  std::string text{std::istreambuf_iterator<char>(file), {}};
  for (char& c : text) {
    if ((c < '0' || c > '9') && c != '-') c = ' ';
  }
  std::vector<TokenId> tokens;
  size_t at = 0;
  while ((at = text.find_first_not_of(' ', at)) != std::string::npos) {
    const size_t end = std::min(text.find(' ', at), text.size());
    TokenId token = 0;
    const auto [stop, error] =
        std::from_chars(text.data() + at, text.data() + end, token);
    if (error != std::errc() || stop != text.data() + end) {
      return InvalidArgumentError("match: no token id at byte " +
                                  std::to_string(at));
    }
    tokens.push_back(token);
    at = end;
  }
  return tokens;
}

Status RunMatch(CommandContext* context, const std::string& model_hex,
                const std::string& path, const std::string& lowest) {
  REPRISE_ASSIGN_OR_RETURN(const ModelId id, IdFromHex<ModelId>(model_hex));
  MatchOptions options;
  REPRISE_ASSIGN_OR_RETURN(options.lowest, TierFromName(lowest));
  REPRISE_ASSIGN_OR_RETURN(const auto tokens, ReadTokens(path));
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, client->GetModelSpec(id));
  REPRISE_ASSIGN_OR_RETURN(const Model model, client->RegisterModel(spec));
  REPRISE_ASSIGN_OR_RETURN(const auto match,
                           client->Match(model, tokens, options));
  json ranges = json::array();
  Table table({">from token", ">to", "tier", "basis", ">to move", ">ms"});
  for (size_t i = 0; i < match.ranges.size(); ++i) {
    const TierRange& range = match.ranges[i];
    const MatchCost& cost = match.costs[i];
    ranges.push_back({{"first_token", range.first_token},
                      {"end_token", range.end_token},
                      {"tier", TierName(range.tier)},
                      {"basis", TierName(range.basis)},
                      {"bytes_to_move", cost.bytes_to_move},
                      {"expected_ms", cost.expected_ms}});
    // Not known before anything was fetched.
    table.Add({FormatCount(range.first_token), FormatCount(range.end_token),
               std::string(TierName(range.tier)),
               std::string(TierName(range.basis)),
               FormatBytes(cost.bytes_to_move),
               cost.expected_ms > 0
                   ? FormatCount(static_cast<uint64_t>(cost.expected_ms + 0.5))
                   : "?"});
  }
  context->Show({{"tokens", match.tokens},
                 {"asked", tokens.size()},
                 {"bytes_to_move", match.bytes_to_move},
                 {"expected_ms", match.expected_ms},
                 {"ranges", ranges}},
                FormatCount(match.tokens) + " of " +
                    FormatCount(tokens.size()) + " tokens are stored, " +
                    FormatBytes(match.bytes_to_move) + " to move\n" +
                    (match.ranges.empty() ? "" : table.ToString()));
  return Status();
}

Status RunFork(CommandContext* context, const std::string& from,
               const std::string& to, const std::string& commit_text) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  CommitId commit;
  if (!commit_text.empty()) {
    REPRISE_ASSIGN_OR_RETURN(const auto details, client->Describe(from));
    REPRISE_ASSIGN_OR_RETURN(commit, FindCommit(details, commit_text));
  }
  REPRISE_ASSIGN_OR_RETURN(const auto version, client->Fork(from, commit, to));
  context->Show(VersionJson(to, version), VersionText(to, version));
  return Status();
}

struct RewindOptions {
  std::string session;
  std::string commit;
  uint64_t tokens = 0;
};

Status RunRewind(CommandContext* context, const RewindOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  SessionVersion version;
  if (options.commit.empty()) {
    REPRISE_ASSIGN_OR_RETURN(
        version, client->RewindToToken(options.session, options.tokens, {}));
  } else {
    REPRISE_ASSIGN_OR_RETURN(const auto details,
                             client->Describe(options.session));
    REPRISE_ASSIGN_OR_RETURN(const CommitId commit,
                             FindCommit(details, options.commit));
    REPRISE_ASSIGN_OR_RETURN(version, client->Rewind(options.session, commit));
  }
  context->Show(VersionJson(options.session, version),
                VersionText(options.session, version));
  return Status();
}

Status RunRemove(CommandContext* context, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_RETURN_IF_ERROR(client->Remove(session));
  context->Show({{"removed", session}},
                Printable(session) +
                    " is removed; its space comes back with the next "
                    "collection (`reprise gc`)\n");
  return Status();
}

void AddReading(CLI::App* app, CommandContext* context) {
  auto* status = app->add_subcommand("status", "the daemon's figures");
  status->callback(
      [context] { context->run = [context] { return RunStatus(context); }; });

  auto prefix = std::make_shared<std::string>();
  auto* ls = app->add_subcommand("ls", "list sessions");
  ls->add_option("prefix", *prefix, "of their names");
  ls->callback([context, prefix] {
    context->run = [=] { return RunList(context, *prefix); };
  });

  auto session = std::make_shared<std::string>();
  auto* show = app->add_subcommand("show", "one session and all its bytes");
  show->add_option("session", *session)->required();
  show->callback([context, session] {
    context->run = [=] { return RunShow(context, *session); };
  });

  struct Arguments {
    std::string model, path, lowest = "exact";
  };
  auto arguments = std::make_shared<Arguments>();
  auto* match =
      app->add_subcommand("match", "how much of a prompt is stored already");
  match->add_option("model", arguments->model, "ModelId, 64 digits")
      ->required();
  match->add_option("tokens", arguments->path, "file of token ids, as text")
      ->required()
      ->check(CLI::ExistingFile);
  match->add_option("--lowest", arguments->lowest, "lowest tier that counts")
      ->capture_default_str();
  match->callback([context, arguments] {
    context->run = [=] {
      return RunMatch(context, arguments->model, arguments->path,
                      arguments->lowest);
    };
  });
}

void AddChanging(CLI::App* app, CommandContext* context) {
  struct ForkArguments {
    std::string from, to, commit;
  };
  auto forked = std::make_shared<ForkArguments>();
  auto* fork = app->add_subcommand("fork", "a new session on the same state");
  fork->add_option("from", forked->from)->required();
  fork->add_option("to", forked->to, "the new name")->required();
  fork->add_option("--commit", forked->commit,
                   "of the history, not the head (its first digits do)");
  fork->callback([context, forked] {
    context->run = [=] {
      return RunFork(context, forked->from, forked->to, forked->commit);
    };
  });

  auto options = std::make_shared<RewindOptions>();
  auto* rewind = app->add_subcommand("rewind", "go back; nothing is copied");
  rewind->add_option("session", options->session)->required();
  auto* where = rewind->add_option_group("where", "one of them");
  where->add_option("--commit", options->commit,
                    "to this commit (its first digits do)");
  where->add_option("--tokens", options->tokens, "to so many tokens");
  where->require_option(1);
  rewind->callback([context, options] {
    context->run = [=] { return RunRewind(context, *options); };
  });

  auto removed = std::make_shared<std::string>();
  auto* rm = app->add_subcommand("rm", "remove a session");
  rm->add_option("session", *removed)->required();
  rm->callback([context, removed] {
    context->run = [=] { return RunRemove(context, *removed); };
  });
}

}  // namespace

void AddSessionCommands(CLI::App* app, CommandContext* context) {
  AddReading(app, context);
  AddChanging(app, context);
}

}  // namespace reprise
