// How a kernel is written once and run in two places: on a device by nvcc,
// and on any machine by loops, where its tests are.
//
// A kernel is a function of a Block. It is made of phases:
//
//   block.Threads([&](uint32_t thread) { ... });    all threads of the block
//   block.Warps([&](const Warp& warp) { ... });     warp by warp
//
// with a barrier behind each. What lives from one phase to the next stands in
// shared memory, or is the same for all threads. Inside of Warps, code runs
// for the warp as a whole; what differs by lane is a Lanes<T> (a T on the
// device, an array of 32 on the host) and is touched only in ForEach:
//
//   Lanes<uint32_t> x;
//   warp.ForEach([&](uint32_t l) { x[l] = states[l]; });
//   const uint32_t low = warp.Ballot([&](uint32_t l) { return x[l] < kLow; });
//   warp.ForEach([&](uint32_t l) {
//     if (low >> l & 1) x[l] = x[l] << 16 | words[cursor + CountBelow(low, l)];
//   });
//   cursor += CountOnes(low);
//
// REQUIRES, of all of it: branches around ForEach, Ballot and the rest go the
// same way in all lanes of a warp, those around phases in all threads of a
// block. In one ForEach or Threads, lanes see nothing of each other: what one
// writes to memory another reads in the next phase, or behind warp.Sync().
//
// A file is compiled either by nvcc or by the host's compiler, never both into
// one object: the two versions stand in different namespaces.
#ifndef REPRISE_GPU_EXECUTOR_H_
#define REPRISE_GPU_EXECUTOR_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/check.h"

#ifdef __CUDACC__
#define REPRISE_GPU __device__
// In front of a loop over an array that is to stay in registers.
#define REPRISE_UNROLL _Pragma("unroll")
#else
#define REPRISE_GPU
#define REPRISE_UNROLL
#endif

namespace reprise {

inline constexpr uint32_t kWarpLanes = 32;

// One warp's share of an integer matrix product on 16 x 8 values, over 32 of
// the inner dimension: the fragments of mma.m16n8k32 with s8 (PTX ISA,
// "Matrix fragments for mma.m16n8k32"). Bytes are in ascending order of the
// inner dimension k, low byte first; with g = lane / 4 and i = lane mod 4:
//
//   MmaLeft.of[0]   row g,      k = 4i ..       [1]  row g + 8, the same k
//          .of[2]   row g,      k = 16 + 4i ..  [3]  row g + 8, the same k
//   MmaRight.of[0]  column g,   k = 4i ..       [1]  k = 16 + 4i ..
//   MmaSums.of[0]   row g,      column 2i       [1]  column 2i + 1
//          .of[2]   row g + 8,  column 2i       [3]  column 2i + 1
struct MmaLeft {
  uint32_t of[4];
};
struct MmaRight {
  uint32_t of[2];
};
struct MmaSums {
  int32_t of[4];
};

REPRISE_GPU inline uint32_t CountOnes(uint32_t mask) {
#ifdef __CUDACC__
  return static_cast<uint32_t>(__popc(mask));
#else
  return static_cast<uint32_t>(std::popcount(mask));
#endif
}
// Ones of `mask` in the lanes below this one.
REPRISE_GPU inline uint32_t CountBelow(uint32_t mask, uint32_t lane) {
  return CountOnes(mask & ((1u << lane) - 1));
}

// The number of the lowest one. REQUIRES: mask is not 0.
REPRISE_GPU inline uint32_t LowestOne(uint32_t mask) {
#ifdef __CUDACC__
  return static_cast<uint32_t>(__ffs(static_cast<int>(mask))) - 1;
#else
  return static_cast<uint32_t>(std::countr_zero(mask));
#endif
}

// The host would load from anywhere: tests are to fail where a device faults.
REPRISE_GPU inline void CheckAligned([[maybe_unused]] const uint8_t* p,
                                     [[maybe_unused]] uint64_t bytes) {
#ifndef __CUDACC__
  REPRISE_DCHECK(reinterpret_cast<uintptr_t>(p) % bytes == 0);
#endif
}

// A value at `p`, little endian. REQUIRES: p is a multiple of sizeof(T): a
// device faults otherwise.
template <typename T>
REPRISE_GPU inline T LoadAligned(const uint8_t* p) {
  T value;
  CheckAligned(p, sizeof(T));
  memcpy(&value, __builtin_assume_aligned(p, sizeof(T)), sizeof(T));
  return value;
}
template <typename T>
REPRISE_GPU inline void StoreAligned(uint8_t* p, T value) {
#ifdef __CUDACC__
  // Among many branches nvcc forgets what memcpy may assume, and stores bytes.
  if constexpr (std::is_arithmetic_v<T>) {
    using Number __attribute__((may_alias)) = T;
    *reinterpret_cast<Number*>(p) = value;
    return;
  }
#endif
  CheckAligned(p, sizeof(T));
  memcpy(__builtin_assume_aligned(p, sizeof(T)), &value, sizeof(T));
}

#ifdef __CUDACC__
inline namespace on_device {

// sums[i] = fma(a, b[i], sums[i]), of kCount numbers.
template <uint32_t kCount>
__device__ inline void FuseRow(float a, const float* b, float* sums) {
  REPRISE_UNROLL
  for (uint32_t i = 0; i < kCount; ++i) sums[i] = fmaf(a, b[i], sums[i]);
}

template <typename T>
class Lanes {
 public:
  __device__ T& operator[](uint32_t) { return value_; }
  __device__ const T& operator[](uint32_t) const { return value_; }

 private:
  T value_;
};

class Warp {
 public:
  __device__ uint32_t index() const { return threadIdx.x / kWarpLanes; }

  template <typename Body>
  __device__ void ForEach(Body body) const {
    body(lane());
  }
  template <typename Test>
  __device__ uint32_t Ballot(Test test) const {
    return __ballot_sync(kAll, test(lane()));
  }
  template <typename T>
  __device__ T Broadcast(const Lanes<T>& from, uint32_t source) const {
    return __shfl_sync(kAll, from[0], source);
  }
  template <typename T>
  __device__ Lanes<T> Shuffle(const Lanes<T>& from,
                              const Lanes<uint32_t>& source) const {
    Lanes<T> to;
    to[0] = __shfl_sync(kAll, from[0], source[0]);
    return to;
  }
  template <typename T>
  __device__ T Sum(const Lanes<T>& of) const {
    T sum = of[0];
    for (uint32_t step = kWarpLanes / 2; step > 0; step /= 2) {
      sum += __shfl_xor_sync(kAll, sum, step);
    }
    return sum;
  }
  template <typename T>
  __device__ Lanes<T> SumBelow(const Lanes<T>& of) const {
    T sum = of[0];
    for (uint32_t step = 1; step < kWarpLanes; step *= 2) {
      const T below = __shfl_up_sync(kAll, sum, step);
      if (lane() >= step) sum += below;
    }
    Lanes<T> sums;
    sums[0] = sum - of[0];
    return sums;
  }
  template <typename T>
  __device__ T Max(const Lanes<T>& of) const {
    T most = of[0];
    for (uint32_t step = kWarpLanes / 2; step > 0; step /= 2) {
      const T other = __shfl_xor_sync(kAll, most, step);
      most = other > most ? other : most;
    }
    return most;
  }
  __device__ void Sync() const { __syncwarp(kAll); }

  __device__ void MultiplyAdd(const Lanes<MmaLeft>& left,
                              const Lanes<MmaRight>& right,
                              Lanes<MmaSums>* sums) const {
    const MmaLeft& a = left[0];
    const MmaRight& b = right[0];
    MmaSums& c = (*sums)[0];
    // Volatile, or it might be moved to a branch that only some lanes take.
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c.of[0]), "+r"(c.of[1]), "+r"(c.of[2]), "+r"(c.of[3])
        : "r"(a.of[0]), "r"(a.of[1]), "r"(a.of[2]), "r"(a.of[3]), "r"(b.of[0]),
          "r"(b.of[1]));
  }

