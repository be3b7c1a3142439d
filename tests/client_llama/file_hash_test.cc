#include "client/llama/file_hash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/bytes.h"

namespace reprise {
namespace {

class FileHashTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/file_hash.XXXXXX";
    folder_ = mkdtemp(pattern.data());
    setenv("XDG_CACHE_HOME", (folder_ + "/cache").c_str(), 1);
    path_ = folder_ + "/weights";
    sidecar_ = path_ + ".reprise-sha256";
  }

  // With a time of last change some while ago.
  void Write(const std::string& text, int64_t age_s = 60) {
    std::ofstream(path_, std::ios::trunc) << text;
    const timespec then = {time(nullptr) - age_s, 0};
    const timespec times[2] = {then, then};
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  }

  std::string folder_;
  std::string path_;
  std::string sidecar_;
};

TEST_F(FileHashTest, RemembersWhatItComputed) {
  Write("some weights");
  Result<FileHash> first = HashFile(path_);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_FALSE(first->remembered);
  EXPECT_EQ(first->digest, Sha256(AsBytes("some weights")));
  Result<FileHash> second = HashFile(path_);
  EXPECT_TRUE(second->remembered);
  EXPECT_EQ(second->digest, first->digest);
  const std::string link = folder_ + "/link";
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_TRUE(HashFile(link)->remembered);
}

TEST_F(FileHashTest, ForgetsWhenSizeOrTimeChange) {
  Write("some weights");
  ASSERT_TRUE(HashFile(path_).ok());
  Write("other weighs", 50);
  EXPECT_EQ(HashFile(path_)->digest, Sha256(AsBytes("other weighs")));
  Write("weights that are longer", 50);
  EXPECT_EQ(HashFile(path_)->digest,
            Sha256(AsBytes("weights that are longer")));
}

TEST_F(FileHashTest, KeepsNothingOfAFileThatChangedJustNow) {
  Write("some weights", 0);
  ASSERT_TRUE(HashFile(path_).ok());
  EXPECT_FALSE(HashFile(path_)->remembered);
}

TEST_F(FileHashTest, DoesNotBelieveADamagedSidecar) {
  Write("some weights");
  const Sha256Digest digest = HashFile(path_)->digest;
  const std::string line = Read(sidecar_);
  ASSERT_FALSE(line.empty());
  const std::string damaged[] = {"", line.substr(1), line + line,
                                 line.substr(0, line.size() - 1),
                                 std::string(4096, '0')};
  for (const std::string& text : damaged) {
    std::ofstream(sidecar_, std::ios::trunc) << text;
    Result<FileHash> hash = HashFile(path_);
    ASSERT_TRUE(hash.ok());
    EXPECT_FALSE(hash->remembered);
    EXPECT_EQ(hash->digest, digest);
  }
}

TEST_F(FileHashTest, UsesTheCacheWhereTheFolderCantBeWritten) {
  Write("some weights");
  // What can't be replaced by a file, even by root.
  ASSERT_EQ(mkdir(sidecar_.c_str(), 0755), 0);
  EXPECT_FALSE(HashFile(path_)->remembered);
  EXPECT_TRUE(HashFile(path_)->remembered);
}

TEST_F(FileHashTest, SaysWhatCantBeRead) {
  EXPECT_EQ(HashFile(folder_ + "/missing").status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(HashFile(folder_).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace reprise
