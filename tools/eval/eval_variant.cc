#include "tools/eval/eval_variant.h"

#include <algorithm>
#include <utility>

#include "codec/option_list.h"

namespace reprise {
namespace {

constexpr std::string_view kImportanceNames[] = {"mass", "recent", "knorm",
                                                 "vnorm", "random"};

// The text before and after the first `separator`.
std::pair<std::string_view, std::string_view> Halves(std::string_view text,
                                                     char separator) {
  const size_t at = std::min(text.find(separator), text.size());
  return {text.substr(0, at), text.substr(std::min(at + 1, text.size()))};
}

void AddParameter(std::string_view text, EvalVariant* variant) {
  if (!text.empty() && !variant->parameters.empty()) {
    variant->parameters += ",";
  }
  variant->parameters += text;
}

// How many stages reach the tier; 0 when none ends there.
uint32_t StagesFor(Tier tier, const CodecChoice& choice) {
  const CodecOptions* const options = choice.options.get();
  const uint32_t count = choice.codec->stage_count(options);
  for (uint32_t k = 0; k < count; ++k) {
    if (choice.codec->stage_tier(k, options) == tier) return k + 1;
  }
  return 0;
}

// "name", "name:options", "name@tier" or "name@tier:options"
Status ParseCodecPart(std::string_view text, EvalVariant* variant) {
  const auto [head, parameters] = Halves(text, ':');
  const auto [name, tier_name] = Halves(head, '@');
  variant->choice_text = name;
  if (text.size() > head.size())
    variant->choice_text += text.substr(head.size());
  REPRISE_ASSIGN_OR_RETURN(variant->choice,
                           ParseCodecChoice(variant->choice_text));
  variant->codec += name;
  AddParameter(parameters, variant);
  if (head.size() == name.size()) return Status();
  AddParameter(head.substr(name.size()), variant);
  REPRISE_ASSIGN_OR_RETURN(const Tier tier, TierFromName(tier_name));
  variant->stages = StagesFor(tier, variant->choice);
  if (variant->stages != 0) return Status();
  return InvalidArgumentError("eval: " + variant->choice_text +
                              " has no stage that ends at tier " +
                              std::string(tier_name));
}

// "keep=0.75,by=mass,then=CODEC"
Status ParseEviction(std::string_view text, EvalVariant* variant) {
  constexpr std::string_view kThen = "then=";
  std::string_view codec = "exact";
  const size_t then = text.starts_with(kThen) ? 0 : text.find(",then=");
  if (then != std::string_view::npos) {
    codec = text.substr(then + kThen.size() + (then == 0 ? 0 : 1));
    text = text.substr(0, then);
  }
  uint32_t by = 0;
  variant->keep = 0.75;
  OptionList options("evict", text);
  options.Take("keep", 0.01, 0.999, &variant->keep);
  options.Take("by", kImportanceNames, &by);
  REPRISE_RETURN_IF_ERROR(options.Finish());
  variant->by = static_cast<Importance>(by);
  variant->codec = "evict+";
  variant->parameters = text;
  return ParseCodecPart(codec, variant);
}

}  // namespace

std::string_view ImportanceName(Importance importance) {
  return kImportanceNames[static_cast<size_t>(importance)];
}

Result<EvalVariant> ParseVariant(std::string_view text) {
  EvalVariant variant;
  variant.text = text;
  const auto [name, rest] = Halves(text, ':');
  if (name == "llama") {
    if (rest.empty()) {
      return InvalidArgumentError(
          "eval: llama wants a cache type, such as llama:q8_0");
    }
    variant.codec = text;
    variant.llama_type = rest;
    return variant;
  }
  const Status parsed = name == "evict" ? ParseEviction(rest, &variant)
                                        : ParseCodecPart(text, &variant);
  if (!parsed.ok()) return parsed;
  return variant;
}

std::vector<EvalVariant> WithStagePrefixes(const EvalVariant& variant) {
  std::vector<EvalVariant> out;
  const CodecChoice& choice = variant.choice;
  if (variant.llama_type.empty() && variant.stages == 0) {
    const CodecOptions* const options = choice.options.get();
    const uint32_t count = choice.codec->stage_count(options);
    // Where the codec's own name ends in the text.
    const size_t at = variant.text.size() - variant.choice_text.size() +
                      choice.codec->name().size();
    for (uint32_t k = 0; k + 1 < count; ++k) {
      const Tier tier = choice.codec->stage_tier(k, options);
      if (StagesFor(tier, choice) != k + 1) continue;
      const std::string suffix = "@" + std::string(TierName(tier));
      out.push_back(variant);
      out.back().text.insert(at, suffix);
      out.back().stages = k + 1;
      AddParameter(suffix, &out.back());
    }
  }
  out.push_back(variant);
  return out;
}

std::vector<std::string> SplitVariants(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(";,"), text.size());
    const std::string_view item = text.substr(0, end);
    const size_t equals = item.find('=');
    const bool is_option = equals != std::string_view::npos &&
                           item.substr(0, equals).find(':') == item.npos;
    if (is_option && !names.empty()) {
      names.back() += ",";
      names.back() += item;
    } else if (!item.empty()) {
      names.emplace_back(item);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return names;
}

}  // namespace reprise
