#include "tools/compaction/plan_text.h"

#include <cmath>
#include <set>
#include <string>

#include "base/duration.h"
#include "tools/measured_kl.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

json RowJson(const PlanRow& row) {
  return {{"segments_now", row.segments_now},
          {"bytes_now", row.bytes_now},
          {"segments_after", row.segments_after},
          {"bytes_after", row.bytes_after},
          {"freed_by_dropping_bytes", row.dropped_bytes},
          {"freed_by_encoding_bytes", row.encode_freed_bytes}};
}

json LadderTierJson(const PlanLadderTier& line) {
  json out = {{"ladder", line.ladder},       {"model", line.model.Hex()},
              {"tier", TierName(line.tier)}, {"codec", line.choice},
              {"measured_kl", nullptr},      {"problem", nullptr}};
  if (line.measured_kl) out["measured_kl"] = *line.measured_kl;
  if (!line.problem.empty()) out["problem"] = line.problem;
  return out;
}

// "0s", "12s", "3m20s": to the second, rounded up.
std::string SecondsText(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 60) return std::to_string(whole) + "s";
  const int64_t minutes = whole / 60;
  if (minutes < 60) {
    return std::to_string(minutes) + "m" + std::to_string(whole % 60) + "s";
  }
  return std::to_string(minutes / 60) + "h" + std::to_string(minutes % 60) +
         "m";
}

void AddRow(Table* table, const std::string& name, const PlanRow& row) {
  table->Add({name, FormatCount(row.segments_now), FormatBytes(row.bytes_now),
              FormatCount(row.segments_after), FormatBytes(row.bytes_after),
              FormatBytes(row.dropped_bytes),
              FormatBytes(row.encode_freed_bytes)});
}

std::string RowsText(const CompactionPlan& plan) {
  Table table({"tier", ">segments", ">bytes", ">after", ">bytes",
               ">freed: dropped", ">encoded anew"});
  for (Tier tier : {Tier::kExact, Tier::kNear, Tier::kCoarse, Tier::kArchive,
                    Tier::kTokens}) {
    AddRow(&table, std::string(TierName(tier)),
           plan.rows[static_cast<size_t>(tier)]);
  }
  AddRow(&table, "all", plan.total());
  return table.ToString();
}

std::string LaddersText(const CompactionPlan& plan) {
  if (plan.ladders.empty()) return "";
  Table table({"ladder", "model", "tier", "codec", ">KL", "can be made"});
  for (const PlanLadderTier& each : plan.ladders) {
    table.Add({each.ladder, each.model.ShortHex(),
               std::string(TierName(each.tier)), each.choice,
               each.measured_kl ? KlText(*each.measured_kl) : "-",
               each.problem.empty() ? "yes" : "no: see below"});
  }
  return "\n" + table.ToString();
}

std::string EncodesText(const CompactionPlan& plan) {
  if (plan.encodes.empty()) return "";
  Table table({"encoded anew", "codec", "model", ">segments", ">bytes",
               ">after", "estimate", ">time"});
  for (const PlanEncode& each : plan.encodes) {
    table.Add({std::string(TierName(each.tier)), each.way.choice,
               each.model.ShortHex(), FormatCount(each.segments),
               FormatBytes(each.bytes_now), FormatBytes(each.estimate.bytes),
               std::string(EstimateName(each.estimate.from)),
               SecondsText(each.seconds)});
  }
  return "\n" + table.ToString();
}

std::string SkipsText(const CompactionPlan& plan) {
  std::string text;
  std::set<std::string> due;
  for (const PlanSkip& skip : plan.skips) {
    text += "skipped: " + skip.reason + "; " + FormatCount(skip.segments) +
            " segments (" + FormatBytes(skip.bytes) + ") of model " +
            skip.model.ShortHex() +
            (skip.instead == Tier::kExact
                 ? " stay as they are\n"
                 : " sink to " + std::string(TierName(skip.instead)) + "\n");
    due.insert(skip.reason);
  }
  for (const PlanLadderTier& each : plan.ladders) {
    if (each.problem.empty() || !due.insert(each.problem).second) continue;
    text += "can't be made, but is not due: " + each.problem + "\n";
  }
  return text;
}

std::string ProblemsText(const WantedReport& sessions) {
  std::string text;
  for (const WantedReport::Problem& problem : sessions.problems) {
    text +=
        "left alone: " +
        (problem.session.empty() ? "what a lease names"
                                 : "session " + Printable(problem.session)) +
        ": " + Printable(problem.reason) + "\n";
  }
  if (sessions.problem_count > sessions.problems.size()) {
    text += "left alone: and " +
            FormatCount(sessions.problem_count - sessions.problems.size()) +
            " more\n";
  }
  return text;
}

