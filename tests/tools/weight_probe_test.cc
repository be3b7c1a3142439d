#include "tools/weight_probe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ggml.h"
#include "gguf.h"

namespace reprise {
namespace {

// A GGUF file of f32 matrices of 4 x 8.
class WeightFile {
 public:
  WeightFile()
      : gguf_(gguf_init_empty()),
        tensors_(ggml_init(
            {.mem_size = 1 << 20, .mem_buffer = nullptr, .no_alloc = false})) {}
  ~WeightFile() {
    gguf_free(gguf_);
    ggml_free(tensors_);
    std::filesystem::remove(path_);
  }

  void Add(const std::string& name, float value, int64_t rows = 8) {
    ggml_tensor* tensor =
        rows == 1 ? ggml_new_tensor_1d(tensors_, GGML_TYPE_F32, 4)
                  : ggml_new_tensor_2d(tensors_, GGML_TYPE_F32, 4, rows);
    ggml_set_name(tensor, name.c_str());
    auto* data = static_cast<float*>(tensor->data);
    for (int64_t i = 0; i < ggml_nelements(tensor); ++i) data[i] = value;
    gguf_add_tensor(gguf_, tensor);
  }
  const std::string& Write() {
    gguf_write_to_file(gguf_, path_.c_str(), /*only_meta=*/false);
    return path_;
  }

 private:
  const std::string path_ = testing::TempDir() + "/weight_probe.gguf";
  gguf_context* gguf_;
  ggml_context* tensors_;
};

TEST(WeightProbeTest, ComparesNormsInDoublePrecision) {
  const std::vector<float> a = {3, 4}, b = {3, 1}, zeros = {0, 0};
  EXPECT_DOUBLE_EQ(DeltaRatio(b, a), 3.0 / 5.0);
  EXPECT_DOUBLE_EQ(DeltaRatio(a, a), 0.0);
  EXPECT_DOUBLE_EQ(DeltaRatio(a, zeros), 0.0);
}

TEST(WeightProbeTest, ComparesNeighbouringLayersByKind) {
  WeightFile file;
  file.Add("blk.0.attn_q.weight", 1);
  file.Add("blk.1.attn_q.weight", 2);   // |2 - 1| / 2
  file.Add("blk.2.attn_q.weight", -1);  // |-1 - 2| / 1
  file.Add("blk.0.ffn_up.weight", 1);
  file.Add("blk.2.ffn_up.weight", 1);  // no neighbour
  file.Add("blk.0.attn_norm.weight", 1, 1);
  file.Add("blk.1.attn_norm.weight", 2, 1);
  file.Add("output.weight", 5);
  uint64_t last = 0, total = 0;
  const auto deltas = ProbeWeights(file.Write(), [&](uint64_t d, uint64_t t) {
    last = d;
    total = t;
  });
  ASSERT_TRUE(deltas.ok()) << deltas.status().ToString();
  ASSERT_EQ(deltas->size(), 1u);
  const WeightDelta& delta = (*deltas)[0];
  EXPECT_EQ(delta.kind, "attn_q");
  EXPECT_EQ(delta.pairs, 2u);
  EXPECT_EQ(delta.values, 32u);
  EXPECT_DOUBLE_EQ(delta.min, 0.5);
  EXPECT_DOUBLE_EQ(delta.max, 3.0);
  EXPECT_DOUBLE_EQ(delta.mean, 1.75);
  EXPECT_EQ(last, 5u);
  EXPECT_EQ(total, 5u);
}

TEST(WeightProbeTest, RefusesWhatHasNothingToCompare) {
  WeightFile file;
  file.Add("blk.0.attn_q.weight", 1);
  const auto one = ProbeWeights(file.Write(), nullptr);
  EXPECT_TRUE(one.status().Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(
      ProbeWeights("no such file", nullptr).status().Is(StatusCode::kNotFound));
  const std::string path = testing::TempDir() + "/no.gguf";
  std::ofstream(path) << "plain text";
  EXPECT_TRUE(ProbeWeights(path, nullptr).status().Is(StatusCode::kDataLoss));
}

}  // namespace
}  // namespace reprise
