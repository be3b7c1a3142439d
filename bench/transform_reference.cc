#include "bench/transform_reference.h"

#include <cblas.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "codec/klt_transform_simd.h"

namespace reprise::bench {
namespace {

// [coefficient, channel], both padded; f32.
using Matrix = std::vector<float>;

Matrix MakeMatrix(const KltTransform& transform) {
  const uint32_t padded = transform.padded();
  Matrix matrix(uint64_t{padded} * padded);
  for (uint32_t b = 0; b < transform.blocks(); ++b) {
    for (uint32_t k = 0; k < transform.quads() * KltTransform::kQuadBytes;
         ++k) {
      const uint32_t quad = k / KltTransform::kQuadBytes;
      const uint32_t j = quad * KltTransform::kQuad + k % KltTransform::kQuad;
      const uint32_t i = b * KltTransform::kBlock +
                         k % KltTransform::kQuadBytes / KltTransform::kQuad;
      int32_t weight = 256 * (transform.hi(b)[k] - KltTransform::kBias);
      if (quad < transform.lead_quads()) {
        weight += transform.lo(b)[k] - KltTransform::kBias;
      }
      matrix[uint64_t{j} * padded + i] = static_cast<float>(weight) / 256;
    }
  }
  return matrix;
}

const float* MatrixOf(const KltTransform& transform) {
  static std::map<const KltTransform*, std::unique_ptr<Matrix>> matrices;
  std::unique_ptr<Matrix>& matrix = matrices[&transform];
  if (matrix == nullptr) {
    matrix = std::make_unique<Matrix>(MakeMatrix(transform));
  }
  return matrix->data();
}

bool InverseBySgemm(const KltInverseJob& job, KltScratch* scratch) {
  const KltTransform& transform = *job.transform;
  const auto n = static_cast<int>(transform.padded());
  scratch->floats.resize(uint64_t{job.tokens} * transform.padded());
  float* q = scratch->floats.data();
  for (uint32_t t = 0; t < job.tokens; ++t, q += n) {
    const int16_t* const from = job.q + t * job.q_stride;
    std::copy_n(from, job.used[t], q);
    std::fill(q + job.used[t], q + n, 0.0f);
  }
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans,
              static_cast<int>(job.tokens), n, n, 1.0f, scratch->floats.data(),
              n, MatrixOf(transform), n, 0.0f, job.x,
              static_cast<int>(job.x_stride));
  for (uint32_t t = 0; t < job.tokens; ++t) {
    float* const x = job.x + t * job.x_stride;
    const float step = job.steps[t];
    for (uint32_t i = 0; i < transform.padded(); ++i) {
      x[i] = x[i] * (transform.dec()[i] * step) + transform.mu()[i];
    }
  }
  return true;
}

std::vector<ForwardCall>* recorded = nullptr;

void Record(const KltForwardJob& job, KltScratch* scratch) {
  recorded->push_back({job.transform, job.tokens});
  ReplaceKltForward(nullptr);
  KltForward(job, scratch);
  ReplaceKltForward(Record);
}

}  // namespace

DenseInverse::DenseInverse() {
  openblas_set_num_threads(1);
  ReplaceKltInverse(InverseBySgemm);
}

DenseInverse::~DenseInverse() { ReplaceKltInverse(nullptr); }

DenseForward::DenseForward(std::vector<ForwardCall> calls)
    : calls_(std::move(calls)) {
  openblas_set_num_threads(1);
  uint64_t most = 0;
  for (const ForwardCall& call : calls_) {
    MatrixOf(*call.transform);
    most = std::max(most, uint64_t{call.tokens} * call.transform->padded());
  }
  x_.resize(most, 1.0f);
  z_.resize(most);
}

void DenseForward::Run() {
  for (const ForwardCall& call : calls_) {
    const auto n = static_cast<int>(call.transform->padded());
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans,
                static_cast<int>(call.tokens), n, n, 1.0f, x_.data(), n,
                MatrixOf(*call.transform), n, 0.0f, z_.data(), n);
  }
}

void StartRecording(std::vector<ForwardCall>* calls) {
  recorded = calls;
  ReplaceKltForward(Record);
}

void StopRecording() { ReplaceKltForward(nullptr); }

}  // namespace reprise::bench
