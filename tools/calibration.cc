#include "tools/calibration.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "codec/profile_trainer.h"
#include "codec/segment.h"
#include "tools/scratch_sink.h"

namespace reprise {
namespace {

constexpr uint64_t kPieceTokens = 512;
constexpr uint32_t kPage = 1000;

// Reads sessions and feeds a trainer until it has enough.
class Reader {
 public:
  Reader(Client* client, const CalibrationRequest& request,
         ProfileTrainer* trainer, const CalibrationProgress& progress)
      : client_(client),
        request_(request),
        trainer_(trainer),
        progress_(progress),
        wanted_(request.max_tokens == 0
                    ? trainer->wanted_tokens()
                    : std::min(request.max_tokens, trainer->wanted_tokens())) {}

  Status Start(const ModelSpec& spec) {
    spec_ = spec;
    for (const LayerGroup& group : LayerGroupsOf(spec_)) {
      REPRISE_ASSIGN_OR_RETURN(slices_.emplace_back(),
                               SlicePlanes(spec_, group, HeadRange::All()));
    }
    REPRISE_ASSIGN_OR_RETURN(model_, client_->RegisterModel(spec_));
    return Status();
  }

  Status ReadAll() {
    std::string cursor;
    while (!enough()) {
      REPRISE_ASSIGN_OR_RETURN(const auto page,
                               client_->List(request_.prefix, cursor, kPage));
      if (page.empty()) break;
      for (const SessionSummary& session : page) {
        if (session.model != request_.model || enough()) continue;
        REPRISE_RETURN_IF_ERROR(ReadSession(session));
      }
      cursor = page.back().name;
    }
    return Status();
  }

  uint64_t tokens() const { return tokens_; }
  uint64_t sessions() const { return sessions_; }

 private:
  bool enough() const { return tokens_ >= wanted_; }

  Status ReadSession(const SessionSummary& session) {
    const uint64_t before = tokens_;
    for (uint64_t first = 0; first < session.tokens && !enough();
         first += kPieceTokens) {
      const Status status = ReadPiece(session, first);
      // It went away meanwhile.
      if (status.Is(StatusCode::kNotFound)) break;
      REPRISE_RETURN_IF_ERROR(status);
    }
    if (tokens_ > before) ++sessions_;
    return Status();
  }

  Status ReadPiece(const SessionSummary& session, uint64_t first) {
    ScratchSink scratch;
    KvSink sink;
    RestoreRequest restore;
    restore.model = model_;
    restore.commit = session.version.head;
    restore.first_token = first;
    restore.end_token = first + kPieceTokens;
    restore.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
      REPRISE_ASSIGN_OR_RETURN(
          sink, scratch.Make(spec_, info.first_token, info.tokens.size(),
                             request_.max_memory_bytes));
      return sink;
    };
    REPRISE_ASSIGN_OR_RETURN(const RestoreResult restored,
                             client_->Restore(session.name, restore));
    const RestoreInfo& info = restored.info;
    if (first == 0) chain_ = RootSegmentId(request_.model);
    const uint64_t end = first + info.tokens.size();
    // Also over what can't be used, so that what comes after has its names.
    for (uint64_t token = first; token + kSegmentTokens <= end;
         token += kSegmentTokens) {
      chain_ = ChildSegmentId(
          chain_,
          std::span(info.tokens).subspan(token - first, kSegmentTokens));
      const bool is_here = token + kSegmentTokens <= restored.valid_end;
      if (enough() || !is_here || !IsExact(info, token)) continue;
      if (!seen_.insert(chain_).second) continue;
      REPRISE_RETURN_IF_ERROR(AddSegment(sink, token));
    }
    return Status();
  }

  static bool IsExact(const RestoreInfo& info, uint64_t token) {
    return std::none_of(
        info.ranges.begin(), info.ranges.end(), [&](const TierRange& range) {
          return range.first_token < token + kSegmentTokens &&
                 token < range.end_token &&
                 WorseOf(range.tier, range.basis) != Tier::kExact;
        });
  }

  Status AddSegment(const KvSink& sink, uint64_t token) {
    size_t plane = 0;
    for (const std::vector<PlaneSlice>& slices : slices_) {
      std::vector<ConstPlaneRows> rows;
      for (size_t i = 0; i < slices.size(); ++i, ++plane) {
        const auto& from = sink.planes[plane];
        const auto stride = static_cast<uint64_t>(from.token_stride_bytes);
        rows.push_back({static_cast<const uint8_t*>(from.base) +
                            (token - sink.first_token) * stride,
                        stride});
      }
      REPRISE_RETURN_IF_ERROR(trainer_->Add(static_cast<uint32_t>(token),
                                            kSegmentTokens, slices, rows));
    }
    tokens_ += kSegmentTokens;
    if (progress_) progress_(CalibrationStep::kRead, tokens_, wanted_);
    return Status();
  }

  Client* const client_;
  const CalibrationRequest& request_;
  ProfileTrainer* const trainer_;
  const CalibrationProgress& progress_;
  const uint64_t wanted_;
  ModelSpec spec_;
  Model model_;
  std::vector<std::vector<PlaneSlice>> slices_;  // by layer group
  SegmentId chain_;                              // the last segment's
  std::set<SegmentId> seen_;
  uint64_t tokens_ = 0;
  uint64_t sessions_ = 0;
};

}  // namespace

Result<CalibrationResult> Calibrate(Client* client,
                                    const CalibrationRequest& request,
                                    const CalibrationProgress& progress) {
  REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec,
                           client->GetModelSpec(request.model));
  REPRISE_ASSIGN_OR_RETURN(
      const std::unique_ptr<ProfileTrainer> trainer,
      MakeProfileTrainer(request.codec.codec->id(), spec,
                         {.codec_options = request.codec.options.get(),
                          .max_memory_bytes = request.max_memory_bytes,
                          .seed = request.seed}));
  Reader reader(client, request, trainer.get(), progress);
  REPRISE_RETURN_IF_ERROR(reader.Start(spec));
  REPRISE_RETURN_IF_ERROR(reader.ReadAll());
  CalibrationResult result;
  result.sessions = reader.sessions();
  result.tokens = reader.tokens();
  if (result.tokens < trainer->min_tokens()) {
    return FailedPreconditionError(
        "calibrate: " + std::to_string(result.tokens) +
        " tokens of exact state in whole segments were found, at least " +
        std::to_string(trainer->min_tokens()) + " are wanted, and " +
        std::to_string(trainer->wanted_tokens()) + " are good");
  }
  constexpr uint64_t kParts = 1000;
  REPRISE_ASSIGN_OR_RETURN(result.profile, trainer->Fit([&](double share) {
    if (progress) {
      progress(CalibrationStep::kFit, static_cast<uint64_t>(share * kParts),
               kParts);
    }
    return true;
  }));
  return result;
}

}  // namespace reprise
