#include "tools/table.h"

#include <gtest/gtest.h>

namespace reprise {
namespace {

TEST(TableTest, AlignsColumnsToTheirWidestCell) {
  Table table({"name", ">bytes", "note"});
  table.Add({"a", "1", ""});
  table.Add({"longer", "1,234", "x"});
  EXPECT_EQ(table.ToString(),
            "name    bytes  note\n"
            "a           1\n"
            "longer  1,234  x\n");
}

TEST(TableTest, FormatsBytesWithThreeDigitsOrSo) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(12ull << 20), "12.0 MiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16384.0 PiB");
}

TEST(TableTest, FormatsCountsInThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
}

TEST(TableTest, FormatsTimesInUtc) {
  EXPECT_EQ(FormatTime(0), "-");
  EXPECT_EQ(FormatTime(1'700'000'000'000), "2023-11-14 22:13:20");
}

TEST(TableTest, ReadsTimesInUtc) {
  const struct {
    const char* text;
    int64_t wall_ms;
  } kGood[] = {{"2023-11-14", 1'699'920'000'000},
               {"2023-11-14 22:13", 1'699'999'980'000},
               {"2023-11-14T22:13:20Z", 1'700'000'000'000},
               {"2023-11-14Z", 1'699'920'000'000},
               {"2024-02-29", 1'709'164'800'000}};
  for (const auto& each : kGood) {
    const Result<int64_t> wall_ms = ParseTime(each.text);
    ASSERT_TRUE(wall_ms.ok()) << each.text;
    EXPECT_EQ(*wall_ms, each.wall_ms) << each.text;
  }
  for (const char* bad :
       {"", "now", "2023", "14.11.2023", "2023-11-14 ", "2023-11-1422:13",
        "2023-02-29", "2023-13-01", "2023-00-10", "2023-11-31",
        "2023-11-14 24:00", "2023-11-14 22:60", "2023-11-14T22:13:20+01:00",
        "1970-01-01", "1969-12-31", " 2023-11-14", "+123-11-14"}) {
    EXPECT_TRUE(ParseTime(bad).status().Is(StatusCode::kInvalidArgument))
        << bad;
  }
}

TEST(TableTest, HidesControlBytesOfNames) {
  EXPECT_EQ(Printable("a\033[2Jb\n"), "a?[2Jb?");
}

}  // namespace
}  // namespace reprise
