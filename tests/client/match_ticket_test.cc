#include "client/match_ticket.h"

#include <gtest/gtest.h>

#include <string>

#include "base/limits.h"

namespace reprise {
namespace {

const MatchTicket kTicket{0x1122334455667788, ModelId{{1, 2, 3}}, 150};

void ExpectRefused(ByteView bytes, std::string_view text) {
  const auto ticket = DecodeMatchTicket(bytes);
  EXPECT_EQ(ticket.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(ticket.status().message().find(text), std::string_view::npos)
      << ticket.status().ToString();
}

TEST(MatchTicketTest, ComesBackAsItWas) {
  for (const uint64_t tokens :
       {uint64_t{1}, uint64_t{150}, kMaxSessionTokens}) {
    MatchTicket ticket = kTicket;
    ticket.tokens = tokens;
    const auto decoded = DecodeMatchTicket(EncodeMatchTicket(ticket));
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    EXPECT_EQ(*decoded, ticket);
  }
}

TEST(MatchTicketTest, RejectsOtherSizes) {
  Bytes bytes = EncodeMatchTicket(kTicket);
  ASSERT_EQ(bytes.size(), 60u);
  for (size_t size = 0; size < bytes.size(); ++size) {
    ExpectRefused(ByteView(bytes).first(size),
                  std::to_string(size) + " bytes, one has 60");
  }
  bytes.push_back(0);
  ExpectRefused(bytes, "61 bytes, one has 60");
}

TEST(MatchTicketTest, RejectsAFlippedBitAnywhere) {
  const Bytes bytes = EncodeMatchTicket(kTicket);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= 1 << (bit % 8);
    ExpectRefused(flipped, bit < 32 ? "wanted is 827018578"
                                    : "checksum of 52 bytes differs");
  }
}

TEST(MatchTicketTest, RejectsCountsThatCannotBe) {
  for (const uint64_t tokens : {uint64_t{0}, kMaxSessionTokens + 1}) {
    MatchTicket ticket = kTicket;
    ticket.tokens = tokens;
    ExpectRefused(EncodeMatchTicket(ticket),
                  std::to_string(tokens) + " tokens, 1 to 4194304");
  }
}

}  // namespace
}  // namespace reprise
