// A restore, from the manifest to the last decoded frame. Runs on one thread
// and waits there; codec threads decode for it, into the sink, while frames
// arrive.
#ifndef REPRISE_CLIENT_RESTORER_H_
#define REPRISE_CLIENT_RESTORER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/call_context.h"
#include "client/client.h"
#include "client/client_core.h"
#include "client/kv_gather.h"
#include "client/manifest.h"
#include "codec/codec.h"

namespace reprise {

// What a ticket and its restore share. Guarded by the context's mutex.
struct RestoreState {
  RestoreState(std::shared_ptr<CallContext> call, size_t layer_count)
      : context(std::move(call)), layers(layer_count, Layer::kComing) {}

  enum class Layer : uint8_t { kComing, kHere, kLost };

  const std::shared_ptr<CallContext> context;
  std::vector<Layer> layers;
  std::optional<Result<RestoreResult>> result;
};

// kInvalidArgument, with the number, for a request that makes no sense.
Status CheckRestoreRequest(std::string_view session,
                           const RestoreRequest& request);

class Restorer {
 public:
  // Copies tokens and the match. REQUIRES: CheckRestoreRequest was OK.
  Restorer(ClientCore* core, std::string_view session,
           const RestoreRequest& request, std::shared_ptr<RestoreState> state);
  // Waits for jobs that run: after it nothing touches the sink.
  ~Restorer();

  Result<RestoreResult> Run();

 private:
  // A frame that is expected.
  struct Expected {
    uint32_t group = 0;
    const std::vector<PlaneSlice>* slices = nullptr;
    bool seen = false;
  };
  // A message's frames, until the last of them is decoded.
  struct Held;

  Result<WireRequestPtr> MakeFetch() const;
  // Sends the fetch and waits for the manifest.
  Result<WireAnswer> Begin(const WireRequestPtr& fetch);
  Status TakeManifest(const WireAnswer& answer);
  Status TakeSink();
  // Drops renditions whose profile is gone.
  Status LoadProfiles();
  Status PlanFrames();
  Status TakeFrames(WireAnswer answer);
  Status TakeFrame(uint32_t segment, uint32_t frame, ByteView bytes,
                   const std::shared_ptr<Held>& held);
  void Submit(uint32_t segment, uint32_t frame, ByteView bytes,
              std::shared_ptr<Held> held);
  void FrameDone(uint32_t segment, uint32_t group, bool is_lost);
  void CountMissingFrames();
  void WaitForJobs();
  uint64_t ValidEnd() const;

  ClientCore* const core_;
  const std::string session_;
  const std::shared_ptr<RestoreState> state_;
  const std::shared_ptr<CallContext> call_;
  const RestoreRequest request_;  // but for its spans: they are copied below
  const std::vector<TokenId> tokens_;
  const Bytes match_;
  const Model model_;
  const int64_t start_ns_;

  std::unique_ptr<Connection> connection_;
  Pending pending_;
  Manifest manifest_;
  std::optional<KvTarget> target_;
  RestoreResult result_;

  // Segments that can be decoded, from the first on.
  uint32_t usable_ = 0;
  std::vector<const CodecProfile*> profiles_;  // by segment
  std::vector<ProfilePtr> kept_profiles_;
  // By layer group and heads.
  std::map<std::array<uint32_t, 4>, std::vector<PlaneSlice>> slices_;
  std::vector<std::vector<Expected>> expected_;  // by segment and frame

  // Guarded by the call's mutex.
  std::vector<uint64_t> frames_left_;  // by group
  uint32_t first_lost_ = UINT32_MAX;   // segment
  size_t running_ = 0;
  int64_t decode_ns_ = 0;
  uint64_t raw_bytes_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_RESTORER_H_
