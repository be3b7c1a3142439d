// The coding path without a model, on states of shapes that real ones have.
#include "tools/eval/state_coder.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/model_specs.h"
#include "tests/support/random.h"
#include "tests/tools/eval/staged_codec.h"

namespace reprise {
namespace {

// A state in memory: each plane's rows one after the other.
struct MadeState {
  std::vector<Bytes> planes;
  KvView view;
  KvSink sink;
};

// Values about 1, so that every codec has something to do. REQUIRES: planes of
// f16 or f32.
MadeState MakeState(const ModelSpec& spec, uint64_t tokens, bool filled) {
  Random random(5);
  MadeState state;
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      Bytes rows(plane.token_bytes() * tokens);
      for (size_t at = 0; filled && at < rows.size();
           at += DTypeBytes(plane.dtype)) {
        if (plane.dtype == DType::kF32) {
          StoreLe(rows.data() + at, static_cast<float>(random.Normal()));
        } else {
          // f16 from 0.5 to 2, either sign.
          StoreLe(rows.data() + at,
                  static_cast<uint16_t>(0x3800 + random.Below(0x800) +
                                        (random.OneIn(2) ? 0x8000 : 0)));
        }
      }
      state.planes.push_back(std::move(rows));
    }
  }
  state.view.token_count = state.sink.token_count = tokens;
  size_t index = 0;
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const auto element = static_cast<int64_t>(DTypeBytes(plane.dtype));
      uint8_t* const base = state.planes[index++].data();
      const int64_t row = element * plane.channels();
      const int64_t head = element * plane.dim;
      state.view.planes.push_back({base, 0, row, head, element});
      state.sink.planes.push_back({base, 0, row, head, element});
    }
  }
  return state;
}

std::vector<TokenId> Tokens(size_t count) {
  std::vector<TokenId> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 7);
  return tokens;
}

// GPT-2's shape: as many KV heads as query heads, learned positions, no RoPE.
ModelSpec Gpt2Shape(DType dtype) {
  ModelSpec spec = PlainModel("gpt2", 12, 12, 64, dtype);
  spec.rope = {};
  return spec;
}

Result<CodedState> Code(StateCoder* coder, const MadeState& from, MadeState* to,
                        const char* codec, std::span<const TokenId> tokens,
                        std::span<const uint8_t> keep = {}) {
  const CodecChoice choice = *ParseCodecChoice(codec);
  CodeRequest request;
  request.tokens = tokens;
  request.view = &from.view;
  request.sink = &to->sink;
  request.choice = &choice;
  request.keep = keep;
  return coder->Code(request);
}

TEST(StateCoderTest, ExactCodecsGiveBackEveryShapeBitForBit) {
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    const ModelSpec specs[] = {Gpt2Shape(dtype), TinyModel(dtype),
                               PlainModel("odd", 3, 5, 80, dtype)};
    for (const ModelSpec& spec : specs) {
      StateCoder coder(spec);
      for (const size_t count : {1u, 64u, 200u}) {
        const std::vector<TokenId> tokens = Tokens(count);
        const MadeState from = MakeState(spec, count, true);
        for (const char* codec : {"raw", "exact"}) {
          MadeState to = MakeState(spec, count, false);
          const auto coded = Code(&coder, from, &to, codec, tokens);
          ASSERT_TRUE(coded.ok()) << coded.status().ToString();
          EXPECT_EQ(from.planes, to.planes) << codec << " " << count;
        }
      }
    }
  }
}

TEST(StateCoderTest, CountsEveryByteThatIsStored) {
  const ModelSpec spec = Gpt2Shape(DType::kF16);
  StateCoder coder(spec);
  constexpr size_t kTokens = 130;
  const MadeState from = MakeState(spec, kTokens, true);
  MadeState to = MakeState(spec, kTokens, false);
  const auto coded = Code(&coder, from, &to, "raw", Tokens(kTokens));
  ASSERT_TRUE(coded.ok());
  EXPECT_EQ(coded->size.tokens, kTokens);
  EXPECT_EQ(coded->size.values, kTokens * 12 * 2 * 12 * 64);
  // Frames are the values and some heads, records hold the token ids.
  const double raw = 2.0 * static_cast<double>(coded->size.values);
  EXPECT_GT(coded->size.frame_bytes, raw * 0.99);
  EXPECT_LT(coded->size.frame_bytes, raw * 1.02);
  EXPECT_GT(coded->size.record_bytes, 4.0 * kTokens);
  EXPECT_LT(StateRatio(coded->size), 1.0 / 0.99);
  EXPECT_EQ(coded->size.profile_bytes, 0);
}

TEST(StateCoderTest, EvictionBeforeACodecThatCantIsCountedInProportion) {
  const ModelSpec spec = TinyModel();
  StateCoder coder(spec);
  constexpr size_t kTokens = 128;
  const MadeState from = MakeState(spec, kTokens, true);
  MadeState to = MakeState(spec, kTokens, false);
  const auto whole = Code(&coder, from, &to, "raw", Tokens(kTokens));
  std::vector<uint8_t> keep(kTokens, 1);
  for (size_t i = 0; i < kTokens; i += 4) keep[i] = 0;
  const auto evicted = Code(&coder, from, &to, "raw", Tokens(kTokens), keep);
  ASSERT_TRUE(whole.ok() && evicted.ok()) << evicted.status().ToString();
  // Two segments, a mask of 8 bytes each.
  EXPECT_DOUBLE_EQ(evicted->size.frame_bytes,
                   whole->size.frame_bytes * 0.75 + 16);
}

