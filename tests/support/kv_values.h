// Made-up KV values in memory with guards around it. They have what codecs
// live on (each channel has a mean and a spread of its own) and what they
// stumble over (NaNs with payloads, infinities, denormals, minus zero). They
// prove bit-exactness and bounds, never quality.
#ifndef REPRISE_TESTS_SUPPORT_KV_VALUES_H_
#define REPRISE_TESTS_SUPPORT_KV_VALUES_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/model_spec.h"
#include "tests/support/random.h"

namespace reprise {

enum class KvKind {
  kTypical,   // a mean and a spread a channel
  kSpecials,  // the same, every eighth element a special one
  kAnyBits,   // uniformly random bits
  kConstant,  // each token has the same row
  kZero,
};
inline constexpr KvKind kAllKvKinds[] = {KvKind::kTypical, KvKind::kSpecials,
                                         KvKind::kAnyBits, KvKind::kConstant,
                                         KvKind::kZero};
std::string_view KvKindName(KvKind kind);

// The element whose value is nearest to `value` from below in magnitude, at
// out[0 .. DTypeBytes(dtype)). Opaque bytes get the low bits of the value.
void StoreElement(DType dtype, double value, uint8_t* out);

// The bit patterns that codecs stumble over, of one dtype: zeros, infinities,
// the smallest and largest denormals and normals, NaNs with payloads.
std::vector<uint32_t> SpecialBits(DType dtype);

// Rows for all slices of one frame, each row with `gap_bytes` after it and
// guard bytes around each plane. Starts with every byte a guard.
class KvRows {
 public:
  // Copies what it needs of the slices.
  KvRows(std::span<const PlaneSlice> slices, uint32_t token_count,
         uint64_t gap_bytes = 0);

  // Values of the tokens from `first_token` on; the same token of the same
  // plane and channel gets the same value in every call with this seed,
  // whatever the slices and the head range are.
  void Fill(KvKind kind, uint64_t seed, uint32_t first_token);

  // Valid as long as this object.
  std::vector<ConstPlaneRows> Const() const;
  std::vector<PlaneRows> Mutable();

  uint8_t* Row(size_t slice, uint32_t token);
  ByteView RowView(size_t slice, uint32_t token) const;

  // True when all bytes outside of rows [0, token_count) are still guards.
  bool GuardsAreWhole(uint32_t token_count) const;
  // The rows of all slices, in order, without gaps.
  Bytes Packed() const;
  void Unpack(ByteView packed);

 private:
  struct Plane {
    PlaneSlice slice;
    uint64_t row_bytes = 0;
    uint64_t stride_bytes = 0;
    Bytes memory;
  };
  void FillChannel(KvKind kind, uint64_t seed, uint32_t first_token,
                   size_t index, uint32_t channel_in_slice);

  uint32_t token_count_;
  std::vector<Plane> planes_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_KV_VALUES_H_
