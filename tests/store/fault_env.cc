#include "tests/store/fault_env.h"

#include <rocksdb/system_clock.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

namespace reprise {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr uint64_t kSectorBytes = 512;

class FaultFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(FaultFileSystem* fs, std::string path,
            std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)),
        fs_(fs),
        path_(std::move(path)) {}

  IOStatus Append(const Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    const IOStatus check = fs_->Check(FaultKind::kAppend);
    const Slice written(data.data(),
                        check.ok() ? data.size() : data.size() / 2);
    if (!check.ok() && fs_->plug_pulled_) return check;
    const IOStatus status = target()->Append(written, options, debug);
    if (!check.ok()) fs_->DieIfToKill();
    if (status.ok()) fs_->Appended(path_, written.size());
    return check.ok() ? status : check;
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fs_->Check(FaultKind::kSync);
    if (status.ok()) status = target()->Flush(options, debug);
    if (status.ok()) fs_->Synced(path_);
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&,
                     IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&,
                    IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  FaultFileSystem* const fs_;
  const std::string path_;
};

class FaultDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  FaultDirectory(FaultFileSystem* fs,
                 std::unique_ptr<rocksdb::FSDirectory> directory)
      : FSDirectoryWrapper(std::move(directory)), fs_(fs) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    const IOStatus check = fs_->Check(FaultKind::kSync);
    if (check.ok()) fs_->DirectorySynced();
    return check;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }

 private:
  FaultFileSystem* const fs_;
};

FaultFileSystem::FaultFileSystem()
    : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

void FaultFileSystem::FailAt(FaultKind kind, int64_t count, IOStatus error,
                             bool lasting) {
  std::lock_guard lock(mutex_);
  fail_kind_ = kind;
  fail_count_ = count;
  fail_error_ = error;
  fail_lasting_ = lasting;
  fail_kills_ = false;
  failed_ = false;
}

void FaultFileSystem::KillAt(FaultKind kind, int64_t count) {
  FailAt(kind, count, IOStatus::Aborted("killed"), /*lasting=*/false);
  std::lock_guard lock(mutex_);
  fail_kills_ = true;
}

void FaultFileSystem::FailNoMore() {
  std::lock_guard lock(mutex_);
  fail_kind_.reset();
}

bool FaultFileSystem::failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

void FaultFileSystem::PullThePlug() {
  std::lock_guard lock(mutex_);
  plug_pulled_ = true;
}

void FaultFileSystem::set_free_bytes(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  free_bytes_ = bytes;
}

IOStatus FaultFileSystem::Check(FaultKind kind) {
  std::lock_guard lock(mutex_);
  if (plug_pulled_) return IOStatus::IOError("no power");
  if (!fail_kind_) return IOStatus::OK();
  if (*fail_kind_ != FaultKind::kAny && *fail_kind_ != kind) {
    return IOStatus::OK();
  }
  if (failed_ && !fail_lasting_) return IOStatus::OK();
  if (fail_count_-- > 0) return IOStatus::OK();
  failed_ = true;
  if (fail_kills_ && kind != FaultKind::kAppend) (void)raise(SIGKILL);
  return fail_error_;
}

void FaultFileSystem::DieIfToKill() {
  std::lock_guard lock(mutex_);
  if (fail_kills_) (void)raise(SIGKILL);
}

void FaultFileSystem::Appended(const std::string& path, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  files_[path].written_bytes += bytes;
}

void FaultFileSystem::Synced(const std::string& path) {
  std::lock_guard lock(mutex_);
  files_[path].synced_bytes = files_[path].written_bytes;
}

void FaultFileSystem::DirectorySynced() {
  std::lock_guard lock(mutex_);
  created_.clear();
  replaced_.clear();
}

void FaultFileSystem::DropTail(const std::string& path, const FileState& state,
                               std::mt19937_64* random) {
  const uint64_t unsynced = state.written_bytes - state.synced_bytes;
  const uint64_t kept = state.synced_bytes + (*random)() % (unsynced + 1);
  std::error_code gone;
  std::filesystem::resize_file(path, kept, gone);
  if (gone || (*random)() % 2 == 0) return;
  // Sectors reach a disk in any order.
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const uint64_t first = (state.synced_bytes + kSectorBytes - 1) / kSectorBytes;
  for (uint64_t i = first; (i + 1) * kSectorBytes <= kept; ++i) {
    if ((*random)() % 4 != 0) continue;
    const std::string zeros(kSectorBytes, '\0');
    file.seekp(static_cast<std::streamoff>(i * kSectorBytes));
    file.write(zeros.data(), kSectorBytes);
  }
}

