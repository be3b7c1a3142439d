// Where an engine keeps its KV cache: plain descriptions of memory that the
// engine owns. A KvView is read by Save, a KvSink is written by Restore.
//
// For each plane of each layer there is a base pointer and four byte strides:
//
//   address(token p, head h, element e) =
//       base + block(p) * block_stride + slot(p) * token_stride
//            + h * head_stride + e * element_stride
//
// With a block table, logical block i = (p - first_token + first_slot) /
// page_tokens lies in physical block table[i], and slot is the remainder.
// Without one the cache is contiguous: block is 0 and slot is
// p - first_token.
//
//   layout                        block  token      head      element
//   llama.cpp K, V (flash attn)   -      H*D*2      D*2       2
//   llama.cpp V transposed        -      2          D*n*2     n*2  (n cells)
//   HF DynamicCache [H, T, D]     -      D*2        T*D*2     2
//   vLLM NHD [B, P, H, D]         P*H*D  H*D        D         1    (x bytes)
//   vLLM HND [B, H, P, D]         H*P*D  D          P*D       1
//   SGLang, page size 1           H*D    -          D         1
#ifndef REPRISE_CLIENT_KV_LAYOUT_H_
#define REPRISE_CLIENT_KV_LAYOUT_H_

#include <cstdint>
#include <span>
#include <vector>

namespace reprise {

// One plane of one layer.
template <typename Pointer>
struct KvPlane {
  Pointer base = nullptr;
  int64_t block_stride_bytes = 0;
  int64_t token_stride_bytes = 0;
  int64_t head_stride_bytes = 0;
  int64_t element_stride_bytes = 0;
};

// The block table of a run of layers.
struct KvPaging {
  uint32_t first_layer = 0;
  uint32_t layer_count = 0;  // 0: up to the last layer
  uint32_t page_tokens = 1;
  // One of the two; both null: contiguous.
  const int32_t* table32 = nullptr;
  const int64_t* table64 = nullptr;
  uint64_t table_entries = 0;
  uint32_t first_slot = 0;  // of token first_token in its block
};

// Device memory: these say which, and when it is ready. Block tables are the
// host's memory all the same.
//
// A restore writes no row before `ready_event`, or without one before what was
// queued on `stream` when make_sink returned. Rows that it calls in place
// (on_layer, WaitLayer, the result) are there: kernels on any stream may read
// them from then on. What a progressive restore writes over them is written in
// the order of `stream`: after what was queued there before, and before what is
// queued later. Kernels on other streams have to wait for it.
//
// `layer_events`, by layer, are recorded by a restore as soon as the kernels
// that write a layer are queued (RestoreTicket::WaitLayerQueued): a stream that
// waits for a layer's event sees its rows, long before the host could be told
// that they are there. Whether they are whole is known later. Empty: none; else
// one a layer, which must live until the restore is over.
//
// A save reads no row before `ready_event`, or without one before what was
// queued on `stream` when it was called, and none after it is captured.
struct KvDevice {
  bool is_device = false;
  int32_t ordinal = 0;
  void* stream = nullptr;       // cudaStream_t
  void* ready_event = nullptr;  // cudaEvent_t
  std::span<void* const> layer_events = {};
};

template <typename Pointer>
struct KvMemory {
  // Layer by layer, in each in the order of LayerSpec::planes.
  std::vector<KvPlane<Pointer>> planes;
  // Empty: contiguous. Else every layer is in exactly one.
  std::vector<KvPaging> paging;
  uint64_t first_token = 0;  // position of the first token here
  uint64_t token_count = 0;
  // Of the model's heads: what this rank holds. total 0 means all.
  uint16_t head_first = 0;
  uint16_t head_count = 0;
  uint16_t head_total = 0;
  KvDevice device;
};

using KvView = KvMemory<const void*>;
using KvSink = KvMemory<void*>;

}  // namespace reprise

#endif  // REPRISE_CLIENT_KV_LAYOUT_H_
