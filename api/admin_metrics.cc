#include "api/admin_metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <string>
#include <utility>
#include <vector>

namespace reprise {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  void Counter(std::string name, std::string help, uint64_t value) {
    ClientMetric metric;
    metric.counter.value = static_cast<double>(value);
    Open(std::move(name), std::move(help), MetricType::Counter)
        .metric.push_back(std::move(metric));
  }
  void Gauge(std::string name, std::string help, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    Open(std::move(name), std::move(help), MetricType::Gauge)
        .metric.push_back(std::move(metric));
  }
  MetricFamily& Open(std::string name, std::string help, MetricType type) {
    families_.push_back(
        {"reprise_" + std::move(name), std::move(help), type, {}});
    return families_.back();
  }
  std::string Text() const {
    return prometheus::TextSerializer().Serialize(families_);
  }

 private:
  std::vector<MetricFamily> families_;
};

ClientMetric HistogramOf(std::string type, const LatencyHistogram& latency) {
  ClientMetric metric;
  metric.label.push_back({"type", std::move(type)});
  uint64_t below = 0;
  for (int i = 0; i + 1 < LatencyHistogram::kBuckets; i++) {
    below += latency.bucket(i);
    metric.histogram.bucket.push_back(
        {below, static_cast<double>(LatencyHistogram::UpperNs(i)) / 1e9});
  }
  metric.histogram.sample_count = latency.count();
  metric.histogram.sample_sum = static_cast<double>(latency.sum_ns()) / 1e9;
  return metric;
}

void AddRequests(const ServerMetrics& metrics, Families* out) {
  std::vector<ClientMetric> answered;
  std::vector<ClientMetric> latency;
  for (uint8_t type = 1; type <= kMaxMessageType; type++) {
    const RequestFigures& figures = metrics.requests[type];
    if (figures.answered == 0) continue;
    std::string name(MessageTypeName(static_cast<MessageType>(type)));
    for (int code = 0; code < kStatusCodes; code++) {
      uint64_t count = figures.by_code[code];
      if (count == 0 && code != 0) continue;
      ClientMetric metric;
      std::string code_name(StatusCodeName(static_cast<StatusCode>(code)));
      metric.label = {{"type", name}, {"code", std::move(code_name)}};
      metric.counter.value = static_cast<double>(count);
      answered.push_back(std::move(metric));
    }
    latency.push_back(HistogramOf(name, figures.latency));
  }
  out->Open("requests_total", "Requests answered, by type and status code.",
            MetricType::Counter)
      .metric = std::move(answered);
  out->Open("request_seconds",
            "From a whole request to its last answer, by type.",
            MetricType::Histogram)
      .metric = std::move(latency);
}

void AddTraffic(const ServerMetrics& m, Families* out) {
  out->Gauge("connections_open", "Connections now.",
             static_cast<double>(m.connections_open));
  out->Counter("connections_accepted_total", "Connections served.",
               m.connections_accepted);
  out->Counter("connections_refused_total", "Connections over the limit.",
               m.connections_refused);
  out->Counter("malformed_messages_total",
               "Messages that ended their connection.", m.malformed_messages);
  out->Counter("deadlines_missed_total", "Peers that fell silent.",
               m.deadlines_missed);
  out->Gauge("requests_open", "Requests not answered yet.",
             static_cast<double>(m.requests_open));
  out->Counter("received_bytes_total", "Bytes received.", m.received_bytes);
  out->Counter("sent_bytes_total", "Bytes sent.", m.sent_bytes);
  out->Gauge("upload_held_bytes", "Bytes of requests not answered yet.",
             static_cast<double>(m.upload_bytes_held));
  out->Gauge("send_held_bytes", "Bytes of answers that wait to be sent.",
             static_cast<double>(m.send_bytes_held));
  out->Counter("frames_stored_total", "Frames put.", m.frames_stored);
  out->Counter("frames_sent_total", "Frames sent in fetches.", m.frames_sent);
  out->Counter("frames_lost_total", "Frames missing or damaged in fetches.",
               m.frames_lost);
  out->Gauge("fetch_bytes_per_second", "Mean rate of fetches.",
             m.fetch_rate.bytes_per_second());
}

