// Sequence states and slot files of llama.cpp. The first byte says which form
// the others have. Whatever parses is written again, and every plane that the
// view names is copied: the addresses must lie inside both.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/bytes.h"
#include "client/llama/seq_state.h"

namespace reprise {
namespace {

// Bigger states say nothing new and cost seconds.
constexpr uint64_t kMaxElements = 1 << 16;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CopyPlane(const KvView& from, const KvSink& to, size_t i,
               const PlaneSpec& plane) {
  const KvPlane<const void*>& a = from.planes[i];
  const KvPlane<void*>& b = to.planes[i];
  for (uint64_t token = 0; token < from.token_count; ++token) {
    const int64_t slot = from.paging.empty() ? static_cast<int64_t>(token)
                                             : from.paging[0].table32[token];
    for (uint32_t e = 0; e < plane.channels(); ++e) {
      const int64_t head = e / plane.dim;
      const int64_t element = e % plane.dim;
      std::memcpy(
          static_cast<uint8_t*>(b.base) +
              static_cast<int64_t>(token) * b.token_stride_bytes +
              head * b.head_stride_bytes + element * b.element_stride_bytes,
          static_cast<const uint8_t*>(a.base) + slot * a.token_stride_bytes +
              head * a.head_stride_bytes + element * a.element_stride_bytes,
          DTypeBytes(plane.dtype));
    }
  }
}

void WriteAgain(const SeqState& state, ByteView bytes) {
  const uint32_t heads[] = {1};
  auto layers = LayersOf(state.layout, heads);
  Require(layers.ok());
  ModelSpec spec;
  spec.layers = *std::move(layers);
  if (spec.token_bytes() * state.cell_count > kMaxElements) return;
  auto size = SeqStateBytes(state.layout, state.cell_count);
  Require(size.ok());
  Bytes out(*size);
  auto written =
      WriteSeqState(state.layout, state.first_position, state.cell_count, out);
  if (!written.ok()) return;  // ends beyond the longest session
  auto view = ViewOver(state, bytes, spec);
  auto sink = SinkOver(*written, out, spec);
  Require(view.ok() && sink.ok());
  for (size_t i = 0; i < view->planes.size(); ++i) {
    CopyPlane(*view, *sink, i, spec.layers[i / 2].planes[i % 2]);
  }
  auto again = ParseSeqState(out, {.version = state.layout.version});
  Require(again.ok() && again->layout == state.layout &&
          again->cell_of_token.empty());
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace reprise;
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  const bool extended = (data[0] & 2) != 0;
  if ((data[0] & 4) != 0) {
    auto file = ParseSlotFile(bytes, {.extended_cells = extended});
    if (file.ok() && file->state.cell_count > 0) {
      WriteAgain(file->state, bytes);
    }
  } else {
    const uint32_t version = (data[0] & 1) != 0 ? 4 : 3;
    auto state =
        ParseSeqState(bytes, {.version = version, .extended_cells = extended});
    if (state.ok() && state->cell_count > 0) WriteAgain(*state, bytes);
  }
  return 0;
}
