// What a fetch is about to bring: the daemon's manifest as plain structs, and
// every check that can be made before a frame is decoded.
#ifndef REPRISE_CLIENT_MANIFEST_H_
#define REPRISE_CLIENT_MANIFEST_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "client/client.h"
#include "client/connection.h"
#include "codec/frame.h"
#include "codec/model_spec.h"
#include "codec/segment.h"
#include "codec/tier.h"

namespace reprise {

struct ManifestFrame {
  uint8_t stage = 0;
  LayerGroup layers;
  HeadRange heads;
  uint32_t bytes = 0;
  uint64_t checksum = 0;  // as the daemon stores it
  // Of what its stage and those below it decode to.
  Tier tier = Tier::kExact;
  bool operator==(const ManifestFrame&) const = default;
};

struct ManifestSegment {
  SegmentId id;  // or the TailId
  uint64_t first_token = 0;
  uint32_t token_count = 0;     // part of the state
  std::vector<TokenId> tokens;  // all of the segment's; empty: lost
  // kTokens: there is no rendition to read, recompute.
  Tier tier = Tier::kTokens;
  Tier basis = Tier::kTokens;
  CodecId codec = CodecId::kRaw;
  ProfileId profile;
  // Of a staged one in the order of their stages, and of each stage in the
  // order of layers and heads.
  std::vector<ManifestFrame> frames;

  uint64_t end_token() const { return first_token + token_count; }
  uint32_t stage_count() const {
    return frames.empty() ? 0 : uint32_t{frames.back().stage} + 1;
  }
  // How many frames each stage has: those at i, i + units(), ... are of the
  // same layers and heads. REQUIRES: CheckCoverage was OK.
  uint32_t units() const {
    return static_cast<uint32_t>(frames.size()) / stage_count();
  }
  // Of what the first `stages` stages decode to; kTokens for none.
  // REQUIRES: the same; stages <= stage_count().
  Tier tier_of(uint32_t stages) const {
    if (stages == 0) return Tier::kTokens;
    return stages == stage_count() ? tier : frames[(stages - 1) * units()].tier;
  }
};

struct Manifest {
  ModelId model;
  SessionVersion version;
  uint64_t token_count = 0;
  std::vector<ManifestSegment> segments;
  std::vector<TokenId> pending;
};

// kDataLoss for metadata that is no manifest or holds values outside their
// enums and limits.
Result<Manifest> ReadManifest(const WireAnswer& answer);

// What was asked for, which the manifest must answer.
struct ManifestChecks {
  ModelId model;
  CommitId commit;  // zero: any
  // Of the whole state.
  uint64_t most_tokens = UINT64_MAX;
  const std::vector<LayerGroup>* groups = nullptr;
  uint64_t first_token = 0;  // a multiple of 64
  uint64_t end_token = UINT64_MAX;
  std::span<const TokenId> tokens;  // of the caller; may be empty
  Tier lowest = Tier::kExact;
};

// Checks that segments follow each other up to the end of what was asked for,
// that their names follow from model and tokens, and that the tokens are the
// caller's as far as both go; then
// cuts what lies outside of [first_token, end_token), what comes after a
// segment whose tokens are lost, and renditions that cannot serve (frames that
// do not cover the model once in each stage, stages whose tiers contradict
// each other, an unknown codec, a tier below `lowest`).
// kDataLoss for a manifest that contradicts itself; kFailedPrecondition, with
// the position, for other tokens than the caller's.
// REQUIRES: manifest->model == checks.model.
Status CheckManifest(const ManifestChecks& checks, Manifest* manifest);

// Makes it one that must be recomputed.
void DropRendition(ManifestSegment* segment);

// For a fetch of segments [first, end) of `whole` that goes on where another
// broke off. The first of them that is not stored as it was, so that its
// frames are others; `end` when all are. Where later stages are gone, the
// others are what they were. kDataLoss when the two manifests are not of the
// same state.
// REQUIRES: `whole` was checked; first <= end <= whole.segments.size().
Result<uint32_t> CheckContinuation(const Manifest& whole, uint32_t first,
                                   uint32_t end, const Manifest& part);

// OK when frames of `groups` and their heads cover each group exactly once in
// each of 1 to kMaxStages stages, with the same heads in all of them, and those
// of several stages stand in their order.
Status CheckCoverage(std::span<const ManifestFrame> frames,
                     std::span<const LayerGroup> groups);

// The tier of each stage; of one that has only one, its frames' space says
// nothing and the rendition says more. REQUIRES: CheckCoverage was OK.
std::vector<Tier> StageTiersOf(std::span<const ManifestFrame> frames);

// Adds a range, to the last one where it goes on with it.
void AppendRange(const TierRange& range, std::vector<TierRange>* ranges);
// The segments' tokens by tier and basis.
std::vector<TierRange> RangesOf(const Manifest& manifest);
// What the caller of Restore is told.
RestoreInfo InfoOf(const Manifest& manifest, uint64_t first_token);

}  // namespace reprise

#endif  // REPRISE_CLIENT_MANIFEST_H_
