#include "codec/float_rows.h"

namespace reprise {

void LoadFloatsScalar(DType dtype, const uint8_t* elements, uint64_t count,
                      float* values) {
  const uint32_t bytes = DTypeBytes(dtype);
  for (uint64_t i = 0; i < count; ++i) {
    values[i] = LoadElement(dtype, elements + i * bytes);
  }
}

void StoreFloatsSaturatedScalar(DType dtype, const float* values,
                                uint64_t count, uint8_t* elements) {
  const uint32_t bytes = DTypeBytes(dtype);
  for (uint64_t i = 0; i < count; ++i) {
    StoreElementSaturated(dtype, values[i], elements + i * bytes);
  }
}

}  // namespace reprise
