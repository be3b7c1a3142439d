// Names of conversation state. Under causal attention the KV of a token
// depends only on the model and on the tokens up to it, so a segment is named
// by its parent and its tokens: equal prefixes have equal names, whoever
// computed them. Format: docs/format/keys.md.
#ifndef REPRISE_CODEC_SEGMENT_H_
#define REPRISE_CODEC_SEGMENT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/limits.h"

namespace reprise {

using TokenId = int32_t;

// SHA-256("reprise/segment/1", parent, 64 token ids as u32 little endian).
// The parent of the first segment is the ModelId's bytes.
// REQUIRES: tokens.size() == kSegmentTokens.
SegmentId ChildSegmentId(const SegmentId& parent,
                         std::span<const TokenId> tokens);

// The parent of a model's first segments.
SegmentId RootSegmentId(const ModelId& model);

// SHA-256("reprise/tail/1", parent, token count as u32, token ids). Names the
// last 1 to 63 tokens of a session where a frame wants a SegmentId.
// REQUIRES: 1 <= tokens.size() < kSegmentTokens.
SegmentId TailId(const SegmentId& parent, std::span<const TokenId> tokens);

// The ids of all whole segments of a token sequence, in order:
// tokens.size() / 64 of them.
std::vector<SegmentId> SegmentIdsOf(const ModelId& model,
                                    std::span<const TokenId> tokens);

}  // namespace reprise

#endif  // REPRISE_CODEC_SEGMENT_H_
