#include "tools/eval/follow_eval.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "client/client.h"
#include "tools/eval/judged_model.h"
#include "tools/eval/stored_state.h"

namespace reprise {
namespace {

// What a context rounds up to.
constexpr uint64_t kSpareTokens = 256;

struct Followed {
  std::string session;
  std::vector<TokenId> following;  // one more than are scored
  SessionDetails exact;
};

class FollowJudge {
 public:
  FollowJudge(const EvalOptions& options, const EvalObserver& observer)
      : options_(options), observer_(observer) {}

  Result<std::vector<EvalRow>> Run();

 private:
  using Scores = std::vector<std::vector<TokenScore>>;  // by session
  struct Endpoint {
    std::unique_ptr<Client> client;
    Model model;
    Scores scores;
    double decode_ms = 0;
    SessionDetails details;  // of the last session
  };

  Status Open();
  Status OpenModel();
  Status ReadText(const std::string& file, Followed* followed) const;
  Status Judge(const Followed& followed);
  Status JudgeOne(const Followed& followed, const StoredState& exact,
                  const ScoreReference& reference, Endpoint* endpoint);
  EvalRow RowOf(const std::string& name, const Endpoint& endpoint) const;
  void Count(uint64_t tokens);

  const EvalOptions& options_;
  const EvalObserver& observer_;
  Endpoint exact_;
  std::vector<Endpoint> endpoints_;
  std::vector<Followed> followed_;
  std::unique_ptr<JudgedModel> judged_;
  Scores noise_;
  uint64_t done_ = 0;
};

void FollowJudge::Count(uint64_t tokens) {
  done_ += tokens;
  if (!observer_.on_progress) return;
  const uint64_t passes = 2 + endpoints_.size();
  observer_.on_progress(done_, passes * followed_.size() * options_.score);
}

Status FollowJudge::Open() {
  REPRISE_ASSIGN_OR_RETURN(
      exact_.client, ConnectJudge(options_.exact_endpoint, options_.token));
  REPRISE_ASSIGN_OR_RETURN(const auto pairs, FollowedOf(options_));
  for (const auto& [session, file] : pairs) {
    followed_.push_back({session, {}, {}});
    REPRISE_ASSIGN_OR_RETURN(followed_.back().exact,
                             exact_.client->Describe(session));
  }
  REPRISE_RETURN_IF_ERROR(OpenModel());
  for (size_t i = 0; i < pairs.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(ReadText(pairs[i].second, &followed_[i]));
  }
  const ModelSpec& spec = judged_->cache().spec;
  REPRISE_ASSIGN_OR_RETURN(exact_.model, exact_.client->RegisterModel(spec));
  for (const std::string& name : options_.endpoints) {
    Endpoint endpoint;
    REPRISE_ASSIGN_OR_RETURN(endpoint.client,
                             ConnectJudge(name, options_.token));
    REPRISE_ASSIGN_OR_RETURN(endpoint.model,
                             endpoint.client->RegisterModel(spec));
    endpoints_.push_back(std::move(endpoint));
  }
  return Status();
}

Status FollowJudge::OpenModel() {
  uint64_t most_tokens = 0;
  for (const Followed& each : followed_) {
    most_tokens = std::max(most_tokens, each.exact.summary.tokens);
  }
  REPRISE_ASSIGN_OR_RETURN(LlamaModelPtr model, LoadLlamaModel(options_.model));
  JudgedModelOptions judged;
  judged.path = options_.model;
  judged.cache_type = options_.cache_type;
  judged.context_tokens =
      static_cast<uint32_t>(most_tokens + options_.score + kSpareTokens);
  judged.scored_tokens = options_.score;
  judged.threads = options_.threads;
  REPRISE_ASSIGN_OR_RETURN(judged_, JudgedModel::Make(model, judged));
  return Status();
}

Status FollowJudge::ReadText(const std::string& file,
                             Followed* followed) const {
  REPRISE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file));
  REPRISE_ASSIGN_OR_RETURN(followed->following, judged_->runner().Tokenize(
                                                    text, /*at_start=*/false));
  const size_t wanted = size_t{options_.score} + 1;
  if (followed->following.size() < wanted) {
    return InvalidArgumentError("eval: " + file + " has " +
                                std::to_string(followed->following.size()) +
                                " tokens, " + std::to_string(options_.score) +
                                " to score need " + std::to_string(wanted));
  }
  followed->following.resize(wanted);
  return Status();
}

bool IsExact(const StoredState& state) {
  return state.valid_tokens == state.tokens.size() &&
         std::all_of(state.ranges.begin(), state.ranges.end(),
                     [](const TierRange& range) {
                       return range.tier == Tier::kExact &&
                              range.basis == Tier::kExact;
                     });
}

