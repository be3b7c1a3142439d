// Angles of rotary positions, as kernels of `klt` want them.
#ifndef REPRISE_GPU_KLT_TURNS_H_
#define REPRISE_GPU_KLT_TURNS_H_

namespace reprise {

// The cosine and sine of an angle.
struct alignas(8) KltGpuTurn {
  float c;
  float s;
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_TURNS_H_
