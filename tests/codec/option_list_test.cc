#include "codec/option_list.h"

#include <gtest/gtest.h>

namespace reprise {
namespace {

struct Values {
  uint32_t bits = 4;
  double share = 0.5;
  uint32_t page = 0;
};

Status Parse(std::string_view text, Values* values) {
  constexpr std::string_view kPages[] = {"head", "layer"};
  OptionList list("toy", text);
  list.Take("bits", 2, 8, &values->bits);
  list.Take("share", 0.0, 1.0, &values->share);
  list.Take("page", kPages, &values->page);
  return list.Finish();
}

TEST(OptionListTest, LeavesDefaultsWhereNothingIsSaid) {
  Values values;
  EXPECT_TRUE(Parse("", &values).ok());
  EXPECT_EQ(values.bits, 4u);
}

TEST(OptionListTest, TakesNumbersAndWords) {
  Values values;
  ASSERT_TRUE(Parse("share=0.25,bits=8,page=layer", &values).ok());
  EXPECT_EQ(values.bits, 8u);
  EXPECT_EQ(values.share, 0.25);
  EXPECT_EQ(values.page, 1u);
}

TEST(OptionListTest, RefusesWithKeyValueAndWhatIsAllowed) {
  const std::pair<const char*, const char*> cases[] = {
      {"bits=9", "toy: bits is \"9\", allowed are whole numbers from 2 to 8"},
      {"bits=4x", "toy: bits is \"4x\", allowed are whole numbers from 2 to 8"},
      {"bits=-3", "toy: bits is \"-3\", allowed are whole numbers from 2 to 8"},
      {"bits=", "toy: bits is \"\", allowed are whole numbers from 2 to 8"},
      {"share=nan", "toy: share is \"nan\", allowed are numbers from 0 to 1"},
      {"share=1.5", "toy: share is \"1.5\", allowed are numbers from 0 to 1"},
      {"page=row", "toy: page is \"row\", allowed are head, layer"},
      {"bits=4,bits=5", "toy: bits is \"there twice\", allowed are once"},
      {"bits",
       "toy: options is \"bits\", allowed are key=value, with commas"
       " between"},
      {"depth=1", "toy: has no option \"depth\", it has bits, share, page"},
  };
  for (const auto& [text, message] : cases) {
    Values values;
    const Status status = Parse(text, &values);
    EXPECT_TRUE(status.Is(StatusCode::kInvalidArgument)) << text;
    EXPECT_EQ(status.message(), message) << text;
    EXPECT_EQ(values.bits, 4u) << text;
  }
}

}  // namespace
}  // namespace reprise
