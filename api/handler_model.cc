// Models and profiles: put and got, content-addressed.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "api/handler_call.h"
#include "base/hash.h"

namespace reprise {
namespace {

// Profiles travel in pieces of at most so many bytes.
constexpr uint32_t kMaxPieceBytes = 8u << 20;

// Ids that a profile may be put under; unknown codecs are stored too.
constexpr CodecId kCodecsWithProfiles[] = {CodecId::kExact, CodecId::kTsc,
                                           CodecId::kVq,    CodecId::kPq,
                                           CodecId::kKlt,   CodecId::kPredict};

void DropUpload(const HandlerCall& call) {
  ProfileUpload& upload = call.connection.upload;
  call.context.profile_upload_bytes -= upload.total_bytes;
  upload = {};
}

Status StartUpload(const HandlerCall& call, const wire::PutProfile& put) {
  REPRISE_ASSIGN_OR_RETURN(ModelId model, CheckModel(put.model()));
  DropUpload(call);
  if (put.total_bytes() == 0 || put.total_bytes() > kMaxProfileBytes) {
    return OverLimit("profile: bytes", put.total_bytes(), kMaxProfileBytes);
  }
  // Before room is taken for the rest, which would never come.
  if (call.request.body.size() > put.total_bytes()) {
    return InvalidArgumentError("profile: the piece ends at " +
                                std::to_string(call.request.body.size()) +
                                ", the profile at " +
                                std::to_string(put.total_bytes()));
  }
  uint64_t held = call.context.profile_upload_bytes += put.total_bytes();
  ProfileUpload& upload = call.connection.upload;
  upload.total_bytes = put.total_bytes();
  if (held > call.context.limits.profile_upload_bytes) {
    DropUpload(call);
    return ResourceExhaustedError(
        "profile: uploads of all connections would hold " +
        std::to_string(held) + " bytes, the limit is " +
        std::to_string(call.context.limits.profile_upload_bytes));
  }
  upload.model = model;
  upload.codec = static_cast<CodecId>(put.codec());
  return Status::Ok();
}

Status CheckPiece(const HandlerCall& call, const wire::PutProfile& put) {
  ByteView piece = call.request.body.view();
  if (piece.empty() || piece.size() > kMaxPieceBytes) {
    return OverLimit("profile: bytes of a piece", piece.size(), kMaxPieceBytes);
  }
  if (uint64_t sum = Checksum(piece); sum != put.checksum()) {
    return InvalidArgumentError("profile: checksum of the piece is " +
                                std::to_string(sum) + ", metadata says " +
                                std::to_string(put.checksum()));
  }
  return Status::Ok();
}

Status CheckPlace(const HandlerCall& call, const wire::PutProfile& put) {
  const ProfileUpload& upload = call.connection.upload;
  if (put.offset() != upload.bytes.size()) {
    return InvalidArgumentError(
        "profile: the piece is at offset " + std::to_string(put.offset()) +
        ", " + std::to_string(upload.bytes.size()) + " bytes came before");
  }
  if (put.total_bytes() != upload.total_bytes ||
      IdFromWire<ModelId>(put.model()) != upload.model ||
      static_cast<CodecId>(put.codec()) != upload.codec) {
    return InvalidArgumentError(
        "profile: the piece is of another profile than the one before: " +
        std::to_string(put.total_bytes()) + " bytes in all, not " +
        std::to_string(upload.total_bytes));
  }
  uint64_t end = uint64_t{put.offset()} + call.request.body.size();
  if (end > upload.total_bytes) {
    return InvalidArgumentError("profile: the piece ends at " +
                                std::to_string(end) + ", the profile at " +
                                std::to_string(upload.total_bytes));
  }
  return Status::Ok();
}

// The pieces of a stored profile, cut as they are sent.
class ProfileStream final : public AnswerStream {
 public:
  ProfileStream(const HandlerCall& call, PinnedBytes profile)
      : id_(call.id()),
        context_(call.context),
        cancelled_(call.cancelled),
        profile_(std::make_shared<PinnedBytes>(std::move(profile))) {}

