#include "tools/weight_probe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "ggml.h"
#include "gguf.h"

namespace reprise {
namespace {

constexpr uint32_t kMaxLayers = 4096;

struct FreeGguf {
  void operator()(gguf_context* gguf) const { gguf_free(gguf); }
};
struct FreeGgml {
  void operator()(ggml_context* ggml) const { ggml_free(ggml); }
};

struct Weights {
  std::unique_ptr<gguf_context, FreeGguf> gguf;
  std::unique_ptr<ggml_context, FreeGgml> tensors;
};

Result<Weights> Load(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    return NotFoundError("weights: no file " + path);
  }
  Weights weights;
  ggml_context* tensors = nullptr;
  weights.gguf.reset(
      gguf_init_from_file(path.c_str(), {.no_alloc = false, .ctx = &tensors}));
  weights.tensors.reset(tensors);
  if (weights.gguf == nullptr || tensors == nullptr) {
    return DataLossError("weights: " + path + " is no GGUF file");
  }
  return weights;
}

// "blk.12.attn_q.weight" is (12, "attn_q"); false for other names.
bool ParseName(const std::string& name, uint32_t* layer, std::string* kind) {
  unsigned number = 0;
  int end = 0;
  if (std::sscanf(name.c_str(), "blk.%4u.%n", &number, &end) != 1 || end == 0) {
    return false;
  }
  constexpr std::string_view kEnd = ".weight";
  if (!name.ends_with(kEnd) || number >= kMaxLayers) return false;
  *layer = number;
  *kind = name.substr(static_cast<size_t>(end),
                      name.size() - static_cast<size_t>(end) - kEnd.size());
  return !kind->empty();
}

Result<std::vector<float>> Dequantise(const ggml_tensor* tensor) {
  const auto count = ggml_nelements(tensor);
  std::vector<float> out(static_cast<size_t>(count));
  const ggml_type_traits* traits = ggml_get_type_traits(tensor->type);
  if (tensor->type == GGML_TYPE_F32) {
    const auto* from = static_cast<const float*>(tensor->data);
    std::copy_n(from, out.size(), out.begin());
  } else if (traits->to_float != nullptr) {
    traits->to_float(tensor->data, out.data(), count);
  } else {
    return UnimplementedError(std::string("weights: ") + tensor->name +
                              " is of type " + traits->type_name +
                              ", which has no way back to floats");
  }
  return out;
}

// One kind's matrices by layer.
using Layers = std::map<uint32_t, const ggml_tensor*>;

std::map<std::string, Layers> FindMatrices(const Weights& weights) {
  std::map<std::string, Layers> kinds;
  const int64_t count = gguf_get_n_tensors(weights.gguf.get());
  for (int64_t i = 0; i < count; ++i) {
    const char* name = gguf_get_tensor_name(weights.gguf.get(), i);
    const ggml_tensor* tensor = ggml_get_tensor(weights.tensors.get(), name);
    uint32_t layer = 0;
    std::string kind;
    const bool is_matrix = tensor != nullptr && ggml_n_dims(tensor) >= 2;
    if (is_matrix && ParseName(name, &layer, &kind)) {
      kinds[kind][layer] = tensor;
    }
  }
  return kinds;
}

Result<WeightDelta> ProbeKind(const std::string& kind, const Layers& layers,
                              const std::function<void()>& layer_done) {
  WeightDelta delta{.kind = kind};
  std::vector<float> previous;
  uint32_t previous_layer = 0;
  double sum = 0;
  for (const auto& [layer, tensor] : layers) {
    REPRISE_ASSIGN_OR_RETURN(std::vector<float> next, Dequantise(tensor));
    layer_done();
    if (previous.size() == next.size() && layer == previous_layer + 1) {
      const double ratio = DeltaRatio(previous, next);
      delta.min = delta.pairs == 0 ? ratio : std::min(delta.min, ratio);
      delta.max = std::max(delta.max, ratio);
      sum += ratio;
      ++delta.pairs;
      delta.values = next.size();
    }
    previous = std::move(next);
    previous_layer = layer;
  }
  if (delta.pairs != 0) delta.mean = sum / delta.pairs;
  return delta;
}

}  // namespace

double DeltaRatio(std::span<const float> previous,
                  std::span<const float> next) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < next.size(); ++i) {
    const double d = double{next[i]} - double{previous[i]};
    difference += d * d;
    norm += double{next[i]} * double{next[i]};
  }
  return norm == 0 ? 0 : std::sqrt(difference / norm);
}

Result<std::vector<WeightDelta>> ProbeWeights(
    const std::string& path,
    const std::function<void(uint64_t, uint64_t)>& progress) {
  REPRISE_ASSIGN_OR_RETURN(const Weights weights, Load(path));
  const std::map<std::string, Layers> kinds = FindMatrices(weights);
  uint64_t total = 0, done = 0;
  for (const auto& [kind, layers] : kinds) total += layers.size();
  std::vector<WeightDelta> deltas;
  for (const auto& [kind, layers] : kinds) {
    REPRISE_ASSIGN_OR_RETURN(WeightDelta delta, ProbeKind(kind, layers, [&] {
                               ++done;
                               if (progress) progress(done, total);
                             }));
    if (delta.pairs != 0) deltas.push_back(std::move(delta));
  }
  if (deltas.empty()) {
    return FailedPreconditionError(
        "weights: " + std::to_string(total) + " matrices named blk.L.KIND" +
        ".weight, at least 2 in neighbouring layers are wanted");
  }
  return deltas;
}

}  // namespace reprise
