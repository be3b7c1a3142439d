#include "store/rocks_log.h"

#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "store/crc32c.h"
#include "store/rocks_directory.h"
#include "store/rocks_status.h"

namespace reprise {
namespace {

constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;        // masked CRC u32, length u16, type u8
constexpr size_t kBatchHeaderBytes = 12;  // sequence u64, count u32

enum FragmentType : uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint32_t Unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

bool AllZero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](uint8_t b) { return b == 0; });
}

// What a scan of one file sees, in order.
class LogVisitor {
 public:
  virtual ~LogVisitor() = default;
  virtual void OnBatch(uint64_t offset, ByteView batch) = 0;
  virtual void OnDamage(uint64_t offset) = 0;
};

// Puts the fragments of one file's blocks together. After damage it goes on
// with the next fragment that has a valid checksum, at whatever byte.
class LogFileScan {
 public:
  explicit LogFileScan(LogVisitor* visitor) : visitor_(visitor) {}

  // Blocks in order; all but the last are kBlockBytes long.
  void Block(uint64_t start, ByteView block) {
    size_t position = 0;
    while (block.size() - position >= kHeaderBytes) {
      if (AllZero(block.subspan(position))) {
        zeros_from_ = zeros_from_.value_or(start + position);
        return;
      }
      if (zeros_from_) Damage(*std::exchange(zeros_from_, std::nullopt));
      const size_t bytes = FragmentBytesAt(block, position);
      if (bytes == 0) {
        Damage(start + position);
        ++position;
        while (position < block.size() && FragmentBytesAt(block, position) == 0)
          ++position;
        continue;
      }
      Fragment(start + position, block[position + 6],
               block.subspan(position + kHeaderBytes, bytes - kHeaderBytes));
      position += bytes;
    }
    // A full block ends in fewer than kHeaderBytes bytes of padding.
    if (block.size() < kBlockBytes && position < block.size()) {
      Damage(start + position);
    }
  }

  void End() {
    if (pending_offset_) Damage(*pending_offset_);
  }

 private:
  // Of the fragment there, with its header; 0: there is none.
  static size_t FragmentBytesAt(ByteView block, size_t position) {
    if (block.size() - position < kHeaderBytes) return 0;
    const uint8_t* header = block.data() + position;
    const size_t bytes = kHeaderBytes + LoadLe<uint16_t>(header + 4);
    const uint8_t type = header[6];
    if (type < kFull || type > kLast) return 0;
    if (bytes > block.size() - position) return 0;
    const ByteView checked = block.subspan(position + 6, bytes - 6);
    return Crc32c(checked) == Unmask(LoadLe<uint32_t>(header)) ? bytes : 0;
  }

  void Fragment(uint64_t offset, uint8_t type, ByteView data) {
    const bool starts = type == kFull || type == kFirst;
    if (starts && pending_offset_) Damage(*pending_offset_);
    if (!starts && !pending_offset_) {
      // The rest of a batch whose start was damaged, and reported.
      if (!skipping_) Damage(offset);
      return;
    }
    if (starts) {
      skipping_ = false;
      pending_offset_ = offset;
      pending_.clear();
    }
    pending_.insert(pending_.end(), data.begin(), data.end());
    if (type == kFull || type == kLast) {
      visitor_->OnBatch(*pending_offset_, pending_);
      pending_offset_.reset();
    }
  }

  void Damage(uint64_t offset) {
    visitor_->OnDamage(pending_offset_.value_or(offset));
    pending_offset_.reset();
    skipping_ = true;
  }

  LogVisitor* const visitor_;
  Bytes pending_;
  std::optional<uint64_t> pending_offset_;
  std::optional<uint64_t> zeros_from_;
  bool skipping_ = false;
};

// Whether a batch, or one of those that a group commit merged into it, was
// written with a sync.
bool HasSyncMark(ByteView batch) {
  struct Finder final : rocksdb::WriteBatch::Handler {
    rocksdb::Status PutCF(uint32_t, const rocksdb::Slice&,
                          const rocksdb::Slice&) override {
      return rocksdb::Status::OK();
    }
    rocksdb::Status DeleteCF(uint32_t, const rocksdb::Slice&) override {
      return rocksdb::Status::OK();
    }
    void LogData(const rocksdb::Slice& data) override {
      found = found || IsSyncMark(data);
    }
    bool found = false;
  };
  Finder finder;
  const rocksdb::WriteBatch parsed{std::string(AsText(batch))};
  parsed.Iterate(&finder).PermitUncheckedError();
  return finder.found;
}

