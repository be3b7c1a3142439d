#include "tools/eval/eval_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>
#include <utility>

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
  return table.ToString();
}

std::string CountOf(const CountedShare& share) {
  return std::to_string(share.count) + " of " + std::to_string(share.of);
}

void AddRetrieval(const std::string& name, double bpv,
                  const RetrievalFigures& figures, Table* table) {
  const CountedShare& kept = figures.kept;
  table->Add({name, Number("%.2f", bpv), CountOf(figures.exact),
              CountOf(figures.coded),
              WithError("%.3f", {kept.share(), kept.error()}),
              figures.kl.mean == 0 ? "0" : WithError("%.3g", figures.kl)});
}

std::string RetrievalTable(std::span<const EvalRow> rows) {
  Table table({"planted facts", ">bits/value", ">exact answers",
               ">coded answers", ">kept", ">KL of answers"});
  constexpr double kNoSize = std::numeric_limits<double>::quiet_NaN();
  for (const EvalRow& row : rows) {
    AddRetrieval(row.variant,
                 row.size.tokens == 0 ? kNoSize : BitsPerValue(row.size),
                 row.retrieval, &table);
  }
  AddRetrieval("noise floor", kNoSize, rows[0].retrieval_noise, &table);
  return table.ToString();
}

std::string CurveTable(const std::vector<RateCurve>& curves) {
  std::vector<std::string> head = {"bits/value at KL"};
  for (const double kl : kReportedKl) head.push_back(">" + Number("%g", kl));
  Table table(head);
  for (const RateCurve& curve : curves) {
    std::vector<std::string> cells = {curve.codec};
    for (const auto& bpv : curve.bpv_at_kl) {
      cells.push_back(bpv ? Number("%.2f", *bpv) : "-");
    }
    table.Add(cells);
  }
  return table.ToString();
}

// llama.cpp's types are named with a ':', all others without.
std::string CurveName(const EvalRow& row) {
  return row.codec.substr(0, row.codec.find(':'));
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

// A share in three keys: NAME, NAME_se, NAME_count.
void PutShare(const std::string& name, const CountedShare& share, json* out) {
  (*out)[name] = share.share();
  (*out)[name + "_se"] = share.error();
  (*out)[name + "_count"] = share.count;
}

void PutRetrieval(const EvalRow& row, json* out) {
  const RetrievalFigures& figures = row.retrieval;
  for (const char* name :
       {"retrieval_exact", "retrieval_coded", "retrieval_kept"}) {
    for (const char* suffix : {"", "_se", "_count"}) {
      (*out)[std::string(name) + suffix] = nullptr;
    }
  }
  (*out)["retrieval_facts"] = figures.facts();
  (*out)["retrieval_kl"] = (*out)["retrieval_kl_se"] = nullptr;
  (*out)["retrieval_noise_kl"] = nullptr;
  if (figures.facts() == 0) return;
  PutShare("retrieval_exact", figures.exact, out);
  PutShare("retrieval_coded", figures.coded, out);
  if (figures.kept.of != 0) PutShare("retrieval_kept", figures.kept, out);
  (*out)["retrieval_kl"] = figures.kl.mean;
  (*out)["retrieval_kl_se"] = figures.kl.error;
  (*out)["retrieval_noise_kl"] = row.retrieval_noise.kl.mean;
}

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
  PutRetrieval(row, &out);
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

}  // namespace

std::vector<std::span<const EvalRow>> BlocksOf(std::span<const EvalRow> rows) {
  return Runs(rows, SameBlock);
}

std::vector<std::span<const EvalRow>> ModelsOf(std::span<const EvalRow> rows) {
  return Runs(rows, SameModel);
}

std::vector<RateCurve> CurvesOf(std::span<const EvalRow> block) {
  std::vector<std::string> names;
  std::vector<std::vector<RatePoint>> points;  // by name
  for (const EvalRow& row : block) {
    if (row.size.tokens == 0) continue;
    const std::string name = CurveName(row);
    const auto known = std::find(names.begin(), names.end(), name);
    const auto index = static_cast<size_t>(known - names.begin());
    if (known == names.end()) {
      names.push_back(name);
      points.emplace_back();
    }
    points[index].push_back({BitsPerValue(row.size), row.quality.kl.mean});
  }
  std::vector<RateCurve> curves;
  for (size_t i = 0; i < names.size(); ++i) {
    if (RateFrontier(points[i]).size() < 2) continue;
    curves.push_back({.codec = names[i]});
    for (const double kl : kReportedKl) {
      curves.back().bpv_at_kl.push_back(RateAtKl(points[i], kl));
    }
  }
  return curves;
}

json RowsJson(std::span<const EvalRow> rows) {
  json out = json::array();
  for (const auto block : BlocksOf(rows)) {
    const std::vector<RateCurve> curves = CurvesOf(block);
    for (const EvalRow& row : block) {
      out.push_back(RowJson(row));
      json& rates = out.back()["bpv_at_kl"] = nullptr;
      for (const RateCurve& curve : curves) {
        if (curve.codec != CurveName(row)) continue;
        for (size_t i = 0; i < std::size(kReportedKl); ++i) {
          json& rate = rates[Number("%g", kReportedKl[i])] = nullptr;
          if (curve.bpv_at_kl[i]) rate = *curve.bpv_at_kl[i];
        }
      }
    }
  }
  return out;
}

std::string RowsTable(std::span<const EvalRow> rows) {
  std::string text;
  for (const auto block : BlocksOf(rows)) {
    if (!text.empty()) text += "\n";
    text += BlockTitle(block[0]) + "\n" + BlockTable(block);
    if (block[0].retrieval.facts() != 0) text += "\n" + RetrievalTable(block);
    const std::vector<RateCurve> curves = CurvesOf(block);
    if (!curves.empty()) text += "\n" + CurveTable(curves);
  }
  return text;
}

}  // namespace reprise
