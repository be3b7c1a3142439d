#include "tools/compaction/run_request.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "store/job_record.h"

namespace reprise {
namespace {

constexpr std::string_view kRate = "rate";
constexpr std::string_view kThreads = "threads";
constexpr std::string_view kUntilBelow = "until-below";
constexpr std::string_view kPolicy = "policy";
constexpr std::string_view kLadder = "ladder";

void AddLine(std::string_view key, std::string_view value, std::string* out) {
  out->append(key).append("=").append(value).append("\n");
}

template <typename T>
Status ReadNumber(std::string_view key, std::string_view text, T* out) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *out);
  if (error == std::errc() && rest == end) return Status();
  return DataLossError("job options: " + std::string(key) + " is no number");
}

Status ReadLine(std::string_view line, CompactionRequest* out) {
  const size_t equals = line.find('=');
  const std::string_view key = line.substr(0, equals);
  if (equals == std::string_view::npos) {
    return DataLossError("job options: a line has no value");
  }
  const std::string_view value = line.substr(equals + 1);
  if (key == kRate) return ReadNumber(key, value, &out->bytes_per_s.emplace());
  if (key == kThreads) return ReadNumber(key, value, &out->threads);
  if (key == kUntilBelow) {
    return ReadNumber(key, value, &out->until_below_bytes);
  }
  if (key == kPolicy) {
    out->policy = value;
  } else if (key == kLadder) {
    out->ladders.emplace_back(value);
  } else {
    return UnimplementedError("job options: nothing is known of one of " +
                              std::to_string(key.size()) + " bytes");
  }
  return Status();
}

}  // namespace

Result<std::string> FormatRunRequest(const CompactionRequest& request) {
  std::string out;
  if (request.bytes_per_s) {
    AddLine(kRate, std::to_string(*request.bytes_per_s), &out);
  }
  if (request.threads > 0) {
    AddLine(kThreads, std::to_string(request.threads), &out);
  }
  if (request.until_below_bytes > 0) {
    AddLine(kUntilBelow, std::to_string(request.until_below_bytes), &out);
  }
  const auto add_text = [&](std::string_view key, std::string_view text) {
    AddLine(key, text, &out);
    return text.find('\n') == std::string_view::npos;
  };
  bool fits = request.policy.empty() || add_text(kPolicy, request.policy);
  for (const std::string& ladder : request.ladders) {
    fits = add_text(kLadder, ladder) && fits;
  }
  if (!fits) {
    return InvalidArgumentError(
        "compact: a policy or ladder has more than one line");
  }
  if (out.size() <= kMaxJobOptionsBytes) return out;
  return InvalidArgumentError("compact: the options are " +
                              std::to_string(out.size()) + " bytes, at most " +
                              std::to_string(kMaxJobOptionsBytes));
}

Result<CompactionRequest> ParseRunRequest(std::string_view text) {
  CompactionRequest request;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      return DataLossError("job options: the last line does not end");
    }
    REPRISE_RETURN_IF_ERROR(ReadLine(text.substr(0, end), &request));
    text.remove_prefix(end + 1);
  }
  return request;
}

CompactionRequest Completed(CompactionRequest request,
                            const CompactionRequest& earlier) {
  if (!request.bytes_per_s) request.bytes_per_s = earlier.bytes_per_s;
  if (request.threads == 0) request.threads = earlier.threads;
  if (request.until_below_bytes == 0) {
    request.until_below_bytes = earlier.until_below_bytes;
  }
  // A policy names the ladders that were given with it.
  if (request.policy.empty() && request.ladders.empty()) {
    request.policy = earlier.policy;
    request.ladders = earlier.ladders;
  }
  return request;
}

}  // namespace reprise
