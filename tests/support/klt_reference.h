// A decoder of `klt` that was written from its page alone: one value at a
// time, dense, in integers of 64 bits and with the C library's fma. Slow, and
// the check on everything that is fast.
#ifndef REPRISE_TESTS_SUPPORT_KLT_REFERENCE_H_
#define REPRISE_TESTS_SUPPORT_KLT_REFERENCE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"

namespace reprise {

struct KltDecoded {
  // Of all slices, in order: token by token.
  Bytes rows;
  // [group][token] q of the last stage; empty for raw tokens.
  std::vector<std::vector<std::vector<int64_t>>> q;
};

// kDataLoss where the page says that the frames are damaged. REQUIRES: the
// profile fits the model, the frames are stages 0, 1, ... of one place.
Result<KltDecoded> ReferenceKltDecode(const KltProfileParts& profile,
                                      const ModelSpec& spec,
                                      std::span<const Bytes> frames);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_KLT_REFERENCE_H_
