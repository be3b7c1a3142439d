// What every codec promises, for each record of CodecCases().
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "base/limits.h"
#include "codec/exact_simd.h"
#include "tests/support/allocation_count.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr DType kAllDTypes[] = {DType::kF32,    DType::kBf16,   DType::kF16,
                                DType::kF8E4M3, DType::kF8E5M2, DType::kOpaque};
constexpr uint64_t kGap = 24;

TEST(CodecCasesTest, HoldEveryRegisteredCodec) {
  std::set<CodecId> ids;
  for (const CodecCase& codec_case : CodecCases()) {
    EXPECT_NE(CodecOf(codec_case), nullptr) << codec_case.name;
    ids.insert(codec_case.id);
    EXPECT_EQ(OptionsOf(codec_case).status().ToString(), "OK");
    EXPECT_NE(CodecOf(codec_case)->is_exact(), codec_case.problem != nullptr)
        << codec_case.name;
  }
  EXPECT_EQ(ids.size(), AllCodecs().size());
}

// What Decode may say of a frame that a wrong encoder made, or of one that
// lacks tokens where nobody asked which.
bool IsRefusal(const Status& status) {
  return status.Is(StatusCode::kDataLoss) ||
         status.Is(StatusCode::kInvalidArgument) ||
         status.Is(StatusCode::kFailedPrecondition);
}

bool IsZero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](uint8_t byte) { return byte == 0; });
}

// A model, cut to one frame, and the case's profile for it.
struct Setting {
  ModelSpec spec;
  FramePlace place;
  std::vector<PlaneSlice> slices;
  std::shared_ptr<const CodecProfile> profile;
};

class CodecConformanceTest : public testing::TestWithParam<CodecCase> {
 protected:
  const Codec& codec() const { return *CodecOf(GetParam()); }

  void SetUp() override {
    auto options = OptionsOf(GetParam());
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    options_ = *std::move(options);
  }

  // Sets setting_ up. False, after a failure was added, when there is none.
  bool Use(const ModelSpec& spec, FramePlace place) {
    if (ModelIdOf(spec) != ModelIdOf(setting_.spec)) {
      Result<std::shared_ptr<const CodecProfile>> profile =
          ProfileOf(GetParam(), spec);
      EXPECT_TRUE(profile.ok()) << profile.status().ToString();
      if (!profile.ok()) return false;
      setting_.spec = spec;
      setting_.profile = *profile;
    }
    place.layers = LayerGroupsOf(setting_.spec)[0];
    setting_.place = place;
    auto slices = SlicePlanes(setting_.spec, place.layers, place.heads);
    EXPECT_TRUE(slices.ok()) << slices.status().ToString();
    if (!slices.ok()) return false;
    setting_.slices = *std::move(slices);
    return true;
  }

  KvRows Rows(KvKind kind, uint64_t gap_bytes = 0) const {
    KvRows rows(setting_.slices, setting_.place.token_count, gap_bytes);
    rows.Fill(kind, 7, setting_.place.first_token);
    return rows;
  }

  EncodeRequest RequestFor(std::span<const ConstPlaneRows> rows) const {
    return {.info = InfoOf(setting_.spec, setting_.place),
            .slices = setting_.slices,
            .rows = rows,
            .profile = setting_.profile.get(),
            .options = options_.get()};
  }

  Bytes Encode(const KvRows& rows, TokenMask kept = kAllTokens) const {
    Result<Bytes> frame = EncodeFrame(
        codec(), setting_.profile.get(), InfoOf(setting_.spec, setting_.place),
        setting_.slices, rows, options_.get(), kept);
    EXPECT_TRUE(frame.ok()) << frame.status().ToString();
    return frame.ok() ? *std::move(frame) : Bytes();
  }

  Status Decode(ByteView frame, uint32_t token_count, KvRows* rows) const {
    return DecodeFrame(setting_.profile.get(), setting_.spec, frame,
                       token_count, rows);
  }

  // Of a lossy codec: that the rows are as near as its page says.
  void ExpectBounds(const Bytes& frame, const KvRows& rows, const KvRows& out,
                    TokenMask kept) const {
    FrameView view;
    ASSERT_TRUE(ParseFrame(frame, &view).ok());
    for (size_t i = 0; i < setting_.slices.size(); ++i) {
      const CodedSlice coded{.frame = view,
                             .index = i,
                             .slice = setting_.slices[i],
                             .rows = rows,
                             .decoded = out,
                             .token_count = setting_.place.token_count,
                             .kept = kept};
      ASSERT_EQ(GetParam().problem(coded), "") << "slice " << i;
    }
  }

