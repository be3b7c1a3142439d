// A session's settings: its policy and TTL, and its pin.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/handler_call.h"
#include "store/ladder.h"
#include "store/policy.h"
#include "store/policy_rules.h"

namespace reprise {
namespace {

// wire::SetPolicy::ttl_ms when it says nothing.
constexpr int64_t kTtlAsItIs = -1;

HandlerReply SettingsAnswer(const HandlerCall& call,
                            const SessionRecord& session) {
  wire::SettingsReplyT reply;
  reply.policy = session.policy;
  reply.ttl_ms = session.ttl_ms;
  reply.pinned_until_ms = session.pinned_until_ms;
  reply.effective = EffectivePolicyOf(call, session);
  return call.Only(reply);
}

// How the policy's tiers are made, of those that are.
std::vector<std::unique_ptr<wire::TierCodecT>> CodecsOf(
    const PolicyRules& rules, const Policy& policy) {
  std::vector<std::unique_ptr<wire::TierCodecT>> out;
  const Ladder* const ladder = FindLadder(rules.ladders, policy.ladder);
  if (ladder == nullptr) return out;
  for (const PolicyRung& rung : policy.rungs) {
    const LadderTier* const made = ladder->Find(rung.tier);
    if (made == nullptr || rung.tier == Tier::kExact) continue;
    auto codec = std::make_unique<wire::TierCodecT>();
    codec->tier = static_cast<uint8_t>(rung.tier);
    codec->codec = made->codec_choice;
    out.push_back(std::move(codec));
  }
  return out;
}

}  // namespace

std::unique_ptr<wire::EffectivePolicyT> EffectivePolicyOf(
    const HandlerCall& call, const SessionRecord& session) {
  const PolicyRules& rules = call.context.policies;
  auto effective = std::make_unique<wire::EffectivePolicyT>();
  effective->ttl_ms = TtlOf(rules, session);
  const Result<Policy> policy = PolicyOf(rules, session);
  if (policy.ok()) {
    effective->policy = FormatPolicy(*policy);
    effective->codecs = CodecsOf(rules, *policy);
  } else {
    effective->problem = policy.status().message();
  }
  return effective;
}

Result<HandlerReply> HandleSetPolicy(const HandlerCall& call,
                                     const wire::SetPolicy& set) {
  REPRISE_ASSIGN_OR_RETURN(const std::string_view name,
                           CheckName("set policy", set.session()));
  const std::string_view text = TextFromWire(set.policy());
  PolicyChange change;
  if (!text.empty()) {
    if (set.default_policy()) {
      return InvalidArgumentError(
          "set policy: there are both a policy and the wish for the default");
    }
    REPRISE_ASSIGN_OR_RETURN(const Policy policy, ParsePolicy(text));
    REPRISE_RETURN_IF_ERROR(CheckPolicy(call.context.policies, policy));
    change.policy = text;
  } else if (set.default_policy()) {
    change.policy = "";
  }
  if (set.ttl_ms() != kTtlAsItIs) change.ttl_ms = set.ttl_ms();
  REPRISE_ASSIGN_OR_RETURN(
      const SessionRecord session,
      call.catalogue()->SetPolicy(call.tenant(), name, change));
  return SettingsAnswer(call, session);
}

Result<HandlerReply> HandlePin(const HandlerCall& call, const wire::Pin& pin) {
  REPRISE_ASSIGN_OR_RETURN(const std::string_view name,
                           CheckName("pin", pin.session()));
  REPRISE_ASSIGN_OR_RETURN(
      const SessionRecord session,
      call.catalogue()->Pin(call.tenant(), name, pin.until_ms()));
  return SettingsAnswer(call, session);
}

}  // namespace reprise
