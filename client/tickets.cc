#include "client/tickets.h"

#include <string>

namespace reprise {

Status SaveTicketImpl::WaitCaptured() {
  std::unique_lock lock(state_->context->mutex());
  state_->context->WaitAlways(
      lock, [&] { return state_->captured || state_->result.has_value(); });
  if (state_->captured || state_->result->ok()) return Status();
  return state_->result->status();
}

Result<SaveResult> SaveTicketImpl::Wait() {
  WaitUntilOver(state_.get());
  return *state_->result;
}

void SaveTicketImpl::Cancel() {
  state_->context->Cancel();
  WaitUntilOver(state_.get());
}

Status RestoreTicketImpl::WaitLayer(uint32_t layer) {
  using Layer = RestoreState::Layer;
  std::unique_lock lock(state_->context->mutex());
  if (layer >= state_->layers.size()) {
    return InvalidArgumentError("restore: layer " + std::to_string(layer) +
                                " of " + std::to_string(state_->layers.size()));
  }
  state_->context->WaitAlways(lock, [&] {
    return state_->layers[layer] != Layer::kComing ||
           state_->result.has_value();
  });
  if (state_->result.has_value() && !state_->result->ok()) {
    return state_->result->status();
  }
  if (state_->layers[layer] != Layer::kLost) return Status();
  return DataLossError("restore: tokens of layer " + std::to_string(layer) +
                       " are lost");
}

Result<RestoreResult> RestoreTicketImpl::Wait() {
  WaitUntilOver(state_.get());
  return *state_->result;
}

void RestoreTicketImpl::Cancel() {
  state_->context->Cancel();
  WaitUntilOver(state_.get());
}

}  // namespace reprise
