// The daemon's and tools' log (spdlog), and the only place that includes it.
//
// Library code that runs in a user's process does not log: it returns Status.
// Token ids, session names and labels are users' text and are never logged.
#ifndef REPRISE_BASE_LOG_H_
#define REPRISE_BASE_LOG_H_

#include <spdlog/spdlog.h>

#include <string_view>

#include "base/status.h"

namespace reprise {

// Sends the log to stderr at `level` (trace, debug, info, warn, error, off).
// Call once from main. kInvalidArgument for an unknown level.
Status InitLog(std::string_view level);

}  // namespace reprise

#define REPRISE_LOG_DEBUG(...) ::spdlog::debug(__VA_ARGS__)
#define REPRISE_LOG_INFO(...) ::spdlog::info(__VA_ARGS__)
#define REPRISE_LOG_WARN(...) ::spdlog::warn(__VA_ARGS__)
#define REPRISE_LOG_ERROR(...) ::spdlog::error(__VA_ARGS__)

#endif  // REPRISE_BASE_LOG_H_
