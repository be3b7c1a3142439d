// The guide's programs run against a daemon.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/client/test_daemon.h"

namespace reprise {
namespace {

TEST(ExamplesTest, ResumeChatRestoresWhatItSaved) {
  TestDaemon daemon;
  const std::string program = "client/examples/resume_chat ";
  EXPECT_EQ(std::system((program + daemon.endpoint() + " chat").c_str()), 0);
}

// On a machine without a GPU this is the CPU path's.
TEST(ExamplesTest, ResumeOnGpuRestoresWhatItSaved) {
  TestDaemon daemon;
  const std::string program = "client/examples/resume_on_gpu ";
  EXPECT_EQ(std::system((program + daemon.endpoint() + " chat").c_str()), 0);
}

TEST(ExamplesTest, ResumeChatFailsWithoutADaemon) {
  EXPECT_NE(std::system("client/examples/resume_chat 127.0.0.1:1 chat"), 0);
}

}  // namespace
}  // namespace reprise
