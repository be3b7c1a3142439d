// Assertions on our own invariants, never on bytes from outside.
//
// REPRISE_CHECK aborts in every build: for daemon-only code (store/, api/,
// tools/), which may restart. REPRISE_DCHECK aborts where assertions are on
// and is nothing in release builds: for code that runs inside somebody's
// inference process (base/, codec/, gpu/, client/), which must never bring
// its host down.
#ifndef REPRISE_BASE_CHECK_H_
#define REPRISE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define REPRISE_CHECK(condition)                                            \
  do {                                                                      \
    if (!(condition)) [[unlikely]] {                                        \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)

#ifdef NDEBUG
#define REPRISE_DCHECK(condition) \
  do {                            \
    (void)sizeof(condition);      \
  } while (false)
#else
#define REPRISE_DCHECK(condition) REPRISE_CHECK(condition)
#endif

#endif  // REPRISE_BASE_CHECK_H_
