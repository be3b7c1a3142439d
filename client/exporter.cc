#include "client/exporter.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "client/calls.h"
#include "client/profiles.h"
#include "client/session_calls.h"
#include "codec/commit.h"

namespace reprise {
namespace {

constexpr uint32_t kLeaseMs = 60'000;

Status Unexpected(uint32_t segment, uint32_t frame) {
  return DataLossError("export: frame " + std::to_string(frame) +
                       " of segment " + std::to_string(segment) +
                       " came out of order");
}

}  // namespace

Exporter::Exporter(ClientCore* core, std::string_view session,
                   ExportWriter::Write write)
    : core_(core),
      session_(session),
      call_(core->LongCall()),
      writer_(std::move(write)) {}

Status Exporter::Run() {
  WireAnswer answer;
  REPRISE_RETURN_IF_ERROR(Begin(&answer));
  REPRISE_RETURN_IF_ERROR(WriteModelAndProfiles());
  REPRISE_RETURN_IF_ERROR(WriteSegments());
  while (!answer.header.end()) {
    REPRISE_RETURN_IF_ERROR(call_->Check());
    REPRISE_ASSIGN_OR_RETURN(
        answer,
        pending_.Next(CallContext::InMs(core_->options.request_timeout_ms)));
    REPRISE_RETURN_IF_ERROR(TakeFrames(answer));
  }
  if (next_segment_ != manifest_.segments.size() ||
      (next_segment_ > 0 &&
       frames_done_ != manifest_.segments[next_segment_ - 1].frames.size())) {
    return DataLossError("export: frames of " + std::to_string(next_segment_) +
                         " segments came, the manifest has " +
                         std::to_string(manifest_.segments.size()));
  }
  REPRISE_RETURN_IF_ERROR(WriteCommit());
  pending_ = Pending();
  core_->fetches.Return(std::move(connection_));
  return Status();
}

Status Exporter::Begin(WireAnswer* answer) {
  wire::FetchT fetch;
  fetch.session = session_;
  fetch.end_token = UINT64_MAX;
  fetch.lowest_tier = static_cast<uint8_t>(Tier::kArchive);
  // One segment's frames after the other's: the order of the file.
  fetch.token_major = true;
  fetch.lease_ms = kLeaseMs;
  connection_ = core_->fetches.Take();
  pending_ = connection_->Start(MakeRequest(MessageType::kFetch, fetch), call_);
  REPRISE_ASSIGN_OR_RETURN(
      *answer,
      pending_.Next(CallContext::InMs(core_->options.request_timeout_ms)));
  REPRISE_ASSIGN_OR_RETURN(manifest_, ReadManifest(*answer));
  REPRISE_ASSIGN_OR_RETURN(spec_,
                           FetchModelSpec(core_, call_, manifest_.model));
  const std::vector<LayerGroup> groups = LayerGroupsOf(spec_);
  const uint64_t told = manifest_.segments.size();
  REPRISE_RETURN_IF_ERROR(CheckManifest(
      {.model = manifest_.model, .groups = &groups, .lowest = Tier::kArchive},
      &manifest_));
  if (manifest_.segments.size() == told) return Status();
  return DataLossError("export: the tokens of segment " +
                       std::to_string(manifest_.segments.size()) + " of " +
                       std::to_string(told) + " are lost");
}

Status Exporter::WriteModelAndProfiles() {
  REPRISE_RETURN_IF_ERROR(
      writer_.Add(ExportKind::kModel, EncodeModelSpec(spec_)));
  std::set<ProfileId> written;
  for (const ManifestSegment& segment : manifest_.segments) {
    if (segment.profile.IsZero() || !written.insert(segment.profile).second) {
      continue;
    }
    REPRISE_ASSIGN_OR_RETURN(
        const Bytes profile,
        FetchProfile(&core_->control, call_, core_->options.request_timeout_ms,
                     segment.profile));
    ByteWriter content;
    content.U16(static_cast<uint16_t>(segment.codec));
    content.Raw(profile);
    REPRISE_RETURN_IF_ERROR(writer_.Add(ExportKind::kProfile, content.bytes()));
  }
  return Status();
}

Status Exporter::WriteSegments() {
  while (next_segment_ < manifest_.segments.size()) {
    const auto frames_before =
        next_segment_ == 0
            ? 0
            : manifest_.segments[next_segment_ - 1].frames.size();
    if (frames_done_ != frames_before) return Status();
    const ManifestSegment& from = manifest_.segments[next_segment_];
    ExportSegment segment;
    segment.parent = next_segment_ == 0
                         ? RootSegmentId(manifest_.model)
                         : manifest_.segments[next_segment_ - 1].id;
    segment.first_token = static_cast<uint32_t>(from.first_token);
    segment.tier = from.tier;
    segment.basis = from.tier == Tier::kTokens ? Tier::kTokens : from.basis;
    segment.codec = from.codec;
    segment.frame_count = static_cast<uint16_t>(from.frames.size());
    segment.profile = from.profile;
    segment.tokens = from.tokens;
    segment.stage_tiers = StageTiersOf(from.frames);
    if (segment.stage_tiers.size() < 2) segment.stage_tiers.clear();
    REPRISE_RETURN_IF_ERROR(
        writer_.Add(ExportKind::kSegment, EncodeExportSegment(segment)));
    ++next_segment_;
    frames_done_ = 0;
  }
  return Status();
}

Status Exporter::TakeFrames(const WireAnswer& answer) {
  auto table = VerifiedMeta<wire::FetchFrames>(answer.meta.view());
  if (!table.ok()) return DataLossError(std::string(table.status().message()));
  ByteView left = answer.body.view();
  if ((*table)->frames() == nullptr) return Status();
  for (const wire::FrameSent* sent : *(*table)->frames()) {
    if (sent->bytes() > left.size()) {
      return DataLossError("export: a frame of " +
                           std::to_string(sent->bytes()) + " bytes, " +
                           std::to_string(left.size()) + " are there");
    }
    REPRISE_RETURN_IF_ERROR(
        TakeFrame(sent->segment(), sent->frame(), left.first(sent->bytes())));
    left = left.subspan(sent->bytes());
  }
  return Status();
}

Status Exporter::TakeFrame(uint32_t segment, uint32_t frame, ByteView bytes) {
  if (segment >= next_segment_ || segment + 1 != next_segment_ ||
      frame != frames_done_ ||
      frame >= manifest_.segments[segment].frames.size()) {
    return Unexpected(segment, frame);
  }
  const std::string context = "export: segment " + std::to_string(segment);
  if (bytes.empty()) return DataLossError(context + ": a frame is lost");
  REPRISE_RETURN_IF_ERROR(ParseFrame(bytes, &parsed_).WithContext(context));
  if (parsed_.info.segment != manifest_.segments[segment].id) {
    return DataLossError(context + ": a frame is of another segment");
  }
  REPRISE_RETURN_IF_ERROR(writer_.Add(ExportKind::kFrame, bytes));
  ++frames_done_;
  return WriteSegments();
}

Status Exporter::WriteCommit() {
  CommitRecord commit;
  commit.model = manifest_.model;
  commit.pending = manifest_.pending;
  commit.time_ms = SystemClock().WallMs();
  for (const ManifestSegment& segment : manifest_.segments) {
    commit.token_count = segment.end_token();
    if (segment.tokens.size() == kSegmentTokens) {
      commit.segments.push_back(segment.id);
    } else {
      commit.tail = segment.id;
      commit.end = CommitEnd::kTail;
    }
    if (segment.token_count != segment.tokens.size()) {
      commit.end = CommitEnd::kCut;
    }
  }
  REPRISE_RETURN_IF_ERROR(ValidateCommit(commit));
  REPRISE_RETURN_IF_ERROR(
      writer_.Add(ExportKind::kCommit, EncodeCommit(commit)));
  return writer_.Finish();
}

}  // namespace reprise
