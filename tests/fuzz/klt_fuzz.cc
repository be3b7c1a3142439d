// Profiles of `klt` and its streams. A profile that is accepted is written
// back as the same bytes. Streams are decoded by the codec and by the slow
// decoder that was written from the page: both refuse them, or both give the
// same rows.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "codec/klt_profile.h"
#include "tests/support/codec_frames.h"
#include "tests/support/klt_fuzz_input.h"
#include "tests/support/klt_reference.h"
#include "tests/support/kv_values.h"

namespace reprise {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void ParseProfile(ByteView bytes) {
  const Result<KltProfileParts> parts = DecodeKltProfile(bytes);
  Require(parts.ok() == KltProfile::Parse(bytes).ok());
  if (!parts.ok()) return;
  Require(CheckKltProfile(*parts).ok());
  Require(BytesEqual(EncodeKltProfile(*parts), bytes));
}

void FuzzProfile(Bytes bytes) {
  ParseProfile(bytes);
  if (bytes.size() < 128) return;
  StoreLe<uint64_t>(bytes.data() + 16, bytes.size());
  StoreLe<uint64_t>(bytes.data() + 24, Checksum(ByteView(bytes).first(24),
                                                ByteView(bytes).subspan(32)));
  ParseProfile(bytes);
}

void FuzzFrames(ByteView input) {
  static const ModelSpec& spec = *new ModelSpec(KltFuzzModel());
  static const KltProfileParts& parts = *new KltProfileParts(KltFuzzParts());
  static const auto& profile = *new std::shared_ptr<const KltProfile>(
      *KltProfile::Parse(EncodeKltProfile(parts)));
  static const FramePlace& place = *new FramePlace(KltFuzzPlace());
  const std::vector<Bytes> frames = UnpackKltFrames(input);
  if (frames.empty()) return;
  const auto slices = SlicePlanes(spec, place.layers, place.heads);
  KvRows rows(*slices, place.token_count, 5);
  const Status status =
      DecodeFrames(profile.get(), spec, frames, place.token_count, &rows);
  Require(rows.GuardsAreWhole(place.token_count));
  const Result<KltDecoded> wanted = ReferenceKltDecode(parts, spec, frames);
  Require(status.ok() == wanted.ok());
  if (status.ok()) Require(rows.Packed() == wanted->rows);
}

void Fuzz(ByteView input) {
  if (input.empty()) return;
  if (input[0] == kKltFuzzProfile) {
    FuzzProfile(Bytes(input.begin() + 1, input.end()));
  } else {
    FuzzFrames(input);
  }
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reprise::Fuzz({data, size});
  return 0;
}
