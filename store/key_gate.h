// Exclusive access to sets of keys within one process: what reads a record,
// decides, and writes it holds the record's slot meanwhile. Keys share slots
// by hash, so a wait is no proof that somebody holds the same key.
#ifndef REPRISE_STORE_KEY_GATE_H_
#define REPRISE_STORE_KEY_GATE_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

namespace reprise {

// Thread-safe. Slots are taken in ascending order, so that callers with sets
// that overlap never wait for each other in a circle.
class KeyGate {
 public:
  class Hold {
   public:
    ~Hold() { gate_->Leave(slots_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    friend class KeyGate;
    Hold(KeyGate* gate, std::vector<uint32_t> slots)
        : gate_(gate), slots_(std::move(slots)) {}

    KeyGate* gate_;
    std::vector<uint32_t> slots_;
  };

  KeyGate() : taken_(kSlots, false) {}

  // The slot of a key in one of several spaces.
  static uint32_t SlotOf(uint8_t space, std::string_view key);

  // Waits until all of `slots` (in any order, repeated or not) are ours, and
  // keeps them as long as the result lives. A thread holds one at most.
  [[nodiscard]] Hold Enter(std::vector<uint32_t> slots);

 private:
  static constexpr uint32_t kSlots = 4096;

  void Leave(const std::vector<uint32_t>& slots);

  std::mutex mutex_;
  std::condition_variable left_;
  std::vector<bool> taken_;
  uint32_t waiting_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_STORE_KEY_GATE_H_
