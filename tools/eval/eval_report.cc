#include "tools/eval/eval_report.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tools/eval/svg_plot.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

std::string Number(const char* format, double value) {
  if (std::isnan(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// "0" for nothing at all, else three digits.
std::string Small(double value) {
  return value == 0 ? "0" : Number("%.3g", value);
}

std::string WithError(const char* format, const MeanWithError& value) {
  std::string text = Number(format, value.mean);
  if (!std::isnan(value.error)) text += " +- " + Number("%.2g", value.error);
  return text;
}

bool SameModel(const EvalRow& a, const EvalRow& b) {
  return a.model == b.model && a.weights == b.weights &&
         a.cache_type == b.cache_type;
}

// Rows of one model and prefix length stand together.
bool SameBlock(const EvalRow& a, const EvalRow& b) {
  return SameModel(a, b) && a.prefix_tokens == b.prefix_tokens;
}

std::string BlockTitle(const EvalRow& row) {
  return row.model + " (weights " + row.weights + ", cache " + row.cache_type +
         "), " + std::to_string(row.quality.windows) + " x " +
         std::to_string(row.prefix_tokens) + " tokens of " + row.text + ", " +
         std::to_string(row.scored_tokens) + " scored after each";
}

void AddToTable(const EvalRow& row, Table* table) {
  const bool stored = row.size.tokens != 0;
  const auto ratio = [&](double value) {
    return stored ? Number("%.2f", value) : std::string("-");
  };
  table->Add({
      row.variant,
      ratio(stored ? BitsPerValue(row.size) : 0),
      ratio(stored ? StateRatio(row.size) : 0),
      ratio(stored ? HistoryRatioOf(row.size, 1).ratio : 0),
      ratio(stored ? HistoryRatioOf(row.size, row.turn_tokens).ratio : 0),
      row.quality.kl.mean == 0 ? "0" : WithError("%.3g", row.quality.kl),
      Small(row.quality.kl_p99),
      Small(row.quality.kl_max),
      Number("%.4f", row.quality.top1.mean),
      Number("%.3f", row.quality.ppl),
      WithError("%+.3f", row.quality.ppl_delta),
      row.fallbacks.units == 0 ? "-"
                               : Number("%.2f %%", 100 * row.fallbacks.share()),
  });
}

std::string BlockTable(std::span<const EvalRow> rows) {
  const std::string turn = std::to_string(rows[0].turn_tokens);
  Table table({"codec", ">bits/value", ">state ratio", ">history (1)",
               ">history (" + turn + ")", ">mean KL", ">p99", ">max", ">top-1",
               ">ppl", ">ppl change", ">fallback"});
  for (const EvalRow& row : rows) AddToTable(row, &table);
  EvalRow noise = rows[0];
  noise.variant = "noise floor";
  noise.quality = noise.noise;
  noise.size = {};
  noise.fallbacks = {};
  AddToTable(noise, &table);
  return BlockTitle(rows[0]) + "\n" + table.ToString();
}

// The rows split where `same` says no.
template <typename Same>
std::vector<std::span<const EvalRow>> Runs(std::span<const EvalRow> rows,
                                           const Same& same) {
  std::vector<std::span<const EvalRow>> runs;
  size_t start = 0;
  for (size_t i = 1; i <= rows.size(); ++i) {
    if (i < rows.size() && same(rows[start], rows[i])) continue;
    runs.push_back(rows.subspan(start, i - start));
    start = i;
  }
  return runs;
}

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

Status WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return Status();
  return UnavailableError("eval: can't write " + path);
}

}  // namespace

json RowJson(const EvalRow& row) {
  const QualityFigures& quality = row.quality;
  json out = {{"model", row.model},
              {"weights", row.weights},
              {"cache_type", row.cache_type},
              {"text", row.text},
              {"variant", row.variant},
              {"codec", row.codec},
              {"parameters", row.parameters},
              {"prefix", row.prefix_tokens},
              {"scored_tokens", row.scored_tokens},
              {"windows", quality.windows},
              {"seed", row.seed},
              {"kl_mean", quality.kl.mean},
              {"kl_se", quality.kl.error},
              {"kl_p99", quality.kl_p99},
              {"kl_max", quality.kl_max},
              {"top1", quality.top1.mean},
              {"top1_se", quality.top1.error},
              {"ppl_exact", quality.ppl_exact},
              {"ppl", quality.ppl},
              {"ppl_delta", quality.ppl_delta.mean},
              {"ppl_delta_se", quality.ppl_delta.error},
              {"noise_kl_mean", row.noise.kl.mean},
              {"noise_kl_max", row.noise.kl_max},
              {"encode_s", row.encode_s},
              {"decode_s", row.decode_s}};
  for (const char* name :
       {"bpv", "state_ratio", "history_ratio", "history_snapshots",
        "history_turn_ratio", "history_turn_snapshots", "frame_bytes",
        "record_bytes", "profile_bytes", "values"}) {
    out[name] = nullptr;
  }
  out["fallback_share"] = nullptr;
  if (row.fallbacks.units != 0) out["fallback_share"] = row.fallbacks.share();
  out["baseline"] = "16 bits a value";
  out["turn_tokens"] = row.turn_tokens;
  if (row.size.tokens == 0) return out;
  const HistoryRatio by_token = HistoryRatioOf(row.size, 1);
  const HistoryRatio by_turn = HistoryRatioOf(row.size, row.turn_tokens);
  out["bpv"] = BitsPerValue(row.size);
  out["state_ratio"] = StateRatio(row.size);
  out["history_ratio"] = by_token.ratio;
  out["history_snapshots"] = by_token.snapshots;
  out["history_turn_ratio"] = by_turn.ratio;
  out["history_turn_snapshots"] = by_turn.snapshots;
  out["frame_bytes"] = row.size.frame_bytes;
  out["record_bytes"] = row.size.record_bytes;
  out["profile_bytes"] = row.size.profile_bytes;
  out["values"] = row.size.values;
  return out;
}

std::string RowsTable(std::span<const EvalRow> rows) {
  std::string text;
  for (const auto block : Runs(rows, SameBlock)) {
    if (!text.empty()) text += "\n";
    text += BlockTable(block);
  }
  return text;
}

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
  for (const auto block : Runs(rows, SameBlock)) {
    REPRISE_RETURN_IF_ERROR(write("rate-" + stem(block[0]) + "-" +
                                      std::to_string(block[0].prefix_tokens) +
                                      ".svg",
                                  RatePlot(block)));
  }
  for (const auto model : Runs(rows, SameModel)) {
    if (SameBlock(model.front(), model.back())) continue;
    REPRISE_RETURN_IF_ERROR(
        write("ratio-" + stem(model[0]) + ".svg", RatioPlot(model)));
  }
  return names;
}

}  // namespace reprise
