// What all calls of one client share.
#ifndef REPRISE_CLIENT_CLIENT_CORE_H_
#define REPRISE_CLIENT_CLIENT_CORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/buffer_pool.h"
#include "client/call_context.h"
#include "client/client.h"
#include "client/codec_pool.h"
#include "client/connection.h"
#include "client/devices.h"
#include "client/flight_budget.h"
#include "client/profiles.h"
#include "client/save_planner.h"
#include "codec/tier.h"

namespace reprise {

// Where sessions were left by this client's last save. A guess: a commit finds
// out when it is wrong. Thread-safe.
class HeadCache {
 public:
  static constexpr size_t kMaxHeads = 1024;

  std::optional<SessionHead> Find(std::string_view session);
  void Put(std::string_view session, SessionHead head);
  void Drop(std::string_view session);

 private:
  std::mutex mutex_;
  std::map<std::string, SessionHead, std::less<>> heads_;
};

// Connections for fetches, one for each that runs, so that a slow reader holds
// up nobody else. Thread-safe.
class FetchConnections {
 public:
  static constexpr size_t kMaxIdle = 4;

  FetchConnections(IoThread* io, const Connection::Options& options,
                   TrafficCounters* traffic)
      : io_(io), options_(options), traffic_(traffic) {}

  std::unique_ptr<Connection> Take();
  // Kept when nothing is open on it, else closed.
  void Return(std::unique_ptr<Connection> connection);

 private:
  IoThread* const io_;
  const Connection::Options options_;
  TrafficCounters* const traffic_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

// Members are destroyed from the last to the first: calls, then codec jobs,
// then what they use.
struct ClientCore {
  explicit ClientCore(const ClientOptions& given);

  const ClientOptions options;
  const std::shared_ptr<BufferPool> buffers;
  TrafficCounters traffic;
  IoThread io;
  Connection control;  // everything but fetches
  FetchConnections fetches;
  FlightBudget save_bytes;
  FlightBudget restore_bytes;
  FlightBudget kept_bytes;  // of frames that wait for those of other stages
  ProfileCache profiles;
  Devices devices;
  HeadCache heads;
  TaskPool codecs;
  TaskPool saves;
  TaskPool restores;

  // For a call of one small request.
  std::shared_ptr<CallContext> ShortCall() const {
    return std::make_shared<CallContext>(
        CallContext::InMs(options.request_timeout_ms));
  }
  std::shared_ptr<CallContext> LongCall() const {
    return std::make_shared<CallContext>(
        CallContext::InMs(options.transfer_timeout_ms));
  }
};

// 64 random bits, never zero.
uint64_t RandomBits();
// 128 random bits.
RenditionId DrawRenditionId();

}  // namespace reprise

#endif  // REPRISE_CLIENT_CLIENT_CORE_H_
