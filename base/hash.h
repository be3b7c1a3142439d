// The two hashes of Reprise. SHA-256 names things (ids must not collide even
// by design); XXH3-64 checks bytes (it is fast and detects accidents, not
// attacks).
#ifndef REPRISE_BASE_HASH_H_
#define REPRISE_BASE_HASH_H_

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace reprise {

// A SHA-256 digest. Ids of models, profiles, segments and commits are digests
// with a type of their own, so that they can't be swapped.
template <typename Tag>
struct DigestId {
  std::array<uint8_t, 32> bytes{};

  auto operator<=>(const DigestId&) const = default;
  bool IsZero() const { return *this == DigestId(); }
  ByteView view() const { return bytes; }
  std::string Hex() const { return ToHex(bytes); }
  // The first 12 digits: for tables and logs that people read.
  std::string ShortHex() const { return Hex().substr(0, 12); }
};

// REQUIRES: nothing; kInvalidArgument unless `hex` is 64 digits.
template <typename Id>
Result<Id> IdFromHex(std::string_view hex) {
  REPRISE_ASSIGN_OR_RETURN(Bytes bytes, FromHex(hex));
  if (bytes.size() != 32) {
    return InvalidArgumentError("id: " + std::to_string(hex.size()) +
                                " hexadecimal digits, 64 are wanted");
  }
  Id id;
  std::memcpy(id.bytes.data(), bytes.data(), 32);
  return id;
}

template <typename Id>
Id ReadId(ByteReader* reader) {
  Id id;
  reader->Copy(id.bytes);
  return id;
}

using Sha256Digest = DigestId<struct Sha256Tag>;
using ModelId = DigestId<struct ModelTag>;
using ProfileId = DigestId<struct ProfileTag>;
using SegmentId = DigestId<struct SegmentTag>;
using CommitId = DigestId<struct CommitTag>;

// A digest is uniform already: its first bytes serve as a hash.
struct DigestHash {
  template <typename Tag>
  size_t operator()(const DigestId<Tag>& id) const {
    return LoadLe<size_t>(id.bytes.data());
  }
};

// SHA-256 of one buffer.
Sha256Digest Sha256(ByteView bytes);

// SHA-256 of a stream of buffers (OpenSSL's EVP). Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Update(ByteView bytes);
  // The digest of everything so far; the stream starts anew.
  Sha256Digest Finish();

  // Finish(), as an id of type Id.
  template <typename Id>
  Id FinishAs() {
    Id id;
    id.bytes = Finish().bytes;
    return id;
  }

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// XXH3, 64 bits, seed 0. The checksum of every frame, record and message.
uint64_t Checksum(ByteView bytes);
// The checksum of two buffers as if they were one.
uint64_t Checksum(ByteView first, ByteView second);

}  // namespace reprise

#endif  // REPRISE_BASE_HASH_H_
