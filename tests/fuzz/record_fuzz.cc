// Model specs and commits, which end in a checksum: the bytes as they are,
// then with a checksum that is right. What decodes is valid, and encodes to
// the very bytes again, since a record's bytes are its name.
#include <cstdint>
#include <cstdlib>

#include "base/bytes.h"
#include "base/hash.h"
#include "codec/commit.h"
#include "codec/model_spec.h"

namespace reprise {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Decode(ByteView bytes) {
  const Result<ModelSpec> spec = DecodeModelSpec(bytes);
  if (spec.ok()) {
    Require(ValidateModelSpec(*spec).ok());
    Require(BytesEqual(EncodeModelSpec(*spec), bytes));
    Require(!LayerGroupsOf(*spec).empty());
  }
  const Result<CommitRecord> commit = DecodeCommit(bytes);
  if (commit.ok()) {
    Require(ValidateCommit(*commit).ok());
    Require(BytesEqual(EncodeCommit(*commit), bytes));
  }
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reprise::Bytes bytes(data, data + size);
  reprise::Decode(bytes);
  if (size < sizeof(uint64_t)) return 0;
  const size_t body = size - sizeof(uint64_t);
  reprise::StoreLe(bytes.data() + body,
                   reprise::Checksum(reprise::ByteView(bytes).first(body)));
  reprise::Decode(bytes);
  return 0;
}
