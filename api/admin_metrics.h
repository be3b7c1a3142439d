// Figures in Prometheus' text format.
#ifndef REPRISE_API_ADMIN_METRICS_H_
#define REPRISE_API_ADMIN_METRICS_H_

#include <string>

#include "api/admin_json.h"

namespace reprise {

// The same figures as StatsJson, named reprise_...; times are in seconds.
std::string MetricsText(const StatsInput& input);

}  // namespace reprise

#endif  // REPRISE_API_ADMIN_METRICS_H_
