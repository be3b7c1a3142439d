#include "tools/capacity_plan.h"

#include <cmath>
#include <string>

namespace reprise {
namespace {

Status CheckPositive(const char* what, double value) {
  if (std::isfinite(value) && value > 0) return Status();
  return InvalidArgumentError(std::string("plan: ") + what + " is " +
                              std::to_string(value) +
                              ", a positive number is wanted");
}

CapacityLine LineOf(const CapacityInput& input, double ratio) {
  CapacityLine line;
  line.user_bytes =
      input.token_bytes * static_cast<double>(input.context_tokens) / ratio;
  line.users = std::floor(input.memory_bytes / line.user_bytes);
  return line;
}

}  // namespace

double TokenBytesAt16Bits(const ModelSpec& spec) {
  double bytes_a_token = 0;
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const double bytes = plane.dtype == DType::kOpaque ? 1 : 2;
      bytes_a_token += bytes * plane.channels();
    }
  }
  return bytes_a_token;
}

Result<CapacityPlan> PlanCapacity(const CapacityInput& input) {
  REPRISE_RETURN_IF_ERROR(CheckPositive("bytes of a token", input.token_bytes));
  REPRISE_RETURN_IF_ERROR(
      CheckPositive("context", static_cast<double>(input.context_tokens)));
  REPRISE_RETURN_IF_ERROR(CheckPositive("memory", input.memory_bytes));
  REPRISE_RETURN_IF_ERROR(CheckPositive("state ratio", input.state_ratio));
  CapacityPlan plan;
  plan.plain = LineOf(input, 1);
  plan.by_state = LineOf(input, input.state_ratio);
  if (input.history_ratio != 0) {
    REPRISE_RETURN_IF_ERROR(
        CheckPositive("history ratio", input.history_ratio));
    plan.by_history = LineOf(input, input.history_ratio);
  }
  return plan;
}

}  // namespace reprise
