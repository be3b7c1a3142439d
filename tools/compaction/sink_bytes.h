// What a segment's frames take, before and after it sinks, by its records.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_BYTES_H_
#define REPRISE_TOOLS_COMPACTION_SINK_BYTES_H_

#include <cstdint>

#include "codec/tier.h"
#include "store/records.h"
#include "tools/compaction/sink_plan.h"

namespace reprise {

// Of all frames that the set names, each counted once.
uint64_t StoredBytes(const RenditionSet& set);

// What is left of them once it has sunk to `wanted` as `sink` says; without the
// rendition that is to be encoded, where it is. REQUIRES: `sink` is
// PlanSink(set, ..., wanted).
uint64_t RemainingBytes(const RenditionSet& set, const SinkPlan& sink,
                        Tier wanted);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_BYTES_H_
