// One source for all instruction sets (Highway); machines that cannot fuse a
// product and a sum run the scalar loops.
//
// Decoding. A token's q become *terms*: a quad of coefficients and four bytes
// to multiply them by, only where one is not zero; a quad whose q do not fit
// into bytes has several. One block of 32 channels at a time goes over all
// tokens, so that what they need of its part of the matrix is in the nearest
// cache; a token's sums stay in registers over all its terms. The 128 that the
// limbs are raised by is taken off where the sums start.
//
// Encoding is a product of f32 matrices whose lanes are tokens. Four
// coefficients' weights are made f32 on the way: that is a sixteenth of the
// work or less, and the matrix stays as small as it is.
#include "codec/klt_transform_simd.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_transform_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

#ifndef REPRISE_CODEC_KLT_TRANSFORM_TERMS
#define REPRISE_CODEC_KLT_TRANSFORM_TERMS
namespace reprise {
namespace {

constexpr uint32_t kBlock = KltTransform::kBlock;
constexpr uint32_t kQuad = KltTransform::kQuad;
constexpr uint32_t kQuadBytes = kBlock * kQuad;
// Bytes of terms are at most this: two of them times 255 fit into 16 bits.
constexpr int32_t kDigit = 64;
constexpr int32_t kHighShift = 7;
constexpr int32_t kHigh = 1 << kHighShift;

// Where the quad lies in a block's limb, and four bytes, the first one lowest.
struct Term {
  uint32_t offset = 0;
  uint32_t digits = 0;
};

// Of one token; those of `high` count 128 times. Ascending in quad, so that
// those with a second limb come first.
struct TermList {
  const Term* low = nullptr;
  uint32_t low_count = 0;
  uint32_t low_lead = 0;  // of them with a second limb
  const Term* high = nullptr;
  uint32_t high_count = 0;
  uint32_t high_lead = 0;
  int32_t sum = 0;       // of q
  int32_t lead_sum = 0;  // of those with a second limb
};

// A quad has one term in `low`. In `high` it has one, and one more for each
// 8192 of its largest |q|; the sum of all |q| is below 2^17.
constexpr uint32_t MaxTerms(uint32_t quads) { return 2 * quads + 32; }

// True where AVX-512 has dot products of bytes and may use them.
bool use_dot_products = false;

uint32_t PutByte(int32_t value, uint32_t index) {
  return (static_cast<uint32_t>(value) & 0xff) << (8 * index);
}

// The terms of one token.
class TermWriter {
 public:
  // `high` is where those of `high` are kept until the others are known.
  // Room at each: MaxTerms.
  TermWriter(Term* low, Term* high) : low_(low), high_(high) {}

  // A row of 32 whose q are -64 to 63.
  void AddSmallRow(const int8_t* digits) {
    for (uint32_t k = 0; k < kKltRow; k += kQuad, offset_ += kQuadBytes) {
      uint32_t bytes;
      std::memcpy(&bytes, digits + k, sizeof bytes);
      low_[low_count_] = {offset_, bytes};
      low_count_ += bytes != 0;
    }
  }

  // Any other. False if it breaks a limit.
  bool AddRow(const int16_t* q) {
    for (uint32_t j = 0; j < kKltRow; ++j) {
      if (q[j] < -kKltMaxCoefficient) return false;
      sum_ += q[j];
      magnitudes_ += std::abs(int32_t{q[j]});
    }
    if (magnitudes_ > kKltMaxSum) return false;
    for (uint32_t k = 0; k < kKltRow; k += kQuad, offset_ += kQuadBytes) {
      AddQuad(q + k);
    }
    return true;
  }

  void AddSums(int32_t sum, int32_t magnitudes) {
    sum_ += sum;
    magnitudes_ += magnitudes;
  }

  // Between the rows with a second limb and those without.
  void EndLead() {
    list_.low_lead = low_count_;
    list_.high_lead = high_count_;
  }

