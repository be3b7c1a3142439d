// A session as a file: it comes back bit for bit, in any store and under any
// name, and no file that was changed becomes a session.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "client/export_format.h"
#include "codec/commit.h"
#include "tests/client/kv_cache.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

Result<Bytes> ExportOf(Client* client, std::string_view session) {
  Bytes file;
  REPRISE_RETURN_IF_ERROR(client->Export(session, [&](ByteView piece) {
    file.insert(file.end(), piece.begin(), piece.end());
    return Status();
  }));
  return file;
}

std::function<Result<size_t>(MutableByteView)> ReaderOf(ByteView file) {
  return [file](MutableByteView out) mutable -> Result<size_t> {
    const size_t count = std::min(out.size(), file.size());
    std::copy_n(file.begin(), count, out.begin());
    file = file.subspan(count);
    return count;
  };
}

Result<SessionVersion> ImportOf(Client* client, std::string_view session,
                                ByteView file) {
  return client->Import(session, ReaderOf(file));
}

// All records but the end.
std::vector<ExportRecord> RecordsOf(ByteView file) {
  ExportReader reader(ReaderOf(file));
  std::vector<ExportRecord> records;
  ExportRecord record;
  while (true) {
    const Status status = reader.Next(&record);
    EXPECT_TRUE(status.ok()) << status.ToString();
    if (!status.ok() || record.kind == ExportKind::kEnd) return records;
    records.push_back(record);
  }
}

// The same records as a file whose checksums and counts are right.
Bytes FileOf(const std::vector<ExportRecord>& records) {
  Bytes file;
  ExportWriter writer([&](ByteView bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
    return Status();
  });
  for (const ExportRecord& record : records) {
    EXPECT_TRUE(writer.Add(record.kind, record.content).ok());
  }
  EXPECT_TRUE(writer.Finish().ok());
  return file;
}

// Where records of a kind are.
std::vector<size_t> Places(const std::vector<ExportRecord>& records,
                           ExportKind kind) {
  std::vector<size_t> places;
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i].kind == kind) places.push_back(i);
  }
  return places;
}

class ExportTest : public testing::Test {
 protected:
  // Two whole segments, a tail and pending tokens.
  static constexpr size_t kTokens = 150;

  Bytes SavedFile(const ModelSpec& spec, const char* codec = "exact") {
    TestWorker worker(home_.Connect(), spec);
    const auto tokens = ToyTokens(1, kTokens);
    const auto saved =
        worker.Save("s", tokens, {.pending = pending_, .codec = codec});
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    auto file = ExportOf(worker.client.get(), "s");
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? *std::move(file) : Bytes();
  }

  // `worker` restores the session as it was saved, byte for byte.
  void ExpectWhole(TestWorker* worker, std::string_view session) {
    const auto restored = worker->Restore(session);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kTokens);
    EXPECT_EQ(restored->info.tokens, ToyTokens(1, kTokens));
    EXPECT_EQ(restored->info.pending, pending_);
    EXPECT_EQ(
        restored->info.ranges,
        (std::vector<TierRange>{{0, kTokens, Tier::kExact, Tier::kExact}}));
  }

  // The other daemon refuses the file and has no session afterwards.
  void ExpectRefused(ByteView file, std::string_view text) {
    if (away_client_ == nullptr) away_client_ = away_.Connect();
    const auto version = ImportOf(away_client_.get(), "copy", file);
    ASSERT_FALSE(version.ok());
    ExpectStatus(version.status(), StatusCode::kDataLoss, text);
    const auto list = away_client_->List("", "", 10);
    ASSERT_OK(list);
    EXPECT_TRUE(list->empty());
  }
  void ExpectRefused(const std::vector<ExportRecord>& records,
                     std::string_view text) {
    ExpectRefused(FileOf(records), text);
  }

  const std::vector<TokenId> pending_ = {17, 4};
  TestDaemon home_;
  TestDaemon away_;
  std::unique_ptr<Client> away_client_;
};

TEST_F(ExportTest, ComesBackUnderAnotherNameInTheSameStore) {
  for (const ModelSpec& spec : {TinyModel(), GqaModel(), OpaqueModel()}) {
    SCOPED_TRACE(ModelIdOf(spec).ShortHex());
    const Bytes file = SavedFile(spec);
    TestWorker worker(home_.Connect(), spec);
    const auto version = ImportOf(worker.client.get(), "copy", file);
    ASSERT_OK(version);
    EXPECT_EQ(version->version, 1u);
    ExpectWhole(&worker, "copy");
    ASSERT_TRUE(worker.client->Remove("s").ok());
    ExpectWhole(&worker, "copy");
    ASSERT_TRUE(worker.client->Remove("copy").ok());
  }
}

