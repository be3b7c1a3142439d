// The judge's results: one row a model, prefix length and variant, as tables
// and as JSON; eval_plots.h draws them.
#ifndef REPRISE_TOOLS_EVAL_EVAL_REPORT_H_
#define REPRISE_TOOLS_EVAL_EVAL_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/eval/fallback_count.h"
#include "tools/eval/kl_score.h"
#include "tools/eval/rate_at_kl.h"
#include "tools/eval/retrieval_score.h"
#include "tools/eval/state_ratios.h"

namespace reprise {

struct EvalRow {
  std::string model;       // the file's name
  std::string weights;     // "f32", "as-is", "q8_0", ...
  std::string cache_type;  // "f16", ...
  std::string text;        // file's name of what was judged
  std::string variant;     // as it was named
  std::string codec;
  std::string parameters;
  uint32_t prefix_tokens = 0;
  uint32_t scored_tokens = 0;  // a window
  uint32_t turn_tokens = 0;    // of the second history ratio
  uint64_t seed = 0;
  QualityFigures quality;
  // The same values with their cells shuffled: what rounding alone costs.
  QualityFigures noise;
  // Planted facts, and the same of the shuffled cells; no facts: not asked.
  RetrievalFigures retrieval;
  RetrievalFigures retrieval_noise;
  // Sizes and times of the windows' mean; tokens 0: nothing is stored.
  StoredSize size;
  FallbackCount fallbacks;  // of all windows
  double encode_s = 0;
  double decode_s = 0;
};

// Rows of one model and prefix length, and of one model, stand together.
std::vector<std::span<const EvalRow>> BlocksOf(std::span<const EvalRow> rows);
std::vector<std::span<const EvalRow>> ModelsOf(std::span<const EvalRow> rows);

// One curve: what the rows of a codec in a block say of its rates at the
// divergences of kReportedKl.
struct RateCurve {
  std::string codec;
  std::vector<std::optional<double>> bpv_at_kl;  // one a divergence
};
// Of each codec with two useful points or more (RateFrontier), in the order in
// which they come. llama.cpp's cache types are one codec here, "llama".
std::vector<RateCurve> CurvesOf(std::span<const EvalRow> block);

// An array with an object a row. Ratios and rates are null for rows without a
// size, errors over windows for a single window, figures of retrieval where no
// facts were planted, bpv_at_kl for a codec without a curve.
nlohmann::json RowsJson(std::span<const EvalRow> rows);

// For a terminal: for each model and prefix length a table with the noise
// floor as its last line, one of planted facts and one of rates at equal KL,
// where there is something to show.
std::string RowsTable(std::span<const EvalRow> rows);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_EVAL_REPORT_H_
