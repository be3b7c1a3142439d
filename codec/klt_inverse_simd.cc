// The decoder's half of klt_transform_simd.h. One source for all instruction
// sets (Highway); machines that cannot fuse a product and a sum run the scalar
// loop.
//
// q become *terms*: a quad of coefficients and four bytes for each of a few
// tokens to multiply them by, only where one is not zero. What does not fit
// into bytes goes into a second list, which counts 128 times. One block of 32
// channels at a time goes over all tokens, so that what they need of its part
// of the matrix is in the nearest cache; sums stay in registers over all terms.
// The 128 that the limbs are raised by is taken off where the sums start.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "codec/klt_transform_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_inverse_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

#ifndef REPRISE_CODEC_KLT_INVERSE_TERMS
#define REPRISE_CODEC_KLT_INVERSE_TERMS
namespace reprise {
namespace {

constexpr uint32_t kBlock = KltTransform::kBlock;
constexpr uint32_t kQuad = KltTransform::kQuad;
constexpr uint32_t kQuadBytes = KltTransform::kQuadBytes;
// Bytes of terms are at most this: two of them times 255 fit into 16 bits.
constexpr int32_t kDigit = 64;
constexpr int32_t kHighShift = 7;
constexpr int32_t kHigh = 1 << kHighShift;

// Where the quad lies in a block's limb, and four bytes for each token, the
// first one lowest.
template <uint32_t kTokens>
struct Term {
  uint32_t offset;
  uint32_t digits[kTokens];
};

// Ascending in quad, so that those with a second limb come first.
template <uint32_t kTokens>
struct TermList {
  const Term<kTokens>* terms = nullptr;
  uint32_t count = 0;
  uint32_t lead = 0;  // of them with a second limb
};

// What one token has of its own.
struct TokenTerms {
  uint32_t token = 0;
  TermList<1> high;
  int32_t sum = 0;       // of q
  int32_t lead_sum = 0;  // of those with a second limb
};

// Tokens that share their terms.
template <uint32_t kTokens>
struct GroupTerms {
  TermList<kTokens> low;
  TokenTerms tokens[kTokens];
};

// Of one token. A quad has at most one term, and one more for each 8192 of its
// largest |q|, whose sum is below 2^17.
constexpr uint32_t MaxHighTerms(uint32_t quads) { return quads + 32; }

// True where AVX-512 has dot products of bytes and may use them.
bool use_dot_products = false;

uint32_t PutByte(int32_t value, uint32_t index) {
  return (static_cast<uint32_t>(value) & 0xff) << (8 * index);
}

// One token's rows on their way to terms.
class TokenReader {
 public:
  // Room at `high`: MaxHighTerms.
  TokenReader() = default;
  TokenReader(const int16_t* q, uint32_t used, Term<1>* high)
      : q_(q), used_(used), high_(high) {}

  const int16_t* q() const { return q_; }
  uint32_t used() const { return used_; }
  int32_t sum() const { return sum_; }
  Term<1>* high() const { return high_; }
  uint32_t high_count() const { return high_count_; }
  bool keeps_limits() const { return magnitudes_ <= kKltMaxSum; }

  void AddSums(int32_t sum, int32_t magnitudes) {
    sum_ += sum;
    magnitudes_ += magnitudes;
  }

  // The row of 32 that starts at `first`, some of which are not small: their
  // low digits, with the rest in terms of `high`. False: a limit is broken.
  bool ReadLargeRow(uint32_t first, int8_t* digits) {
    const int16_t* const q = q_ + first;
    for (uint32_t j = 0; j < kKltRow; ++j) {
      if (q[j] < -kKltMaxCoefficient) return false;
      AddSums(q[j], std::abs(int32_t{q[j]}));
    }
    if (!keeps_limits()) return false;
    for (uint32_t k = 0; k < kKltRow; k += kQuad) {
      AddQuad(q + k, (first + k) / kQuad * kQuadBytes, digits + k);
    }
    return true;
  }

 private:
  // q = 128 a + b with b from -64 to 63; a, at most 256, in parts.
  void AddQuad(const int16_t* q, uint32_t offset, int8_t* digits) {
    int32_t a[kQuad];
    int32_t most = 0;
    for (uint32_t j = 0; j < kQuad; ++j) {
      const int32_t b = ((q[j] + kDigit) & (kHigh - 1)) - kDigit;
      digits[j] = static_cast<int8_t>(b);
      a[j] = (q[j] - b) / kHigh;
      most = std::max(most, std::abs(a[j]));
    }
    for (; most > 0; most -= kDigit) {
      uint32_t bytes = 0;
      for (uint32_t j = 0; j < kQuad; ++j) {
        const int32_t part = std::clamp(a[j], -kDigit, kDigit);
        bytes |= PutByte(part, j);
        a[j] -= part;
      }
      high_[high_count_++] = {offset, {bytes}};
    }
  }

