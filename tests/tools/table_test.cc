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

TEST(TableTest, HidesControlBytesOfNames) {
  EXPECT_EQ(Printable("a\033[2Jb\n"), "a?[2Jb?");
}

}  // namespace
}  // namespace reprise
