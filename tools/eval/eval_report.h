// The judge's results: one row a model, prefix length and variant, as a table,
// as JSON and as plots.
#ifndef REPRISE_TOOLS_EVAL_EVAL_REPORT_H_
#define REPRISE_TOOLS_EVAL_EVAL_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tools/eval/fallback_count.h"
#include "tools/eval/kl_score.h"
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
  // Sizes and times of the windows' mean; tokens 0: nothing is stored.
  StoredSize size;
  FallbackCount fallbacks;  // of all windows
  double encode_s = 0;
  double decode_s = 0;
};

// Ratios and rates are null for rows without a size, errors over windows for
// a single window.
nlohmann::json RowJson(const EvalRow& row);

// For a terminal; the noise floor is the last line of each prefix length.
std::string RowsTable(std::span<const EvalRow> rows);

// rate-MODEL-PREFIX.svg: bits a value against mean KL; ratio-MODEL.svg: both
// ratios against the prefix length, where there are two lengths or more. MODEL
// has weights and cache type too. Both into `folder`, which is made. Returns
// the files' names.
// kUnavailable when a file can't be written.
Result<std::vector<std::string>> WritePlots(std::span<const EvalRow> rows,
                                            const std::string& folder);

// A file's name of a text: letters, digits, '.' and '-', the rest as '-'.
std::string FileSafe(std::string_view text);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_EVAL_REPORT_H_
