// A stream of bytes to a peer, as the session sees it: a TCP or unix socket,
// or what a test puts in its place.
#ifndef REPRISE_API_SESSION_TRANSPORT_H_
#define REPRISE_API_SESSION_TRANSPORT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "base/bytes.h"

namespace reprise {

// Everything is called on executor(). One read and one write may be under way
// at a time; Close ends both with an error.
class Transport {
 public:
  struct Done {
    boost::system::error_code error;
    size_t bytes = 0;
  };

  virtual ~Transport() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  // At least one byte, or an error (end of file is one).
  virtual boost::asio::awaitable<Done> ReadSome(MutableByteView buffer) = 0;
  // At least one byte of the buffers, which are not empty, or an error.
  virtual boost::asio::awaitable<Done> WriteSome(
      std::span<const boost::asio::const_buffer> buffers) = 0;
  // The peer sees the end of the stream; reading goes on.
  virtual void ShutdownSend() = 0;
  virtual void Close() = 0;
};

// REQUIRES: the socket's executor runs one handler at a time (a strand).
std::unique_ptr<Transport> MakeSocketTransport(
    boost::asio::generic::stream_protocol::socket socket);

}  // namespace reprise

#endif  // REPRISE_API_SESSION_TRANSPORT_H_