  int32_t sum() const { return sum_; }
  bool keeps_limits() const { return magnitudes_ <= kKltMaxSum; }

  // The list; its end is where the next token's may begin.
  TermList Finish() {
    Term* const high = low_ + low_count_;
    std::memcpy(high, high_, high_count_ * sizeof(Term));
    list_.low = low_;
    list_.low_count = low_count_;
    list_.high = high;
    list_.high_count = high_count_;
    list_.sum = sum_;
    return list_;
  }

 private:
  // q = 128 a + b with b from -64 to 63; a, at most 256, in parts.
  void AddQuad(const int16_t* q) {
    uint32_t bytes = 0;
    int32_t a[kQuad];
    int32_t most = 0;
    for (uint32_t j = 0; j < kQuad; ++j) {
      const int32_t b = ((q[j] + kDigit) & (kHigh - 1)) - kDigit;
      bytes |= PutByte(b, j);
      a[j] = (q[j] - b) / kHigh;
      most = std::max(most, std::abs(a[j]));
    }
    low_[low_count_] = {offset_, bytes};
    low_count_ += bytes != 0;
    for (; most > 0; most -= kDigit) {
      uint32_t part_bytes = 0;
      for (uint32_t j = 0; j < kQuad; ++j) {
        const int32_t part = std::clamp(a[j], -kDigit, kDigit);
        part_bytes |= PutByte(part, j);
        a[j] -= part;
      }
      high_[high_count_++] = {offset_, part_bytes};
    }
  }

  Term* low_;
  Term* high_;
  uint32_t offset_ = 0;
  uint32_t low_count_ = 0;
  uint32_t high_count_ = 0;
  int32_t sum_ = 0;
  int32_t magnitudes_ = 0;
  TermList list_;
};

}  // namespace
}  // namespace reprise
#endif  // REPRISE_CODEC_KLT_TRANSFORM_TERMS

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || !HWY_NATIVE_FMA