  // Values there and back, bit for bit if the codec says so; else within its
  // bounds. The same in two decodings.
  void ExpectRoundTrip(KvKind kind) const {
    const uint32_t tokens = setting_.place.token_count;
    const KvRows rows = Rows(kind);
    const Bytes frame = Encode(rows);
    KvRows out(setting_.slices, tokens);
    ASSERT_EQ(Decode(frame, tokens, &out).ToString(), "OK");
    EXPECT_TRUE(out.GuardsAreWhole(tokens));
    if (codec().is_exact()) {
      EXPECT_EQ(out.Packed(), rows.Packed());
    } else {
      ExpectBounds(frame, rows, out, kAllTokens);
    }
    KvRows wide(setting_.slices, tokens, kGap);
    ASSERT_EQ(Decode(frame, tokens, &wide).ToString(), "OK");
    EXPECT_TRUE(wide.GuardsAreWhole(tokens));
    EXPECT_EQ(wide.Packed(), out.Packed());
  }

  std::string Describe(KvKind kind) const {
    return std::string(KvKindName(kind)) + ", " +
           std::to_string(setting_.place.token_count) + " tokens, heads from " +
           std::to_string(setting_.place.heads.first) + " of " +
           std::to_string(setting_.place.heads.total);
  }

  std::shared_ptr<const CodecOptions> options_;
  Setting setting_;
};

TEST_P(CodecConformanceTest, GivesBackEveryModelAndKindOfValue) {
  for (const NamedModel& model : AllTestModels()) {
    for (const uint16_t tokens : {uint16_t{64}, uint16_t{17}}) {
      for (const KvKind kind : kAllKvKinds) {
        ASSERT_TRUE(Use(model.spec, {.token_count = tokens}));
        SCOPED_TRACE(model.name + ", " + Describe(kind));
        ExpectRoundTrip(kind);
      }
    }
  }
}

TEST_P(CodecConformanceTest, GivesBackEveryDTypeAndTokenCount) {
  for (const DType dtype : kAllDTypes) {
    for (uint16_t tokens = 1; tokens <= kSegmentTokens; ++tokens) {
      const KvKind other = kAllKvKinds[tokens % std::size(kAllKvKinds)];
      for (const KvKind kind : {KvKind::kTypical, other}) {
        ASSERT_TRUE(Use(TinyModel(dtype), {.token_count = tokens}));
        SCOPED_TRACE(std::string(DTypeName(dtype)) + ", " + Describe(kind));
        ExpectRoundTrip(kind);
      }
    }
  }
}

TEST_P(CodecConformanceTest, GivesBackOddShapes) {
  for (const uint32_t heads : {1u, 3u, 7u}) {
    for (const uint32_t dim : {1u, 2u, 31u, 33u, 80u, 129u}) {
      const ModelSpec spec = PlainModel("odd", 2, heads, dim, DType::kBf16);
      ASSERT_TRUE(Use(spec, {.token_count = 5}));
      SCOPED_TRACE(std::to_string(heads) + " x " + std::to_string(dim));
      ExpectRoundTrip(KvKind::kTypical);
      ExpectRoundTrip(KvKind::kSpecials);
    }
  }
}

TEST_P(CodecConformanceTest, RefusesAPartOfTheHeadsIfItNeedsAll) {
  ASSERT_TRUE(Use(GqaModel(), {.heads = {2, 1, 4}, .token_count = 9}));
  const KvRows rows = Rows(KvKind::kTypical);
  const std::vector<ConstPlaneRows> views = rows.Const();
  CodecScratch scratch;
  FrameBuilder builder;
  const Status status = codec().Encode(RequestFor(views), &scratch, &builder);
  if (GetParam().needs_all_heads) {
    EXPECT_TRUE(status.Is(StatusCode::kFailedPrecondition));
    EXPECT_NE(status.message().find("heads"), std::string::npos);
  } else {
    EXPECT_EQ(status.ToString(), "OK");
  }
}