// Follows the batches' numbers through all files.
class LogCheck final : public LogVisitor {
 public:
  void StartFile(const std::string& file) {
    file_ = file;
    first_of_file_ = true;
  }

  void OnBatch(uint64_t offset, ByteView batch) override {
    if (batch.size() < kBatchHeaderBytes) return OnDamage(offset);
    const uint64_t sequence = LoadLe<uint64_t>(batch.data());
    // Between files a gap is no damage: one whose batches were all flushed
    // may be gone while an older one still lies about.
    if (!first_of_file_ && sequence != next_sequence_) OnDamage(offset);
    const bool follows_missing =
        report_.file_missing && report_.dropped_batches == 0;
    if (follows_missing && next_sequence_ > 0 && sequence >= next_sequence_) {
      report_.missing_changes = sequence - next_sequence_;
    }
    first_of_file_ = false;
    if (damaged()) {
      ++report_.dropped_batches;
      if (sync_seen_) report_.kind = LogReport::Kind::kDamage;
      sync_seen_ = sync_seen_ || HasSyncMark(batch);
      return;
    }
    next_sequence_ = sequence + LoadLe<uint32_t>(batch.data() + 8);
  }

  void OnDamage(uint64_t offset) override {
    if (damaged()) return;
    report_.kind = LogReport::Kind::kTornEnd;
    report_.file = file_;
    report_.offset = offset;
  }

  // Instead of StartFile, for one that is gone although it was synced.
  void OnMissing(const std::string& file) {
    if (!damaged()) {
      report_.file = file;
      report_.file_missing = true;
    }
    report_.kind = LogReport::Kind::kDamage;
  }

  LogReport& report() { return report_; }

 private:
  bool damaged() const { return report_.kind != LogReport::Kind::kIntact; }

  LogReport report_;
  std::string file_;
  bool first_of_file_ = true;
  uint64_t next_sequence_ = 0;
  bool sync_seen_ = false;  // behind the damage
};

Status ScanFile(rocksdb::Env* env, const std::string& path,
                LogVisitor* visitor) {
  std::unique_ptr<rocksdb::SequentialFile> file;
  rocksdb::Status status =
      env->NewSequentialFile(path, &file, rocksdb::EnvOptions());
  if (!status.ok()) return ReadStatus(status, "store: log");
  LogFileScan scan(visitor);
  Bytes block;
  for (uint64_t start = 0;; start += block.size()) {
    block.resize(kBlockBytes);
    size_t filled = 0;
    while (filled < kBlockBytes) {
      rocksdb::Slice got;
      char* space = reinterpret_cast<char*>(block.data()) + filled;
      status = file->Read(kBlockBytes - filled, &got, space);
      if (!status.ok()) return ReadStatus(status, "store: log");
      if (got.empty()) break;
      if (got.data() != space) std::memmove(space, got.data(), got.size());
      filled += got.size();
    }
    block.resize(filled);
    scan.Block(start, block);
    if (filled < kBlockBytes) break;
  }
  scan.End();
  return Status::Ok();
}

// Learns from a replay where it begins, and stops it.
class LogNumberFilter final : public rocksdb::WalFilter {
 public:
  const char* Name() const override { return "LogNumberFilter"; }
  void ColumnFamilyLogNumberMap(
      const std::map<uint32_t, uint64_t>& log_numbers,
      const std::map<std::string, uint32_t>&) override {
    for (const auto& [family, number] : log_numbers) {
      oldest_ = std::min(oldest_.value_or(number), number);
    }
  }
  WalProcessingOption LogRecordFound(unsigned long long, const std::string&,
                                     const rocksdb::WriteBatch&,
                                     rocksdb::WriteBatch*, bool*) override {
    return WalProcessingOption::kStopReplay;
  }
  // None where there is no file to replay.
  std::optional<uint64_t> oldest() const { return oldest_; }

 private:
  std::optional<uint64_t> oldest_;
};

// The part of CutLog that concerns the damaged file itself.
Status CutFile(rocksdb::Env* env, const std::string& directory,
               const LogReport& report) {
  const std::string path = directory + "/" + report.file;
  std::string content;
  rocksdb::Status status = rocksdb::ReadFileToString(env, path, &content);
  if (!status.ok()) return ReadStatus(status, "store: cut log");
  const rocksdb::Slice whole(content);
  const rocksdb::Slice lost(whole.data() + report.offset,
                            whole.size() - report.offset);
  const rocksdb::Slice kept(whole.data(), report.offset);
  if (report.dropped_batches > 0) {
    status = rocksdb::WriteStringToFile(env, lost, path + ".lost", true);
  }
  if (status.ok()) {
    status = rocksdb::WriteStringToFile(env, kept, path + ".kept", true);
  }
  if (status.ok()) status = env->RenameFile(path + ".kept", path);
  return WriteStatus(status, "store: cut log");
}

}  // namespace

