// calibrate: trains profiles, from what is stored or with gradients.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/klt_profile.h"
#include "tools/calibration.h"
#include "tools/progress.h"
#include "tools/reprise_command.h"
#include "tools/sensitivity.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr char kStatisticsOnly[] =
    "made from statistics only: two to three times the bits of one with "
    "sensitivities (calibrate klt --sensitivity)\n";

struct CalibrateArguments {
  std::string codec;
  std::string model;
  std::string out;
  CalibrationRequest request;
  uint64_t max_memory_mib = 2048;
  bool sensitivity = false;
  bool accept_other_weights = false;
  SensitivityRequest program;
};

// --- With gradients. ---

// Puts a profile for the models in the store that it fits; the ids of those.
Result<std::vector<std::string>> PutWhereItFits(
    Client* client, ByteView bytes, const PutProfileOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(const auto profile, KltProfile::Parse(bytes));
  REPRISE_ASSIGN_OR_RETURN(const std::vector<ModelId> models,
                           ModelsWithSessions(client));
  std::vector<std::string> fitting;
  for (const ModelId& id : models) {
    REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, client->GetModelSpec(id));
    REPRISE_ASSIGN_OR_RETURN(const Model model, client->RegisterModel(spec));
    const Status put =
        client->PutProfile(model, CodecId::kKlt, bytes, options).status();
    // Of other weights or another shape.
    if (put.Is(StatusCode::kFailedPrecondition)) continue;
    REPRISE_RETURN_IF_ERROR(put);
    fitting.push_back(id.Hex());
  }
  return fitting;
}

Status RunSensitivity(CommandContext* context, CalibrateArguments arguments) {
  if (arguments.codec != "klt") {
    return InvalidArgumentError("calibrate: --sensitivity is of klt, not of " +
                                arguments.codec);
  }
  if (arguments.program.model_file.empty() || arguments.out.empty()) {
    return InvalidArgumentError(
        "calibrate: --sensitivity needs the model's --weights and a file for "
        "the profile, --out");
  }
  // Hours of work are not to end at a daemon that is not there.
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  arguments.program.out = arguments.out;
  arguments.program.tokens = arguments.request.max_tokens;
  REPRISE_RETURN_IF_ERROR(TrainWithSensitivity(arguments.program));
  std::ifstream file(arguments.out, std::ios::binary);
  const Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<std::string> models,
      PutWhereItFits(client, bytes,
                     {.accept_other_weights = arguments.accept_other_weights}));
  context->Show({{"codec", "klt"},
                 {"profile_bytes", bytes.size()},
                 {"models", models},
                 {"made_from", "sensitivities"}},
                "profile of klt, " + FormatBytes(bytes.size()) + ", in " +
                    arguments.out + "; put for " + FormatCount(models.size()) +
                    " models with sessions that it fits\n");
  return Status();
}

void AddSensitivity(CLI::App* command, CalibrateArguments* arguments) {
  command->add_flag("--sensitivity", arguments->sensitivity,
                    "klt: with the model's gradients (needs PyTorch)");
  command->add_option("--weights", arguments->program.model_file,
                      "for --sensitivity: a GGUF file or folder");
  command->add_option("--text", arguments->program.texts,
                      "for --sensitivity; else the repository's own");
  command->add_option("--group-layers", arguments->program.layers,
                      "for --sensitivity: layers turned together");
  command->add_flag("--accept-other-weights", arguments->accept_other_weights,
                    "put it for models of the same shape as well");
}

// --- From what is stored. ---

Status RunCalibrate(CommandContext* context, CalibrateArguments arguments) {
  if (arguments.sensitivity) return RunSensitivity(context, arguments);
  CalibrationRequest& request = arguments.request;
  REPRISE_ASSIGN_OR_RETURN(request.codec, ParseCodecChoice(arguments.codec));
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(request.model, FindModel(client, arguments.model));
  request.max_memory_bytes = arguments.max_memory_mib << 20;
  auto read = std::make_unique<Progress>("read tokens");
  std::unique_ptr<Progress> fit;
  REPRISE_ASSIGN_OR_RETURN(
      const CalibrationResult result,
      Calibrate(client, request,
                [&](CalibrationStep step, uint64_t done, uint64_t total) {
                  if (step == CalibrationStep::kRead) {
                    read->Update(done, total);
                    return;
                  }
                  read.reset();
                  if (fit == nullptr) fit = std::make_unique<Progress>("fit");
                  fit->Update(done, total);
                }));
  read.reset();
  fit.reset();
  if (!arguments.out.empty()) {
    REPRISE_RETURN_IF_ERROR(WriteFile(arguments.out, result.profile));
  }
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec,
                           client->GetModelSpec(request.model));
  REPRISE_ASSIGN_OR_RETURN(const Model model, client->RegisterModel(spec));
  REPRISE_ASSIGN_OR_RETURN(
      const ProfileId profile,
      client->PutProfile(model, request.codec.codec->id(), result.profile));
  const bool is_plain = request.codec.codec->id() == CodecId::kKlt;
  context->Show({{"codec", arguments.codec},
                 {"model", request.model.Hex()},
                 {"profile", profile.Hex()},
                 {"profile_bytes", result.profile.size()},
                 {"sessions", result.sessions},
                 {"tokens", result.tokens},
                 {"made_from", is_plain ? "statistics only" : "values"}},
                "profile " + profile.ShortHex() + " of " + arguments.codec +
                    ", " + FormatBytes(result.profile.size()) + ", from " +
                    FormatCount(result.tokens) + " tokens of " +
                    FormatCount(result.sessions) +
                    " sessions; saves with this codec use it from now on\n" +
                    (is_plain ? kStatisticsOnly : ""));
  return Status();
}

void AddCalibrate(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<CalibrateArguments>();
  auto* command = app->add_subcommand(
      "calibrate", "train a codec's profile from exact sessions");
  command
      ->add_option("codec", arguments->codec,
                   "as in pq:d=4; options that training fixes count")
      ->required();
  command->add_option("--model", arguments->model,
                      "begin of the model's id, where there are several");
  command->add_option("--sessions", arguments->request.prefix,
                      "only those whose names start so");
  command->add_option("--tokens", arguments->request.max_tokens,
                      "at most so many; 0: as many as are useful");
  command
      ->add_option("--max-memory-mib", arguments->max_memory_mib,
                   "give up rather than use more")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--seed", arguments->request.seed, "of the training")
      ->capture_default_str();
  command->add_option("--out", arguments->out, "write it to this file as well");
  AddSensitivity(command, arguments.get());
  command->callback([context, arguments] {
    context->run = [=] { return RunCalibrate(context, *arguments); };
  });
}

}  // namespace

void AddCalibrateCommand(CLI::App* app, CommandContext* context) {
  AddCalibrate(app, context);
}

}  // namespace reprise