bool Inverse(const KltInverseJob& job, KltScratch* scratch) {
  return KltInverseScalar(job, scratch);
}
void Forward(const KltForwardJob& job, KltScratch* scratch) {
  KltForwardScalar(job, scratch);
}
uint64_t Quantise(const KltQuantiseJob& job) { return KltQuantiseScalar(job); }
void Coarser(const int16_t* q, uint64_t count, int16_t* coarser) {
  KltCoarserScalar(q, count, coarser);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using D16 = hn::Repartition<int16_t, DF>;
using DU16 = hn::RebindToUnsigned<D16>;
using D8 = hn::Repartition<uint8_t, DF>;
using VF = hn::VFromD<DF>;
using VI = hn::VFromD<DI>;
using V16 = hn::VFromD<D16>;
using V8 = hn::VFromD<D8>;

constexpr uint32_t kLanes = hn::MaxLanes(DF());
constexpr uint32_t kLanes16 = hn::MaxLanes(D16());
constexpr uint32_t kVectors = kBlock / kLanes;  // of a block's sums

// -------------------------------------------------------------------- decode

// Adds for each lane of 32 bits the sum of four products of bytes; the first
// factors are 0 to 255, the others -64 to 64.
struct PlainDot {
  static HWY_INLINE VI Add(VI sum, V8 u, VI digits) {
#if HWY_TARGET == HWY_AVX3
    const __m512i pairs = _mm512_maddubs_epi16(u.raw, digits.raw);
    return VI{_mm512_add_epi32(sum.raw,
                               _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
#elif HWY_TARGET == HWY_AVX2
    const __m256i pairs = _mm256_maddubs_epi16(u.raw, digits.raw);
    return VI{_mm256_add_epi32(sum.raw,
                               _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
#else
    const D16 d;
    const DI di;
    const V16 both = hn::BitCast(d, u);
    const V16 even = hn::And(both, hn::Set(d, 0xff));
    const V16 odd =
        hn::BitCast(d, hn::ShiftRight<8>(hn::BitCast(DU16(), both)));
    const V16 factors = hn::BitCast(d, digits);
    const V16 pairs =
        hn::Add(hn::Mul(even, hn::ShiftRight<8>(hn::ShiftLeft<8>(factors))),
                hn::Mul(odd, hn::ShiftRight<8>(factors)));
    const VI wide = hn::BitCast(di, pairs);
    return hn::Add(hn::Add(sum, hn::ShiftRight<16>(wide)),
                   hn::ShiftRight<16>(hn::ShiftLeft<16>(wide)));
#endif
  }
};

#if HWY_TARGET == HWY_AVX3
// By one instruction, which Highway's AVX3 does not count on. In assembler,
// because a function that may use the intrinsic could not be inlined here.
struct OneDot {
  static HWY_INLINE VI Add(VI sum, V8 u, VI digits) {
    __asm__("vpdpbusd %2, %1, %0"
            : "+v"(sum.raw)
            : "v"(u.raw), "v"(digits.raw));
    return sum;
  }
};
#endif

// Sums of a block's channels over terms. Two of them at a time, so that the
// chains of additions are no longer than the loads'.
template <class Dot>
HWY_INLINE void AddTerms(const uint8_t* limb, const Term* terms, uint32_t count,
                         VI (&sums)[kVectors]) {
  const D8 d8;
  const DI di;
  VI others[kVectors];
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) others[v] = hn::Zero(di);
  uint32_t k = 0;
  for (; k + 2 <= count; k += 2) {
    const uint8_t* const quad0 = limb + terms[k].offset;
    const uint8_t* const quad1 = limb + terms[k + 1].offset;
    const VI digits0 = hn::Set(di, static_cast<int32_t>(terms[k].digits));
    const VI digits1 = hn::Set(di, static_cast<int32_t>(terms[k + 1].digits));
#pragma GCC unroll 8
    for (uint32_t v = 0; v < kVectors; ++v) {
      sums[v] =
          Dot::Add(sums[v], hn::Load(d8, quad0 + v * kLanes * kQuad), digits0);
      others[v] = Dot::Add(others[v], hn::Load(d8, quad1 + v * kLanes * kQuad),
                           digits1);
    }
  }
  if (k < count) {
    const VI digits = hn::Set(di, static_cast<int32_t>(terms[k].digits));
#pragma GCC unroll 8
    for (uint32_t v = 0; v < kVectors; ++v) {
      sums[v] = Dot::Add(
          sums[v], hn::Load(d8, limb + terms[k].offset + v * kLanes * kQuad),
          digits);
    }
  }
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) {
    sums[v] = hn::Add(sums[v], others[v]);
  }
}

// One limb's sums over both lists.
struct LimbTerms {
  const Term* low;
  uint32_t low_count;
  const Term* high;
  uint32_t high_count;
  int32_t sum;
};

template <class Dot>
HWY_INLINE void SumLimb(const uint8_t* limb, const LimbTerms& terms,
                        VI (&sums)[kVectors]) {
  const DI di;
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) sums[v] = hn::Zero(di);
  if (terms.high_count > 0) {
    AddTerms<Dot>(limb, terms.high, terms.high_count, sums);
  }
  const VI bias = hn::Set(di, KltTransform::kBias * terms.sum);
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) {
    sums[v] = hn::Sub(hn::ShiftLeft<kHighShift>(sums[v]), bias);
  }
  AddTerms<Dot>(limb, terms.low, terms.low_count, sums);
}

template <class Dot>
void InverseBlock(const KltInverseJob& job, const TermList* lists,
                  uint32_t block) {
  const DF d;
  const KltTransform& transform = *job.transform;
  const uint8_t* const hi_limb = transform.hi(block);
  const uint8_t* const lo_limb = transform.lo(block);
  const float* const dec = transform.dec() + block * kBlock;
  const float* const mu = transform.mu() + block * kBlock;
  for (uint32_t t = 0; t < job.tokens; ++t) {
    const TermList& list = lists[t];
    VI hi[kVectors];
    VI lo[kVectors];
    SumLimb<Dot>(
        hi_limb,
        {list.low, list.low_count, list.high, list.high_count, list.sum}, hi);
    SumLimb<Dot>(
        lo_limb,
        {list.low, list.low_lead, list.high, list.high_lead, list.lead_sum},
        lo);
    float* const x = job.x + t * job.x_stride + block * kBlock;
    const VF step = hn::Set(d, job.steps[t]);
#pragma GCC unroll 8
    for (uint32_t v = 0; v < kVectors; ++v) {
      const VF scale = hn::Mul(hn::LoadU(d, dec + v * kLanes), step);
      const VF low = hn::MulAdd(hn::ConvertTo(d, lo[v]),
                                hn::Mul(scale, hn::Set(d, 0x1p-8f)),
                                hn::LoadU(d, mu + v * kLanes));
      hn::StoreU(hn::MulAdd(hn::ConvertTo(d, hi[v]), scale, low), d,
                 x + v * kLanes);
    }
  }
}

// Rows of one token, `first` to `end` coefficients. False: a limit is broken.
bool AddRows(const int16_t* q, uint32_t first, uint32_t end,
             TermWriter* writer) {
  const D16 d;
  // Of rows of small ones: at most 64 times 128 a lane.
  V16 sums = hn::Zero(d);
  V16 magnitudes = hn::Zero(d);
  for (uint32_t j = first; j < end; j += kKltRow) {
    V16 x[kKltRow / kLanes16];
    V16 above = hn::Zero(d);
    for (uint32_t v = 0; v < kKltRow / kLanes16; ++v) {
      x[v] = hn::LoadU(d, q + j + v * kLanes16);
      above = hn::Or(above, hn::Add(x[v], hn::Set(d, kDigit)));
    }
    const V16 beyond = hn::And(above, hn::Set(d, static_cast<int16_t>(-kHigh)));
    if (!hn::AllTrue(d, hn::Eq(beyond, hn::Zero(d)))) {
      if (!writer->AddRow(q + j)) return false;
      continue;
    }
    const hn::Rebind<int8_t, D16> d8;
    alignas(64) int8_t digits[kKltRow];
    for (uint32_t v = 0; v < kKltRow / kLanes16; ++v) {
      sums = hn::Add(sums, x[v]);
      magnitudes = hn::Add(magnitudes, hn::Abs(x[v]));
      hn::StoreU(hn::DemoteTo(d8, x[v]), d8, digits + v * kLanes16);
    }
    writer->AddSmallRow(digits);
  }
  alignas(64) int16_t lanes[2 * kLanes16];
  hn::Store(sums, d, lanes);
  hn::Store(magnitudes, d, lanes + kLanes16);
  int32_t sum = 0;
  int32_t magnitude = 0;
  for (uint32_t l = 0; l < kLanes16; ++l) {
    sum += lanes[l];
    magnitude += lanes[kLanes16 + l];
  }
  writer->AddSums(sum, magnitude);
  return writer->keeps_limits();
}

// Terms of all tokens, one after the other from `room` on; those of `high`
// pass through `spare`.
bool MakeTerms(const KltInverseJob& job, Term* room, Term* spare,
               TermList* lists) {
  const uint32_t lead = job.transform->lead_quads() * kQuad;
  for (uint32_t t = 0; t < job.tokens; ++t) {
    const int16_t* const q = job.q + t * job.q_stride;
    const uint32_t used = job.used[t];
    const uint32_t used_lead = HWY_MIN(used, lead);
    TermWriter writer(room, spare);
    if (!AddRows(q, 0, used_lead, &writer)) return false;
    writer.EndLead();
    const int32_t lead_sum = writer.sum();
    if (!AddRows(q, used_lead, used, &writer)) return false;
    lists[t] = writer.Finish();
    lists[t].lead_sum = lead_sum;
    room += lists[t].low_count + lists[t].high_count;
  }
  return true;
}

bool Inverse(const KltInverseJob& job, KltScratch* scratch) {
  const uint32_t most = MaxTerms(job.transform->quads());
  static_assert(sizeof(Term) == sizeof(scratch->words[0]));
  scratch->words.resize(uint64_t{kKltTokens + 1} * most);
  Term* const terms = reinterpret_cast<Term*>(scratch->words.data());
  TermList lists[kKltTokens];
  if (!MakeTerms(job, terms + most, terms, lists)) return false;
  for (uint32_t b = 0; b < job.transform->blocks(); ++b) {
#if HWY_TARGET == HWY_AVX3
    if (use_dot_products) {
      InverseBlock<OneDot>(job, lists, b);
      continue;
    }
#endif
    InverseBlock<PlainDot>(job, lists, b);
  }
  return true;
}

// -------------------------------------------------------------------- encode

// Vectors of tokens that pass together: with four coefficients each, what the
// registers hold.
constexpr uint32_t kTile = HWY_TARGET == HWY_AVX2 ? 2 : 4;
constexpr uint32_t kTileTokens = kTile * kLanes;
// Channels at a time: four coefficients' weights of them are 16 KB.
constexpr uint32_t kPart = 1024;

// y = (x - mu) enc as [tile, channel, token of the tile], zeros where there is
// no channel or token.
void MakeY(const KltForwardJob& job, float* y) {
  const KltTransform& transform = *job.transform;
  const uint32_t padded = transform.padded();
  for (uint32_t first = 0; first < job.tokens; first += kTileTokens) {
    const uint32_t tokens = HWY_MIN(kTileTokens, job.tokens - first);
    const float* const x = job.x + first * job.x_stride;
    for (uint32_t i = 0; i < transform.n(); ++i) {
      const float mu = transform.mu()[i];
      const float enc = transform.enc()[i];
      float* const out = y + i * kTileTokens;
      for (uint32_t t = 0; t < tokens; ++t) {
        out[t] = (x[t * job.x_stride + i] - mu) * enc;
      }
      for (uint32_t t = tokens; t < kTileTokens; ++t) out[t] = 0;
    }
    std::memset(y + transform.n() * kTileTokens, 0,
                (padded - transform.n()) * kTileTokens * sizeof(float));
    y += uint64_t{padded} * kTileTokens;
  }
}

// The weights of a quad in f32 for blocks `first` to `end`: [channel, 4].
void MakeWeights(const KltTransform& transform, uint32_t quad, uint32_t first,
                 uint32_t end, float* weights) {
  const DF d;
  const DI di;
  const hn::Rebind<uint8_t, DI> d8;
  const bool has_lo = quad < transform.lead_quads();
  for (uint32_t b = first; b < end; ++b) {
    const uint8_t* const hi = transform.hi(b) + quad * kQuadBytes;
    const uint8_t* const lo = transform.lo(b) + quad * kQuadBytes;
    for (uint32_t k = 0; k < kQuadBytes; k += kLanes, weights += kLanes) {
      const VI h = hn::PromoteTo(di, hn::LoadU(d8, hi + k));
      VF w = hn::ConvertTo(d, hn::Sub(h, hn::Set(di, KltTransform::kBias)));
      if (has_lo) {
        const VI l = hn::PromoteTo(di, hn::LoadU(d8, lo + k));
        w = hn::MulAdd(
            hn::ConvertTo(d, hn::Sub(l, hn::Set(di, KltTransform::kBias))),
            hn::Set(d, 0x1p-8f), w);
      }
      hn::StoreU(w, d, weights);
    }
  }
}

// z [4, 64] of kCount vectors of tokens, over `count` channels.
template <uint32_t kCount>
void Product(const float* weights, const float* y, uint32_t count, bool add,
             float* z) {
  const DF d;
  VF sums[kQuad][kCount];
#pragma GCC unroll 4
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kCount; ++v) {
      sums[j][v] =
          add ? hn::LoadU(d, z + j * kKltTokens + v * kLanes) : hn::Zero(d);
    }
  }
  for (uint32_t i = 0; i < count; ++i, y += kTileTokens, weights += kQuad) {
    VF values[kCount];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kCount; ++v) {
      values[v] = hn::LoadU(d, y + v * kLanes);
    }