uint64_t LogNumber(const std::string& name) {
  return std::strtoull(name.c_str(), nullptr, 10);
}

Result<std::vector<std::string>> LogFiles(rocksdb::Env* env,
                                          const std::string& directory,
                                          uint64_t first) {
  std::vector<std::string> names;
  const rocksdb::Status status = env->GetChildren(directory, &names);
  if (!status.ok()) return ReadStatus(status, "store: log");
  std::erase_if(names, [&](const std::string& name) {
    return !name.ends_with(".log") ||
           name.find_first_not_of("0123456789") != name.size() - 4 ||
           LogNumber(name) < first;
  });
  std::sort(names.begin(), names.end(),
            [](const std::string& a, const std::string& b) {
              return LogNumber(a) < LogNumber(b);
            });
  return names;
}

std::string LogReport::ToString() const {
  if (kind == Kind::kIntact) return "log is intact";
  const std::string dropped = std::to_string(dropped_bytes) + " bytes, with " +
                              std::to_string(dropped_batches) +
                              " batches that can be read, lie ";
  if (!file_missing) {
    return "log " + file + " can't be read at byte " + std::to_string(offset) +
           "; " + dropped + "from there on";
  }
  const std::string held = missing_changes
                               ? std::to_string(*missing_changes) +
                                     " changes up to the next file are lost"
                               : "how much it held is unknown";
  return "log " + file + " is missing; " + held + "; " + dropped + "behind it";
}

Result<LogReport> CheckLog(rocksdb::Env* env, const std::string& directory,
                           uint64_t first,
                           const std::vector<std::string>& synced) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           LogFiles(env, directory, first));
  std::map<uint64_t, std::pair<std::string, bool>> files;  // and: is there
  for (const std::string& name : synced) {
    if (LogNumber(name) >= first) files[LogNumber(name)] = {name, false};
  }
  for (const std::string& name : names) files[LogNumber(name)] = {name, true};
  LogCheck check;
  for (const auto& [number, file] : files) {
    const auto& [name, is_there] = file;
    if (!is_there) {
      check.OnMissing(name);
      continue;
    }
    check.StartFile(name);
    REPRISE_RETURN_IF_ERROR(ScanFile(env, directory + "/" + name, &check));
  }
  LogReport report = check.report();
  if (report.kind == LogReport::Kind::kIntact) return report;
  for (const std::string& name : names) {
    if (LogNumber(name) < LogNumber(report.file)) continue;
    uint64_t bytes = 0;
    const rocksdb::Status status =
        env->GetFileSize(directory + "/" + name, &bytes);
    if (!status.ok()) return ReadStatus(status, "store: log");
    report.dropped_bytes += name == report.file ? bytes - report.offset : bytes;
  }
  return report;
}

Result<uint64_t> OldestLiveLog(
    const rocksdb::DBOptions& options, const std::string& directory,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families) {
  LogNumberFilter filter;
  rocksdb::DBOptions reading = options;
  reading.listeners.clear();
  reading.max_open_files = 16;
  reading.wal_filter = &filter;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(
      reading, directory, families, &handles, &opened);
  if (!status.ok()) return ReadStatus(status, "store: log");
  const std::unique_ptr<rocksdb::DB> db(opened);
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  // RocksDB deletes nothing from this number on, and replays nothing below.
  uint64_t kept = 0;
  if (!db->GetIntProperty(rocksdb::DB::Properties::kMinLogNumberToKeep,
                          &kept)) {
    return InternalError("store: log: RocksDB tells no oldest file to keep");
  }
  return std::max(kept, filter.oldest().value_or(0));
}

Status CutLog(rocksdb::Env* env, const std::string& directory,
              const LogReport& report) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           LogFiles(env, directory, LogNumber(report.file)));
  // From the end, so that a crash on the way leaves the damage in place.
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (*name == report.file) break;
    const std::string path = directory + "/" + *name;
    const rocksdb::Status moved = env->RenameFile(path, path + ".lost");
    if (!moved.ok()) return WriteStatus(moved, "store: cut log");
  }
  if (!report.file_missing) {
    REPRISE_RETURN_IF_ERROR(CutFile(env, directory, report));
  }
  return WriteStatus(SyncDirectory(env, directory), "store: cut log");
}

}  // namespace reprise
