// What a plan asks of each tier, answered as a job would find it.
#ifndef REPRISE_TOOLS_COMPACTION_TIER_CHECK_H_
#define REPRISE_TOOLS_COMPACTION_TIER_CHECK_H_

#include "store/catalogue.h"
#include "tools/compaction/plan.h"

namespace reprise {

// The catalogue is not owned and must outlive what is returned, which keeps
// models and profiles that it has read and is for one thread at a time.
TierCheck MakeTierCheck(Catalogue* catalogue);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_TIER_CHECK_H_
