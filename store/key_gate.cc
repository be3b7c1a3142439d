#include "store/key_gate.h"

#include <algorithm>
#include <functional>

namespace reprise {

uint32_t KeyGate::SlotOf(uint8_t space, std::string_view key) {
  const size_t hash = std::hash<std::string_view>()(key);
  return static_cast<uint32_t>((hash + space * 0x9e3779b97f4a7c15u) >> 20) %
         kSlots;
}

KeyGate::Hold KeyGate::Enter(std::vector<uint32_t> slots) {
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  std::unique_lock lock(mutex_);
  for (const uint32_t slot : slots) {
    while (taken_[slot]) {
      ++waiting_;
      left_.wait(lock);
      --waiting_;
    }
    taken_[slot] = true;
  }
  return Hold(this, std::move(slots));
}

void KeyGate::Leave(const std::vector<uint32_t>& slots) {
  std::lock_guard lock(mutex_);
  for (const uint32_t slot : slots) taken_[slot] = false;
  if (waiting_ > 0) left_.notify_all();
}

}  // namespace reprise
