// Policies: no text crashes the parser, an error names a column of the text or
// the one after it, and what is read has one canonical text that reads back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "store/policy.h"

namespace reprise {
namespace {

void CheckError(std::string_view text, const Status& status) {
  constexpr std::string_view kStart = "policy: column ";
  const std::string message(status.message());
  REPRISE_CHECK(status.Is(StatusCode::kInvalidArgument));
  REPRISE_CHECK(message.starts_with(kStart));
  const unsigned long column =
      std::strtoul(message.c_str() + kStart.size(), nullptr, 10);
  REPRISE_CHECK(column >= 1 && column <= text.size() + 1);
}

// What holds for a policy that was read.
void CheckPolicy(const Policy& policy) {
  REPRISE_CHECK(!policy.rungs.empty() && IsLadderName(policy.ladder));
  for (size_t i = 0; i < policy.rungs.size(); ++i) {
    const PolicyRung& rung = policy.rungs[i];
    const bool is_last = i + 1 == policy.rungs.size();
    REPRISE_CHECK((rung.until_idle_ms == kForeverMs) == is_last);
    const int64_t from_ms = i == 0 ? 0 : policy.rungs[i - 1].until_idle_ms;
    REPRISE_CHECK(rung.until_idle_ms > from_ms);
    REPRISE_CHECK(WantedTier(policy, from_ms) == rung.tier);
    REPRISE_CHECK(i == 0 || rung.tier > policy.rungs[i - 1].tier);
    const auto step = NextStep(policy, from_ms);
    REPRISE_CHECK(step.has_value() != is_last);
    REPRISE_CHECK(is_last || step->idle_ms == rung.until_idle_ms);
  }
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto policy = reprise::ParsePolicy(text);
  if (!policy.ok()) {
    reprise::CheckError(text, policy.status());
    return 0;
  }
  reprise::CheckPolicy(*policy);
  const std::string canonical = reprise::FormatPolicy(*policy);
  // Not longer than the limit, so that it can be stored.
  REPRISE_CHECK(canonical.size() <= reprise::kMaxPolicyBytes);
  const auto again = reprise::ParsePolicy(canonical);
  REPRISE_CHECK(again.ok() && *again == *policy);
  REPRISE_CHECK(reprise::FormatPolicy(*again) == canonical);
  return 0;
}
