// A codec that a test tells what to get wrong.
#ifndef REPRISE_TESTS_TOOLS_COMPACTION_LYING_CODEC_H_
#define REPRISE_TESTS_TOOLS_COMPACTION_LYING_CODEC_H_

#include <atomic>

#include "codec/codec.h"
#include "codec/extra_codec.h"

namespace reprise {

// Stores bytes as they are, and says that this is tier near.
class LyingCodec final : public Codec {
 public:
  enum class Lie {
    kNone,
    kWrongValues,   // what is encoded are other values
    kWrongSegment,  // frames name another segment
    kUndecodable,   // frames that its own decoder refuses
    kFlickers,      // each decode gives something else
    kZeros,         // what is encoded are zeros,
    kFaint,         // or next to nothing,
    kZeroPlane,     // or zeros in the last plane alone
    kWrongLater,    // other values, but for the first that is encoded
    kFlickersOnce,  // as kFlickers, but never again after the first two
  };
  static LyingCodec& Install() {
    static LyingCodec& codec = *new LyingCodec;
    SetExtraCodec(&codec);
    return codec;
  }
  std::atomic<Lie> lie{Lie::kNone};
  void StartAgain(Lie next) {
    lie = next;
    encodes_ = 0;
    decodes_ = 0;
  }

  CodecId id() const override { return static_cast<CodecId>(4712); }
  std::string_view name() const override { return "lying"; }
  bool needs_profile() const override { return false; }
  bool is_exact() const override { return false; }
  Tier tier(const CodecOptions*) const override { return Tier::kNear; }
  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView) const override {
    return UnimplementedError("lying: has no profile");
  }

  Status Encode(const EncodeRequest& request, CodecScratch*,
                FrameBuilder* builder) const override {
    REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
    const uint32_t tokens = request.info.token_count;
    const bool is_later = encodes_++ > 0;
    FrameInfo info = request.info;
    info.codec = id();
    info.raw_bytes = RawBytesOf(request.slices, tokens);
    if (lie == Lie::kWrongSegment) info.segment.bytes[0] ^= 1;
    builder->Start(info, static_cast<uint32_t>(request.slices.size()));
    for (size_t i = 0; i < request.slices.size(); ++i) {
      const PlaneSlice& slice = request.slices[i];
      const uint64_t row_bytes = slice.token_bytes();
      uint8_t* out = builder->BeginSection(row_bytes * tokens).data();
      for (uint32_t t = 0; t < tokens; ++t) {
        const uint8_t* row =
            request.rows[i].data + t * request.rows[i].token_stride_bytes;
        for (uint64_t b = 0; b < row_bytes; ++b) {
          const bool is_second = b % 2 == 1;
          *out = Told(row[b], is_second, i + 1 == request.slices.size());
          if (lie == Lie::kWrongLater && is_later && is_second) *out ^= 0x80;
          ++out;
        }
      }
      const uint8_t mode = lie == Lie::kUndecodable ? 1 : 0;
      builder->EndSection({.layer = slice.layer,
                           .plane = slice.plane,
                           .mode = mode,
                           .channel_first = slice.channel_first(),
                           .channel_count = slice.channels()},
                          row_bytes * tokens);
    }
    return Status();
  }

  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch*) const override {
    REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(frame, request));
    int flicker = lie == Lie::kFlickers ? ++decodes_ : 0;
    if (lie == Lie::kFlickersOnce && decodes_++ == 0) flicker = 1;
    for (size_t i = 0; i < request.slices.size(); ++i) {
      if (frame.sections[i].mode != 0) return InternalError("lying: mode 1");
      const ByteView section = frame.Section(frame.sections[i]);
      const uint64_t row_bytes = request.slices[i].token_bytes();
      for (uint64_t b = 0; b < row_bytes * request.token_count; ++b) {
        request.rows[i]
            .data[b / row_bytes * request.rows[i].token_stride_bytes +
                  b % row_bytes] = section[b];
      }
      // Within any limit, but not the same twice.
      request.rows[i].data[0] ^= static_cast<uint8_t>(flicker & 7);
    }
    return Status();
  }

 private:
  // The sign of an f16 is the last bit of its second byte; without the other
  // bits of that it is next to nothing.
  uint8_t Told(uint8_t byte, bool is_second, bool is_last_plane) const {
    switch (lie) {
      case Lie::kWrongValues:
        return static_cast<uint8_t>(byte ^ (is_second ? 0x80 : 0));
      case Lie::kZeros:
        return 0;
      case Lie::kFaint:
        return static_cast<uint8_t>(is_second ? byte & 0x80 : byte);
      case Lie::kZeroPlane:
        return is_last_plane ? 0 : byte;
      default:
        return byte;
    }
  }

  mutable std::atomic<int> encodes_{0};
  mutable std::atomic<int> decodes_{0};
};

}  // namespace reprise

#endif  // REPRISE_TESTS_TOOLS_COMPACTION_LYING_CODEC_H_
