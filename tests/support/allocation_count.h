// Counts the allocations of a test binary: for code that promises none once
// it is warm. Linking this in replaces operator new.
#ifndef REPRISE_TESTS_SUPPORT_ALLOCATION_COUNT_H_
#define REPRISE_TESTS_SUPPORT_ALLOCATION_COUNT_H_

#include <cstdint>

namespace reprise {

// Calls of any operator new so far, by all threads.
uint64_t AllocationCount();

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_ALLOCATION_COUNT_H_
