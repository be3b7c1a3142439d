// policy, pin, unpin: how far a session sinks, and when it is removed.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "codec/codec.h"
#include "store/policy.h"
#include "tools/measured_kl.h"
#include "tools/reprise_command.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr char kNever[] = "never";
constexpr char kDefault[] = "default";

std::string TtlText(int64_t ttl_ms) {
  return ttl_ms == kForeverMs ? kNever : FormatDuration(ttl_ms);
}

std::string PinText(int64_t until_ms) {
  if (until_ms == 0) return "none";
  return until_ms == kForeverMs ? "for ever" : "until " + FormatTime(until_ms);
}

// Where a session stands on the ladder that it follows.
struct Outlook {
  Tier wanted = Tier::kExact;
  std::optional<PolicyStep> next;
  int64_t idle_since_ms = 0;
};

// Nothing when there is no policy to follow, or one of a later Reprise.
std::optional<Outlook> OutlookOf(const SessionDetails& details) {
  const Result<Policy> policy = ParsePolicy(details.effective.policy);
  if (!policy.ok()) return std::nullopt;
  const SessionSummary& summary = details.summary;
  Outlook outlook;
  outlook.idle_since_ms =
      std::max({summary.created_ms, summary.changed_ms, summary.last_use_ms});
  const int64_t idle_ms =
      std::max<int64_t>(0, SystemClock().WallMs() - outlook.idle_since_ms);
  outlook.wanted = WantedTier(*policy, idle_ms);
  outlook.next = NextStep(*policy, idle_ms);
  return outlook;
}

std::string OutlookText(const Outlook& outlook) {
  std::string text(TierName(outlook.wanted));
  if (outlook.next) {
    text += "; if not used, " + std::string(TierName(outlook.next->tier)) +
            " from " +
            FormatTime(outlook.idle_since_ms + outlook.next->idle_ms) + " on";
  }
  return text;
}

json EffectiveJson(const EffectivePolicy& effective) {
  json out = {{"ttl", TtlText(effective.ttl_ms)}};
  if (effective.problem.empty()) {
    out["policy"] = effective.policy;
  } else {
    out["problem"] = effective.problem;
  }
  return out;
}

// "exact 1h, tokens", "--ttl 30d", and so on: as they were typed.
struct PolicyArguments {
  std::string session;
  std::vector<std::string> words;
  bool to_default = false;
  std::string ttl;
};

Result<PolicyUpdate> UpdateOf(const PolicyArguments& arguments) {
  PolicyUpdate update;
  if (!arguments.words.empty()) {
    std::string text;
    for (const std::string& word : arguments.words) {
      text += (text.empty() ? "" : " ") + word;
    }
    update.policy = text;
  }
  if (arguments.to_default) {
    update.policy = "";
    update.ttl_ms = 0;
  }
  if (arguments.ttl == kDefault) {
    update.ttl_ms = 0;
  } else if (arguments.ttl == kNever) {
    update.ttl_ms = kForeverMs;
  } else if (!arguments.ttl.empty()) {
    const Result<int64_t> ttl_ms = ParseDuration(arguments.ttl);
    if (!ttl_ms.ok()) return ttl_ms.status().WithContext("--ttl");
    update.ttl_ms = *ttl_ms;
  }
  return update;
}

// A tier of the policy that the session follows, and what its name is worth.
struct PolicyTier {
  TierCodecName made;
  ProfileId profile;  // zero: none
  std::optional<double> measured_kl;
  std::string problem;  // why it can't be made; empty: it can
};

void TakeProfile(Client* client, const ProfileId& id, const Codec& codec,
                 Tier tier, PolicyTier* out) {
  const Result<Bytes> bytes = client->GetProfile(id);
  const auto profile =
      bytes.ok() ? codec.ParseProfile(*bytes)
                 : Result<std::shared_ptr<const CodecProfile>>(bytes.status());
  if (!profile.ok()) {
    out->problem = std::string(profile.status().message());
    return;
  }
  out->profile = id;
  const std::map<Tier, double> measured = MeasuredKlOf(**profile);
  const auto kl = measured.find(tier);
  if (kl != measured.end()) out->measured_kl = kl->second;
}

