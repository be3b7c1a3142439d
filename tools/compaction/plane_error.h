// How far a decoded plane is from what was encoded.
#ifndef REPRISE_TOOLS_COMPACTION_PLANE_ERROR_H_
#define REPRISE_TOOLS_COMPACTION_PLANE_ERROR_H_

#include <cstdint>

#include "codec/model_spec.h"

namespace reprise {

// The Euclidean norm of the difference over that of the source. Elements of the
// source that are no finite numbers don't count; one of the decoded values that
// is none where the source's is makes it infinite. Of bytes that are no floats
// of 16 or 32 bits: 0 when all are equal, else infinite.
//
//   source, decoded  [count]  dtype, at any address
double RelativeError(DType dtype, const uint8_t* source, const uint8_t* decoded,
                     uint64_t count);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_PLANE_ERROR_H_
