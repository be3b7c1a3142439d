// A Client without a daemon, for what an adapter does around it: sessions are
// kept in this process, tokens can be lost on purpose, and what was asked for
// is counted. It copies element by element from the descriptions of memory,
// so a wrong stride shows.
#ifndef REPRISE_TESTS_CLIENT_LLAMA_FAKE_CLIENT_H_
#define REPRISE_TESTS_CLIENT_LLAMA_FAKE_CLIENT_H_

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "client/client.h"
#include "client/model.h"

namespace reprise {

class FakeClient : public Client {
 public:
  // What the next restores lose: tokens from here on.
  uint64_t lost_from = UINT64_MAX;
  // What the next PlanSave claims to be stored beyond the truth.
  uint64_t overstated_tokens = 0;
  uint64_t rows_saved = 0;  // tokens whose KV was read from views

  Result<Model> RegisterModel(const ModelSpec& spec) override {
    return Model(std::make_shared<RegisteredModel>(spec));
  }

  Result<SavePlan> PlanSave(std::string_view session,
                            const SaveRequest& request) override {
    const std::span<const TokenId> tokens = request.tokens;
    const Session& stored = sessions_[std::string(session)];
    if (stored.rows.size() > tokens.size() ||
        !std::equal(stored.tokens.begin(), stored.tokens.end(),
                    tokens.begin())) {
      return FailedPreconditionError("fake: other tokens");
    }
    SavePlan plan;
    plan.stored_tokens = stored.rows.size() + overstated_tokens;
    overstated_tokens = 0;
    plan.first_token =
        plan.stored_tokens == tokens.size()
            ? plan.stored_tokens
            : plan.stored_tokens / kSegmentTokens * kSegmentTokens;
    plan.better_from = plan.first_token;
    return plan;
  }

  Result<SaveResult> Save(std::string_view session,
                          const SaveRequest& request) override {
    Session& stored = sessions_[std::string(session)];
    const ModelSpec& spec = SpecOf(request.model);
    const uint64_t kept = stored.rows.size();
    const uint64_t first = kept == request.tokens.size()
                               ? kept
                               : kept / kSegmentTokens * kSegmentTokens;
    const KvView& view = request.kv;
    if (first < request.tokens.size() &&
        (view.first_token > first ||
         view.first_token + view.token_count < request.tokens.size())) {
      return FailedPreconditionError("fake: the view lacks tokens");
    }
    stored.rows.resize(request.tokens.size());
    for (uint64_t p = first; p < request.tokens.size(); ++p) {
      stored.rows[p].resize(spec.token_bytes());
      ForEachElement(view, spec, p,
                     [&](const uint8_t* at, uint64_t offset, size_t bytes) {
                       std::memcpy(stored.rows[p].data() + offset, at, bytes);
                     });
      ++rows_saved;
    }
    stored.tokens.assign(request.tokens.begin(), request.tokens.end());
    stored.pending.assign(request.pending.begin(), request.pending.end());
    SaveResult result;
    result.tokens = request.tokens.size();
    return result;
  }

  Result<RestoreResult> Restore(std::string_view session,
                                const RestoreRequest& request) override {
    const auto found = sessions_.find(std::string(session));
    if (found == sessions_.end()) return NotFoundError("fake: no session");
    const Session& stored = found->second;
    RestoreResult result;
    const uint64_t end =
        std::min<uint64_t>(request.end_token, stored.tokens.size());
    result.info.tokens.assign(stored.tokens.begin(),
                              stored.tokens.begin() + end);
    if (end == stored.tokens.size()) result.info.pending = stored.pending;
    result.info.ranges = {{0, end, Tier::kExact, Tier::kExact}};
    REPRISE_ASSIGN_OR_RETURN(const KvSink sink, request.make_sink(result.info));
    result.valid_end = std::min(end, lost_from);
    for (uint64_t p = 0; p < result.valid_end; ++p) {
      ForEachElement(sink, SpecOf(request.model), p,
                     [&](uint8_t* at, uint64_t offset, size_t bytes) {
                       std::memcpy(at, stored.rows[p].data() + offset, bytes);
                     });
    }
    return result;
  }

