#include "tests/client/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <string>

#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr size_t kGuardBytes = 64;

uint64_t Mix(uint64_t a, uint64_t b) { return Random(a * 0x9e37 + b).U64(); }

// Looks like an activation: any sign and mantissa, and exponents of which each
// lower one is half as likely.
void WriteValue(uint64_t bits, uint32_t element_bytes, uint8_t* out) {
  const auto k = static_cast<uint32_t>(std::countr_zero(bits | 1ull << 38)) & 7;
  const uint64_t random = bits >> 39;
  if (element_bytes == 2) {
    StoreLe(out, static_cast<uint16_t>((random & 0x83ff) | (14 - k) << 10));
  } else if (element_bytes == 4) {
    StoreLe(out, static_cast<uint32_t>((random << 31) | (random & 0x7fffff) |
                                       (126 - k) << 23));
  } else {
    *out = static_cast<uint8_t>(random & 0x87) | static_cast<uint8_t>(k << 3);
  }
}

}  // namespace

std::string_view CacheLayoutName(CacheLayout layout) {
  switch (layout) {
    case CacheLayout::kLlama:
      return "Llama";
    case CacheLayout::kLlamaTransposedV:
      return "LlamaTransposedV";
    case CacheLayout::kHuggingFace:
      return "HuggingFace";
    case CacheLayout::kVllmNhd:
      return "VllmNhd";
    case CacheLayout::kVllmHnd:
      return "VllmHnd";
    case CacheLayout::kVllmKvPacked:
      return "VllmKvPacked";
    case CacheLayout::kSglang:
      return "Sglang";
  }
  return "?";
}

KvCache::KvCache(const ModelSpec& spec, const CacheOptions& options)
    : spec_(spec), options_(options) {
  if (paged()) {
    const uint64_t page =
        options.layout == CacheLayout::kSglang ? 1 : options.page_tokens;
    const uint64_t used =
        (options.first_slot + options.token_count + page - 1) / page;
    blocks_ = used + 3;
    std::vector<int32_t> order(blocks_);
    std::iota(order.begin(), order.end(), 0);
    Random random(options.seed + 77);
    for (size_t i = order.size(); i > 1 && !options.blocks_in_order; --i) {
      std::swap(order[i - 1], order[random.Below(i)]);
    }
    order.resize(used);
    if (options.table64) {
      table64_.assign(order.begin(), order.end());
    } else {
      table32_ = order;
    }
  }
  for (uint32_t layer = 0; layer < spec.layers.size(); ++layer) {
    first_plane_.push_back(planes_.size());
    const auto& specs = spec.layers[layer].planes;
    for (uint32_t i = 0; i < specs.size(); ++i) {
      Plane plane{layer, i, &specs[i], 0, specs[i].heads};
      if (specs[i].split == HeadSplit::kByHead) {
        const HeadRange& heads = options.heads;
        plane.head_first = specs[i].heads * heads.first / heads.total;
        plane.head_count = specs[i].heads * heads.count / heads.total;
      }
      planes_.push_back(plane);
    }
    PlaceLayer(layer, &planes_[first_plane_.back()], specs.size());
  }
}

bool KvCache::paged() const {
  return options_.layout == CacheLayout::kVllmNhd ||
         options_.layout == CacheLayout::kVllmHnd ||
         options_.layout == CacheLayout::kVllmKvPacked ||
         options_.layout == CacheLayout::kSglang;
}

// Memory and strides of a layer's planes.
void KvCache::PlaceLayer(uint32_t layer, Plane* planes, size_t count) {
  const auto n = static_cast<int64_t>(options_.token_count);
  const int64_t page = options_.page_tokens;
  int64_t packed_block = 0;
  std::vector<int64_t> offsets;
  for (size_t i = 0; i < count; ++i) {
    Plane& plane = planes[i];
    const int64_t e = DTypeBytes(plane.spec->dtype);
    const int64_t d = plane.spec->dim * e;
    const int64_t h = plane.head_count;
    plane.element = e;
    plane.head = d;
    plane.token = h * d;
    switch (options_.layout) {
      case CacheLayout::kLlama:
        break;
      case CacheLayout::kLlamaTransposedV:
        if (plane.spec->role != PlaneRole::kValue) break;
        plane.token = e;
        plane.element = n * e;
        plane.head = plane.spec->dim * plane.element;
        break;
      case CacheLayout::kHuggingFace:
        plane.token = d;
        plane.head = n * d;
        break;
      case CacheLayout::kVllmNhd:
      case CacheLayout::kVllmKvPacked:
        plane.block = page * h * d;
        break;
      case CacheLayout::kVllmHnd:
        plane.block = page * h * d;
        plane.token = d;
        plane.head = page * d;
        break;
      case CacheLayout::kSglang:
        plane.block = h * d;
        plane.token = 0;
        break;
    }
    offsets.push_back(packed_block);
    packed_block += plane.block;
  }
  const bool packed = options_.layout == CacheLayout::kVllmKvPacked;
  for (size_t i = 0; i < count; ++i) {
    Plane& plane = planes[i];
    const int64_t e = DTypeBytes(plane.spec->dtype);
    const int64_t row = int64_t{plane.head_count} * plane.spec->dim * e;
    int64_t bytes = paged() ? static_cast<int64_t>(blocks_) * plane.block
                            : std::max<int64_t>(n, 1) * row;
    if (packed) {
      plane.block = packed_block;
      bytes = static_cast<int64_t>(blocks_) * packed_block;
    }
    if (!packed || i == 0) {
      buffers_.emplace_back(bytes + 2 * kGuardBytes, kGuard);
    }
    plane.base =
        buffers_.back().data() + kGuardBytes + (packed ? offsets[i] : 0);
  }
}

