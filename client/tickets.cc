#include "client/tickets.h"

#include <algorithm>
#include <string>

#include "client/manifest.h"
#include "client/model.h"

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
  return WaitFor(layer, false);
}

Status RestoreTicketImpl::WaitLayerQueued(uint32_t layer) {
  return WaitFor(layer, true);
}

Status RestoreTicketImpl::WaitFor(uint32_t layer, bool queued_will_do) {
  using Layer = RestoreState::Layer;
  std::unique_lock lock(state_->context->mutex());
  const std::vector<Layer>& layers = state_->layers;
  if (layer >= layers.size()) {
    return InvalidArgumentError("restore: layer " + std::to_string(layer) +
                                " of " + std::to_string(layers.size()));
  }
  state_->context->WaitAlways(lock, [&] {
    return (layers[layer] != Layer::kComing &&
            (queued_will_do || layers[layer] != Layer::kQueued)) ||
           state_->result.has_value();
  });
  if (state_->result.has_value() && !state_->result->ok()) {
    return state_->result->status();
  }
  if (layers[layer] != Layer::kLost) return Status();
  return DataLossError("restore: tokens of layer " + std::to_string(layer) +
                       " are lost");
}

Result<RestoreResult> RestoreTicketImpl::Wait() {
  WaitUntilOver(state_.get());
  return *state_->result;
}

std::vector<TierRange> RestoreTicketImpl::ValidRanges(uint32_t layer) {
  const std::vector<LayerGroup>& groups = state_->model->groups();
  std::vector<TierRange> ranges;
  std::lock_guard lock(state_->context->mutex());
  for (size_t g = 0; g < groups.size(); ++g) {
    if (layer < groups[g].first_layer ||
        layer - groups[g].first_layer >= groups[g].layer_count) {
      continue;
    }
    for (const RestoreState::Placed& placed : state_->placed) {
      if (placed.tiers[g] == Tier::kTokens) continue;
      AppendRange(
          {placed.first_token, placed.end_token, placed.tiers[g], placed.basis},
          &ranges);
    }
  }
  return ranges;
}

std::vector<TierRange> RestoreTicketImpl::ValidRanges() {
  std::vector<TierRange> ranges;
  std::lock_guard lock(state_->context->mutex());
  for (const RestoreState::Placed& placed : state_->placed) {
    const Tier worst = *std::ranges::max_element(placed.tiers);
    if (worst == Tier::kTokens) continue;
    AppendRange({placed.first_token, placed.end_token, worst, placed.basis},
                &ranges);
  }
  return ranges;
}

void RestoreTicketImpl::Cancel() {
  state_->context->Cancel();
  WaitUntilOver(state_.get());
}

}  // namespace reprise
