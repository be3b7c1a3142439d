// The small requests that saves and restores are made of, as plain structs.
#ifndef REPRISE_CLIENT_SESSION_CALLS_H_
#define REPRISE_CLIENT_SESSION_CALLS_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/call_context.h"
#include "client/client.h"
#include "client/client_core.h"
#include "client/save_planner.h"

namespace reprise {

// Where the session stands now; incarnation 0 when there is none.
Result<SessionHead> LoadHead(ClientCore* core,
                             const std::shared_ptr<CallContext>& call,
                             std::string_view session);

// kFailedPrecondition, with the first field that differs, when `stored` is not
// the model's id.
Status CheckSameModel(ClientCore* core,
                      const std::shared_ptr<CallContext>& call,
                      const RegisteredModel& model, const ModelId& stored);

// The spec that the daemon has under an id, checked against it. kNotFound.
Result<ModelSpec> FetchModelSpec(ClientCore* core,
                                 const std::shared_ptr<CallContext>& call,
                                 const ModelId& model);

// What Match answers.
struct MatchAnswer {
  StoredPrefix stored;
  std::vector<TierRange> ranges;
  std::vector<MatchCost> costs;  // of each of the ranges
  uint64_t bytes_to_move = 0;
  double expected_ms = 0;
  uint64_t lease = 0;
};
struct WantedTiers {
  Tier lowest = Tier::kArchive;
  Tier highest = Tier::kExact;
};
// kInvalidArgument, with both, for a highest tier below the lowest.
Status CheckTiers(const std::string& what, const WantedTiers& tiers);
Result<MatchAnswer> MatchChain(ClientCore* core,
                               const std::shared_ptr<CallContext>& call,
                               const TokenChain& chain,
                               const WantedTiers& tiers, int64_t lease_ms);

}  // namespace reprise

#endif  // REPRISE_CLIENT_SESSION_CALLS_H_
