// An inference worker with a memory: llama.cpp, whose conversations Reprise
// keeps. Small on purpose, to be copied from.
//
//   llama_worker --model M.gguf --daemon HOST:PORT STEP...
//
//   prompt=story.txt:2000 generate=32 save=chat     one process, and
//   restore=chat generate=64                        later another
//
// Steps run in their order on one conversation; each prints one line of JSON.
// Choice is greedy, so equal states give equal tokens.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/llama/llama_kv.h"
#include "client/llama/llama_spec.h"
#include "codec/codec.h"
#include "codec/tier.h"
#include "tools/llama_runner.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

constexpr char kSteps[] = R"(Steps, each printing one line of JSON:
  prompt=FILE[:TOKENS]      compute a text (its first TOKENS) after what is
                            there, and choose the next token
  resume=FILE[:TOKENS]      the same from the start, but take the longest
                            stored prefix from the daemon
  generate=COUNT            go on greedily
  save=SESSION              store the conversation; only what is new travels
  restore=SESSION[:TOKENS]  take it back (its first TOKENS)
  fork=FROM:TO              a new session at the other's head
  rewind=SESSION:COMMIT     back to an earlier commit
  describe=SESSION          what is stored, in bytes
  forget                    drop the conversation from the context
  hold                      wait until standard input ends
)";

struct WorkerOptions {
  std::string model;
  std::string daemon;
  std::string token;
  std::string codec = "exact";
  std::string profile;  // a file, of that codec; empty: what the daemon has
  std::string lowest = "exact";
  LlamaRunnerOptions runner;
  std::vector<std::string> steps;
};

class Stopwatch {
 public:
  double Milliseconds() const {
    return std::chrono::duration<double, std::milli>(Now() - start_).count();
  }

 private:
  static std::chrono::steady_clock::time_point Now() {
    return std::chrono::steady_clock::now();
  }
  std::chrono::steady_clock::time_point start_ = Now();
};

// "story.txt:2000" -> the two, or the whole and nothing.
std::pair<std::string, std::optional<uint64_t>> SplitCount(
    const std::string& argument) {
  const size_t colon = argument.rfind(':');
  if (colon == std::string::npos) return {argument, std::nullopt};
  uint64_t count = 0;
  const char* end = argument.data() + argument.size();
  const auto [stop, error] =
      std::from_chars(argument.data() + colon + 1, end, count);
  if (error != std::errc() || stop != end) return {argument, std::nullopt};
  return {argument.substr(0, colon), count};
}

Result<std::pair<std::string, std::string>> SplitTwo(
    const std::string& argument) {
  const size_t colon = argument.rfind(':');
  if (colon == std::string::npos) {
    return InvalidArgumentError("two names with a colon between are wanted");
  }
  return std::pair(argument.substr(0, colon), argument.substr(colon + 1));
}

// One conversation in sequence 0 of one context.
class Worker {
 public:
  static Result<std::unique_ptr<Worker>> Make(const WorkerOptions& options) {
    auto worker = std::make_unique<Worker>();
    worker->codec_ = options.codec;
    REPRISE_ASSIGN_OR_RETURN(worker->lowest_, TierFromName(options.lowest));
    REPRISE_ASSIGN_OR_RETURN(LlamaModelPtr model,
                             LoadLlamaModel(options.model));
    REPRISE_ASSIGN_OR_RETURN(worker->runner_,
                             LlamaRunner::Make(model, options.runner));
    REPRISE_ASSIGN_OR_RETURN(
        worker->cache_,
        DescribeLlamaCache(model.get(), worker->runner_->params(),
                           {.model = options.model}));
    if (options.daemon.empty()) return worker;
    REPRISE_ASSIGN_OR_RETURN(worker->client_,
                             Client::Connect({.endpoint = options.daemon,
                                              .token = options.token,
                                              .name = "llama_worker"}));
    REPRISE_ASSIGN_OR_RETURN(
        worker->model_, worker->client_->RegisterModel(worker->cache_.spec));
    if (!options.profile.empty()) {
      REPRISE_RETURN_IF_ERROR(worker->PutProfile(options.profile));
    }
    return worker;
  }

