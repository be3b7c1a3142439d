// Between any layout of a KV cache and the packed rows that codecs take: a
// KvMap is a KvMemory that was checked against a model once; after that the
// copies are loops that cannot fail.
//
// Where the rows of a slice already lie one after the other with elements
// packed, nothing is copied: the codec reads or writes the engine's memory
// itself.
#ifndef REPRISE_CLIENT_KV_GATHER_H_
#define REPRISE_CLIENT_KV_GATHER_H_

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise {

// Byte is `const uint8_t` for a KvView, `uint8_t` for a KvSink. Points to the
// engine's memory and block tables, which must outlive it. Immutable once
// made: any thread may read through it.
template <typename Byte>
class KvMap {
 public:
  using Memory =
      KvMemory<std::conditional_t<std::is_const_v<Byte>, const void*, void*>>;

  // Checks everything but the block tables' contents. Memory without planes
  // and tokens is fine: it holds nothing.
  // kFailedPrecondition when it does not fit the model, kInvalidArgument when
  // it contradicts itself (both with the numbers), kUnimplemented for device
  // memory. REQUIRES: ValidateModelSpec(spec).ok(); `spec` outlives the map.
  static Result<KvMap> Make(const ModelSpec& spec, const Memory& memory);
  // The same for memory of a device: nothing here touches it, and RunAt and
  // the copies below are not for it. Block tables are the host's.
  static Result<KvMap> MakeOfDevice(const ModelSpec& spec,
                                    const Memory& memory);

  const HeadRange& heads() const { return heads_; }
  uint64_t first_token() const { return first_token_; }
  uint64_t end_token() const { return end_token_; }

  // OK when tokens [first_token, end_token) are here and their blocks make
  // sense. kFailedPrecondition or kInvalidArgument, with the numbers.
  Status CheckTokens(uint64_t first_token, uint64_t end_token) const;

  // A run of equally spaced rows: that of `first_token` and those after it.
  struct Run {
    Byte* head0 = nullptr;  // of the first head wanted
    uint32_t tokens = 0;
    int64_t token_stride = 0;
  };
  // One plane, with what every copy of it needs.
  struct Plane {
    Byte* base = nullptr;
    int64_t block_stride = 0;
    int64_t token_stride = 0;
    int64_t head_stride = 0;
    int64_t element_stride = 0;
    uint32_t paging = 0;      // index
    uint32_t head_first = 0;  // held, of the plane's heads
    uint32_t head_count = 0;
    uint32_t dim = 0;
    uint32_t element_bytes = 0;

    bool packed_rows() const {
      return element_stride == element_bytes &&
             (head_count == 1 || head_stride == element_stride * dim);
    }
  };

  const Plane& PlaneAt(uint32_t layer, uint32_t plane) const {
    return planes_[first_plane_[layer] + plane];
  }
  // The longest run that starts at `token`, at most `limit` tokens.
  // REQUIRES: CheckTokens was OK for [token, token + limit).
  Run RunAt(const Plane& plane, uint32_t head, uint64_t token,
            uint32_t limit) const;

  // The blocks of tokens [first, end) of a plane.
  struct Blocks {
    uint64_t page_tokens = 0;  // 0: contiguous
    uint64_t first_slot = 0;   // of `first`: in its block, or from base on
    uint64_t first_block = 0;  // index for Block
    uint64_t count = 0;
  };
  Blocks BlocksOf(const Plane& plane, uint64_t first, uint64_t end) const;
  // REQUIRES: CheckTokens was OK for tokens in it.
  int64_t Block(const Plane& plane, uint64_t index) const {
    return paging_[plane.paging].Block(index);
  }

 private:
  // As KvPaging, with contiguous memory as one endless block.
  struct Paging {
    uint64_t page_tokens = 0;  // 0: contiguous
    const int32_t* table32 = nullptr;
    const int64_t* table64 = nullptr;
    uint64_t entries = 0;
    uint64_t first_slot = 0;

    int64_t Block(uint64_t index) const {
      return table32 ? table32[index] : table64[index];
    }
  };

  Status TakePaging(const ModelSpec& spec, const Memory& memory,
                    std::vector<uint32_t>* of_layer);
  Status TakePlanes(const ModelSpec& spec, const Memory& memory,
                    const std::vector<uint32_t>& paging_of_layer);
  Status TakeShape(const PlaneSpec& spec, const std::string& name,
                   Plane* plane) const;
  Status CheckPlane(const std::string& name, Plane* plane) const;
  Status CheckBlocks(uint32_t paging_index, uint64_t first_token,
                     uint64_t end_token) const;

  HeadRange heads_;
  uint64_t first_token_ = 0;
  uint64_t end_token_ = 0;
  std::vector<Plane> planes_;
  std::vector<uint32_t> first_plane_;  // by layer
  std::vector<Paging> paging_;
};

using KvSource = KvMap<const uint8_t>;
using KvTarget = KvMap<uint8_t>;

// Rows of `slice` for `count` tokens from `first_token` on: the engine's own
// memory where it can serve as it is, else a copy of them in `packed`.
//
//   packed  [count, slice.channels()]  of the plane's dtype
//
// REQUIRES: source.CheckTokens was OK; the slice's heads are held.
ConstPlaneRows GatherRows(const KvSource& source, const PlaneSlice& slice,
                          uint64_t first_token, uint32_t count,
                          uint8_t* packed);

// Where a decoder may write rows of `slice` by itself; null data when the
// layout or the heads held don't allow it. Same requirements as GatherRows,
// but that the heads may be held in part or not at all.
PlaneRows DirectRows(const KvTarget& target, const PlaneSlice& slice,
                     uint64_t first_token, uint32_t count);

// True when at least one head of the slice is held.
bool HoldsPart(const KvTarget& target, const PlaneSlice& slice);

// Copies those heads of packed rows that the target holds to where they
// belong. `packed` as for GatherRows.
void ScatterRows(const KvTarget& target, const PlaneSlice& slice,
                 uint64_t first_token, uint32_t count, const uint8_t* packed);

}  // namespace reprise

#endif  // REPRISE_CLIENT_KV_GATHER_H_
