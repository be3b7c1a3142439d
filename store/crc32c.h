// CRC-32C (Castagnoli), as in RocksDB's log. Reprise's own formats use XXH3
// (base/hash.h).
#ifndef REPRISE_STORE_CRC32C_H_
#define REPRISE_STORE_CRC32C_H_

#include <cstdint>

#include "base/bytes.h"

namespace reprise {

uint32_t Crc32c(ByteView bytes);

}  // namespace reprise

#endif  // REPRISE_STORE_CRC32C_H_
