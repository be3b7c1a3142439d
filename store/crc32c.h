// CRC-32C (Castagnoli), as in RocksDB's log. Reprise's own formats use XXH3
// (base/hash.h). By the processor's instruction where it has one.
#ifndef REPRISE_STORE_CRC32C_H_
#define REPRISE_STORE_CRC32C_H_

#include <cstdint>

#include "base/bytes.h"

namespace reprise {

uint32_t Crc32c(ByteView bytes);

// The CRC of what `crc` is the CRC of, followed by `bytes`.
uint32_t ExtendCrc32c(uint32_t crc, ByteView bytes);

// The same by tables, on any processor.
uint32_t ExtendCrc32cPortable(uint32_t crc, ByteView bytes);

}  // namespace reprise

#endif  // REPRISE_STORE_CRC32C_H_
