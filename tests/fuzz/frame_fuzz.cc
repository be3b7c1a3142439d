// Frames: the bytes as they are, then with all checksums made right, so that
// mutations reach the checks behind them and the decoders. Whatever a decoder
// does, it writes into the wanted rows only.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Parse(ByteView bytes, const ModelSpec& spec) {
  FrameView frame;
  const bool directory_ok = ParseFrameDirectory(bytes, &frame).ok();
  const bool frame_ok = ParseFrame(bytes, &frame).ok();
  Require(directory_ok || !frame_ok);
  if (!frame_ok) return;
  Require(!DescribeFrame(frame).empty());
  if (!CheckFrameAgainstModel(frame, spec).ok()) return;

  const auto slices = SlicePlanes(spec, frame.info.layers, frame.info.heads);
  Require(slices.ok());
  const uint32_t token_count = frame.info.token_count;
  KvRows rows(*slices, token_count, 3);
  (void)DecodeFrame(nullptr, spec, bytes, token_count, &rows);
  Require(rows.GuardsAreWhole(token_count));
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const reprise::ModelSpec& spec =
      *new reprise::ModelSpec(reprise::TinyModel());
  reprise::Bytes bytes(data, data + size);
  reprise::Parse(bytes, spec);
  reprise::ResealFrame(bytes);
  reprise::Parse(bytes, spec);
  return 0;
}
