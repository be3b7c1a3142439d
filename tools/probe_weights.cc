// `reprise probe-weights MODEL.gguf`: a program of its own, since it needs
// libllama and `reprise` doesn't.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/progress.h"
#include "tools/table.h"
#include "tools/weight_probe.h"

namespace reprise {
namespace {

std::string Rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

void Show(const std::vector<WeightDelta>& deltas) {
  Table table({"matrix", ">layer pairs", ">values", ">mean", ">min", ">max"});
  for (const WeightDelta& delta : deltas) {
    table.Add({delta.kind, FormatCount(delta.pairs), FormatCount(delta.values),
               Rounded(delta.mean), Rounded(delta.min), Rounded(delta.max)});
  }
  std::printf(
      "|W(l) - W(l-1)| / |W(l)|\n\n%s\nBelow 1 a difference has less energy "
      "than the matrix; 1.41 is what\nmatrices give that have only their norm "
      "in common.\n",
      table.ToString().c_str());
}

void ShowJson(const std::vector<WeightDelta>& deltas) {
  nlohmann::json rows = nlohmann::json::array();
  for (const WeightDelta& delta : deltas) {
    rows.push_back({{"matrix", delta.kind},
                    {"layer_pairs", delta.pairs},
                    {"values", delta.values},
                    {"mean", delta.mean},
                    {"min", delta.min},
                    {"max", delta.max}});
  }
  std::printf("%s\n", rows.dump(2).c_str());
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  CLI::App app("How much of a layer's weights the layer before predicts",
               "reprise probe-weights");
  std::string path;
  bool json = false;
  app.add_option("model", path, "GGUF file")->required();
  app.add_flag("--json", json, "print JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  reprise::Result<std::vector<reprise::WeightDelta>> deltas = [&] {
    reprise::Progress progress("probe-weights");
    return reprise::ProbeWeights(path, [&](uint64_t done, uint64_t total) {
      progress.Update(done, total);
    });
  }();
  if (!deltas.ok()) {
    std::fprintf(stderr, "reprise probe-weights: %s\n",
                 deltas.status().ToString().c_str());
    return 1;
  }
  if (json) {
    reprise::ShowJson(*deltas);
  } else {
    reprise::Show(*deltas);
  }
  return 0;
}