Result<std::vector<PolicyTier>> TiersOf(Client* client,
                                        const SessionDetails& details) {
  std::vector<PolicyTier> out;
  if (details.effective.codecs.empty()) return out;
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec,
                           client->GetModelSpec(details.summary.model));
  REPRISE_ASSIGN_OR_RETURN(const Model model, client->RegisterModel(spec));
  const std::vector<ProfileInUse> profiles = ProfilesOf(model);
  for (const TierCodecName& made : details.effective.codecs) {
    PolicyTier& line = out.emplace_back(PolicyTier{made, {}, {}, {}});
    const Result<CodecChoice> choice = ParseCodecChoice(made.codec);
    if (!choice.ok()) {
      line.problem = std::string(choice.status().message());
      continue;
    }
    const Codec& codec = *choice->codec;
    const auto use =
        std::ranges::find(profiles, codec.id(), &ProfileInUse::codec);
    if (use != profiles.end()) {
      TakeProfile(client, use->profile, codec, choice->tier(), &line);
    } else if (codec.needs_profile()) {
      const std::string name(codec.name());
      line.problem = "there is no profile of " + name + " for this model; " +
                     "`reprise calibrate " + name + "` makes one";
    }
  }
  return out;
}

json TiersJson(const std::vector<PolicyTier>& tiers) {
  json out = json::array();
  for (const PolicyTier& each : tiers) {
    json line = {{"tier", TierName(each.made.tier)},
                 {"codec", each.made.codec},
                 {"profile", nullptr},
                 {"measured_kl", nullptr},
                 {"problem", nullptr}};
    if (!each.profile.IsZero()) line["profile"] = each.profile.Hex();
    if (each.measured_kl) line["measured_kl"] = *each.measured_kl;
    if (!each.problem.empty()) line["problem"] = each.problem;
    out.push_back(std::move(line));
  }
  return out;
}

std::string TiersText(const std::vector<PolicyTier>& tiers) {
  if (tiers.empty()) return "";
  Table table({"tier", "made by", "profile", ">KL", "can't be made"});
  for (const PolicyTier& each : tiers) {
    table.Add({std::string(TierName(each.made.tier)),
               Printable(each.made.codec),
               each.profile.IsZero() ? "-" : each.profile.ShortHex(),
               each.measured_kl ? KlText(*each.measured_kl) : "-",
               Printable(each.problem)});
  }
  return "\n" + table.ToString();
}

Status ShowSettings(CommandContext* context, Client* client,
                    const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(const SessionDetails details,
                           client->Describe(session));
  json shown = SettingsJson(details);
  shown["session"] = session;
  REPRISE_ASSIGN_OR_RETURN(const std::vector<PolicyTier> tiers,
                           TiersOf(client, details));
  shown["effective"]["tiers"] = TiersJson(tiers);
  context->Show(shown, Printable(session) + "\n" + SettingsText(details) +
                           TiersText(tiers));
  return Status();
}

Status RunPolicy(CommandContext* context, const PolicyArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const PolicyUpdate update, UpdateOf(arguments));
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  if (update.policy || update.ttl_ms) {
    REPRISE_RETURN_IF_ERROR(
        client->SetPolicy(arguments.session, update).status());
  }
  return ShowSettings(context, client, arguments.session);
}

struct PinArguments {
  std::string session;
  std::string duration;
  std::string until;
};

Result<int64_t> PinnedUntil(const PinArguments& arguments) {
  if (!arguments.until.empty()) {
    const Result<int64_t> until_ms = ParseTime(arguments.until);
    if (!until_ms.ok()) return until_ms.status().WithContext("--until");
    return until_ms;
  }
  if (arguments.duration.empty()) return kForeverMs;
  const Result<int64_t> ms = ParseDuration(arguments.duration);
  if (!ms.ok()) return ms.status().WithContext("--for");
  return SystemClock().WallMs() + *ms;
}

Status RunPin(CommandContext* context, const PinArguments& arguments) {
  REPRISE_ASSIGN_OR_RETURN(const int64_t until_ms, PinnedUntil(arguments));
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_RETURN_IF_ERROR(client->Pin(arguments.session, until_ms).status());
  return ShowSettings(context, client, arguments.session);
}

Status RunUnpin(CommandContext* context, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_RETURN_IF_ERROR(client->Unpin(session).status());
  return ShowSettings(context, client, session);
}

