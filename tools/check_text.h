// A report of fsck or of a scrub for people.
#ifndef REPRISE_TOOLS_CHECK_TEXT_H_
#define REPRISE_TOOLS_CHECK_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"

namespace reprise {

// Counts, what was found, and the sessions that must be recomputed.
std::string CheckText(const nlohmann::json& report);
// kDataLoss, with both numbers, when something was found, or a session can't be
// restored as it was saved.
Status CheckOutcome(const char* what, const nlohmann::json& report);

}  // namespace reprise

#endif  // REPRISE_TOOLS_CHECK_TEXT_H_
