// profile put, get, list: the profiles of codecs, for files and models.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "codec/codec.h"
#include "codec/klt_profile.h"
#include "codec/klt_profile_format.h"
#include "tools/measured_kl.h"
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
struct ProfileStory {
  std::string made_from;
  std::map<Tier, double> measured_kl;
};

ProfileStory StoryOf(CodecId id, ByteView bytes) {
  const Codec* const codec = FindCodec(id);
  if (codec == nullptr) return {"?", {}};
  const auto profile = codec->ParseProfile(bytes);
  if (!profile.ok()) return {"?", {}};
  ProfileStory story{"values", MeasuredKlOf(**profile)};
  if (id == CodecId::kKlt) {
    const auto& klt = static_cast<const KltProfile&>(**profile);
    story.made_from = klt.kind() == KltProfileKind::kStatistics
                          ? "statistics only"
                          : "sensitivities";
  }
  return story;
}

json MeasuredKlJson(const std::map<Tier, double>& measured) {
  json out = json::object();
  for (const auto& [tier, kl] : measured) out[TierName(tier)] = kl;
  return out;
}

std::string MeasuredKlText(const std::map<Tier, double>& measured) {
  std::string text;
  for (const auto& [tier, kl] : measured) {
    text += (text.empty() ? "" : ", ") + std::string(TierName(tier)) + " " +
            KlText(kl);
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
      const ProfileStory story = StoryOf(use.codec, bytes);
      table.Add({id.ShortHex(), name, use.profile.ShortHex(),
                 FormatBytes(bytes.size()), story.made_from,
                 use.other_weights ? "others, accepted" : "its own",
                 MeasuredKlText(story.measured_kl)});
      list.push_back({{"model", id.Hex()},
                      {"codec", name},
                      {"profile", use.profile.Hex()},
                      {"profile_bytes", bytes.size()},
                      {"made_from", story.made_from},
                      {"other_weights", use.other_weights},
                      {"measured_kl", MeasuredKlJson(story.measured_kl)}});
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
