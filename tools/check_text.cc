#include "tools/check_text.h"

#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

std::string FindingsText(const json& findings) {
  std::string text;
  for (const json& finding : findings) {
    text += "damage: " + Printable(finding.value("what", ""));
    if (finding.value("set_aside", false)) text += "; set aside";
    const std::string session = finding.value("session", "");
    if (!session.empty()) {
      text += "; session " + Printable(session) +
              " must be recomputed from token " +
              FormatCount(finding.value("recompute_from_token", uint64_t{0}));
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string CheckText(const json& report) {
  std::string text;
  Table counts({"what", ">count"});
  for (const auto& [key, value] : report.items()) {
    if (value.is_number()) counts.Add({key, FormatCount(value)});
  }
  text = counts.ToString();
  text += FindingsText(report.value("findings", json::array()));
  Table touched({"session", ">tokens", ">recompute from", "left there", ""});
  for (const json& each : report.value("touched", json::array())) {
    const bool is_head = each.value("is_head", true);
    touched.Add({Printable(each.value("session", "")),
                 FormatCount(each.value("tokens", uint64_t{0})),
                 FormatCount(each.value("recompute_from_token", uint64_t{0})),
                 each.value("left", ""), is_head ? "" : "an earlier state"});
  }
  if (touched.row_count() > 0) text += touched.ToString();
  return text;
}

Status CheckOutcome(const char* what, const json& report) {
  uint64_t heads = 0;
  for (const json& each : report.value("touched", json::array())) {
    heads += each.value("is_head", true) ? 1 : 0;
  }
  const uint64_t findings = report.value("finding_count", uint64_t{0});
  if (findings == 0 && heads == 0) return Status();
  return DataLossError(std::string(what) + ": " + std::to_string(findings) +
                       " findings, " + std::to_string(heads) +
                       " sessions to be recomputed");
}

}  // namespace reprise
