#include "tests/support/allocation_count.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace reprise {
namespace {

std::atomic<uint64_t> allocation_count{0};

void* Allocate(size_t bytes, size_t alignment) {
  ++allocation_count;
  // aligned_alloc wants a multiple of the alignment, and more than nothing.
  const size_t rounded = (bytes + alignment) / alignment * alignment;
  void* const p = std::aligned_alloc(alignment, rounded);
  if (p == nullptr) std::abort();
  return p;
}

}  // namespace

uint64_t AllocationCount() { return allocation_count; }

}  // namespace reprise

void* operator new(size_t bytes) {
  return reprise::Allocate(bytes, alignof(std::max_align_t));
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return reprise::Allocate(bytes, static_cast<size_t>(alignment));
}
// std::stable_sort asks so. The library's own would go past the count, and its
// memory would not be ours to free.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return reprise::Allocate(bytes, alignof(std::max_align_t));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept {
  std::free(p);
}
