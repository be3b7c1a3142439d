// A ByteReader driven by the input itself: the first bytes choose the reads,
// all bytes are read. It may never leave its view, and once failed it stays
// failed and answers zeros.
#include <cstdint>
#include <cstdlib>

#include "base/bytes.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// One read, chosen by `op`. True when it answered zero or nothing.
bool ReadOne(uint8_t op, reprise::ByteReader* reader) {
  switch (op % 7) {
    case 0:
      return reader->U8() == 0;
    case 1:
      return reader->U16() == 0;
    case 2:
      return reader->U32() == 0;
    case 3:
      return reader->U64() == 0;
    case 4:
      return reader->View(reader->U16()).empty();
    case 5:
      return reader->Text16().empty();
    default: {
      uint8_t out[16];
      reader->Copy(out);
      uint8_t sum = 0;
      for (uint8_t byte : out) sum |= byte;
      return sum == 0;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const reprise::ByteView input(data, size);
  reprise::ByteReader reader(input);
  for (uint8_t op : input) {
    const bool was_failed = reader.failed();
    const uint64_t before = reader.position();
    const bool zero = ReadOne(op, &reader);
    Require(reader.position() >= before);
    Require(reader.position() + reader.left() == size);
    if (was_failed) Require(reader.failed() && zero);
    if (was_failed) Require(reader.position() == before);
  }
  Require(reader.Check("input").ok() == !reader.failed());
  Require(reader.Finish("input").ok() ==
          (!reader.failed() && reader.left() == 0));
  return 0;
}