  // What "name=argument" did.
  Result<Json> Run(const std::string& name, const std::string& argument) {
    if (name == "prompt") return Prompt(argument);
    if (name == "generate") return Generate(argument);
    if (name == "forget") return Forget();
    if (name == "hold") return Hold();
    if (client_ == nullptr) {
      return FailedPreconditionError("step '" + name + "' needs --daemon");
    }
    if (name == "resume") return Resume(argument);
    if (name == "save") return Save(argument);
    if (name == "restore") return Restore(argument);
    if (name == "fork") return Fork(argument);
    if (name == "rewind") return Rewind(argument);
    if (name == "describe") return Describe(argument);
    return InvalidArgumentError("no step '" + name + "'; see --help");
  }

 private:
  // Computes `tokens` after the conversation and chooses what follows.
  Status Append(std::span<const TokenId> tokens) {
    std::vector<TokenId> batch(pending_.begin(), pending_.end());
    batch.insert(batch.end(), tokens.begin(), tokens.end());
    if (batch.empty()) return Status::Ok();
    REPRISE_RETURN_IF_ERROR(runner_->Decode(batch, tokens_.size()));
    tokens_.insert(tokens_.end(), batch.begin(), batch.end());
    pending_ = {runner_->Next()};
    return Status::Ok();
  }

  Result<std::vector<TokenId>> ReadText(const std::string& argument) const {
    const auto [path, count] = SplitCount(argument);
    std::ifstream file(path, std::ios::binary);
    if (!file) return NotFoundError("can't read " + path);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    REPRISE_ASSIGN_OR_RETURN(std::vector<TokenId> tokens,
                             runner_->Tokenize(text, tokens_.empty()));
    if (count && tokens.size() < *count) {
      return InvalidArgumentError(
          path + " has " + std::to_string(tokens.size()) +
          " tokens, wanted are " + std::to_string(*count));
    }
    if (count) tokens.resize(*count);
    return tokens;
  }

  Result<Json> Prompt(const std::string& argument) {
    REPRISE_ASSIGN_OR_RETURN(const auto tokens, ReadText(argument));
    const Stopwatch watch;
    REPRISE_RETURN_IF_ERROR(Append(tokens));
    return Json{{"prompt_tokens", tokens.size()},
                {"prefill_ms", watch.Milliseconds()}};
  }

  Result<Json> Generate(const std::string& argument) {
    const auto [rest, count] = SplitCount(":" + argument);
    if (!count || pending_.empty()) {
      return InvalidArgumentError("generate: a count and a prompt are wanted");
    }
    const Stopwatch watch;
    std::vector<TokenId> generated;
    while (generated.size() < *count) {
      generated.push_back(pending_.back());
      REPRISE_RETURN_IF_ERROR(Append({}));
    }
    return Json{{"generated", generated},
                {"text", runner_->TextOf(generated)},
                {"generate_ms", watch.Milliseconds()}};
  }

