// The judge of what a daemon has stored of a session: its state is restored
// up to some tokens before the end, at the best tier that is there, and judged
// on the session's own last tokens against a prefill of the same ones.
#ifndef REPRISE_TOOLS_EVAL_SESSION_EVAL_H_
#define REPRISE_TOOLS_EVAL_SESSION_EVAL_H_

#include "base/status.h"
#include "tools/eval/eval_options.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_run.h"

namespace reprise {

// The model's weights are taken as they are: the session is of that very file.
// Even an exact session may show the noise floor's KL: a token that was
// generated alone, or prefilled in another batch, has other last bits. Sizes
// are those of the whole session.
// kInvalidArgument for a session with too few tokens for options.score, with
// both numbers; kDataLoss when some of it must be recomputed; errors of
// Client::Restore, such as kFailedPrecondition for another model.
// REQUIRES: options.session is not empty, and options.endpoints is one.
Result<EvalRow> RunSessionEval(const EvalOptions& options,
                               const EvalObserver& observer);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_SESSION_EVAL_H_
