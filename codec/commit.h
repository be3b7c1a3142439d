// A commit: one version of a conversation's state. The client fixes its bytes
// once, so that sending it again after a lost answer is harmless; its name is
// the digest of those bytes. Format: docs/format/commit.md.
#ifndef REPRISE_CODEC_COMMIT_H_
#define REPRISE_CODEC_COMMIT_H_

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/segment.h"

namespace reprise {

// How a commit ends after its whole segments.
enum class CommitEnd : uint8_t {
  kNothing = 0,  // with the last whole segment
  kTail = 1,     // with 1 to 63 tokens of the tail `tail`
  // Only the first tokens of the last thing named: of the tail where there is
  // one, else of the last segment. token_count says how many.
  kCut = 2,
};

struct CommitRecord {
  CommitId parent;  // zero: the first
  ModelId model;
  uint64_t token_count = 0;  // with KV; pending ones not counted
  std::vector<SegmentId> segments;
  CommitEnd end = CommitEnd::kNothing;
  SegmentId tail;                // TailId; zero: none
  std::vector<TokenId> pending;  // known, but their KV is not computed
  int64_t time_ms = 0;

  bool operator==(const CommitRecord&) const = default;
};

// kInvalidArgument unless token count, segments and end agree: kNothing has
// token_count == 64 * segments and no tail; kTail has a tail and 1 to 63
// tokens more than that; kCut has fewer tokens than what it names and at
// least one of the last thing named. Limits: kMaxSessionTokens,
// kMaxPendingTokens.
Status ValidateCommit(const CommitRecord& record);

// REQUIRES: ValidateCommit(record).ok().
Bytes EncodeCommit(const CommitRecord& record);
// kDataLoss for bytes that are not exactly one valid commit.
Result<CommitRecord> DecodeCommit(ByteView bytes);
// SHA-256 of the bytes.
CommitId CommitIdOf(ByteView bytes);

}  // namespace reprise

#endif  // REPRISE_CODEC_COMMIT_H_