  Result<ModelSpec> GetModelSpec(const ModelId&) override { return No(); }
  Result<ProfileId> PutProfile(const Model&, CodecId, ByteView,
                               const PutProfileOptions&) override {
    return No();
  }
  Result<Bytes> GetProfile(const ProfileId&) override { return No(); }
  Result<MatchResultInfo> Match(const Model&, std::span<const TokenId>,
                                const MatchOptions&) override {
    return No();
  }
  Result<std::unique_ptr<SaveTicket>> SaveAsync(std::string_view,
                                                const SaveRequest&) override {
    return No();
  }
  Result<std::unique_ptr<RestoreTicket>> RestoreAsync(
      std::string_view, const RestoreRequest&) override {
    return No();
  }
  Result<SessionVersion> Fork(std::string_view, const CommitId&,
                              std::string_view) override {
    return No();
  }
  Result<SessionVersion> Rewind(std::string_view, const CommitId&) override {
    return No();
  }
  Result<SessionVersion> RewindToToken(std::string_view, uint64_t,
                                       std::span<const TokenId>) override {
    return No();
  }
  Status Remove(std::string_view) override { return No(); }
  Result<SettingsResult> SetPolicy(std::string_view,
                                   const PolicyUpdate&) override {
    return No();
  }
  Result<SettingsResult> Pin(std::string_view, int64_t) override {
    return No();
  }
  Result<SettingsResult> Unpin(std::string_view) override { return No(); }
  Result<std::vector<SessionSummary>> List(std::string_view, std::string_view,
                                           uint32_t) override {
    return No();
  }
  Result<SessionDetails> Describe(std::string_view) override { return No(); }
  Status Export(std::string_view,
                const std::function<Status(ByteView)>&) override {
    return No();
  }
  Result<SessionVersion> Import(
      std::string_view,
      const std::function<Result<size_t>(MutableByteView)>&) override {
    return No();
  }
  Result<std::string> Stats() override { return No(); }
  Result<std::string> RunFsck(
      bool, const std::function<void(uint64_t, uint64_t)>&) override {
    return No();
  }
  Result<std::string> RunCollection() override { return No(); }
  Result<std::string> Compact(const CompactCall&) override { return No(); }
  Result<std::string> Scrub(const ScrubCall&) override { return No(); }
  Traffic traffic() const override { return {}; }

 private:
  struct Session {
    std::vector<TokenId> tokens;
    std::vector<TokenId> pending;
    std::vector<Bytes> rows;  // one token's planes, each
  };

  static Status No() { return UnimplementedError("fake"); }

  template <typename Pointer, typename Function>
  static void ForEachElement(const KvMemory<Pointer>& memory,
                             const ModelSpec& spec, uint64_t position,
                             Function use) {
    const auto i = static_cast<int64_t>(position - memory.first_token);
    size_t index = 0;
    uint64_t offset = 0;
    for (const LayerSpec& layer : spec.layers) {
      for (const PlaneSpec& plane : layer.planes) {
        const KvPlane<Pointer>& at = memory.planes[index++];
        const int64_t token =
            memory.paging.empty()
                ? i * at.token_stride_bytes
                : memory.paging[0].table32[i] * at.block_stride_bytes;
        const size_t bytes = DTypeBytes(plane.dtype);
        for (uint32_t e = 0; e < plane.channels(); ++e) {
          auto* base = static_cast<std::conditional_t<
              std::is_const_v<std::remove_pointer_t<Pointer>>, const uint8_t,
              uint8_t>*>(at.base);
          use(base + token + e / plane.dim * at.head_stride_bytes +
                  e % plane.dim * at.element_stride_bytes,
              offset, bytes);
          offset += bytes;
        }
      }
    }
  }

  std::map<std::string, Session> sessions_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_LLAMA_FAKE_CLIENT_H_