TEST_P(CodecConformanceTest, GivesBackEveryHeadRange) {
  if (GetParam().needs_all_heads) {
    GTEST_SKIP() << GetParam().name << " needs all heads";
  }
  for (const uint16_t total : {2, 4, 8}) {
    for (uint16_t first = 0; first < total; ++first) {
      for (const uint16_t count : {uint16_t{1}, uint16_t(total - first)}) {
        FramePlace place;
        place.heads = {first, count, total};
        place.token_count = 9;
        place.first_token = 640;
        ASSERT_TRUE(Use(GqaModel(), place));
        SCOPED_TRACE(Describe(KvKind::kTypical));
        ExpectRoundTrip(KvKind::kTypical);
      }
    }
  }
  FramePlace place;
  place.heads = {0, 1, 4};  // the rank that holds what is replicated
  ASSERT_TRUE(Use(LatentModel(), place));
  ExpectRoundTrip(KvKind::kTypical);
  place.heads = {1, 1, 2};
  ASSERT_TRUE(Use(MixedModel(), place));
  ExpectRoundTrip(KvKind::kTypical);
}

TEST_P(CodecConformanceTest, ReadsRowsAtAnyStride) {
  ASSERT_TRUE(Use(MixedModel(), {}));
  const Bytes dense = Encode(Rows(KvKind::kTypical));
  EXPECT_EQ(Encode(Rows(KvKind::kTypical, kGap)), dense);
  EXPECT_EQ(Encode(Rows(KvKind::kTypical, 1)), dense);
}

