// SHA-256 of a big file that seldom changes, such as a model's weights:
// computed once and kept in a small text file.
//
// It is kept beside the file as NAME.reprise-sha256, or, where that folder
// can't be written, in $XDG_CACHE_HOME/reprise/sha256 (~/.cache without it),
// and is believed while size and time of last change are those of the file.
// Who may write there may also write the weights, so nothing is lost by
// believing it; remove it after changes that keep both.
#ifndef REPRISE_CLIENT_LLAMA_FILE_HASH_H_
#define REPRISE_CLIENT_LLAMA_FILE_HASH_H_

#include <string>

#include "base/hash.h"
#include "base/status.h"

namespace reprise {

struct FileHash {
  Sha256Digest digest;
  bool remembered = false;  // not computed this time
};

// Follows symbolic links. Safe to call from several threads and processes at
// once. kNotFound: no such file, or not readable. kUnavailable: it changed
// while it was read. That the digest could not be kept is no error.
Result<FileHash> HashFile(const std::string& path);

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_FILE_HASH_H_
