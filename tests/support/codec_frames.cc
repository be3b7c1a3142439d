#include "tests/support/codec_frames.h"

#include <algorithm>

#include "base/hash.h"
#include "base/limits.h"

namespace reprise {

FrameInfo InfoOf(const ModelSpec& spec, const FramePlace& place) {
  FrameInfo info;
  info.is_tail = place.token_count < kSegmentTokens;
  info.model = ModelIdOf(spec);
  info.segment.bytes.fill(0x22);
  info.first_token = place.first_token;
  info.token_count = place.token_count;
  info.layers = place.layers;
  info.heads = place.heads;
  return info;
}

Result<Bytes> EncodeFrame(const Codec& codec, const CodecProfile* profile,
                          const FrameInfo& info,
                          std::span<const PlaneSlice> slices,
                          const KvRows& rows, const CodecOptions* options,
                          TokenMask kept) {
  const std::vector<ConstPlaneRows> views = rows.Const();
  const EncodeRequest request{.info = info,
                              .slices = slices,
                              .rows = views,
                              .profile = profile,
                              .options = options,
                              .kept = kept};
  CodecScratch scratch;
  FrameBuilder builder;
  REPRISE_RETURN_IF_ERROR(codec.Encode(request, &scratch, &builder));
  REPRISE_ASSIGN_OR_RETURN(const ByteView bytes, builder.Finish());
  return Bytes(bytes.begin(), bytes.end());
}

Status DecodeFrame(const CodecProfile* profile, const ModelSpec& spec,
                   ByteView frame, uint32_t token_count, KvRows* rows,
                   TokenMask* kept) {
  FrameView view;
  REPRISE_RETURN_IF_ERROR(ParseFrame(frame, &view));
  REPRISE_RETURN_IF_ERROR(CheckFrameAgainstModel(view, spec));
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<PlaneSlice> slices,
      SlicePlanes(spec, view.info.layers, view.info.heads));
  const Codec* const codec = FindCodec(view.info.codec);
  if (codec == nullptr) return UnimplementedError("test: unknown codec");
  const std::vector<PlaneRows> targets = rows->Mutable();
  const DecodeRequest request{.slices = slices,
                              .rows = targets,
                              .token_count = token_count,
                              .profile = profile,
                              .kept = kept};
  CodecScratch scratch;
  return codec->Decode(view, request, &scratch);
}

Result<std::vector<Bytes>> EncodeFrames(const Codec& codec,
                                        const CodecProfile* profile,
                                        const FrameInfo& info,
                                        std::span<const PlaneSlice> slices,
                                        const KvRows& rows,
                                        const CodecOptions* options) {
  const std::vector<ConstPlaneRows> views = rows.Const();
  const EncodeRequest request{.info = info,
                              .slices = slices,
                              .rows = views,
                              .profile = profile,
                              .options = options};
  CodecScratch scratch;
  std::vector<FrameBuilder> builders(codec.stage_count(options));
  std::vector<FrameBuilder*> pointers;
  for (FrameBuilder& builder : builders) pointers.push_back(&builder);
  REPRISE_RETURN_IF_ERROR(codec.EncodeStages(request, &scratch, pointers));
  std::vector<Bytes> frames;
  for (FrameBuilder& builder : builders) {
    REPRISE_ASSIGN_OR_RETURN(const ByteView bytes, builder.Finish());
    frames.emplace_back(bytes.begin(), bytes.end());
  }
  return frames;
}

Status DecodeFrames(const CodecProfile* profile, const ModelSpec& spec,
                    std::span<const Bytes> frames, uint32_t token_count,
                    KvRows* rows) {
  std::vector<FrameView> views(frames.size());
  std::vector<const FrameView*> pointers;
  for (size_t k = 0; k < frames.size(); ++k) {
    REPRISE_RETURN_IF_ERROR(ParseFrame(frames[k], &views[k]));
    REPRISE_RETURN_IF_ERROR(CheckFrameAgainstModel(views[k], spec));
    pointers.push_back(&views[k]);
  }
  if (frames.empty()) return InvalidArgumentError("test: no frames");
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<PlaneSlice> slices,
      SlicePlanes(spec, views[0].info.layers, views[0].info.heads));
  const Codec* const codec = FindCodec(views[0].info.codec);
  if (codec == nullptr) return UnimplementedError("test: unknown codec");
  const std::vector<PlaneRows> targets = rows->Mutable();
  const DecodeRequest request{.slices = slices,
                              .rows = targets,
                              .token_count = token_count,
                              .profile = profile};
  CodecScratch scratch;
  return codec->DecodeStages(pointers, request, &scratch);
}

Bytes ResizeSection(const FrameView& frame, size_t section, uint64_t bytes) {
  FrameBuilder builder;
  builder.Start(frame.info, static_cast<uint32_t>(frame.sections.size()));
  for (size_t i = 0; i < frame.sections.size(); ++i) {
    const ByteView from = frame.Section(frame.sections[i]);
    const uint64_t size = i == section ? bytes : from.size();
    const MutableByteView room = builder.BeginSection(size);
    std::fill(room.begin(), room.end(), uint8_t{0});
    std::copy_n(from.begin(), std::min<uint64_t>(size, from.size()),
                room.begin());
    builder.EndSection(frame.sections[i], size);
  }
  const Result<ByteView> built = builder.Finish();
  return built.ok() ? Bytes(built->begin(), built->end()) : Bytes();
}

void ResealFrame(MutableByteView frame) {
  constexpr size_t kHeader = 192;
  constexpr size_t kEntry = 32;
  if (frame.size() < kHeader) return;
  const auto sections = LoadLe<uint32_t>(frame.data() + 28);
  const uint64_t directory_end = kHeader + kEntry * uint64_t{sections};
  if (directory_end <= frame.size()) {
    for (uint32_t i = 0; i < sections; ++i) {
      uint8_t* const entry = frame.data() + kHeader + kEntry * size_t{i};
      const uint64_t bytes = LoadLe<uint32_t>(entry + 16);
      const uint64_t offset = LoadLe<uint32_t>(entry + 20);
      if (offset + bytes > frame.size()) continue;
      StoreLe(entry + 24, Checksum(frame.subspan(offset, bytes)));
    }
    const auto directory = frame.subspan(kHeader, directory_end - kHeader);
    StoreLe(frame.data() + 144, Checksum(directory));
  }
  StoreLe(frame.data() + 184, Checksum(frame.first(184)));
}

}  // namespace reprise
