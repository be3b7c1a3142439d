// Profiles of `vq` and `pq`: the bytes as they are, then with size and checksum
// made right, so that mutations reach the checks behind them. What is accepted
// is written back as the same bytes, and its books and tables can be read
// anywhere.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "codec/vector_kernel.h"
#include "codec/vector_profile.h"

namespace reprise {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void ReadAll(const VectorProfile& profile) {
  const uint32_t centroids = profile.parts().shape.centroids;
  for (const VectorPlane& plane : profile.parts().planes) {
    Require(profile.FindPlane(plane.layer, plane.plane) == &plane);
    const uint32_t head = plane.heads - 1;
    const uint32_t last = profile.blocks(plane) - 1;
    const VectorProfile::Book book = profile.book(plane, head, last);
    Require(book.half_norms[centroids - 1] >= 0);
    const uint64_t values = uint64_t{centroids} * book.stored_width;
    volatile uint8_t seen = book.centroids[2 * values - 1];
    (void)seen;
    const std::vector<uint8_t> codes(plane.dim,
                                     static_cast<uint8_t>(centroids - 1));
    std::vector<uint8_t> row(uint64_t{plane.dim} * DTypeBytes(plane.dtype));
    VectorDecodeRow(profile.table(plane, head), codes.data(), row.data());
  }
}

void Parse(const Bytes& bytes) {
  for (const CodecId codec : {CodecId::kVq, CodecId::kPq}) {
    const auto profile = VectorProfile::Parse(codec, bytes);
    if (!profile.ok()) continue;
    Require(EncodeVectorProfile((*profile)->parts()) == bytes);
    ReadAll(**profile);
  }
}

void Fuzz(Bytes bytes) {
  Parse(bytes);
  constexpr uint64_t kHeaderBytes = 48;
  if (bytes.size() < kHeaderBytes) return;
  StoreLe<uint64_t>(bytes.data() + 24, bytes.size());
  StoreLe<uint64_t>(bytes.data() + 40,
                    Checksum(ByteView(bytes).first(40),
                             ByteView(bytes).subspan(kHeaderBytes)));
  Parse(bytes);
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reprise::Fuzz(reprise::Bytes(data, data + size));
  return 0;
}
