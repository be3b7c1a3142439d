#include "client/frame_book.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace reprise {
namespace {

using Part = FrameBook::Part;
using Parts = std::vector<Part>;

// Three segments, each with a frame for each of two groups.
FrameBook SmallBook() {
  FrameBook book(2);
  for (int i = 0; i < 3; ++i) book.AddSegment({{0}, {1}});
  return book;
}

// Fetches part by part; each brings all of it.
Parts FetchAll(FrameBook book, uint32_t end_segment, bool token_major) {
  Parts parts;
  while (const auto part = book.NextMissing(
             {.end_segment = end_segment, .token_major = token_major})) {
    parts.push_back(*part);
    book.GiveUp(*part, [](uint32_t, uint32_t) {});
  }
  return parts;
}

TEST(FrameBookTest, AFrameComesOnceAStream) {
  FrameBook book = SmallBook();
  const auto first = book.Take(1, 1);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(*first);
  EXPECT_EQ(book.Take(1, 1).status().message(),
            "restore: frame 1 of segment 1 came twice");
  EXPECT_EQ(book.Take(1, 2).status().message(),
            "restore: frame 2 of segment 1, which has 2");
  book.BeginStream();
  const auto again = book.Take(1, 1);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(*again);
  EXPECT_TRUE(book.Take(1, 1).status().Is(StatusCode::kDataLoss));
  EXPECT_EQ(book.taken_count(), 1u);
}

TEST(FrameBookTest, WhatIsGivenUpIsNamedOnce) {
  FrameBook book = SmallBook();
  ASSERT_TRUE(book.Take(0, 1).ok());
  std::vector<std::pair<uint32_t, uint32_t>> lost;
  const auto note = [&](uint32_t s, uint32_t g) { lost.emplace_back(s, g); };
  book.GiveUp({0, 2, 1, 2}, note);
  EXPECT_EQ(lost, (std::vector<std::pair<uint32_t, uint32_t>>{{1, 1}}));
  book.GiveUp(book.Whole(), note);
  EXPECT_EQ(lost.size(), 5u);
  book.GiveUp(book.Whole(), note);
  EXPECT_EQ(lost.size(), 5u);
  const auto late = book.Take(2, 0);
  ASSERT_TRUE(late.ok());
  EXPECT_FALSE(*late);
}

TEST(FrameBookTest, TheRestOfALayerComesFirst) {
  FrameBook book = SmallBook();
  EXPECT_EQ(FetchAll(book, 3, false), Parts{book.Whole()});
  ASSERT_TRUE(book.Take(0, 0).ok());
  EXPECT_EQ(FetchAll(book, 3, false), (Parts{{1, 3, 0, 1}, {0, 3, 1, 2}}));
  // After a loss only what comes before it.
  EXPECT_EQ(FetchAll(book, 1, false), (Parts{{0, 1, 1, 2}}));
  EXPECT_EQ(FetchAll(book, 0, false), Parts{});
  ASSERT_TRUE(book.Take(1, 0).ok());
  ASSERT_TRUE(book.Take(2, 0).ok());
  EXPECT_EQ(FetchAll(book, 3, false), (Parts{{0, 3, 1, 2}}));
}

TEST(FrameBookTest, TheRestOfASegmentComesFirst) {
  FrameBook book = SmallBook();
  EXPECT_EQ(FetchAll(book, 3, true), Parts{book.Whole()});
  ASSERT_TRUE(book.Take(0, 0).ok());
  EXPECT_EQ(FetchAll(book, 3, true), (Parts{{0, 1, 1, 2}, {1, 3, 0, 2}}));
  ASSERT_TRUE(book.Take(0, 1).ok());
  EXPECT_EQ(FetchAll(book, 3, true), (Parts{{1, 3, 0, 2}}));
}

// Whatever came: parts hold each missing frame once, and no other.
TEST(FrameBookTest, PartsHoldWhatIsMissingAndNothingElse) {
  for (uint32_t came = 0; came < 64; ++came) {
    for (const bool token_major : {false, true}) {
      FrameBook book = SmallBook();
      for (uint32_t i = 0; i < 6; ++i) {
        if ((came >> i & 1) == 0) continue;
        ASSERT_TRUE(book.Take(i / 2, i % 2).ok());
      }
      uint32_t fetched = 0;
      for (const Part& part : FetchAll(book, 3, token_major)) {
        for (uint32_t s = part.first_segment; s < part.end_segment; ++s) {
          for (uint32_t g = part.first_group; g < part.end_group; ++g) {
            EXPECT_EQ(fetched >> (2 * s + g) & 1, 0u);
            fetched |= 1u << (2 * s + g);
          }
        }
      }
      EXPECT_EQ(fetched, 63 ^ came) << token_major;
    }
  }
}

// --- Stages. ---

// Two segments of two groups and three stages, in the order of a rendition.
FrameBook StagedBook() {
  FrameBook book(2);
  for (int i = 0; i < 2; ++i) {
    book.AddSegment({{0, 0}, {1, 0}, {0, 1}, {1, 1}, {0, 2}, {1, 2}});
  }
  return book;
}

TEST(FrameBookTest, StagesAreFetchedByThemselves) {
  FrameBook book = StagedBook();
  EXPECT_EQ(book.Whole(), (Part{0, 2, 0, 2, 0, 3}));
  EXPECT_EQ(book.NextMissing({}), book.Whole());
  EXPECT_EQ(book.NextMissing({.end_stage = 1}), (Part{0, 2, 0, 2, 0, 1}));
  EXPECT_EQ(book.NextMissing({.with_base_only = true}), std::nullopt);
  // The base of the first segment is here.
  ASSERT_TRUE(book.Take(0, 0).ok());
  ASSERT_TRUE(book.Take(0, 1).ok());
  EXPECT_EQ(book.NextMissing({.end_stage = 1}), (Part{1, 2, 0, 2, 0, 1}));
  EXPECT_EQ(book.NextMissing({.with_base_only = true}),
            (Part{0, 1, 0, 2, 1, 3}));
  EXPECT_EQ(book.NextMissing({}), (Part{0, 1, 0, 2, 1, 3}));
  // And the last stage of one group: what is between comes along.
  ASSERT_TRUE(book.Take(1, 2).ok());
  book.GiveUp({0, 1, 0, 2, 1, 3}, [](uint32_t, uint32_t) {});
  EXPECT_EQ(book.NextMissing({}), (Part{1, 2, 0, 1, 0, 3}));
}

TEST(FrameBookTest, AForgottenFrameIsMissingInTheNextStream) {
  FrameBook book = StagedBook();
  ASSERT_TRUE(book.Take(0, 0).ok());
  EXPECT_TRUE(book.is_taken(0, 0));
  book.Forget(0, 0);
  EXPECT_FALSE(book.is_taken(0, 0));
  EXPECT_EQ(book.taken_count(), 0u);
  size_t lost = 0;
  book.GiveUp(book.Whole(), [&](uint32_t, uint32_t) { ++lost; });
  EXPECT_EQ(lost, 11u);
  EXPECT_EQ(book.NextMissing({}), (Part{0, 1, 0, 1, 0, 1}));
  book.BeginStream();
  const auto again = book.Take(0, 0);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(*again);
  EXPECT_EQ(book.NextMissing({}), std::nullopt);
}

}  // namespace
}  // namespace reprise
