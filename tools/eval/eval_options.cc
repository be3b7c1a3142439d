#include "tools/eval/eval_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "tools/eval/planted_facts.h"

namespace reprise {
namespace {

Status Refuse(const std::string& option, const std::string& value,
              const std::string& allowed) {
  return InvalidArgumentError("eval: " + option + " is " + value +
                              ", allowed are " + allowed);
}

template <typename T>
Status CheckRange(const char* option, T value, T least, T most) {
  if (value >= least && value <= most) return Status();
  return Refuse(option, std::to_string(value),
                std::to_string(least) + " to " + std::to_string(most));
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Each text at its last '='.
Result<Pairs> SplitPairs(const std::string& option,
                         const std::vector<std::string>& texts,
                         const std::string& allowed) {
  Pairs pairs;
  for (const std::string& text : texts) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0 ||
        equals + 1 == text.size()) {
      return Refuse(option, text, allowed);
    }
    pairs.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return pairs;
}

Status CheckTexts(const EvalOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(const std::string judged,
                           ReadTextFile(options.text));
  if (options.train_text.empty()) return Status();
  REPRISE_ASSIGN_OR_RETURN(const std::string trained,
                           ReadTextFile(options.train_text));
  if (judged != trained) return Status();
  return InvalidArgumentError(
      "eval: --text and --train-text are the same text; profiles are never "
      "judged on what they were trained on");
}

// Of what a daemon has stored.
Status CheckStored(const EvalOptions& options) {
  if (options.retrieval != 0) {
    return InvalidArgumentError(
        "eval: --retrieval plants facts in a text, a session is as it is");
  }
  if (options.follow.empty()) {
    if (options.endpoints.size() == 1) return Status();
    return Refuse("--endpoint",
                  "a list of " + std::to_string(options.endpoints.size()),
                  "one for --session");
  }
  if (!options.session.empty() || options.exact_endpoint.empty()) {
    return InvalidArgumentError(
        "eval: --follow needs --exact, a daemon to compare with, and is not "
        "for --session, which is judged on its own tokens");
  }
  if (options.endpoints.empty()) {
    return InvalidArgumentError("eval: --endpoint is an empty list");
  }
  return FollowedOf(options).status();
}

constexpr char kFooter[] = R"(Examples:
  reprise eval --model M.gguf --text assets/wikitext2-test.txt \
               --train-text assets/wikitext2-valid.txt
  reprise eval --model M.gguf --text T.txt --prefix 512 \
               --codecs "exact;tsc:bits=8;llama:q8_0" --json rows.json

KL is that of the untouched cache against the coded one, in nats, over tokens
that the model reads after the state was put back. "raw" and "exact" show 0;
the noise floor is what the same values cost in another order.)";

void AddOptions(CLI::App* app, EvalOptions* options) {
  app->add_option("--model", options->model, "GGUF file")->required();
  app->add_option("--text", options->text, "file of the text to judge on");
  app->add_option("--prefix", options->prefixes,
                  "tokens of state; a list judges each length")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--score", options->score,
                  "tokens that are scored after each prefix")
      ->capture_default_str();
  app->add_option("--windows", options->windows, "pieces of the text")
      ->capture_default_str();
  app->add_option("--retrieval", options->retrieval,
                  "windows of --prefix tokens with planted facts, for which "
                  "the model is asked; 0: none")
      ->capture_default_str();
  app->add_option("--facts", options->facts, "in each such window")
      ->capture_default_str();
  app->add_option("--codecs", options->codecs,
                  "list such as \"raw;exact;tsc:bits=8;llama:q4_0;"
                  "evict:keep=0.75,by=mass,then=tsc\"; may be repeated");
  app->add_option("--keep", options->keep,
                  "judge each codec also with only this share of the tokens");
  app->add_option("--turn", options->turn,
                  "tokens a turn, for the second history ratio")
      ->capture_default_str();
  app->add_option("--cache-type", options->cache_type, "f16, bf16 or f32")
      ->capture_default_str();
  app->add_option("--weights", options->weights,
                  "f32 (made once, kept in the cache), q8_0, q4_0, q2_k, or "
                  "as-is for the file as it is")
      ->capture_default_str();
  app->add_option("--weights-folder", options->weights_folder,
                  "where weights that are made are kept");
  app->add_option("--seed", options->seed,
                  "0: windows from the start of the text; else spread over it")
      ->capture_default_str();
  app->add_option("--threads", options->threads,
                  "at most the cores that are free: with more, libllama is "
                  "many times slower")
      ->capture_default_str();
  app->add_option("--train-text", options->train_text,
                  "file to train profiles on; must not be the judged one");
  app->add_option("--train-tokens", options->train_tokens,
                  "at most; codecs that want less get less")
      ->capture_default_str();
  app->add_option("--profile", options->profiles,
                  "CODEC=FILE instead of training, or CODEC=none");
  app->add_option("--json", options->json, "write the rows to this file");
  app->add_option("--plots", options->plots, "write SVG plots to this folder");
  app->add_option("--session", options->session,
                  "judge what a daemon has stored of this session");
  app->add_option("--follow", options->follow,
                  "SESSION=FILE: judge what each --endpoint has stored of the "
                  "session on a text that follows it; may be repeated");
  app->add_option("--exact", options->exact_endpoint,
                  "for --follow: a daemon that has these sessions exact");
  app->add_option("--endpoint", options->endpoints,
                  "the daemon; for --follow a list")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--token", options->token, "the tenant's token")
      ->envname("REPRISE_TOKEN");
  app->add_flag("--prepare-weights", options->prepare_weights,
                "make the file of --weights, print its name, judge nothing");
}

}  // namespace