void AddPin(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<PinArguments>();
  auto* pin = app->add_subcommand("pin", "keep a session as it is");
  pin->add_option("session", arguments->session)->required();
  auto* duration = pin->add_option("--for", arguments->duration,
                                   "so long from now on, as 30d");
  pin->add_option("--until", arguments->until,
                  "till then, in UTC: 2027-01-31 or 2027-01-31T12:00")
      ->excludes(duration);
  pin->footer("Without an end it is pinned for ever, or until unpin.");
  pin->callback([context, arguments] {
    context->run = [=] { return RunPin(context, *arguments); };
  });

  auto session = std::make_shared<std::string>();
  auto* unpin = app->add_subcommand("unpin", "let a session sink again");
  unpin->add_option("session", *session)->required();
  unpin->callback([context, session] {
    context->run = [=] { return RunUnpin(context, *session); };
  });
}

}  // namespace

json SettingsJson(const SessionSettings& own) {
  const bool is_pinned = own.pinned_until_ms != 0;
  json out = {{"policy", own.policy.empty() ? kDefault : own.policy},
              {"ttl", own.ttl_ms == 0 ? kDefault : TtlText(own.ttl_ms)},
              {"pinned", is_pinned},
              {"pinned_until_ms", nullptr}};
  if (is_pinned && own.pinned_until_ms != kForeverMs) {
    out["pinned_until_ms"] = own.pinned_until_ms;
  }
  return out;
}

json SettingsJson(const SessionDetails& details) {
  json out = SettingsJson(details.summary.settings);
  out["effective"] = EffectiveJson(details.effective);
  const std::optional<Outlook> outlook = OutlookOf(details);
  if (!outlook) return out;
  out["wanted_tier"] = TierName(outlook->wanted);
  out["next_step"] = nullptr;
  if (outlook->next) {
    out["next_step"] = {
        {"tier", TierName(outlook->next->tier)},
        {"at_ms", outlook->idle_since_ms + outlook->next->idle_ms}};
  }
  return out;
}

std::string SettingsLine(const SessionSettings& own) {
  std::string text = own.policy.empty() ? kDefault : Printable(own.policy);
  if (own.ttl_ms != 0) text += "; ttl " + TtlText(own.ttl_ms);
  if (own.pinned_until_ms != 0) {
    text += "; pinned " + PinText(own.pinned_until_ms);
  }
  return text;
}

std::string SettingsText(const SessionDetails& details) {
  const SessionSettings& own = details.summary.settings;
  const EffectivePolicy& effective = details.effective;
  const std::string by_default = "the daemon's default";
  Table table({"setting", "value", "from"});
  table.Add({"policy",
             Printable(own.policy.empty() ? effective.policy : own.policy),
             own.policy.empty() ? by_default : "the session"});
  table.Add({"ttl", TtlText(effective.ttl_ms),
             own.ttl_ms == 0 ? by_default : "the session"});
  table.Add({"pin", PinText(own.pinned_until_ms), ""});
  if (!effective.problem.empty()) {
    table.Add({"may sink to", "nothing: " + Printable(effective.problem), ""});
  } else if (const std::optional<Outlook> outlook = OutlookOf(details)) {
    table.Add({"may sink to", OutlookText(*outlook), ""});
  }
  return table.ToString();
}

void AddPolicyCommands(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<PolicyArguments>();
  auto* policy = app->add_subcommand(
      "policy", "how far a session sinks when nobody uses it");
  policy->add_option("session", arguments->session)->required();
  auto* words = policy->add_option("text", arguments->words,
                                   "the new policy; none: show what there is");
  policy
      ->add_flag("--default", arguments->to_default,
                 "back to the daemon's policy and TTL")
      ->excludes(words);
  policy->add_option("--ttl", arguments->ttl,
                     "remove it when idle so long: 90d, never or default");
  policy->footer(
      "  reprise policy chat-42 exact 1h, near 1d, coarse 30d, tokens\n"
      "  reprise policy chat-42 series: exact 1d, near --ttl 2y\n\n"
      "A duration is the idle time from which on the next tier may be taken.");
  policy->callback([context, arguments] {
    context->run = [=] { return RunPolicy(context, *arguments); };
  });
  AddPin(app, context);
}

}  // namespace reprise
