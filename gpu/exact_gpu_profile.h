// A profile of `exact` on a device.
#ifndef REPRISE_GPU_EXACT_GPU_PROFILE_H_
#define REPRISE_GPU_EXACT_GPU_PROFILE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "codec/exact_profile_format.h"
#include "gpu/device.h"
#include "gpu/exact_channels.h"
#include "gpu/gpu_codec.h"

namespace reprise {

class ExactGpuProfile final : public GpuProfile {
 public:
  // Waits until everything is there.
  static Result<std::shared_ptr<const ExactGpuProfile>> Make(
      std::shared_ptr<const CodecProfile> profile,
      std::shared_ptr<Device> device);

  const CodecProfile& profile() const override { return *profile_; }

  // Of a set of tables: [tables, 1024], and [tables, 64].
  const uint32_t* decode(uint32_t set) const {
    return reinterpret_cast<const uint32_t*>(memory_.data() +
                                             sets_[set].decode);
  }
  const ExactEncodeEntry* encode(uint32_t set) const {
    return reinterpret_cast<const ExactEncodeEntry*>(memory_.data() +
                                                     sets_[set].encode);
  }
  uint32_t table_count(uint32_t set) const {
    return exact().set(set).table_count();
  }
  // Of a stream that starts at `first_channel` of a plane, in the frame that
  // starts at `first_token`.
  ExactGpuChannels Channels(const ExactPlane& plane, uint32_t first_channel,
                            uint32_t first_token) const;

 private:
  struct Set {
    uint64_t decode = 0;
    uint64_t encode = 0;
  };

  explicit ExactGpuProfile(std::shared_ptr<const CodecProfile> profile)
      : profile_(std::move(profile)) {}
  const ExactProfile& exact() const {
    return static_cast<const ExactProfile&>(*profile_);
  }

  const std::shared_ptr<const CodecProfile> profile_;
  DeviceBuffer memory_;
  // Offsets in it.
  uint64_t steps_ = 0;
  uint64_t words_ = 0;
  std::vector<Set> sets_;
};

}  // namespace reprise

#endif  // REPRISE_GPU_EXACT_GPU_PROFILE_H_
