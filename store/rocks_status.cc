#include "store/rocks_status.h"

#include <string>

namespace reprise {

Status ReadStatus(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return Status::Ok();
  const std::string message = std::string(what) + ": " + status.ToString();
  if (status.IsNotFound()) return NotFoundError(std::string(what));
  if (status.IsCorruption() || status.IsPathNotFound()) {
    return DataLossError(message);
  }
  if (status.IsMemoryLimit()) return ResourceExhaustedError(message);
  if (status.IsInvalidArgument() || status.IsNotSupported()) {
    return InternalError(message);
  }
  return UnavailableError(message);
}

Status WriteStatus(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return Status::Ok();
  const std::string message = std::string(what) + ": " + status.ToString();
  if (status.IsNoSpace()) return ResourceExhaustedError(message);
  return UnavailableError(message);
}

}  // namespace reprise
