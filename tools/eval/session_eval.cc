#include "tools/eval/session_eval.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "tools/eval/judged_model.h"
#include "tools/eval/stored_state.h"

namespace reprise {
namespace {

// Room for the session's tokens and what a context rounds up to.
constexpr uint64_t kSpareTokens = 256;

QualityFigures OfOneWindow(std::vector<TokenScore> scores) {
  const std::vector<std::vector<TokenScore>> windows = {std::move(scores)};
  return Summarise(windows);
}

class SessionJudge {
 public:
  SessionJudge(const EvalOptions& options, const EvalObserver& observer)
      : options_(options), observer_(observer) {}

  Result<EvalRow> Run();

 private:
  Status Open();
  Result<StoredState> Restore(uint64_t end_token);
  Status Judge(const StoredState& restored, std::span<const TokenId> following,
               EvalRow* row);
  void Describe(EvalRow* row) const;

  const EvalOptions& options_;
  const EvalObserver& observer_;
  std::unique_ptr<Client> client_;
  SessionDetails details_;
  std::unique_ptr<JudgedModel> judged_;
  Model model_;
};

Status SessionJudge::Open() {
  REPRISE_ASSIGN_OR_RETURN(
      client_, ConnectJudge(options_.endpoints.front(), options_.token));
  REPRISE_ASSIGN_OR_RETURN(details_, client_->Describe(options_.session));
  const uint64_t tokens = details_.summary.tokens;
  if (tokens < uint64_t{options_.score} + 2) {
    return InvalidArgumentError(
        "eval: the session has " + std::to_string(tokens) + " tokens, " +
        std::to_string(options_.score) + " to score need " +
        std::to_string(options_.score + 2));
  }
  REPRISE_ASSIGN_OR_RETURN(LlamaModelPtr model, LoadLlamaModel(options_.model));
  JudgedModelOptions judged;
  judged.path = options_.model;
  judged.cache_type = options_.cache_type;
  judged.context_tokens = static_cast<uint32_t>(tokens + kSpareTokens);
  judged.scored_tokens = options_.score;
  judged.threads = options_.threads;
  REPRISE_ASSIGN_OR_RETURN(judged_, JudgedModel::Make(model, judged));
  REPRISE_ASSIGN_OR_RETURN(model_,
                           client_->RegisterModel(judged_->cache().spec));
  return Status();
}

Result<StoredState> SessionJudge::Restore(uint64_t end_token) {
  REPRISE_ASSIGN_OR_RETURN(
      StoredState stored, RestoreStored(client_.get(), model_, judged_->cache(),
                                        options_.session, end_token));
  if (stored.valid_tokens < stored.tokens.size()) {
    return DataLossError("eval: of " + std::to_string(stored.tokens.size()) +
                         " tokens those from " +
                         std::to_string(stored.valid_tokens) +
                         " on must be recomputed: nothing to judge");
  }
  return stored;
}

Status SessionJudge::Judge(const StoredState& restored,
                           std::span<const TokenId> following, EvalRow* row) {
  uint64_t done = 0;
  REPRISE_ASSIGN_OR_RETURN(
      const SequenceState state,
      judged_->Prefill(restored.tokens, [&](uint64_t tokens) {
        done += tokens;
        if (observer_.on_progress) {
          observer_.on_progress(done, details_.summary.tokens);
        }
      }));
  const auto scored = following.first(options_.score);
  REPRISE_ASSIGN_OR_RETURN(std::span<const float> logits,
                           judged_->Score(state, {}, scored));
  const ScoreReference reference(logits, judged_->vocabulary(),
                                 following.subspan(1, options_.score));
  REPRISE_ASSIGN_OR_RETURN(const SequenceState shuffled,
                           ShuffleCells(state, options_.seed));
  REPRISE_ASSIGN_OR_RETURN(logits, judged_->Score(shuffled, {}, scored));
  row->noise = OfOneWindow(reference.Compare(logits));
  REPRISE_ASSIGN_OR_RETURN(
      logits, judged_->Score(restored.state, restored.keep, scored));
  row->quality = OfOneWindow(reference.Compare(logits));
  return Status();
}

void SessionJudge::Describe(EvalRow* row) const {
  row->model = std::filesystem::path(options_.model).stem().string();
  row->weights = "as-is";
  row->cache_type = options_.cache_type;
  row->text = "the session";
  row->variant = row->codec = "stored";
  row->parameters = TiersText(details_);
  row->scored_tokens = options_.score;
  row->turn_tokens = options_.turn;
  row->seed = options_.seed;
  row->size.tokens = details_.summary.tokens;
  row->size.values = details_.values;
  row->size.frame_bytes = static_cast<double>(details_.frame_bytes);
  row->size.record_bytes = static_cast<double>(details_.record_bytes);
  row->size.profile_bytes = static_cast<double>(details_.profile_bytes);
}

Result<EvalRow> SessionJudge::Run() {
  REPRISE_RETURN_IF_ERROR(Open());
  // All of it for its tokens, then what is judged.
  REPRISE_ASSIGN_OR_RETURN(const StoredState all, Restore(UINT64_MAX));
  const uint64_t following = uint64_t{options_.score} + 1;
  if (all.tokens.size() < following + 1) {
    return DataLossError("eval: " + std::to_string(all.tokens.size()) +
                         " tokens came back, " + std::to_string(following + 1) +
                         " are wanted");
  }
  const uint64_t end = all.tokens.size() - following;
  REPRISE_ASSIGN_OR_RETURN(const StoredState restored, Restore(end));
  EvalRow row;
  row.prefix_tokens = static_cast<uint32_t>(end);
  Describe(&row);
  REPRISE_RETURN_IF_ERROR(
      Judge(restored, std::span(all.tokens).subspan(end), &row));
  return row;
}

}  // namespace

Result<EvalRow> RunSessionEval(const EvalOptions& options,
                               const EvalObserver& observer) {
  return SessionJudge(options, observer).Run();
}

}  // namespace reprise
