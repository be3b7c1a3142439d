#include "api/admin_json.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace reprise {
namespace {

using Json = nlohmann::ordered_json;

// Text of others may be no UTF-8; a report never fails for that.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json RequestJson(const RequestFigures& figures) {
  Json errors = Json::object();
  for (int code = 1; code < kStatusCodes; code++) {
    if (uint64_t count = figures.by_code[code]; count > 0) {
      errors[std::string(StatusCodeName(static_cast<StatusCode>(code)))] =
          count;
    }
  }
  const LatencyHistogram& latency = figures.latency;
  return {{"answered", figures.answered.load()},
          {"errors", std::move(errors)},
          {"p50_us", latency.QuantileNs(0.5) / 1000},
          {"p90_us", latency.QuantileNs(0.9) / 1000},
          {"p99_us", latency.QuantileNs(0.99) / 1000}};
}

Json RequestsJson(const ServerMetrics& metrics) {
  Json requests = Json::object();
  for (uint8_t type = 1; type <= kMaxMessageType; type++) {
    const RequestFigures& figures = metrics.requests[type];
    if (figures.answered == 0) continue;
    auto name = MessageTypeName(static_cast<MessageType>(type));
    requests[std::string(name)] = RequestJson(figures);
  }
  return requests;
}

Json CompactionFiguresJson(const CompactionFigures& figures) {
  Json segments = Json::object();
  for (const auto& [result, count] : figures.segments) {
    segments[result] = count;
  }
  Json json = {{"running", figures.is_running},
               {"paused", figures.is_paused},
               {"waiting_for_clock", figures.is_waiting_for_clock},
               {"runs", figures.runs},
               {"failed_runs", figures.failed_runs},
               {"last_end_ms", figures.last_end_ms},
               {"bytes_before", figures.bytes_before},
               {"bytes_after", figures.bytes_after},
               {"bytes_read", figures.bytes_read},
               {"bytes_written", figures.bytes_written},
               {"failed_checks", figures.failed_checks},
               {"sessions_removed", figures.sessions_removed},
               {"segments", std::move(segments)}};
  if (!figures.last_run_json.empty()) {
    json["last_run"] = Json::parse(figures.last_run_json, nullptr, false);
  }
  return json;
}

}  // namespace

std::string CollectorReportJson(const CollectorReport& report) {
  return Dump({{"marked", report.marked},
               {"condemned", report.condemned},
               {"removed", report.removed},
               {"removed_bytes", report.removed_bytes},
               {"expired_leases", report.expired_leases},
               {"kept_domains", report.kept_domains}});
}

namespace {

Json CheckJson(const FsckReport& report) {
  Json findings = Json::array();
  for (const FsckFinding& finding : report.findings) {
    findings.push_back(
        {{"what", finding.what},
         {"kind", finding.kind},
         {"set_aside", finding.is_set_aside},
         {"session", finding.session},
         {"recompute_from_token", finding.recompute_from_token}});
  }
  Json touched = Json::array();
  for (const TouchedSession& session : report.touched) {
    touched.push_back({{"session", session.session},
                       {"tokens", session.tokens},
                       {"recompute_from_token", session.recompute_from_token},
                       {"left", TierName(session.left)},
                       {"is_head", session.is_head}});
  }
  return {{"sessions", report.sessions},
          {"commits", report.commits},
          {"segments", report.segments},
          {"renditions", report.renditions},
          {"frames", report.frames},
          {"frame_bytes", report.frame_bytes},
          {"bytes_read", report.bytes_read},
          {"unreferenced", report.unreferenced},
          {"set_aside", report.set_aside},
          {"finding_count", report.finding_count},
          {"touched_count", report.touched_count},
          {"findings", std::move(findings)},
          {"touched", std::move(touched)}};
}

}  // namespace

std::string FsckReportJson(const FsckReport& report) {
  return Dump(CheckJson(report));
}

std::string ScrubReportJson(const JobRecord& record, uint64_t bytes_per_s,
                            const FsckReport& report) {
  Json json = {
      {"phase", JobPhaseName(record.phase)}, {"holder", record.holder},
      {"started_by", record.started_by},     {"started_ms", record.started_ms},
      {"heartbeat_ms", record.heartbeat_ms}, {"bytes_per_s", bytes_per_s},
      {"done_bytes", record.done},           {"total_bytes", record.total}};
  if (!record.reason.empty()) json["reason"] = record.reason;
  json["report"] = CheckJson(report);
  return Dump(json);
}

std::string StatsJson(const StatsInput& input) {
  const ServerMetrics& m = *input.metrics;
  Json json = {
      {"uptime_ms", input.uptime_ms},
      {"draining", input.draining},
      {"connections",
       {{"open", m.connections_open.load()},
        {"accepted", m.connections_accepted.load()},
        {"refused", m.connections_refused.load()},
        {"malformed_messages", m.malformed_messages.load()},
        {"deadlines_missed", m.deadlines_missed.load()}}},
      {"traffic",
       {{"received_bytes", m.received_bytes.load()},
        {"sent_bytes", m.sent_bytes.load()},
        {"upload_bytes_held", m.upload_bytes_held.load()},
        {"send_bytes_held", m.send_bytes_held.load()},
        {"frames_stored", m.frames_stored.load()},
        {"frames_sent", m.frames_sent.load()},
        {"frames_lost", m.frames_lost.load()},
        {"fetch_bytes_per_second", m.fetch_rate.bytes_per_second()}}},
      {"sessions",
       {{"count", input.sessions.sessions},
        {"tokens", input.sessions.tokens},
        {"at_least", input.sessions.at_least},
        {"age_ms", input.sessions.age_ms}}},
      {"requests_open", m.requests_open.load()},
      {"requests", RequestsJson(m)},
      {"engine",
       {{"name", input.engine},
        {"health", input.health.ToString()},
        {"live_bytes", input.engine_stats.live_bytes},
        {"disk_bytes", input.engine_stats.disk_bytes},
        {"memory_bytes", input.engine_stats.memory_bytes},
        {"cache_capacity_bytes", input.engine_stats.cache_capacity_bytes}}},
      {"collections_finished", input.collections_finished},
  };
  if (!input.last_collection_json.empty()) {
    json["last_collection"] =
        Json::parse(input.last_collection_json, nullptr, false);
  }
  if (input.compaction) {
    json["compaction"] = CompactionFiguresJson(*input.compaction);
  }
  return Dump(json);
}

}  // namespace reprise