std::string TimeText(const CompactionPlan& plan) {
  const double seconds = plan.drop_seconds + plan.encode_seconds;
  if (plan.dropped_segments == 0 && plan.encodes.empty()) {
    return "there is nothing to do\n";
  }
  return "time: about " + SecondsText(seconds) + " on one thread, " +
         SecondsText(plan.encode_seconds) + " of it to encode at " +
         (plan.is_rate_configured ? "the rate that was given"
                                  : "rates that are assumed") +
         "\n";
}

std::string NotesText(const CompactionPlan& plan) {
  std::string text;
  const WantedReport& sessions = plan.sessions;
  text += "sessions: " + FormatCount(sessions.sessions) + ", " +
          FormatCount(sessions.pinned_sessions) + " pinned, " +
          FormatCount(sessions.expired_sessions) +
          " past their TTL; leases: " + FormatCount(sessions.leases) + "\n";
  if (plan.left_alone_segments > 0) {
    text += "left alone: " + FormatCount(plan.left_alone_segments) +
            " segments (" + FormatBytes(plan.left_alone_bytes) +
            ") by pins, leases and problems\n";
  }
  if (plan.unreferenced_segments > 0) {
    text += "not counted: " + FormatCount(plan.unreferenced_segments) +
            " segments (" + FormatBytes(plan.unreferenced_bytes) +
            ") that no session refers to; `reprise gc` frees them\n";
  }
  if (plan.unreadable_segments > 0) {
    text += "not counted: " + FormatCount(plan.unreadable_segments) +
            " segments whose records are damaged; `reprise fsck` names them\n";
  }
  return text;
}

}  // namespace

json PlanJson(const CompactionPlan& plan) {
  json out = {{"total", RowJson(plan.total())},
              {"left_alone_segments", plan.left_alone_segments},
              {"left_alone_bytes", plan.left_alone_bytes},
              {"unreferenced_segments", plan.unreferenced_segments},
              {"unreferenced_bytes", plan.unreferenced_bytes},
              {"unreadable_segments", plan.unreadable_segments},
              {"dropped_segments", plan.dropped_segments},
              {"sessions", plan.sessions.sessions},
              {"pinned_sessions", plan.sessions.pinned_sessions},
              {"expired_sessions", plan.sessions.expired_sessions},
              {"leases", plan.sessions.leases},
              {"problem_count", plan.sessions.problem_count},
              {"drop_s", plan.drop_seconds},
              {"encode_s", plan.encode_seconds},
              {"rate", plan.is_rate_configured ? "configured" : "assumed"},
              {"tiers", json::array()},
              {"ladders", json::array()},
              {"encodes", json::array()},
              {"skipped", json::array()},
              {"problems", json::array()}};
  for (Tier tier : {Tier::kExact, Tier::kNear, Tier::kCoarse, Tier::kArchive,
                    Tier::kTokens}) {
    json row = RowJson(plan.rows[static_cast<size_t>(tier)]);
    row["tier"] = TierName(tier);
    out["tiers"].push_back(std::move(row));
  }
  for (const PlanLadderTier& each : plan.ladders) {
    out["ladders"].push_back(LadderTierJson(each));
  }
  for (const PlanEncode& each : plan.encodes) {
    out["encodes"].push_back({{"tier", TierName(each.tier)},
                              {"codec", each.way.choice},
                              {"model", each.model.Hex()},
                              {"segments", each.segments},
                              {"bytes_now", each.bytes_now},
                              {"raw_bytes", each.raw_bytes},
                              {"bytes_after", each.estimate.bytes},
                              {"estimate", EstimateName(each.estimate.from)},
                              {"encode_s", each.seconds}});
  }
  for (const PlanSkip& skip : plan.skips) {
    out["skipped"].push_back({{"tier", TierName(skip.tier)},
                              {"ladder", skip.ladder},
                              {"model", skip.model.Hex()},
                              {"reason", skip.reason},
                              {"instead", nullptr},
                              {"segments", skip.segments},
                              {"bytes", skip.bytes}});
    if (skip.instead == Tier::kExact) continue;
    out["skipped"].back()["instead"] = TierName(skip.instead);
  }
  for (const WantedReport::Problem& problem : plan.sessions.problems) {
    out["problems"].push_back(
        {{"session", problem.session}, {"reason", problem.reason}});
  }
  return out;
}

std::string PlanText(const CompactionPlan& plan) {
  return RowsText(plan) + LaddersText(plan) + EncodesText(plan) + "\n" +
         TimeText(plan) + NotesText(plan) + SkipsText(plan) +
         ProblemsText(plan.sessions);
}

}  // namespace reprise
