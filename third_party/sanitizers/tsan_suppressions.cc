// The mutex: RocksDB locks it with a call and unlocks it with a tail call, so
// that the unlock's caller seems to be the wrapper's code in our program while
// the lock is one of librocksdb's, which called_from_lib leaves out.
//
// RocksReclaimer::HasRemovals shares a table's properties with RocksDB, which
// may drop them last: the count of shared_ptr goes down in a library's copy of
// its code, unseen, and then the memory seems to be freed under the reader.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:librocksdb.so\n"
         "called_from_lib:libzstd.so\n"
         "called_from_lib:libstdc++.so\n"
         "mutex:rocksdb::EnvWrapper::IncBackgroundThreadsIfNeeded\n"
         "race:rocksdb::\n"
         "race:librocksdb.so\n"
         "race:reprise::RocksReclaimer::HasRemovals\n"
         "race:libzstd.so\n";
}
