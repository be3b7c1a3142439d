#include "tools/eval/eval_run.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/limits.h"
#include "tools/eval/attention_mass.h"
#include "tools/eval/importance.h"
#include "tools/eval/judged_model.h"
#include "tools/eval/llama_anchor.h"
#include "tools/eval/model_weights.h"
#include "tools/eval/plane_rows.h"
#include "tools/eval/profile_book.h"
#include "tools/eval/state_coder.h"
#include "tools/eval/text_windows.h"

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
  std::vector<std::vector<TokenScore>> windows;
  StoredSize size;  // summed, but for tokens and values
  FallbackCount fallbacks;
  double encode_s = 0;
  double decode_s = 0;

  void AddSize(const StoredSize& one) {
    size.tokens = one.tokens;
    size.values = one.values;
    size.frame_bytes += one.frame_bytes;
    size.record_bytes += one.record_bytes;
    size.profile_bytes += one.profile_bytes;
  }
};

// One window while it is judged.
struct Window {
  std::span<const TokenId> prefix;
  std::span<const TokenId> scored;
  KvView view;
  const ScoreReference* reference = nullptr;
  uint64_t seed = 0;
  AttentionMass attention;  // measured when first asked for
};

class Run {
 public:
  Run(const EvalOptions& options, const EvalObserver& observer)
      : options_(options), observer_(observer) {}

  Result<std::vector<EvalRow>> All();

 private:
  Status LoadModel();
  Result<std::vector<TokenId>> TokensOf(const std::string& path) const;
  Status CheckWindows() const;
  Status Train();
  Status FindProfiles();
  Status RunPrefix(uint32_t prefix);
  Status RunWindow(Window* window);
  Status RunVariant(Window* window, size_t index);
  Result<std::vector<uint8_t>> Kept(Window* window, const EvalVariant& variant);
  Status MeasureAttention(Window* window);
  Result<std::vector<double>> Scores(Window* window, Importance by);
  Status Score(const Window& window, const SequenceState& state,
               std::span<const uint8_t> keep, Tally* tally);
  void AddRows(uint32_t prefix);

  uint64_t window_tokens(uint32_t prefix) const {
    return uint64_t{prefix} + options_.score + 1;
  }
  void CountTokens(uint64_t tokens) {
    done_ += tokens;
    if (observer_.on_progress) {
      observer_.on_progress(done_, std::max(done_, total_));
    }
  }
  void PlanTokens();
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
  std::unique_ptr<ProfileBook> book_;
  std::vector<const EvalProfile*> profiles_;  // by variant; null: none
  std::vector<TokenId> text_;
  uint64_t train_tokens_ = 0;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  // Of the prefix length under way.
  std::vector<Tally> tallies_;
  Tally noise_;
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
  judged.context_tokens = longest + options_.score;
  judged.scored_tokens = options_.score;
  judged.threads = options_.threads;
  REPRISE_ASSIGN_OR_RETURN(judged_, JudgedModel::Make(model_, judged));
  coder_ = std::make_unique<StateCoder>(judged_->cache().spec);
  return Status();
}

Result<std::vector<TokenId>> Run::TokensOf(const std::string& path) const {
  REPRISE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  return judged_->runner().Tokenize(text);
}

Status Run::CheckWindows() const {
  for (const uint32_t prefix : options_.prefixes) {
    REPRISE_RETURN_IF_ERROR(ChooseWindows(text_.size(), window_tokens(prefix),
                                          options_.windows, options_.seed)
                                .status());
  }
  return Status();
}

void Run::PlanTokens() {
  bool measures_attention = false;
  for (const EvalVariant& variant : variants_) {
    measures_attention |= variant.needs_attention();
  }
  total_ = train_tokens_;
  // The reference and the shuffled cells are scored too.
  const uint64_t scores = (variants_.size() + 2) * uint64_t{options_.score};
  for (const uint32_t prefix : options_.prefixes) {
    total_ += options_.windows *
              (uint64_t{prefix} * (measures_attention ? 2 : 1) + scores);
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
  for (const EvalVariant& variant : variants_) {
    REPRISE_ASSIGN_OR_RETURN(const EvalProfile* const profile,
                             book_->Find(variant, nullptr));
    profiles_.push_back(profile);
  }
  return Status();
}

Status Run::MeasureAttention(Window* window) {
  if (!window->attention.all.empty()) return Status();
  REPRISE_ASSIGN_OR_RETURN(
      window->attention,
      MeasureAttentionMass(model_, judged_->runner_options(), window->prefix));
  CountTokens(window->prefix.size());
  return Status();
}

Result<std::vector<double>> Run::Scores(Window* window, Importance by) {
  if (by == Importance::kAttentionMass || by == Importance::kRecentAttention) {
    REPRISE_RETURN_IF_ERROR(MeasureAttention(window));
    return by == Importance::kAttentionMass ? window->attention.all
                                            : window->attention.recent;
  }
  std::vector<double> scores(window->prefix.size());
  if (by == Importance::kRandom) {
    const auto order =
        ShuffledOrder(static_cast<uint32_t>(scores.size()), window->seed + 1);
    std::copy(order.begin(), order.end(), scores.begin());
    return scores;
  }
  const PlaneRole role =
      by == Importance::kKeyNorm ? PlaneRole::kKey : PlaneRole::kValue;
  const double sign = by == Importance::kKeyNorm ? -1 : 1;
  REPRISE_RETURN_IF_ERROR(VisitRows(
      coder_->spec(), window->view, nullptr,
      [&](const PlaneSlice& slice, uint64_t token, std::span<float> row) {
        if (slice.spec->role != role) return;
        double squares = 0;
        for (const float value : row) squares += double{value} * value;
        scores[token] += sign * std::sqrt(squares);
      }));
  return scores;
}

Result<std::vector<uint8_t>> Run::Kept(Window* window,
                                       const EvalVariant& variant) {
  if (!variant.evicts()) return std::vector<uint8_t>();
  REPRISE_ASSIGN_OR_RETURN(const std::vector<double> scores,
                           Scores(window, variant.by));
  return ChooseKept(scores, variant.keep);
}

Status Run::Score(const Window& window, const SequenceState& state,
                  std::span<const uint8_t> keep, Tally* tally) {
  REPRISE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           judged_->Score(state, keep, window.scored));
  tally->windows.push_back(window.reference->Compare(logits));
  CountTokens(window.scored.size());
  return Status();
}

