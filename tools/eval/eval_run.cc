#include "tools/eval/eval_run.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/limits.h"
#include "tools/eval/judged_model.h"
#include "tools/eval/judged_windows.h"
#include "tools/eval/model_weights.h"
#include "tools/eval/profile_book.h"
#include "tools/eval/state_coder.h"
#include "tools/eval/window_coder.h"

namespace reprise {
namespace {

// Positions of training states: no longer than this, so that a long prefix
// does not make training slow.
constexpr uint64_t kTrainingWindow = 2048;

std::string FileName(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

// What one variant has shown on the windows so far.
struct Tally {
  std::vector<std::vector<TokenScore>> scores;  // one row a scored run
  StoredSize size;  // summed, but for tokens and values
  FallbackCount fallbacks;
  double encode_s = 0;
  double decode_s = 0;

  void Add(const CodedState& one) {
    size.tokens = one.size.tokens;
    size.values = one.size.values;
    size.frame_bytes += one.size.frame_bytes;
    size.record_bytes += one.size.record_bytes;
    size.profile_bytes += one.size.profile_bytes;
    fallbacks.units += one.fallbacks.units;
    fallbacks.fallbacks += one.fallbacks.fallbacks;
    encode_s += one.encode_s;
    decode_s += one.decode_s;
  }
};

// All that is done at one prefix length.
struct PlannedPrefix {
  uint32_t prefix = 0;
  std::vector<JudgedWindow> texts;
  std::vector<JudgedWindow> facts;
};

// By variant, and of the untouched state with its cells shuffled.
struct Tallies {
  std::vector<Tally> variants;
  Tally noise;
};

class Run {
 public:
  Run(const EvalOptions& options, const EvalObserver& observer)
      : options_(options), observer_(observer) {}

  Result<std::vector<EvalRow>> All();

 private:
  Status LoadModel();
  Result<std::vector<TokenId>> TokensOf(const std::string& path) const;
  Status PlanWindows();
  void PlanTokens();
  Status Train();
  Status FindProfiles();
  Status RunPrefix(const PlannedPrefix& plan);
  Status RunWindows(const std::vector<JudgedWindow>& windows, Tallies* tallies);
  Status RunWindow(const JudgedWindow& window, Tallies* tallies);
  Status Score(const JudgedWindow& window,
               std::span<const ScoreReference> references,
               const SequenceState& state, std::span<const uint8_t> keep,
               Tally* tally);
  // Those of a whole continuation, cut down to what is scored.
  std::span<const float> LogitsOf(const ScoredRun& run,
                                  std::span<const float> logits) const;
  EvalRow DescribedRow(const EvalVariant& variant, uint32_t prefix) const;
  void AddRows(uint32_t prefix, const Tallies& texts, const Tallies& facts);

  void CountTokens(uint64_t tokens) {
    done_ += tokens;
    if (observer_.on_progress) {
      observer_.on_progress(done_, std::max(done_, total_));
    }
  }
  void Note(const std::string& line) const {
    if (observer_.on_note) observer_.on_note(line);
  }

  const EvalOptions& options_;
  const EvalObserver& observer_;
  std::vector<EvalVariant> variants_;
  std::string model_path_;
  LlamaModelPtr model_;
  std::unique_ptr<JudgedModel> judged_;
  std::unique_ptr<StateCoder> coder_;
  std::unique_ptr<WindowCoder> windows_;
  std::unique_ptr<ProfileBook> book_;
  std::vector<const EvalProfile*> profiles_;  // by variant; null: none
  std::vector<TokenId> text_;
  uint64_t train_tokens_ = 0;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  std::vector<PlannedPrefix> plans_;
  std::vector<EvalRow> rows_;
};

Status Run::LoadModel() {
  REPRISE_ASSIGN_OR_RETURN(
      const ModelWeights weights,
      PrepareWeights(options_.model, options_.weights, options_.weights_folder,
                     options_.threads));
  if (weights.made) {
    Note("made " + options_.weights + " weights, kept as " + weights.path);
  }
  model_path_ = weights.path;
  REPRISE_ASSIGN_OR_RETURN(model_, LoadLlamaModel(model_path_));
  const uint32_t longest =
      *std::max_element(options_.prefixes.begin(), options_.prefixes.end());
  JudgedModelOptions judged;
  judged.path = model_path_;
  judged.cache_type = options_.cache_type;
  const uint32_t after = LongestContinuation(options_);
  judged.context_tokens = longest + after;
  judged.scored_tokens = after;
  judged.threads = options_.threads;
  REPRISE_ASSIGN_OR_RETURN(judged_, JudgedModel::Make(model_, judged));
  coder_ = std::make_unique<StateCoder>(judged_->cache().spec);
  windows_ = std::make_unique<WindowCoder>(
      model_, judged_.get(), coder_.get(),
      [this](uint64_t tokens) { CountTokens(tokens); });
  return Status();
}

Result<std::vector<TokenId>> Run::TokensOf(const std::string& path) const {
  REPRISE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  return judged_->runner().Tokenize(text);
}

Status Run::PlanWindows() {
  for (const uint32_t prefix : options_.prefixes) {
    PlannedPrefix plan;
    plan.prefix = prefix;
    REPRISE_ASSIGN_OR_RETURN(plan.texts, TextWindows(text_, prefix, options_));
    REPRISE_ASSIGN_OR_RETURN(
        plan.facts, FactWindows(judged_->runner(), text_, prefix, options_));
    plans_.push_back(std::move(plan));
  }
  return Status();
}

void Run::PlanTokens() {
  bool measures_attention = false;
  for (const EvalVariant& variant : variants_) {
    measures_attention |= variant.needs_attention();
  }
  total_ = train_tokens_;
  const auto add = [&](const JudgedWindow& window) {
    total_ += window.prefix.size() * (measures_attention ? 2 : 1);
    // The reference and the shuffled cells are scored too.
    total_ += (variants_.size() + 2) * window.continuation.size();
  };
  for (const PlannedPrefix& plan : plans_) {
    std::for_each(plan.texts.begin(), plan.texts.end(), add);
    std::for_each(plan.facts.begin(), plan.facts.end(), add);
  }
}

Status Run::Train() {
  REPRISE_ASSIGN_OR_RETURN(auto files, ProfileFilesOf(options_));
  book_ = std::make_unique<ProfileBook>(coder_.get(), std::move(files));
  uint64_t wanted = 0;
  if (!options_.train_text.empty()) {
    REPRISE_ASSIGN_OR_RETURN(wanted, book_->WantedTokens(variants_));
  }
  train_tokens_ = std::min(wanted, options_.train_tokens);
  PlanTokens();
  if (train_tokens_ == 0) return FindProfiles();
  REPRISE_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens,
                           TokensOf(options_.train_text));
  if (tokens.size() < train_tokens_) {
    Note("the training text has " + std::to_string(tokens.size()) +
         " tokens, wanted are " + std::to_string(train_tokens_));
    train_tokens_ = tokens.size();
  }
  const uint64_t longest = std::min<uint64_t>(
      *std::max_element(options_.prefixes.begin(), options_.prefixes.end()),
      kTrainingWindow);
  // Whole segments, so that each state goes on where the last one ended.
  const uint64_t step = std::max<uint64_t>(
      kSegmentTokens, longest / kSegmentTokens * kSegmentTokens);
  std::vector<SequenceState> states;
  for (uint64_t first = 0; first < train_tokens_; first += step) {
    const uint64_t count = std::min(step, train_tokens_ - first);
    REPRISE_ASSIGN_OR_RETURN(
        SequenceState state,
        judged_->Prefill(std::span(tokens).subspan(first, count),
                         [this](uint64_t n) { CountTokens(n); }));
    states.push_back(std::move(state));
  }
  for (const SequenceState& state : states) {
    REPRISE_ASSIGN_OR_RETURN(const KvView view, state.View(coder_->spec()));
    book_->AddTrainingState(view);
  }
  Note("profiles are trained on " + std::to_string(train_tokens_) +
       " tokens of " + FileName(options_.train_text));
  return FindProfiles();
}

Status Run::FindProfiles() {
  // "Every codec" is every one that can be had; a codec that was named must be.
  const bool may_skip = options_.codecs.empty();
  std::vector<EvalVariant> served;
  std::string skipped;
  for (EvalVariant& variant : variants_) {
    if (!skipped.empty() && variant.choice_text == skipped) continue;
    const auto profile = book_->Find(variant, nullptr);
    if (profile.ok()) {
      profiles_.push_back(*profile);
      served.push_back(std::move(variant));
      continue;
    }
    if (!may_skip || !profile.status().Is(StatusCode::kFailedPrecondition)) {
      return profile.status();
    }
    skipped = variant.choice_text;
    Note("skips " + skipped + ": " + std::string(profile.status().message()));
  }
  variants_ = std::move(served);
  PlanTokens();
  return Status();
}

std::span<const float> Run::LogitsOf(const ScoredRun& run,
                                     std::span<const float> logits) const {
  const size_t vocabulary = judged_->vocabulary();
  return logits.subspan(run.first * vocabulary, run.next.size() * vocabulary);
}

Status Run::Score(const JudgedWindow& window,
                  std::span<const ScoreReference> references,
                  const SequenceState& state, std::span<const uint8_t> keep,
                  Tally* tally) {
  REPRISE_RETURN_IF_ERROR(judged_->Put(state, keep));
  REPRISE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           judged_->Continue(window.continuation));
  for (size_t i = 0; i < references.size(); ++i) {
    tally->scores.push_back(
        references[i].Compare(LogitsOf(window.scored[i], logits)));
  }
  CountTokens(window.continuation.size());
  return Status();
}

Status Run::RunWindow(const JudgedWindow& window, Tallies* tallies) {
  REPRISE_RETURN_IF_ERROR(windows_->Begin(window.prefix, window.seed));
  const SequenceState& state = windows_->state();
  REPRISE_RETURN_IF_ERROR(judged_->Put(state, {}));
  REPRISE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           judged_->Continue(window.continuation));
  std::vector<ScoreReference> references;
  for (const ScoredRun& run : window.scored) {
    references.emplace_back(LogitsOf(run, logits), judged_->vocabulary(),
                            run.next);
  }
  CountTokens(window.continuation.size());
  REPRISE_ASSIGN_OR_RETURN(const SequenceState shuffled,
                           ShuffleCells(state, window.seed));
  REPRISE_RETURN_IF_ERROR(
      Score(window, references, shuffled, {}, &tallies->noise));
  for (size_t i = 0; i < variants_.size(); ++i) {
    const auto changed = windows_->Change(variants_[i], profiles_[i]);
    if (!changed.ok()) return changed.status().WithContext(variants_[i].text);
    Tally* const tally = &tallies->variants[i];
    tally->Add(changed->coded);
    REPRISE_RETURN_IF_ERROR(
        Score(window, references, changed->state, changed->keep, tally));
  }
  return Status();
}