  Answer Next() override {
    ByteView left = profile_->view().subspan(offset_);
    ByteView piece = left.first(std::min<size_t>(left.size(), kPieceBytes));
    bool end = piece.size() == left.size() || *cancelled_;
    wire::GetProfileReplyT reply;
    reply.total_bytes = static_cast<uint32_t>(profile_->size());
    reply.offset = static_cast<uint32_t>(offset_);
    reply.checksum = Checksum(piece);
    uint16_t flags = kFlagReply;
    if (end) flags |= kFlagEnd;
    if (context_.draining) flags |= kFlagDraining;
    Answer answer;
    answer.end = end;
    answer.head = PackMessage(MessageType::kGetProfile, flags, id_, reply,
                              static_cast<uint32_t>(piece.size()));
    answer.body.emplace_back(piece, profile_);
    offset_ += piece.size();
    return answer;
  }
  uint64_t next_body_bytes() const override {
    return std::min<uint64_t>(profile_->size() - offset_, kPieceBytes);
  }

 private:
  static constexpr size_t kPieceBytes = 2u << 20;

  uint64_t id_;
  HandlerContext& context_;
  CancelFlag cancelled_;
  std::shared_ptr<PinnedBytes> profile_;
  size_t offset_ = 0;
};

}  // namespace

Result<HandlerReply> HandlePutModel(const HandlerCall& call,
                                    const wire::PutModel& put) {
  if (call.request.body.size() > kMaxModelSpecBytes) {
    return OverLimit("model: bytes of the spec", call.request.body.size(),
                     kMaxModelSpecBytes);
  }
  REPRISE_ASSIGN_OR_RETURN(
      ModelId model,
      call.catalogue()->PutModel(call.tenant(), call.request.body.view()));
  wire::PutModelReplyT reply;
  reply.model = OptionalIdToWire(model);
  for (CodecId codec : kCodecsWithProfiles) {
    auto found = call.catalogue()->FindProfile(call.tenant(), model, codec);
    if (!found.ok()) {
      if (found.status().Is(StatusCode::kNotFound)) continue;
      return found.status();
    }
    auto profile = std::make_unique<wire::ProfileOfCodecT>();
    profile->codec = static_cast<uint16_t>(codec);
    profile->profile = OptionalIdToWire(found->profile);
    profile->other_weights = found->other_weights;
    reply.profiles.push_back(std::move(profile));
  }
  return call.Only(reply);
}

Result<HandlerReply> HandleGetModel(const HandlerCall& call,
                                    const wire::GetModel& get) {
  REPRISE_ASSIGN_OR_RETURN(ModelId model, CheckModel(get.model()));
  REPRISE_ASSIGN_OR_RETURN(PinnedBytes spec,
                           call.catalogue()->GetModel(call.tenant(), model));
  Answer answer;
  answer.head =
      PackMessage(call.type(), call.Flags(true), call.id(),
                  wire::GetModelReplyT(), static_cast<uint32_t>(spec.size()));
  answer.body.push_back(std::move(spec));
  return HandlerReply{std::move(answer), nullptr};
}

Result<HandlerReply> HandlePutProfile(const HandlerCall& call,
                                      const wire::PutProfile& put) {
  ProfileUpload& upload = call.connection.upload;
  if (call.now_ms() - upload.last_piece_ms > kIdleUploadMs) DropUpload(call);
  REPRISE_RETURN_IF_ERROR(CheckPiece(call, put));
  if (put.offset() == 0) REPRISE_RETURN_IF_ERROR(StartUpload(call, put));
  REPRISE_RETURN_IF_ERROR(CheckPlace(call, put));
  ByteView piece = call.request.body.view();
  upload.bytes.insert(upload.bytes.end(), piece.begin(), piece.end());
  upload.last_piece_ms = call.now_ms();
  wire::PutProfileReplyT reply;
  if (upload.bytes.size() == upload.total_bytes) {
    Result<ProfileId> profile =
        call.catalogue()->PutProfile(call.tenant(), upload.model, upload.codec,
                                     upload.bytes, put.other_weights());
    DropUpload(call);
    if (!profile.ok()) return profile.status();
    reply.profile = OptionalIdToWire(*profile);
  }
  return call.Only(reply);
}

Result<HandlerReply> HandleGetProfile(const HandlerCall& call,
                                      const wire::GetProfile& get) {
  auto id = IdFromWire<ProfileId>(get.profile());
  if (id.IsZero()) return InvalidArgumentError("the profile's id is missing");
  REPRISE_ASSIGN_OR_RETURN(PinnedBytes profile,
                           call.catalogue()->GetProfile(call.tenant(), id));
  auto stream = std::make_unique<ProfileStream>(call, std::move(profile));
  Answer first = stream->Next();
  if (first.end) return HandlerReply{std::move(first), nullptr};
  return HandlerReply{std::move(first), std::move(stream)};
}

}  // namespace reprise