TEST(StateCoderTest, EveryCodecGivesBackWhatItSays) {
  const ModelSpec spec = PlainModel("plain", 4, 2, 64, DType::kF16);
  StateCoder coder(spec);
  constexpr size_t kTokens = 128;
  const MadeState from = MakeState(spec, kTokens, true);
  for (const Codec* codec : AllCodecs()) {
    if (codec->needs_profile()) continue;
    MadeState to = MakeState(spec, kTokens, false);
    const auto coded = Code(
        &coder, from, &to, std::string(codec->name()).c_str(), Tokens(kTokens));
    ASSERT_TRUE(coded.ok()) << codec->name() << coded.status().ToString();
    EXPECT_EQ(from.planes == to.planes, codec->is_exact()) << codec->name();
  }
}

TEST(StateCoderTest, TrainedProfilesAreUsedAndCountedApart) {
  const ModelSpec spec = Gpt2Shape(DType::kF16);
  StateCoder coder(spec);
  constexpr size_t kTokens = 256;
  const std::vector<TokenId> tokens = Tokens(kTokens);
  const MadeState from = MakeState(spec, kTokens, true);
  auto trainer = *MakeProfileTrainer(CodecId::kExact, spec, {});
  ASSERT_TRUE(coder.Feed(from.view, trainer.get()).ok());
  EvalProfile profile;
  profile.bytes = *trainer->Fit(nullptr);
  const CodecChoice choice = *ParseCodecChoice("exact");
  profile.profile = *choice.codec->ParseProfile(profile.bytes);
  EXPECT_TRUE(coder.Serves(profile, choice, from.view));

  MadeState to = MakeState(spec, kTokens, false);
  CodeRequest request;
  request.tokens = tokens;
  request.view = &from.view;
  request.sink = &to.sink;
  request.choice = &choice;
  request.profile = &profile;
  const auto coded = coder.Code(request);
  ASSERT_TRUE(coded.ok()) << coded.status().ToString();
  EXPECT_EQ(from.planes, to.planes);
  EXPECT_EQ(coded->size.profile_bytes,
            static_cast<double>(profile.bytes.size()));
}

// The state's first `coded` tokens as they are after so many stages.
std::vector<Bytes> AfterStages(const ModelSpec& spec, const MadeState& from,
                               size_t coded, uint32_t stages) {
  std::vector<Bytes> planes = from.planes;
  size_t index = 0;
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      uint8_t* const data = planes[index++].data();
      for (size_t at = 0; at < plane.token_bytes() * coded; at += 2) {
        const auto element = LoadLe<uint16_t>(data + at);
        StoreLe(data + at, StagedCodec::Decoded(element, stages));
      }
    }
  }
  return planes;
}

TEST(StateCoderTest, EachPrefixOfStagesIsAStateOfOneEncoding) {
  const ModelSpec spec = TinyModel();
  StateCoder coder(spec);
  constexpr size_t kTokens = 150;  // two segments and a tail
  const std::vector<TokenId> tokens = Tokens(kTokens);
  const MadeState from = MakeState(spec, kTokens, true);
  const StagedCodec codec;
  const CodecChoice choice = {.codec = &codec};
  CodeRequest request;
  request.tokens = tokens;
  request.view = &from.view;
  request.choice = &choice;
  const auto encoded = coder.Encode(request);
  ASSERT_TRUE(encoded.ok()) << encoded.status().ToString();
  EXPECT_EQ(codec.encodings, 2);
  StoredSize sizes[StagedCodec::kStages];
  for (uint32_t stages = 1; stages <= StagedCodec::kStages; ++stages) {
    MadeState to = MakeState(spec, kTokens, false);
    request.sink = &to.sink;
    const auto coded = coder.Store(request, *encoded, stages);
    ASSERT_TRUE(coded.ok()) << coded.status().ToString();
    EXPECT_TRUE(to.planes == AfterStages(spec, from, 128, stages)) << stages;
    EXPECT_EQ(coded->encode_s, encoded->encode_s);
    sizes[stages - 1] = coded->size;
  }
  EXPECT_EQ(codec.encodings, 2);
  // Every stage holds a byte a value, and its frames and their references
  // have heads of the same size: each adds the same to what is stored.
  for (const StoredSize& size : sizes) {
    EXPECT_EQ(size.tokens, kTokens);
    EXPECT_EQ(size.values, sizes[0].values);
  }
  const double second = sizes[1].frame_bytes - sizes[0].frame_bytes;
  EXPECT_GT(second, 128.0 * 2 * 2 * 2 * 16);
  EXPECT_EQ(sizes[2].frame_bytes - sizes[1].frame_bytes, second);
  EXPECT_GT(sizes[1].record_bytes, sizes[0].record_bytes);
}

TEST(StateCoderTest, AllStagesAreStoredWhenNoneIsNamed) {
  const ModelSpec spec = TinyModel();
  StateCoder coder(spec);
  const std::vector<TokenId> tokens = Tokens(64);
  const MadeState from = MakeState(spec, 64, true);
  MadeState to = MakeState(spec, 64, false);
  const StagedCodec codec;
  const CodecChoice choice = {.codec = &codec};
  CodeRequest request;
  request.tokens = tokens;
  request.view = &from.view;
  request.sink = &to.sink;
  request.choice = &choice;
  const auto coded = coder.Code(request);
  ASSERT_TRUE(coded.ok()) << coded.status().ToString();
  EXPECT_TRUE(to.planes == from.planes);
}

TEST(StateCoderTest, RefusesAStateOfAnotherShape) {
  StateCoder coder(TinyModel());
  const ModelSpec other = Gpt2Shape(DType::kF16);
  const MadeState from = MakeState(other, 64, true);
  MadeState to = MakeState(other, 64, false);
  EXPECT_FALSE(Code(&coder, from, &to, "raw", Tokens(64)).ok());
}

}  // namespace
}  // namespace reprise
