#include "client/kv_gather.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/limits.h"

namespace reprise {
namespace {

// No address in user space is further away; sums of a few stay in 64 bits.
constexpr int64_t kMaxDistance = int64_t{1} << 56;

std::string Number(int64_t value) { return std::to_string(value); }

std::string PlaneName(uint32_t layer, const PlaneSpec& plane) {
  return "kv: layer " + std::to_string(layer) + " plane " + plane.name;
}

// |stride| * count stays an address.
bool Reaches(int64_t stride, uint64_t count) {
  int64_t distance = 0;
  return count <= uint64_t{kMaxDistance} &&
         !__builtin_mul_overflow(stride, static_cast<int64_t>(count),
                                 &distance) &&
         distance <= kMaxDistance && distance >= -kMaxDistance;
}

Status CheckStride(const std::string& plane, const char* name, int64_t stride,
                   uint64_t count, uint32_t element_bytes) {
  if (count <= 1) return Status();
  if (stride < element_bytes && stride > -int64_t{element_bytes}) {
    return FailedPreconditionError(plane + ": " + name + " stride is " +
                                   Number(stride) + " bytes, an element has " +
                                   Number(element_bytes));
  }
  if (!Reaches(stride, count)) {
    return InvalidArgumentError(plane + ": " + name + " stride is " +
                                Number(stride) + " bytes for " +
                                std::to_string(count) + " of them");
  }
  return Status();
}

Result<HeadRange> TakeHeads(uint16_t first, uint16_t count, uint16_t total) {
  if (total == 0) {
    if (first == 0 && count == 0) return HeadRange::All();
    return InvalidArgumentError("kv: heads " + std::to_string(first) + " and " +
                                std::to_string(count) + " after it, of 0");
  }
  const HeadRange heads{first, count, total};
  REPRISE_RETURN_IF_ERROR(ValidateHeadRange(heads).WithContext("kv"));
  return heads;
}

// Copies one run between strided and packed memory. Elements are moved as
// integers of their size, whatever they mean.
//
//   strided  token t, head h, element e at the three strides
//   packed   [tokens] rows `packed_stride` bytes apart, heads and elements
//            packed
struct RunShape {
  uint32_t tokens = 0;
  uint32_t heads = 0;
  uint32_t dim = 0;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int64_t element_stride = 0;
  uint64_t packed_stride = 0;
};

// Element by element. Tokens are the inner loop: in transposed caches, where
// this is for, they are what lies side by side.
template <typename T, bool kGather, typename Byte, typename PackedByte>
void CopyElements(const RunShape& shape, Byte* strided, PackedByte* packed) {
  for (uint32_t h = 0; h < shape.heads; ++h) {
    for (uint32_t e = 0; e < shape.dim; ++e) {
      Byte* s = strided + h * shape.head_stride + e * shape.element_stride;
      PackedByte* p = packed + (uint64_t{h} * shape.dim + e) * sizeof(T);
      for (uint32_t t = 0; t < shape.tokens; ++t) {
        if constexpr (kGather) {
          std::memcpy(p, s, sizeof(T));
        } else {
          std::memcpy(s, p, sizeof(T));
        }
        s += shape.token_stride;
        p += shape.packed_stride;
      }
    }
  }
}

// Stretches of `stretch` bytes that are packed on both sides.
template <bool kGather, typename Byte, typename PackedByte>
void CopyStretches(const RunShape& shape, uint32_t stretches, uint64_t stretch,
                   Byte* strided, PackedByte* packed) {
  for (uint32_t t = 0; t < shape.tokens; ++t) {
    Byte* s = strided + t * shape.token_stride;
    PackedByte* p = packed + t * shape.packed_stride;
    for (uint32_t h = 0; h < stretches; ++h) {
      if constexpr (kGather) {
        std::memcpy(p, s, stretch);
      } else {
        std::memcpy(s, p, stretch);
      }
      s += shape.head_stride;
      p += stretch;
    }
  }
}

template <bool kGather, typename Byte, typename PackedByte>
void CopyRun(const RunShape& shape, uint32_t element_bytes, Byte* strided,
             PackedByte* packed) {
  if (shape.element_stride == element_bytes) {
    const uint64_t head_bytes = uint64_t{shape.dim} * element_bytes;
    const bool whole_rows =
        shape.heads == 1 ||
        shape.head_stride == static_cast<int64_t>(head_bytes);
    CopyStretches<kGather>(shape, whole_rows ? 1 : shape.heads,
                           whole_rows ? head_bytes * shape.heads : head_bytes,
                           strided, packed);
  } else if (element_bytes == 2) {
    CopyElements<uint16_t, kGather>(shape, strided, packed);
  } else if (element_bytes == 4) {
    CopyElements<uint32_t, kGather>(shape, strided, packed);
  } else {
    CopyElements<uint8_t, kGather>(shape, strided, packed);
  }
}

// The heads of a slice that a map holds.
struct HeadOverlap {
  uint32_t first = 0;  // of the plane's heads
  uint32_t count = 0;
};

template <typename Plane>
HeadOverlap OverlapOf(const Plane& plane, const PlaneSlice& slice) {
  const uint32_t first = std::max(plane.head_first, slice.head_first);
  const uint32_t end = std::min(plane.head_first + plane.head_count,
                                slice.head_first + slice.head_count);
  return {first, end > first ? end - first : 0};
}

template <bool kGather, typename Byte, typename PackedByte>
void CopyRows(const KvMap<Byte>& map, const PlaneSlice& slice,
              uint64_t first_token, uint32_t count, PackedByte* packed) {
  const auto& plane = map.PlaneAt(slice.layer, slice.plane);
  const HeadOverlap overlap = OverlapOf(plane, slice);
  if (overlap.count == 0) return;
  RunShape shape;
  shape.heads = overlap.count;
  shape.dim = plane.dim;
  shape.head_stride = plane.head_stride;
  shape.element_stride = plane.element_stride;
  shape.packed_stride = slice.token_bytes();
  packed += uint64_t{overlap.first - slice.head_first} * plane.dim *
            plane.element_bytes;
  for (uint32_t done = 0; done < count;) {
    const auto run =
        map.RunAt(plane, overlap.first, first_token + done, count - done);
    shape.tokens = run.tokens;
    shape.token_stride = run.token_stride;
    CopyRun<kGather>(shape, plane.element_bytes, run.head0,
                     packed + done * shape.packed_stride);
    done += run.tokens;
  }
}

// The rows of a slice where they lie; head0 null when they can't be used as
// they are.
template <typename Byte>
typename KvMap<Byte>::Run InPlace(const KvMap<Byte>& map,
                                  const PlaneSlice& slice, uint64_t first_token,
                                  uint32_t count) {
  const auto& plane = map.PlaneAt(slice.layer, slice.plane);
  if (OverlapOf(plane, slice).count != slice.head_count) return {};
  if (!plane.packed_rows()) return {};
  const auto run = map.RunAt(plane, slice.head_first, first_token, count);
  const bool rows_apart =
      run.token_stride >= static_cast<int64_t>(slice.token_bytes());
  if (run.tokens < count || (count > 1 && !rows_apart)) return {};
  return run;
}

}  // namespace

template <typename Byte>
Result<KvMap<Byte>> KvMap<Byte>::Make(const ModelSpec& spec,
                                      const Memory& memory) {
  if (memory.device.is_device) {
    return UnimplementedError("kv: memory of device " +
                              std::to_string(memory.device.ordinal) +
                              ", only a host's can be used here");
  }
  return MakeOfDevice(spec, memory);
}

template <typename Byte>
Result<KvMap<Byte>> KvMap<Byte>::MakeOfDevice(const ModelSpec& spec,
                                              const Memory& memory) {
  KvMap map;
  REPRISE_ASSIGN_OR_RETURN(
      map.heads_,
      TakeHeads(memory.head_first, memory.head_count, memory.head_total));
  if (memory.first_token > kMaxSessionTokens ||
      memory.token_count > kMaxSessionTokens - memory.first_token) {
    return InvalidArgumentError(
        "kv: " + std::to_string(memory.token_count) + " tokens from " +
        std::to_string(memory.first_token) + " on, a session has at most " +
        std::to_string(kMaxSessionTokens));
  }
  map.first_token_ = memory.first_token;
  map.end_token_ = memory.first_token + memory.token_count;
  if (memory.planes.empty() && memory.token_count == 0) return map;
  std::vector<uint32_t> paging_of_layer;
  REPRISE_RETURN_IF_ERROR(map.TakePaging(spec, memory, &paging_of_layer));
  REPRISE_RETURN_IF_ERROR(map.TakePlanes(spec, memory, paging_of_layer));
  return map;
}

template <typename Byte>
Status KvMap<Byte>::TakePaging(const ModelSpec& spec, const Memory& memory,
                               std::vector<uint32_t>* of_layer) {
  const uint32_t layers = static_cast<uint32_t>(spec.layers.size());
  if (memory.paging.empty()) {
    paging_.emplace_back();
    of_layer->assign(layers, 0);
    return Status();
  }
  of_layer->assign(layers, UINT32_MAX);
  for (const KvPaging& given : memory.paging) {
    const std::string name =
        "kv: block table from layer " + std::to_string(given.first_layer);
    if (given.first_layer >= layers ||
        given.layer_count > layers - given.first_layer) {
      return FailedPreconditionError(
          name + " has " + std::to_string(given.layer_count) +
          " layers, the model has " + std::to_string(layers));
    }
    const bool has_table = given.table32 != nullptr || given.table64 != nullptr;
    if (given.table32 != nullptr && given.table64 != nullptr) {
      return InvalidArgumentError(name + " is given twice: i32 and i64");
    }
    if (has_table && given.first_slot >= given.page_tokens) {
      return InvalidArgumentError(
          name + ": first slot is " + std::to_string(given.first_slot) +
          ", a page has " + std::to_string(given.page_tokens) + " slots");
    }
    if (!has_table && given.first_slot != 0) {
      return InvalidArgumentError(name + ": first slot is " +
                                  std::to_string(given.first_slot) +
                                  ", contiguous memory starts at 0");
    }
    const uint32_t end =
        given.layer_count == 0 ? layers : given.first_layer + given.layer_count;
    for (uint32_t layer = given.first_layer; layer < end; ++layer) {
      if ((*of_layer)[layer] != UINT32_MAX) {
        return InvalidArgumentError(name + ": layer " + std::to_string(layer) +
                                    " is in two block tables");
      }
      (*of_layer)[layer] = static_cast<uint32_t>(paging_.size());
    }
    paging_.push_back({has_table ? given.page_tokens : 0, given.table32,
                       given.table64, given.table_entries, given.first_slot});
  }
  for (uint32_t layer = 0; layer < layers; ++layer) {
    if ((*of_layer)[layer] == UINT32_MAX) {
      return InvalidArgumentError("kv: layer " + std::to_string(layer) +
                                  " is in no block table of " +
                                  std::to_string(memory.paging.size()));
    }
  }
  return Status();
}

template <typename Byte>
Status KvMap<Byte>::TakePlanes(const ModelSpec& spec, const Memory& memory,
                               const std::vector<uint32_t>& paging_of_layer) {
  uint64_t wanted = 0;
  for (const LayerSpec& layer : spec.layers) wanted += layer.planes.size();
  if (memory.planes.size() != wanted) {
    return FailedPreconditionError(
        "kv: " + std::to_string(memory.planes.size()) +
        " planes, the model has " + std::to_string(wanted));
  }
  planes_.reserve(wanted);
  for (uint32_t layer = 0; layer < spec.layers.size(); ++layer) {
    first_plane_.push_back(static_cast<uint32_t>(planes_.size()));
    for (const PlaneSpec& plane_spec : spec.layers[layer].planes) {
      const auto& given = memory.planes[planes_.size()];
      Plane plane{static_cast<Byte*>(given.base), given.block_stride_bytes,
                  given.token_stride_bytes,       given.head_stride_bytes,
                  given.element_stride_bytes,     paging_of_layer[layer]};
      const std::string name = PlaneName(layer, plane_spec);
      REPRISE_RETURN_IF_ERROR(TakeShape(plane_spec, name, &plane));
      REPRISE_RETURN_IF_ERROR(CheckPlane(name, &plane));
      planes_.push_back(plane);
    }
  }
  return Status();
}

template <typename Byte>
Status KvMap<Byte>::TakeShape(const PlaneSpec& spec, const std::string& name,
                              Plane* plane) const {
  plane->head_count = spec.heads;
  plane->dim = spec.dim;
  plane->element_bytes = DTypeBytes(spec.dtype);
  if (spec.split == HeadSplit::kReplicated) return Status();
  const uint64_t first = uint64_t{spec.heads} * heads_.first;
  const uint64_t count = uint64_t{spec.heads} * heads_.count;
  if (first % heads_.total != 0 || count % heads_.total != 0) {
    return FailedPreconditionError(name + ": " + std::to_string(spec.heads) +
                                   " heads cannot be cut at " +
                                   std::to_string(heads_.first) + " and " +
                                   std::to_string(heads_.first + heads_.count) +
                                   " of " + std::to_string(heads_.total));
  }
  plane->head_first = static_cast<uint32_t>(first / heads_.total);
  plane->head_count = static_cast<uint32_t>(count / heads_.total);
  return Status();
}

template <typename Byte>
Status KvMap<Byte>::CheckPlane(const std::string& name, Plane* plane) const {
  if (plane->base == nullptr) {
    return InvalidArgumentError(name + ": base is null");
  }
  const uint64_t page = paging_[plane->paging].page_tokens;
  // With one token a page, pages are what tokens are elsewhere.
  if (page == 1) plane->token_stride = plane->block_stride;
  const uint64_t tokens = page == 0 ? end_token_ - first_token_ : page;
  const auto check = [&](const char* what, int64_t stride, uint64_t count) {
    return CheckStride(name, what, stride, count, plane->element_bytes);
  };
  REPRISE_RETURN_IF_ERROR(check("token", plane->token_stride, tokens));
  REPRISE_RETURN_IF_ERROR(check("head", plane->head_stride, plane->head_count));
  REPRISE_RETURN_IF_ERROR(check("element", plane->element_stride, plane->dim));
  if (plane->dim == 1) plane->element_stride = plane->element_bytes;
  return Status();
}

template <typename Byte>
Status KvMap<Byte>::CheckBlocks(uint32_t paging_index, uint64_t first_token,
                                uint64_t end_token) const {
  const Paging& paging = paging_[paging_index];
  const uint64_t shift = paging.first_slot;
  const uint64_t begin =
      (first_token - first_token_ + shift) / paging.page_tokens;
  const uint64_t end =
      (end_token - first_token_ + shift + paging.page_tokens - 1) /
      paging.page_tokens;
  if (end > paging.entries) {
    return FailedPreconditionError(
        "kv: block table has " + std::to_string(paging.entries) +
        " entries, tokens up to " + std::to_string(end_token) + " need " +
        std::to_string(end));
  }
  int64_t last = 0;
  for (uint64_t i = begin; i < end; ++i) {
    const int64_t block = paging.Block(i);
    if (block < 0) {
      return InvalidArgumentError("kv: block table entry " + std::to_string(i) +
                                  " is " + Number(block));
    }
    last = std::max(last, block);
  }
  for (const Plane& plane : planes_) {
    if (plane.paging == paging_index &&
        !Reaches(plane.block_stride, static_cast<uint64_t>(last))) {
      return InvalidArgumentError(
          "kv: block " + Number(last) + " with a block stride of " +
          Number(plane.block_stride) + " bytes is out of reach");
    }
  }
  return Status();
}

template <typename Byte>
Status KvMap<Byte>::CheckTokens(uint64_t first_token,
                                uint64_t end_token) const {
  if (first_token >= end_token) return Status();
  if (first_token < first_token_ || end_token > end_token_) {
    return FailedPreconditionError(
        "kv: tokens " + std::to_string(first_token) + " to " +
        std::to_string(end_token) + " are needed, here are " +
        std::to_string(first_token_) + " to " + std::to_string(end_token_));
  }
  if (planes_.empty()) return Status();
  for (uint32_t i = 0; i < paging_.size(); ++i) {
    if (paging_[i].page_tokens == 0) continue;
    REPRISE_RETURN_IF_ERROR(CheckBlocks(i, first_token, end_token));
  }
  return Status();
}

template <typename Byte>
typename KvMap<Byte>::Blocks KvMap<Byte>::BlocksOf(const Plane& plane,
                                                   uint64_t first,
                                                   uint64_t end) const {
  const Paging& paging = paging_[plane.paging];
  const uint64_t slot = first - first_token_ + paging.first_slot;
  if (paging.page_tokens == 0) return {.first_slot = slot};
  const uint64_t last = end - first_token_ + paging.first_slot - 1;
  const uint64_t first_block = slot / paging.page_tokens;
  return {.page_tokens = paging.page_tokens,
          .first_slot = slot % paging.page_tokens,
          .first_block = first_block,
          .count = last / paging.page_tokens - first_block + 1};
}

template <typename Byte>
typename KvMap<Byte>::Run KvMap<Byte>::RunAt(const Plane& plane, uint32_t head,
                                             uint64_t token,
                                             uint32_t limit) const {
  const Paging& paging = paging_[plane.paging];
  Byte* const head0 =
      plane.base +
      static_cast<int64_t>(head - plane.head_first) * plane.head_stride;
  const uint64_t index = token - first_token_ + paging.first_slot;
  if (paging.page_tokens == 0) {
    return {head0 + static_cast<int64_t>(index) * plane.token_stride, limit,
            plane.token_stride};
  }
  const uint64_t page = paging.page_tokens;
  const uint64_t slot = index % page;
  const uint64_t entry = index / page;
  const int64_t block = paging.Block(entry);
  uint64_t tokens = std::min<uint64_t>(limit, page - slot);
  // Blocks that follow each other in memory make one run.
  if (plane.block_stride == static_cast<int64_t>(page) * plane.token_stride) {
    for (int64_t next = 1; tokens < limit; ++next) {
      if (paging.Block(entry + static_cast<uint64_t>(next)) != block + next) {
        break;
      }
      tokens = std::min<uint64_t>(limit, tokens + page);
    }
  }
  return {head0 + block * plane.block_stride +
              static_cast<int64_t>(slot) * plane.token_stride,
          static_cast<uint32_t>(tokens), plane.token_stride};
}

template class KvMap<const uint8_t>;
template class KvMap<uint8_t>;

ConstPlaneRows GatherRows(const KvSource& source, const PlaneSlice& slice,
                          uint64_t first_token, uint32_t count,
                          uint8_t* packed) {
  const KvSource::Run run = InPlace(source, slice, first_token, count);
  if (run.head0 != nullptr) {
    // One row may have any stride; codecs want one that holds it.
    return {run.head0, count > 1 ? static_cast<uint64_t>(run.token_stride)
                                 : slice.token_bytes()};
  }
  CopyRows<true>(source, slice, first_token, count, packed);
  return {packed, slice.token_bytes()};
}

PlaneRows DirectRows(const KvTarget& target, const PlaneSlice& slice,
                     uint64_t first_token, uint32_t count) {
  const KvTarget::Run run = InPlace(target, slice, first_token, count);
  if (run.head0 == nullptr) return {};
  return {run.head0, count > 1 ? static_cast<uint64_t>(run.token_stride)
                               : slice.token_bytes()};
}

bool HoldsPart(const KvTarget& target, const PlaneSlice& slice) {
  return OverlapOf(target.PlaneAt(slice.layer, slice.plane), slice).count > 0;
}

void ScatterRows(const KvTarget& target, const PlaneSlice& slice,
                 uint64_t first_token, uint32_t count, const uint8_t* packed) {
  CopyRows<false>(target, slice, first_token, count, packed);
}

}  // namespace reprise
