// Frames: the bytes as they are, then with all checksums made right, so that
// mutations reach the checks behind them and the decoders, then once more for
// each profile, as if the frame named it. Whatever a decoder does, it writes
// into the wanted rows only.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

using Profile = std::shared_ptr<const CodecProfile>;

std::vector<Profile> ProfilesOf(const ModelSpec& spec) {
  std::vector<Profile> profiles;
  for (const CodecCase& codec_case : CodecCases()) {
    if (codec_case.fit == nullptr) continue;
    Result<Profile> profile = ProfileOf(codec_case, spec);
    Require(profile.ok());
    profiles.push_back(*std::move(profile));
  }
  return profiles;
}

void Parse(ByteView bytes, const ModelSpec& spec, const CodecProfile* profile) {
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
  (void)DecodeFrame(profile, spec, bytes, token_count, &rows);
  Require(rows.GuardsAreWhole(token_count));
}

void Fuzz(Bytes bytes) {
  static const ModelSpec& spec = *new ModelSpec(TinyModel());
  static const std::vector<Profile>& profiles =
      *new std::vector<Profile>(ProfilesOf(spec));
  Parse(bytes, spec, nullptr);
  ResealFrame(bytes);
  Parse(bytes, spec, nullptr);
  constexpr size_t kProfileOffset = 112;
  if (bytes.size() < kProfileOffset + 32) return;
  for (const Profile& profile : profiles) {
    const std::array<uint8_t, 32>& id = profile->id().bytes;
    std::copy(id.begin(), id.end(), bytes.begin() + kProfileOffset);
    ResealFrame(bytes);
    Parse(bytes, spec, profile.get());
  }
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reprise::Fuzz(reprise::Bytes(data, data + size));
  return 0;
}
