#include "codec/vector_trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/limits.h"
#include "codec/float_element.h"
#include "codec/float_rows.h"
#include "codec/message.h"
#include "codec/vector_options.h"
#include "codec/vector_simd.h"

namespace reprise {
namespace {

constexpr uint64_t kWantedTokens = 16384;
constexpr uint32_t kTokensPerCentroid = 2;
constexpr uint32_t kIterations = 16;
// What a codebook of vq, which serves all heads, is trained on at most.
constexpr uint32_t kSampleVectors = 1u << 18;
// Below it a head is as good as zero, and 1 its norm.
constexpr float kLeastNorm = 0x1p-100f;

}  // namespace

Result<std::unique_ptr<ProfileTrainer>> VectorTrainer::Make(
    CodecId codec, const ModelSpec& spec, const TrainerOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(const VectorOptions* own,
                           VectorOptions::Of(codec, options.codec_options));
  std::unique_ptr<VectorTrainer> trainer(new VectorTrainer);
  trainer->parts_.codec = codec;
  trainer->parts_.shape = VectorOptions::ShapeOf(codec, own);
  trainer->seed_ = options.seed;
  trainer->AddPlanes(codec, spec);
  REPRISE_RETURN_IF_ERROR(trainer->SetLimits(options.max_memory_bytes));
  return std::unique_ptr<ProfileTrainer>(std::move(trainer));
}

void VectorTrainer::AddPlanes(CodecId codec, const ModelSpec& spec) {
  std::vector<PlaneRole> roles;
  for (uint32_t l = 0; l < spec.layers.size(); ++l) {
    const std::vector<PlaneSpec>& planes = spec.layers[l].planes;
    for (uint32_t p = 0; p < planes.size(); ++p) {
      const PlaneSpec& plane = planes[p];
      if (!IsFloatDType(plane.dtype)) continue;
      auto role = std::find(roles.begin(), roles.end(), plane.role);
      if (role == roles.end()) role = roles.insert(role, plane.role);
      parts_.planes.push_back(
          {.layer = static_cast<uint16_t>(l),
           .plane = static_cast<uint8_t>(p),
           .dtype = plane.dtype,
           .heads = plane.heads,
           .dim = plane.dim,
           .book = codec == CodecId::kPq
                       ? 0
                       : static_cast<uint32_t>(role - roles.begin())});
      token_bytes_ += plane.token_bytes();
    }
  }
  if (codec == CodecId::kVq) {
    parts_.book_count =
        std::max<uint32_t>(1, static_cast<uint32_t>(roles.size()));
  }
  data_.resize(parts_.planes.size());
  sizes_ = LayOutVectorProfile(&parts_);
  parts_.norms.assign(sizes_.norms, 1.0f);
  parts_.centroids.assign(sizes_.centroids, 0);
}

Status VectorTrainer::SetLimits(uint64_t max_memory_bytes) {
  min_tokens_ = uint64_t{kTokensPerCentroid} * parts_.shape.centroids;
  const uint64_t profile_bytes =
      sizes_.norms * sizeof(float) + sizes_.centroids * sizeof(uint16_t);
  if (profile_bytes > kMaxProfileBytes / 2) {
    return ResourceExhaustedError(CatMessage(
        CodecIdName(parts_.codec), " trainer: the profile would have ",
        profile_bytes, " bytes, ", kMaxProfileBytes / 2, " are allowed"));
  }
  uint32_t max_dim = 0;
  for (const VectorPlane& plane : parts_.planes) {
    max_dim = std::max(max_dim, plane.dim);
  }
  const bool is_pq = parts_.is_pq();
  // The profile is held twice while it is written.
  uint64_t fixed = 2 * profile_bytes + VectorKMeans::BytesFor(0);
  if (!is_pq) {
    fixed +=
        uint64_t{kSampleVectors} * (parts_.shape.block * sizeof(float) + 1);
  }
  const uint64_t per_token =
      token_bytes_ + (uint64_t{max_dim} + 1) * sizeof(float) + 1;
  const uint64_t fewest = fixed + min_tokens_ * per_token;
  if (fewest > max_memory_bytes) {
    return ResourceExhaustedError(CatMessage(
        CodecIdName(parts_.codec), " trainer: ", min_tokens_, " tokens take ",
        fewest, " bytes, ", max_memory_bytes, " are allowed"));
  }
  wanted_tokens_ = std::clamp((max_memory_bytes - fixed) / per_token,
                              min_tokens_, kWantedTokens);
  return Status();
}

VectorTrainer::PlaneData* VectorTrainer::FindData(const PlaneSlice& slice) {
  for (size_t i = 0; i < parts_.planes.size(); ++i) {
    const VectorPlane& plane = parts_.planes[i];
    if (plane.layer == slice.layer && plane.plane == slice.plane) {
      return &data_[i];
    }
  }
  return nullptr;
}

Status VectorTrainer::Add(uint32_t first_token, uint32_t token_count,
                          std::span<const PlaneSlice> slices,
                          std::span<const ConstPlaneRows> rows) {
  for (size_t i = 0; i < slices.size(); ++i) {
    PlaneData* data = FindData(slices[i]);
    if (data == nullptr) continue;
    const uint64_t row_bytes = slices[i].token_bytes();
    for (uint32_t t = 0; t < token_count; ++t) {
      if (first_token + t < parts_.shape.sinks) continue;
      if (data->tokens == wanted_tokens_) break;
      const uint8_t* row = rows[i].data + t * rows[i].token_stride_bytes;
      if (data->tokens == 0) data->rows.reserve(wanted_tokens_ * row_bytes);
      data->rows.insert(data->rows.end(), row, row + row_bytes);
      ++data->tokens;
    }
  }
  return Status();
}

uint64_t VectorTrainer::tokens() const {
  uint64_t tokens = wanted_tokens_;
  for (const PlaneData& data : data_) tokens = std::min(tokens, data.tokens);
  return tokens;
}

void VectorTrainer::LoadHead(size_t plane_index, uint32_t head) {
  const VectorPlane& plane = parts_.planes[plane_index];
  const auto count = static_cast<uint32_t>(tokens());
  const uint32_t dim = plane.dim;
  const uint64_t head_bytes = uint64_t{dim} * DTypeBytes(plane.dtype);
  head_.stride = RoundUpToLanes(count);
  head_.values.assign(uint64_t{dim} * head_.stride, 0.0f);
  head_.count = 0;
  std::vector<float> row(dim);
  double sum = 0;
  for (uint32_t t = 0; t < count; ++t) {
    LoadFloats(plane.dtype,
               data_[plane_index].rows.data() +
                   (uint64_t{t} * plane.heads + head) * head_bytes,
               dim, row.data());
    double energy = 0;
    for (const float x : row) energy += double{x} * double{x};
    if (!std::isfinite(energy)) continue;
    sum += energy;
    for (uint32_t i = 0; i < dim; ++i) {
      head_.values[uint64_t{i} * head_.stride + head_.count] = row[i];
    }
    ++head_.count;
  }
  const double terms =
      static_cast<double>(uint64_t{dim} * std::max(1u, head_.count));
  auto norm = static_cast<float>(std::sqrt(sum / terms));
  if (!(norm >= kLeastNorm)) norm = 1;
  parts_.norms[plane.first_norm + head] = norm;
  const float scale = 1.0f / norm;
  for (float& value : head_.values) value *= scale;
}

KMeansJob VectorTrainer::JobOf(const float* values, uint32_t width) const {
  return {.values = values,
          .stride = head_.stride,
          .count = head_.count,
          .width = width,
          .centroid_count = parts_.shape.centroids,
          .iterations = kIterations,
          .seed = seed_};
}

void VectorTrainer::StoreCentroids(const std::vector<float>& centroids,
                                   uint64_t first, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    parts_.centroids[first + i] = F32ToF16Saturated(centroids[i]);
  }
}

