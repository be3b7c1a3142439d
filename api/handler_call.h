// Inside the handler: what one request is handled with, and the functions
// that do it, one a message type. Each reads verified metadata, whose values
// may still be anything, and checks them before it touches the store.
#ifndef REPRISE_API_HANDLER_CALL_H_
#define REPRISE_API_HANDLER_CALL_H_

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "api/handler.h"

namespace reprise {

// How many leases a connection holds: at most kMaxLeasesPerClient that have
// not run out. Thread-safe.
class LeaseBook {
 public:
  // Room for one more, until Fill or Release. kResourceExhausted.
  Status Reserve(int64_t now_ms);
  void Unreserve();
  // Turns a reservation into a lease.
  void Fill(uint64_t lease, int64_t expires_ms);
  void Renew(uint64_t lease, int64_t expires_ms);
  void Drop(uint64_t lease);

 private:
  std::mutex mutex_;
  uint32_t reserved_ = 0;
  std::map<uint64_t, int64_t> expires_ms_;
};

// A profile that arrives in pieces. Used by one request at a time, for its
// pieces are handled in order.
struct ProfileUpload {
  ModelId model;
  CodecId codec = CodecId::kRaw;
  uint32_t total_bytes = 0;
  Bytes bytes;
  int64_t last_piece_ms = 0;
};

struct ConnectionState {
  // Written by Hello, before any other request is admitted.
  bool greeted = false;
  DomainId tenant;

  LeaseBook leases;
  ProfileUpload upload;
};

struct HandlerCall {
  HandlerContext& context;
  ConnectionState& connection;
  const HandlerRequest& request;
  CancelFlag cancelled;

  Catalogue* catalogue() const { return context.catalogue; }
  const DomainId& tenant() const { return connection.tenant; }
  uint64_t id() const { return request.header.request; }
  MessageType type() const { return request.header.type; }
  int64_t now_ms() const { return context.clock->MonotonicMs(); }

  uint16_t Flags(bool end) const;
  // An answer of this request from the object form of its table.
  template <typename Native>
  Answer Answered(const Native& native, bool end = true) const {
    Answer answer;
    answer.head = PackMessage(type(), Flags(end), id(), native);
    answer.end = end;
    return answer;
  }
  // The only answer.
  template <typename Native>
  HandlerReply Only(const Native& native) const {
    return {Answered(native), nullptr};
  }
  Answer Failed(const Status& status) const;
};

// --- Checks of values, used by several. kInvalidArgument. ---

// 1 to kMaxSessionNameBytes bytes.
Result<std::string_view> CheckName(std::string_view what,
                                   const flatbuffers::String* name);
Result<Tier> CheckTier(std::string_view what, uint8_t value);
// The same, where an absent one stands for exact.
Result<Tier> CheckHighestTier(std::string_view what, uint8_t value);
// At most kMaxLeaseMs.
Status CheckLeaseMs(uint32_t lease_ms);
// A missing or empty id.
Result<ModelId> CheckModel(const wire::Id32* model);
// Concatenated ids of 32 bytes, at most kMaxMatchSegments of them.
Result<std::vector<SegmentId>> CheckIds(
    std::string_view what, const flatbuffers::Vector<uint8_t>* bytes);
// "WHAT is A, the limit is B".
Status OverLimit(std::string_view what, uint64_t is, uint64_t limit);

// --- One function a type. ---

Result<HandlerReply> HandleHello(const HandlerCall& call,
                                 const wire::Hello& hello);
Result<HandlerReply> HandlePutModel(const HandlerCall& call,
                                    const wire::PutModel& put);
Result<HandlerReply> HandleGetModel(const HandlerCall& call,
                                    const wire::GetModel& get);
Result<HandlerReply> HandlePutProfile(const HandlerCall& call,
                                      const wire::PutProfile& put);
Result<HandlerReply> HandleGetProfile(const HandlerCall& call,
                                      const wire::GetProfile& get);
Result<HandlerReply> HandleMatch(const HandlerCall& call,
                                 const wire::Match& match);
Result<HandlerReply> HandlePutFrames(const HandlerCall& call,
                                     const wire::PutFrames& put);
Result<HandlerReply> HandlePublish(const HandlerCall& call,
                                   const wire::Publish& publish);
Result<HandlerReply> HandleCommit(const HandlerCall& call,
                                  const wire::Commit& commit);
Result<HandlerReply> HandleFetch(const HandlerCall& call,
                                 const wire::Fetch& fetch);
Result<HandlerReply> HandleFork(const HandlerCall& call,
                                const wire::Fork& fork);
Result<HandlerReply> HandleRewind(const HandlerCall& call,
                                  const wire::Rewind& rewind);
Result<HandlerReply> HandleRemove(const HandlerCall& call,
                                  const wire::Remove& remove);
Result<HandlerReply> HandleDescribe(const HandlerCall& call,
                                    const wire::Describe& describe);
Result<HandlerReply> HandleList(const HandlerCall& call,
                                const wire::List& list);
Result<HandlerReply> HandleLease(const HandlerCall& call,
                                 const wire::Lease& lease);
Result<HandlerReply> HandleSetPolicy(const HandlerCall& call,
                                     const wire::SetPolicy& set);
Result<HandlerReply> HandlePin(const HandlerCall& call, const wire::Pin& pin);
Result<HandlerReply> HandleStats(const HandlerCall& call,
                                 const wire::Stats& stats);
Result<HandlerReply> HandleJob(const HandlerCall& call, const wire::Job& job);

// What a session follows, by its own settings and the daemon's.
std::unique_ptr<wire::EffectivePolicyT> EffectivePolicyOf(
    const HandlerCall& call, const SessionRecord& session);

// The answer to Commit, Fork and Rewind.
HandlerReply CommitAnswer(const HandlerCall& call,
                          const CommitOutcome& outcome);

}  // namespace reprise

#endif  // REPRISE_API_HANDLER_CALL_H_
