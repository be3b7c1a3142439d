#include "client/export_format.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace reprise {
namespace {

ExportSegment Segment(uint16_t frame_count) {
  ExportSegment segment;
  segment.parent.bytes[0] = 7;
  segment.first_token = 64;
  segment.tier = frame_count == 0 ? Tier::kTokens : Tier::kNear;
  segment.basis = Tier::kCoarse;
  segment.codec = CodecId::kExact;
  segment.frame_count = frame_count;
  segment.profile.bytes[31] = 9;
  segment.tokens = {1, -2, 3};
  return segment;
}

Bytes WholeFile() {
  Bytes file;
  ExportWriter writer([&](ByteView bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
    return Status();
  });
  const auto add = [&](ExportKind kind, ByteView content) {
    EXPECT_TRUE(writer.Add(kind, content).ok());
  };
  add(ExportKind::kModel, AsBytes("model"));
  add(ExportKind::kProfile, AsBytes("profile"));
  add(ExportKind::kSegment, EncodeExportSegment(Segment(2)));
  add(ExportKind::kFrame, AsBytes("frame 1"));
  add(ExportKind::kFrame, AsBytes("frame 2"));
  add(ExportKind::kSegment, EncodeExportSegment(Segment(0)));
  add(ExportKind::kCommit, AsBytes("commit"));
  EXPECT_TRUE(writer.Finish().ok());
  return file;
}

// All records of a file, or what was wrong with it.
Result<std::vector<ExportRecord>> ReadAll(ByteView file) {
  ExportReader reader([file](MutableByteView out) mutable -> Result<size_t> {
    const size_t count = std::min(out.size(), file.size());
    std::copy_n(file.begin(), count, out.begin());
    file = file.subspan(count);
    return count;
  });
  std::vector<ExportRecord> records(1);
  while (true) {
    REPRISE_RETURN_IF_ERROR(reader.Next(&records.back()));
    if (records.back().kind == ExportKind::kEnd) return records;
    records.emplace_back();
  }
}

TEST(ExportFormatTest, GivesBackWhatWasWritten) {
  const auto records = ReadAll(WholeFile());
  ASSERT_TRUE(records.ok()) << records.status().ToString();
  ASSERT_EQ(records->size(), 8u);
  EXPECT_EQ(AsText((*records)[0].content), "model");
  EXPECT_EQ(AsText((*records)[4].content), "frame 2");
  const auto segment = DecodeExportSegment((*records)[2].content);
  ASSERT_TRUE(segment.ok());
  EXPECT_EQ(*segment, Segment(2));
}

TEST(ExportFormatTest, StagesHaveTheirTiers) {
  using Tiers = std::vector<Tier>;
  ExportSegment segment = Segment(6);
  const size_t without = EncodeExportSegment(segment).size();
  segment.stage_tiers = {Tier::kArchive, Tier::kCoarse, Tier::kNear};
  const Bytes bytes = EncodeExportSegment(segment);
  EXPECT_EQ(bytes.size(), without + 3);
  const auto decoded = DecodeExportSegment(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_EQ(*decoded, segment);
  // One alone, five, a later one that is worse, another last one, no tier.
  for (const Tiers& wrong :
       {Tiers{Tier::kNear}, Tiers(5, Tier::kNear),
        Tiers{Tier::kCoarse, Tier::kArchive, Tier::kNear},
        Tiers{Tier::kArchive, Tier::kCoarse}, Tiers{Tier(), Tier::kNear}}) {
    segment.stage_tiers = wrong;
    EXPECT_EQ(DecodeExportSegment(EncodeExportSegment(segment)).status().code(),
              StatusCode::kDataLoss);
  }
}

TEST(ExportFormatTest, RefusesEveryTruncation) {
  const Bytes file = WholeFile();
  for (size_t size = 0; size < file.size(); ++size) {
    const auto records = ReadAll(ByteView(file).first(size));
    ASSERT_FALSE(records.ok()) << size;
    EXPECT_EQ(records.status().code(), StatusCode::kDataLoss) << size;
  }
}

TEST(ExportFormatTest, RefusesEveryFlippedByte) {
  Bytes file = WholeFile();
  for (uint8_t& byte : file) {
    byte ^= 0x41;
    EXPECT_FALSE(ReadAll(file).ok()) << &byte - file.data();
    byte ^= 0x41;
  }
}

TEST(ExportFormatTest, RefusesBytesAfterTheEnd) {
  Bytes file = WholeFile();
  file.push_back(0);
  EXPECT_FALSE(ReadAll(file).ok());
}

TEST(ExportFormatTest, RefusesRecordsOutOfOrder) {
  const Bytes segment = EncodeExportSegment(Segment(1));
  const std::vector<std::vector<ExportKind>> orders = {
      {ExportKind::kSegment},
      {ExportKind::kModel, ExportKind::kModel},
      {ExportKind::kModel, ExportKind::kFrame},
      {ExportKind::kModel, ExportKind::kSegment, ExportKind::kCommit},
      {ExportKind::kModel, ExportKind::kSegment, ExportKind::kFrame,
       ExportKind::kFrame},
      {ExportKind::kModel, ExportKind::kSegment, ExportKind::kFrame,
       ExportKind::kProfile},
      {ExportKind::kModel, ExportKind::kSegment, ExportKind::kFrame,
       ExportKind::kEnd},
      {ExportKind::kModel, ExportKind::kCommit, ExportKind::kCommit},
  };
  for (const auto& order : orders) {
    Bytes file;
    ExportWriter writer([&](ByteView bytes) {
      file.insert(file.end(), bytes.begin(), bytes.end());
      return Status();
    });
    for (ExportKind kind : order) {
      EXPECT_TRUE(writer.Add(kind, segment).ok());
    }
    const auto records = ReadAll(file);
    ASSERT_FALSE(records.ok());
    EXPECT_NE(records.status().message().find("after one of kind"),
              std::string_view::npos)
        << records.status().ToString();
  }
}

TEST(ExportFormatTest, RefusesSegmentsThatContradictThemselves) {
  Bytes content = EncodeExportSegment(Segment(2));
  content[36] = 65;  // token count
  EXPECT_FALSE(DecodeExportSegment(content).ok());
  content[36] = 0;
  EXPECT_FALSE(DecodeExportSegment(content).ok());
  content = EncodeExportSegment(Segment(2));
  content[38] = static_cast<uint8_t>(Tier::kTokens);
  EXPECT_FALSE(DecodeExportSegment(content).ok());
  content[38] = 6;
  EXPECT_FALSE(DecodeExportSegment(content).ok());
}

}  // namespace
}  // namespace reprise
