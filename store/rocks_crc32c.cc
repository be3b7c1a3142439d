// RocksDB's CRC-32C by the processor's instruction.
//
// Debian builds librocksdb for any x86-64, so its own CRC goes by tables, at
// about 1 GB/s: two thirds of a fetch's CPU and most of a save's. The library
// calls it through its symbol, which this definition in the program precedes.
// Where it does not (another RocksDB, hidden symbols), the library's own is
// used: slower, and the same numbers.
#include <cstddef>
#include <cstdint>

#include "store/crc32c.h"

namespace rocksdb::crc32c {

// The library's declaration is in a header that it does not install.
uint32_t Extend(uint32_t crc, const char* data, size_t size);

__attribute__((visibility("default"))) uint32_t Extend(uint32_t crc,
                                                       const char* data,
                                                       size_t size) {
  return reprise::ExtendCrc32c(crc,
                               {reinterpret_cast<const uint8_t*>(data), size});
}

}  // namespace rocksdb::crc32c
