// export and import: a session as one file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/table.h"

namespace reprise {
namespace {

Status RunExport(CommandContext* context, const std::string& session,
                 const std::string& path) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  // Under another name until it is whole: a file of this name is complete.
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  uint64_t bytes = 0;
  Progress progress("export, bytes");
  Status status = client->Export(session, [&](ByteView piece) {
    file.write(reinterpret_cast<const char*>(piece.data()),
               static_cast<std::streamsize>(piece.size()));
    bytes += piece.size();
    progress.Update(bytes, 0);
    if (file) return Status();
    return ResourceExhaustedError("export: the file takes no more after " +
                                  std::to_string(bytes) + " bytes");
  });
  file.close();
  if (status.ok() && !file) {
    status = ResourceExhaustedError("export: the file could not be closed");
  }
  std::error_code error;
  if (!status.ok()) {
    std::filesystem::remove(part, error);
    return status;
  }
  std::filesystem::rename(part, path, error);
  if (error) return UnavailableError("export: " + error.message());
  context->Show(
      {{"session", session}, {"bytes", bytes}},
      Printable(session) + " is in the file, " + FormatBytes(bytes) + "\n");
  return Status();
}

Status RunImport(CommandContext* context, const std::string& path,
                 const std::string& session) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return InvalidArgumentError("import: cannot read the file");
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  std::error_code error;
  const uint64_t total = std::filesystem::file_size(path, error);
  uint64_t done = 0;
  Progress progress("import");
  REPRISE_ASSIGN_OR_RETURN(
      const SessionVersion version,
      client->Import(session, [&](MutableByteView out) -> Result<size_t> {
        file.read(reinterpret_cast<char*>(out.data()),
                  static_cast<std::streamsize>(out.size()));
        const auto got = static_cast<size_t>(file.gcount());
        done += got;
        progress.Update(done, error ? 0 : total);
        return got;
      }));
  context->Show({{"session", session},
                 {"bytes", done},
                 {"head", version.head.Hex()},
                 {"incarnation", version.incarnation},
                 {"version", version.version}},
                Printable(session) + " is here, at commit " +
                    version.head.ShortHex() + "\n");
  return Status();
}

}  // namespace

void AddTransferCommands(CLI::App* app, CommandContext* context) {
  struct Arguments {
    std::string session;
    std::string path;
  };
  auto out = std::make_shared<Arguments>();
  auto* to = app->add_subcommand("export", "a session's head into one file");
  to->add_option("session", out->session)->required();
  to->add_option("file", out->path)->required();
  to->callback([context, out] {
    context->run = [=] { return RunExport(context, out->session, out->path); };
  });

  auto in = std::make_shared<Arguments>();
  auto* from = app->add_subcommand("import", "a session from such a file");
  from->add_option("file", in->path)->required()->check(CLI::ExistingFile);
  from->add_option("session", in->session, "its name here")->required();
  from->callback([context, in] {
    context->run = [=] { return RunImport(context, in->path, in->session); };
  });
}

}  // namespace reprise
