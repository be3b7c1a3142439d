// The judge itself. For each window of the text: prefill, take the state, code
// it in every way that is asked for, put each back and let the model go on
// over the tokens that follow, and compare with the untouched state put back
// in the same way.
#ifndef REPRISE_TOOLS_EVAL_EVAL_RUN_H_
#define REPRISE_TOOLS_EVAL_EVAL_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/eval/eval_options.h"
#include "tools/eval/eval_report.h"

namespace reprise {

// What a long run tells while it goes; either may be null.
struct EvalObserver {
  // Decoded tokens, of all that will be.
  std::function<void(uint64_t done, uint64_t total)> on_progress;
  // One line for the user: weights that are made, profiles that are trained.
  std::function<void(const std::string& line)> on_note;
};

// REQUIRES: CheckEvalOptions(options).ok(); no options.session.
Result<std::vector<EvalRow>> RunEval(const EvalOptions& options,
                                     const EvalObserver& observer);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_EVAL_RUN_H_