  Status PutProfile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return NotFoundError("no profile " + path);
    const Bytes bytes(std::istreambuf_iterator<char>(file), {});
    REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice,
                             ParseCodecChoice(codec_));
    return client_->PutProfile(model_, choice.codec->id(), bytes).status();
  }

  Result<Json> Save(const std::string& session) {
    REPRISE_ASSIGN_OR_RETURN(const LlamaSaveResult result,
                             SaveSequence(client_.get(), session,
                                          {.model = model_,
                                           .cache = &cache_,
                                           .context = runner_->context(),
                                           .tokens = tokens_,
                                           .pending = pending_,
                                           .basis = basis_,
                                           .codec = codec_}));
    return Json{{"session", session},
                {"commit", result.save.version.head.Hex()},
                {"new_segments", result.save.new_segments},
                {"tail_tokens", result.save.tail_tokens},
                {"first_token", result.first_token},
                {"state_bytes", result.state_bytes},
                {"raw_bytes", result.save.raw_bytes},
                {"frame_bytes", result.save.frame_bytes},
                {"wire_bytes", result.save.wire_bytes},
                {"take_ms", result.take_ms},
                {"save_ms", result.total_ms}};
  }

  Result<Json> Restore(const std::string& argument) {
    const auto [session, count] = SplitCount(argument);
    return Restore(session, {.end_token = count.value_or(UINT64_MAX)});
  }

  Result<Json> Restore(const std::string& session,
                       LlamaRestoreRequest request) {
    request.model = model_;
    request.cache = &cache_;
    request.context = runner_->context();
    request.lowest = lowest_;
    tokens_.clear();
    pending_.clear();
    REPRISE_ASSIGN_OR_RETURN(LlamaRestoreResult result,
                             RestoreSequence(client_.get(), session, request));
    tokens_ = std::move(result.tokens);
    basis_ = result.restore.info.ranges;
    // What is not stored any more, or was lost on the way, is computed again.
    const std::vector<TokenId> chosen = std::move(result.pending);
    const Stopwatch watch;
    if (!result.lost.empty()) REPRISE_RETURN_IF_ERROR(Append(result.lost));
    const double recompute_ms = watch.Milliseconds();
    if (!chosen.empty()) pending_ = chosen;
    return Json{{"restored_tokens", tokens_.size()},
                {"lost_tokens", result.lost.size()},
                {"state_bytes", result.state_bytes},
                {"raw_bytes", result.restore.raw_bytes},
                {"wire_bytes", result.restore.wire_bytes},
                {"decode_ms", result.restore.decode_ms},
                {"put_ms", result.put_ms},
                {"recompute_ms", recompute_ms},
                {"restore_ms", result.total_ms}};
  }

  // Match decides: restore what is stored, compute the rest.
  Result<Json> Resume(const std::string& argument) {
    constexpr int64_t kLeaseMs = 60'000;
    REPRISE_RETURN_IF_ERROR(Forget().status());
    REPRISE_ASSIGN_OR_RETURN(const auto tokens, ReadText(argument));
    const Stopwatch watch;
    REPRISE_ASSIGN_OR_RETURN(
        const MatchResultInfo match,
        client_->Match(model_, tokens,
                       {.lowest = lowest_, .lease_ms = kLeaseMs}));
    // The logits after the last token are not stored: compute that one.
    const uint64_t usable = std::min<uint64_t>(match.tokens, tokens.size() - 1);
    Json json = {{"prompt_tokens", tokens.size()},
                 {"matched_tokens", match.tokens}};
    if (usable > 0) {
      REPRISE_ASSIGN_OR_RETURN(const Json restored,
                               Restore("", {.end_token = usable,
                                            .match = match.ticket,
                                            .tokens = tokens}));
      json.update(restored);
    }
    REPRISE_RETURN_IF_ERROR(Append(std::span(tokens).subspan(tokens_.size())));
    json["resume_ms"] = watch.Milliseconds();
    return json;
  }

  Result<Json> Fork(const std::string& argument) {
    REPRISE_ASSIGN_OR_RETURN(const auto names, SplitTwo(argument));
    REPRISE_ASSIGN_OR_RETURN(
        const SessionVersion version,
        client_->Fork(names.first, CommitId(), names.second));
    return Json{{"session", names.second}, {"commit", version.head.Hex()}};
  }

  Result<Json> Rewind(const std::string& argument) {
    REPRISE_ASSIGN_OR_RETURN(const auto names, SplitTwo(argument));
    REPRISE_ASSIGN_OR_RETURN(const CommitId commit,
                             IdFromHex<CommitId>(names.second));
    REPRISE_ASSIGN_OR_RETURN(const SessionVersion version,
                             client_->Rewind(names.first, commit));
    return Json{{"session", names.first}, {"commit", version.head.Hex()}};
  }

  Result<Json> Describe(const std::string& session) {
    REPRISE_ASSIGN_OR_RETURN(const SessionDetails details,
                             client_->Describe(session));
    return Json{{"session", session},
                {"stored_tokens", details.summary.tokens},
                {"commits", details.history.size()},
                {"raw_bytes", details.raw_bytes},
                {"values", details.values},
                {"frame_bytes", details.frame_bytes},
                {"record_bytes", details.record_bytes},
                {"profile_bytes", details.profile_bytes}};
  }

  Result<Json> Forget() {
    llama_memory_seq_rm(llama_get_memory(runner_->context()), 0, -1, -1);
    tokens_.clear();
    pending_.clear();
    basis_.clear();
    return Json::object();
  }

  Result<Json> Hold() {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return Json::object();
  }

 public:
  Json Position() const {
    const Client::Traffic traffic =
        client_ != nullptr ? client_->traffic() : Client::Traffic();
    return {{"tokens", tokens_.size()},
            {"pending", pending_},
            {"sent_bytes", traffic.sent_bytes},
            {"received_bytes", traffic.received_bytes}};
  }

 private:
  std::string codec_;
  Tier lowest_ = Tier::kExact;
  std::unique_ptr<LlamaRunner> runner_;
  LlamaCache cache_;
  std::unique_ptr<Client> client_;
  Model model_;
  std::vector<TokenId> tokens_;   // their KV is in the context
  std::vector<TokenId> pending_;  // chosen after them, not computed yet
  std::vector<TierRange> basis_;
};