  const int16_t* q_ = nullptr;
  uint32_t used_ = 0;
  Term<1>* high_ = nullptr;
  uint32_t high_count_ = 0;
  int32_t sum_ = 0;
  int32_t magnitudes_ = 0;
};

// Rows' digits that lie in `digits` become terms from `low` on; returns how
// many.
template <uint32_t kTokens>
uint32_t PutTerms(const int8_t (&digits)[kTokens][kKltRow], uint32_t offset,
                  Term<kTokens>* low) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < kKltRow; k += kQuad, offset += kQuadBytes) {
    uint32_t any = 0;
    low[count].offset = offset;
    for (uint32_t m = 0; m < kTokens; ++m) {
      std::memcpy(&low[count].digits[m], digits[m] + k, kQuad);
      any |= low[count].digits[m];
    }
    count += any != 0;
  }
  return count;
}

}  // namespace
}  // namespace reprise
#endif  // REPRISE_CODEC_KLT_INVERSE_TERMS

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || !HWY_NATIVE_FMA

bool Inverse(const KltInverseJob& job, KltScratch* scratch) {
  return KltInverseScalar(job, scratch);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
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

// Adds for each lane of 32 bits the sum of four products of bytes; the first
// factors are 0 to 255, the others -64 to 64.
struct PlainDot {
  // Tokens that share their terms. Sums cost more than loads here, so that what
  // is zero for one token and not for another would cost more than is saved.
  static constexpr uint32_t kTokens = 1;

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
  // As many instructions as loads. Four tokens have too few zeros in common.
  static constexpr uint32_t kTokens = 2;

  static HWY_INLINE VI Add(VI sum, V8 u, VI digits) {
    __asm__("vpdpbusd %2, %1, %0"
            : "+v"(sum.raw)
            : "v"(u.raw), "v"(digits.raw));
    return sum;
  }
};
#endif

// [token, vector of the block's channels]
template <uint32_t kTokens>
using Sums = VI[kTokens][kVectors];

template <class Dot, uint32_t kTokens>
HWY_INLINE void AddTerm(const uint8_t* limb, const Term<kTokens>& term,
                        Sums<kTokens>& sums) {
  const D8 d8;
  const DI di;
  V8 u[kVectors];
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) {
    u[v] = hn::Load(d8, limb + term.offset + v * kLanes * kQuad);
  }
#pragma GCC unroll 8
  for (uint32_t m = 0; m < kTokens; ++m) {
    const VI digits = hn::Set(di, static_cast<int32_t>(term.digits[m]));
#pragma GCC unroll 8
    for (uint32_t v = 0; v < kVectors; ++v) {
      sums[m][v] = Dot::Add(sums[m][v], u[v], digits);
    }
  }
}

// Adds what the terms say to one limb's sums.
template <class Dot, uint32_t kTokens>
HWY_INLINE void AddTerms(const uint8_t* limb, const Term<kTokens>* terms,
                         uint32_t count, Sums<kTokens>& sums) {
  uint32_t k = 0;
  if constexpr (kTokens * kVectors < 4) {
    // Two chains of additions for each sum, to hide how long one takes.
    Sums<kTokens> others;
#pragma GCC unroll 8
    for (auto& token : others) {
#pragma GCC unroll 8
      for (VI& v : token) v = hn::Zero(DI());
    }
    for (; k + 2 <= count; k += 2) {
      AddTerm<Dot>(limb, terms[k], sums);
      AddTerm<Dot>(limb, terms[k + 1], others);
    }
#pragma GCC unroll 8
    for (uint32_t m = 0; m < kTokens; ++m) {
#pragma GCC unroll 8
      for (uint32_t v = 0; v < kVectors; ++v) {
        sums[m][v] = hn::Add(sums[m][v], others[m][v]);
      }
    }
  }
  for (; k < count; ++k) AddTerm<Dot>(limb, terms[k], sums);
}

// What one token's sums start from: the terms of `high`, and off with the 128.
template <class Dot>
HWY_INLINE void StartSums(const uint8_t* limb, const Term<1>* high,
                          uint32_t high_count, int32_t sum,
                          VI (&sums)[kVectors]) {
  const VI start = hn::Set(DI(), -KltTransform::kBias * sum);
  if (high_count == 0) {
#pragma GCC unroll 8
    for (VI& v : sums) v = start;
    return;
  }
  Sums<1> of;
#pragma GCC unroll 8
  for (VI& v : of[0]) v = hn::Zero(DI());
  AddTerms<Dot, 1>(limb, high, high_count, of);
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) {
    sums[v] = hn::Add(hn::ShiftLeft<kHighShift>(of[0][v]), start);
  }
}

