// What a profile of `klt` has for encoders only, on a device. It is made when
// it is first asked for, as on the host: solving for the inverse of a group's
// matrix takes 2 n^3 operations, and a device that only decodes needs none.
#ifndef REPRISE_GPU_KLT_GPU_ENCODING_H_
#define REPRISE_GPU_KLT_GPU_ENCODING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "codec/klt_encode_entry.h"
#include "codec/klt_profile.h"
#include "gpu/device.h"
#include "gpu/klt_prepare_kernel.h"

namespace reprise {

// Thread-safe. All pointers are the device's.
class KltGpuEncoding {
 public:
  struct Tables {
    const KltEncodeEntry* exponents = nullptr;   // [16]
    const KltEncodeEntry* magnitudes = nullptr;  // [n0][64]
    const KltEncodeEntry* refining = nullptr;    // [n1][3][4]
  };
  struct Group {
    const KltGpuPlane* planes = nullptr;      // [planes]
    const KltGpuChannel* channels = nullptr;  // [n]
    const int16_t* weights = nullptr;  // [padded / 32][padded channels][32]
    const float* scales = nullptr;     // [padded]
  };

  // Keeps a reference to the profile.
  KltGpuEncoding(const KltProfile& profile, std::shared_ptr<Device> device)
      : profile_(profile),
        device_(std::move(device)),
        groups_(profile.groups().size()) {}

  // The first call copies, and of a group solves; others wait meanwhile. 2 n^2
  // bytes a group. kResourceExhausted, kUnavailable as of a Device.
  Result<Tables> MakeTables();
  // REQUIRES: index is one of profile.groups().
  Result<Group> MakeGroup(size_t index);
  // Both, of all groups.
  Status MakeAll();

 private:
  template <typename T>
  Result<const T*> Upload(const std::vector<T>& of);

  const KltProfile& profile_;
  const std::shared_ptr<Device> device_;
  std::mutex mutex_;
  // All below: guarded by mutex_.
  std::vector<DeviceBuffer> memory_;
  std::optional<Tables> tables_;
  std::vector<std::optional<Group>> groups_;
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_GPU_ENCODING_H_
