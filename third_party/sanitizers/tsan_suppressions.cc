extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:librocksdb.so\n"
         "called_from_lib:libzstd.so\n"
         "called_from_lib:libstdc++.so\n"
         "race:rocksdb::\n"
         "race:librocksdb.so\n"
         "race:libzstd.so\n";
}
