// Bytes as the pages of docs/format show them.
#ifndef REPRISE_TESTS_SUPPORT_HEX_DUMP_H_
#define REPRISE_TESTS_SUPPORT_HEX_DUMP_H_

#include <string>

#include "base/bytes.h"

namespace reprise {

// "00000010  11 22 ...": an offset and 16 bytes a line.
std::string HexDump(ByteView bytes);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_HEX_DUMP_H_
