// reprise-eval, which `reprise eval` runs: what codecs cost in quality on a
// real model, and what they save.
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/eval/eval_options.h"
#include "tools/eval/eval_plots.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_run.h"
#include "tools/eval/follow_eval.h"
#include "tools/eval/model_weights.h"
#include "tools/eval/session_eval.h"
#include "tools/progress.h"

namespace reprise {
namespace {

Status WriteResults(const EvalOptions& options,
                    const std::vector<EvalRow>& rows) {
  std::fputs(RowsTable(rows).c_str(), stdout);
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << RowsJson(rows).dump(1) << "\n";
    file.close();
    if (!file) return UnavailableError("eval: can't write " + options.json);
  }
  if (options.plots.empty()) return Status();
  REPRISE_ASSIGN_OR_RETURN(const auto plots, WritePlots(rows, options.plots));
  for (const std::string& name : plots) {
    std::printf("plot: %s/%s\n", options.plots.c_str(), name.c_str());
  }
  return Status();
}

Status Main(const EvalOptions& options) {
  REPRISE_RETURN_IF_ERROR(CheckEvalOptions(options));
  if (options.prepare_weights) {
    REPRISE_ASSIGN_OR_RETURN(
        const ModelWeights weights,
        PrepareWeights(options.model, options.weights, options.weights_folder,
                       options.threads));
    std::printf("%s\n", weights.path.c_str());
    return Status();
  }
  auto progress = std::make_unique<Progress>("eval");
  EvalObserver observer;
  observer.on_progress = [&](uint64_t done, uint64_t total) {
    progress->Update(done, total);
  };
  observer.on_note = [](const std::string& line) {
    std::fprintf(stderr, "eval: %s\n", line.c_str());
  };
  std::vector<EvalRow> rows;
  if (!options.follow.empty()) {
    REPRISE_ASSIGN_OR_RETURN(rows, RunFollowEval(options, observer));
  } else if (!options.session.empty()) {
    REPRISE_ASSIGN_OR_RETURN(EvalRow row, RunSessionEval(options, observer));
    rows.push_back(std::move(row));
  } else {
    REPRISE_ASSIGN_OR_RETURN(rows, RunEval(options, observer));
  }
  progress.reset();
  return WriteResults(options, rows);
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  reprise::EvalOptions options;
  if (const auto ended = reprise::ParseEvalCommand(argc, argv, &options)) {
    return *ended;
  }
  const reprise::Status status = reprise::Main(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "reprise eval: %s\n", status.ToString().c_str());
  return 1;
}
