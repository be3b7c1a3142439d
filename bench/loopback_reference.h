// The limit for anything that moves bytes over loopback: a bare Asio sender
// and receiver, one thread each, large buffers, nothing else done.
#ifndef REPRISE_BENCH_LOOPBACK_REFERENCE_H_
#define REPRISE_BENCH_LOOPBACK_REFERENCE_H_

#include <cstdint>

namespace reprise::bench {

// Sends `bytes` bytes over a fresh loopback connection, in writes of
// `write_bytes`, and receives them all.
void SendOverLoopback(uint64_t bytes, uint64_t write_bytes);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_LOOPBACK_REFERENCE_H_
