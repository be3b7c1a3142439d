#include "codec/klt_transform_kernel.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "codec/klt_analysis.h"

namespace reprise {

namespace {

constexpr uint64_t kAlignment = 64;

std::vector<float> Padded(const float* values, uint32_t n) {
  std::vector<float> padded(KltPadded(n));
  std::memcpy(padded.data(), values, n * sizeof(float));
  return padded;
}

// Sums of one block's channels over the quads of a token.
struct Sums {
  int32_t of[KltTransform::kBlock] = {};

  void Add(const uint8_t* quad, const int16_t* q) {
    if ((q[0] | q[1] | q[2] | q[3]) == 0) return;
    for (uint32_t i = 0; i < KltTransform::kBlock; ++i) {
      for (uint32_t j = 0; j < KltTransform::kQuad; ++j, ++quad) {
        of[i] += (*quad - KltTransform::kBias) * q[j];
      }
    }
  }
};

bool KeepsLimits(const int16_t* q, uint32_t used) {
  int32_t sum = 0;
  for (uint32_t j = 0; j < used; ++j) {
    if (q[j] < -kKltMaxCoefficient) return false;
    sum += std::abs(int32_t{q[j]});
  }
  return sum <= kKltMaxSum;
}

void InverseToken(const KltInverseJob& job, uint32_t token) {
  const KltTransform& transform = *job.transform;
  const int16_t* const q = job.q + token * job.q_stride;
  const float step = job.steps[token];
  float* x = job.x + token * job.x_stride;
  for (uint32_t b = 0; b < transform.blocks(); ++b) {
    Sums hi, lo;
    for (uint32_t k = 0; k < job.used[token] / KltTransform::kQuad; ++k) {
      const int16_t* const quad = q + k * KltTransform::kQuad;
      hi.Add(transform.hi(b) + k * sizeof hi.of, quad);
      if (k < transform.lead_quads()) {
        lo.Add(transform.lo(b) + k * sizeof lo.of, quad);
      }
    }
    for (uint32_t i = 0; i < KltTransform::kBlock; ++i, ++x) {
      const uint32_t channel = b * KltTransform::kBlock + i;
      const float scale = transform.dec()[channel] * step;
      *x = std::fma(static_cast<float>(hi.of[i]), scale,
                    std::fma(static_cast<float>(lo.of[i]), scale * 0x1p-8f,
                             transform.mu()[channel]));
    }
  }
}

}  // namespace

struct KltTransform::Lazy {
  std::once_flag once;
  // Set by who made it; all who come through `once` may read it without.
  std::atomic<const KltAnalysis*> made = nullptr;
  std::unique_ptr<const KltAnalysis> analysis;
};

KltTransform::KltTransform(const KltGroupData& data)
    : n_(data.n),
      lead_quads_(KltPadded(data.lead) / kQuad),
      mu_(Padded(data.mu, data.n)),
      dec_(Padded(data.dec, data.n)),
      enc_(Padded(data.enc, data.n)),
      lazy_(std::make_unique<Lazy>()) {
  const uint64_t hi_bytes = uint64_t{blocks()} * quads() * kQuadBytes;
  const uint64_t lo_bytes = uint64_t{blocks()} * lead_quads_ * kQuadBytes;
  limbs_.resize(hi_bytes + lo_bytes + kAlignment, kBias);
  const uint64_t past = reinterpret_cast<uintptr_t>(limbs_.data()) % kAlignment;
  hi_at_ = (kAlignment - past) % kAlignment;
  lo_at_ = hi_at_ + hi_bytes;
  Pack(data.hi, data.n, quads(), hi_at_);
  Pack(data.lo, data.lead, lead_quads_, lo_at_);
}

KltTransform::KltTransform(KltTransform&&) noexcept = default;
KltTransform& KltTransform::operator=(KltTransform&&) noexcept = default;
KltTransform::~KltTransform() = default;

void KltTransform::LoadChannel(uint32_t channel, int16_t* entries) const {
  const uint8_t* const high = hi(channel / kBlock);
  const uint8_t* const low = lo(channel / kBlock);
  uint64_t at = channel % kBlock * kQuad;
  for (uint32_t k = 0; k < quads(); ++k, at += kQuadBytes) {
    for (uint32_t j = 0; j < kQuad; ++j, ++entries) {
      const int32_t second = k < lead_quads_ ? low[at + j] - kBias : 0;
      *entries = static_cast<int16_t>((high[at + j] - kBias) * 256 + second);
    }
  }
}

const KltAnalysis& KltTransform::analysis() const {
  std::call_once(lazy_->once, [this] {
    lazy_->analysis = std::make_unique<const KltAnalysis>(
        *this, KltAnalysis::Arithmetic::kNative);
    lazy_->made.store(lazy_->analysis.get(), std::memory_order_release);
  });
  return *lazy_->analysis;
}

uint64_t KltTransform::memory_bytes() const {
  const KltAnalysis* const made = lazy_->made.load(std::memory_order_acquire);
  return limbs_.size() + 3 * padded() * sizeof(float) +
         (made != nullptr ? made->memory_bytes() : 0);
}

void KltTransform::Pack(const int8_t* columns, uint32_t count,
                        uint32_t quad_count, uint64_t at) {
  for (uint32_t j = 0; j < count; ++j) {
    const int8_t* const column = columns + uint64_t{j} * n_;
    for (uint32_t i = 0; i < n_; ++i) {
      const uint64_t quad = uint64_t{i / kBlock} * quad_count + j / kQuad;
      limbs_[at + (quad * kBlock + i % kBlock) * kQuad + j % kQuad] =
          static_cast<uint8_t>(column[i] + kBias);
    }
  }
}

bool KltInverseScalar(const KltInverseJob& job, KltScratch* scratch) {
  for (uint32_t t = 0; t < job.tokens; ++t) {
    if (!KeepsLimits(job.q + t * job.q_stride, job.used[t])) return false;
    InverseToken(job, t);
  }
  return true;
}

void KltForwardScalar(const KltForwardJob& job, KltScratch* scratch) {
  const KltTransform& transform = *job.transform;
  const KltAnalysis& analysis = transform.analysis();
  scratch->floats.resize(uint64_t{transform.n()} * kKltTokens);
  float* const y = scratch->floats.data();
  for (uint32_t t = 0; t < job.tokens; ++t) {
    for (uint32_t i = 0; i < transform.n(); ++i) {
      y[i * kKltTokens + t] =
          (job.x[t * job.x_stride + i] - transform.mu()[i]) *
          analysis.factors()[i];
    }
  }
  for (uint32_t j = 0; j < transform.padded(); ++j) {
    float* const z = job.z + uint64_t{j} * kKltTokens;
    std::memset(z, 0, kKltTokens * sizeof(float));
    if (j >= transform.n()) continue;
    for (uint32_t i = 0; i < transform.n(); ++i) {
      const float weight = analysis.weight(j, i) * analysis.scales()[j];
      for (uint32_t t = 0; t < job.tokens; ++t) {
        z[t] += weight * y[i * kKltTokens + t];
      }
    }
  }
}

uint64_t KltQuantiseScalar(const KltQuantiseJob& job) {
  uint64_t raw = 0;
  for (uint32_t t = 0; t < job.tokens; ++t) {
    int64_t sum = 0;
    bool fits = true;
    for (uint32_t j = 0; j < KltPadded(job.n); ++j) {
      const float z = job.z[uint64_t{j} * kKltTokens + t];
      const float magnitude = std::fabs(z) / job.steps[t] + 0.5f;
      // True of a NaN as well.
      if (!(magnitude < kKltMaxCoefficient + 1)) {
        fits = false;
        break;
      }
      const auto q = static_cast<int16_t>(magnitude);
      job.q[t * job.q_stride + j] =
          std::signbit(z) ? static_cast<int16_t>(-q) : q;
      sum += q;
    }
    raw |= uint64_t{!fits || sum > kKltMaxSum} << t;
  }
  return raw;
}

void KltCoarserScalar(const int16_t* q, uint64_t count, int16_t* coarser) {
  for (uint64_t j = 0; j < count; ++j) {
    const int32_t magnitude = (std::abs(int32_t{q[j]}) + 1) / 3;
    coarser[j] = static_cast<int16_t>(q[j] < 0 ? -magnitude : magnitude);
  }
}

}  // namespace reprise
