// What was asked of a run of compaction, as a job's record keeps it, so that
// whoever goes on after a restart does what was asked for.
// Format: docs/format/records.md, section 8.
#ifndef REPRISE_TOOLS_COMPACTION_RUN_REQUEST_H_
#define REPRISE_TOOLS_COMPACTION_RUN_REQUEST_H_

#include <string>
#include <string_view>

#include "api/compaction_control.h"
#include "base/status.h"

namespace reprise {

// Of a run's part of the request; empty when it asks for nothing but what is
// configured. kInvalidArgument when it is longer than a record holds, with both
// numbers, or a text in it has more than one line.
Result<std::string> FormatRunRequest(const CompactionRequest& request);
// kUnimplemented for an option that is not known here, kDataLoss for a text
// that FormatRunRequest does not make.
Result<CompactionRequest> ParseRunRequest(std::string_view text);

// What `request` leaves open is taken from what was asked for `earlier`.
CompactionRequest Completed(CompactionRequest request,
                            const CompactionRequest& earlier);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_RUN_REQUEST_H_
