// A transport in memory: what is read comes from a script, what is written is
// kept, and the operation with a given number fails.
#ifndef REPRISE_TESTS_API_FAKE_TRANSPORT_H_
#define REPRISE_TESTS_API_FAKE_TRANSPORT_H_

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "api/session_transport.h"
#include "base/bytes.h"

namespace reprise {

// Outlives the transport; looked at once the session has ended.
struct FakePeer {
  Bytes script;  // what the session reads
  size_t read_chunk = SIZE_MAX;
  size_t write_chunk = SIZE_MAX;
  int fail_at = -1;          // number of the operation that fails
  bool hang_at_end = false;  // else the script ends with end of file
  bool never_write = false;  // as a peer that reads nothing

  size_t read = 0;
  Bytes written;
  int operations = 0;
  bool shut = false;
  bool closed = false;
};

class FakeTransport final : public Transport {
 public:
  FakeTransport(boost::asio::any_io_executor executor, FakePeer* peer)
      : executor_(std::move(executor)),
        peer_(peer),
        closing_(executor_, boost::asio::steady_timer::time_point::max()) {}

  boost::asio::any_io_executor executor() override { return executor_; }

  boost::asio::awaitable<Done> ReadSome(MutableByteView buffer) override {
    if (Fails()) co_return Failure();
    size_t left = peer_->script.size() - peer_->read;
    if (left == 0) {
      // Half-closed by us: a good peer closes too.
      if (peer_->hang_at_end && !peer_->shut) co_await Hang();
      co_return Done{boost::asio::error::eof, 0};
    }
    size_t count = std::min({left, buffer.size(), peer_->read_chunk});
    std::copy_n(peer_->script.begin() + static_cast<ptrdiff_t>(peer_->read),
                count, buffer.begin());
    peer_->read += count;
    co_await Turn();
    co_return Done{{}, count};
  }

  boost::asio::awaitable<Done> WriteSome(
      std::span<const boost::asio::const_buffer> buffers) override {
    if (Fails()) co_return Failure();
    if (peer_->never_write) {
      co_await Hang();
      co_return Failure();
    }
    size_t room = peer_->write_chunk;
    size_t written = 0;
    for (const auto& buffer : buffers) {
      size_t count = std::min(room, buffer.size());
      const auto* bytes = static_cast<const uint8_t*>(buffer.data());
      peer_->written.insert(peer_->written.end(), bytes, bytes + count);
      room -= count;
      written += count;
      if (room == 0) break;
    }
    co_await Turn();
    co_return Done{{}, written};
  }

  void ShutdownSend() override {
    peer_->shut = true;
    closing_.cancel();
  }
  void Close() override {
    peer_->closed = true;
    closing_.cancel();
  }

 private:
  bool Fails() {
    return peer_->closed || peer_->operations++ == peer_->fail_at;
  }
  static Done Failure() { return {boost::asio::error::connection_reset, 0}; }
  // Lets others run, as a real operation does.
  boost::asio::awaitable<void> Turn() {
    boost::asio::steady_timer now(executor_,
                                  boost::asio::steady_timer::duration::zero());
    co_await now.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  boost::asio::awaitable<void> Hang() {
    co_await closing_.async_wait(
        boost::asio::as_tuple(boost::asio::use_awaitable));
  }

  boost::asio::any_io_executor executor_;
  FakePeer* peer_;
  boost::asio::steady_timer closing_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_API_FAKE_TRANSPORT_H_
