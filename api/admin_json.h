// Reports and figures as JSON, for people and dashboards.
#ifndef REPRISE_API_ADMIN_JSON_H_
#define REPRISE_API_ADMIN_JSON_H_

#include <cstdint>
#include <optional>
#include <string>

#include "api/compaction_figures.h"
#include "api/metrics.h"
#include "api/session_census.h"
#include "base/status.h"
#include "store/check_report.h"
#include "store/collector.h"
#include "store/engine.h"
#include "store/job_record.h"

namespace reprise {

std::string CollectorReportJson(const CollectorReport& report);
std::string FsckReportJson(const FsckReport& report);
// Where a scrub is; its "report" is FsckReportJson.
std::string ScrubReportJson(const JobRecord& record, uint64_t bytes_per_s,
                            const FsckReport& report);

struct StatsInput {
  const ServerMetrics* metrics = nullptr;
  std::string engine;
  Engine::Stats engine_stats;
  SessionFigures sessions;
  Status health;
  bool draining = false;
  int64_t uptime_ms = 0;
  uint64_t collections_finished = 0;
  std::string last_collection_json;             // empty: none
  std::optional<CompactionFigures> compaction;  // of a daemon that runs any
};
// Names end in their unit: "sent_bytes", "p99_us".
std::string StatsJson(const StatsInput& input);

}  // namespace reprise

#endif  // REPRISE_API_ADMIN_JSON_H_