bool VectorTrainer::FitPq(const std::function<bool(double)>& progress) {
  const VectorShape& shape = parts_.shape;
  std::vector<float> centroids(uint64_t{shape.centroids} * shape.block);
  uint64_t heads_done = 0;
  for (size_t p = 0; p < parts_.planes.size(); ++p) {
    const VectorPlane& plane = parts_.planes[p];
    for (uint32_t h = 0; h < plane.heads; ++h) {
      LoadHead(p, h);
      uint64_t first =
          plane.first_centroid + uint64_t{h} * plane.dim * shape.centroids;
      for (uint32_t b = 0; b < parts_.blocks(plane.dim); ++b) {
        const uint32_t width = parts_.width(plane.dim, b);
        const float* values =
            head_.values.data() + uint64_t{b} * shape.block * head_.stride;
        kmeans_.Fit(JobOf(values, width), centroids.data());
        StoreCentroids(centroids, first, uint64_t{shape.centroids} * width);
        first += uint64_t{shape.centroids} * width;
      }
      const double done =
          static_cast<double>(++heads_done) / static_cast<double>(sizes_.norms);
      if (progress && !progress(done)) return false;
    }
  }
  return true;
}

uint32_t VectorTrainer::SampleBook(uint32_t book, std::vector<float>* values) {
  const uint32_t block = parts_.shape.block;
  uint64_t full = 0;
  uint64_t any = 0;
  for (const VectorPlane& plane : parts_.planes) {
    if (plane.book != book) continue;
    full += uint64_t{plane.heads} * (plane.dim / block);
    any += uint64_t{plane.heads} * parts_.blocks(plane.dim);
  }
  // Short blocks, filled up with zeros, are taken where there are no others.
  const uint64_t total = (full > 0 ? full : any) * tokens();
  const auto wanted =
      static_cast<uint32_t>(std::min<uint64_t>(total, kSampleVectors));
  const uint32_t stride = RoundUpToLanes(wanted);
  values->assign(uint64_t{stride} * block, 0.0f);
  uint32_t taken = 0;
  uint64_t phase = 0;
  for (size_t p = 0; p < parts_.planes.size(); ++p) {
    const VectorPlane& plane = parts_.planes[p];
    if (plane.book != book) continue;
    for (uint32_t h = 0; h < plane.heads; ++h) {
      LoadHead(p, h);
      const uint32_t blocks =
          full > 0 ? plane.dim / block : parts_.blocks(plane.dim);
      for (uint64_t i = 0; i < uint64_t{blocks} * head_.count; ++i) {
        phase += wanted;
        if (phase < total) continue;
        phase -= total;
        const auto b = static_cast<uint32_t>(i / head_.count);
        for (uint32_t j = 0; j < parts_.width(plane.dim, b); ++j) {
          (*values)[uint64_t{j} * stride + taken] =
              head_.values[uint64_t{b * block + j} * head_.stride +
                           i % head_.count];
        }
        ++taken;
      }
    }
  }
  return taken;
}

