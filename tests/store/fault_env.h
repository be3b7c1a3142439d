// A file system that fails when it is told to, and that forgets at a power
// failure what was not synced: over the real one, below RocksDB.
#ifndef REPRISE_TESTS_STORE_FAULT_ENV_H_
#define REPRISE_TESTS_STORE_FAULT_ENV_H_

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>

namespace reprise {

// What may fail. Reads never do.
enum class FaultKind : uint8_t {
  kAny,  // what changes anything: also files made, renamed and removed
  kAppend,
  kSync,  // of files and directories
};

// Thread-safe but for DropUnsynced.
class FaultFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  FaultFileSystem();
  const char* Name() const override { return "FaultFileSystem"; }

  // The `count`-th operation of this kind from now on (0: the next) fails with
  // `error`; with `lasting`, all after it do too. An append that fails has
  // written half of its bytes.
  void FailAt(FaultKind kind, int64_t count, rocksdb::IOStatus error,
              bool lasting);
  void FailNoMore();
  // As FailAt, but once, and instead of failing it kills this process
  // (SIGKILL).
  void KillAt(FaultKind kind, int64_t count);
  // Whether a failure was delivered since FailAt.
  bool failed() const;

  // From now on nothing changes on disk: every change fails.
  void PullThePlug();
  // What a machine finds when it comes up again: of each file, what was
  // synced and a random part of what came after, in which some sectors may be
  // zeros; files and renames whose directory was not synced are undone or
  // not. REQUIRES: no store is open.
  void DropUnsynced(std::mt19937_64* random);

  void set_free_bytes(uint64_t bytes);

  rocksdb::IOStatus NewWritableFile(
      const std::string& path, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSWritableFile>* result,
      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(
      const std::string& path, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSWritableFile>* result,
      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path,
                                 const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFreeSpace(const std::string& path,
                                 const rocksdb::IOOptions& options,
                                 uint64_t* bytes,
                                 rocksdb::IODebugContext* debug) override;

 private:
  friend class FaultFile;
  friend class FaultDirectory;

  struct FileState {
    uint64_t written_bytes = 0;
    uint64_t synced_bytes = 0;
  };

  // OK, or what the operation must answer. An append that is to kill is left
  // to its caller, who writes half of it before.
  rocksdb::IOStatus Check(FaultKind kind);
  void DieIfToKill();
  void Appended(const std::string& path, uint64_t bytes);
  void Synced(const std::string& path);
  void DirectorySynced();
  void DropTail(const std::string& path, const FileState& state,
                std::mt19937_64* random);

  mutable std::mutex mutex_;
  bool plug_pulled_ = false;
  std::optional<FaultKind> fail_kind_;
  int64_t fail_count_ = 0;
  rocksdb::IOStatus fail_error_;
  bool fail_lasting_ = false;
  bool fail_kills_ = false;
  bool failed_ = false;
  std::optional<uint64_t> free_bytes_;
  std::map<std::string, FileState> files_;
  // Since the last sync of their directory; what the renamed ones replaced.
  std::set<std::string> created_;
  std::map<std::string, std::optional<std::string>> replaced_;
};

// The two as RocksDB wants them.
class FaultEnv {
 public:
  FaultEnv();
  FaultFileSystem& fs() { return *fs_; }
  rocksdb::Env* env() { return env_.get(); }

 private:
  std::shared_ptr<FaultFileSystem> fs_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_STORE_FAULT_ENV_H_
