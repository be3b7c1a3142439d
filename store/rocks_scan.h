// A page of a listing: keys of one family that start with a prefix and come
// after a cursor. Reads around the block cache and holds on to nothing longer
// than a call.
#ifndef REPRISE_STORE_ROCKS_SCAN_H_
#define REPRISE_STORE_ROCKS_SCAN_H_

#include <rocksdb/db.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace reprise {

class RocksScan {
 public:
  // An empty cursor means from the start.
  RocksScan(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family,
            std::string prefix, std::string_view cursor);

  bool Valid() const { return iterator_->Valid(); }
  void Next() { iterator_->Next(); }
  // REQUIRES: Valid(). Valid until Next().
  std::string_view key() const { return iterator_->key().ToStringView(); }
  rocksdb::Slice value() const { return iterator_->value(); }

  // Why it ended; OK at the end or where the caller stopped.
  Status Finish(std::string_view what) const;

 private:
  const std::string end_;
  const rocksdb::Slice end_slice_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_SCAN_H_