Status Run::RunWindows(const std::vector<JudgedWindow>& windows,
                       Tallies* tallies) {
  tallies->variants.resize(variants_.size());
  for (const JudgedWindow& window : windows) {
    REPRISE_RETURN_IF_ERROR(RunWindow(window, tallies));
  }
  return Status();
}

Status Run::RunPrefix(const PlannedPrefix& plan) {
  Tallies texts, facts;
  REPRISE_RETURN_IF_ERROR(RunWindows(plan.texts, &texts));
  REPRISE_RETURN_IF_ERROR(RunWindows(plan.facts, &facts));
  AddRows(plan.prefix, texts, facts);
  return Status();
}

EvalRow Run::DescribedRow(const EvalVariant& variant, uint32_t prefix) const {
  EvalRow row;
  row.model = std::filesystem::path(options_.model).stem().string();
  row.weights = options_.weights;
  row.cache_type = options_.cache_type;
  row.text = FileName(options_.text);
  row.variant = variant.text;
  row.codec = variant.codec;
  row.parameters = variant.parameters;
  row.prefix_tokens = prefix;
  row.scored_tokens = options_.score;
  row.turn_tokens = options_.turn;
  row.seed = options_.seed;
  return row;
}

void Run::AddRows(uint32_t prefix, const Tallies& texts, const Tallies& facts) {
  const auto windows = static_cast<double>(options_.windows);
  for (size_t i = 0; i < variants_.size(); ++i) {
    const Tally& tally = texts.variants[i];
    EvalRow row = DescribedRow(variants_[i], prefix);
    row.quality = Summarise(tally.scores);
    row.noise = Summarise(texts.noise.scores);
    row.retrieval = SummariseFacts(facts.variants[i].scores, options_.facts);
    row.retrieval_noise = SummariseFacts(facts.noise.scores, options_.facts);
    row.fallbacks = tally.fallbacks;
    row.size = tally.size;
    row.size.frame_bytes /= windows;
    row.size.record_bytes /= windows;
    row.size.profile_bytes /= windows;
    row.encode_s = tally.encode_s / windows;
    row.decode_s = tally.decode_s / windows;
    rows_.push_back(std::move(row));
  }
}

Result<std::vector<EvalRow>> Run::All() {
  REPRISE_ASSIGN_OR_RETURN(variants_, VariantsOf(options_));
  REPRISE_RETURN_IF_ERROR(LoadModel());
  REPRISE_ASSIGN_OR_RETURN(text_, TokensOf(options_.text));
  REPRISE_RETURN_IF_ERROR(PlanWindows());
  REPRISE_RETURN_IF_ERROR(Train());
  for (const PlannedPrefix& plan : plans_) {
    REPRISE_RETURN_IF_ERROR(RunPrefix(plan));
  }
  return std::move(rows_);
}

}  // namespace

Result<std::vector<EvalRow>> RunEval(const EvalOptions& options,
                                     const EvalObserver& observer) {
  return Run(options, observer).All();
}

}  // namespace reprise
