// Between RocksDB's words and ours: slices and statuses.
#ifndef REPRISE_STORE_ROCKS_STATUS_H_
#define REPRISE_STORE_ROCKS_STATUS_H_

#include <rocksdb/slice.h>
#include <rocksdb/status.h>

#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace reprise {

inline rocksdb::Slice ToSlice(std::string_view text) {
  return {text.data(), text.size()};
}
inline rocksdb::Slice ToSlice(ByteView bytes) { return ToSlice(AsText(bytes)); }
inline ByteView ToView(const rocksdb::Slice& slice) {
  return AsBytes(std::string_view(slice.data(), slice.size()));
}

// A failed read: kNotFound; kDataLoss when bytes failed a check or their file
// is gone; kUnavailable when the device did not answer.
Status ReadStatus(const rocksdb::Status& status, std::string_view what);
// A failed write or sync: kResourceExhausted when the disk is full, else
// kUnavailable.
Status WriteStatus(const rocksdb::Status& status, std::string_view what);

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_STATUS_H_
