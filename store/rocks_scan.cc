#include "store/rocks_scan.h"

#include "store/rocks_status.h"

namespace reprise {
namespace {

// The first key after all that start with `prefix`; empty: there is none.
std::string EndOfPrefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

}  // namespace

RocksScan::RocksScan(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family,
                     std::string prefix, std::string_view cursor)
    : end_(EndOfPrefix(prefix)), end_slice_(ToSlice(end_)) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  if (!end_.empty()) options.iterate_upper_bound = &end_slice_;
  iterator_.reset(db->NewIterator(options, family));
  if (cursor.empty() || cursor < prefix) {
    iterator_->Seek(ToSlice(prefix));
    return;
  }
  iterator_->Seek(ToSlice(cursor));
  if (iterator_->Valid() && key() == cursor) iterator_->Next();
}

Status RocksScan::Finish(std::string_view what) const {
  return ReadStatus(iterator_->status(), what);
}

}  // namespace reprise
