// Profiles of `klt` that no training made: for tests of what surrounds them.
#ifndef REPRISE_TESTS_SUPPORT_KLT_PARTS_H_
#define REPRISE_TESTS_SUPPORT_KLT_PARTS_H_

#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"

namespace reprise {

// Fits `spec`, in groups of at most `layers` layers (0: as a trainer chooses).
// Its transforms leave the values as they are.
KltProfileParts PlainKltParts(const ModelSpec& spec, uint32_t layers = 0);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_KLT_PARTS_H_
