#include "tests/client/fetch_script.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "client/calls.h"
#include "client/connection.h"

namespace reprise {
namespace {

constexpr int64_t kTimeoutMs = 10'000;

void AppendFrames(const WireAnswer& answer, std::vector<ScriptedFrame>* out) {
  auto table = VerifiedMeta<wire::FetchFrames>(answer.meta.view());
  REPRISE_CHECK(table.ok());
  ByteView left = answer.body.view();
  for (const wire::FrameSent* sent : *(*table)->frames()) {
    const ByteView bytes = left.first(sent->bytes());
    out->push_back({sent->segment(), sent->frame(),
                    Bytes(bytes.begin(), bytes.end()), std::nullopt});
    left = left.subspan(sent->bytes());
  }
}

bool SendFrame(FakeConnection& connection, const FakeRequest& request,
               const ScriptedFrame& frame, bool is_end) {
  wire::FetchFramesT frames;
  frames.frames.emplace_back(
      frame.segment, frame.frame,
      frame.claimed_bytes.value_or(static_cast<uint32_t>(frame.bytes.size())));
  const uint16_t flags = kFlagReply | (is_end ? kFlagEnd : 0);
  return connection.Answer(request, frames, flags, frame.bytes);
}

}  // namespace

void EditFrame(wire::FrameRef* frame,
               const std::function<void(FrameFields&)>& edit) {
  FrameFields fields{frame->stage(),       frame->first_layer(),
                     frame->layer_count(), frame->head_first(),
                     frame->head_count(),  frame->head_total(),
                     frame->bytes(),       frame->checksum()};
  edit(fields);
  *frame = wire::FrameRef(frame->rendition(), frame->space(), fields.stage,
                          fields.first_layer, fields.layer_count,
                          fields.head_first, fields.head_count,
                          fields.head_total, fields.bytes, fields.checksum);
}

RecordedFetch::RecordedFetch(const std::string& endpoint,
                             const std::string& session) {
  IoThread io;
  TrafficCounters traffic;
  Connection connection(&io, {.endpoint = endpoint}, &traffic);
  const auto call =
      std::make_shared<CallContext>(CallContext::InMs(kTimeoutMs));
  wire::FetchT fetch;
  fetch.session = session;
  fetch.lowest_tier = static_cast<uint8_t>(Tier::kArchive);
  Pending pending =
      connection.Start(MakeRequest(MessageType::kFetch, fetch), call);
  for (bool ended = false; !ended;) {
    const auto answer = pending.Next(INT64_MAX);
    REPRISE_CHECK(answer.ok());
    ended = answer->header.end();
    if (manifest_.empty()) {
      const ByteView meta = answer->meta.view();
      manifest_.assign(meta.begin(), meta.end());
    } else {
      AppendFrames(*answer, &frames_);
    }
  }
}

FetchScript RecordedFetch::Answer(const wire::FetchT& fetch) const {
  AlignedBytes aligned(manifest_.size());
  std::copy(manifest_.begin(), manifest_.end(), aligned.span().begin());
  auto table = VerifiedMeta<wire::FetchManifest>(aligned.view());
  REPRISE_CHECK(table.ok());
  FetchScript script;
  script.manifest.reset((*table)->UnPack());
  auto& segments = script.manifest->segments;
  const auto first = static_cast<uint32_t>(fetch.first_token / kSegmentTokens);
  const uint64_t end_token =
      fetch.end_token == 0 ? UINT64_MAX : fetch.end_token;
  const auto end = static_cast<uint32_t>(std::min<uint64_t>(
      segments.size(), (end_token - 1) / kSegmentTokens + 1));
  const uint32_t end_layer = fetch.layer_count == 0
                                 ? UINT32_MAX
                                 : fetch.first_layer + fetch.layer_count;
  for (const ScriptedFrame& frame : frames_) {
    if (frame.segment < first || frame.segment >= end) continue;
    const uint32_t layer =
        segments[frame.segment]->rendition->frames[frame.frame].first_layer();
    if (layer < fetch.first_layer || layer >= end_layer) continue;
    script.frames.push_back(frame);
    script.frames.back().segment -= first;
  }
  segments.erase(segments.begin() + end, segments.end());
  segments.erase(segments.begin(), segments.begin() + first);
  return script;
}

ScriptedDaemon::ScriptedDaemon(const ModelSpec& spec, Tell tell, Gate gate)
    : model_(ModelIdOf(spec)),
      tell_(std::move(tell)),
      gate_(std::move(gate)),
      daemon_([this](FakeConnection& connection, const FakeRequest& request) {
        return Handle(connection, request);
      }) {}

bool ScriptedDaemon::Handle(FakeConnection& connection,
                            const FakeRequest& request) {
  if (request.header.type == MessageType::kFetch) {
    return TellFetch(connection, request);
  }
  if (request.header.type == MessageType::kList) {
    return connection.Answer(request, wire::ListReplyT());
  }
  if (request.header.type == MessageType::kPutModel) {
    wire::PutModelReplyT reply;
    reply.model = std::make_unique<wire::Id32>(IdToWire(model_));
    return connection.Answer(request, reply);
  }
  wire::ErrorT error;
  error.code = static_cast<uint8_t>(StatusCode::kNotFound);
  error.message = "fake: not here";
  return connection.Answer(request, error, kFlagReply | kFlagEnd | kFlagError);
}

bool ScriptedDaemon::TellFetch(FakeConnection& connection,
                               const FakeRequest& request) {
  const int earlier = fetches_++;
  auto table = VerifiedMeta<wire::Fetch>(request.meta.view());
  if (!table.ok()) return false;
  wire::FetchT fetch;
  (*table)->UnPackTo(&fetch);
  const FetchScript script = tell_(fetch, earlier);
  int message = 0;
  const auto go_on = [&] {
    return gate_ == nullptr || gate_(earlier, message++);
  };
  const size_t count = script.frames.size() * script.repetitions;
  const uint16_t flags =
      kFlagReply | (count == 0 && script.has_end ? kFlagEnd : 0);
  if (!go_on() || !connection.Answer(request, *script.manifest, flags)) {
    return false;
  }
  for (size_t i = 0; i < count; ++i) {
    const ScriptedFrame& frame = script.frames[i % script.frames.size()];
    const bool is_end = script.has_end && i + 1 == count;
    if (!go_on() || !SendFrame(connection, request, frame, is_end)) {
      return false;
    }
  }
  for (uint32_t i = 0; i < script.late_frames; ++i) {
    if (!SendFrame(connection, request, script.frames[i], false)) return false;
  }
  return true;
}

}  // namespace reprise
