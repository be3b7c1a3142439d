#include "store/engine.h"

#include <algorithm>

namespace reprise {
namespace {

Status CheckValueBytes(uint64_t bytes) {
  if (bytes <= kMaxPutBytes) return Status::Ok();
  return InvalidArgumentError("engine: write of " + std::to_string(bytes) +
                              " bytes, at most " +
                              std::to_string(kMaxPutBytes) + " are allowed");
}

}  // namespace

std::string_view ObjectSpaceName(ObjectSpace space) {
  switch (space) {
    case ObjectSpace::kModel:
      return "model";
    case ObjectSpace::kProfile:
      return "profile";
    case ObjectSpace::kSegment:
      return "segment";
    case ObjectSpace::kTail:
      return "tail";
    case ObjectSpace::kCommit:
      return "commit";
    case ObjectSpace::kTailFrame:
      return "tail-frame";
    case ObjectSpace::kFrameExact:
      return "frame-exact";
    case ObjectSpace::kFrameNear:
      return "frame-near";
    case ObjectSpace::kFrameCoarse:
      return "frame-coarse";
    case ObjectSpace::kFrameArchive:
      return "frame-archive";
  }
  return "unknown";
}

std::string_view HeadSpaceName(HeadSpace space) {
  switch (space) {
    case HeadSpace::kSession:
      return "session";
    case HeadSpace::kRendition:
      return "rendition";
    case HeadSpace::kLease:
      return "lease";
    case HeadSpace::kLastUse:
      return "last-use";
    case HeadSpace::kMeta:
      return "meta";
  }
  return "unknown";
}

PinnedBytes::PinnedBytes(Bytes bytes) {
  auto owner = std::make_shared<const Bytes>(std::move(bytes));
  view_ = *owner;
  owner_ = std::move(owner);
}

Status CheckKey(std::string_view key) {
  if (!key.empty() && key.size() <= kMaxKeyBytes) return Status::Ok();
  return InvalidArgumentError("engine: key is " + std::to_string(key.size()) +
                              " bytes, 1 to " + std::to_string(kMaxKeyBytes) +
                              " are allowed");
}

Status CheckObjects(std::span<const ObjectRef> objects) {
  for (const ObjectRef& object : objects) {
    REPRISE_RETURN_IF_ERROR(CheckKey(object.key));
  }
  return Status::Ok();
}

Status CheckPut(std::span<const ObjectPut> objects) {
  uint64_t total_bytes = 0;
  for (const ObjectPut& object : objects) {
    REPRISE_RETURN_IF_ERROR(CheckKey(object.key));
    total_bytes += object.value.size();
  }
  return CheckValueBytes(total_bytes);
}

Status CheckSwap(const HeadStore::Swap& swap) {
  REPRISE_RETURN_IF_ERROR(CheckKey(swap.key));
  return CheckValueBytes(swap.value.size());
}

Status CheckList(std::string_view prefix, std::string_view cursor,
                 uint32_t limit) {
  if (limit == 0) return InvalidArgumentError("engine: list with limit 0");
  const size_t longest = std::max(prefix.size(), cursor.size());
  if (longest <= kMaxKeyBytes) return Status::Ok();
  return InvalidArgumentError("engine: prefix or cursor is " +
                              std::to_string(longest) + " bytes, at most " +
                              std::to_string(kMaxKeyBytes) + " are allowed");
}

Status VersionMismatchError(HeadSpace space, HeadVersion found,
                            HeadVersion expected) {
  return FailedPreconditionError(
      std::string(HeadSpaceName(space)) + " record: version is " +
      std::to_string(found) + ", " + std::to_string(expected) + " is expected");
}

}  // namespace reprise
