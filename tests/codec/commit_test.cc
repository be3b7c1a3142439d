#include "codec/commit.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "base/limits.h"

namespace reprise {
namespace {

// Offsets of docs/format/commit.md.
constexpr size_t kVersionAt = 4;
constexpr size_t kEndAt = 6;
constexpr size_t kPendingCountAt = 7;
constexpr size_t kTokenCountAt = 72;
constexpr size_t kTailAt = 88;
constexpr size_t kSegmentCountAt = 120;
constexpr size_t kSegmentsAt = 124;

SegmentId Id(uint8_t fill) {
  SegmentId id;
  id.bytes.fill(fill);
  return id;
}

// A commit of `tokens` tokens in `segments` whole segments.
CommitRecord Make(CommitEnd end, size_t segments, uint64_t tokens,
                  bool tail = false) {
  CommitRecord record;
  record.parent.bytes.fill(0xaa);
  record.model.bytes.fill(0xbb);
  record.end = end;
  record.token_count = tokens;
  for (size_t i = 0; i < segments; ++i) {
    record.segments.push_back(Id(static_cast<uint8_t>(i + 1)));
  }
  if (tail) record.tail = Id(0xcc);
  record.pending = {-1, 0, 1 << 30};
  record.time_ms = -5;
  return record;
}

CommitRecord WithTail() { return Make(CommitEnd::kTail, 2, 2 * 64 + 9, true); }

// As a writer would that checks nothing: the checksum fits.
void Seal(Bytes* bytes) {
  const size_t size = bytes->size() - 8;
  StoreLe(bytes->data() + size, Checksum(ByteView(*bytes).first(size)));
}

template <typename T>
bool IsRefusedWith(const CommitRecord& record, size_t offset, T value) {
  Bytes bytes = EncodeCommit(record);
  StoreLe(bytes.data() + offset, value);
  Seal(&bytes);
  return DecodeCommit(bytes).status().Is(StatusCode::kDataLoss);
}

TEST(CommitTest, RoundTripsEveryKindOfEnd) {
  for (const CommitRecord& record :
       {CommitRecord(), Make(CommitEnd::kNothing, 0, 0),
        Make(CommitEnd::kNothing, 3, 3 * 64), WithTail(),
        Make(CommitEnd::kTail, 0, 1, true), Make(CommitEnd::kCut, 2, 64 + 1),
        Make(CommitEnd::kCut, 1, 63), Make(CommitEnd::kCut, 2, 128 + 5, true),
        Make(CommitEnd::kCut, 0, 5, true)}) {
    ASSERT_TRUE(ValidateCommit(record).ok());
    const Bytes bytes = EncodeCommit(record);
    EXPECT_EQ(bytes.size(), kSegmentsAt + 32 * record.segments.size() +
                                4 * record.pending.size() + 8);
    const auto decoded = DecodeCommit(bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    EXPECT_EQ(*decoded, record);
  }
}

TEST(CommitTest, IsNamedByTheDigestOfItsBytes) {
  const Bytes bytes = EncodeCommit(WithTail());
  EXPECT_EQ(CommitIdOf(bytes).bytes, Sha256(bytes).bytes);
  CommitRecord later = WithTail();
  later.time_ms++;
  EXPECT_NE(CommitIdOf(EncodeCommit(later)), CommitIdOf(bytes));
}

TEST(CommitTest, RefusesEveryTruncation) {
  const Bytes bytes = EncodeCommit(WithTail());
  for (size_t size = 0; size < bytes.size(); ++size) {
    Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_TRUE(DecodeCommit(cut).status().Is(StatusCode::kDataLoss)) << size;
    if (size < 8) continue;
    Seal(&cut);
    EXPECT_TRUE(DecodeCommit(cut).status().Is(StatusCode::kDataLoss)) << size;
  }
}

TEST(CommitTest, RefusesBytesAfterItsEnd) {
  Bytes bytes = EncodeCommit(WithTail());
  for (int i = 0; i < 40; ++i) {
    bytes.push_back(0);
    Seal(&bytes);
    EXPECT_TRUE(DecodeCommit(bytes).status().Is(StatusCode::kDataLoss)) << i;
  }
}

TEST(CommitTest, RefusesEveryFlippedBit) {
  Bytes bytes = EncodeCommit(WithTail());
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_TRUE(DecodeCommit(bytes).status().Is(StatusCode::kDataLoss)) << i;
      bytes[i] ^= static_cast<uint8_t>(1 << bit);
    }
  }
}

TEST(CommitTest, AcceptedBytesAreTheOnlyOnesOfTheirRecord) {
  // Whatever one byte is changed to under a checksum that fits: what is read
  // is written as the very same bytes.
  const Bytes good = EncodeCommit(WithTail());
  size_t accepted = 0;
  for (size_t i = 0; i + 8 < good.size(); ++i) {
    for (uint8_t mask : {0x01, 0x80, 0xff}) {
      Bytes bytes = good;
      bytes[i] ^= mask;
      Seal(&bytes);
      const auto decoded = DecodeCommit(bytes);
      if (!decoded.ok()) continue;
      ++accepted;
      EXPECT_EQ(EncodeCommit(*decoded), bytes) << i;
    }
  }
  EXPECT_GT(accepted, 3 * 32u);  // ids may be anything
}

TEST(CommitTest, RefusesFieldsThatDisagree) {
  const CommitRecord record = WithTail();
  EXPECT_TRUE(IsRefusedWith(record, 0, uint32_t{0x314d4353}));
  EXPECT_TRUE(IsRefusedWith(record, kVersionAt, uint16_t{2}));
  EXPECT_TRUE(IsRefusedWith(record, kVersionAt, uint16_t{0}));
  EXPECT_TRUE(IsRefusedWith(record, kEndAt, uint8_t{0}));
  EXPECT_TRUE(IsRefusedWith(record, kEndAt, uint8_t{3}));
  EXPECT_TRUE(IsRefusedWith(record, kEndAt, uint8_t{255}));
  EXPECT_TRUE(IsRefusedWith(record, kPendingCountAt, uint8_t{2}));
  EXPECT_TRUE(IsRefusedWith(record, kPendingCountAt, uint8_t{4}));
  EXPECT_TRUE(IsRefusedWith(record, kTokenCountAt, uint64_t{128}));
  EXPECT_TRUE(IsRefusedWith(record, kTokenCountAt, UINT64_MAX));
  for (uint32_t count : {0u, 1u, 3u, 65'537u, UINT32_MAX}) {
    EXPECT_TRUE(IsRefusedWith(record, kSegmentCountAt, count)) << count;
  }
  Bytes without_tail = EncodeCommit(record);
  std::fill_n(without_tail.begin() + kTailAt, 32, uint8_t{0});
  Seal(&without_tail);
  EXPECT_TRUE(DecodeCommit(without_tail).status().Is(StatusCode::kDataLoss));
}

// Which token counts an end may have, of all up to four segments.
std::vector<uint64_t> Allowed(CommitEnd end, size_t segments, bool tail) {
  std::vector<uint64_t> counts;
  for (uint64_t tokens = 0; tokens <= 256; ++tokens) {
    const Status status = ValidateCommit(Make(end, segments, tokens, tail));
    if (status.ok()) {
      counts.push_back(tokens);
    } else {
      EXPECT_TRUE(status.Is(StatusCode::kInvalidArgument));
    }
  }
  return counts;
}

std::vector<uint64_t> From(uint64_t first, uint64_t last) {
  std::vector<uint64_t> counts(last - first + 1);
  std::iota(counts.begin(), counts.end(), first);
  return counts;
}

TEST(CommitTest, TokenCountsFollowFromTheEnd) {
  using Counts = std::vector<uint64_t>;
  EXPECT_EQ(Allowed(CommitEnd::kNothing, 2, false), Counts{128});
  EXPECT_EQ(Allowed(CommitEnd::kNothing, 0, false), Counts{0});
  EXPECT_EQ(Allowed(CommitEnd::kNothing, 2, true), Counts());
  EXPECT_EQ(Allowed(CommitEnd::kTail, 2, true), From(129, 191));
  EXPECT_EQ(Allowed(CommitEnd::kTail, 0, true), From(1, 63));
  EXPECT_EQ(Allowed(CommitEnd::kTail, 2, false), Counts());
  EXPECT_EQ(Allowed(CommitEnd::kCut, 2, false), From(65, 127));
  EXPECT_EQ(Allowed(CommitEnd::kCut, 2, true), From(129, 191));
  EXPECT_EQ(Allowed(CommitEnd::kCut, 0, true), From(1, 63));
  EXPECT_EQ(Allowed(CommitEnd::kCut, 0, false), Counts());
  EXPECT_EQ(Allowed(static_cast<CommitEnd>(3), 2, true), Counts());
}

TEST(CommitTest, SegmentsAreLimited) {
  constexpr size_t kMost = kMaxSessionTokens / kSegmentTokens;
  const CommitRecord most = Make(CommitEnd::kNothing, kMost, kMaxSessionTokens);
  ASSERT_TRUE(ValidateCommit(most).ok());
  EXPECT_EQ(*DecodeCommit(EncodeCommit(most)), most);
  EXPECT_TRUE(ValidateCommit(Make(CommitEnd::kNothing, kMost + 1,
                                  kMaxSessionTokens + kSegmentTokens))
                  .Is(StatusCode::kInvalidArgument));
}

TEST(CommitTest, TokensAreLimited) {
  constexpr size_t kMost = kMaxSessionTokens / kSegmentTokens;
  EXPECT_TRUE(
      ValidateCommit(Make(CommitEnd::kTail, kMost, kMaxSessionTokens + 1, true))
          .Is(StatusCode::kInvalidArgument));
}

TEST(CommitTest, PendingTokensAreLimited) {
  CommitRecord record = WithTail();
  record.pending.resize(kMaxPendingTokens);
  ASSERT_TRUE(ValidateCommit(record).ok());
  EXPECT_EQ(*DecodeCommit(EncodeCommit(record)), record);
  record.pending.push_back(1);
  EXPECT_TRUE(ValidateCommit(record).Is(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace reprise
