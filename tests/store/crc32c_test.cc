#include "store/crc32c.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace reprise {
namespace {

TEST(Crc32cTest, GivesThePublishedValues) {
  // RFC 3720, appendix B.4, and the usual check value.
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c(Bytes(32, 0)), 0x8a9136aau);
  EXPECT_EQ(Crc32c(Bytes(32, 0xff)), 0x62a8ab43u);
  EXPECT_EQ(Crc32c({}), 0u);
}

TEST(Crc32cTest, InstructionAndTablesAgreeAtEveryLengthAndAlignment) {
  Bytes bytes(160);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i * 37 + 11);
  }
  for (size_t first = 0; first < 9; ++first) {
    for (size_t size = 0; first + size <= bytes.size(); ++size) {
      const ByteView view = ByteView(bytes).subspan(first, size);
      ASSERT_EQ(ExtendCrc32c(7, view), ExtendCrc32cPortable(7, view))
          << first << " " << size;
    }
  }
}

TEST(Crc32cTest, InstructionAndTablesAgreeOnLongInputs) {
  Bytes bytes(20'000);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>((i * i) >> 5);
  }
  for (size_t size = 3000; size <= bytes.size(); size += 509) {
    for (size_t first : {0, 1, 5}) {
      const ByteView view = ByteView(bytes).subspan(first, size - first);
      ASSERT_EQ(ExtendCrc32c(7, view), ExtendCrc32cPortable(7, view))
          << first << " " << size;
    }
  }
}

TEST(Crc32cTest, ExtendsWhatCameBefore) {
  const Bytes bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const uint32_t before = Crc32c(ByteView(bytes).first(cut));
    EXPECT_EQ(ExtendCrc32c(before, ByteView(bytes).subspan(cut)),
              Crc32c(bytes));
  }
}

}  // namespace
}  // namespace reprise