void FaultFileSystem::DropUnsynced(std::mt19937_64* random) {
  std::lock_guard lock(mutex_);
  for (const auto& [path, state] : files_) DropTail(path, state, random);
  // Either the whole directory reached the disk or none of its changes.
  if ((*random)() % 2 == 0) {
    for (const std::string& path : created_) std::filesystem::remove(path);
    for (const auto& [path, before] : replaced_) {
      std::filesystem::remove(path);
      if (before) std::ofstream(path, std::ios::binary) << *before;
    }
  }
  files_.clear();
  created_.clear();
  replaced_.clear();
  plug_pulled_ = false;
  fail_kind_.reset();
}

IOStatus FaultFileSystem::NewWritableFile(
    const std::string& path, const FileOptions& options,
    std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) {
  if (IOStatus check = Check(FaultKind::kAny); !check.ok()) return check;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  const IOStatus status =
      target()->NewWritableFile(path, options, &file, debug);
  if (!status.ok()) return status;
  *result = std::make_unique<FaultFile>(this, path, std::move(file));
  std::lock_guard lock(mutex_);
  files_[path] = FileState();
  created_.insert(path);
  return status;
}

IOStatus FaultFileSystem::ReopenWritableFile(
    const std::string& path, const FileOptions& options,
    std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) {
  if (IOStatus check = Check(FaultKind::kAny); !check.ok()) return check;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  const IOStatus status =
      target()->ReopenWritableFile(path, options, &file, debug);
  if (!status.ok()) return status;
  *result = std::make_unique<FaultFile>(this, path, std::move(file));
  return status;
}

IOStatus FaultFileSystem::NewDirectory(
    const std::string& path, const IOOptions& options,
    std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  const IOStatus status =
      target()->NewDirectory(path, options, &directory, debug);
  if (!status.ok()) return status;
  *result = std::make_unique<FaultDirectory>(this, std::move(directory));
  return status;
}

IOStatus FaultFileSystem::DeleteFile(const std::string& path,
                                     const IOOptions& options,
                                     IODebugContext* debug) {
  if (IOStatus check = Check(FaultKind::kAny); !check.ok()) return check;
  const IOStatus status = target()->DeleteFile(path, options, debug);
  std::lock_guard lock(mutex_);
  files_.erase(path);
  created_.erase(path);
  return status;
}

IOStatus FaultFileSystem::RenameFile(const std::string& from,
                                     const std::string& to,
                                     const IOOptions& options,
                                     IODebugContext* debug) {
  if (IOStatus check = Check(FaultKind::kAny); !check.ok()) return check;
  std::optional<std::string> before;
  if (std::ifstream file(to, std::ios::binary); file) {
    before.emplace(std::istreambuf_iterator<char>(file),
                   std::istreambuf_iterator<char>());
  }
  const IOStatus status = target()->RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  replaced_.try_emplace(to, before);
  files_[to] = files_[from];
  files_.erase(from);
  created_.erase(from);
  return status;
}

IOStatus FaultFileSystem::GetFreeSpace(const std::string& path,
                                       const IOOptions& options,
                                       uint64_t* bytes, IODebugContext* debug) {
  std::lock_guard lock(mutex_);
  if (!free_bytes_) return target()->GetFreeSpace(path, options, bytes, debug);
  *bytes = *free_bytes_;
  return IOStatus::OK();
}

namespace {

// RocksDB sleeps for a second after a failed background job.
class ImpatientClock final : public rocksdb::SystemClockWrapper {
 public:
  ImpatientClock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  const char* Name() const override { return "ImpatientClock"; }
  void SleepForMicroseconds(int micros) override {
    SystemClockWrapper::SleepForMicroseconds(std::min(micros, 1000));
  }
};

class ImpatientEnv final : public rocksdb::EnvWrapper {
 public:
  explicit ImpatientEnv(const std::shared_ptr<rocksdb::FileSystem>& fs)
      : EnvWrapper(rocksdb::NewCompositeEnv(fs)) {
    file_system_ = fs;
    system_clock_ = std::make_shared<ImpatientClock>();
  }
  const char* Name() const override { return "ImpatientEnv"; }
};

}  // namespace

FaultEnv::FaultEnv()
    : fs_(std::make_shared<FaultFileSystem>()),
      env_(std::make_unique<ImpatientEnv>(fs_)) {}

}  // namespace reprise