TEST_P(CodecConformanceTest, DecodesTheFirstTokensOnly) {
  ASSERT_TRUE(Use(TinyModel(), {}));
  const Bytes frame = Encode(Rows(KvKind::kTypical));
  KvRows whole(setting_.slices, 64);
  ASSERT_TRUE(Decode(frame, 64, &whole).ok());
  for (uint32_t tokens = 0; tokens <= 64; ++tokens) {
    KvRows out(setting_.slices, 64, kGap);
    ASSERT_EQ(Decode(frame, tokens, &out).ToString(), "OK");
    ASSERT_TRUE(out.GuardsAreWhole(tokens)) << tokens;
    for (size_t i = 0; i < setting_.slices.size(); ++i) {
      for (uint32_t t = 0; t < tokens; ++t) {
        ASSERT_TRUE(BytesEqual(out.RowView(i, t), whole.RowView(i, t)));
      }
    }
  }
  KvRows out(setting_.slices, 65);
  EXPECT_TRUE(Decode(frame, 65, &out).Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

TEST_P(CodecConformanceTest, SkipsPlanesWithoutRows) {
  ASSERT_TRUE(Use(MixedModel(), {.token_count = 11}));
  const Bytes frame = Encode(Rows(KvKind::kTypical));
  KvRows whole(setting_.slices, 11);
  ASSERT_TRUE(Decode(frame, 11, &whole).ok());
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  CodecScratch scratch;
  for (size_t wanted = 0; wanted < setting_.slices.size(); ++wanted) {
    KvRows out(setting_.slices, 11);
    std::vector<PlaneRows> targets(setting_.slices.size());
    targets[wanted] = out.Mutable()[wanted];
    const DecodeRequest request{.slices = setting_.slices,
                                .rows = targets,
                                .token_count = 11,
                                .profile = setting_.profile.get()};
    ASSERT_EQ(codec().Decode(view, request, &scratch).ToString(), "OK");
    for (uint32_t t = 0; t < 11; ++t) {
      ASSERT_TRUE(BytesEqual(out.RowView(wanted, t), whole.RowView(wanted, t)));
    }
    EXPECT_TRUE(out.GuardsAreWhole(11));
  }
}

TEST_P(CodecConformanceTest, WarmScratchAndBuilderChangeNothing) {
  CodecScratch scratch;
  FrameBuilder builder;
  for (const ModelSpec& spec : {GqaModel(), TinyModel(), MixedModel()}) {
    ASSERT_TRUE(Use(spec, {.token_count = 33}));
    const KvRows rows = Rows(KvKind::kTypical);
    const Bytes cold = Encode(rows);
    const std::vector<ConstPlaneRows> views = rows.Const();
    const EncodeRequest request = RequestFor(views);
    ASSERT_EQ(codec().Encode(request, &scratch, &builder).ToString(), "OK");
    Result<ByteView> warm = builder.Finish();
    ASSERT_TRUE(warm.ok());
    EXPECT_TRUE(BytesEqual(*warm, cold));
  }
}

TEST_P(CodecConformanceTest, AllocatesNothingOnceWarm) {
  ASSERT_TRUE(Use(MixedModel(), {}));
  const KvRows rows = Rows(KvKind::kTypical);
  KvRows out(setting_.slices, 64);
  const std::vector<ConstPlaneRows> views = rows.Const();
  const std::vector<PlaneRows> targets = out.Mutable();
  const EncodeRequest encode = RequestFor(views);
  const DecodeRequest decode{.slices = setting_.slices,
                             .rows = targets,
                             .token_count = 64,
                             .profile = setting_.profile.get()};
  CodecScratch scratch;
  FrameBuilder builder;
  FrameView view;
  for (const bool warm : {false, true}) {
    const uint64_t before = AllocationCount();
    ASSERT_TRUE(codec().Encode(encode, &scratch, &builder).ok());
    Result<ByteView> frame = builder.Finish();
    ASSERT_TRUE(frame.ok());
    ASSERT_TRUE(ParseFrame(*frame, &view).ok());
    ASSERT_TRUE(CheckFrameAgainstModel(view, setting_.spec).ok());
    ASSERT_TRUE(codec().Decode(view, decode, &scratch).ok());
    const uint64_t count = AllocationCount() - before;
    if (warm) {
      EXPECT_EQ(count, 0u);
    } else {
      EXPECT_GT(count, 0u);
    }
  }
}

// Almost a layer group of the smallest planes there are, and the largest layer
// after it, of bytes that no codec can shorten.
TEST_P(CodecConformanceTest, TheLargestLayerGroupFitsAFrame) {
  ModelSpec spec = OpaqueModel();
  PlaneSpec plane = spec.layers[0].planes[0];
  plane.heads = 1;
  plane.dim = 1;
  LayerSpec layer;
  for (uint32_t p = 0; p < kMaxPlanesPerLayer; ++p) {
    plane.name = "p" + std::to_string(p);
    layer.planes.push_back(plane);
  }
  const uint64_t layer_bytes = kMaxPlanesPerLayer * kSegmentTokens;
  spec.layers.assign(kLayerGroupBytes / layer_bytes - 1, layer);
  for (PlaneSpec& p : layer.planes) p.dim = kMaxLayerSegmentBytes / layer_bytes;
  spec.layers.push_back(layer);
  ASSERT_EQ(ValidateModelSpec(spec).ToString(), "OK");
  ASSERT_EQ(LayerGroupsOf(spec).size(), 1u);

  ASSERT_TRUE(Use(spec, {}));
  Bytes packed(RawBytesOf(setting_.slices, 64));
  Random(1).Fill(packed);
  KvRows rows(setting_.slices, 64);
  rows.Unpack(packed);
  const Bytes frame = Encode(rows);
  ASSERT_LE(frame.size(), kMaxFrameBytes);
  KvRows out(setting_.slices, 64);
  ASSERT_EQ(Decode(frame, 64, &out).ToString(), "OK");
  if (codec().is_exact()) {
    EXPECT_TRUE(BytesEqual(out.Packed(), packed));
  }
}

TEST_P(CodecConformanceTest, NamesItselfItsProfileAndItsPlace) {
  FramePlace place;
  if (!GetParam().needs_all_heads) place.heads = {4, 2, 8};
  place.first_token = 1024;
  place.token_count = 63;
  ASSERT_TRUE(Use(GqaModel(), place));
  const Bytes frame = Encode(Rows(KvKind::kTypical));
  FrameView view;
  ASSERT_EQ(ParseFrame(frame, &view).ToString(), "OK");
  FrameInfo wanted = InfoOf(setting_.spec, setting_.place);
  wanted.codec = codec().id();
  wanted.stage = view.info.stage;
  if (setting_.profile != nullptr) wanted.profile = setting_.profile->id();
  wanted.raw_bytes = RawBytesOf(setting_.slices, 63);
  EXPECT_EQ(view.info, wanted);
}

TEST_P(CodecConformanceTest, NeverDecodesACutOrFlippedFrame) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 7}));
  Bytes frame = Encode(Rows(KvKind::kTypical));
  KvRows out(setting_.slices, 7);
  for (size_t size = 0; size < frame.size(); ++size) {
    const Status status = Decode(ByteView(frame.data(), size), 7, &out);
    ASSERT_TRUE(status.Is(StatusCode::kDataLoss)) << size;
  }
  for (size_t i = 0; i < frame.size(); ++i) {
    for (const uint8_t mask : {0x01, 0x10, 0x80, 0xff}) {
      frame[i] ^= mask;
      ASSERT_TRUE(Decode(frame, 7, &out).Is(StatusCode::kDataLoss)) << i;
      frame[i] ^= mask;
    }
  }
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

