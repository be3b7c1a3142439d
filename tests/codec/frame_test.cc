#include "codec/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "base/limits.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

ModelId IdOf(uint8_t byte) {
  ModelId id;
  id.bytes.fill(byte);
  return id;
}

FrameInfo ExampleInfo() {
  FrameInfo info;
  info.codec = CodecId::kRaw;
  info.model = IdOf(0x11);
  info.segment.bytes.fill(0x22);
  info.first_token = 128;
  info.token_count = 64;
  info.layers = {0, 2};
  info.raw_bytes = 2 * 2 * 2 * 16 * 2 * 64;
  return info;
}

// Sections of 0, 1, 2, ... bytes, so that all paddings occur.
Bytes ExampleFrame(const FrameInfo& info, uint32_t section_count,
                   FrameBuilder* builder) {
  Random random(section_count);
  builder->Start(info, section_count);
  for (uint32_t i = 0; i < section_count; ++i) {
    FrameSection section{.layer = static_cast<uint16_t>(i % 2),
                         .plane = static_cast<uint8_t>(i / 2 % 2),
                         .mode = static_cast<uint8_t>(i),
                         .channel_first = i,
                         .channel_count = 1,
                         .words = i * 7};
    random.Fill(builder->BeginSection(100).first(i));
    builder->EndSection(section, i);
  }
  Result<ByteView> bytes = builder->Finish();
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  return bytes.ok() ? Bytes(bytes->begin(), bytes->end()) : Bytes();
}

Bytes ExampleFrame(uint32_t section_count = 19) {
  FrameBuilder builder;
  return ExampleFrame(ExampleInfo(), section_count, &builder);
}

// Puts all checksums right again, as a wrong writer would.
void Reseal(Bytes* frame) {
  uint8_t* const p = frame->data();
  const auto sections = LoadLe<uint32_t>(p + 28);
  if (192 + 32 * uint64_t{sections} <= frame->size()) {
    StoreLe(p + 144, Checksum({p + 192, 32 * size_t{sections}}));
  }
  StoreLe(p + 184, Checksum({p, 184}));
}

std::string ParseText(const Bytes& frame) {
  FrameView view;
  return ParseFrame(frame, &view).ToString();
}

TEST(FrameTest, ParsesWhatWasBuilt) {
  const Bytes frame = ExampleFrame();
  FrameView view;
  ASSERT_EQ(ParseFrame(frame, &view).ToString(), "OK");
  EXPECT_EQ(view.info, ExampleInfo());
  ASSERT_EQ(view.sections.size(), 19u);
  Random random(19);
  for (uint32_t i = 0; i < 19; ++i) {
    const FrameSection& section = view.sections[i];
    EXPECT_EQ(section.mode, i);
    EXPECT_EQ(section.words, i * 7);
    EXPECT_EQ(section.bytes, i);
    EXPECT_EQ(section.offset % 16, 0u);
    Bytes wanted(i);
    random.Fill(wanted);
    EXPECT_TRUE(BytesEqual(view.Section(section), wanted));
  }
}

TEST(FrameTest, KeepsEveryFieldOfATail) {
  FrameInfo info;
  info.codec = CodecId{0xabcd};  // unknown codecs are kept
  info.stage = 3;
  info.is_tail = true;
  info.model = IdOf(1);
  info.segment.bytes.fill(2);
  info.profile.bytes.fill(3);
  info.first_token = (4 << 20) - 64;
  info.token_count = 63;
  info.layers = {1000, 24};
  info.heads = {3, 5, 8};
  info.raw_bytes = 15973376;  // the largest that a layer group has
  FrameBuilder builder;
  builder.Start(info, 0);
  Result<ByteView> bytes = builder.Finish();
  ASSERT_TRUE(bytes.ok()) << bytes.status().ToString();
  EXPECT_EQ(bytes->size(), 192u);
  FrameView view;
  ASSERT_EQ(ParseFrame(*bytes, &view).ToString(), "OK");
  EXPECT_EQ(view.info, info);
}

TEST(FrameTest, RefusesEveryCutAndEveryByteMore) {
  Bytes frame = ExampleFrame();
  FrameView view;
  for (size_t size = 0; size < frame.size(); ++size) {
    const ByteView cut(frame.data(), size);
    EXPECT_TRUE(ParseFrame(cut, &view).Is(StatusCode::kDataLoss)) << size;
  }
  frame.push_back(0);
  EXPECT_TRUE(ParseFrame(frame, &view).Is(StatusCode::kDataLoss));
}

