// An empty directory for one test case, removed with everything in it.
#ifndef REPRISE_TESTS_STORE_SCRATCH_DIRECTORY_H_
#define REPRISE_TESTS_STORE_SCRATCH_DIRECTORY_H_

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace reprise {

class ScratchDirectory {
 public:
  ScratchDirectory() {
    const char* root = getenv("TEST_TMPDIR");
    path_ = std::string(root != nullptr ? root : "/tmp") + "/scratch.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) {
      std::perror(path_.c_str());
      std::abort();
    }
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_STORE_SCRATCH_DIRECTORY_H_