TEST_F(ExportTest, ComesBackInAStoreThatKnowsNothing) {
  for (const ModelSpec& spec : {TinyModel(), GqaModel(), OpaqueModel()}) {
    for (const char* codec : {"raw", "exact"}) {
      SCOPED_TRACE(ModelIdOf(spec).ShortHex() + " " + codec);
      const Bytes file = SavedFile(spec, codec);
      TestDaemon fresh;
      const auto client = fresh.Connect();
      ASSERT_OK(ImportOf(client.get(), "copy", file));
      TestWorker worker(fresh.Connect(), spec);
      ExpectWhole(&worker, "copy");
      ASSERT_TRUE(home_.Connect()->Remove("s").ok());
    }
  }
}

TEST_F(ExportTest, ExportsAnImportWithTheSameRecords) {
  const Bytes file = SavedFile(GqaModel());
  const auto client = away_.Connect();
  ASSERT_OK(ImportOf(client.get(), "copy", file));
  const auto again = ExportOf(client.get(), "copy");
  ASSERT_OK(again);
  const auto before = RecordsOf(file);
  const auto after = RecordsOf(*again);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].kind, after[i].kind);
    if (before[i].kind == ExportKind::kCommit) continue;  // has its own time
    EXPECT_EQ(before[i].content, after[i].content) << "record " << i;
  }
}

TEST_F(ExportTest, KeepsACutInsideASegment) {
  const auto tokens = ToyTokens(2, 200);
  for (const uint64_t cut : {100u, 195u}) {
    SCOPED_TRACE(cut);
    TestWorker worker(home_.Connect());
    ASSERT_OK(worker.Save("cut", tokens));
    ASSERT_OK(worker.client->RewindToToken("cut", cut, pending_));
    const auto file = ExportOf(worker.client.get(), "cut");
    ASSERT_OK(file);
    ASSERT_TRUE(worker.client->Remove("cut").ok());

    TestDaemon fresh;
    TestWorker other(fresh.Connect());
    ASSERT_OK(ImportOf(other.client.get(), "copy", *file));
    const auto restored = other.Restore("copy");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, cut);
    EXPECT_EQ(restored->info.tokens,
              std::vector<TokenId>(tokens.begin(),
                                   tokens.begin() + static_cast<int>(cut)));
    EXPECT_EQ(restored->info.pending, pending_);
    // It goes on as any session does.
    auto longer = restored->info.tokens;
    for (const TokenId token : ToyTokens(3, 40)) longer.push_back(token);
    ASSERT_OK(other.Save("copy", longer));
    const auto continued = other.Restore("copy");
    ASSERT_OK(continued);
    EXPECT_EQ(continued->valid_end, cut + 40);
  }
}

TEST_F(ExportTest, KeepsASessionWithoutTokens) {
  TestWorker worker(home_.Connect());
  ASSERT_OK(worker.Save("s", ToyTokens(2, 70)));
  ASSERT_OK(worker.client->RewindToToken("s", 0, pending_));
  const auto file = ExportOf(worker.client.get(), "s");
  ASSERT_OK(file);
  TestWorker other(away_.Connect());
  ASSERT_OK(ImportOf(other.client.get(), "copy", *file));
  const auto restored = other.Restore("copy");
  ASSERT_OK(restored);
  EXPECT_TRUE(restored->info.tokens.empty());
  EXPECT_EQ(restored->info.pending, pending_);
}

TEST_F(ExportTest, RefusesANameThatIsTaken) {
  const Bytes file = SavedFile(TinyModel());
  TestWorker worker(home_.Connect());
  ExpectStatus(ImportOf(worker.client.get(), "s", file).status(),
               StatusCode::kFailedPrecondition, "150 tokens");
  ExpectWhole(&worker, "s");
}

TEST_F(ExportTest, RefusesASessionThatIsNotThere) {
  EXPECT_EQ(ExportOf(home_.Connect().get(), "none").status().code(),
            StatusCode::kNotFound);
}

TEST_F(ExportTest, EndsWithTheErrorOfTheCaller) {
  const Bytes file = SavedFile(TinyModel());
  const auto client = home_.Connect();
  ExpectStatus(
      client->Export(
          "s", [](ByteView) { return ResourceExhaustedError("disk is full"); }),
      StatusCode::kResourceExhausted, "disk is full");
  for (int good_reads = 0; good_reads < 20; ++good_reads) {
    const auto whole = ReaderOf(file);
    int reads = 0;
    const auto read = [&](MutableByteView out) -> Result<size_t> {
      if (reads++ == good_reads) return UnavailableError("tape is torn");
      return whole(out);
    };
    ExpectStatus(client->Import("copy", read).status(),
                 StatusCode::kUnavailable, "tape is torn");
  }
  EXPECT_EQ(client->List("copy", "", 1)->size(), 0u);
}