Status FollowJudge::Judge(const Followed& followed) {
  REPRISE_ASSIGN_OR_RETURN(
      const StoredState exact,
      RestoreStored(exact_.client.get(), exact_.model, judged_->cache(),
                    followed.session, UINT64_MAX));
  if (!IsExact(exact)) {
    return FailedPreconditionError(
        "eval: the session that --exact has is not exact: " +
        std::to_string(exact.valid_tokens) + " of " +
        std::to_string(exact.tokens.size()) + " tokens are stored, segments " +
        TiersText(followed.exact));
  }
  const std::span following(followed.following);
  const auto scored = following.first(options_.score);
  REPRISE_ASSIGN_OR_RETURN(std::span<const float> logits,
                           judged_->Score(exact.state, {}, scored));
  const ScoreReference reference(logits, judged_->vocabulary(),
                                 following.subspan(1));
  Count(options_.score);
  REPRISE_ASSIGN_OR_RETURN(const SequenceState shuffled,
                           ShuffleCells(exact.state, options_.seed));
  REPRISE_ASSIGN_OR_RETURN(logits, judged_->Score(shuffled, {}, scored));
  noise_.push_back(reference.Compare(logits));
  Count(options_.score);
  for (Endpoint& endpoint : endpoints_) {
    REPRISE_RETURN_IF_ERROR(JudgeOne(followed, exact, reference, &endpoint));
  }
  return Status();
}

Status FollowJudge::JudgeOne(const Followed& followed, const StoredState& exact,
                             const ScoreReference& reference,
                             Endpoint* endpoint) {
  REPRISE_ASSIGN_OR_RETURN(endpoint->details,
                           endpoint->client->Describe(followed.session));
  REPRISE_ASSIGN_OR_RETURN(
      const StoredState stored,
      RestoreStored(endpoint->client.get(), endpoint->model, judged_->cache(),
                    followed.session, UINT64_MAX));
  if (stored.tokens != exact.tokens) {
    return FailedPreconditionError(
        "eval: the exact session has other tokens than the one it is to be "
        "compared with, " +
        std::to_string(exact.tokens.size()) + " and " +
        std::to_string(stored.tokens.size()));
  }
  endpoint->decode_ms += stored.decode_ms;
  REPRISE_RETURN_IF_ERROR(judged_->Put(stored.state, stored.keep));
  const uint64_t valid = stored.valid_tokens;
  if (valid < stored.tokens.size()) {
    REPRISE_RETURN_IF_ERROR(
        judged_->Recompute(valid, std::span(stored.tokens).subspan(valid)));
  }
  const auto scored = std::span(followed.following).first(options_.score);
  REPRISE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           judged_->Continue(scored));
  endpoint->scores.push_back(reference.Compare(logits));
  Count(options_.score);
  return Status();
}

EvalRow FollowJudge::RowOf(const std::string& name,
                           const Endpoint& endpoint) const {
  EvalRow row;
  row.model = std::filesystem::path(options_.model).stem().string();
  row.weights = "as-is";
  row.cache_type = options_.cache_type;
  row.text = "stored sessions";
  row.variant = name;
  row.codec = "stored";
  row.scored_tokens = options_.score;
  row.turn_tokens = options_.turn;
  row.seed = options_.seed;
  uint64_t tokens = 0;
  for (const Followed& each : followed_) tokens += each.exact.summary.tokens;
  row.prefix_tokens = static_cast<uint32_t>(tokens / followed_.size());
  row.quality = Summarise(endpoint.scores);
  row.noise = Summarise(noise_);
  row.decode_s =
      endpoint.decode_ms / 1000 / static_cast<double>(followed_.size());
  if (followed_.size() > 1) return row;
  const SessionDetails& details = endpoint.details;
  row.parameters = TiersText(details);
  row.size.tokens = details.summary.tokens;
  row.size.values = details.values;
  row.size.frame_bytes = static_cast<double>(details.frame_bytes);
  row.size.record_bytes = static_cast<double>(details.record_bytes);
  row.size.profile_bytes = static_cast<double>(details.profile_bytes);
  return row;
}

Result<std::vector<EvalRow>> FollowJudge::Run() {
  REPRISE_RETURN_IF_ERROR(Open());
  for (const Followed& each : followed_) REPRISE_RETURN_IF_ERROR(Judge(each));
  std::vector<EvalRow> rows;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    rows.push_back(RowOf(options_.endpoints[i], endpoints_[i]));
  }
  return rows;
}

}  // namespace

Result<std::vector<EvalRow>> RunFollowEval(const EvalOptions& options,
                                           const EvalObserver& observer) {
  return FollowJudge(options, observer).Run();
}

}  // namespace reprise