bool VectorTrainer::FitVq(const std::function<bool(double)>& progress) {
  const VectorShape& shape = parts_.shape;
  const uint64_t size = uint64_t{shape.centroids} * shape.block;
  std::vector<float> centroids(size);
  std::vector<float> values;
  for (uint32_t book = 0; book < parts_.book_count; ++book) {
    const uint32_t count = SampleBook(book, &values);
    KMeansJob job = JobOf(values.data(), shape.block);
    job.stride = values.size() / shape.block;
    job.count = count;
    kmeans_.Fit(job, centroids.data());
    StoreCentroids(centroids, book * size, size);
    const double done = static_cast<double>(book + 1) / parts_.book_count;
    if (progress && !progress(done)) return false;
  }
  return true;
}

Result<Bytes> VectorTrainer::Fit(const std::function<bool(double)>& progress) {
  if (!parts_.planes.empty() && tokens() < min_tokens_) {
    return FailedPreconditionError(CatMessage(
        CodecIdName(parts_.codec), " trainer: has ", tokens(),
        " tokens (the first ", parts_.shape.sinks,
        " of a session do not count), ", min_tokens_, " are needed"));
  }
  if (!(parts_.is_pq() ? FitPq(progress) : FitVq(progress))) {
    return UnavailableError(
        CatMessage(CodecIdName(parts_.codec), " trainer: was stopped"));
  }
  return EncodeVectorProfile(parts_);
}

}  // namespace reprise
