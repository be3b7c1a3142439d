// The records of the store itself: its format version and the epoch of its
// garbage collector.
#ifndef REPRISE_STORE_META_H_
#define REPRISE_STORE_META_H_

#include "base/clock.h"
#include "base/status.h"
#include "store/engine.h"

namespace reprise {

inline constexpr uint32_t kStoreFormatVersion = 1;

// Makes the store and epoch records where there are none; several daemons may
// do so at once. kFailedPrecondition when the format version is another.
Status OpenStoreMeta(HeadStore* heads, const Clock& clock);

Result<Epoch> ReadEpoch(HeadStore* heads);
// Returns an epoch that nobody raised to before.
Result<Epoch> RaiseEpoch(HeadStore* heads);

}  // namespace reprise

#endif  // REPRISE_STORE_META_H_
