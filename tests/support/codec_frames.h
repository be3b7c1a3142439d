// Short ways for tests to come from rows to a frame and back.
#ifndef REPRISE_TESTS_SUPPORT_CODEC_FRAMES_H_
#define REPRISE_TESTS_SUPPORT_CODEC_FRAMES_H_

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "tests/support/kv_values.h"

namespace reprise {

// One frame's place: what an encoder is told beside the rows.
struct FramePlace {
  LayerGroup layers;
  HeadRange heads = HeadRange::All();
  uint32_t first_token = 0;
  uint16_t token_count = 64;  // fewer: a tail
};

// The info of a frame of `spec`, with made-up segment names.
FrameInfo InfoOf(const ModelSpec& spec, const FramePlace& place);

// The frame's bytes.
Result<Bytes> EncodeFrame(const Codec& codec, const CodecProfile* profile,
                          const FrameInfo& info,
                          std::span<const PlaneSlice> slices,
                          const KvRows& rows,
                          const CodecOptions* options = nullptr,
                          TokenMask kept = kAllTokens);

// Parses, checks against the model and decodes the first `token_count` tokens.
// `kept` is DecodeRequest's.
Status DecodeFrame(const CodecProfile* profile, const ModelSpec& spec,
                   ByteView frame, uint32_t token_count, KvRows* rows,
                   TokenMask* kept = nullptr);

// The same of a codec that makes several frames: stage 0 first.
Result<std::vector<Bytes>> EncodeFrames(const Codec& codec,
                                        const CodecProfile* profile,
                                        const FrameInfo& info,
                                        std::span<const PlaneSlice> slices,
                                        const KvRows& rows,
                                        const CodecOptions* options);
Status DecodeFrames(const CodecProfile* profile, const ModelSpec& spec,
                    std::span<const Bytes> frames, uint32_t token_count,
                    KvRows* rows);

// The frame with one section cut to `bytes`, or made longer by zeros: what a
// wrong encoder writes.
Bytes ResizeSection(const FrameView& frame, size_t section, uint64_t bytes);

// Makes all checksums of a frame right again: what a wrong encoder writes.
// Does nothing to a frame whose sizes make no sense.
void ResealFrame(MutableByteView frame);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_CODEC_FRAMES_H_
