// Records that were once written are read for good (tests/golden/README.md).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "store/quarantine_record.h"
#include "store/records.h"
#include "tests/support/hex_dump.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "tests/golden/record";

Bytes Golden(const std::string& name) {
  std::ifstream file(fs::path(kFolder) / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}

// What both versions of the session hold.
void ExpectSameSession(const SessionRecord& record) {
  EXPECT_EQ(ToHex(record.domain.bytes), "0bc1f90af260f32c903bbfb1844c1dd5");
  EXPECT_EQ(record.head.ShortHex(), "5af84745c544");
  EXPECT_EQ(record.incarnation, 9u);
  EXPECT_EQ(record.version, 2u);
  EXPECT_EQ(record.token_count, 67u);
  EXPECT_EQ(record.created_ms, 0);
  EXPECT_EQ(record.changed_ms, 0);
  ASSERT_EQ(record.labels.size(), 1u);
  EXPECT_EQ(record.labels[0],
            std::make_pair(std::string("a"), std::string("b")));
  EXPECT_EQ(record.recent.size(), 1u);
}

// Its policy was written when nobody read it, and is none: that is no reason
// to lose the session.
TEST(GoldenRecordTest, ASessionOfVersion1IsRead) {
  const Bytes bytes = Golden("session_1.bin");
  ASSERT_EQ(bytes.size(), 182u);
  EXPECT_EQ(bytes[2], 1);
  const auto record = DecodeSession(bytes);
  ASSERT_TRUE(record.ok()) << record.status().ToString();
  ExpectSameSession(*record);
  EXPECT_EQ(record->policy, "exact 1h");
  EXPECT_EQ(record->ttl_ms, 0);
  EXPECT_EQ(record->pinned_until_ms, 0);
  EXPECT_EQ(HexDump(EncodeSession(*record)), HexDump(bytes));
}

TEST(GoldenRecordTest, ASessionOfVersion2IsRead) {
  if (const char* out = std::getenv("REPRISE_WRITE_GOLDEN")) {
    auto record = DecodeSession(Golden("session_1.bin"));
    ASSERT_TRUE(record.ok());
    record->policy = "series: exact 1h, near 1d, tokens";
    record->ttl_ms = 90 * kDayMs;
    record->pinned_until_ms = kForeverMs;
    const fs::path path = fs::path(out) / "session_2.bin";
    if (fs::exists(path)) return;
    std::ofstream(path, std::ios::binary) << AsText(EncodeSession(*record));
    return;
  }
  const Bytes bytes = Golden("session_2.bin");
  ASSERT_EQ(bytes.size(), 182u + 25 + 16);
  EXPECT_EQ(bytes[2], 2);
  const auto record = DecodeSession(bytes);
  ASSERT_TRUE(record.ok()) << record.status().ToString();
  ExpectSameSession(*record);
  EXPECT_EQ(record->policy, "series: exact 1h, near 1d, tokens");
  EXPECT_EQ(record->ttl_ms, 7'776'000'000);
  EXPECT_EQ(record->pinned_until_ms, INT64_MAX);
  EXPECT_EQ(HexDump(EncodeSession(*record)), HexDump(bytes));
}

TEST(GoldenRecordTest, AClockIsRead) {
  constexpr int64_t kTimeMs = 1'700'000'000'000;
  if (const char* out = std::getenv("REPRISE_WRITE_GOLDEN")) {
    const fs::path path = fs::path(out) / "clock_1.bin";
    if (fs::exists(path)) return;
    std::ofstream(path, std::ios::binary) << AsText(EncodeClock(kTimeMs));
    return;
  }
  const Bytes bytes = Golden("clock_1.bin");
  ASSERT_EQ(bytes.size(), 20u);
  const auto time_ms = DecodeClock(bytes);
  ASSERT_TRUE(time_ms.ok()) << time_ms.status().ToString();
  EXPECT_EQ(*time_ms, kTimeMs);
  EXPECT_EQ(HexDump(EncodeClock(*time_ms)), HexDump(bytes));
  std::ifstream file("docs/format/records.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find(HexDump(bytes)), std::string::npos) << HexDump(bytes);
}

TEST(GoldenRecordTest, AQuarantineIsRead) {
  QuarantineRecord wanted;
  wanted.holds = QuarantineHolds::kCopy;
  wanted.was = StoredPlace::Of(HeadSpace::kSession, "0123456789abcdefchat");
  wanted.time_ms = 1'700'000'000'000;
  wanted.reason = "checksum differs";
  wanted.copy = {1, 2, 3};
  if (const char* out = std::getenv("REPRISE_WRITE_GOLDEN")) {
    const fs::path path = fs::path(out) / "quarantine_1.bin";
    if (fs::exists(path)) return;
    std::ofstream(path, std::ios::binary) << AsText(EncodeQuarantine(wanted));
    return;
  }
  const Bytes bytes = Golden("quarantine_1.bin");
  const auto record = DecodeQuarantine(bytes);
  ASSERT_TRUE(record.ok()) << record.status().ToString();
  EXPECT_EQ(*record, wanted);
  EXPECT_EQ(HexDump(EncodeQuarantine(*record)), HexDump(bytes));
  std::ifstream file("docs/format/records.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find(HexDump(bytes)), std::string::npos) << HexDump(bytes);
}

TEST(GoldenRecordTest, ThePageShowsASession) {
  std::ifstream file("docs/format/records.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find(HexDump(Golden("session_2.bin"))), std::string::npos);
}

}  // namespace
}  // namespace reprise
