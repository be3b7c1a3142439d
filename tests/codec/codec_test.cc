#include "codec/codec.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/support/codec_frames.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

TEST(CodecScratchTest, BuffersAreAlignedAndKept) {
  CodecScratch scratch;
  uint8_t* const first = scratch.Get(0, 1000);
  uint8_t* const second = scratch.Get(7, 1);
  for (uint8_t* p : {first, second}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
  }
  first[999] = 1;
  EXPECT_EQ(scratch.Get(0, 1000), first);
  EXPECT_EQ(scratch.Get(0, 3), first);
  uint8_t* const larger = scratch.Get(0, 100000);
  larger[99999] = 2;
  EXPECT_EQ(scratch.Get(7, 1), second);
  EXPECT_NE(scratch.Get(3, 0), nullptr);
}

TEST(CodecRegistryTest, FindsEveryCodecByIdAndByName) {
  std::set<CodecId> ids;
  ASSERT_FALSE(AllCodecs().empty());
  for (const Codec* codec : AllCodecs()) {
    EXPECT_EQ(FindCodec(codec->id()), codec);
    EXPECT_EQ(FindCodec(codec->name()), codec);
    EXPECT_EQ(CodecIdName(codec->id()), codec->name());
    ids.insert(codec->id());
  }
  EXPECT_EQ(ids.size(), AllCodecs().size());
}

TEST(CodecRegistryTest, AnswersNullForWhatIsNotBuilt) {
  EXPECT_EQ(FindCodec(CodecId{0}), nullptr);
  EXPECT_EQ(FindCodec(CodecId{999}), nullptr);
  EXPECT_EQ(FindCodec("?"), nullptr);
  EXPECT_EQ(FindCodec(""), nullptr);
}

TEST(CodecRegistryTest, ParsesAChoice) {
  const Result<CodecChoice> plain = ParseCodecChoice("exact");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->codec->id(), CodecId::kExact);
  EXPECT_EQ(plain->options, nullptr);
  EXPECT_EQ(plain->tier(), Tier::kExact);
  EXPECT_TRUE(ParseCodecChoice("raw:").ok());

  const Status unknown = ParseCodecChoice("gzip").status();
  EXPECT_TRUE(unknown.Is(StatusCode::kUnimplemented));
  EXPECT_NE(unknown.message().find("\"gzip\" is not built; there are raw"),
            std::string::npos);
  EXPECT_TRUE(ParseCodecChoice("raw:level=3")
                  .status()
                  .Is(StatusCode::kInvalidArgument));
}

TEST(CodecRegistryTest, ATierStandsForTheCodecThatMakesIt) {
  for (const Tier tier : {Tier::kNear, Tier::kCoarse, Tier::kArchive}) {
    const auto choice = ParseCodecChoice(TierName(tier));
    ASSERT_TRUE(choice.ok()) << choice.status().ToString();
    EXPECT_EQ(choice->codec->id(), CodecId::kKlt);
    EXPECT_EQ(choice->tier(), tier);
  }
  EXPECT_FALSE(ParseCodecChoice("tokens").ok());
  EXPECT_FALSE(ParseCodecChoice("near:bits=8").ok());
}

class CodecRequestTest : public testing::Test {
 protected:
  CodecRequestTest()
      : spec_(TinyModel()),
        slices_(*SlicePlanes(spec_, {0, 2}, HeadRange::All())),
        rows_(slices_, 64) {
    views_ = rows_.Const();
    targets_ = rows_.Mutable();
    encode_ = {.info = InfoOf(spec_, {.layers = {0, 2}}),
               .slices = slices_,
               .rows = views_};
    decode_ = {.slices = slices_, .rows = targets_, .token_count = 64};
    frame_.info = encode_.info;
  }

  ModelSpec spec_;
  std::vector<PlaneSlice> slices_;
  KvRows rows_;
  std::vector<ConstPlaneRows> views_;
  std::vector<PlaneRows> targets_;
  EncodeRequest encode_;
  DecodeRequest decode_;
  FrameView frame_;
};

