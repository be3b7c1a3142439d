#include "codec/model_spec.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "base/limits.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

TEST(ModelSpecTest, AcceptsEveryTestModel) {
  for (const NamedModel& model : AllTestModels()) {
    EXPECT_TRUE(ValidateModelSpec(model.spec).ok())
        << model.name << ": " << ValidateModelSpec(model.spec).ToString();
  }
}

TEST(ModelSpecTest, DecodesWhatItEncoded) {
  for (const NamedModel& model : AllTestModels()) {
    const Bytes bytes = EncodeModelSpec(model.spec);
    Result<ModelSpec> decoded = DecodeModelSpec(bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    EXPECT_EQ(DescribeDifference(*decoded, model.spec), "");
    EXPECT_EQ(decoded->notes, model.spec.notes);
    EXPECT_EQ(EncodeModelSpec(*decoded), bytes);
    EXPECT_EQ(ModelIdOf(*decoded), ModelIdOf(model.spec));
  }
}

TEST(ModelSpecTest, LargestSpecFitsItsLimit) {
  ModelSpec spec = PlainModel("large", kMaxLayers, 1, 2, DType::kF8E5M2);
  for (LayerSpec& layer : spec.layers) {
    layer.planes.clear();
    for (uint32_t p = 0; p < kMaxPlanesPerLayer; ++p) {
      PlaneSpec plane{.name = std::string(29, 'x') + std::to_string(10 + p),
                      .heads = 1,
                      .dim = 1};
      layer.planes.push_back(plane);
    }
  }
  spec.rope.rotary_dims = kMaxHeadDim;
  spec.rope.scaling = RopeScaling::kFactors;
  spec.rope.factors.assign(kMaxHeadDim / 2, 2.0f);
  spec.value_encoding = std::string(255, 'e');
  spec.notes.clear();
  for (int i = 0; i < 64; ++i) {
    spec.notes.emplace_back(std::string(61, 'k') + std::to_string(10 + i),
                            std::string(1024, 'v'));
  }
  ASSERT_TRUE(ValidateModelSpec(spec).ok())
      << ValidateModelSpec(spec).ToString();
  const Bytes bytes = EncodeModelSpec(spec);
  EXPECT_LE(bytes.size(), kMaxModelSpecBytes);
  EXPECT_TRUE(DecodeModelSpec(bytes).ok());
}

TEST(ModelSpecTest, RejectsEveryCutAndEveryFlippedByte) {
  const Bytes bytes = EncodeModelSpec(MixedModel());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const ByteView cut(bytes.data(), size);
    EXPECT_TRUE(DecodeModelSpec(cut).status().Is(StatusCode::kDataLoss))
        << size;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes flipped = bytes;
    flipped[i] ^= 0x40;
    EXPECT_TRUE(DecodeModelSpec(flipped).status().Is(StatusCode::kDataLoss))
        << i;
  }
}

// Puts the checksum right again, as a wrong writer would.
Bytes Reseal(Bytes bytes) {
  const size_t checked = bytes.size() - 8;
  StoreLe(bytes.data() + checked, Checksum(ByteView(bytes).first(checked)));
  return bytes;
}

TEST(ModelSpecTest, AnyResealedByteIsRefusedOrMeansAnotherModel) {
  const ModelSpec spec = MixedModel();
  const Bytes bytes = EncodeModelSpec(spec);
  for (size_t i = 0; i < bytes.size() - 8; ++i) {
    for (const uint8_t mask : {0x01, 0x80, 0xff}) {
      Bytes changed = bytes;
      changed[i] ^= mask;
      changed = Reseal(std::move(changed));
      Result<ModelSpec> decoded = DecodeModelSpec(changed);
      if (!decoded.ok()) continue;
      EXPECT_EQ(EncodeModelSpec(*decoded), changed) << "byte " << i;
      EXPECT_TRUE(ModelIdOf(*decoded) != ModelIdOf(spec) ||
                  decoded->notes != spec.notes);
    }
  }
}

TEST(ModelSpecTest, RejectsAVersionFromTheFuture) {
  Bytes bytes = EncodeModelSpec(TinyModel());
  bytes[4] = 2;
  const Status status = DecodeModelSpec(Reseal(bytes)).status();
  EXPECT_EQ(status.ToString(),
            "Unimplemented: model spec: version is 2, 1 is built");
}