#pragma GCC unroll 4
    for (uint32_t j = 0; j < kQuad; ++j) {
      const VF weight = hn::Set(d, weights[j]);
#pragma GCC unroll 4
      for (uint32_t v = 0; v < kCount; ++v) {
        sums[j][v] = hn::MulAdd(weight, values[v], sums[j][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kCount; ++v) {
      hn::StoreU(sums[j][v], d, z + j * kKltTokens + v * kLanes);
    }
  }
}

HWY_INLINE void ProductOf(uint32_t vectors, const float* weights,
                          const float* y, uint32_t count, bool add, float* z) {
  switch (vectors) {
    case 1:
      return Product<1>(weights, y, count, add, z);
    case 2:
      return Product<2>(weights, y, count, add, z);
    case 3:
      return Product<HWY_MIN(3, kTile)>(weights, y, count, add, z);
    default:
      return Product<kTile>(weights, y, count, add, z);
  }
}

void Forward(const KltForwardJob& job, KltScratch* scratch) {
  const KltTransform& transform = *job.transform;
  const uint32_t padded = transform.padded();
  const uint64_t y_size = uint64_t{padded} * kKltTokens;
  constexpr uint64_t kAlign = 64;
  scratch->floats.resize(y_size + kPart * kQuad + kAlign / sizeof(float));
  float* const y = reinterpret_cast<float*>(
      (reinterpret_cast<uintptr_t>(scratch->floats.data()) + kAlign - 1) &
      ~(kAlign - 1));
  float* const weights = y + y_size;
  MakeY(job, y);
  for (uint32_t part = 0; part < padded; part += kPart) {
    const uint32_t count = HWY_MIN(kPart, padded - part);
    for (uint32_t quad = 0; quad < transform.quads(); ++quad) {
      MakeWeights(transform, quad, part / kBlock, (part + count) / kBlock,
                  weights);
      for (uint32_t first = 0; first < job.tokens; first += kTileTokens) {
        const uint32_t tokens = HWY_MIN(kTileTokens, job.tokens - first);
        ProductOf((tokens + kLanes - 1) / kLanes, weights,
                  y + uint64_t{first} * padded + part * kTileTokens, count,
                  part > 0, job.z + quad * kQuad * kKltTokens + first);
      }
    }
  }
}

// A row of 32 coefficients of up to kLanes tokens: [coefficient pair, token],
// the first of a pair in the low half.
struct RowOfTokens {
  alignas(64) uint32_t pairs[kKltRow / 2][kLanes];

  void Store(uint32_t tokens, uint64_t stride, int16_t* q) const {
    for (uint32_t t = 0; t < tokens; ++t, q += stride) {
      for (uint32_t k = 0; k < kKltRow / 2; ++k) {
        std::memcpy(q + 2 * k, &pairs[k][t], sizeof(uint32_t));
      }
    }
  }
};

// Of kLanes tokens; see KltQuantiseScalar.
uint64_t QuantiseTokens(const KltQuantiseJob& job, uint32_t first) {
  const DF d;
  const DI di;
  const DU du;
  const uint32_t tokens = HWY_MIN(kLanes, job.tokens - first);
  alignas(64) float some_steps[kLanes];
  std::fill_n(some_steps, kLanes, 1.0f);
  std::memcpy(some_steps, job.steps + first, tokens * sizeof(float));
  const VF step = hn::Load(d, some_steps);
  const VF limit = hn::Set(d, static_cast<float>(kKltMaxCoefficient));
  auto fits = hn::Eq(step, step);
  VI sum = hn::Zero(di);
  RowOfTokens row;
  for (uint32_t j = 0; j < KltPadded(job.n); j += kKltRow) {
    for (uint32_t k = 0; k < kKltRow; k += 2) {
      const float* const z = job.z + uint64_t{j + k} * kKltTokens + first;
      VI q[2];
      for (uint32_t half = 0; half < 2; ++half) {
        const VF value = hn::LoadU(d, z + half * kKltTokens);
        const VF magnitude =
            hn::Add(hn::Div(hn::Abs(value), step), hn::Set(d, 0.5f));
        fits = hn::And(fits, hn::Lt(magnitude, hn::Set(d, 0x1p15f)));
        const VI rounded = hn::ConvertTo(di, hn::Min(magnitude, limit));
        sum = hn::Add(sum, rounded);
        const VI minus = hn::ShiftRight<31>(hn::BitCast(di, value));
        q[half] = hn::Sub(hn::Xor(rounded, minus), minus);
      }
      const auto low = hn::And(hn::BitCast(du, q[0]), hn::Set(du, 0xffffu));
      const auto high = hn::ShiftLeft<16>(hn::BitCast(du, q[1]));
      hn::Store(hn::Or(low, high), du, row.pairs[k / 2]);
    }
    row.Store(tokens, job.q_stride, job.q + first * job.q_stride + j);
  }
  const auto small = hn::Lt(sum, hn::Set(di, kKltMaxSum + 1));
  const auto kept = hn::And(fits, hn::RebindMask(d, small));
  uint8_t bits[8] = {};
  hn::StoreMaskBits(d, kept, bits);
  uint64_t kept_bits;
  std::memcpy(&kept_bits, bits, sizeof kept_bits);
  return (~kept_bits & ((uint64_t{1} << tokens) - 1)) << first;
}

uint64_t Quantise(const KltQuantiseJob& job) {
  uint64_t raw = 0;
  for (uint32_t first = 0; first < job.tokens; first += kLanes) {
    raw |= QuantiseTokens(job, first);
  }
  return raw;
}

void Coarser(const int16_t* q, uint64_t count, int16_t* coarser) {
  const D16 d;
  const DU16 du;
  uint64_t j = 0;
  for (; j + kLanes16 <= count; j += kLanes16) {
    const V16 x = hn::LoadU(d, q + j);
    // x / 3 = x * 43691 / 2^17 for all of 16 bits.
    const auto above =
        hn::Add(hn::BitCast(du, hn::Abs(x)), hn::Set(du, uint16_t{1}));
    const V16 third = hn::BitCast(
        d, hn::ShiftRight<1>(hn::MulHigh(above, hn::Set(du, uint16_t{43691}))));
    const V16 minus = hn::ShiftRight<15>(x);
    hn::StoreU(hn::Sub(hn::Xor(third, minus), minus), d, coarser + j);
  }
  KltCoarserScalar(q + j, count - j, coarser + j);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Inverse);
HWY_EXPORT(Forward);
HWY_EXPORT(Quantise);
HWY_EXPORT(Coarser);

namespace {

bool HaveDotProducts() {
#if HWY_ARCH_X86
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

const bool kDotProductsAtStart = (AllowKltDotProducts(true), true);

}  // namespace

void AllowKltDotProducts(bool allow) {
  use_dot_products = allow && HaveDotProducts();
}

bool KltInverse(const KltInverseJob& job, KltScratch* scratch) {
  return HWY_DYNAMIC_DISPATCH(Inverse)(job, scratch);
}

void KltForward(const KltForwardJob& job, KltScratch* scratch) {
  HWY_DYNAMIC_DISPATCH(Forward)(job, scratch);
}

uint64_t KltQuantise(const KltQuantiseJob& job) {
  return HWY_DYNAMIC_DISPATCH(Quantise)(job);
}

void KltCoarser(const int16_t* q, uint64_t count, int16_t* coarser) {
  HWY_DYNAMIC_DISPATCH(Coarser)(q, count, coarser);
}

}  // namespace reprise
#endif  // HWY_ONCE
