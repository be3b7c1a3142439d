// Tickets: what a caller holds of a save or restore that runs on a thread of
// the client. They may outlive the client, which ends all calls as it goes.
#ifndef REPRISE_CLIENT_TICKETS_H_
#define REPRISE_CLIENT_TICKETS_H_

#include <memory>
#include <mutex>
#include <utility>

#include "client/client.h"
#include "client/restorer.h"
#include "client/saver.h"

namespace reprise {

// Waits until the call is over, whatever becomes of it.
template <typename State>
void WaitUntilOver(State* state) {
  std::unique_lock lock(state->context->mutex());
  state->context->WaitAlways(lock, [&] { return state->result.has_value(); });
}

template <typename State, typename Outcome>
void SetResult(State* state, Outcome outcome) {
  {
    std::lock_guard lock(state->context->mutex());
    state->result.emplace(std::move(outcome));
  }
  state->context->Notify();
}

class SaveTicketImpl final : public SaveTicket {
 public:
  explicit SaveTicketImpl(std::shared_ptr<SaveState> state)
      : state_(std::move(state)) {}
  ~SaveTicketImpl() override { Cancel(); }

  Status WaitCaptured() override;
  Result<SaveResult> Wait() override;
  void Cancel() override;

 private:
  const std::shared_ptr<SaveState> state_;
};

class RestoreTicketImpl final : public RestoreTicket {
 public:
  explicit RestoreTicketImpl(std::shared_ptr<RestoreState> state)
      : state_(std::move(state)) {}
  ~RestoreTicketImpl() override { Cancel(); }

  Status WaitLayer(uint32_t layer) override;
  Status WaitLayerQueued(uint32_t layer) override;
  Result<RestoreResult> Wait() override;
  void Cancel() override;
  std::vector<TierRange> ValidRanges(uint32_t layer) override;
  std::vector<TierRange> ValidRanges() override;

 private:
  Status WaitFor(uint32_t layer, bool queued_will_do);

  const std::shared_ptr<RestoreState> state_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_TICKETS_H_