void AddCompaction(const CompactionFigures& figures, Families* out) {
  out->Gauge("compaction_running", "1 while a run is under way.",
             figures.is_running ? 1 : 0);
  out->Gauge("compaction_paused", "1 until somebody resumes it.",
             figures.is_paused ? 1 : 0);
  out->Gauge("compaction_waiting_for_clock",
             "1 while the clock is in doubt, so that nothing sinks.",
             figures.is_waiting_for_clock ? 1 : 0);
  out->Counter("compaction_runs_total", "Runs that ended.", figures.runs);
  out->Counter("compaction_failed_runs_total", "Of these, with an error.",
               figures.failed_runs);
  out->Gauge("compaction_last_end_seconds",
             "When the last run ended, since 1970; 0: none did yet.",
             static_cast<double>(figures.last_end_ms) / 1000);
  out->Counter("compaction_before_bytes_total",
               "Of frames of segments that runs looked at.",
               figures.bytes_before);
  out->Counter("compaction_after_bytes_total", "The same, afterwards.",
               figures.bytes_after);
  out->Counter("compaction_read_bytes_total", "Of frames, by runs.",
               figures.bytes_read);
  out->Counter("compaction_written_bytes_total", "Of frames, by runs.",
               figures.bytes_written);
  out->Counter("compaction_failed_checks_total",
               "Segments whose new frames were not what they must be.",
               figures.failed_checks);
  out->Counter("compaction_sessions_removed_total",
               "Sessions whose TTL was over.", figures.sessions_removed);
  std::vector<ClientMetric> segments;
  for (const auto& [result, count] : figures.segments) {
    ClientMetric metric;
    metric.label = {{"result", result}};
    metric.counter.value = static_cast<double>(count);
    segments.push_back(std::move(metric));
  }
  out->Open("compaction_segments_total", "Segments, by what became of them.",
            MetricType::Counter)
      .metric = std::move(segments);
}

}  // namespace

std::string MetricsText(const StatsInput& input) {
  Families out;
  AddRequests(*input.metrics, &out);
  AddTraffic(*input.metrics, &out);
  out.Gauge("engine_healthy", "1 while the engine takes writes.",
            input.health.ok() ? 1 : 0);
  out.Gauge("engine_live_bytes", "Bytes of stored values.",
            static_cast<double>(input.engine_stats.live_bytes));
  out.Gauge("engine_disk_bytes", "Bytes on the file system.",
            static_cast<double>(input.engine_stats.disk_bytes));
  out.Gauge("engine_memory_bytes", "Memory that the engine holds.",
            static_cast<double>(input.engine_stats.memory_bytes));
  out.Gauge("sessions", "Sessions, as last counted.",
            static_cast<double>(input.sessions.sessions));
  out.Gauge("session_tokens", "Tokens of those sessions' heads.",
            static_cast<double>(input.sessions.tokens));
  out.Gauge("sessions_age_seconds", "Since sessions were counted.",
            static_cast<double>(input.sessions.age_ms) / 1000);
  out.Gauge("sessions_at_least", "1 while there may be more than counted.",
            input.sessions.at_least ? 1 : 0);
  out.Gauge("draining", "1 while the daemon is about to stop.",
            input.draining ? 1 : 0);
  out.Gauge("uptime_seconds", "Since the daemon began.",
            static_cast<double>(input.uptime_ms) / 1000);
  out.Counter("collections_total", "Collections of garbage finished.",
              input.collections_finished);
  if (input.compaction) AddCompaction(*input.compaction, &out);
  return out.Text();
}

}  // namespace reprise
