// The judge of sessions that sank: what daemons have stored of them is
// restored, the model goes on over a text that follows, and that is compared
// with the same sessions of a daemon that still has them exact.
#ifndef REPRISE_TOOLS_EVAL_FOLLOW_EVAL_H_
#define REPRISE_TOOLS_EVAL_FOLLOW_EVAL_H_

#include <vector>

#include "base/status.h"
#include "tools/eval/eval_options.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_run.h"

namespace reprise {

// A row an endpoint, in their order, named by it; a window a session of
// options.follow, on the first options.score tokens of its file. Sessions are
// restored whole, as a worker would: what is not stored any more (the tail of
// a session below `near`, or all of it) is computed from its tokens, after what
// is. An exact session shows a KL of exactly 0. The model's weights are taken
// as they are. Sizes are given where there is one session.
// kFailedPrecondition when the session of options.exact_endpoint is not exact,
// or has other tokens than an endpoint's; kInvalidArgument for a text that is
// too short, with both numbers; errors of Client::Restore.
// REQUIRES: CheckEvalOptions(options).ok(); options.follow is not empty.
Result<std::vector<EvalRow>> RunFollowEval(const EvalOptions& options,
                                           const EvalObserver& observer);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_FOLLOW_EVAL_H_
