// The values of a state's planes as f32, to look at or to change in place.
#ifndef REPRISE_TOOLS_EVAL_PLANE_ROWS_H_
#define REPRISE_TOOLS_EVAL_PLANE_ROWS_H_

#include <functional>
#include <span>

#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise {

// Token `token`'s row of one plane of one layer, [heads, dim].
using RowVisitor = std::function<void(const PlaneSlice& slice, uint64_t token,
                                      std::span<float> row)>;

// Calls `visit` with every row: layer by layer, plane by plane, then tokens.
// Where `sink` is not null, the row as the visitor left it is written there,
// rounded to the plane's type.
// kUnimplemented for planes that are not f32, f16 or bf16; errors of KvMap.
Status VisitRows(const ModelSpec& spec, const KvView& view, const KvSink* sink,
                 const RowVisitor& visit);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_PLANE_ROWS_H_
