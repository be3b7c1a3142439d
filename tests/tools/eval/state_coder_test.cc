// The coding path without a model, on states of shapes that real ones have.
#include "tools/eval/state_coder.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/model_specs.h"
#include "tests/support/random.h"

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

TEST(StateCoderTest, RefusesAStateOfAnotherShape) {
  StateCoder coder(TinyModel());
  const ModelSpec other = Gpt2Shape(DType::kF16);
  const MadeState from = MakeState(other, 64, true);
  MadeState to = MakeState(other, 64, false);
  EXPECT_FALSE(Code(&coder, from, &to, "raw", Tokens(64)).ok());
}

}  // namespace
}  // namespace reprise
