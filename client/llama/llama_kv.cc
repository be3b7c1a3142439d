#include "client/llama/llama_kv.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/bytes.h"
#include "client/llama/llama_state.h"

namespace reprise {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start)
      .count();
}

// Some cells of a sequence, by a name of their own, while it lives.
class ScratchSequence {
 public:
  ScratchSequence(llama_context* context, llama_seq_id from, llama_seq_id name,
                  uint64_t first_token, uint64_t end_token)
      : memory_(llama_get_memory(context)), name_(name) {
    llama_memory_seq_cp(memory_, from, name,
                        static_cast<llama_pos>(first_token),
                        static_cast<llama_pos>(end_token));
  }
  ~ScratchSequence() { llama_memory_seq_rm(memory_, name_, -1, -1); }
  ScratchSequence(const ScratchSequence&) = delete;
  ScratchSequence& operator=(const ScratchSequence&) = delete;

 private:
  llama_memory_t memory_;
  llama_seq_id name_;
};

Status CheckSequence(const LlamaSaveRequest& request) {
  if (request.cache == nullptr || request.context == nullptr ||
      request.tokens.empty()) {
    return InvalidArgumentError("llama: save of " +
                                std::to_string(request.tokens.size()) +
                                " tokens, or without cache or context");
  }
  const llama_memory_t memory = llama_get_memory(request.context);
  const llama_pos first = llama_memory_seq_pos_min(memory, request.sequence);
  const llama_pos last = llama_memory_seq_pos_max(memory, request.sequence);
  if (first != 0 || static_cast<uint64_t>(last) + 1 < request.tokens.size()) {
    return InvalidArgumentError(
        "llama: sequence " + std::to_string(request.sequence) +
        " holds positions " + std::to_string(first) + " to " +
        std::to_string(last) + ", the tokens are " +
        std::to_string(request.tokens.size()));
  }
  const llama_pos used = llama_memory_seq_pos_max(memory, request.scratch);
  if (request.cache->copies_ranges &&
      (request.scratch == request.sequence || used >= 0)) {
    return FailedPreconditionError(
        "llama: scratch sequence " + std::to_string(request.scratch) +
        " holds positions up to " + std::to_string(used) +
        ": name one that is free");
  }
  return Status::Ok();
}

// Tokens from first_token on, or all where ranges can't be copied.
Result<SequenceState> TakeTokens(const LlamaSaveRequest& request,
                                 uint64_t first_token) {
  if (!request.cache->copies_ranges) {
    return TakeSequence(request.context, request.sequence, *request.cache);
  }
  const ScratchSequence cells(request.context, request.sequence,
                              request.scratch, first_token,
                              request.tokens.size());
  return TakeSequence(request.context, request.scratch, *request.cache);
}

SaveRequest ClientRequest(const LlamaSaveRequest& request) {
  SaveRequest save;
  save.model = request.model;
  save.tokens = request.tokens;
  save.pending = request.pending;
  save.basis = request.basis;
  save.codec = request.codec;
  save.keep = request.keep;
  save.expected = request.expected;
  save.synced = request.synced;
  save.labels = request.labels;
  return save;
}

Result<LlamaSaveResult> SaveOnce(Client* client, std::string_view session,
                                 const LlamaSaveRequest& request,
                                 uint64_t first_token) {
  LlamaSaveResult result;
  result.first_token = first_token;
  const Clock::time_point start = Clock::now();
  SequenceState taken;
  SaveRequest save = ClientRequest(request);
  save.kv.first_token = first_token;
  if (first_token < request.tokens.size()) {
    REPRISE_ASSIGN_OR_RETURN(taken, TakeTokens(request, first_token));
    REPRISE_ASSIGN_OR_RETURN(save.kv, taken.View(request.cache->spec));
    result.first_token = save.kv.first_token;
  }
  result.state_bytes = taken.buffer.bytes().size();
  result.take_ms = MillisecondsSince(start);
  REPRISE_ASSIGN_OR_RETURN(result.save, client->Save(session, save));
  return result;
}

}  // namespace

