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
// Piece by piece; the answer's id must be the digest of `bytes`.
Result<ProfileId> UploadProfile(Connection* connection,
                                const std::shared_ptr<CallContext>& call,
                                int64_t timeout_ms, const ModelId& model,
                                CodecId codec, ByteView bytes);

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
