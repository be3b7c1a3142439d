// plan: how many users' states fit.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "tools/capacity_plan.h"
#include "tools/reprise_command.h"
#include "tools/table.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr uint32_t kPage = 1000;

struct PlanArguments {
  std::string model;
  std::vector<uint64_t> shape;  // layers, KV heads, head_dim
  std::string tier = "exact";
  uint64_t context_tokens = 0;
  uint64_t memory_bytes = 0;
  double state_ratio = 0;
  double history_ratio = 0;
};

// Ratios of the stored sessions of a model whose segments are all of one tier.
struct MeasuredRatios {
  uint64_t sessions = 0;
  double stored_bytes = 0;
  double state_bytes = 0;    // at 16 bits a value
  double history_bytes = 0;  // of the listed commits' states
  uint64_t snapshots = 0;    // how many those are
};

// A tail is exact, whatever the tier of the segments before it.
bool IsAllOfTier(const SessionDetails& details, Tier tier) {
  const uint64_t tails = details.summary.tokens % kSegmentTokens == 0 ? 0 : 1;
  bool any = false;
  for (const auto& [stored, segments] : details.segments_by_tier) {
    if (stored == tier) {
      any = true;
    } else if (stored != Tier::kExact || segments != tails) {
      return false;
    }
  }
  return any;
}

Result<MeasuredRatios> MeasureRatios(Client* client, const ModelId& model,
                                     Tier tier, double token_bytes) {
  MeasuredRatios sum;
  std::string cursor;
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const auto page, client->List("", cursor, kPage));
    if (page.empty()) return sum;
    for (const SessionSummary& session : page) {
      if (session.model != model) continue;
      auto details = client->Describe(session.name);
      // Removed since it was listed.
      if (details.status().Is(StatusCode::kNotFound)) continue;
      REPRISE_RETURN_IF_ERROR(details.status());
      if (!IsAllOfTier(*details, tier)) continue;
      ++sum.sessions;
      sum.stored_bytes +=
          static_cast<double>(details->frame_bytes + details->record_bytes);
      sum.state_bytes += token_bytes * static_cast<double>(session.tokens);
      for (const CommitSummary& commit : details->history) {
        sum.history_bytes += token_bytes * static_cast<double>(commit.tokens);
        ++sum.snapshots;
      }
    }
    cursor = page.back().name;
  }
}

// Fills in what the store can tell.
Status MeasurePlan(CommandContext* context, const PlanArguments& arguments,
                   CapacityInput* input, MeasuredRatios* measured) {
  REPRISE_ASSIGN_OR_RETURN(const Tier tier, TierFromName(arguments.tier));
  REPRISE_ASSIGN_OR_RETURN(Client * client, context->Connect());
  REPRISE_ASSIGN_OR_RETURN(const ModelId model,
                           FindModel(client, arguments.model));
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, client->GetModelSpec(model));
  input->token_bytes = TokenBytesAt16Bits(spec);
  if (input->state_ratio != 0) return Status();
  REPRISE_ASSIGN_OR_RETURN(
      *measured, MeasureRatios(client, model, tier, input->token_bytes));
  const MeasuredRatios& ratios = *measured;
  if (ratios.sessions == 0) {
    return NotFoundError(
        "plan: no session of the model has all its segments "
        "at tier " +
        arguments.tier + "; save one, or give --state-ratio");
  }
  input->state_ratio = ratios.state_bytes / ratios.stored_bytes;
  if (input->history_ratio == 0) {
    input->history_ratio = ratios.history_bytes / ratios.stored_bytes;
  }
  return Status();
}

json LineJson(const CapacityLine& line) {
  return {{"user_bytes", line.user_bytes}, {"users", line.users}};
}

std::string RatioText(double ratio) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f x", ratio);
  return text;
}

// Ratios may be anything above 0, so this may be more than an integer holds.
uint64_t Whole(double number) {
  constexpr double kMost = 1e18;
  return static_cast<uint64_t>(std::min(number, kMost));
}

void AddLine(Table* table, const char* what, double ratio,
             const CapacityLine& line) {
  table->Add({what, RatioText(ratio), FormatBytes(Whole(line.user_bytes)),
              FormatCount(Whole(line.users))});
}

Status RunPlan(CommandContext* context, const PlanArguments& arguments) {
  CapacityInput input{
      .context_tokens = arguments.context_tokens,
      .memory_bytes = static_cast<double>(arguments.memory_bytes),
      .state_ratio = arguments.state_ratio,
      .history_ratio = arguments.history_ratio};
  MeasuredRatios measured;
  if (arguments.shape.empty()) {
    REPRISE_RETURN_IF_ERROR(MeasurePlan(context, arguments, &input, &measured));
  } else {
    input.token_bytes =
        CacheShape{arguments.shape[0], arguments.shape[1], arguments.shape[2]}
            .token_bytes();
    if (input.state_ratio == 0) input.state_ratio = 1;
  }
  REPRISE_ASSIGN_OR_RETURN(const CapacityPlan plan, PlanCapacity(input));
  Table table({"accounting", ">ratio", ">a user", ">users"});
  AddLine(&table, "none: 16 bits a value", 1, plan.plain);
  AddLine(&table, "state: what fits", input.state_ratio, plan.by_state);
  if (input.history_ratio != 0) {
    AddLine(&table, "history: not resident memory", input.history_ratio,
            plan.by_history);
  }
  std::string text = table.ToString();
  if (measured.sessions != 0) {
    text += "ratios measured on " + FormatCount(measured.sessions) +
            " stored sessions of tier " + arguments.tier + " with " +
            FormatCount(measured.snapshots) + " commits that are still kept\n";
  }
  context->Show({{"token_bytes", input.token_bytes},
                 {"context_tokens", input.context_tokens},
                 {"memory_bytes", input.memory_bytes},
                 {"state_ratio", input.state_ratio},
                 {"history_ratio", input.history_ratio},
                 {"sessions_measured", measured.sessions},
                 {"snapshots_measured", measured.snapshots},
                 {"plain", LineJson(plan.plain)},
                 {"by_state", LineJson(plan.by_state)},
                 {"by_history", LineJson(plan.by_history)}},
                text);
  return Status();
}

void AddPlan(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<PlanArguments>();
  auto* command = app->add_subcommand(
      "plan", "how many users' states fit into a device's memory");
  command->add_option("--model", arguments->model,
                      "begin of a stored model's id");
  command->add_option("--shape", arguments->shape, "layers,KV heads,head_dim")
      ->expected(3)
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--context", arguments->context_tokens, "tokens a user")
      ->required()
      ->check(CLI::Range(1, 1 << 30));
  command
      ->add_option("--memory", arguments->memory_bytes,
                   "of the device: 80GB, 64GiB")
      ->required()
      ->transform(CLI::AsSizeValue(true))
      ->option_text("SIZE REQUIRED");
  command->add_option("--tier", arguments->tier, "of the sessions to measure")
      ->capture_default_str();
  command->add_option("--state-ratio", arguments->state_ratio,
                      "instead of a measured one");
  command->add_option("--history-ratio", arguments->history_ratio,
                      "instead of a measured one");
  command->callback([context, arguments] {
    context->run = [=] { return RunPlan(context, *arguments); };
  });
}

}  // namespace

void AddModelCommands(CLI::App* app, CommandContext* context) {
  AddPlan(app, context);
}

}  // namespace reprise