Result<LlamaSaveResult> SaveSequence(Client* client, std::string_view session,
                                     const LlamaSaveRequest& request) {
  const Clock::time_point start = Clock::now();
  REPRISE_RETURN_IF_ERROR(CheckSequence(request));
  const SaveRequest wish = ClientRequest(request);
  REPRISE_ASSIGN_OR_RETURN(const SavePlan plan,
                           client->PlanSave(session, wish));
  auto result = SaveOnce(client, session, request, plan.better_from);
  if (!result.ok() && plan.better_from > 0 &&
      result.status().Is(StatusCode::kFailedPrecondition)) {
    // What was stored may be gone by now: try with all that is needed then.
    REPRISE_ASSIGN_OR_RETURN(const SavePlan again,
                             client->PlanSave(session, wish));
    if (again.better_from < plan.better_from) {
      result = SaveOnce(client, session, request, again.better_from);
    }
  }
  if (result.ok()) result->total_ms = MillisecondsSince(start);
  return result;
}

Result<LlamaRestoreResult> RestoreSequence(Client* client,
                                           std::string_view session,
                                           const LlamaRestoreRequest& request) {
  if (request.cache == nullptr || request.context == nullptr) {
    return InvalidArgumentError("llama: restore without cache or context");
  }
  const Clock::time_point start = Clock::now();
  llama_memory_seq_rm(llama_get_memory(request.context), request.sequence, -1,
                      -1);
  SequenceState incoming;
  RestoreRequest restore;
  restore.model = request.model;
  restore.commit = request.commit;
  restore.match = request.match;
  restore.tokens = request.tokens;
  restore.end_token = request.end_token;
  restore.lowest = request.lowest;
  restore.accept_dropped = request.accept_dropped;
  restore.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
    REPRISE_ASSIGN_OR_RETURN(
        incoming,
        EmptySequence(*request.cache, info.first_token, info.tokens.size()));
    return incoming.Sink(request.cache->spec);
  };
  LlamaRestoreResult result;
  REPRISE_ASSIGN_OR_RETURN(result.restore, client->Restore(session, restore));
  const Clock::time_point put = Clock::now();
  const RestoreInfo& info = result.restore.info;
  const uint64_t valid =
      std::min<uint64_t>(result.restore.valid_end, info.tokens.size());
  if (valid > 0) {
    REPRISE_RETURN_IF_ERROR(
        PutSequence(request.context, request.sequence, incoming));
    // Rows of lost tokens are zeros in cells that nothing may attend to.
    const llama_memory_t memory = llama_get_memory(request.context);
    llama_memory_seq_rm(memory, request.sequence, static_cast<llama_pos>(valid),
                        -1);
    for (const uint64_t position : result.restore.dropped) {
      const auto first = static_cast<llama_pos>(position);
      llama_memory_seq_rm(memory, request.sequence, first, first + 1);
    }
  }
  result.put_ms = MillisecondsSince(put);
  result.state_bytes = incoming.buffer.bytes().size();
  const auto end = info.tokens.begin() + static_cast<ptrdiff_t>(valid);
  result.tokens.assign(info.tokens.begin(), end);
  result.lost.assign(end, info.tokens.end());
  result.pending = info.pending;
  result.total_ms = MillisecondsSince(start);
  return result;
}

Result<SaveResult> SaveSlotFile(Client* client, std::string_view session,
                                ByteView bytes, const SlotImport& import) {
  if (import.cache == nullptr) {
    return InvalidArgumentError("slot file: import without a cache");
  }
  const LlamaCache& cache = *import.cache;
  REPRISE_ASSIGN_OR_RETURN(const SlotFile file, ParseSlotFile(bytes, {}));
  const std::string difference =
      DescribeLayoutDifference(file.state.layout, cache.layout);
  if (!difference.empty()) {
    return FailedPreconditionError("slot file: " + difference);
  }
  const uint64_t cells = file.state.cell_count;
  if (file.state.first_position != 0 || cells > file.tokens.size()) {
    return FailedPreconditionError(
        "slot file: " + std::to_string(file.tokens.size()) + " tokens, but " +
        std::to_string(cells) + " cells from position " +
        std::to_string(file.state.first_position) + " on");
  }
  const std::span<const TokenId> tokens = file.tokens;
  SaveRequest save;
  save.model = import.model;
  save.tokens = tokens.first(cells);
  save.pending = tokens.subspan(cells);
  save.codec = import.codec;
  REPRISE_ASSIGN_OR_RETURN(save.kv, ViewOver(file.state, bytes, cache.spec));
  return client->Save(session, save);
}

}  // namespace reprise
