// What the reader and the writer of sequence states share.
#ifndef REPRISE_CLIENT_LLAMA_SEQ_STATE_FORMAT_H_
#define REPRISE_CLIENT_LLAMA_SEQ_STATE_FORMAT_H_

#include <cstdint>
#include <string>

#include "base/status.h"
#include "client/llama/seq_state.h"

namespace reprise::seq_state {

// io_magic of llama-context.cpp.
inline constexpr uint32_t kMemoryMagic = 0xaf143cd8;
// LLAMA_STATE_SEQ_MAGIC, "ggsq".
inline constexpr uint32_t kFileMagic = 0x67677371;
// LLAMA_MAX_SEQ.
inline constexpr uint32_t kMaxStreams = 256;
inline constexpr uint64_t kMemoryHeadBytes = 8;
inline constexpr uint64_t kFileHeadBytes = 12;
inline constexpr uint64_t kCellBytes = 12;
inline constexpr uint64_t kExtendedCellBytes = 24;
inline constexpr uint64_t kTensorHeadBytes = 12;

inline std::string Text(uint64_t number) { return std::to_string(number); }
// "layer 3 K"
inline std::string TensorName(size_t layer, bool is_key) {
  return "layer " + Text(layer) + (is_key ? " K" : " V");
}

// A row of whole blocks, and of a size that no product here can overflow.
Status CheckTensor(const SeqTensor& tensor, bool transposed);

}  // namespace reprise::seq_state

#endif  // REPRISE_CLIENT_LLAMA_SEQ_STATE_FORMAT_H_
