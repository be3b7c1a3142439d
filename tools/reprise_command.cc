#include "tools/reprise_command.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace reprise {

Result<Client*> CommandContext::Connect() {
  if (client_ == nullptr) {
    ClientOptions options;
    options.endpoint = server;
    options.token = token;
    options.name = "reprise";
    options.connect_timeout_ms = timeout_ms;
    options.request_timeout_ms = timeout_ms;
    REPRISE_ASSIGN_OR_RETURN(client_, Client::Connect(options));
  }
  return client_.get();
}

void CommandContext::Show(const nlohmann::json& json_form,
                          const std::string& text) const {
  // Names may hold any bytes: what is no UTF-8 is replaced, not thrown about.
  const std::string shown =
      json ? json_form.dump(2, ' ', false,
                            nlohmann::json::error_handler_t::replace) +
                 "\n"
           : text;
  std::fwrite(shown.data(), 1, shown.size(), stdout);
}

Result<CommitId> ParseCommitId(const std::string& text) {
  return IdFromHex<CommitId>(text);
}

Result<CommitId> FindCommit(const SessionDetails& details,
                            const std::string& text) {
  if (text.size() == 64) return ParseCommitId(text);
  if (text.size() < 4) {
    return InvalidArgumentError("commit: " + std::to_string(text.size()) +
                                " digits, at least 4 are wanted");
  }
  const CommitSummary* found = nullptr;
  for (const CommitSummary& line : details.history) {
    if (!line.commit.Hex().starts_with(text)) continue;
    if (found != nullptr) {
      return InvalidArgumentError("commit: several start with these digits");
    }
    found = &line;
  }
  if (found == nullptr) {
    return NotFoundError("commit: none of the session's last " +
                         std::to_string(details.history.size()) +
                         " starts with these digits");
  }
  return found->commit;
}

Result<std::vector<ModelId>> ModelsWithSessions(Client* client) {
  constexpr uint32_t kPage = 1000;
  std::vector<ModelId> found;
  std::string cursor;
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const auto page, client->List("", cursor, kPage));
    if (page.empty()) return found;
    for (const SessionSummary& session : page) {
      if (std::find(found.begin(), found.end(), session.model) == found.end()) {
        found.push_back(session.model);
      }
    }
    cursor = page.back().name;
  }
}

Result<ModelId> FindModel(Client* client, const std::string& text) {
  REPRISE_ASSIGN_OR_RETURN(std::vector<ModelId> found,
                           ModelsWithSessions(client));
  std::erase_if(found, [&](const ModelId& model) {
    return !model.Hex().starts_with(text);
  });
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return NotFoundError("model: no session is of a model \"" + text + "\"");
  }
  std::string names;
  for (const ModelId& model : found) names += " " + model.ShortHex();
  return InvalidArgumentError("model: " + std::to_string(found.size()) +
                              " models have sessions, name one of" + names);
}

Status WriteFile(const std::string& path, ByteView bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) return Status();
  return ResourceExhaustedError(path + " takes no " +
                                std::to_string(bytes.size()) + " bytes");
}

}  // namespace reprise