 private:
  static constexpr uint32_t kAll = 0xffffffff;
  __device__ static uint32_t lane() { return threadIdx.x % kWarpLanes; }
};

class Block {
 public:
  __device__ uint32_t index() const { return blockIdx.x; }
  __device__ uint32_t count() const { return gridDim.x; }
  __device__ uint32_t threads() const { return blockDim.x; }

  template <typename Body>
  __device__ void Threads(Body body) const {
    body(threadIdx.x);
    __syncthreads();
  }
  template <typename Body>
  __device__ void Warps(Body body) const {
    body(Warp());
    __syncthreads();
  }
};

}  // namespace on_device
#else
inline namespace on_host {

// Tests wait for this: where the machine has an instruction for it, no function
// of the C library is called for each number.
#if defined(__x86_64__) && defined(__GNUC__)
template <uint32_t kCount>
__attribute__((target("avx2,fma"))) void FuseRowByInstruction(float a,
                                                              const float* b,
                                                              float* sums) {
  for (uint32_t i = 0; i < kCount; ++i) {
    sums[i] = __builtin_fmaf(a, b[i], sums[i]);
  }
}
inline bool HasFuseInstruction() {
  static const bool has =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}
#endif

template <uint32_t kCount>
void FuseRow(float a, const float* b, float* sums) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (HasFuseInstruction()) return FuseRowByInstruction<kCount>(a, b, sums);
#endif
  for (uint32_t i = 0; i < kCount; ++i) sums[i] = std::fma(a, b[i], sums[i]);
}

template <typename T>
class Lanes {
 public:
  T& operator[](uint32_t lane) { return values_[lane]; }
  const T& operator[](uint32_t lane) const { return values_[lane]; }

 private:
  T values_[kWarpLanes];
};

class Warp {
 public:
  explicit Warp(uint32_t index, bool is_backwards = false)
      : index_(index), is_backwards_(is_backwards) {}