template <class Dot>
HWY_INLINE void InverseTokens(const KltInverseJob& job,
                              const GroupTerms<Dot::kTokens>& group,
                              uint32_t block) {
  constexpr uint32_t kTokens = Dot::kTokens;
  const DF d;
  const KltTransform& transform = *job.transform;
  const uint8_t* const hi_limb = transform.hi(block);
  const uint8_t* const lo_limb = transform.lo(block);
  Sums<kTokens> hi, lo;
#pragma GCC unroll 8
  for (uint32_t m = 0; m < kTokens; ++m) {
    const TokenTerms& token = group.tokens[m];
    const TermList<1>& high = token.high;
    StartSums<Dot>(hi_limb, high.terms, high.count, token.sum, hi[m]);
    StartSums<Dot>(lo_limb, high.terms, high.lead, token.lead_sum, lo[m]);
  }
  AddTerms<Dot, kTokens>(lo_limb, group.low.terms, group.low.lead, lo);
  AddTerms<Dot, kTokens>(hi_limb, group.low.terms, group.low.count, hi);
  const float* const dec = transform.dec() + block * kBlock;
  const float* const mu = transform.mu() + block * kBlock;
#pragma GCC unroll 8
  for (uint32_t m = 0; m < kTokens; ++m) {
    const uint32_t t = group.tokens[m].token;
    float* const x = job.x + t * job.x_stride + block * kBlock;
    const VF step = hn::Set(d, job.steps[t]);
#pragma GCC unroll 8
    for (uint32_t v = 0; v < kVectors; ++v) {
      const VF scale = hn::Mul(hn::LoadU(d, dec + v * kLanes), step);
      const VF low = hn::MulAdd(hn::ConvertTo(d, lo[m][v]),
                                hn::Mul(scale, hn::Set(d, 0x1p-8f)),
                                hn::LoadU(d, mu + v * kLanes));
      hn::StoreU(hn::MulAdd(hn::ConvertTo(d, hi[m][v]), scale, low), d,
                 x + v * kLanes);
    }
  }
}

// Rows of one token with the sums of small ones left in lanes.
class RowReader {
 public:
  // An implicit one would be compiled for no instruction set in particular.
  HWY_INLINE RowReader() {}

  void Start(const TokenReader& token) {
    token_ = token;
    sums_ = magnitudes_ = hn::Zero(D16());
  }

  // Digits of the row that starts at `first`. False: a limit is broken.
  HWY_INLINE bool Read(uint32_t first, int8_t* digits) {
    const D16 d;
    const hn::Rebind<int8_t, D16> d8;
    if (first >= token_.used()) {
      std::memset(digits, 0, kKltRow);
      return true;
    }
    V16 q[kKltRow / kLanes16];
    V16 above = hn::Zero(d);
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kKltRow / kLanes16; ++v) {
      q[v] = hn::LoadU(d, token_.q() + first + v * kLanes16);
      above = hn::Or(above, hn::Add(q[v], hn::Set(d, kDigit)));
    }
    const V16 beyond = hn::And(above, hn::Set(d, static_cast<int16_t>(-kHigh)));
    if (!hn::AllTrue(d, hn::Eq(beyond, hn::Zero(d)))) {
      return token_.ReadLargeRow(first, digits);
    }
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kKltRow / kLanes16; ++v) {
      sums_ = hn::Add(sums_, q[v]);
      magnitudes_ = hn::Add(magnitudes_, hn::Abs(q[v]));
      hn::StoreU(hn::DemoteTo(d8, q[v]), d8, digits + v * kLanes16);
    }
    return true;
  }

  // Brings the token's sums up to date: at least every 32 rows, or lanes could
  // overflow.
  const TokenReader& Sum() {
    const D16 d;
    alignas(64) int16_t lanes[2 * kLanes16];
    hn::Store(sums_, d, lanes);
    hn::Store(magnitudes_, d, lanes + kLanes16);
    for (uint32_t l = 0; l < kLanes16; ++l) {
      token_.AddSums(lanes[l], lanes[kLanes16 + l]);
    }
    sums_ = magnitudes_ = hn::Zero(d);
    return token_;
  }

 private:
  TokenReader token_;
  V16 sums_;
  V16 magnitudes_;
};

