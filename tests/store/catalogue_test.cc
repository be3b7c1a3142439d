// Models, profiles, match, fetch and sessions.
#include "store/catalogue.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/store/catalogue_fixture.h"

namespace reprise {
namespace {

class CatalogueTest : public CatalogueFixture {};

TEST_F(CatalogueTest, SavesAndReadsBack) {
  const auto tokens = ToyTokens(1, 200);
  const auto saved = worker_.Save("chat", tokens);
  REPRISE_ASSERT_OK(saved.status());
  EXPECT_EQ(1u, saved->version);
  EXPECT_NE(0u, saved->incarnation);
  EXPECT_FALSE(saved->repeated);

  FetchRequest request;
  request.session = "chat";
  const auto plan = catalogue_->PlanFetch(tenant_, request);
  REPRISE_ASSERT_OK(plan.status());
  EXPECT_EQ(saved->commit, plan->commit);
  EXPECT_EQ(200u, plan->token_count);
  ASSERT_EQ(4u, plan->segments.size());
  EXPECT_EQ(8u, plan->segments[3].token_count);
  std::vector<TokenId> read;
  for (const FetchSegment& segment : plan->segments) {
    read.insert(read.end(), segment.segment.tokens.begin(),
                segment.segment.tokens.end());
  }
  EXPECT_EQ(tokens, read);
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

}  // namespace
}  // namespace reprise
