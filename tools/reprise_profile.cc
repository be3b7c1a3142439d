// profile put, get, list: the profiles of codecs, for files and models.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "codec/codec.h"
#include "codec/klt_profile.h"
#include "codec/klt_profile_format.h"
#include "tools/reprise_command.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

Result<Bytes> ReadProfileFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Bytes bytes;
  if (file) {
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  if (!file.bad() && !bytes.empty() && bytes.size() <= kMaxProfileBytes) {
    return bytes;
  }
  return InvalidArgumentError(
      "profile: " + path + " has " + std::to_string(bytes.size()) +
      " bytes, 1 to " + std::to_string(kMaxProfileBytes) + " are possible");
}

Result<const Codec*> CodecNamed(const std::string& name) {
  REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice, ParseCodecChoice(name));
  return choice.codec;
}

Result<Model> RegisteredModelOf(Client* client, const std::string& text) {
  REPRISE_ASSIGN_OR_RETURN(const ModelId id, FindModel(client, text));
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, client->GetModelSpec(id));
  return client->RegisterModel(spec);
}

struct ProfileArguments {
  std::string codec;
  std::string file;
  std::string model;
  bool accept_other_weights = false;
};

Status RunPut(CommandContext* context, const ProfileArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const Codec* codec, CodecNamed(arguments.codec));
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes, ReadProfileFile(arguments.file));
  REPRISE_RETURN_IF_ERROR(codec->ParseProfile(bytes).status());
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const Model model,
                           RegisteredModelOf(client, arguments.model));
  REPRISE_ASSIGN_OR_RETURN(
      const ProfileId id,
      client->PutProfile(
          model, codec->id(), bytes,
          {.accept_other_weights = arguments.accept_other_weights}));
  context->Show({{"codec", arguments.codec},
                 {"model", IdOf(model).Hex()},
                 {"profile", id.Hex()},
                 {"profile_bytes", bytes.size()}},
                "profile " + id.ShortHex() + " of " + arguments.codec + ", " +
                    FormatBytes(bytes.size()) + ", is used by model " +
                    IdOf(model).ShortHex() + " from now on\n");
  return Status();
}

Status RunGet(CommandContext* context, const ProfileArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const Codec* codec, CodecNamed(arguments.codec));
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const Model model,
                           RegisteredModelOf(client, arguments.model));
  for (const ProfileInUse& use : ProfilesOf(model)) {
    if (use.codec != codec->id()) continue;
    REPRISE_ASSIGN_OR_RETURN(const Bytes bytes,
                             client->GetProfile(use.profile));
    REPRISE_RETURN_IF_ERROR(WriteFile(arguments.file, bytes));
    context->Show(
        {{"profile", use.profile.Hex()}, {"profile_bytes", bytes.size()}},
        "profile " + use.profile.ShortHex() + ", " + FormatBytes(bytes.size()) +
            ", written to " + arguments.file + "\n");
    return Status();
  }
  return NotFoundError("profile: the model has none of codec " +
                       arguments.codec);
}

// What a profile says of how it was made.
std::string MadeFrom(CodecId codec, ByteView bytes) {
  if (codec != CodecId::kKlt) return "values";
  const auto profile = KltProfile::Parse(bytes);
  if (!profile.ok()) return "?";
  return (*profile)->kind() == KltProfileKind::kStatistics ? "statistics only"
                                                           : "sensitivities";
}

// {"near": 0.0014, ...}: the KL in nats that was measured of each tier when the
// profile was made, as far as its notes have it.
json MeasuredKl(CodecId codec, ByteView bytes) {
  json out = json::object();
  if (codec != CodecId::kKlt) return out;
  const auto profile = KltProfile::Parse(bytes);
  if (!profile.ok()) return out;
  const json notes = json::parse((*profile)->notes(), nullptr, false);
  if (!notes.is_object() || !notes.contains("tiers")) return out;
  for (const char* tier : {"near", "coarse", "archive"}) {
    const json::json_pointer place("/tiers/" + std::string(tier) + "/kl");
    const json kl = notes.value(place, json());
    if (kl.is_number()) out[tier] = kl;
  }
  return out;
}

std::string MeasuredKlText(const json& measured) {
  std::string text;
  for (const char* tier : {"near", "coarse", "archive"}) {
    if (!measured.contains(tier)) continue;
    char number[32];
    std::snprintf(number, sizeof(number), " %.2g",
                  measured[tier].get<double>());
    text += (text.empty() ? "" : ", ") + std::string(tier) + number;
  }
  return text.empty() ? "-" : text;
}

Status RunList(CommandContext* context) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const std::vector<ModelId> models,
                           ModelsWithSessions(client));
  Table table({"model", "codec", "profile", ">bytes", "made from", "weights",
               "KL then measured"});
  json list = json::array();
  for (const ModelId& id : models) {
    REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, client->GetModelSpec(id));
    REPRISE_ASSIGN_OR_RETURN(const Model model, client->RegisterModel(spec));
    for (const ProfileInUse& use : ProfilesOf(model)) {
      REPRISE_ASSIGN_OR_RETURN(const Bytes bytes,
                               client->GetProfile(use.profile));
      const std::string name(CodecIdName(use.codec));
      const std::string made_from = MadeFrom(use.codec, bytes);
      const json measured_kl = MeasuredKl(use.codec, bytes);
      table.Add({id.ShortHex(), name, use.profile.ShortHex(),
                 FormatBytes(bytes.size()), made_from,
                 use.other_weights ? "others, accepted" : "its own",
                 MeasuredKlText(measured_kl)});
      list.push_back({{"model", id.Hex()},
                      {"codec", name},
                      {"profile", use.profile.Hex()},
                      {"profile_bytes", bytes.size()},
                      {"made_from", made_from},
                      {"other_weights", use.other_weights},
                      {"measured_kl", measured_kl}});
    }
  }
  context->Show(list,
                table.row_count() == 0 ? "no profiles\n" : table.ToString());
  return Status();
}

}  // namespace

void AddProfileCommands(CLI::App* app, CommandContext* context) {
  auto* profile = app->add_subcommand("profile", "the profiles of codecs");
  profile->require_subcommand(1);
  auto arguments = std::make_shared<ProfileArguments>();
  const auto add = [&](const char* name, const char* what) {
    auto* command = profile->add_subcommand(name, what);
    command->add_option("codec", arguments->codec, "klt, pq, ...")->required();
    command->add_option("file", arguments->file, "the profile")->required();
    command->add_option("--model", arguments->model,
                        "begin of the model's id, where there are several");
    return command;
  };
  auto* put = add("put", "put one from a file: saves use it from now on");
  put->add_flag("--accept-other-weights", arguments->accept_other_weights,
                "though it was trained on other weights");
  put->callback(
      [=] { context->run = [=] { return RunPut(context, *arguments); }; });
  add("get", "write the one that is used to a file")->callback([=] {
    context->run = [=] { return RunGet(context, *arguments); };
  });
  profile->add_subcommand("list", "those that are used, by model")
      ->callback([=] { context->run = [=] { return RunList(context); }; });
}

}  // namespace reprise
