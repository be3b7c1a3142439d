// A save, from finding the head to swinging it. Runs on one thread and waits
// there; codec threads encode for it.
#ifndef REPRISE_CLIENT_SAVER_H_
#define REPRISE_CLIENT_SAVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/call_context.h"
#include "client/client.h"
#include "client/client_core.h"
#include "client/device_encoder.h"
#include "client/frame_jobs.h"
#include "client/frame_uploader.h"
#include "client/kv_gather.h"
#include "client/profiles.h"
#include "client/save_messages.h"
#include "client/save_planner.h"
#include "codec/codec.h"
#include "codec/exact_profile.h"
#include "gpu/gpu_codec.h"

namespace reprise {

// What a ticket and its save share. Guarded by the context's mutex.
struct SaveState {
  explicit SaveState(std::shared_ptr<CallContext> call)
      : context(std::move(call)) {}

  const std::shared_ptr<CallContext> context;
  bool captured = false;
  std::optional<Result<SaveResult>> result;
};

// kInvalidArgument, with the limit and the number, for a request that no
// daemon would take.
Status CheckSaveRequest(std::string_view session, const SaveRequest& request);

// The tier that segments count as once they are saved so, on an exact basis.
// REQUIRES: CheckSaveRequest was OK.
Tier SavedTierOf(const SaveRequest& request);

class Saver {
 public:
  // Copies tokens, pending, basis and labels; the memory that `request.kv`
  // and `request.shards` describe is read until `state->captured`, or until
  // the end when `keeps_view`.
  // REQUIRES: CheckSaveRequest was OK.
  Saver(ClientCore* core, std::string_view session, const SaveRequest& request,
        std::shared_ptr<SaveState> state, bool keeps_view);

  // Has the devices that views are in wait for the caller. To be called by
  // Save's own caller, before Run. Errors of Devices::Encoder.
  Status TakeDevices();

  Result<SaveResult> Run();

 private:
  // One rank's share, cut into the model's layer groups.
  struct Source {
    KvSource map;
    std::vector<std::vector<PlaneSlice>> slices;  // by group
    DeviceEncoder* device = nullptr;              // null: host memory
    // On the device; null for one that is not to be had there.
    std::map<const CodecProfile*, std::shared_ptr<const GpuProfile>> profiles;
  };

  // How segments are encoded, and how the tail.
  struct Encoding {
    CodecChoice choice;
    Tier tier = Tier::kExact;
    ProfilePtr profile;
    bool other_weights = false;  // the profile's, accepted
  };

  // One try on one head. kFailedPrecondition may mean that the head is not,
  // or no longer, the session's.
  Status TryOn(const SessionHead& head);
  Status CheckHead(const SessionHead& head);
  // Puts and publishes what is not stored.
  Status StoreItems(const SessionHead& head);
  Status TakeSources();
  Status CheckSources(const PlannedSave& plan);
  Encoding& EncodingOf(uint32_t item) {
    const bool apart = tail_encoding_.has_value() && chain_.is_tail(item);
    return apart ? *tail_encoding_ : encoding_;
  }
  Status ChooseProfiles(const PlannedSave& plan);
  Status PlaceProfiles(const PlannedSave& plan);
  Status PlaceProfile(const ProfilePtr& profile, Source* source);
  Status ChooseProfile(Encoding* encoding);
  Status UseProfile(ProfilePtr profile, Encoding* encoding);
  Status FitProfile(Encoding* encoding);
  Result<Bytes> FitExact(uint64_t first_token, uint64_t end_token);
  Status AddToFit(const Source& source, size_t group, uint64_t first_token,
                  uint32_t count, ExactProfileFitter* fitter);
  TokenMask KeptOf(uint32_t item) const;
  EncodeJob JobOf(uint32_t item, const Source& source, size_t group);
  Status Upload(const std::vector<PlannedItem>& items);
  RenditionParts PartsOf(uint32_t item);
  Status Publish(const std::vector<PlannedItem>& items,
                 const std::vector<UploadedFrames>& frames,
                 std::vector<PlannedItem>* again);
  Status SwingHead(const SessionHead& head);
  Result<WireAnswer> CallPatiently(const WireRequestPtr& request);
  void SetCaptured();
  void Finish(const SessionHead& head, const SessionVersion& version);

  ClientCore* const core_;
  const std::string session_;
  const std::shared_ptr<SaveState> state_;
  const std::shared_ptr<CallContext> call_;
  const bool keeps_view_;
  const Model model_;
  const std::vector<TokenId> tokens_;
  const std::vector<TokenId> pending_;
  const std::vector<TierRange> basis_;
  const std::vector<std::pair<std::string, std::string>> labels_;
  const std::optional<SessionVersion> expected_;
  const bool synced_;
  const std::vector<uint8_t> keep_;  // empty: all
  const TokenChain chain_;
  const int64_t start_ns_;
  std::vector<KvView> views_;
  std::vector<DeviceEncoder*> devices_;  // by view

  std::vector<Source> sources_;
  uint64_t view_first_ = 0;
  uint64_t view_end_ = 0;
  Encoding encoding_;
  std::optional<Encoding> tail_encoding_;  // where it is another
  RenditionId rendition_;
  std::set<SegmentId> missing_;
  // The daemon asked for `missing_`.
  bool try_again_ = false;
  bool captured_ = false;
  SaveResult result_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_SAVER_H_
