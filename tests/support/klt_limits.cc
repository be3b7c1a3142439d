#include "tests/support/klt_limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "codec/klt_entropy.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile.h"
#include "tests/support/klt_cases.h"
#include "tests/support/model_specs.h"

namespace reprise {

ModelSpec KltPlainChannels(uint32_t n) {
  ModelSpec spec = OneChannelModel();
  spec.layers[0].planes[0].dim = n;
  return spec;
}

KltProfileParts KltIdentityParts(uint32_t n) {
  KltProfileParts parts = MakeKltParts(KltPlainChannels(32), {.raw_first = 0});
  parts.step = 1;
  parts.lo0 = 100;
  parts.lo1 = 100;
  parts.sensitivity_exponent = 0;
  parts.planes[0].dim = n;
  KltGroupParts& group = parts.groups[0];
  group.n = n;
  group.lead = 0;
  group.lo.clear();
  group.hi.assign(uint64_t{n} * n, 0);
  for (uint32_t i = 0; i < n; ++i) group.hi[uint64_t{i} * n + i] = 1;
  group.mu.assign(n, 0);
  group.enc.assign(n, 1);
  group.dec.assign(n, 1);
  group.regressor.by_channel.assign(n, 0);
  group.levels.assign(group.rows(), 150);
  return parts;
}

Bytes KltFrameOf(const ModelSpec& spec, const CodecProfile& profile,
                 std::span<const std::vector<int16_t>> q) {
  const auto& klt = static_cast<const KltProfile&>(profile);
  const KltRows rows = KltRowsOf(klt.tables(), *klt.groups()[0].parts, 0, 0);
  const uint64_t padded = uint64_t{rows.count} * kKltLanes;
  const auto tokens = static_cast<uint32_t>(q.size());
  std::vector<int16_t> all(padded * tokens);
  for (uint32_t t = 0; t < tokens; ++t) {
    EXPECT_EQ(rows.count, (q[t].size() + kKltLanes - 1) / kKltLanes);
    std::copy(q[t].begin(), q[t].end(),
              all.begin() + static_cast<int64_t>(t * padded));
  }
  std::vector<uint8_t> sign_bytes(all.size() / 8 + kKltSlackBytes);
  KltSignWriter signs{.bytes = sign_bytes.data()};
  for (uint32_t t = 0; t < tokens; ++t) {
    KltWriteSignsScalar(rows, nullptr, all.data() + t * padded, &signs);
  }
  std::vector<uint16_t> words(4 * all.size() + 64 + kKltSlackBytes);
  KltEncoder encoder{.word = words.data() + words.size()};
  std::fill_n(encoder.x, kKltLanes, kKltLowState);
  for (uint32_t t = tokens; t-- > 0;) {
    KltEncodeMagnitudesScalar(klt.tables(), rows, all.data() + t * padded,
                              &encoder);
  }
  const std::vector<uint8_t> o(64, kKltMeanExponent);
  KltEncodeExponentsScalar(klt.tables(), FirstTokens(tokens), o.data(),
                           &encoder);

  FramePlace place{.layers = LayerGroupsOf(spec)[0]};
  place.token_count = static_cast<uint16_t>(tokens);
  const auto slices = SlicePlanes(spec, place.layers, place.heads);
  FrameInfo info = InfoOf(spec, place);
  info.codec = CodecId::kKlt;
  info.profile = klt.id();
  info.raw_bytes = RawBytesOf(*slices, tokens);
  FrameBuilder builder;
  builder.Start(info, 1);
  const auto count =
      static_cast<uint32_t>(words.data() + words.size() - encoder.word);
  const uint64_t bytes = KltSignsOffset(count) + (signs.count + 7) / 8;
  const MutableByteView room = builder.BeginSection(bytes);
  std::fill(room.begin(), room.end(), uint8_t{0});
  std::memcpy(room.data() + kKltStatesOffset, encoder.x, sizeof encoder.x);
  std::memcpy(room.data() + kKltWordsOffset, encoder.word, 2 * count);
  std::memcpy(room.data() + KltSignsOffset(count), signs.bytes,
              (signs.count + 7) / 8);
  builder.EndSection(KltSectionOf((*slices)[0], KltMode::kCoefficients, count),
                     bytes);
  const Result<ByteView> frame = builder.Finish();
  EXPECT_TRUE(frame.ok()) << frame.status().ToString();
  return Bytes(frame->begin(), frame->end());
}

}  // namespace reprise