  uint32_t index() const { return index_; }  // in the block

  // body(lane), in all lanes.
  template <typename Body>
  void ForEach(Body body) const {
    if (is_backwards_) {
      for (uint32_t l = kWarpLanes; l-- > 0;) body(l);
    } else {
      for (uint32_t l = 0; l < kWarpLanes; ++l) body(l);
    }
  }
  // Bit l is test(l).
  template <typename Test>
  uint32_t Ballot(Test test) const {
    uint32_t mask = 0;
    for (uint32_t l = 0; l < kWarpLanes; ++l) {
      mask |= uint32_t{static_cast<bool>(test(l))} << l;
    }
    return mask;
  }
  // The value of lane `source`, which is the same in all lanes.
  template <typename T>
  T Broadcast(const Lanes<T>& from, uint32_t source) const {
    return from[source];
  }
  // Each lane's pick of the others' values.
  template <typename T>
  Lanes<T> Shuffle(const Lanes<T>& from, const Lanes<uint32_t>& source) const {
    Lanes<T> to;
    for (uint32_t l = 0; l < kWarpLanes; ++l) to[l] = from[source[l]];
    return to;
  }
  // Of all lanes, in all lanes. Integers only: the order is not the same here
  // and on a device.
  template <typename T>
  T Sum(const Lanes<T>& of) const {
    static_assert(static_cast<T>(0.5) == 0);
    T sum = 0;
    for (uint32_t l = 0; l < kWarpLanes; ++l) sum += of[l];
    return sum;
  }
  // Of the lanes below.
  template <typename T>
  Lanes<T> SumBelow(const Lanes<T>& of) const {
    static_assert(static_cast<T>(0.5) == 0);
    Lanes<T> sums;
    T sum = 0;
    for (uint32_t l = 0; l < kWarpLanes; ++l) {
      sums[l] = sum;
      sum += of[l];
    }
    return sums;
  }
  template <typename T>
  T Max(const Lanes<T>& of) const {
    T most = of[0];
    for (uint32_t l = 1; l < kWarpLanes; ++l) {
      most = of[l] > most ? of[l] : most;
    }
    return most;
  }
  // What lanes wrote to memory before it, the others read after it.
  void Sync() const {}

  // sums += left * right, as for MmaLeft.
  void MultiplyAdd(const Lanes<MmaLeft>& left, const Lanes<MmaRight>& right,
                   Lanes<MmaSums>* sums) const {
    // Tests wait for this: in 16 bits it becomes a few vector instructions.
    int16_t a[16][32];
    int16_t b[8][32];
    for (uint32_t l = 0; l < kWarpLanes; ++l) {
      for (uint32_t part = 0; part < 4; ++part) {
        PutBytes(left[l].of[part],
                 &a[l / 4 + part % 2 * 8][part / 2 * 16 + l % 4 * 4]);
      }
      for (uint32_t part = 0; part < 2; ++part) {
        PutBytes(right[l].of[part], &b[l / 4][part * 16 + l % 4 * 4]);
      }
    }
    for (uint32_t l = 0; l < kWarpLanes; ++l) {
      for (uint32_t part = 0; part < 4; ++part) {
        const int16_t* const row = a[l / 4 + part / 2 * 8];
        const int16_t* const column = b[l % 4 * 2 + part % 2];
        int32_t sum = 0;
        for (uint32_t k = 0; k < 32; ++k) sum += row[k] * column[k];
        (*sums)[l].of[part] += sum;
      }
    }
  }

 private:
  // Four signed bytes, lowest first.
  static void PutBytes(uint32_t bytes, int16_t* to) {
    for (uint32_t i = 0; i < 4; ++i) {
      to[i] = static_cast<int8_t>(bytes >> 8 * i);
    }
  }

  uint32_t index_;
  bool is_backwards_;
};

class Block {
 public:
  struct Place {
    uint32_t index = 0;  // of `count` blocks
    uint32_t count = 1;
    uint32_t threads = kWarpLanes;
    // Whether threads, warps and lanes have their turns from the last to the
    // first: on a device they have them in any order.
    bool is_backwards = false;
  };
  explicit Block(const Place& place) : place_(place) {}

  uint32_t index() const { return place_.index; }
  uint32_t count() const { return place_.count; }
  uint32_t threads() const { return place_.threads; }

  template <typename Body>
  void Threads(Body body) const {
    for (uint32_t i = 0; i < place_.threads; ++i) {
      body(place_.is_backwards ? place_.threads - 1 - i : i);
    }
  }
  template <typename Body>
  void Warps(Body body) const {
    const uint32_t warps = place_.threads / kWarpLanes;
    for (uint32_t i = 0; i < warps; ++i) {
      body(Warp(place_.is_backwards ? warps - 1 - i : i, place_.is_backwards));
    }
  }

 private:
  Place place_;
};

}  // namespace on_host
#endif

}  // namespace reprise

#endif  // REPRISE_GPU_EXECUTOR_H_