TEST_P(CodecConformanceTest, RefusesBadRequestsBeforeItTouchesARow) {
  ASSERT_TRUE(Use(TinyModel(), {}));
  const KvRows rows = Rows(KvKind::kTypical);
  std::vector<ConstPlaneRows> views = rows.Const();
  EncodeRequest encode = RequestFor(std::span(views).first(views.size() - 1));
  CodecScratch scratch;
  FrameBuilder builder;
  EXPECT_TRUE(codec()
                  .Encode(encode, &scratch, &builder)
                  .Is(StatusCode::kInvalidArgument));
  encode.rows = views;
  views[1].token_stride_bytes = 1;
  EXPECT_TRUE(codec()
                  .Encode(encode, &scratch, &builder)
                  .Is(StatusCode::kInvalidArgument));
  views[1] = {};
  EXPECT_TRUE(codec()
                  .Encode(encode, &scratch, &builder)
                  .Is(StatusCode::kInvalidArgument));

  const Bytes frame = Encode(rows);
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  KvRows out(setting_.slices, 64);
  std::vector<PlaneRows> targets = out.Mutable();
  targets[2].token_stride_bytes = 5;
  const DecodeRequest decode{.slices = setting_.slices,
                             .rows = targets,
                             .token_count = 64,
                             .profile = setting_.profile.get()};
  EXPECT_TRUE(
      codec().Decode(view, decode, &scratch).Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

TEST_P(CodecConformanceTest, RefusesToDecodeWithoutTheProfileThatIsNamed) {
  if (GetParam().fit == nullptr) {
    EXPECT_FALSE(codec().needs_profile());
    return;
  }
  ASSERT_TRUE(Use(TinyModel(), {}));
  const Bytes frame = Encode(Rows(KvKind::kTypical));
  KvRows out(setting_.slices, 64);
  if (GetParam().decodes_without_profile) {
    KvRows with(setting_.slices, 64);
    ASSERT_TRUE(Decode(frame, 64, &with).ok());
    ASSERT_TRUE(DecodeFrame(nullptr, setting_.spec, frame, 64, &out).ok());
    EXPECT_EQ(out.Packed(), with.Packed());
    return;
  }
  EXPECT_TRUE(DecodeFrame(nullptr, setting_.spec, frame, 64, &out)
                  .Is(StatusCode::kFailedPrecondition));
  auto other = ProfileOf(GetParam(), TinyModel(DType::kBf16));
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(DecodeFrame(other->get(), setting_.spec, frame, 64, &out)
                  .Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

// All codecs so far have one stage.
TEST_P(CodecConformanceTest, RefusesFramesOfOtherStages) {
  ASSERT_TRUE(Use(TinyModel(), {}));
  Bytes frame = Encode(Rows(KvKind::kTypical));
  frame[10] = 1;
  ResealFrame(frame);
  KvRows out(setting_.slices, 64);
  const Status status = Decode(frame, 64, &out);
  EXPECT_TRUE(status.Is(StatusCode::kDataLoss)) << status.ToString();
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

// Changes a few bytes of directory entries or sections and makes the checksums
// right again: what a wrong encoder would write.
Bytes Mutate(const Bytes& frame, Random* random) {
  constexpr uint64_t kEntry = 32;
  Bytes changed = frame;
  const auto sections = LoadLe<uint32_t>(frame.data() + 28);
  const uint64_t directory_end = 192 + kEntry * sections;
  const uint64_t changes = 1 + random->Below(3);
  for (uint64_t i = 0; i < changes; ++i) {
    const uint64_t entry = 192 + kEntry * random->Below(sections);
    // Layer, plane, mode, channels and words; sizes and offsets would be
    // refused by the parser.
    if (random->OneIn(2)) {
      uint8_t* const p = changed.data() + entry + random->Below(16);
      *p = random->OneIn(2) ? static_cast<uint8_t>(random->U64())
                            : static_cast<uint8_t>(*p + 1);
    } else {
      const uint64_t at =
          directory_end + random->Below(frame.size() - directory_end);
      changed[at] = static_cast<uint8_t>(random->U64());
    }
  }
  ResealFrame(changed);
  return changed;
}

TEST_P(CodecConformanceTest, SurvivesAnyResealedDamage) {
  Random random(3);
  int decoded = 0;
  int refused = 0;
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kOpaque}) {
    for (const KvKind kind : {KvKind::kTypical, KvKind::kConstant}) {
      ASSERT_TRUE(Use(TinyModel(dtype), {.token_count = 19}));
      const Bytes frame = Encode(Rows(kind));
      for (int round = 0; round < 1500; ++round) {
        const Bytes changed = Mutate(frame, &random);
        KvRows out(setting_.slices, 19, kGap);
        const Status status = Decode(changed, 19, &out);
        ASSERT_TRUE(out.GuardsAreWhole(19)) << "round " << round;
        ASSERT_TRUE(status.ok() || IsRefusal(status)) << status.ToString();
        ++(status.ok() ? decoded : refused);
      }
    }
  }
  // Else the mutations would prove little.
  EXPECT_GT(refused, 100);
  EXPECT_GT(decoded, 0);
}

// A section may be of any size as long as the frame is consistent.
TEST_P(CodecConformanceTest, SurvivesSectionsOfOtherSizes) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 19}));
  const Bytes frame = Encode(Rows(KvKind::kTypical));
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  FrameBuilder builder;
  Random random(4);
  for (int round = 0; round < 2000; ++round) {
    const auto victim = random.Below(view.sections.size());
    builder.Start(view.info, static_cast<uint32_t>(view.sections.size()));
    for (size_t i = 0; i < view.sections.size(); ++i) {
      const ByteView bytes = view.Section(view.sections[i]);
      const MutableByteView room = builder.BeginSection(bytes.size() + 64);
      std::copy(bytes.begin(), bytes.end(), room.begin());
      uint64_t size = bytes.size();
      if (i == victim) {
        random.Fill(room.subspan(size));
        size =
            random.OneIn(2) ? random.Below(size + 1) : size + random.Below(65);
      }
      builder.EndSection(view.sections[i], size);
    }
    Result<ByteView> changed = builder.Finish();
    ASSERT_TRUE(changed.ok());
    KvRows out(setting_.slices, 19, kGap);
    const Status status = Decode(*changed, 19, &out);
    ASSERT_TRUE(out.GuardsAreWhole(19)) << "round " << round;
    ASSERT_TRUE(status.ok() || IsRefusal(status)) << status.ToString();
  }
}