TEST(FrameTest, RefusesEveryFlippedBit) {
  Bytes frame = ExampleFrame();
  FrameView view;
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    const auto mask = static_cast<uint8_t>(1u << (bit % 8));
    frame[bit / 8] ^= mask;
    EXPECT_TRUE(ParseFrame(frame, &view).Is(StatusCode::kDataLoss)) << bit;
    frame[bit / 8] ^= mask;
  }
  EXPECT_TRUE(ParseFrame(frame, &view).ok());
}

TEST(FrameTest, DirectoryNeedsNoSections) {
  const Bytes frame = ExampleFrame();
  FrameView whole;
  ASSERT_TRUE(ParseFrame(frame, &whole).ok());
  const size_t directory_end = 192 + 32 * 19;
  FrameView view;
  for (size_t size = 0; size <= frame.size(); ++size) {
    const Status status =
        ParseFrameDirectory(ByteView(frame.data(), size), &view);
    EXPECT_EQ(status.ok(), size >= directory_end) << size;
    if (!status.ok()) continue;
    EXPECT_EQ(view.info, whole.info);
    EXPECT_EQ(view.sections, whole.sections);
  }
}

struct Damage {
  std::string status;  // how its text begins
  std::function<void(uint8_t*)> apply;
};

template <typename T>
std::function<void(uint8_t*)> Set(size_t offset, T value) {
  return [offset, value](uint8_t* p) { StoreLe(p + offset, value); };
}

// The example has 19 sections: its directory ends at byte 800, it has 1,120.
std::vector<Damage> ResealedDamages() {
  const std::string loss = "DataLoss: frame: ";
  const size_t entry1 = 192 + 32;
  return {
      {loss + "magic is 1, 826691666 is wanted", Set<uint32_t>(0, 1)},
      {"Unimplemented: frame: version is 2, the newest built is 1",
       Set<uint16_t>(4, 2)},
      {loss + "version is 0, the oldest is 1", Set<uint16_t>(4, 0)},
      {loss + "header says it has 191 bytes", Set<uint16_t>(6, 191)},
      {loss + "codec is 0", Set<uint16_t>(8, 0)},
      {loss + "flags are 2, known are 1", Set<uint8_t>(11, 2)},
      {loss + "token count is 64 in a tail, 1 to 63", Set<uint8_t>(11, 1)},
      {loss + "first token is 129, a multiple of 64", Set<uint32_t>(12, 129)},
      {loss + "first token is 4194304, ", Set<uint32_t>(12, 4 << 20)},
      {loss + "token count is 63, 64 are wanted", Set<uint16_t>(16, 63)},
      {loss + "token count is 0, 64 are wanted", Set<uint16_t>(16, 0)},
      {loss + "has 2 layers from 1023 on", Set<uint16_t>(18, 1023)},
      {loss + "has 0 layers from 0 on", Set<uint16_t>(20, 0)},
      {loss + "heads: 1 from 1 on, of 1", Set<uint16_t>(22, 1)},
      {loss + "heads: 0 from 0 on, of 1", Set<uint16_t>(24, 0)},
      {loss + "heads: total is 0, 1 to 1024", Set<uint16_t>(26, 0)},
      {loss + "heads: total is 1025", Set<uint16_t>(26, 1025)},
      {loss + "has 65537 sections, at most 65536", Set<uint32_t>(28, 65537)},
      {loss + "has 1120 bytes, header says 1136", Set<uint64_t>(32, 1136)},
      {loss + "header says 16777232 bytes", Set<uint64_t>(32, 16777232)},
      {loss + "header says 784 bytes", Set<uint64_t>(32, 784)},
      {loss + "decodes to 15990785 bytes", Set<uint64_t>(40, 15990785)},
      {loss + "reserved byte 31 is 9, 0 is wanted", Set<uint8_t>(183, 9)},
      {loss + "a section is of layer 2, the frame has 2 from 0 on",
       Set<uint16_t>(entry1, 2)},
      {loss + "a section is of plane 16", Set<uint8_t>(entry1 + 2, 16)},
      {loss + "a section has 1 channels from 4294967295 on",
       Set<uint32_t>(entry1 + 4, UINT32_MAX)},
      {loss + "a section ends at byte 4294968095, the frame at 1120",
       Set<uint32_t>(entry1 + 16, UINT32_MAX)},
      {loss + "a section is at byte 816, 800 is wanted",
       Set<uint32_t>(entry1 + 20, 816)},
      {loss + "section 1: checksum is", Set<uint64_t>(entry1 + 24, 1)},
  };
}

TEST(FrameTest, NamesTheCheckAndBothNumbers) {
  ASSERT_EQ(ExampleFrame().size(), 1120u);
  for (const Damage& damage : ResealedDamages()) {
    Bytes frame = ExampleFrame();
    damage.apply(frame.data());
    Reseal(&frame);
    EXPECT_EQ(ParseText(frame).substr(0, damage.status.size()), damage.status);
  }
}

