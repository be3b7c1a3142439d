#include "store/frame_references.h"

#include <cstring>
#include <vector>

namespace reprise {
namespace {

std::string SegmentPart(std::string_view frame_key) {
  return std::string(frame_key.substr(0, kDomainKeyBytes));
}

}  // namespace

void FrameReferences::Add(std::string_view frame_key) {
  records_.try_emplace(SegmentPart(frame_key));
}

Status FrameReferences::Load() {
  std::vector<std::string_view> keys;
  for (const auto& [key, unused] : records_) keys.push_back(key);
  if (keys.empty()) return Status();
  std::vector<HeadRecord> heads;
  REPRISE_RETURN_IF_ERROR(
      engine_->GetHeads(HeadSpace::kRendition, keys, &heads));
  auto head = heads.begin();
  for (auto& [key, record] : records_) {
    const HeadRecord& read = *head++;
    if (read.version == 0) continue;
    Result<RenditionSet> set = DecodeRenditionSet(read.value.view());
    record.emplace();
    record->damaged = !set.ok();
    if (set.ok()) record->set = *std::move(set);
  }
  return Status();
}

bool FrameReferences::Names(ObjectSpace space,
                            std::string_view frame_key) const {
  const auto it = records_.find(SegmentPart(frame_key));
  if (it == records_.end() || !it->second) return false;
  if (it->second->damaged) return true;
  RenditionId rendition;
  std::memcpy(rendition.bytes.data(), frame_key.data() + kDomainKeyBytes, 16);
  const uint32_t index = __builtin_bswap32(
      LoadLe<uint32_t>(AsBytes(frame_key).data() + kDomainKeyBytes + 16));
  for (const Rendition& each : it->second->set.renditions) {
    for (const FrameRef& frame : each.frames) {
      if (frame.index == index && frame.rendition == rendition &&
          frame.space == space) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace reprise
