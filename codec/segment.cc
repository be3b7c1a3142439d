#include "codec/segment.h"

#include <string_view>

#include "base/bytes.h"
#include "base/check.h"

namespace reprise {
namespace {

constexpr std::string_view kSegmentTag = "reprise/segment/1";
constexpr std::string_view kTailTag = "reprise/tail/1";

// Token ids lie in memory as they are hashed: 32 bits, little endian.
ByteView TokenBytes(std::span<const TokenId> tokens) {
  return {reinterpret_cast<const uint8_t*>(tokens.data()), tokens.size_bytes()};
}

SegmentId HashSegment(Sha256Stream* stream, const SegmentId& parent,
                      std::span<const TokenId> tokens) {
  stream->Update(AsBytes(kSegmentTag));
  stream->Update(parent.view());
  stream->Update(TokenBytes(tokens));
  return stream->FinishAs<SegmentId>();
}

}  // namespace

SegmentId ChildSegmentId(const SegmentId& parent,
                         std::span<const TokenId> tokens) {
  REPRISE_DCHECK(tokens.size() == kSegmentTokens);
  Sha256Stream stream;
  return HashSegment(&stream, parent, tokens);
}

SegmentId RootSegmentId(const ModelId& model) {
  SegmentId root;
  root.bytes = model.bytes;
  return root;
}

SegmentId TailId(const SegmentId& parent, std::span<const TokenId> tokens) {
  REPRISE_DCHECK(!tokens.empty() && tokens.size() < kSegmentTokens);
  uint8_t count[4];
  StoreLe(count, static_cast<uint32_t>(tokens.size()));
  Sha256Stream stream;
  stream.Update(AsBytes(kTailTag));
  stream.Update(parent.view());
  stream.Update(count);
  stream.Update(TokenBytes(tokens));
  return stream.FinishAs<SegmentId>();
}

std::vector<SegmentId> SegmentIdsOf(const ModelId& model,
                                    std::span<const TokenId> tokens) {
  const size_t count = tokens.size() / kSegmentTokens;
  std::vector<SegmentId> ids;
  ids.reserve(count);
  SegmentId parent = RootSegmentId(model);
  Sha256Stream stream;
  for (size_t i = 0; i < count; ++i) {
    parent = HashSegment(&stream, parent,
                         tokens.subspan(i * kSegmentTokens, kSegmentTokens));
    ids.push_back(parent);
  }
  return ids;
}

}  // namespace reprise
