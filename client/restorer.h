// A restore, from the manifest to the last decoded frame. Runs on one thread
// and waits there; codec threads decode for it, into the sink, while frames
// arrive. When the connection breaks in mid-stream it is made again, and what
// did not come yet is fetched.
//
// Frames of several stages wait for each other: those of one unit that are in
// different messages are copied, as far as there is memory for that. What
// could not be kept is fetched again, in an order in which nothing waits long.
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
#include "client/frame_decoder.h"
#include "client/kv_gather.h"
#include "client/manifest.h"
#include "codec/codec.h"

namespace reprise {

// kInvalidArgument, with the number, for a request that makes no sense.
Status CheckRestoreRequest(std::string_view session,
                           const RestoreRequest& request);

class Restorer {
 public:
  // Copies tokens and the match. REQUIRES: CheckRestoreRequest was OK.
  Restorer(ClientCore* core, std::string_view session,
           const RestoreRequest& request, std::shared_ptr<RestoreState> state);

  Result<RestoreResult> Run();

 private:
  using Part = FrameBook::Part;
  // A message's frames, until the last of them is decoded.
  struct Held;

  // A frame that waits for those of other stages, in memory of its own.
  struct Kept;
  using UnitKey = std::pair<uint32_t, uint32_t>;  // segment, unit
  // What is here of a unit of several stages that is not decided yet.
  struct OpenUnit {
    std::array<FrameBytes, kMaxStages> frames;
    uint32_t submitted = 0;  // stages given to the decoder
  };

  struct FetchRange {
    uint64_t first_token = 0;
    uint64_t end_token = UINT64_MAX;
    uint32_t first_layer = 0;
    uint32_t layer_count = 0;  // 0: all
    uint32_t first_stage = 0;
    uint32_t stage_count = 0;  // 0: all
    bool token_major = false;
    bool stage_major = false;
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
  // The sink's memory is a device's: has its decoder take over.
  Status UseDevice(const KvDevice& device);
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
  // What to ask for next, if anything is missing that is of use.
  std::optional<Part> NextMissing();
  // Whether a restore that can't go on may end with what is in place.
  bool MayEnd(const Status& failure);
  Status TakeFrames(WireAnswer answer);
  // `segment` counts from the first of the stream's manifest.
  Status TakeFrame(uint32_t segment, uint32_t frame, ByteView bytes,
                   const std::shared_ptr<Held>& held);
  // A frame is here, or never will be (null).
  void Settle(uint32_t segment, uint32_t frame, FrameBytes bytes);
  // Has decoded what can be, and will not wait for what cannot come.
  void Advance(UnitKey key);
  // Frames of this message that must wait get memory of their own.
  void KeepWaiting(const std::shared_ptr<Held>& held);
  void Keep(UnitKey key, uint32_t stage);
  // It must come again.
  void Forget(UnitKey key, uint32_t stage);
  void GiveUp(const Part& part);
  uint64_t ValidEnd();

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
  DeviceDecoder* device_ = nullptr;     // null: the sink is in host memory
  std::shared_ptr<BodyMemory> bodies_;  // where frames are received; or null
  RestoreResult result_;

  // Of the segments that can be decoded, from the first on.
  FrameBook book_;
  std::vector<const CodecProfile*> profiles_;  // by segment
  std::vector<ProfilePtr> kept_profiles_;
  std::map<UnitKey, OpenUnit> open_;
  std::optional<UnitKey> overdraft_;  // what is kept beyond the budget
  uint64_t decided_ = 0;              // units of several stages
  std::vector<UnitKey> touched_;      // by the message that is being taken
  bool has_forgotten_ = false;        // frames that could not be kept

  // The stream that runs: which segments its manifest has, and up to which
  // they are what the first manifest said.
  uint32_t stream_first_ = 0;
  uint32_t stream_end_ = 0;
  uint32_t stream_usable_ = 0;
  bool stream_is_stage_major_;
  bool stream_is_compact_ = false;  // the stages of a unit come together
  bool comes_in_vain_ = false;
  // Since a frame came: attempts to connect, and until when they go on.
  int failures_ = 0;
  uint64_t progress_at_failure_ = 0;
  int64_t give_up_ns_ = 0;

  // Last: its jobs use the rest.
  std::optional<FrameDecoder> decoder_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_RESTORER_H_
