// Every limit of Reprise in one place. A limit that a message reports is
// reported with this number. Operators may lower the ones that the daemon's
// configuration names; formats rely on the rest.
#ifndef REPRISE_BASE_LIMITS_H_
#define REPRISE_BASE_LIMITS_H_

#include <cstdint>

namespace reprise {

inline constexpr uint32_t kSegmentTokens = 64;

inline constexpr uint64_t kMaxSessionTokens = 4ull << 20;
inline constexpr uint32_t kMaxPendingTokens = 64;
inline constexpr uint32_t kMaxLayers = 1024;
inline constexpr uint32_t kMaxHeads = 1024;
inline constexpr uint32_t kMaxHeadDim = 4096;
inline constexpr uint32_t kMaxPlanesPerLayer = 16;
// One token's bytes of one plane: opaque rows have a head_dim in bytes.
inline constexpr uint64_t kMaxPlaneTokenBytes = 16ull << 20;

inline constexpr uint64_t kMaxFrameBytes = 16ull << 20;
inline constexpr uint64_t kMaxProfileBytes = 256ull << 20;
inline constexpr uint64_t kMaxModelSpecBytes = 1ull << 20;
inline constexpr uint32_t kMaxFramesPerRendition = 16384;
// The fewest consecutive layers whose raw planes reach this many bytes a
// segment form a layer group.
inline constexpr uint64_t kLayerGroupBytes = 256ull << 10;
// Raw bytes of one layer, for all its planes and a full segment. A layer group
// then has less than this and kLayerGroupBytes together, which leaves a frame
// 768 KiB for its header, directory, padding and what a codec adds at worst.
inline constexpr uint64_t kMaxLayerSegmentBytes = 15ull << 20;
inline constexpr uint32_t kMaxFrameSections = 65536;

inline constexpr uint32_t kMaxSessionNameBytes = 255;
inline constexpr uint32_t kMaxLabels = 64;
inline constexpr uint32_t kMaxLabelKeyBytes = 63;
inline constexpr uint32_t kMaxLabelValueBytes = 255;
inline constexpr uint32_t kMaxTenantBytes = 63;
inline constexpr uint32_t kMaxPolicyBytes = 1024;
inline constexpr uint32_t kMaxLadderNameBytes = 31;

inline constexpr uint32_t kMaxMatchSegments = 65536;
inline constexpr uint32_t kMaxLeasesPerClient = 64;
inline constexpr int64_t kMaxLeaseMs = 10 * 60 * 1000;
inline constexpr int64_t kIdleUploadMs = 10 * 60 * 1000;
inline constexpr uint32_t kKeptCommits = 32;

// A message on the wire: metadata and body are limited apart.
inline constexpr uint64_t kMaxMessageMetaBytes = 32ull << 20;
inline constexpr uint64_t kMaxMessageBodyBytes = kMaxFrameBytes + 4096;

}  // namespace reprise

#endif  // REPRISE_BASE_LIMITS_H_
