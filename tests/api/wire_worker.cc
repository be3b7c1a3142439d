#include "tests/api/wire_worker.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace reprise {
namespace {

wire::Id16 WireRenditionId(const RenditionId& id) {
  return wire::Id16(flatbuffers::span<const uint8_t, 16>(id.bytes));
}

std::unique_ptr<wire::RenditionT> WireRendition(const Rendition& rendition) {
  auto out = std::make_unique<wire::RenditionT>();
  out->id = std::make_unique<wire::Id16>(WireRenditionId(rendition.id));
  out->tier = static_cast<uint8_t>(rendition.tier);
  out->basis = static_cast<uint8_t>(rendition.basis);
  out->codec = static_cast<uint16_t>(rendition.codec);
  out->profile = OptionalIdToWire(rendition.profile);
  out->other_weights = rendition.other_weights;
  out->writer = rendition.writer;
  out->raw_bytes = rendition.raw_bytes;
  for (const FrameRef& frame : rendition.frames) {
    out->frames.emplace_back(
        WireRenditionId(frame.rendition), static_cast<uint8_t>(frame.space),
        frame.stage, frame.first_layer, frame.layer_count, frame.heads.first,
        frame.heads.count, frame.heads.total, frame.bytes, frame.checksum);
  }
  return out;
}

}  // namespace

std::unique_ptr<wire::Id32> WireId(ByteView id) {
  auto out = std::make_unique<wire::Id32>();
  std::memcpy(out.get(), id.data(), sizeof(wire::Id32));
  return out;
}

WireSave MakeWireSave(const ModelSpec& spec, std::string_view session,
                      std::span<const TokenId> tokens,
                      const ToyOptions& options) {
  WireSave save;
  ModelId model = ModelIdOf(spec);
  save.model_spec = EncodeModelSpec(spec);
  save.publish.model = WireId(model.view());
  save.segments = ToySegments(model, tokens);
  for (const SegmentRecord& segment : save.segments) {
    ToyRendition toy = MakeToyRendition(spec, segment, options);
    for (size_t i = 0; i < toy.frames.size(); i++) {
      save.put_frames.table.frames.emplace_back(
          WireRenditionId(toy.rendition.id),
          static_cast<uint32_t>(toy.frames[i].size()),
          static_cast<uint8_t>(toy.rendition.tier));
      save.put_frames.body.insert(save.put_frames.body.end(),
                                  toy.frames[i].begin(), toy.frames[i].end());
    }
    auto item = std::make_unique<wire::PublishItemT>();
    item->segment = WireId(segment.Id().view());
    item->parent = WireId(segment.parent.view());
    item->first_token = segment.first_token;
    item->tokens.assign(segment.tokens.begin(), segment.tokens.end());
    item->rendition = WireRendition(toy.rendition);
    save.publish.items.push_back(std::move(item));
    save.renditions.push_back(std::move(toy));
  }
  save.commit.table.session = session;
  save.commit.body = EncodeCommit(ToyCommit(model, tokens, CommitId()));
  return save;
}

}  // namespace reprise
