#include "tools/ladder_config.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string_view>
#include <utility>

#include "codec/codec.h"
#include "store/policy.h"

namespace reprise {
namespace {

constexpr double kLargestMaxError = 10;
constexpr std::string_view kMaxErrorKey = " max-error=";

// "CODEC" or "CODEC max-error=NUMBER".
Status ParseTierText(std::string_view text, LadderTier* out) {
  const size_t at = text.find(kMaxErrorKey);
  out->codec_choice = text.substr(0, at);
  out->max_relative_error = DefaultMaxRelativeError(out->tier);
  if (at == std::string_view::npos) return Status();
  const std::string number(text.substr(at + kMaxErrorKey.size()));
  char* end = nullptr;
  out->max_relative_error = std::strtod(number.c_str(), &end);
  const bool is_number = !number.empty() && *end == '\0';
  if (is_number && out->max_relative_error > 0 &&
      out->max_relative_error <= kLargestMaxError) {
    return Status();
  }
  return InvalidArgumentError("max-error is \"" + number +
                              "\", a number over 0, at most 10, is wanted");
}

struct LadderSetting {
  std::string ladder;
  LadderTier tier;
};

Result<LadderSetting> ParseSetting(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view key = text.substr(0, equals);
  const size_t dot = key.find('.');
  if (equals == std::string_view::npos || dot == std::string_view::npos) {
    return InvalidArgumentError(
        "NAME.TIER=CODEC is wanted, such as series.near=tsc:bits=8");
  }
  LadderSetting setting;
  setting.ladder = key.substr(0, dot);
  if (!IsLadderName(setting.ladder)) {
    return InvalidArgumentError(
        "\"" + setting.ladder +
        "\" is no name of a ladder: a letter, then letters, digits and \"-\"");
  }
  REPRISE_ASSIGN_OR_RETURN(setting.tier.tier,
                           TierFromName(key.substr(dot + 1)));
  if (setting.tier.tier == Tier::kExact || setting.tier.tier == Tier::kTokens) {
    return InvalidArgumentError(
        "tier " + std::string(TierName(setting.tier.tier)) +
        " is the same on every ladder; near, coarse and archive can be set");
  }
  REPRISE_RETURN_IF_ERROR(
      ParseTierText(text.substr(equals + 1), &setting.tier));
  REPRISE_RETURN_IF_ERROR(CheckLadderTier(setting.tier));
  return setting;
}

void Put(const LadderSetting& setting, std::vector<Ladder>* ladders) {
  auto ladder = std::ranges::find(*ladders, setting.ladder, &Ladder::name);
  if (ladder == ladders->end()) {
    ladders->push_back({setting.ladder, {{Tier::kExact, "exact"}}});
    ladder = std::prev(ladders->end());
  }
  auto& tiers = ladder->tiers;
  const auto at =
      std::ranges::lower_bound(tiers, setting.tier.tier, {}, &LadderTier::tier);
  if (at != tiers.end() && at->tier == setting.tier.tier) {
    *at = setting.tier;
  } else {
    tiers.insert(at, setting.tier);
  }
}

}  // namespace

Status CheckLadderTier(const LadderTier& tier) {
  REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice,
                           ParseCodecChoice(tier.codec_choice));
  const Tier made = choice.tier();
  const bool is_staged = choice.codec->stage_count(choice.options.get()) > 1;
  if (is_staged ? made == tier.tier : made <= tier.tier) return Status();
  return InvalidArgumentError(
      "\"" + tier.codec_choice + "\" makes tier " +
      std::string(TierName(made)) + ", " + std::string(TierName(tier.tier)) +
      (is_staged ? " is wanted" : " or better is wanted"));
}

Result<std::vector<Ladder>> SetLadderTiers(
    std::vector<Ladder> ladders, std::span<const std::string> settings) {
  std::set<std::pair<std::string, Tier>> seen;
  for (const std::string& text : settings) {
    const std::string context = "ladder " + text;
    const Result<LadderSetting> setting = ParseSetting(text);
    if (!setting.ok()) {
      return InvalidArgumentError(context + ": " +
                                  std::string(setting.status().message()));
    }
    if (!seen.insert({setting->ladder, setting->tier.tier}).second) {
      return InvalidArgumentError(context + ": this tier was set before");
    }
    Put(*setting, &ladders);
  }
  return ladders;
}

}  // namespace reprise
