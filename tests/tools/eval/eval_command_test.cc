// `reprise eval` hands over to reprise-eval, or says what is missing.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace reprise {
namespace {

namespace fs = std::filesystem;

class EvalCommandTest : public testing::Test {
 protected:
  // A copy, so that nothing of the build lies beside it.
  EvalCommandTest() {
    fs::create_directories(folder_ / "eval");
    fs::copy_file("tools/reprise", folder_ / "reprise");
  }
  ~EvalCommandTest() override { fs::remove_all(folder_); }

  int Run(const std::string& arguments) {
    const std::string line = (folder_ / "reprise").string() + " " + arguments +
                             " >" + (folder_ / "out").string() + " 2>&1";
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string Output() const {
    std::ifstream file(folder_ / "out");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void WriteProgram(const fs::path& path) {
    std::ofstream(path) << "#!/bin/sh\necho \"ran $0 with $*\"\nexit 7\n";
    fs::permissions(path, fs::perms::owner_all);
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / "eval_command";
};

TEST_F(EvalCommandTest, SaysWhatIsMissing) {
  EXPECT_EQ(Run("eval --model m"), 1);
  EXPECT_NE(Output().find("fetch.sh"), std::string::npos) << Output();
}

TEST_F(EvalCommandTest, RunsTheProgramBesideIt) {
  WriteProgram(folder_ / "reprise-eval");
  EXPECT_EQ(Run("eval --model m"), 7);
  EXPECT_NE(Output().find("with --model m"), std::string::npos) << Output();
}

TEST_F(EvalCommandTest, FindsItInABuildToo) {
  WriteProgram(folder_ / "eval" / "reprise-eval");
  EXPECT_EQ(Run("eval"), 7);
}

TEST_F(EvalCommandTest, ProbeWeightsIsSuchAProgramToo) {
  EXPECT_EQ(Run("probe-weights m.gguf"), 1);
  EXPECT_NE(Output().find("//tools:reprise-probe-weights"), std::string::npos);
  WriteProgram(folder_ / "reprise-probe-weights");
  EXPECT_EQ(Run("probe-weights m.gguf"), 7);
  EXPECT_NE(Output().find("with m.gguf"), std::string::npos) << Output();
}

}  // namespace
}  // namespace reprise
