#include "tests/support/klt_fuzz_input.h"

#include <algorithm>
#include <bit>

#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/klt_layout.h"
#include "tests/support/klt_cases.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

// Zeros for raw tokens: their bytes are copied and nothing else.
void AddRawTokens(uint64_t raw, std::span<const PlaneSlice> slices,
                  FrameBuilder* builder) {
  const uint64_t bytes =
      8 + RawBytesOf(slices, static_cast<uint32_t>(std::popcount(raw)));
  const MutableByteView room = builder->BeginSection(bytes);
  std::fill(room.begin(), room.end(), uint8_t{0});
  StoreLe(room.data(), raw);
  builder->EndSection(KltSectionOf(slices[0], KltMode::kRawTokens, 0), bytes);
}

}  // namespace

ModelSpec KltFuzzModel() { return PlainModel("fuzz", 2, 1, 22, DType::kBf16); }

KltProfileParts KltFuzzParts() {
  return MakeKltParts(KltFuzzModel(), {.raw_first = 0});
}

FramePlace KltFuzzPlace() {
  return {.layers = LayerGroupsOf(KltFuzzModel())[0], .token_count = 3};
}

Bytes PackKltFrames(std::span<const Bytes> frames) {
  ByteWriter writer;
  writer.U8(kKltFuzzFrames);
  for (size_t k = 0; k < frames.size(); ++k) {
    FrameView view;
    if (!ParseFrame(frames[k], &view).ok()) return {};
    if (k == 0) {
      writer.U8(view.sections.size() > 1 ? view.Section(view.sections[1])[0]
                                         : uint8_t{0});
    }
    const FrameSection& section = view.sections[0];
    writer.U16(static_cast<uint16_t>(section.words));
    writer.U16(static_cast<uint16_t>(section.bytes));
    writer.Raw(view.Section(section));
  }
  return writer.Take();
}

std::vector<Bytes> UnpackKltFrames(ByteView input) {
  static const ModelSpec& spec = *new ModelSpec(KltFuzzModel());
  static const ProfileId& profile =
      *new ProfileId({Sha256(EncodeKltProfile(KltFuzzParts())).bytes});
  static const FramePlace& place = *new FramePlace(KltFuzzPlace());
  static const std::vector<PlaneSlice>& slices = *new std::vector<PlaneSlice>(
      *SlicePlanes(spec, place.layers, place.heads));
  ByteReader reader(input);
  reader.U8();
  const uint64_t raw = reader.U8() & FirstTokens(place.token_count);
  std::vector<Bytes> frames;
  uint32_t parent = 0;
  while (frames.size() < kMaxStages && reader.left() > 0) {
    const uint32_t words = reader.U16();
    const uint64_t bytes = std::min<uint64_t>(reader.U16(), reader.left());
    const ByteView from = reader.View(bytes);
    FrameInfo info = InfoOf(spec, place);
    info.codec = CodecId::kKlt;
    info.profile = profile;
    info.stage = static_cast<uint8_t>(frames.size());
    info.raw_bytes = RawBytesOf(slices, place.token_count);
    const bool has_raw = frames.empty() && raw != 0;
    FrameBuilder builder;
    builder.Start(info, has_raw ? 2 : 1);
    const MutableByteView room = builder.BeginSection(bytes);
    std::copy(from.begin(), from.end(), room.begin());
    if (bytes >= kKltStatesOffset) {
      StoreLe(room.data() + kKltParentOffset, parent);
    }
    parent = static_cast<uint32_t>(Checksum(room));
    builder.EndSection(KltSectionOf(slices[0], KltMode::kCoefficients, words),
                       bytes);
    if (has_raw) AddRawTokens(raw, slices, &builder);
    const Result<ByteView> frame = builder.Finish();
    if (!frame.ok()) return {};
    frames.emplace_back(frame->begin(), frame->end());
  }
  return frames;
}

}  // namespace reprise