TEST_F(CodecRequestTest, AcceptsGoodOnes) {
  EXPECT_EQ(CheckEncodeRequest(encode_).ToString(), "OK");
  EXPECT_EQ(CheckDecodeRequest(frame_, decode_).ToString(), "OK");
  targets_[1] = {};  // skipped
  decode_.token_count = 0;
  EXPECT_EQ(CheckDecodeRequest(frame_, decode_).ToString(), "OK");
  EXPECT_EQ(RawBytesOf(slices_, 3), 3u * 4 * 64);
}

TEST_F(CodecRequestTest, RefusesRowsThatAreNotOneASlice) {
  encode_.rows = encode_.rows.first(3);
  EXPECT_EQ(CheckEncodeRequest(encode_).ToString(),
            "InvalidArgument: codec: 3 rows for 4 slices, one for each of at "
            "least 1 is wanted");
  decode_.rows = {};
  decode_.slices = {};
  EXPECT_EQ(CheckDecodeRequest(frame_, decode_).ToString(),
            "InvalidArgument: codec: 0 rows for 0 slices, one for each of at "
            "least 1 is wanted");
}

TEST_F(CodecRequestTest, RefusesStridesShorterThanARow) {
  views_[2].token_stride_bytes = 63;
  targets_[2].token_stride_bytes = 63;
  EXPECT_EQ(CheckEncodeRequest(encode_).ToString(),
            "InvalidArgument: codec: layer 1 plane 0: stride is 63 bytes, a "
            "row has 64");
  EXPECT_EQ(CheckDecodeRequest(frame_, decode_).ToString(),
            "InvalidArgument: codec: layer 1 plane 0: stride is 63 bytes, a "
            "row has 64");
}

TEST_F(CodecRequestTest, RefusesNullRowsToEncode) {
  views_[0].data = nullptr;
  EXPECT_EQ(CheckEncodeRequest(encode_).ToString(),
            "InvalidArgument: codec: layer 0 plane 0: its rows are null");
}

TEST_F(CodecRequestTest, RefusesTokenCountsThatNoFrameHas) {
  encode_.info.token_count = 63;
  EXPECT_EQ(CheckEncodeRequest(encode_).ToString(),
            "InvalidArgument: codec: 63 tokens, 64 to 64 are wanted");
  encode_.info.is_tail = true;
  EXPECT_TRUE(CheckEncodeRequest(encode_).ok());
  encode_.info.token_count = 64;
  EXPECT_EQ(CheckEncodeRequest(encode_).ToString(),
            "InvalidArgument: codec: 64 tokens, 1 to 63 are wanted");
  encode_.info.token_count = 0;
  EXPECT_FALSE(CheckEncodeRequest(encode_).ok());
  decode_.token_count = 65;
  EXPECT_EQ(CheckDecodeRequest(frame_, decode_).ToString(),
            "InvalidArgument: codec: 65 tokens are wanted, the frame has 64");
}

TEST_F(CodecRequestTest, ACodecWithoutChoicesRefusesThem) {
  EXPECT_TRUE(CheckNoChoices(encode_, "raw").ok());
  encode_.kept = kAllTokens << 1;
  const Status dropped = CheckNoChoices(encode_, "raw");
  EXPECT_TRUE(dropped.Is(StatusCode::kUnimplemented));
  EXPECT_EQ(dropped.message(),
            "raw: can't drop tokens, 63 are to be kept of 64");
  // What lies past a tail's tokens doesn't matter.
  encode_.info.is_tail = true;
  encode_.info.token_count = 3;
  encode_.kept = FirstTokens(3);
  EXPECT_TRUE(CheckNoChoices(encode_, "raw").ok());
  encode_.kept = FirstTokens(4);
  EXPECT_TRUE(CheckEncodeRequest(encode_).Is(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace reprise