// A text may end inside a character: such bytes are replaced.
void Print(const Json& json) {
  std::printf(
      "%s\n",
      json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

int RunSteps(const WorkerOptions& options) {
  const Stopwatch watch;
  auto worker = Worker::Make(options);
  if (!worker.ok()) {
    std::fprintf(stderr, "llama_worker: %s\n",
                 worker.status().ToString().c_str());
    return 1;
  }
  Print({{"step", "start"}, {"ms", watch.Milliseconds()}});
  for (const std::string& step : options.steps) {
    const size_t equals = step.find('=');
    const std::string name = step.substr(0, equals);
    const std::string argument =
        equals == std::string::npos ? "" : step.substr(equals + 1);
    Result<Json> result = (*worker)->Run(name, argument);
    if (!result.ok()) {
      std::fprintf(stderr, "llama_worker: %s: %s\n", step.c_str(),
                   result.status().ToString().c_str());
      return 1;
    }
    result->update((*worker)->Position());
    (*result)["step"] = name;
    Print(*result);
  }
  return 0;
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  reprise::WorkerOptions options;
  CLI::App app("llama.cpp as a worker that Reprise serves");
  app.footer(reprise::kSteps);
  app.add_option("--model", options.model, "GGUF file")->required();
  app.add_option("--daemon", options.daemon,
                 "where reprised listens: 127.0.0.1:7077 or unix:PATH");
  app.add_option("--token", options.token, "of the tenant");
  app.add_option("--codec", options.codec, "for what is saved")
      ->capture_default_str();
  app.add_option("--profile", options.profile,
                 "file with a profile of that codec, for the daemon");
  app.add_option("--lowest", options.lowest, "lowest tier that is restored")
      ->capture_default_str();
  app.add_option("--context", options.runner.context_tokens, "tokens of room")
      ->capture_default_str();
  app.add_option("--type-k", options.runner.type_k, "K cache: f16, q8_0, ...")
      ->capture_default_str();
  app.add_option("--type-v", options.runner.type_v, "V cache")
      ->capture_default_str();
  app.add_flag("--flash-attention,!--no-flash-attention",
               options.runner.flash_attention, "on unless negated");
  app.add_option("--threads", options.runner.threads,
                 "never more than there are free cores")
      ->capture_default_str();
  app.add_option("steps", options.steps, "see below")->required();
  CLI11_PARSE(app, argc, argv);
  return reprise::RunSteps(options);
}
