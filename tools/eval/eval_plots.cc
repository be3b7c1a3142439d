#include "tools/eval/eval_plots.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tools/eval/svg_plot.h"

namespace reprise {
namespace {

PlotSeries* SeriesOf(const std::string& name, Plot* plot) {
  for (PlotSeries& series : plot->series) {
    if (series.name == name) return &series;
  }
  plot->series.push_back({.name = name});
  return &plot->series.back();
}

Plot RatePlot(std::span<const EvalRow> block) {
  const EvalRow& first = block[0];
  Plot plot;
  plot.title = first.model + ": rate and quality";
  plot.note = std::to_string(first.quality.windows) + " x " +
              std::to_string(first.prefix_tokens) + " tokens, weights " +
              first.weights + ", cache " + first.cache_type +
              "; every stored byte counts; a KL of 0 is not shown";
  plot.x = {"stored bits a value", true};
  plot.y = {"mean KL(exact || coded), nats", true};
  double low = 0, high = 0;
  for (const EvalRow& row : block) {
    if (row.size.tokens == 0) continue;
    const double rate = BitsPerValue(row.size);
    SeriesOf(row.codec, &plot)->points.emplace_back(rate, row.quality.kl.mean);
    low = low == 0 ? rate : std::min(low, rate);
    high = std::max(high, rate);
  }
  for (PlotSeries& series : plot.series) {
    std::sort(series.points.begin(), series.points.end());
    series.frontier = true;
  }
  if (high > low) {
    const double noise = first.noise.kl.mean;
    plot.series.push_back({.name = "noise floor",
                           .points = {{low, noise}, {high, noise}},
                           .dashed = true});
  }
  return plot;
}

Plot RatioPlot(std::span<const EvalRow> rows) {
  Plot plot;
  plot.title = rows[0].model + ": two accountings of one state";
  plot.note =
      "solid: one state over its stored bytes; dashed: all snapshots, one a "
      "token, over the same bytes";
  plot.x = {"tokens", true};
  plot.y = {"ratio, at 16 bits a value", true};
  for (const EvalRow& row : rows) {
    if (row.size.tokens == 0) continue;
    SeriesOf(row.variant, &plot)
        ->points.emplace_back(row.prefix_tokens, StateRatio(row.size));
  }
  const size_t states = plot.series.size();
  for (size_t i = 0; i < states; ++i) {
    PlotSeries history = {plot.series[i].name, {}, true, static_cast<int>(i)};
    for (const EvalRow& row : rows) {
      if (row.size.tokens == 0 || row.variant != history.name) continue;
      history.points.emplace_back(row.prefix_tokens,
                                  HistoryRatioOf(row.size, 1).ratio);
    }
    plot.series.push_back(std::move(history));
  }
  return plot;
}

Plot RetrievalPlot(std::span<const EvalRow> block) {
  const EvalRow& first = block[0];
  Plot plot;
  plot.title = first.model + ": rate and planted facts";
  plot.note = std::to_string(first.retrieval.kept.of) + " of " +
              std::to_string(first.retrieval.facts()) +
              " facts that the exact cache answers; weights " + first.weights +
              ", cache " + first.cache_type;
  plot.x = {"stored bits a value", true};
  plot.y = {"share that the coded cache answers too", false};
  for (const EvalRow& row : block) {
    if (row.size.tokens == 0) continue;
    SeriesOf(row.codec, &plot)
        ->points.emplace_back(BitsPerValue(row.size),
                              row.retrieval.kept.share());
  }
  for (PlotSeries& series : plot.series) {
    std::sort(series.points.begin(), series.points.end());
  }
  return plot;
}

Status WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return Status();
  return UnavailableError("eval: can't write " + path);
}

}  // namespace

std::string FileSafe(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.') c = '-';
  }
  return out;
}

Result<std::vector<std::string>> WritePlots(std::span<const EvalRow> rows,
                                            const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::vector<std::string> names;
  const auto write = [&](const std::string& name, const Plot& plot) {
    names.push_back(name);
    return WriteText(folder + "/" + name, SvgPlot(plot));
  };
  const auto stem = [](const EvalRow& row) {
    return FileSafe(row.model + "-" + row.weights + "-" + row.cache_type);
  };
  const auto at_length = [&](const EvalRow& row) {
    return stem(row) + "-" + std::to_string(row.prefix_tokens) + ".svg";
  };
  for (const auto block : BlocksOf(rows)) {
    REPRISE_RETURN_IF_ERROR(
        write("rate-" + at_length(block[0]), RatePlot(block)));
    if (block[0].retrieval.facts() == 0) continue;
    REPRISE_RETURN_IF_ERROR(
        write("retrieval-" + at_length(block[0]), RetrievalPlot(block)));
  }
  for (const auto model : ModelsOf(rows)) {
    if (model.front().prefix_tokens == model.back().prefix_tokens) continue;
    REPRISE_RETURN_IF_ERROR(
        write("ratio-" + stem(model[0]) + ".svg", RatioPlot(model)));
  }
  return names;
}

}  // namespace reprise
