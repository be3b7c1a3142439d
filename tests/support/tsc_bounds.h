// What docs/format/codecs/tsc.md promises of the values that come back.
#ifndef REPRISE_TESTS_SUPPORT_TSC_BOUNDS_H_
#define REPRISE_TESTS_SUPPORT_TSC_BOUNDS_H_

#include <string>

#include "tests/support/codec_cases.h"

namespace reprise {

// CodecCase::problem of `tsc`: rows that are no deltas have their bits, deltas
// are off by at most half of their page's scale, and that is no larger than
// the page's largest delta asks for.
std::string TscProblem(const CodedSlice& coded);

// The element's value; opaque bytes have none. REQUIRES: kF32, kBf16 or kF16.
double ElementValue(DType dtype, const uint8_t* element);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_TSC_BOUNDS_H_
