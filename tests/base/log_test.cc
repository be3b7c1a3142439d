#include "base/log.h"

#include <gtest/gtest.h>

#include <string>

namespace reprise {
namespace {

TEST(LogTest, KnowsTheLevelsOfItsMessage) {
  for (const char* level : {"trace", "debug", "info", "warn", "error", "off"}) {
    EXPECT_TRUE(InitLog(level).ok()) << level;
  }
}

TEST(LogTest, RejectsAnUnknownLevel) {
  EXPECT_TRUE(InitLog("loud").Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(InitLog("").Is(StatusCode::kInvalidArgument));
}

TEST(LogTest, WritesAtItsLevelAndAboveToStderr) {
  testing::internal::CaptureStderr();
  ASSERT_TRUE(InitLog("warn").ok());
  REPRISE_LOG_INFO("quiet {}", 1);
  REPRISE_LOG_WARN("loud {}", 2);
  REPRISE_LOG_ERROR("louder {}", 3);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("quiet"), std::string::npos);
  EXPECT_NE(text.find("warning loud 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("error louder 3\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace reprise