// Dropping, repeating or swapping whole sections leaves planes without bytes
// or with two: a decoder must see that, or rows would keep what they held.
TEST_P(CodecConformanceTest, RefusesMissingRepeatedAndSwappedSections) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 19}));
  const Bytes frame = Encode(Rows(KvKind::kTypical));
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  const size_t count = view.sections.size();
  ASSERT_GE(count, 1u);
  std::vector<std::vector<size_t>> orders;
  for (size_t i = 0; i < count; ++i) {
    std::vector<size_t> order;
    for (size_t j = 0; j < count; ++j) order.push_back(j);
    std::vector<size_t> swapped = order;
    std::swap(swapped[i], swapped[(i + 1) % count]);
    if (count > 1) orders.push_back(swapped);
    std::vector<size_t> repeated = order;
    repeated.insert(repeated.begin() + static_cast<ptrdiff_t>(i), i);
    orders.push_back(repeated);
    order.erase(order.begin() + static_cast<ptrdiff_t>(i));
    orders.push_back(order);
  }
  FrameBuilder builder;
  for (const std::vector<size_t>& order : orders) {
    builder.Start(view.info, static_cast<uint32_t>(order.size()));
    for (size_t i : order) {
      const ByteView bytes = view.Section(view.sections[i]);
      const MutableByteView room = builder.BeginSection(bytes.size());
      std::copy(bytes.begin(), bytes.end(), room.begin());
      builder.EndSection(view.sections[i], bytes.size());
    }
    Result<ByteView> changed = builder.Finish();
    ASSERT_TRUE(changed.ok());
    KvRows out(setting_.slices, 19, kGap);
    EXPECT_TRUE(Decode(*changed, 19, &out).Is(StatusCode::kDataLoss));
    EXPECT_TRUE(out.GuardsAreWhole(19));
  }
}

