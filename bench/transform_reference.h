// The products of `klt` as dense f32 matrices through OpenBLAS, on one core:
// what a user would write instead.
#ifndef REPRISE_BENCH_TRANSFORM_REFERENCE_H_
#define REPRISE_BENCH_TRANSFORM_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "codec/klt_transform_kernel.h"

namespace reprise::bench {

// While one of these lives, KltInverse multiplies by sgemm: q made f32, times
// the matrix in f32, then steps, scales and means as before (without the
// format's exact arithmetic). Matrices are made at first use and kept. At most
// one at a time; sets OpenBLAS to one thread for the whole process.
class DenseInverse {
 public:
  DenseInverse();
  ~DenseInverse();
  DenseInverse(const DenseInverse&) = delete;
  DenseInverse& operator=(const DenseInverse&) = delete;
};

// The transforms that `encode` runs, in their order: those of KltForward.
struct ForwardCall {
  const KltTransform* transform = nullptr;
  uint32_t tokens = 0;
};
template <class Work>
std::vector<ForwardCall> RecordForward(const Work& encode);

// The same products by sgemm, and nothing else.
class DenseForward {
 public:
  explicit DenseForward(std::vector<ForwardCall> calls);
  void Run();

 private:
  std::vector<ForwardCall> calls_;
  std::vector<float> x_;
  std::vector<float> z_;
};

// What RecordForward is made of.
void StartRecording(std::vector<ForwardCall>* calls);
void StopRecording();

template <class Work>
std::vector<ForwardCall> RecordForward(const Work& encode) {
  std::vector<ForwardCall> calls;
  StartRecording(&calls);
  encode();
  StopRecording();
  return calls;
}

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_TRANSFORM_REFERENCE_H_
