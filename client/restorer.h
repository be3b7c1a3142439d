// A restore, from the manifest to the last decoded frame. Runs on one thread
// and waits there; codec threads decode for it, into the sink, while frames
// arrive. When the connection breaks in mid-stream it is made again, and what
// did not come yet is fetched.
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
#include "client/frame_book.h"
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
  using Part = FrameBook::Part;
  // A message's frames, until the last of them is decoded.
  struct Held;

  struct FetchRange {
    uint64_t first_token = 0;
    uint64_t end_token = UINT64_MAX;
    uint32_t first_layer = 0;
    uint32_t layer_count = 0;  // 0: all
  };
  Result<WireRequestPtr> MakeFetch(const CommitId& commit,
                                   const FetchRange& range) const;
  // Of frames that are missing.
  Result<WireRequestPtr> MakeFetchOf(const Part& part) const;
  void Send(const WireRequestPtr& fetch);
  Result<WireAnswer> NextAnswer();
  // Sends the fetch and waits for the manifest.
  Result<WireAnswer> Begin(const WireRequestPtr& fetch);
  Status TakeManifest(const WireAnswer& answer);
  Status TakeSink();
  // Drops renditions whose profile is gone.
  Status LoadProfiles();
  Status PlanFrames();
  // All streams, until no frame is missing that is of use.
  Status TakeStreams(bool ended);
  // The frames of one, up to its end. Those of `part` that it did not bring
  // are lost.
  Status TakeStream(const Part& part, bool ended);
  Status Resume(const Part& part);
  // OK when the connection is to be made again, now; else why not.
  Status WaitToResume(const Status& failure);
  Status TakeFrames(WireAnswer answer);
  // `segment` counts from the first of the stream's manifest.
  Status TakeFrame(uint32_t segment, uint32_t frame, ByteView bytes,
                   const std::shared_ptr<Held>& held);
  void Submit(uint32_t segment, uint32_t frame, ByteView bytes,
              std::shared_ptr<Held> held);
  void FrameDone(uint32_t segment, uint32_t group, bool is_lost);
  void GiveUp(const Part& part);
  void WaitForJobs();
  // Up to which segment nothing is known to be lost.
  uint32_t GoodSegments();
  uint64_t ValidEnd();
  // Positions before `end` that some frame lacks.
  std::vector<uint64_t> Dropped(uint64_t end) const;

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

  // Of the segments that can be decoded, from the first on.
  FrameBook book_;
  std::vector<const CodecProfile*> profiles_;  // by segment
  std::vector<ProfilePtr> kept_profiles_;
  // By layer group and heads.
  std::map<std::array<uint32_t, 4>, std::vector<PlaneSlice>> slices_;
  std::vector<std::vector<const std::vector<PlaneSlice>*>>
      slices_of_;  // by segment and frame

  // The stream that runs: which segments its manifest has, and up to which
  // they are what the first manifest said.
  uint32_t stream_first_ = 0;
  uint32_t stream_end_ = 0;
  uint32_t stream_usable_ = 0;
  // Since a frame came: attempts to connect, and until when they go on.
  int failures_ = 0;
  uint64_t taken_at_failure_ = 0;
  int64_t give_up_ns_ = 0;

  // Guarded by the call's mutex.
  std::vector<uint64_t> frames_left_;  // by group
  std::vector<TokenMask> kept_;        // by segment, in all its frames
  uint32_t first_lost_ = UINT32_MAX;   // segment
  size_t running_ = 0;
  int64_t decode_ns_ = 0;
  uint64_t raw_bytes_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_RESTORER_H_
