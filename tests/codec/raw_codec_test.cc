#include "codec/raw_codec.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/support/codec_frames.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

class RawCodecTest : public testing::Test {
 protected:
  RawCodecTest()
      : spec_(TinyModel()),
        slices_(*SlicePlanes(spec_, {0, 2}, HeadRange::All())),
        rows_(slices_, 64) {
    rows_.Fill(KvKind::kAnyBits, 1, 0);
  }

  Bytes Frame() {
    Result<Bytes> frame = EncodeFrame(
        codec_, nullptr, InfoOf(spec_, {.layers = {0, 2}}), slices_, rows_);
    EXPECT_TRUE(frame.ok()) << frame.status().ToString();
    return frame.ok() ? *frame : Bytes();
  }
  std::string DecodeText(ByteView frame) {
    KvRows out(slices_, 64);
    return DecodeFrame(nullptr, spec_, frame, 64, &out).ToString();
  }

  RawCodec codec_;
  ModelSpec spec_;
  std::vector<PlaneSlice> slices_;
  KvRows rows_;
};

TEST_F(RawCodecTest, SectionsAreTheRowsPacked) {
  const Bytes frame = Frame();
  FrameView view;
  ASSERT_EQ(ParseFrame(frame, &view).ToString(), "OK");
  ASSERT_EQ(view.sections.size(), 4u);
  ByteWriter sections;
  for (const FrameSection& section : view.sections) {
    EXPECT_EQ(section.mode, 0);
    EXPECT_EQ(section.words, 0u);
    EXPECT_EQ(section.channel_first, 0u);
    EXPECT_EQ(section.channel_count, 32u);
    sections.Raw(view.Section(section));
  }
  EXPECT_EQ(sections.bytes(), rows_.Packed());
  EXPECT_EQ(view.info.raw_bytes, sections.size());
  EXPECT_EQ(frame.size(), 192 + 4 * 32 + sections.size());
}

struct Damage {
  std::string status;
  std::function<void(uint8_t*)> apply;
};

TEST_F(RawCodecTest, NamesWhatIsWrongWithAResealedFrame) {
  constexpr size_t kEntry1 = 192 + 32;
  const std::vector<Damage> damages = {
      {"raw: stage is 2, 0 is wanted", [](uint8_t* p) { p[10] = 2; }},
      {"raw: the frame names a profile", [](uint8_t* p) { p[112] = 1; }},
      {"raw: section 1 is of layer 1 plane 1, 32 channels from 0 on; wanted "
       "are layer 0 plane 1",
       [](uint8_t* p) { p[kEntry1] = 1; }},
      {"raw: section 1: mode is 1", [](uint8_t* p) { p[kEntry1 + 3] = 1; }},
      {"raw: section 1 is of layer 0 plane 1, 31 channels",
       [](uint8_t* p) { p[kEntry1 + 8] = 31; }},
      {"raw: section 1: mode is 0 and words are 7",
       [](uint8_t* p) { p[kEntry1 + 12] = 7; }},
      {"raw: section 1 has 4095 bytes, 4096 are wanted",
       [](uint8_t* p) {
         StoreLe<uint32_t>(p + kEntry1 + 16, 4095);
         p[192 + 4 * 32 + 2 * 4096 - 1] = 0;  // is padding now
       }},
  };
  for (const Damage& damage : damages) {
    Bytes frame = Frame();
    damage.apply(frame.data());
    ResealFrame(frame);
    const std::string wanted = "DataLoss: " + damage.status;
    EXPECT_EQ(DecodeText(frame).substr(0, wanted.size()), wanted);
  }
}

TEST_F(RawCodecTest, RefusesAFrameWithFewerSections) {
  FrameInfo info = InfoOf(spec_, {.layers = {0, 2}});
  info.raw_bytes = RawBytesOf(slices_, 64);
  FrameBuilder builder;
  builder.Start(info, 0);
  Result<ByteView> frame = builder.Finish();
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(DecodeText(*frame), "DataLoss: raw: has 0 sections, 4 are wanted");
}

TEST_F(RawCodecTest, HasNoProfilesAndOneStage) {
  EXPECT_TRUE(
      codec_.ParseProfile({}).status().Is(StatusCode::kInvalidArgument));
  FrameInfo info = InfoOf(spec_, {.layers = {0, 2}});
  info.stage = 1;
  EXPECT_EQ(
      EncodeFrame(codec_, nullptr, info, slices_, rows_).status().ToString(),
      "InvalidArgument: raw: stage is 1, 0 is wanted");
}

}  // namespace
}  // namespace reprise
