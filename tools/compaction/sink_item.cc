#include "tools/compaction/sink_item.h"

#include <algorithm>
#include <utility>

namespace reprise {

Status SinkShared::Pass(uint64_t bytes) const {
  if (!*stopped && rate->Acquire(bytes)) return Status();
  return UnavailableError("sink: stopped");
}

void SinkItem::Settle(SinkResult result, std::string reason) {
  report->result = result;
  report->reason = std::move(reason);
  report->instead = Tier::kExact;
  if (!report->reason.empty() || skips.empty()) return;
  report->reason = skips;
  report->instead = tier;
}

Status LoadFrames(const SinkShared& shared, SinkItem* item,
                  const Rendition& rendition, LoadedFrames* loaded) {
  const SinkTask& task = *item->task;
  loaded->codec = FindCodec(rendition.codec);
  if (loaded->codec == nullptr) {
    return UnimplementedError(
        "codec " + std::to_string(static_cast<unsigned>(rendition.codec)) +
        " is not built");
  }
  REPRISE_ASSIGN_OR_RETURN(
      loaded->profile,
      shared.shelf->Profile(task.domain, *loaded->codec, rendition.profile));
  REPRISE_RETURN_IF_ERROR(shared.Pass(rendition.stored_bytes()));
  shared.catalogue->GetFrames(task.domain, task.segment, rendition.frames,
                              &loaded->pins);
  loaded->bytes.clear();
  for (const Result<PinnedBytes>& frame : loaded->pins) {
    if (!frame.ok()) return frame.status();
    loaded->bytes.push_back(frame->view());
  }
  item->report->bytes_read += rendition.stored_bytes();
  loaded->frames = {&rendition, loaded->bytes, loaded->codec,
                    loaded->profile.get()};
  return Status();
}

bool IsStoreFailure(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kResourceExhausted:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

Status OfFrames(const Status& status) {
  return status.ok() ? status : DataLossError(std::string(status.message()));
}

uint64_t BytesAfter(const SinkItem& item, const Rendition* added) {
  const std::vector<RenditionId>& drops = item.plan.drops;
  std::vector<const Rendition*> left;
  if (added != nullptr) left.push_back(added);
  for (const Rendition& each : item.set.renditions) {
    if (std::ranges::find(drops, each.id) == drops.end()) left.push_back(&each);
  }
  return UniqueFrameBytes(left);
}

}  // namespace reprise
