// Trains the profiles of `vq` and `pq`.
#ifndef REPRISE_CODEC_VECTOR_TRAINER_H_
#define REPRISE_CODEC_VECTOR_TRAINER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/model_spec.h"
#include "codec/profile_trainer.h"
#include "codec/vector_kmeans.h"
#include "codec/vector_profile.h"

namespace reprise {

// Keeps the rows as they are until Fit. The first tokens of a session, which
// the codec stores exactly, are passed over, as are token-heads with values
// that are not finite. At least 2 tokens a centroid are needed; 16,384 tokens
// are wanted, or what fits the memory.
class VectorTrainer final : public ProfileTrainer {
 public:
  // REQUIRES: codec is kVq or kPq. kInvalidArgument for options of another
  // codec; kResourceExhausted when the memory does not hold the fewest tokens,
  // or a profile would be over kMaxProfileBytes.
  static Result<std::unique_ptr<ProfileTrainer>> Make(
      CodecId codec, const ModelSpec& spec, const TrainerOptions& options);

  uint64_t min_tokens() const override { return min_tokens_; }
  uint64_t wanted_tokens() const override { return wanted_tokens_; }
  Status Add(uint32_t first_token, uint32_t token_count,
             std::span<const PlaneSlice> slices,
             std::span<const ConstPlaneRows> rows) override;
  Result<Bytes> Fit(const std::function<bool(double)>& progress) override;

 private:
  struct PlaneData {
    Bytes rows;
    uint64_t tokens = 0;
  };
  // One head's values divided by its norm, [dim, stride].
  struct HeadValues {
    std::vector<float> values;
    uint32_t stride = 0;
    uint32_t count = 0;  // tokens whose values are finite
  };

  VectorTrainer() = default;
  void AddPlanes(CodecId codec, const ModelSpec& spec);
  Status SetLimits(uint64_t max_memory_bytes);
  PlaneData* FindData(const PlaneSlice& slice);
  uint64_t tokens() const;
  // Fills head_ and stores the norm.
  void LoadHead(size_t plane_index, uint32_t head);
  KMeansJob JobOf(const float* values, uint32_t width) const;
  // False when progress said so.
  bool FitPq(const std::function<bool(double)>& progress);
  bool FitVq(const std::function<bool(double)>& progress);
  // What one codebook of vq is trained on, evenly taken from its planes.
  uint32_t SampleBook(uint32_t book, std::vector<float>* values);
  void StoreCentroids(const std::vector<float>& centroids, uint64_t first,
                      uint64_t count);

  VectorProfileParts parts_;
  VectorProfileSizes sizes_;
  std::vector<PlaneData> data_;  // [plane]
  uint64_t token_bytes_ = 0;
  uint64_t seed_ = 0;
  uint64_t min_tokens_ = 0;
  uint64_t wanted_tokens_ = 0;
  HeadValues head_;
  VectorKMeans kmeans_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_TRAINER_H_
