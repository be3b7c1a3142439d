#include "gpu/decode_plan.h"

#include <utility>

namespace reprise {

Result<std::unique_ptr<DecodePlan>> DecodePlan::Make(
    std::shared_ptr<Device> device, const DecodePlanLimits& limits) {
  std::unique_ptr<DecodePlan> plan(new DecodePlan(std::move(device), limits));
  REPRISE_RETURN_IF_ERROR(plan->Allocate());
  return plan;
}

}  // namespace reprise
