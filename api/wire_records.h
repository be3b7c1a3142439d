// Records of the store as tables of the protocol, and back.
#ifndef REPRISE_API_WIRE_RECORDS_H_
#define REPRISE_API_WIRE_RECORDS_H_

#include <memory>
#include <span>

#include "api/metadata.h"
#include "base/status.h"
#include "codec/model_spec.h"
#include "store/catalogue.h"
#include "store/records.h"

namespace reprise {

// The frames' indexes are not on the wire: they follow from stage, layers and
// heads (FrameIndex), for which the model's layer groups are needed.
// kInvalidArgument with the field and its value: enums and ranges outside
// what they may be, counts over base/limits.h, frames of no layer group.
Result<Rendition> RenditionFromWire(const wire::Rendition& table,
                                    std::span<const LayerGroup> groups);
flatbuffers::Offset<wire::Rendition> RenditionToWire(
    const Rendition& rendition, flatbuffers::FlatBufferBuilder* builder);

RenditionId RenditionIdFromWire(const wire::Id16& id);

std::unique_ptr<wire::SessionT> SessionToWire(const SessionInfo& info);

}  // namespace reprise

#endif  // REPRISE_API_WIRE_RECORDS_H_
