// Where the fields of a frame lie (docs/format/frame.md), for the builder and
// the parser.
#ifndef REPRISE_CODEC_FRAME_LAYOUT_H_
#define REPRISE_CODEC_FRAME_LAYOUT_H_

#include <cstdint>
#include <string>

#include "codec/frame.h"

namespace reprise {

inline constexpr uint32_t kFrameMagic = 0x31465052;  // "RPF1"
inline constexpr uint16_t kFrameVersion = 1;
inline constexpr uint64_t kFrameHeaderBytes = 192;
inline constexpr uint64_t kFrameEntryBytes = 32;

// The last field of the header, whatever the version: the checksum of all
// header bytes before it.
inline constexpr uint64_t kFrameHeaderChecksumBytes = 8;
inline constexpr uint64_t kFrameReservedBytes = 32;

inline constexpr uint8_t kFrameFlagTail = 1;
inline constexpr uint8_t kFrameKnownFlags = kFrameFlagTail;

inline constexpr uint64_t AlignFrameOffset(uint64_t offset) {
  return (offset + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

// The check that `info` fails, with its numbers ("token count is 70, at most
// 64 are allowed"), or "".
std::string FrameInfoProblem(const FrameInfo& info);

}  // namespace reprise

#endif  // REPRISE_CODEC_FRAME_LAYOUT_H_
