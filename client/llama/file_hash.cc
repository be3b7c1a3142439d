#include "client/llama/file_hash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>

namespace reprise {
namespace {

constexpr size_t kReadBytes = 1 << 20;
// A file that changed a moment ago may change again within the same tick of
// its file system's clock: such a digest is not kept.
constexpr int64_t kSettledNs = 2'000'000'000;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// What a digest is believed by.
struct Stamp {
  int64_t bytes = 0;
  int64_t changed_ns = 0;
  bool operator==(const Stamp&) const = default;
};

std::optional<Stamp> StampOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return Stamp{info.st_size, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 +
                                 info.st_mtim.tv_nsec};
}

std::string Line(const Stamp& stamp, const Sha256Digest& digest) {
  return "reprise-sha256 1 " + std::to_string(stamp.bytes) + " " +
         std::to_string(stamp.changed_ns) + " " + digest.Hex() + "\n";
}

// The whole of a small file; empty when it can't be read or is not small.
std::string ReadSmallFile(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[256];
  const ssize_t got =
      file.get() < 0 ? -1 : read(file.get(), buffer, sizeof(buffer));
  if (got <= 0 || got == sizeof(buffer)) return "";
  return std::string(buffer, static_cast<size_t>(got));
}

std::optional<Sha256Digest> Recall(const std::string& sidecar,
                                   const Stamp& stamp) {
  constexpr size_t kHexDigits = 64;
  const std::string text = ReadSmallFile(sidecar);
  if (text.size() <= kHexDigits) return std::nullopt;
  auto digest = IdFromHex<Sha256Digest>(
      std::string_view(text).substr(text.size() - kHexDigits - 1, kHexDigits));
  if (!digest.ok() || text != Line(stamp, *digest)) return std::nullopt;
  return *digest;
}

// Whole or not at all, also for those who read meanwhile.
bool Keep(const std::string& sidecar, const std::string& line) {
  std::string temporary = sidecar + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return false;
  const bool written =
      write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const bool closed = fchmod(fd, 0644) == 0 && close(fd) == 0;
  if (written && closed && rename(temporary.c_str(), sidecar.c_str()) == 0) {
    return true;
  }
  unlink(temporary.c_str());
  return false;
}

// $XDG_CACHE_HOME/reprise/sha256/DIGEST_OF_PATH, with its folders made.
std::string SidecarInCache(const std::string& path) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::string folder;
  if (cache != nullptr && *cache == '/') {
    folder = cache;
  } else if (home != nullptr && *home == '/') {
    folder = std::string(home) + "/.cache";
  } else {
    return "";
  }
  for (const char* part : {"", "/reprise", "/sha256"}) {
    folder += part;
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return "";
  }
  return folder + "/" + Sha256(AsBytes(path)).Hex();
}

std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(
      realpath(path.c_str(), nullptr), &std::free);
  return real != nullptr ? std::string(real.get()) : path;
}

Result<Sha256Digest> HashDescriptor(int fd, const std::string& path) {
  auto buffer = std::make_unique_for_overwrite<uint8_t[]>(kReadBytes);
  Sha256Stream stream;
  for (;;) {
    const ssize_t got = read(fd, buffer.get(), kReadBytes);
    if (got == 0) return stream.Finish();
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return NotFoundError("file hash: reading " + path + ": " +
                           std::strerror(errno));
    }
    stream.Update({buffer.get(), static_cast<size_t>(got)});
  }
}

}  // namespace

Result<FileHash> HashFile(const std::string& path) {
  const std::string real = RealPath(path);
  const Descriptor file(open(real.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    return NotFoundError("file hash: opening " + path + ": " +
                         std::strerror(errno));
  }
  const std::optional<Stamp> stamp = StampOf(file.get());
  if (!stamp) return NotFoundError("file hash: " + path + " is no file");
  const std::string beside = real + ".reprise-sha256";
  const std::string in_cache = SidecarInCache(real);
  for (const std::string& sidecar : {beside, in_cache}) {
    if (const auto digest = Recall(sidecar, *stamp)) {
      return FileHash{*digest, true};
    }
  }
  REPRISE_ASSIGN_OR_RETURN(const Sha256Digest digest,
                           HashDescriptor(file.get(), path));
  if (StampOf(file.get()) != stamp) {
    return UnavailableError("file hash: " + path +
                            " changed while it was read");
  }
  const int64_t now_ns = int64_t{std::time(nullptr)} * 1'000'000'000;
  if (now_ns - stamp->changed_ns > kSettledNs) {
    const std::string line = Line(*stamp, digest);
    if (!Keep(beside, line) && !in_cache.empty()) Keep(in_cache, line);
  }
  return FileHash{digest, false};
}

}  // namespace reprise
