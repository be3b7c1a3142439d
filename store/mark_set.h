// A set of 64-bit hashes of keys: eight bytes an entry, for walks over a whole
// store.
#ifndef REPRISE_STORE_MARK_SET_H_
#define REPRISE_STORE_MARK_SET_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reprise {

// Filled, then sealed, then asked. A false hit is possible, and so unlikely
// that whoever asks may take it for a piece of garbage that stays a while.
// Not thread-safe.
class MarkSet {
 public:
  void Add(uint64_t hash) {
    hashes_.push_back(hash);
    if (hashes_.size() < next_sort_) return;
    SortOut();
    next_sort_ = std::max(next_sort_, 2 * hashes_.size());
  }
  // No Add after it.
  void Seal() { SortOut(); }
  // REQUIRES: sealed.
  bool Contains(uint64_t hash) const {
    return std::ranges::binary_search(hashes_, hash);
  }
  uint64_t size() const { return hashes_.size(); }

 private:
  void SortOut() {
    std::ranges::sort(hashes_);
    hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
  }

  std::vector<uint64_t> hashes_;
  size_t next_sort_ = size_t{1} << 16;
};

}  // namespace reprise

#endif  // REPRISE_STORE_MARK_SET_H_
