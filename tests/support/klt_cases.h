// Profiles and promises of `klt` for codec_cases.h. The profiles are made up:
// orthonormal up to the rounding of their limbs, with means, levels and tables
// that suit typical values roughly, so that all that a stream can hold occurs.
#ifndef REPRISE_TESTS_SUPPORT_KLT_CASES_H_
#define REPRISE_TESTS_SUPPORT_KLT_CASES_H_

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"
#include "tests/support/codec_cases.h"

namespace reprise {

// How a made-up profile is shaped.
struct KltMaking {
  uint64_t seed = 1;
  // Layers of a group, at most; fewer where a layer group of the model ends or
  // more would have too many channels for a test's patience.
  uint32_t layers = 1;
  uint32_t channels = 512;
  // 1 / so many of the coefficients have a second limb; 0: none has.
  uint32_t lead_divisor = 8;
  uint32_t raw_first = 1;
  RopePairing pairing = RopePairing::kHalves;  // of models that rotate
};

// Lists all planes of floats. A model without any gets a profile of a layer
// that it lacks, as no profile is empty.
KltProfileParts MakeKltParts(const ModelSpec& spec, const KltMaking& making);

Result<Bytes> MakeKltProfile(const ModelSpec& spec);
// Groups of several layers, adjacent pairs, no token that is always raw.
Result<Bytes> MakeWideKltProfile(const ModelSpec& spec);

// With one table of each kind, and one layer's planes at most: for dumps that
// people read.
Bytes MakeTinyKltProfile(const ModelSpec& spec);
Result<Bytes> FitTinyKltProfile(const ModelSpec& spec);

// What is not finite, or no float, comes back as it was; the rest finite.
std::string KltProblem(const CodedSlice& coded);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_KLT_CASES_H_
