#include "client/client_core.h"

#include <algorithm>
#include <random>

namespace reprise {
namespace {

// Whole calls wait for the network most of the time: a few threads serve many.
constexpr uint32_t kSaveThreads = 2;
constexpr uint32_t kRestoreThreads = 4;
constexpr uint32_t kMaxQueuedRestores = 64;
// One frame of any size must fit.
constexpr uint64_t kLeastBufferBytes = 4ull << 20;
constexpr uint64_t kLeastRingBytes = 4ull << 20;

ClientOptions Normalised(ClientOptions options) {
  options.codec_threads = std::clamp(options.codec_threads, 1u, 256u);
  options.max_buffer_bytes =
      std::max(options.max_buffer_bytes, kLeastBufferBytes);
  options.device_ring_bytes =
      std::max(options.device_ring_bytes, kLeastRingBytes);
  if (options.writer == 0) options.writer = RandomBits();
  return options;
}

Connection::Options ConnectionOptions(const ClientCore& core) {
  const ClientOptions& options = core.options;
  return {.endpoint = options.endpoint,
          .token = options.token,
          .name = options.name,
          .connect_timeout_ms = options.connect_timeout_ms,
          .max_queued_bytes = options.max_buffer_bytes / 8,
          .buffers = core.buffers};
}

}  // namespace

uint64_t RandomBits() {
  std::random_device device;
  const uint64_t bits = uint64_t{device()} << 32 | device();
  return bits == 0 ? 1 : bits;
}

std::optional<SessionHead> HeadCache::Find(std::string_view session) {
  std::lock_guard lock(mutex_);
  const auto found = heads_.find(session);
  if (found == heads_.end()) return std::nullopt;
  return found->second;
}

void HeadCache::Put(std::string_view session, SessionHead head) {
  std::lock_guard lock(mutex_);
  heads_.insert_or_assign(std::string(session), std::move(head));
  // Which one goes does not matter much: it costs a request to learn again.
  if (heads_.size() > kMaxHeads) heads_.erase(heads_.begin());
}

void HeadCache::Drop(std::string_view session) {
  std::lock_guard lock(mutex_);
  const auto found = heads_.find(session);
  if (found != heads_.end()) heads_.erase(found);
}

std::unique_ptr<Connection> FetchConnections::Take() {
  {
    std::lock_guard lock(mutex_);
    while (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      if (connection->idle()) return connection;
    }
  }
  return std::make_unique<Connection>(io_, options_, traffic_);
}

void FetchConnections::Return(std::unique_ptr<Connection> connection) {
  if (!connection->idle()) return;
  std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
}

ClientCore::ClientCore(const ClientOptions& given)
    : options(Normalised(given)),
      buffers(BufferPool::Make(options.max_buffer_bytes / 8)),
      control(&io, ConnectionOptions(*this), &traffic),
      fetches(&io, ConnectionOptions(*this), &traffic),
      save_bytes(options.max_buffer_bytes / 2),
      restore_bytes(options.max_buffer_bytes / 4),
      kept_bytes(options.max_buffer_bytes / 8),
      devices(options),
      codecs({.name = "codec", .threads = options.codec_threads}),
      saves({.name = "save",
             .threads = kSaveThreads,
             .max_queued = options.max_queued_saves}),
      restores({.name = "restore",
                .threads = kRestoreThreads,
                .max_queued = kMaxQueuedRestores}) {}

RenditionId DrawRenditionId() {
  RenditionId id;
  for (size_t i = 0; i < id.bytes.size(); i += 8) {
    StoreLe(id.bytes.data() + i, RandomBits());
  }
  return id;
}

}  // namespace reprise
