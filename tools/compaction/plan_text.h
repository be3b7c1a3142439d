// A plan as people and programs read it.
#ifndef REPRISE_TOOLS_COMPACTION_PLAN_TEXT_H_
#define REPRISE_TOOLS_COMPACTION_PLAN_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "tools/compaction/plan.h"

namespace reprise {

// Names end in their unit; tiers stand in order, tokens last.
nlohmann::json PlanJson(const CompactionPlan& plan);
// Tables, and a line for each thing to know.
std::string PlanText(const CompactionPlan& plan);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_PLAN_TEXT_H_
