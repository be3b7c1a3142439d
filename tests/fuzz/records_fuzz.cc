// The store's records: no bytes crash a decoder, and what one accepts is what
// its encoder writes. Each input is also tried under a checksum that is right,
// so that the fields behind it are reached.
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "store/records.h"

namespace reprise {
namespace {

template <typename Decode, typename Encode>
void Try(ByteView bytes, Decode decode, Encode encode) {
  const auto record = decode(bytes);
  if (record.ok()) REPRISE_CHECK(BytesEqual(bytes, encode(*record)));
}

void TryAll(ByteView bytes) {
  Try(bytes, DecodeSegment, EncodeSegment);
  Try(bytes, DecodeRenditionSet, EncodeRenditionSet);
  Try(bytes, DecodeSession, EncodeSession);
  Try(bytes, DecodeLease, EncodeLease);
  Try(bytes, DecodeStore, EncodeStore);
  Try(bytes, DecodeEpoch, EncodeEpoch);
  Try(bytes, DecodeProfileRecord, EncodeProfileRecord);
  Try(bytes, DecodeLastUse, EncodeLastUse);
  Try(bytes, DecodeClock, EncodeClock);
  RenditionSummaries summaries;
  const bool summarised = DecodeRenditionSummaries(bytes, &summaries).ok();
  REPRISE_CHECK(summarised || !DecodeRenditionSet(bytes).ok());
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using reprise::Bytes;
  reprise::TryAll({data, size});
  if (size < 8) return 0;
  Bytes sealed(data, data + size);
  reprise::StoreLe(
      sealed.data() + size - 8,
      reprise::Checksum(reprise::ByteView(sealed).first(size - 8)));
  reprise::TryAll(sealed);
  return 0;
}