TEST(FrameTest, RefusesPaddingThatIsNotZero) {
  Bytes frame = ExampleFrame();
  frame.back() = 5;
  EXPECT_EQ(ParseText(frame),
            "DataLoss: frame: padding byte 1119 is 5, 0 is wanted");
}

TEST(FrameTest, SurvivesAnyResealedByte) {
  const Bytes frame = ExampleFrame();
  Random random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes changed = frame;
    const uint64_t changes = 1 + random.Below(3);
    for (uint64_t i = 0; i < changes; ++i) {
      changed[random.Below(800)] = static_cast<uint8_t>(random.U64());
    }
    Reseal(&changed);
    FrameView view;
    if (!ParseFrame(changed, &view).ok()) continue;
    for (const FrameSection& section : view.sections) {
      EXPECT_EQ(Checksum(view.Section(section)), section.checksum);
    }
    EXPECT_FALSE(DescribeFrame(view).empty());
  }
}

TEST(FrameTest, ParsesWithoutAllocatingOnceWarm) {
  const Bytes large = ExampleFrame(19);
  const Bytes small = ExampleFrame(5);
  FrameView view;
  ASSERT_TRUE(ParseFrame(large, &view).ok());
  const FrameSection* const warm = view.sections.data();
  ASSERT_TRUE(ParseFrame(small, &view).ok());
  ASSERT_TRUE(ParseFrame(large, &view).ok());
  EXPECT_EQ(view.sections.data(), warm);
}

TEST(FrameBuilderTest, ReusedBufferLeavesNoTraceOfTheFrameBefore) {
  FrameBuilder builder;
  builder.Start(ExampleInfo(), 1);
  MutableByteView room = builder.BeginSection(100000);
  std::fill(room.begin(), room.end(), uint8_t{0xff});
  builder.EndSection({}, room.size());
  ASSERT_TRUE(builder.Finish().ok());
  EXPECT_EQ(ExampleFrame(ExampleInfo(), 19, &builder), ExampleFrame(19));
}

TEST(FrameBuilderTest, TooFewOrTooManySectionsIsABug) {
  FrameBuilder builder;
  builder.Start(ExampleInfo(), 2);
  builder.BeginSection(4);
  builder.EndSection({}, 0);
  EXPECT_TRUE(builder.Finish().status().Is(StatusCode::kInternal));
  for (int i = 0; i < 2; ++i) {
    builder.BeginSection(4);
    builder.EndSection({}, 0);
  }
  EXPECT_TRUE(builder.Finish().status().Is(StatusCode::kInternal));
}

TEST(FrameBuilderTest, RefusesAFrameOverTheLimit) {
  FrameBuilder builder;
  const uint64_t largest = kMaxFrameBytes - 192 - 32;
  builder.Start(ExampleInfo(), 1);
  builder.BeginSection(largest);
  builder.EndSection({}, largest);
  Result<ByteView> frame = builder.Finish();
  ASSERT_TRUE(frame.ok());
  FrameView view;
  EXPECT_EQ(ParseFrame(*frame, &view).ToString(), "OK");

  builder.Start(ExampleInfo(), 1);
  builder.BeginSection(largest + 1);
  builder.EndSection({}, largest + 1);
  EXPECT_EQ(builder.Finish().status().ToString(),
            "ResourceExhausted: frame: has 16777232 bytes, at most 16777216 "
            "are allowed");
}

TEST(FrameBuilderTest, RefusesAnInfoThatNoReaderWouldTake) {
  FrameInfo info = ExampleInfo();
  info.token_count = 70;
  FrameBuilder builder;
  builder.Start(info, 0);
  EXPECT_EQ(builder.Finish().status().ToString(),
            "InvalidArgument: frame: token count is 70, 64 are wanted");
}

TEST(HeadRangeTest, RefusesEmptyAndOutside) {
  EXPECT_TRUE(ValidateHeadRange(HeadRange::All()).ok());
  EXPECT_TRUE(ValidateHeadRange({1023, 1, 1024}).ok());
  for (const HeadRange& range :
       {HeadRange{0, 0, 1}, HeadRange{0, 2, 1}, HeadRange{0, 1, 0},
        HeadRange{65535, 65535, 8}, HeadRange{0, 1, 1025}}) {
    EXPECT_TRUE(ValidateHeadRange(range).Is(StatusCode::kInvalidArgument));
  }
}

