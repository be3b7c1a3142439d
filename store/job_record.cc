#include "store/job_record.h"

#include <iterator>

#include "base/check.h"
#include "store/record_envelope.h"

namespace reprise {
namespace {

constexpr std::string_view kName = "job record";
// What version 2 adds: options.
constexpr uint8_t kLatest = 2;
constexpr std::string_view kNames[] = {"running", "paused", "cancelled", "done",
                                       "failed"};

std::string_view Cut(std::string_view text) {
  return text.substr(0, kMaxJobTextBytes);
}

Result<std::string> ReadText(ByteReader* in, std::string_view field) {
  std::string text(in->Text16());
  REPRISE_RETURN_IF_ERROR(in->Check(kName));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, field, text.size(), 0, kMaxJobTextBytes));
  return text;
}

}  // namespace

std::string_view JobPhaseName(JobPhase phase) {
  const unsigned index = static_cast<unsigned>(phase) - 1;
  return index < std::size(kNames) ? kNames[index] : "?";
}

std::string JobKey(std::string_view job) { return "job/" + std::string(job); }

Bytes EncodeJob(const JobRecord& record) {
  REPRISE_CHECK(record.counters.size() <= kMaxJobCounters);
  REPRISE_CHECK(record.options.size() <= kMaxJobOptionsBytes);
  const uint8_t version = record.options.empty() ? 1 : kLatest;
  RecordWriter out(kJobKind,
                   256 + record.counters.size() * 8 + record.options.size(),
                   version);
  out.U8(static_cast<uint8_t>(record.phase));
  out.U8(static_cast<uint8_t>(record.counters.size()));
  out.U16(0);
  out.U64(record.run);
  out.U64(static_cast<uint64_t>(record.started_ms));
  out.U64(static_cast<uint64_t>(record.heartbeat_ms));
  out.U64(record.done);
  out.U64(record.total);
  for (const uint64_t counter : record.counters) out.U64(counter);
  out.Text16(Cut(record.holder));
  out.Text16(Cut(record.started_by));
  out.Text16(Cut(record.cursor));
  out.Text16(Cut(record.reason));
  if (version == kLatest) out.Text16(record.options);
  return out.Finish();
}

Result<JobRecord> DecodeJob(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kJobKind, kName, kLatest));
  JobRecord record;
  const uint8_t phase = in.U8();
  const uint8_t counters = in.U8();
  const uint16_t reserved = in.U16();
  record.run = in.U64();
  record.started_ms = static_cast<int64_t>(in.U64());
  record.heartbeat_ms = static_cast<int64_t>(in.U64());
  record.done = in.U64();
  record.total = in.U64();
  REPRISE_RETURN_IF_ERROR(in.Check(kName));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "phase", phase, 1, std::size(kNames)));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "counters", counters, 0, kMaxJobCounters));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "reserved", reserved, 0, 0));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "run", record.run, 1, UINT64_MAX));
  record.phase = static_cast<JobPhase>(phase);
  for (uint8_t i = 0; i < counters; ++i) record.counters.push_back(in.U64());
  REPRISE_ASSIGN_OR_RETURN(record.holder, ReadText(&in, "holder's bytes"));
  REPRISE_ASSIGN_OR_RETURN(record.started_by, ReadText(&in, "starter's bytes"));
  REPRISE_ASSIGN_OR_RETURN(record.cursor, ReadText(&in, "cursor's bytes"));
  REPRISE_ASSIGN_OR_RETURN(record.reason, ReadText(&in, "reason's bytes"));
  if (RecordVersion(bytes) == kLatest) {
    record.options = in.Text16();
    REPRISE_RETURN_IF_ERROR(in.Check(kName));
    REPRISE_RETURN_IF_ERROR(InRange(kName, "options' bytes",
                                    record.options.size(), 1,
                                    kMaxJobOptionsBytes));
  }
  REPRISE_RETURN_IF_ERROR(in.Finish(kName));
  return record;
}

}  // namespace reprise
