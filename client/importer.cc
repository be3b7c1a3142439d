#include "client/importer.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "client/calls.h"
#include "client/manifest.h"
#include "client/profiles.h"
#include "client/save_messages.h"
#include "client/session_calls.h"
#include "codec/commit.h"

namespace reprise {
namespace {

// Frames of one request: well below what a message's body may hold.
constexpr uint64_t kBatchBytes = 4ull << 20;

}  // namespace

Importer::Importer(ClientCore* core, std::string_view session,
                   ExportReader::Read read)
    : core_(core),
      session_(session),
      call_(core->LongCall()),
      rendition_(DrawRenditionId()),
      reader_(std::move(read)) {}

Result<SessionVersion> Importer::Run() {
  REPRISE_ASSIGN_OR_RETURN(const SessionHead head,
                           LoadHead(core_, call_, session_));
  if (head.exists()) {
    return FailedPreconditionError("import: the session exists, with " +
                                   std::to_string(head.tokens) +
                                   " tokens; remove it or choose another name");
  }
  ExportRecord record;
  Bytes commit;
  while (true) {
    REPRISE_RETURN_IF_ERROR(reader_.Next(&record));
    switch (record.kind) {
      case ExportKind::kModel:
        REPRISE_RETURN_IF_ERROR(TakeModel(record.content));
        break;
      case ExportKind::kProfile:
        REPRISE_RETURN_IF_ERROR(TakeProfile(record.content));
        break;
      case ExportKind::kSegment:
        REPRISE_RETURN_IF_ERROR(TakeSegment(record.content));
        break;
      case ExportKind::kFrame:
        REPRISE_RETURN_IF_ERROR(TakeFrame(std::move(record.content)));
        break;
      case ExportKind::kCommit:
        commit = std::move(record.content);
        break;
      case ExportKind::kEnd:
        return Commit(commit);
    }
  }
}

Status Importer::TakeModel(ByteView content) {
  REPRISE_ASSIGN_OR_RETURN(spec_, DecodeModelSpec(content));
  model_ = ModelIdOf(spec_);
  groups_ = LayerGroupsOf(spec_);
  last_ = RootSegmentId(model_);
  const Bytes bytes(content.begin(), content.end());
  return Call(&core_->control,
              MakeRequest(MessageType::kPutModel, wire::PutModelT(), {bytes}),
              call_, core_->options.request_timeout_ms, Retry::kPatiently)
      .status();
}

Status Importer::TakeProfile(ByteView content) {
  ByteReader in(content);
  const auto codec_id = static_cast<CodecId>(in.U16());
  const ByteView profile = in.View(in.left());
  REPRISE_RETURN_IF_ERROR(in.Finish("import: profile"));
  const Codec* codec = FindCodec(codec_id);
  if (codec == nullptr) {
    return UnimplementedError("import: profile of codec " +
                              std::to_string(static_cast<int>(codec_id)) +
                              ", which is not built");
  }
  const auto parsed = codec->ParseProfile(profile);
  REPRISE_RETURN_IF_ERROR(parsed.status().WithContext("import"));
  // Where it comes from it was accepted, or nothing had been saved with it.
  REPRISE_ASSIGN_OR_RETURN(const bool other_weights,
                           CheckProfileFits(spec_, **parsed));
  if (other_weights) other_weights_.insert((*parsed)->id());
  return UploadProfile(&core_->control, call_,
                       core_->options.request_timeout_ms,
                       {model_, codec_id, profile, other_weights})
      .status();
}

Status Importer::TakeSegment(ByteView content) {
  REPRISE_ASSIGN_OR_RETURN(segment_, DecodeExportSegment(content));
  if (segment_.parent != last_ || segment_.first_token != tokens_ ||
      !tail_.IsZero()) {
    return DataLossError("import: segment at token " +
                         std::to_string(segment_.first_token) +
                         " does not follow the one before, which ends at " +
                         std::to_string(tokens_));
  }
  if (segment_.tier == Tier::kTokens) {
    return UnimplementedError("import: segment at token " +
                              std::to_string(segment_.first_token) +
                              " has no rendition");
  }
  if (segment_.tokens.size() == kSegmentTokens) {
    segment_id_ = ChildSegmentId(last_, segment_.tokens);
    segments_.push_back(segment_id_);
    last_ = segment_id_;
  } else {
    segment_id_ = TailId(last_, segment_.tokens);
    tail_ = segment_id_;
  }
  tokens_ += segment_.tokens.size();
  frames_.clear();
  infos_.clear();
  return Status();
}

Status Importer::TakeFrame(Bytes content) {
  REPRISE_RETURN_IF_ERROR(ParseFrame(content, &parsed_).WithContext("import"));
  const FrameInfo& info = parsed_.info;
  if (info.segment != segment_id_ || info.codec != segment_.codec ||
      info.profile != segment_.profile ||
      info.token_count != segment_.tokens.size()) {
    return DataLossError("import: a frame at token " +
                         std::to_string(info.first_token) +
                         " is not of its segment at token " +
                         std::to_string(segment_.first_token));
  }
  REPRISE_RETURN_IF_ERROR(
      CheckFrameAgainstModel(parsed_, spec_).WithContext("import"));
  infos_.push_back(info);
  frames_.push_back(std::move(content));
  return frames_.size() == segment_.frame_count ? StoreSegment() : Status();
}

Tier Importer::TierOf(const FrameInfo& info) const {
  const std::vector<Tier>& tiers = segment_.stage_tiers;
  return info.stage < tiers.size() ? tiers[info.stage] : segment_.tier;
}

Status Importer::PutFrames() {
  for (size_t first = 0; first < frames_.size();) {
    wire::PutFramesT put;
    std::vector<Bytes> body;
    uint64_t bytes = 0;
    size_t i = first;
    for (; i < frames_.size(); ++i) {
      if (!body.empty() && bytes + frames_[i].size() > kBatchBytes) break;
      bytes += frames_[i].size();
      put.frames.emplace_back(IdToWire(rendition_),
                              static_cast<uint32_t>(frames_[i].size()),
                              static_cast<uint8_t>(TierOf(infos_[i])));
      body.push_back(frames_[i]);
    }
    first = i;
    REPRISE_RETURN_IF_ERROR(
        Call(&core_->control,
             MakeRequest(MessageType::kPutFrames, put, std::move(body)), call_,
             core_->options.request_timeout_ms, Retry::kPatiently)
            .status());
  }
  return Status();
}

Status Importer::CheckFrames() const {
  std::vector<ManifestFrame> frames;
  for (size_t i = 0; i < frames_.size(); ++i) {
    frames.push_back({.stage = infos_[i].stage,
                      .layers = infos_[i].layers,
                      .heads = infos_[i].heads,
                      .bytes = static_cast<uint32_t>(frames_[i].size()),
                      .tier = TierOf(infos_[i])});
  }
  Status status = CheckCoverage(frames, groups_);
  const size_t stages = StageTiersOf(frames).size();
  if (status.ok() && stages > 1 && stages != segment_.stage_tiers.size()) {
    status = DataLossError("frames of " + std::to_string(stages) +
                           " stages, tiers of " +
                           std::to_string(segment_.stage_tiers.size()));
  }
  if (status.ok()) return status;
  return DataLossError("import: segment at token " +
                       std::to_string(segment_.first_token) + ": " +
                       std::string(status.message()));
}

Status Importer::StoreSegment() {
  REPRISE_RETURN_IF_ERROR(CheckFrames());
  REPRISE_RETURN_IF_ERROR(PutFrames());
  RenditionParts parts;
  parts.id = rendition_;
  parts.tier = segment_.tier;
  parts.codec = segment_.codec;
  parts.profile = segment_.profile;
  parts.other_weights = other_weights_.contains(segment_.profile);
  parts.writer = core_->options.writer;
  parts.token_bytes = spec_.token_bytes();
  std::vector<UploadedFrame> uploaded;
  for (size_t i = 0; i < frames_.size(); ++i) {
    parts.frames.push_back({infos_[i].layers, infos_[i].heads, infos_[i].stage,
                            TierOf(infos_[i])});
    uploaded.push_back({static_cast<uint32_t>(frames_[i].size()),
                        Checksum(ByteView(frames_[i]))});
  }
  const PublishedItem item{.id = segment_id_,
                           .parent = segment_.parent,
                           .first_token = segment_.first_token,
                           .tokens = segment_.tokens,
                           .basis = segment_.basis};
  std::vector<bool> missing;
  REPRISE_RETURN_IF_ERROR(ReadPublish(
      Call(&core_->control, MakePublish(model_, parts, {&item, 1}, uploaded),
           call_, core_->options.request_timeout_ms, Retry::kPatiently),
      1, &missing));
  if (!missing[0]) return Status();
  return UnavailableError("import: the daemon lost frames; import again");
}

Result<SessionVersion> Importer::Commit(ByteView content) {
  REPRISE_ASSIGN_OR_RETURN(const CommitRecord commit, DecodeCommit(content));
  if (commit.model != model_ || commit.segments != segments_ ||
      commit.tail != tail_ || !commit.parent.IsZero()) {
    return DataLossError("import: the commit is not of these " +
                         std::to_string(segments_.size()) + " segments");
  }
  const bool whole = commit.token_count == tokens_;
  if (commit.end == CommitEnd::kCut ? commit.token_count >= tokens_ : !whole) {
    return DataLossError("import: the commit has " +
                         std::to_string(commit.token_count) +
                         " tokens, its segments " + std::to_string(tokens_));
  }
  REPRISE_ASSIGN_OR_RETURN(
      const CommitAnswer answer,
      ReadCommit(Call(&core_->control,
                      MakeCommitRequest({.session = session_}, content), call_,
                      core_->options.request_timeout_ms, Retry::kPatiently)));
  if (answer.missing.empty()) return answer.version;
  return UnavailableError("import: the daemon lost " +
                          std::to_string(answer.missing.size()) +
                          " segments; import again");
}

}  // namespace reprise