TEST(ModelSpecTest, MinusZeroIsStoredAsZeroAndRefusedAsStored) {
  ModelSpec spec = TinyModel();
  spec.rope.scaling = RopeScaling::kYarn;
  spec.rope.factors = {0.0f, 1.0f, 32.0f, 1.0f};
  ModelSpec minus = spec;
  minus.rope.factors[0] = -0.0f;
  EXPECT_EQ(ModelIdOf(minus), ModelIdOf(spec));

  Bytes bytes = EncodeModelSpec(spec);
  // The factors follow header, tag, three hashes and 28 bytes of rope.
  const size_t sign_byte = 16 + 16 + 96 + 32 + 3;
  bytes[sign_byte] = 0x80;
  const Status status = DecodeModelSpec(Reseal(bytes)).status();
  EXPECT_TRUE(status.Is(StatusCode::kDataLoss)) << status.ToString();
}

TEST(ModelSpecTest, NotesDoNotChangeTheModelId) {
  ModelSpec spec = TinyModel();
  const ModelId id = ModelIdOf(spec);
  spec.notes = {{"engine_version", "1"}};
  EXPECT_EQ(ModelIdOf(spec), id);
  EXPECT_EQ(DescribeDifference(spec, TinyModel()), "");
}

struct Change {
  std::string difference;
  std::function<void(ModelSpec*)> apply;
};

std::vector<Change> IdentityChanges() {
  return {
      {"tokenizer_hash is 000000000000, stored is ",
       [](ModelSpec* s) { s->tokenizer_hash = {}; }},
      {"value_encoding is ggml:q8_0, stored is \"\"",
       [](ModelSpec* s) { s->value_encoding = "ggml:q8_0"; }},
      {"rope: pairing is adjacent, stored is halves",
       [](ModelSpec* s) { s->rope.pairing = RopePairing::kAdjacent; }},
      {"rope: theta is 500000, stored is 10000",
       [](ModelSpec* s) { s->rope.theta = 500000; }},
      {"rope: scaling is linear, stored is none",
       [](ModelSpec* s) { s->rope.scaling = RopeScaling::kLinear; }},
      {"rope: original_context is 1, stored is 2048",
       [](ModelSpec* s) { s->rope.original_context = 1; }},
      {"rope: number of factors is 1, stored is 0",
       [](ModelSpec* s) { s->rope.factors = {1.5f}; }},
      {"number of layers is 3, stored is 2",
       [](ModelSpec* s) { s->layers.push_back(s->layers[0]); }},
      {"layer 1: kind is window, stored is full",
       [](ModelSpec* s) { s->layers[1].kind = LayerKind::kWindow; }},
      {"layer 1: number of planes is 1, stored is 2",
       [](ModelSpec* s) { s->layers[1].planes.pop_back(); }},
      {"layer 0 plane v: dtype is bf16, stored is f16",
       [](ModelSpec* s) { s->layers[0].planes[1].dtype = DType::kBf16; }},
      {"layer 0 plane key: name is key, stored is k",
       [](ModelSpec* s) { s->layers[0].planes[0].name = "key"; }},
      {"layer 0 plane k: split is replicated, stored is by head",
       [](ModelSpec* s) {
         s->layers[0].planes[0].split = HeadSplit::kReplicated;
       }},
      {"layer 1 plane v: heads is 4, stored is 2",
       [](ModelSpec* s) { s->layers[1].planes[1].heads = 4; }},
  };
}

TEST(ModelSpecTest, EveryIdentityFieldChangesTheIdAndIsNamed) {
  for (const Change& change : IdentityChanges()) {
    ModelSpec spec = TinyModel();
    change.apply(&spec);
    EXPECT_NE(ModelIdOf(spec), ModelIdOf(TinyModel())) << change.difference;
    const std::string difference = DescribeDifference(spec, TinyModel());
    EXPECT_EQ(difference.substr(0, change.difference.size()),
              change.difference);
  }
}

struct Refusal {
  std::string status;  // how its text begins
  std::function<void(ModelSpec*)> apply;
};

const std::string kInvalid = "InvalidArgument: model spec: ";

