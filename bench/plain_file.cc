#include "bench/plain_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "base/bytes.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kPieceBytes = 1 << 20;

}  // namespace

void WritePlainFile(const std::string& path, uint64_t bytes,
                    uint64_t sync_every) {
  std::filesystem::remove(path);
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  if (fd < 0) return;
  const Bytes buffer(kPieceBytes, 0x5a);
  for (uint64_t done = 0; done < bytes; done += kPieceBytes) {
    if (write(fd, buffer.data(), kPieceBytes) < 0) break;
    if (sync_every > 0 && (done + kPieceBytes) % sync_every == 0) fdatasync(fd);
  }
  fdatasync(fd);
  close(fd);
}

std::vector<std::string> FilesOf(const std::string& dir) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}

uint64_t ReadFiles(const std::vector<std::string>& files) {
  Bytes buffer(kPieceBytes);
  uint64_t bytes = 0;
  for (const std::string& path : files) {
    const int fd = open(path.c_str(), O_RDONLY);
    if (fd < 0) continue;
    ssize_t got = 0;
    while ((got = read(fd, buffer.data(), buffer.size())) > 0) {
      bytes += static_cast<uint64_t>(got);
    }
    close(fd);
  }
  return bytes;
}

void ForgetFiles(const std::vector<std::string>& files) {
  for (const std::string& path : files) {
    const int fd = open(path.c_str(), O_RDONLY);
    if (fd < 0) continue;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

}  // namespace reprise::bench
