// What the commands of `reprise` share: the options before the command, a
// connection made when it is first needed, and how results are shown.
#ifndef REPRISE_TOOLS_REPRISE_COMMAND_H_
#define REPRISE_TOOLS_REPRISE_COMMAND_H_

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/client.h"

namespace CLI {
class App;
}

namespace reprise {

// Filled in by the command line; lives as long as the program.
struct CommandContext {
  std::string server = "127.0.0.1:7077";
  std::string token;
  int64_t timeout_ms = 10'000;
  bool json = false;
  // The chosen command; run after the command line was parsed.
  std::function<Status()> run;

  // Connects, the first time.
  Result<Client*> Connect();
  bool connected() const { return client_ != nullptr; }

  // Prints `json` with --json, and `text` without.
  void Show(const nlohmann::json& json_form, const std::string& text) const;

 private:
  std::unique_ptr<Client> client_;
};

// Each adds commands to `app` that set context->run.
void AddSessionCommands(CLI::App* app, CommandContext* context);
void AddPolicyCommands(CLI::App* app, CommandContext* context);
void AddStoreCommands(CLI::App* app, CommandContext* context);
void AddScrubCommands(CLI::App* app, CommandContext* context);
void AddTransferCommands(CLI::App* app, CommandContext* context);
void AddModelCommands(CLI::App* app, CommandContext* context);
void AddCalibrateCommand(CLI::App* app, CommandContext* context);
void AddProfileCommands(CLI::App* app, CommandContext* context);
// Below `compact`.
void AddCompactCommands(CLI::App* compact, CommandContext* context);
void AddCompactPlanCommands(CLI::App* compact, CommandContext* context);

// A session's own settings, "default" for those that it has not; and with
// what it follows, and where it stands on its ladder.
nlohmann::json SettingsJson(const SessionSettings& own);
nlohmann::json SettingsJson(const SessionDetails& details);
// The same for people: in a line, and as a table.
std::string SettingsLine(const SessionSettings& own);
std::string SettingsText(const SessionDetails& details);

// The models that sessions are of.
Result<std::vector<ModelId>> ModelsWithSessions(Client* client);
// The model that `text` begins the id of; with an empty text, the only one
// that has sessions.
Result<ModelId> FindModel(Client* client, const std::string& text);

// kResourceExhausted when the file does not take it.
Status WriteFile(const std::string& path, ByteView bytes);

// An id given as 64 digits.
Result<CommitId> ParseCommitId(const std::string& text);

// The commit of a session's history whose id starts with `text` (at least 4
// digits). kNotFound, or kInvalidArgument when several do.
Result<CommitId> FindCommit(const SessionDetails& details,
                            const std::string& text);

}  // namespace reprise

#endif  // REPRISE_TOOLS_REPRISE_COMMAND_H_
