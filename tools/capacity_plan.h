// Capacity arithmetic: how many users' states fit into a device's memory, in
// both accountings, which must not be mixed. The state ratio compares what is
// stored with one state; the history ratio compares it with all snapshots that
// a whole-snapshot saver would have written, so dividing a resident state by
// it promises memory that nothing frees.
#ifndef REPRISE_TOOLS_CAPACITY_PLAN_H_
#define REPRISE_TOOLS_CAPACITY_PLAN_H_

#include <cstdint>

#include "base/status.h"
#include "codec/model_spec.h"

namespace reprise {

// A transformer with full attention, as much as its KV cache shows of it.
struct CacheShape {
  uint64_t layers = 0;
  uint64_t kv_heads = 0;
  uint64_t head_dim = 0;
  // K and V of one token at 16 bits a value.
  double token_bytes() const {
    return 2.0 * 2.0 * static_cast<double>(layers) *
           static_cast<double>(kv_heads) * static_cast<double>(head_dim);
  }
};

// K and V of one token of this model at 16 bits a value, whatever its dtypes;
// opaque bytes are as many as they are.
double TokenBytesAt16Bits(const ModelSpec& spec);

struct CapacityInput {
  double token_bytes = 0;  // at 16 bits a value
  uint64_t context_tokens = 0;
  double memory_bytes = 0;
  double state_ratio = 1;
  // 0: not known.
  double history_ratio = 0;
};

struct CapacityLine {
  double user_bytes = 0;
  double users = 0;  // whole ones
};

struct CapacityPlan {
  CapacityLine plain;
  // What fits.
  CapacityLine by_state;
  // What the research series' arithmetic would say; zeros when not known.
  CapacityLine by_history;
};

// kInvalidArgument with the number for inputs that are not positive, and for
// ratios that are not finite.
Result<CapacityPlan> PlanCapacity(const CapacityInput& input);

}  // namespace reprise

#endif  // REPRISE_TOOLS_CAPACITY_PLAN_H_
