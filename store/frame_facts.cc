#include "store/frame_facts.h"

namespace reprise {
namespace {

std::string CacheKey(ObjectSpace space, std::string_view key) {
  std::string out;
  out.reserve(key.size() + 1);
  out.push_back(static_cast<char>(space));
  out.append(key);
  return out;
}

Status Differ(const char* field, uint64_t stored, uint64_t given) {
  if (stored == given) return Status();
  return InvalidArgumentError(std::string("stored frame: ") + field + " is " +
                              std::to_string(stored) + ", given is " +
                              std::to_string(given));
}

}  // namespace

FrameFacts FactsOf(const FrameView& frame) {
  return {frame.info, static_cast<uint32_t>(frame.bytes.size()),
          Checksum(frame.bytes)};
}

Status CheckFrame(ByteView bytes, const ModelId& model, const ModelSpec& spec,
                  FrameView* view) {
  REPRISE_RETURN_IF_ERROR(ParseFrame(bytes, view));
  if (view->info.model != model) {
    return InvalidArgumentError("frame: model is " +
                                view->info.model.ShortHex() + ", given is " +
                                model.ShortHex());
  }
  return CheckFrameAgainstModel(*view, spec);
}

Status CompareFacts(const FrameFacts& stored, const FrameRef& ref,
                    const SegmentRecord& segment, const SegmentId& id) {
  const FrameInfo& info = stored.info;
  if (info.segment != id || info.model != segment.model) {
    return InvalidArgumentError("stored frame: it is of segment " +
                                info.segment.ShortHex() + ", given is " +
                                id.ShortHex());
  }
  REPRISE_RETURN_IF_ERROR(
      Differ("first token", info.first_token, segment.first_token));
  REPRISE_RETURN_IF_ERROR(
      Differ("token count", info.token_count, segment.tokens.size()));
  REPRISE_RETURN_IF_ERROR(Differ("stage", info.stage, ref.stage));
  REPRISE_RETURN_IF_ERROR(
      Differ("first layer", info.layers.first_layer, ref.first_layer));
  REPRISE_RETURN_IF_ERROR(
      Differ("layer count", info.layers.layer_count, ref.layer_count));
  REPRISE_RETURN_IF_ERROR(
      Differ("first head", info.heads.first, ref.heads.first));
  REPRISE_RETURN_IF_ERROR(
      Differ("head count", info.heads.count, ref.heads.count));
  REPRISE_RETURN_IF_ERROR(
      Differ("head total", info.heads.total, ref.heads.total));
  REPRISE_RETURN_IF_ERROR(Differ("size in bytes", stored.bytes, ref.bytes));
  return Differ("checksum", stored.checksum, ref.checksum);
}

void FrameFactsCache::Add(ObjectSpace space, std::string_view key,
                          const FrameFacts& facts) {
  std::string cache_key = CacheKey(space, key);
  std::lock_guard lock(mutex_);
  if (!facts_.insert_or_assign(cache_key, facts).second) return;
  order_.push_back(std::move(cache_key));
  if (order_.size() > kMaxEntries) {
    facts_.erase(order_.front());
    order_.pop_front();
  }
}

std::optional<FrameFacts> FrameFactsCache::Find(ObjectSpace space,
                                                std::string_view key) {
  std::lock_guard lock(mutex_);
  const auto it = facts_.find(CacheKey(space, key));
  if (it == facts_.end()) return {};
  return it->second;
}

}  // namespace reprise