std::vector<Refusal> ModelRefusals() {
  return {
      {kInvalid + "weights_hash is zero",
       [](ModelSpec* s) { s->weights_hash = {}; }},
      {kInvalid + "tokenizer_hash is zero",
       [](ModelSpec* s) { s->tokenizer_hash = {}; }},
      {kInvalid + "rope: pairing is 3, the largest known is 2",
       [](ModelSpec* s) { s->rope.pairing = RopePairing{3}; }},
      {kInvalid + "rope: scaling is 4, the largest known is 3",
       [](ModelSpec* s) { s->rope.scaling = RopeScaling{4}; }},
      {kInvalid + "rope: keys are not rotated, but its fields are set",
       [](ModelSpec* s) { s->rope.pairing = RopePairing::kNone; }},
      {kInvalid + "rope: rotary_dims is 15, an even number from 2 to 4096",
       [](ModelSpec* s) { s->rope.rotary_dims = 15; }},
      {kInvalid + "rope: theta is nan",
       [](ModelSpec* s) {
         s->rope.theta = std::numeric_limits<double>::quiet_NaN();
       }},
      {kInvalid + "rope: scale is 0.5, 1 is wanted without scaling",
       [](ModelSpec* s) { s->rope.scale = 0.5; }},
      {kInvalid + "rope: scale is -1, a number above 0",
       [](ModelSpec* s) { s->rope.scale = -1; }},
      {kInvalid + "rope: 0 factors, 4 are wanted",
       [](ModelSpec* s) { s->rope.scaling = RopeScaling::kYarn; }},
      {kInvalid + "rope: 7 factors, 8 are wanted",
       [](ModelSpec* s) {
         s->rope.scaling = RopeScaling::kFactors;
         s->rope.factors.assign(7, 1.0f);
       }},
      {kInvalid + "rope: factor 2 is not finite",
       [](ModelSpec* s) {
         s->rope.scaling = RopeScaling::kFactors;
         s->rope.factors.assign(8, 1.0f);
         s->rope.factors[2] = std::numeric_limits<float>::infinity();
       }},
      {kInvalid + "value_encoding has 256 bytes, at most 255",
       [](ModelSpec* s) { s->value_encoding = std::string(256, 'x'); }},
      {kInvalid + "value_encoding has 2 bytes",
       [](ModelSpec* s) { s->value_encoding = "\n\n"; }},
  };
}

std::vector<Refusal> LayerRefusals() {
  return {
      {kInvalid + "0 layers, 1 to 1024 are wanted",
       [](ModelSpec* s) { s->layers.clear(); }},
      {kInvalid + "1025 layers",
       [](ModelSpec* s) { s->layers.resize(1025, s->layers[0]); }},
      {kInvalid + "layer 1: kind is 9, unknown",
       [](ModelSpec* s) { s->layers[1].kind = LayerKind{9}; }},
      {kInvalid + "layer 1: window is 8 tokens",
       [](ModelSpec* s) { s->layers[1].window = 8; }},
      {kInvalid + "layer 1: window is 0 tokens",
       [](ModelSpec* s) { s->layers[1].kind = LayerKind::kWindow; }},
      {kInvalid + "layer 0: 0 planes, 1 to 16 are wanted",
       [](ModelSpec* s) { s->layers[0].planes.clear(); }},
      {kInvalid + "layer 0: 17 planes",
       [](ModelSpec* s) {
         s->layers[0].planes.resize(17, s->layers[0].planes[0]);
       }},
  };
}

std::vector<Refusal> PlaneRefusals() {
  return {
      {kInvalid + "layer 0: plane 1: its name is taken",
       [](ModelSpec* s) { s->layers[0].planes[1].name = "k"; }},
      {kInvalid + "layer 0: plane 0: its name has 32 bytes",
       [](ModelSpec* s) {
         s->layers[0].planes[0].name = std::string(32, 'k');
       }},
      {kInvalid + "layer 0: plane 0: role is 0, unknown",
       [](ModelSpec* s) { s->layers[0].planes[0].role = PlaneRole{0}; }},
      {kInvalid + "layer 0: plane 0: dtype is 7, unknown",
       [](ModelSpec* s) { s->layers[0].planes[0].dtype = DType{7}; }},
      {kInvalid + "layer 0: plane 0: split is 3, unknown",
       [](ModelSpec* s) { s->layers[0].planes[0].split = HeadSplit{3}; }},
      {kInvalid + "layer 0: plane 0: granularity is 0, unknown",
       [](ModelSpec* s) {
         s->layers[0].planes[0].granularity = Granularity{0};
       }},
      {kInvalid + "layer 0: plane 0: heads is 0, 1 to 1024 are wanted",
       [](ModelSpec* s) { s->layers[0].planes[0].heads = 0; }},
      {kInvalid + "layer 0: plane 0: dim is 4097, 1 to 4096 are wanted",
       [](ModelSpec* s) { s->layers[0].planes[0].dim = 4097; }},
      {kInvalid + "layer 0: plane 0: dim is 4294967295, 1 to 16384 are wanted",
       [](ModelSpec* s) {
         s->layers[0].planes[0].dtype = DType::kOpaque;
         s->layers[0].planes[0].heads = 1024;
         s->layers[0].planes[0].dim = UINT32_MAX;
       }},
      {kInvalid + "layer 0: a segment has 536875",
       [](ModelSpec* s) {
         s->layers[0].planes[0].heads = 1024;
         s->layers[0].planes[0].dim = 4096;
       }},
  };
}