uint8_t* KvCache::At(uint32_t layer, uint32_t plane_index, uint64_t token,
                     uint32_t head, uint32_t element) const {
  const Plane& plane = planes_[first_plane_[layer] + plane_index];
  int64_t block = 0;
  auto slot = static_cast<int64_t>(token - options_.first_token);
  if (paged()) {
    const int64_t page =
        options_.layout == CacheLayout::kSglang ? 1 : options_.page_tokens;
    slot += options_.first_slot;
    const auto entry = static_cast<size_t>(slot / page);
    block = options_.table64 ? table64_[entry] : table32_[entry];
    slot %= page;
  }
  return plane.base + block * plane.block + slot * plane.token +
         (head - plane.head_first) * plane.head + element * plane.element;
}

template <typename Visit>
void KvCache::ForRows(uint64_t first_token, uint64_t end_token,
                      Visit visit) const {
  for (const Plane& plane : planes_) {
    for (uint64_t token = first_token; token < end_token; ++token) {
      for (uint32_t h = 0; h < plane.head_count; ++h) {
        visit(plane, token, plane.head_first + h);
      }
    }
  }
}

void KvCache::Fill(uint64_t first_token, uint64_t end_token) {
  const auto fill = [&](const Plane& plane, uint64_t token, uint32_t head) {
    const uint64_t of_plane = Mix(Mix(options_.seed, plane.layer), plane.plane);
    Random random(Mix(Mix(of_plane, token), head));
    for (uint32_t i = 0; i < plane.spec->dim; ++i) {
      WriteValue(random.U64(), DTypeBytes(plane.spec->dtype),
                 At(plane.layer, plane.plane, token, head, i));
    }
  };
  ForRows(first_token, end_token, fill);
}

KvCache& KvCache::FillAll() {
  Fill(options_.first_token, options_.first_token + options_.token_count);
  return *this;
}

template <typename Memory>
Memory KvCache::Describe() const {
  Memory out;
  for (const Plane& plane : planes_) {
    out.planes.push_back(
        {plane.base, plane.block, plane.token, plane.head, plane.element});
  }
  if (paged()) {
    KvPaging paging;
    paging.page_tokens =
        options_.layout == CacheLayout::kSglang ? 1 : options_.page_tokens;
    paging.first_slot = options_.first_slot;
    if (options_.table64) {
      paging.table64 = table64_.data();
      paging.table_entries = table64_.size();
    } else {
      paging.table32 = table32_.data();
      paging.table_entries = table32_.size();
    }
    out.paging.push_back(paging);
  }
  out.first_token = options_.first_token;
  out.token_count = options_.token_count;
  if (options_.heads.total > 1) {
    out.head_first = options_.heads.first;
    out.head_count = options_.heads.count;
    out.head_total = options_.heads.total;
  }
  return out;
}

KvView KvCache::view() const {
  KvView view = Describe<KvView>();
  view.device.is_device = options_.on_device;
  return view;
}
KvSink KvCache::sink() {
  KvSink sink = Describe<KvSink>();
  sink.device.is_device = options_.on_device;
  return sink;
}

testing::AssertionResult KvCache::HoldsExactly(uint64_t first_token,
                                               uint64_t end_token,
                                               uint64_t loose_end) const {
  KvCache wanted(spec_, options_);
  wanted.Fill(first_token, end_token);
  const auto copy = [&](const Plane& plane, uint64_t token, uint32_t head) {
    for (uint32_t i = 0; i < plane.spec->dim; ++i) {
      std::memcpy(wanted.At(plane.layer, plane.plane, token, head, i),
                  At(plane.layer, plane.plane, token, head, i),
                  DTypeBytes(plane.spec->dtype));
    }
  };
  ForRows(end_token, loose_end, copy);
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const auto [a, b] = std::mismatch(buffers_[i].begin(), buffers_[i].end(),
                                      wanted.buffers_[i].begin());
    if (a == buffers_[i].end()) continue;
    return testing::AssertionFailure()
           << CacheLayoutName(options_.layout) << ": buffer " << i << " of "
           << buffers_.size() << " differs at byte " << a - buffers_[i].begin()
           << " of " << buffers_[i].size() << ": " << int{*a} << ", wanted is "
           << int{*b};
  }
  return testing::AssertionSuccess();
}

}  // namespace reprise
