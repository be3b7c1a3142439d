// The devices that a client decodes and encodes on, each opened with the first
// sink or view in its memory and kept, with its buffers and the profiles on it.
#ifndef REPRISE_CLIENT_DEVICES_H_
#define REPRISE_CLIENT_DEVICES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "base/status.h"
#include "client/buffer_pool.h"
#include "client/client.h"
#include "client/device_decoder.h"
#include "client/device_encoder.h"
#include "codec/codec.h"
#include "gpu/gpu_codec.h"

namespace reprise {

// Thread-safe.
class Devices {
 public:
  explicit Devices(const ClientOptions& options) : options_(options) {}

  // kUnimplemented in builds without CUDA, kUnavailable without such a device
  // or when it fails, kResourceExhausted when its memory does not do.
  Result<DeviceDecoder*> Decoder(int32_t ordinal);
  Result<DeviceEncoder*> Encoder(int32_t ordinal);

  // Where the last restore into a device had its bodies received: a guess where
  // the next one wants them. Null: there was none, or the last one was into the
  // host's memory.
  std::shared_ptr<BodyMemory> LikelyBodies();
  void NoteBodies(std::shared_ptr<BodyMemory> bodies);

  // A profile on the device, for positions below `max_tokens`. Errors of
  // GpuCodec::Upload; kUnimplemented when the codec has no kernels.
  Result<std::shared_ptr<const GpuProfile>> Upload(
      const std::shared_ptr<Device>& device,
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens);

 private:
  struct Uploaded {
    std::shared_ptr<const GpuProfile> profile;
    uint64_t max_tokens = 0;
  };

  // Under the mutex.
  Result<std::shared_ptr<Device>> Open(int32_t ordinal);

  const ClientOptions& options_;
  std::mutex mutex_;
  std::map<int32_t, std::shared_ptr<Device>> devices_;
  std::map<int32_t, std::unique_ptr<DeviceDecoder>> decoders_;
  std::map<int32_t, std::unique_ptr<DeviceEncoder>> encoders_;
  std::map<std::pair<Device*, ProfileId>, Uploaded> profiles_;
  std::mutex bodies_mutex_;  // nobody waits for a device under it
  std::shared_ptr<BodyMemory> likely_bodies_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICES_H_