// The best one made the frame; each other must make and read the same, or make
// what the best one reads like itself.
TEST_P(CodecConformanceTest, EveryInstructionSetMakesAndReadsTheSameBytes) {
  for (const DType dtype : kAllDTypes) {
    for (const KvKind kind : kAllKvKinds) {
      ASSERT_TRUE(Use(PlainModel("sets", 2, 3, 80, dtype), {}));
      SCOPED_TRACE(std::string(DTypeName(dtype)) + ", " + Describe(kind));
      const KvRows rows = Rows(kind);
      const Bytes frame = Encode(rows);
      KvRows wanted(setting_.slices, 64);
      ASSERT_EQ(Decode(frame, 64, &wanted).ToString(), "OK");
      for (const int64_t target : ExactTargets()) {
        ChooseExactTarget(target);
        KvRows out(setting_.slices, 64);
        const Bytes again = Encode(rows);
        const Status status = Decode(frame, 64, &out);
        ChooseExactTarget(0);
        if (!GetParam().sums_in_any_order) {
          EXPECT_EQ(again, frame) << ExactTargetName(target);
        }
        ASSERT_EQ(status.ToString(), "OK") << ExactTargetName(target);
        EXPECT_EQ(out.Packed(), wanted.Packed()) << ExactTargetName(target);
      }
    }
  }
}

TEST_P(CodecConformanceTest, RefusesToDropTokensUnlessItCan) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 17}));
  const KvRows rows = Rows(KvKind::kTypical);
  EXPECT_EQ(Encode(rows, FirstTokens(17)), Encode(rows));
  if (codec().can_drop_tokens()) return;
  const std::vector<ConstPlaneRows> views = rows.Const();
  EncodeRequest request = RequestFor(views);
  request.kept = FirstTokens(17) & ~TokenMask{4};
  CodecScratch scratch;
  FrameBuilder builder;
  EXPECT_TRUE(codec()
                  .Encode(request, &scratch, &builder)
                  .Is(StatusCode::kUnimplemented));
}

TEST_P(CodecConformanceTest, ZeroesTheRowsOfDroppedTokens) {
  if (!codec().can_drop_tokens()) return;
  Random random(5);
  for (uint16_t tokens = 1; tokens <= kSegmentTokens; ++tokens) {
    const KvKind kind = kAllKvKinds[tokens % std::size(kAllKvKinds)];
    const DType dtype = kAllDTypes[tokens % std::size(kAllDTypes)];
    ASSERT_TRUE(Use(TinyModel(dtype), {.token_count = tokens}));
    SCOPED_TRACE(std::string(DTypeName(dtype)) + ", " + Describe(kind));
    const TokenMask all = FirstTokens(tokens);
    const TokenMask kept = all & (random.U64() | random.U64()) & ~TokenMask{1};
    const KvRows rows = Rows(kind);
    const Bytes frame = Encode(rows, kept);
    KvRows out(setting_.slices, tokens);
    TokenMask found = kAllTokens;
    ASSERT_EQ(DecodeFrame(setting_.profile.get(), setting_.spec, frame, tokens,
                          &out, &found)
                  .ToString(),
              "OK");
    EXPECT_TRUE(out.GuardsAreWhole(tokens));
    EXPECT_EQ(found, kept | ~all);
    for (size_t i = 0; i < setting_.slices.size(); ++i) {
      for (uint32_t t = 0; t < tokens; ++t) {
        if ((kept >> t & 1) != 0) continue;
        EXPECT_TRUE(IsZero(out.RowView(i, t))) << t;
      }
    }
    ExpectBounds(frame, rows, out, kept);
    KvRows untouched(setting_.slices, tokens);
    EXPECT_TRUE(
        Decode(frame, tokens, &untouched).Is(StatusCode::kFailedPrecondition));
    EXPECT_TRUE(untouched.GuardsAreWhole(0));
    EXPECT_EQ(Decode(frame, 0, &untouched).ToString(), "OK");
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, CodecConformanceTest,
                         testing::ValuesIn(CodecCases()),
                         [](const auto& record) { return record.param.name; });

}  // namespace
}  // namespace reprise