// Terms of the tokens that `group` names; those that they share from `low` on,
// their own from `high` on. Moves both behind. False: a limit is broken.
template <uint32_t kTokens>
bool MakeTerms(const KltInverseJob& job, Term<kTokens>*& low, Term<1>*& high,
               GroupTerms<kTokens>* group) {
  RowReader rows[kTokens];
  uint32_t end = 0;
  const uint32_t lead = job.transform->lead_quads() * kQuad;
  const uint32_t most_high = MaxHighTerms(job.transform->quads());
  for (uint32_t m = 0; m < kTokens; ++m) {
    const uint32_t t = group->tokens[m].token;
    rows[m].Start(
        {job.q + t * job.q_stride, job.used[t], high + m * most_high});
    end = HWY_MAX(end, job.used[t]);
  }
  uint32_t count = 0;
  alignas(64) int8_t digits[kTokens][kKltRow];
  const auto end_lead = [&] {
    group->low.lead = count;
    for (uint32_t m = 0; m < kTokens; ++m) {
      const TokenReader& token = rows[m].Sum();
      group->tokens[m].lead_sum = token.sum();
      group->tokens[m].high.lead = token.high_count();
    }
  };
  for (uint32_t j = 0; j < end; j += kKltRow) {
    if (j % 1024 == 0) {
      for (RowReader& row : rows) row.Sum();
    }
    if (j == lead) end_lead();
    for (uint32_t m = 0; m < kTokens; ++m) {
      if (!rows[m].Read(j, digits[m])) return false;
    }
    count += PutTerms<kTokens>(digits, j / kQuad * kQuadBytes, low + count);
  }
  if (end <= lead) end_lead();
  group->low.terms = low;
  group->low.count = count;
  low += count;
  for (uint32_t m = 0; m < kTokens; ++m) {
    const TokenReader& token = rows[m].Sum();
    if (!token.keeps_limits()) return false;
    group->tokens[m].sum = token.sum();
    group->tokens[m].high.count = token.high_count();
    group->tokens[m].high.terms = high;
    if (token.high_count() > 0) {
      std::memmove(high, token.high(), token.high_count() * sizeof(Term<1>));
      high += token.high_count();
    }
  }
  return true;
}

// Tokens of like steps have their zeros in like places: those are put together.
void OrderTokens(const KltInverseJob& job, uint32_t (&order)[kKltTokens]) {
  for (uint32_t t = 0; t < job.tokens; ++t) order[t] = t;
  std::sort(order, order + job.tokens, [&](uint32_t a, uint32_t b) {
    return job.steps[a] < job.steps[b];
  });
}

template <class Dot>
bool InverseBy(const KltInverseJob& job, KltScratch* scratch) {
  constexpr uint32_t kTokens = Dot::kTokens;
  const uint32_t quads = job.transform->quads();
  const uint32_t count = (job.tokens + kTokens - 1) / kTokens;
  // PutTerms writes one term more than it counts.
  const uint64_t low_bytes =
      (uint64_t{count} * quads + 1) * sizeof(Term<kTokens>);
  const uint64_t high_bytes =
      uint64_t{count} * kTokens * MaxHighTerms(quads) * sizeof(Term<1>);
  scratch->bytes.resize(low_bytes + high_bytes);
  auto* low = reinterpret_cast<Term<kTokens>*>(scratch->bytes.data());
  auto* high = reinterpret_cast<Term<1>*>(scratch->bytes.data() + low_bytes);
  uint32_t order[kKltTokens];
  OrderTokens(job, order);
  GroupTerms<kTokens> groups[(kKltTokens + kTokens - 1) / kTokens];
  for (uint32_t g = 0; g < count; ++g) {
    for (uint32_t m = 0; m < kTokens; ++m) {
      // The last group may hold the last token twice.
      groups[g].tokens[m].token =
          order[HWY_MIN(g * kTokens + m, job.tokens - 1)];
    }
    if (!MakeTerms(job, low, high, &groups[g])) return false;
  }
  for (uint32_t b = 0; b < job.transform->blocks(); ++b) {
    for (uint32_t g = 0; g < count; ++g) InverseTokens<Dot>(job, groups[g], b);
  }
  return true;
}

bool Inverse(const KltInverseJob& job, KltScratch* scratch) {
#if HWY_TARGET == HWY_AVX3
  if (use_dot_products) return InverseBy<OneDot>(job, scratch);
#endif
  return InverseBy<PlainDot>(job, scratch);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Inverse);

namespace {

bool (*replacement)(const KltInverseJob&, KltScratch*) = nullptr;

bool HaveDotProducts() {
#if HWY_ARCH_X86
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

[[maybe_unused]] const bool kDotProductsAtStart =
    (AllowKltDotProducts(true), true);

}  // namespace

void AllowKltDotProducts(bool allow) {
  use_dot_products = allow && HaveDotProducts();
}

void ReplaceKltInverse(bool (*inverse)(const KltInverseJob&, KltScratch*)) {
  replacement = inverse;
}

bool KltInverse(const KltInverseJob& job, KltScratch* scratch) {
  if (replacement != nullptr) return replacement(job, scratch);
  return HWY_DYNAMIC_DISPATCH(Inverse)(job, scratch);
}

}  // namespace reprise
#endif  // HWY_ONCE
