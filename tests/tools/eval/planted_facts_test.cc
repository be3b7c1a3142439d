#include "tools/eval/planted_facts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace reprise {
namespace {

bool EqualFacts(const std::vector<Fact>& a, const std::vector<Fact>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Fact& x, const Fact& y) {
                      return x.question == y.question && x.answer == y.answer;
                    });
}

TEST(PlantedFactsTest, FactsAreSeededAndOnDifferentNames) {
  const std::string kBeforeName = "\nThe access code is ";
  std::set<std::string> answers;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<Fact> facts = MakeFacts(kMaxFacts, seed);
    EXPECT_TRUE(EqualFacts(facts, MakeFacts(kMaxFacts, seed)));
    EXPECT_FALSE(EqualFacts(facts, MakeFacts(kMaxFacts, seed + 1)));
    std::set<std::string> first_words, last_words;
    for (const Fact& fact : facts) {
      const std::string name = fact.question.substr(kBeforeName.size());
      first_words.insert(name.substr(0, name.find(' ')));
      last_words.insert(name.substr(name.find(' ')));
      answers.insert(fact.answer);
      const auto digits =
          std::count_if(fact.answer.begin(), fact.answer.end(),
                        [](char c) { return c >= '0' && c <= '9'; });
      EXPECT_EQ(digits, 5) << fact.answer;
    }
    EXPECT_EQ(first_words.size(), kMaxFacts);
    EXPECT_EQ(last_words.size(), kMaxFacts);
  }
  EXPECT_GT(answers.size(), 20u * kMaxFacts - 10);
}

TEST(PlantedFactsTest, BordersAreEndsOfSentencesAndLines) {
  EXPECT_TRUE(IsBorder("\n", "The"));
  EXPECT_TRUE(IsBorder(" =\n", "\n"));
  EXPECT_TRUE(IsBorder(".", " The"));
  EXPECT_TRUE(IsBorder(" ?", "\n"));
  EXPECT_TRUE(IsBorder(" .", ""));
  EXPECT_FALSE(IsBorder(".", "5"));
  EXPECT_FALSE(IsBorder(".", "S"));
  EXPECT_FALSE(IsBorder(",", " and"));
  EXPECT_FALSE(IsBorder("", " The"));
}

// Text is 0, 1, 2, ...; facts are tokens from 1,000 on.
class PlantFactsTest : public testing::Test {
 protected:
  PlantFactsTest() : text_(500) {
    std::iota(text_.begin(), text_.end(), 0);
    for (size_t i = 10; i < text_.size(); i += 10) borders_.push_back(i);
    request_.text = text_;
    request_.borders = borders_;
    for (TokenId i = 0; i < 8; ++i) {
      const TokenId id = 1000 + 10 * i;
      request_.facts.push_back({{id, id + 1}, {id + 2}, {id + 3}});
    }
    request_.window_tokens = 500;
    request_.coded_tokens = 448;
  }

  std::vector<TokenId> text_;
  std::vector<size_t> borders_;
  PlantRequest request_;
};

TEST_F(PlantFactsTest, AWindowIsTheTextWithTheFactsInIt) {
  std::set<std::vector<size_t>> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    request_.seed = seed;
    const auto planted = PlantFacts(request_);
    ASSERT_TRUE(planted.ok()) << planted.status().ToString();
    ASSERT_EQ(planted->tokens.size(), 500u);
    std::vector<TokenId> rest = planted->tokens;
    for (size_t i = 8; i-- > 0;) {
      const auto at = rest.begin() + static_cast<ptrdiff_t>(planted->places[i]);
      const TokenId id = 1000 + 10 * static_cast<TokenId>(i);
      EXPECT_EQ(std::vector<TokenId>(at, at + 4),
                (std::vector<TokenId>{id, id + 1, id + 2, id + 3}));
      EXPECT_LE(planted->places[i] + 4, request_.coded_tokens);
      rest.erase(at, at + 4);
      // What came before it is a whole number of sentences.
      EXPECT_EQ((planted->places[i] - 4 * i) % 10, 0u);
    }
    EXPECT_EQ(rest, std::vector<TokenId>(text_.begin(), text_.begin() + 468));
    // As long as there are enough borders, no two facts share one.
    for (size_t i = 0; i + 1 < 8; ++i) {
      EXPECT_GT(planted->places[i + 1], planted->places[i] + 4);
    }
    seen.insert(planted->places);
  }
  EXPECT_GT(seen.size(), 45u);
}

TEST_F(PlantFactsTest, FactsShareBordersWhenThereAreFew) {
  borders_ = {30, 490};
  request_.borders = borders_;
  const auto planted = PlantFacts(request_);
  ASSERT_TRUE(planted.ok());
  EXPECT_EQ(planted->places.front(), 30u);
  EXPECT_EQ(planted->places.back(), 30u + 7 * 4);
}

TEST_F(PlantFactsTest, SaysWhatIsTooShort) {
  const auto message = [this] {
    return std::string(PlantFacts(request_).status().message());
  };
  request_.coded_tokens = 32;
  EXPECT_NE(message().find("32 coded tokens, 33 are wanted"), std::string::npos)
      << message();
  request_.coded_tokens = 448;
  request_.text = request_.text.first(467);
  EXPECT_NE(message().find("467 tokens of text, 468 are wanted"),
            std::string::npos)
      << message();
  request_.text = text_;
  borders_ = {448 - 31};
  request_.borders = borders_;
  EXPECT_NE(message().find("0 ends of sentences"), std::string::npos)
      << message();
}

}  // namespace
}  // namespace reprise
