// Directories that are not to be opened: the message says what is there and
// what to do, and nothing is changed.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "store/rocks_engine.h"
#include "tests/store/scratch_directory.h"

namespace reprise {
namespace {

using std::string;

class RocksOpenTest : public ::testing::Test {
 protected:
  Status Open() {
    RocksOptions options;
    options.directory = directory_.path();
    return OpenRocksEngine(options).status();
  }
  void ExpectRefused(const std::vector<string>& parts) {
    const Status status = Open();
    EXPECT_TRUE(status.Is(StatusCode::kFailedPrecondition))
        << status.ToString();
    for (const string& part : parts) {
      EXPECT_NE(status.message().find(part), string::npos) << status.ToString();
    }
  }

  std::vector<string> Families() {
    std::vector<string> names;
    EXPECT_TRUE(rocksdb::DB::ListColumnFamilies(rocksdb::DBOptions(),
                                                directory_.path(), &names)
                    .ok());
    return names;
  }
  // Puts one record into the default family, all families open.
  void PutRaw(const string& key, const string& value,
              const std::vector<string>& names) {
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const string& name : names) {
      families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    }
    rocksdb::DBOptions options;
    options.create_if_missing = true;
    options.create_missing_column_families = true;
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(
        options, directory_.path(), families, &handles, &opened);
    ASSERT_TRUE(status.ok()) << status.ToString();
    const std::unique_ptr<rocksdb::DB> db(opened);
    EXPECT_TRUE(db->Put(rocksdb::WriteOptions(), key, value).ok());
    for (auto* handle : handles) {
      EXPECT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
    }
  }

  ScratchDirectory directory_;
};

TEST_F(RocksOpenTest, ANewerFormatIsRefusedByItsVersion) {
  ASSERT_TRUE(Open().ok());
  ByteWriter record;
  record.Text16("reprise store");
  record.U32(2);
  ASSERT_NO_FATAL_FAILURE(
      PutRaw("format", string(AsText(record.bytes())), Families()));
  ExpectRefused({"format version is 2", "knows 1", "use the release"});
}

TEST_F(RocksOpenTest, AForeignDatabaseWithItsOwnFamiliesIsLeftAlone) {
  ASSERT_NO_FATAL_FAILURE(PutRaw("k", "v", {"default", "theirs"}));
  ExpectRefused({"none of ours", "use another directory"});
  EXPECT_EQ(Families(), (std::vector<string>{"default", "theirs"}));
}

TEST_F(RocksOpenTest, AForeignDatabaseWithoutFamiliesIsLeftAlone) {
  ASSERT_NO_FATAL_FAILURE(PutRaw("k", "v", {"default"}));
  ExpectRefused({"none of ours", "use another directory"});
  EXPECT_EQ(Families(), std::vector<string>{"default"});
}

TEST_F(RocksOpenTest, AStoreThatAnotherProcessHoldsIsRefusedByItsPid) {
  int ready[2];
  int done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(done[1]);
    RocksOptions options;
    options.directory = directory_.path();
    const auto engine = OpenRocksEngine(options);
    char byte = engine.ok() ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    (void)!read(done[0], &byte, 1);  // until the parent has tried, or is gone
    _exit(0);
  }
  close(ready[1]);
  char opened = 0;
  ASSERT_EQ(read(ready[0], &opened, 1), 1);
  ASSERT_EQ(opened, 'y');
  ExpectRefused({"held by pid " + std::to_string(child), "stop it"});
  close(done[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(Open().ok()) << "once it is gone";
  close(ready[0]);
  close(done[0]);
}

}  // namespace
}  // namespace reprise
