#include "tools/eval/attention_mass.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ggml-backend.h"
#include "ggml.h"

namespace reprise {
namespace {

// "kq_soft_max-3": layer 3.
constexpr char kSoftmax[] = "kq_soft_max";

struct Catcher {
  std::vector<double> mass;  // by cell, which is the position here
  std::vector<float> rows;
};

// kq_soft_max [cells, queries, heads, streams], f32
void AddRows(const ggml_tensor* tensor, Catcher* catcher) {
  const auto cells = static_cast<size_t>(tensor->ne[0]);
  catcher->rows.resize(static_cast<size_t>(ggml_nelements(tensor)));
  ggml_backend_tensor_get(tensor, catcher->rows.data(), 0, ggml_nbytes(tensor));
  const size_t wanted = std::min(cells, catcher->mass.size());
  for (size_t row = 0; row < catcher->rows.size(); row += cells) {
    const float* const shares = catcher->rows.data() + row;
    for (size_t cell = 0; cell < wanted; ++cell) {
      catcher->mass[cell] += shares[cell];
    }
  }
}

bool OnTensor(ggml_tensor* tensor, bool ask, void* data) {
  const bool wanted =
      std::strncmp(tensor->name, kSoftmax, sizeof(kSoftmax) - 1) == 0 &&
      tensor->type == GGML_TYPE_F32 && ggml_is_contiguous(tensor);
  if (ask) return wanted;
  if (wanted) AddRows(tensor, static_cast<Catcher*>(data));
  return true;
}

}  // namespace

Result<AttentionMass> MeasureAttentionMass(const LlamaModelPtr& model,
                                           const LlamaRunnerOptions& options,
                                           std::span<const TokenId> tokens) {
  Catcher catcher;
  LlamaRunnerOptions caught = options;
  caught.flash_attention = false;
  caught.on_tensor = OnTensor;
  caught.on_tensor_data = &catcher;
  REPRISE_ASSIGN_OR_RETURN(const auto runner, LlamaRunner::Make(model, caught));
  const size_t early = tokens.size() - std::min(tokens.size(), kRecentQueries);
  AttentionMass mass;
  catcher.mass.assign(tokens.size(), 0);
  if (early > 0)
    REPRISE_RETURN_IF_ERROR(runner->Decode(tokens.first(early), 0));
  mass.all = std::exchange(catcher.mass, std::vector<double>(tokens.size()));
  REPRISE_RETURN_IF_ERROR(runner->Decode(tokens.subspan(early), early));
  if (catcher.rows.empty()) {
    return UnimplementedError(
        "eval: this model's graph has no softmax to measure attention by; "
        "use by=knorm, vnorm or random");
  }
  mass.recent = std::move(catcher.mass);
  for (size_t i = 0; i < mass.all.size(); ++i) mass.all[i] += mass.recent[i];
  return mass;
}

}  // namespace reprise