TEST(SlicePlanesTest, AllHeadsGivesEveryPlaneWhole) {
  const ModelSpec spec = MixedModel();
  Result<std::vector<PlaneSlice>> slices =
      SlicePlanes(spec, {1, 3}, HeadRange::All());
  ASSERT_TRUE(slices.ok());
  ASSERT_EQ(slices->size(), 6u);
  EXPECT_EQ((*slices)[0].layer, 1);
  EXPECT_EQ((*slices)[0].spec, &spec.layers[1].planes[0]);
  EXPECT_EQ((*slices)[0].channels(), 160u);
  EXPECT_EQ((*slices)[5].layer, 3);
  EXPECT_EQ((*slices)[5].plane, 1);
}

TEST(SlicePlanesTest, RangesCoverEachHeadOnce) {
  const ModelSpec spec = GqaModel();
  for (uint16_t ranks : {1, 2, 4, 8}) {
    uint32_t next_head = 0;
    for (uint16_t r = 0; r < ranks; ++r) {
      Result<std::vector<PlaneSlice>> slices =
          SlicePlanes(spec, {0, 1}, {r, 1, ranks});
      ASSERT_TRUE(slices.ok());
      ASSERT_EQ(slices->size(), 2u);
      EXPECT_EQ((*slices)[0].head_first, next_head);
      next_head += (*slices)[0].head_count;
    }
    EXPECT_EQ(next_head, 8u);
  }
}

TEST(SlicePlanesTest, RefusesToCutAHead) {
  const ModelSpec spec = MixedModel();  // 8 heads and 2
  EXPECT_TRUE(SlicePlanes(spec, {0, 5}, {1, 1, 2}).ok());
  EXPECT_EQ(SlicePlanes(spec, {0, 5}, {1, 1, 4}).status().ToString(),
            "InvalidArgument: heads: 1 from 1 on, of 4, cut a head of plane "
            "k, which has 2");
}

TEST(SlicePlanesTest, ReplicatedPlanesStandWithTheFirstRangeOnly) {
  const ModelSpec spec = LatentModel();
  EXPECT_EQ(SlicePlanes(spec, {0, 3}, {0, 1, 4})->size(), 6u);
  EXPECT_EQ(SlicePlanes(spec, {0, 3}, {1, 1, 4})->size(), 0u);
}

std::string CheckText(const FrameInfo& info, const FrameSection& section,
                      const ModelSpec& spec) {
  FrameView view;
  view.info = info;
  view.sections = {section};
  return CheckFrameAgainstModel(view, spec).ToString();
}

TEST(FrameAgainstModelTest, NamesTheFieldAndBothNumbers) {
  const ModelSpec spec = TinyModel();  // 2 layers, k and v of 2 x 16 f16
  const FrameInfo good = ExampleInfo();
  const FrameSection section{.layer = 1, .plane = 1, .channel_count = 32};
  EXPECT_EQ(CheckText(good, section, spec), "OK");

  FrameInfo info = good;
  info.layers = {0, 1};
  EXPECT_EQ(CheckText(info, {}, spec),
            "InvalidArgument: frame: has 1 layers from 0 on, the model has a "
            "group of 2 from 0 on");
  info.layers = {7, 2};
  EXPECT_TRUE(CheckText(info, {}, spec).starts_with("InvalidArgument: "));
  info = good;
  info.raw_bytes -= 1;
  EXPECT_EQ(CheckText(info, section, spec),
            "InvalidArgument: frame: decodes to 16383 bytes, 16384 are the "
            "model's");
  info = good;
  info.heads = {0, 1, 4};
  EXPECT_TRUE(
      CheckText(info, section, spec).starts_with("InvalidArgument: heads: "));

  FrameSection bad = section;
  bad.plane = 2;
  EXPECT_EQ(CheckText(good, bad, spec),
            "InvalidArgument: frame: section 0 is of plane 2, layer 1 has 2");
  bad = section;
  bad.channel_first = 1;
  EXPECT_EQ(CheckText(good, bad, spec),
            "InvalidArgument: frame: section 0 has 32 channels from 1 on, its "
            "plane's slice 32 from 0 on");
}

TEST(FrameAgainstModelTest, RefusesARangeWithoutPlanes) {
  FrameInfo info = ExampleInfo();
  info.layers = {0, 3};
  info.heads = {1, 1, 2};
  info.raw_bytes = 0;
  FrameView view;
  view.info = info;
  EXPECT_EQ(CheckFrameAgainstModel(view, LatentModel()).ToString(),
            "InvalidArgument: frame: no plane of the model is in its head "
            "range");
}

TEST(DescribeFrameTest, ShowsEverySection) {
  const Bytes frame = ExampleFrame(3);
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  const std::string text = DescribeFrame(view);
  EXPECT_NE(text.find("codec       raw (1), stage 0"), std::string::npos);
  EXPECT_NE(text.find("tokens      64 from 128"), std::string::npos);
  EXPECT_NE(text.find("layer 1 plane 0: channels 1 from 1, mode 1, words 7, "
                      "bytes 1 at 288"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace reprise
