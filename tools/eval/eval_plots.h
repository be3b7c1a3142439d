// The judge's rows as plots.
#ifndef REPRISE_TOOLS_EVAL_EVAL_PLOTS_H_
#define REPRISE_TOOLS_EVAL_EVAL_PLOTS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tools/eval/eval_report.h"

namespace reprise {

// rate-MODEL-PREFIX.svg: bits a value against mean KL; ratio-MODEL.svg: both
// ratios against the prefix length, where there are two lengths or more;
// retrieval-MODEL-PREFIX.svg: bits a value against the share of planted facts
// that is kept, where facts were planted. MODEL has weights and cache type
// too. All into `folder`, which is made. Returns the files' names.
// kUnavailable when a file can't be written.
Result<std::vector<std::string>> WritePlots(std::span<const EvalRow> rows,
                                            const std::string& folder);

// A file's name of a text: letters, digits, '.' and '-', the rest as '-'.
std::string FileSafe(std::string_view text);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_EVAL_PLOTS_H_