TEST_F(ExportTest, RefusesAFileThatWasCut) {
  const Bytes file = SavedFile(TinyModel());
  const size_t step = file.size() / 61;
  for (size_t size = 0; size < file.size(); size += step) {
    SCOPED_TRACE(size);
    ExpectRefused(ByteView(file).first(size), "export: ");
  }
  ExpectRefused(ByteView(file).first(file.size() - 1), "file ends at byte");
}

TEST_F(ExportTest, RefusesAFileWithAFlippedByte) {
  Bytes file = SavedFile(TinyModel());
  const size_t step = file.size() / 61;
  for (size_t i = 0; i < file.size(); i += i < 16 ? 1 : step) {
    SCOPED_TRACE(i);
    file[i] ^= 0x41;
    ExpectRefused(file, "export: ");
    file[i] ^= 0x41;
  }
  // And it was the flip that was refused.
  ASSERT_OK(ImportOf(away_.Connect().get(), "copy", file));
}

TEST_F(ExportTest, RefusesFramesOfAnotherSegment) {
  auto records = RecordsOf(SavedFile(TinyModel()));
  const auto frames = Places(records, ExportKind::kFrame);
  ASSERT_EQ(frames.size(), 3u);
  std::swap(records[frames[0]].content, records[frames[1]].content);
  ExpectRefused(records, "is not of its segment");
}

TEST_F(ExportTest, RefusesFramesThatDoNotCoverTheModel) {
  auto records = RecordsOf(SavedFile(GqaModel()));
  const auto frames = Places(records, ExportKind::kFrame);
  ASSERT_GT(frames.size(), 6u);
  records[frames[1]].content = records[frames[0]].content;
  ExpectRefused(records, "import: segment at token 0");
}

TEST_F(ExportTest, RefusesAWrongParent) {
  auto records = RecordsOf(SavedFile(TinyModel()));
  for (const size_t place : Places(records, ExportKind::kSegment)) {
    auto changed = records;
    auto segment = DecodeExportSegment(changed[place].content);
    ASSERT_OK(segment);
    segment->parent.bytes[5] ^= 1;
    changed[place].content = EncodeExportSegment(*segment);
    ExpectRefused(changed, "does not follow the one before");
  }
}

TEST_F(ExportTest, RefusesOtherTokensThanTheFramesAreOf) {
  auto records = RecordsOf(SavedFile(TinyModel()));
  for (const size_t place : Places(records, ExportKind::kSegment)) {
    auto changed = records;
    auto segment = DecodeExportSegment(changed[place].content);
    ASSERT_OK(segment);
    ++segment->tokens.back();
    changed[place].content = EncodeExportSegment(*segment);
    ExpectRefused(changed, "is not of its segment");
  }
}

TEST_F(ExportTest, RefusesAnotherModel) {
  auto records = RecordsOf(SavedFile(TinyModel()));
  records[0].content = EncodeModelSpec(OpaqueModel());
  ExpectRefused(records, "does not follow the one before");
}

TEST_F(ExportTest, RefusesACommitOfOtherSegments) {
  auto records = RecordsOf(SavedFile(TinyModel()));
  const auto commit = DecodeCommit(records.back().content);
  ASSERT_OK(commit);
  const auto refuse = [&](const CommitRecord& changed) {
    ASSERT_TRUE(ValidateCommit(changed).ok());
    records.back().content = EncodeCommit(changed);
    ExpectRefused(records, "the commit is not of these");
  };
  CommitRecord changed = *commit;
  changed.segments[1].bytes[0] ^= 1;
  refuse(changed);
  changed = *commit;
  changed.segments.pop_back();
  changed.token_count -= kSegmentTokens;
  refuse(changed);
  changed = *commit;
  changed.tail.bytes[31] ^= 1;
  refuse(changed);
  changed = *commit;
  changed.model = ModelIdOf(OpaqueModel());
  refuse(changed);
  changed = *commit;
  changed.parent.bytes[0] = 1;
  refuse(changed);
}

// Only the sum of the segments tells.
TEST_F(ExportTest, RefusesACommitOfMoreOrFewerTokens) {
  auto records = RecordsOf(SavedFile(TinyModel()));
  auto commit = DecodeCommit(records.back().content);
  ASSERT_OK(commit);
  for (const int64_t more : {1, 10, -1}) {
    CommitRecord changed = *commit;
    changed.token_count += static_cast<uint64_t>(more);
    records.back().content = EncodeCommit(changed);
    ExpectRefused(records, "its segments 150");
  }
}

TEST_F(ExportTest, RefusesASegmentWithAnotherCodec) {
  auto records = RecordsOf(SavedFile(TinyModel(), "raw"));
  const auto segments = Places(records, ExportKind::kSegment);
  auto segment = DecodeExportSegment(records[segments[1]].content);
  ASSERT_OK(segment);
  segment->codec = CodecId::kExact;
  records[segments[1]].content = EncodeExportSegment(*segment);
  ExpectRefused(records, "is not of its segment");
}

}  // namespace
}  // namespace reprise