std::optional<int> ParseEvalCommand(int argc, const char* const* argv,
                                    EvalOptions* options) {
  CLI::App app("What codecs cost in quality on a real model", "reprise eval");
  app.footer(kFooter);
  AddOptions(&app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

Status CheckEvalOptions(const EvalOptions& options) {
  REPRISE_RETURN_IF_ERROR(CheckRange("--score", options.score, 1u, 8192u));
  REPRISE_RETURN_IF_ERROR(CheckRange("--windows", options.windows, 1u, 10000u));
  REPRISE_RETURN_IF_ERROR(
      CheckRange("--retrieval", options.retrieval, 0u, 10000u));
  REPRISE_RETURN_IF_ERROR(
      CheckRange("--facts", options.facts, 1u, kMaxFacts - kExampleFacts));
  REPRISE_RETURN_IF_ERROR(CheckRange("--turn", options.turn, 1u, 1u << 20));
  REPRISE_RETURN_IF_ERROR(CheckRange("--threads", options.threads, 1, 512));
  REPRISE_RETURN_IF_ERROR(CheckRange("--keep", options.keep, 0.01, 1.0));
  if (options.prefixes.empty()) {
    return InvalidArgumentError("eval: --prefix is an empty list");
  }
  for (const uint32_t prefix : options.prefixes) {
    REPRISE_RETURN_IF_ERROR(CheckRange("--prefix", prefix, 1u, 1u << 20));
  }
  const std::string& type = options.cache_type;
  if (type != "f16" && type != "bf16" && type != "f32") {
    return Refuse("--cache-type", type, "f16, bf16 and f32");
  }
  REPRISE_RETURN_IF_ERROR(ProfileFilesOf(options).status());
  if (options.prepare_weights) return Status();
  if (!options.session.empty() || !options.follow.empty()) {
    return CheckStored(options);
  }
  if (options.text.empty()) {
    return InvalidArgumentError(
        "eval: --text, --session or --follow is wanted");
  }
  return CheckTexts(options);
}

Result<std::vector<EvalVariant>> VariantsOf(const EvalOptions& options) {
  std::vector<std::string> names;
  for (const std::string& list : options.codecs) {
    for (std::string& name : SplitVariants(list)) {
      names.push_back(std::move(name));
    }
  }
  if (names.empty()) {
    for (const Codec* codec : AllCodecs()) names.emplace_back(codec->name());
    names.emplace_back("llama:q8_0");
    names.emplace_back("llama:q4_0");
  }
  std::vector<EvalVariant> variants;
  const auto is_known = [&](const std::string& name) {
    return std::any_of(
        variants.begin(), variants.end(),
        [&](const EvalVariant& known) { return known.text == name; });
  };
  const auto add = [&](const std::string& name) -> Status {
    REPRISE_ASSIGN_OR_RETURN(const EvalVariant parsed, ParseVariant(name));
    for (EvalVariant& variant : WithStagePrefixes(parsed)) {
      if (!is_known(variant.text)) variants.push_back(std::move(variant));
    }
    return Status();
  };
  for (const std::string& name : names) REPRISE_RETURN_IF_ERROR(add(name));
  if (options.keep >= 1) return variants;
  const size_t count = variants.size();
  char share[16];
  std::snprintf(share, sizeof(share), "%g", options.keep);
  for (size_t i = 0; i < count; ++i) {
    if (variants[i].evicts() || !variants[i].llama_type.empty()) continue;
    REPRISE_RETURN_IF_ERROR(
        add(std::string("evict:keep=") + share + ",then=" + variants[i].text));
  }
  return variants;
}

Result<std::vector<std::pair<std::string, std::string>>> ProfileFilesOf(
    const EvalOptions& options) {
  return SplitPairs("--profile", options.profiles, "CODEC=FILE and CODEC=none");
}

Result<std::vector<std::pair<std::string, std::string>>> FollowedOf(
    const EvalOptions& options) {
  return SplitPairs("--follow", options.follow, "SESSION=FILE");
}

Result<std::string> ReadTextFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFoundError("eval: can't read " + path);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

}  // namespace reprise
