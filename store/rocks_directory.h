// A store's directory before and around RocksDB: whether there is a store,
// of which format, and who holds it.
#ifndef REPRISE_STORE_ROCKS_DIRECTORY_H_
#define REPRISE_STORE_ROCKS_DIRECTORY_H_

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

// kUnavailable when the file system does not answer.
Result<bool> StoreExists(rocksdb::Env* env, const std::string& directory);

// Those of `families` that the store has: all, unless its making was cut
// short. kFailedPrecondition when it has others: it is of another format, or
// no store of Reprise at all.
Result<std::vector<rocksdb::ColumnFamilyDescriptor>> ExistingFamilies(
    const rocksdb::DBOptions& options, const std::string& directory,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families);

// The record of the format, in the meta family.
void PutFormat(rocksdb::WriteBatch* batch, rocksdb::ColumnFamilyHandle* meta);
// kFailedPrecondition when it is another's or missing.
Status CheckFormat(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* meta);

// Marks a batch that is written with a sync, for store/rocks_log.h.
void MarkSynced(rocksdb::WriteBatch* batch);
bool IsSyncMark(const rocksdb::Slice& log_data);
// What is written, without a sync, behind a marked batch that was synced.
void MarkConfirmed(rocksdb::WriteBatch* batch);

// Takes the lock that RocksDB takes when it opens for writing. Unlock it with
// Env::UnlockFile. kFailedPrecondition when it is held.
Result<rocksdb::FileLock*> LockStore(rocksdb::Env* env,
                                     const std::string& directory);

// The OWNER file: who has the lock, for the message to others.
void WriteOwner(rocksdb::Env* env, const std::string& directory);
void RemoveOwner(rocksdb::Env* env, const std::string& directory);

// Makes new and renamed files in it last.
rocksdb::Status SyncDirectory(rocksdb::Env* env, const std::string& directory);

// What a failed open means for the caller.
Status OpenError(rocksdb::Env* env, const std::string& directory,
                 const rocksdb::Status& status);

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_DIRECTORY_H_
