// Profiles on their way from and to the daemon, and those that a client keeps
// parsed.
#ifndef REPRISE_CLIENT_PROFILES_H_
#define REPRISE_CLIENT_PROFILES_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "client/call_context.h"
#include "client/connection.h"
#include "codec/codec.h"

namespace reprise {

using ProfilePtr = std::shared_ptr<const CodecProfile>;

// Piece by piece, verified against its id. kNotFound; kDataLoss.
Result<Bytes> FetchProfile(Connection* connection,
                           const std::shared_ptr<CallContext>& call,
                           int64_t timeout_ms, const ProfileId& profile);
struct ProfileToUpload {
  ModelId model;
  CodecId codec = CodecId::kRaw;
  ByteView bytes;
  bool other_weights = false;  // and that is accepted
};
// Piece by piece; the answer's id must be the digest of the bytes.
Result<ProfileId> UploadProfile(Connection* connection,
                                const std::shared_ptr<CallContext>& call,
                                int64_t timeout_ms,
                                const ProfileToUpload& profile);

// Whether a profile, which fits the model or else is kFailedPrecondition with
// what differs, names other weights than the model's, or none. Profiles of
// most codecs don't name any, and are taken as they are: false.
Result<bool> CheckProfileFits(const ModelSpec& spec,
                              const CodecProfile& profile);
// kFailedPrecondition with both weights.
Status OtherWeightsError(const ModelSpec& spec, const CodecProfile& profile);

// The profiles used last. Thread-safe.
class ProfileCache {
 public:
  static constexpr size_t kMaxProfiles = 32;

  // Null when it is not here.
  ProfilePtr Find(const ProfileId& profile);
  void Add(ProfilePtr profile);

 private:
  std::mutex mutex_;
  std::deque<ProfilePtr> profiles_;  // used last in front
};

// From the cache, else from the daemon. Errors of FetchProfile and of
// Codec::ParseProfile.
Result<ProfilePtr> GetParsedProfile(ProfileCache* cache, Connection* connection,
                                    const std::shared_ptr<CallContext>& call,
                                    int64_t timeout_ms, const Codec& codec,
                                    const ProfileId& profile);

}  // namespace reprise

#endif  // REPRISE_CLIENT_PROFILES_H_