Status Run::RunVariant(Window* window, size_t index) {
  const EvalVariant& variant = variants_[index];
  Tally* const tally = &tallies_[index];
  const uint64_t tokens = window->prefix.size();
  REPRISE_ASSIGN_OR_RETURN(SequenceState changed,
                           EmptySequence(judged_->cache(), 0, tokens));
  REPRISE_ASSIGN_OR_RETURN(const KvSink sink, changed.Sink(coder_->spec()));
  if (!variant.llama_type.empty()) {
    REPRISE_ASSIGN_OR_RETURN(
        const StoredSize size,
        RoundLikeLlama(variant.llama_type, coder_->spec(), window->view, sink));
    tally->AddSize(size);
    return Score(*window, changed, {}, tally);
  }
  REPRISE_ASSIGN_OR_RETURN(const std::vector<uint8_t> keep,
                           Kept(window, variant));
  CodeRequest request;
  request.tokens = window->prefix;
  request.view = &window->view;
  request.sink = &sink;
  request.choice = &variant.choice;
  request.profile = profiles_[index];
  request.keep = keep;
  REPRISE_ASSIGN_OR_RETURN(const CodedState coded, coder_->Code(request));
  tally->AddSize(coded.size);
  tally->fallbacks.units += coded.fallbacks.units;
  tally->fallbacks.fallbacks += coded.fallbacks.fallbacks;
  tally->encode_s += coded.encode_s;
  tally->decode_s += coded.decode_s;
  return Score(*window, changed, keep, tally);
}

Status Run::RunWindow(Window* window) {
  REPRISE_ASSIGN_OR_RETURN(
      const SequenceState state,
      judged_->Prefill(window->prefix, [this](uint64_t n) { CountTokens(n); }));
  REPRISE_ASSIGN_OR_RETURN(window->view, state.View(coder_->spec()));
  REPRISE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           judged_->Score(state, {}, window->scored));
  CountTokens(window->scored.size());
  // The tokens that do follow: those scored, but the first, and one more.
  const std::span<const TokenId> next(window->scored.data() + 1,
                                      window->scored.size());
  const ScoreReference reference(logits, judged_->vocabulary(), next);
  window->reference = &reference;
  REPRISE_ASSIGN_OR_RETURN(const SequenceState shuffled,
                           ShuffleCells(state, window->seed));
  REPRISE_RETURN_IF_ERROR(Score(*window, shuffled, {}, &noise_));
  for (size_t i = 0; i < variants_.size(); ++i) {
    const Status status = RunVariant(window, i);
    if (!status.ok()) return status.WithContext(variants_[i].text);
  }
  return Status();
}

Status Run::RunPrefix(uint32_t prefix) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<uint64_t> starts,
                           ChooseWindows(text_.size(), window_tokens(prefix),
                                         options_.windows, options_.seed));
  tallies_.assign(variants_.size(), {});
  noise_ = {};
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto tokens = std::span<const TokenId>(text_).subspan(
        starts[i], window_tokens(prefix));
    Window window;
    window.prefix = tokens.first(prefix);
    window.scored = tokens.subspan(prefix, options_.score);
    window.seed = options_.seed * 1'000'003 + i;
    REPRISE_RETURN_IF_ERROR(RunWindow(&window));
  }
  AddRows(prefix);
  return Status();
}

void Run::AddRows(uint32_t prefix) {
  const auto windows = static_cast<double>(options_.windows);
  for (size_t i = 0; i < variants_.size(); ++i) {
    const Tally& tally = tallies_[i];
    EvalRow row;
    row.model = std::filesystem::path(options_.model).stem().string();
    row.weights = options_.weights;
    row.cache_type = options_.cache_type;
    row.text = FileName(options_.text);
    row.variant = variants_[i].text;
    row.codec = variants_[i].codec;
    row.parameters = variants_[i].parameters;
    row.prefix_tokens = prefix;
    row.scored_tokens = options_.score;
    row.turn_tokens = options_.turn;
    row.seed = options_.seed;
    row.quality = Summarise(tally.windows);
    row.noise = Summarise(noise_.windows);
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
  REPRISE_RETURN_IF_ERROR(CheckWindows());
  REPRISE_RETURN_IF_ERROR(Train());
  for (const uint32_t prefix : options_.prefixes) {
    REPRISE_RETURN_IF_ERROR(RunPrefix(prefix));
  }
  return std::move(rows_);
}

}  // namespace

Result<std::vector<EvalRow>> RunEval(const EvalOptions& options,
                                     const EvalObserver& observer) {
  return Run(options, observer).All();
}

}  // namespace reprise