std::vector<Refusal> NoteAndKindRefusals() {
  return {
      {kInvalid + "65 notes, at most 64",
       [](ModelSpec* s) { s->notes.resize(65); }},
      {kInvalid + "note 1: its key does not come after that of note 0",
       [](ModelSpec* s) {
         s->notes = {{"b", ""}, {"a", ""}};
       }},
      {kInvalid + "note 0: its key has 0 bytes",
       [](ModelSpec* s) {
         s->notes = {{"", "x"}};
       }},
      {kInvalid + "note 0: its value has 1 bytes",
       [](ModelSpec* s) {
         s->notes = {{"a", "\x7f"}};
       }},
      {"Unimplemented: model spec: layer 1: kind is window (128 tokens)",
       [](ModelSpec* s) {
         s->layers[1].kind = LayerKind::kWindow;
         s->layers[1].window = 128;
       }},
      {"Unimplemented: model spec: layer 1: kind is state",
       [](ModelSpec* s) { s->layers[1].kind = LayerKind::kState; }},
      {"Unimplemented: model spec: layer 1 plane v: granularity is state",
       [](ModelSpec* s) {
         s->layers[1].planes[1].granularity = Granularity::kState;
       }},
  };
}

TEST(ModelSpecTest, RefusesWithTheLimitAndTheNumber) {
  for (const auto& refusals : {ModelRefusals(), LayerRefusals(),
                               PlaneRefusals(), NoteAndKindRefusals()}) {
    for (const Refusal& refusal : refusals) {
      ModelSpec spec = TinyModel();
      refusal.apply(&spec);
      const std::string text = ValidateModelSpec(spec).ToString();
      EXPECT_EQ(text.substr(0, refusal.status.size()), refusal.status);
    }
  }
}

TEST(ModelSpecTest, LargestLayerIsTheLastThatFitsAFrame) {
  ModelSpec spec = OneChannelModel();
  PlaneSpec& plane = spec.layers[0].planes[0];
  plane.dtype = DType::kOpaque;
  plane.dim = kMaxLayerSegmentBytes / kSegmentTokens;
  EXPECT_TRUE(ValidateModelSpec(spec).ok());
  ++plane.dim;
  EXPECT_EQ(ValidateModelSpec(spec).ToString(),
            "InvalidArgument: model spec: layer 0: a segment has 15728704 "
            "bytes, at most 15728640 fit a frame");
}

TEST(LayerGroupsTest, FewestLayersThatReachTheSize) {
  const std::vector<LayerGroup> smol = {
      {0, 6}, {6, 6}, {12, 6}, {18, 6}, {24, 6}};
  EXPECT_EQ(LayerGroupsOf(SmolModel()), smol);
  const std::vector<LayerGroup> gqa = {{0, 1}, {1, 1}, {2, 1}, {3, 1}};
  EXPECT_EQ(LayerGroupsOf(GqaModel()), gqa);
  const std::vector<LayerGroup> tiny = {{0, 2}};
  EXPECT_EQ(LayerGroupsOf(TinyModel()), tiny);
  // 98,304 bytes an even layer, 30,720 an odd one.
  const std::vector<LayerGroup> mixed = {{0, 5}};
  EXPECT_EQ(LayerGroupsOf(MixedModel()), mixed);
}

TEST(LayerGroupsTest, WhatRemainsIsAGroup) {
  const ModelSpec spec = PlainModel("remains", 14, 3, 64, DType::kF16);
  const std::vector<LayerGroup> groups = {{0, 6}, {6, 6}, {12, 2}};
  EXPECT_EQ(LayerGroupsOf(spec), groups);
  EXPECT_EQ(NextLayerGroup(spec, 14).layer_count, 0u);
}

}  // namespace
}  // namespace reprise
