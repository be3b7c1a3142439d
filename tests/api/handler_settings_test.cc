// SetPolicy and Pin as requests, and what the daemon makes of the defaults.
#include "base/duration.h"
#include "store/policy_rules.h"
#include "tests/api/handler_fixture.h"

namespace reprise {
namespace {

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr char kPolicy[] = "exact 1h, near 1d, tokens";

class HandlerSettingsTest : public HandlerTest {
 protected:
  HandlerSettingsTest() { Save(); }

  static wire::SetPolicyT SetOf(const std::string& policy) {
    wire::SetPolicyT set;
    set.session = "chat";
    set.policy = policy;
    return set;
  }
  std::string PolicyError(const std::string& policy) {
    const RawMessage answer = Only(MessageType::kSetPolicy, SetOf(policy));
    EXPECT_EQ(answer.code(), kInvalid) << policy;
    return answer.error_message();
  }
  StatusCode TtlCode(int64_t ttl_ms) {
    wire::SetPolicyT set = SetOf("");
    set.ttl_ms = ttl_ms;
    return Code(MessageType::kSetPolicy, set);
  }
  StatusCode PinCode(int64_t until_ms) {
    wire::PinT pin;
    pin.session = "chat";
    pin.until_ms = until_ms;
    return Code(MessageType::kPin, pin);
  }
  RawMessage Described() {
    wire::DescribeT describe;
    describe.session = "chat";
    return Only(MessageType::kDescribe, describe);
  }
};

std::string Text(const flatbuffers::String* text) {
  return std::string(TextFromWire(text));
}

TEST_F(HandlerSettingsTest, AnswersWhatTheSessionHasAndFollows) {
  wire::SetPolicyT set = SetOf("exact 60m,near 24h,tokens");
  set.ttl_ms = kYearMs;
  const RawMessage answer = Only(MessageType::kSetPolicy, set);
  ASSERT_EQ(answer.error_message(), "");
  const auto& reply = answer.As<wire::SettingsReply>();
  EXPECT_EQ(Text(reply.policy()), kPolicy);
  EXPECT_EQ(reply.ttl_ms(), kYearMs);
  EXPECT_EQ(reply.pinned_until_ms(), 0);
  EXPECT_EQ(Text(reply.effective()->policy()), kPolicy);
  EXPECT_EQ(reply.effective()->ttl_ms(), kYearMs);
  EXPECT_EQ(Text(reply.effective()->problem()), "");
  ASSERT_NE(reply.effective()->codecs(), nullptr);
  ASSERT_EQ(reply.effective()->codecs()->size(), 1u);
  const wire::TierCodec* const near = reply.effective()->codecs()->Get(0);
  EXPECT_EQ(near->tier(), static_cast<uint8_t>(Tier::kNear));
  EXPECT_EQ(Text(near->codec()), "klt:tier=near");

  EXPECT_EQ(PinCode(kForeverMs), StatusCode::kOk);
  const RawMessage described = Described();
  const auto& now = described.As<wire::DescribeReply>();
  EXPECT_EQ(Text(now.session()->policy()), kPolicy);
  EXPECT_EQ(now.session()->ttl_ms(), kYearMs);
  EXPECT_EQ(now.session()->pinned_until_ms(), kForeverMs);
  EXPECT_EQ(Text(now.effective()->policy()), kPolicy);
  const RawMessage listed = Only(MessageType::kList, wire::ListT());
  const auto* session = listed.As<wire::ListReply>().sessions()->Get(0);
  EXPECT_EQ(session->ttl_ms(), kYearMs);
  EXPECT_EQ(session->pinned_until_ms(), kForeverMs);
}

TEST_F(HandlerSettingsTest, FillsInTheDaemonsDefaults) {
  context_.policies.policy = *ParsePolicy("series: exact 2h, tokens");
  context_.policies.ttl_ms = 5 * kYearMs;
  const RawMessage described = Described();
  const auto& now = described.As<wire::DescribeReply>();
  EXPECT_EQ(Text(now.session()->policy()), "");
  EXPECT_EQ(now.session()->ttl_ms(), 0);
  EXPECT_EQ(Text(now.effective()->policy()), "series: exact 2h, tokens");
  EXPECT_EQ(now.effective()->ttl_ms(), 5 * kYearMs);
}

TEST_F(HandlerSettingsTest, LeavesWhatIsNotNamed) {
  EXPECT_EQ(Code(MessageType::kSetPolicy, SetOf(kPolicy)), StatusCode::kOk);
  EXPECT_EQ(TtlCode(kDayMs), StatusCode::kOk);
  const SessionRecord record =
      catalogue_->GetSession(TenantDomain("default"), "chat")->record;
  EXPECT_EQ(record.policy, kPolicy);
  EXPECT_EQ(record.ttl_ms, kDayMs);
  EXPECT_EQ(record.version, 1u);
  wire::SetPolicyT back = SetOf("");
  back.default_policy = true;
  const RawMessage answer = Only(MessageType::kSetPolicy, back);
  EXPECT_EQ(Text(answer.As<wire::SettingsReply>().policy()), "");
  EXPECT_EQ(answer.As<wire::SettingsReply>().ttl_ms(), kDayMs);
  EXPECT_EQ(Text(answer.As<wire::SettingsReply>().effective()->policy()),
            kDefaultPolicyText);
}

TEST_F(HandlerSettingsTest, RefusesAMalformedPolicyWithItsColumn) {
  EXPECT_TRUE(PolicyError("exact 1h, nera 1d, tokens")
                  .starts_with("policy: column 11: a tier is expected: "));
  EXPECT_TRUE(PolicyError("exact 1h, near 1d")
                  .starts_with("policy: column 16: the end is expected: "));
  EXPECT_TRUE(PolicyError(std::string(1025, ' '))
                  .starts_with("policy: column 1025: the end is expected: "));
  EXPECT_EQ(Text(Described().As<wire::DescribeReply>().session()->policy()),
            "");
}

TEST_F(HandlerSettingsTest, RefusesLaddersAndTiersThatItDoesNotHave) {
  context_.policies.ladders.push_back(
      {"flat", {{Tier::kExact, "exact"}, {Tier::kArchive, "vq"}}});
  EXPECT_EQ(PolicyError("mine: exact"),
            "policy: there is no ladder \"mine\", there are default, series, "
            "series-vq, flat");
  EXPECT_EQ(PolicyError("flat: exact 1h, near 1d, tokens"),
            "policy: ladder \"flat\" has no tier near, it has exact, archive, "
            "tokens");
  EXPECT_EQ(Code(MessageType::kSetPolicy, SetOf("flat: exact 1h, archive")),
            StatusCode::kOk);
  // The ladder goes away with the next configuration: the policy stays, and
  // nothing takes its place.
  context_.policies = PolicyRules();
  const RawMessage described = Described();
  const auto& now = described.As<wire::DescribeReply>();
  EXPECT_EQ(Text(now.session()->policy()), "flat: exact 1h, archive");
  EXPECT_EQ(Text(now.effective()->policy()), "");
  EXPECT_EQ(Text(now.effective()->problem()),
            "the session's policy: there is no ladder \"flat\", there are "
            "default, series, series-vq");
}

TEST_F(HandlerSettingsTest, RefusesValuesOutOfRange) {
  for (const int64_t ttl_ms :
       {int64_t{-2}, int64_t{1}, int64_t{999}, kMaxDurationMs + 1, INT64_MIN}) {
    EXPECT_EQ(TtlCode(ttl_ms), kInvalid) << ttl_ms;
  }
  for (const int64_t ttl_ms :
       {int64_t{-1}, int64_t{0}, int64_t{1'000}, kMaxDurationMs, kForeverMs}) {
    EXPECT_EQ(TtlCode(ttl_ms), StatusCode::kOk) << ttl_ms;
  }
  for (const int64_t until_ms :
       {int64_t{-1}, int64_t{1}, SystemClock().WallMs(), INT64_MIN}) {
    EXPECT_EQ(PinCode(until_ms), kInvalid) << until_ms;
  }
  wire::SetPolicyT both = SetOf(kPolicy);
  both.default_policy = true;
  EXPECT_EQ(Code(MessageType::kSetPolicy, both), kInvalid);
}

TEST_F(HandlerSettingsTest, AreOfSessionsThatExist) {
  wire::SetPolicyT set = SetOf(kPolicy);
  wire::PinT pin;
  for (const std::string& name :
       {std::string("nobody"), std::string(256, 'n')}) {
    const StatusCode expected =
        name.size() > 255 ? kInvalid : StatusCode::kNotFound;
    set.session = name;
    pin.session = name;
    EXPECT_EQ(Code(MessageType::kSetPolicy, set), expected);
    EXPECT_EQ(Code(MessageType::kPin, pin), expected);
  }
}

}  // namespace
}  // namespace reprise
