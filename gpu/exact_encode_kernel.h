// Streams of `exact` encoded on a device with a profile's tables: one warp a
// stream, a lane of it a lane of the format. The bytes are the CPU encoder's
// (codec/exact_encode.cc). Format: docs/format/codecs/exact.md, section 3.
//
// A warp goes over its rows backwards and leaves words in scratch, since only
// their number says where raw bits begin. Then it writes the section in one
// go, for which the rows are read once more: 32 KiB that were just read. Both
// passes are bound by what they issue, about 130 instructions a row each.
#ifndef REPRISE_GPU_EXACT_ENCODE_KERNEL_H_
#define REPRISE_GPU_EXACT_ENCODE_KERNEL_H_

#include <cstdint>

#include "codec/exact_split.h"
#include "gpu/exact_channels.h"
#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/rans_encode.h"
#include "gpu/table_runs.h"

namespace reprise {

// What stands in front of a section that came from a device.
struct ExactEncodeHead {
  uint32_t mode = 0;   // of ExactMode, but kExactTables
  uint32_t words = 0;  // FrameSection's
  uint32_t bytes = 0;  // of the section
  uint32_t zero = 0;
};

//   out     an ExactEncodeHead, then the section; has room for the stream's
//           values as they are
//   words   [word_limit + 64]
//   tables  [table_count, 64]; null: the stream is not coded
//
// A stream of more than `word_limit` words is stored as it is.
struct ExactEncodeTask {
  uint8_t* out = nullptr;
  uint16_t* words = nullptr;
  const ExactEncodeEntry* tables = nullptr;
  ExactGpuChannels channels;
  uint32_t word_limit = 0;
  uint32_t tokens = 0;         // 1 to 64
  uint32_t channel_first = 0;  // of the slice's
  uint32_t channel_count = 0;  // 1 to 256
  uint32_t rows = 0;           // index
  uint8_t table_count = 0;     // 1 to 8
  uint8_t raw_bits = 0;
  uint8_t sign_bit = 0;
};

struct ExactEncodeKernel {
  static constexpr KernelId kId = KernelId::kExactEncode;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 3;
  static constexpr uint32_t kWarps = kThreads / kWarpLanes;
  static constexpr uint32_t kBlockTasks = kWarps;
  static constexpr uint32_t kMaxTokens = 64;
  using Task = ExactEncodeTask;

  // Of one warp.
  struct Stream {
    uint64_t addresses[kMaxTokens];      // of rows
    int64_t offsets[kExactMaxChannels];  // of channels in a row
    uint16_t words[kExactMaxChannels];   // offset << 3 | table
    uint32_t fields[kWarpLanes];         // raw bits of a row
    uint32_t staged[2 * kWarpLanes];     // joined, not yet written
  };
  struct Shared {
    ExactEncodeEntry tables[kExactMaxTables * kExactSymbols];
    Stream streams[kWarps];
  };

  // One set after the other; then in the order of the results.
  static bool Before(const Task& a, const Task& b) {
    if (a.tables != b.tables) return a.tables < b.tables;
    return a.out < b.out;
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    RunByTables<kWarps>(
        block, args, [&](const Task& task) { LoadTables(block, task, shared); },
        [&](const Warp& warp, const Task& its) {
          const Task task = its;
          const GpuRows rows = args.rows[task.rows];
          Encode(warp, task, rows, shared->tables,
                 &shared->streams[warp.index()]);
        });
  }

 private:
  static constexpr uint32_t kTooMany = ~0u;  // words

  REPRISE_GPU static void LoadTables(const Block& block, const Task& task,
                                     Shared* shared) {
    if (task.tables == nullptr) return;
    block.Threads([&](uint32_t thread) {
      const uint32_t count =
          task.table_count % (kExactMaxTables + 1) * kExactSymbols;
      for (uint32_t i = thread; i < count; i += kThreads) {
        shared->tables[i] = task.tables[i];
      }
    });
  }

  REPRISE_GPU static void FindValues(const Warp& warp, const Task& task,
                                     const GpuRows& rows,
                                     const ExactSplit& split, Stream* stream) {
    warp.ForEach([&](uint32_t l) {
      for (uint32_t t = l; t < task.tokens; t += kWarpLanes) {
        stream->addresses[t] = reinterpret_cast<uintptr_t>(rows.Row(t));
      }
      for (uint32_t c = l; c < task.channel_count; c += kWarpLanes) {
        stream->offsets[c] = rows.OffsetOf(task.channel_first + c);
        if (task.tables == nullptr) continue;
        stream->words[c] =
            static_cast<uint16_t>(task.channels.WordOf(c, split.key_mask()));
      }
    });
    warp.Sync();
  }

  // Which values of a stream: 32 channels of a token.
  struct Row {
    uint32_t token = 0;
    uint32_t first = 0;  // channel
    uint32_t lanes = 0;
  };
  REPRISE_GPU static uint32_t RowsPerToken(const Task& task) {
    return (task.channel_count + kWarpLanes - 1) / kWarpLanes;
  }
  REPRISE_GPU static Row RowOf(const Task& task, uint32_t token,
                               uint32_t row_in_token) {
    const uint32_t first = row_in_token * kWarpLanes;
    const uint32_t left = task.channel_count - first;
    return {.token = token,
            .first = first,
            .lanes = left < kWarpLanes ? left : kWarpLanes};
  }

  // Idle lanes get 0.
  REPRISE_GPU static void LoadRow(const Warp& warp, const Stream& stream,
                                  uint32_t element_bytes, const Row& row,
                                  Lanes<uint32_t>* values) {
    const auto* const at =
        reinterpret_cast<const uint8_t*>(stream.addresses[row.token]);
    warp.ForEach([&](uint32_t l) {
      (*values)[l] =
          l < row.lanes
              ? LoadBits(at + stream.offsets[row.first + l], element_bytes)
              : 0;
    });
  }

  // Calls visit(row, values) for all rows in order, until it answers false.
  template <typename Visit>
  REPRISE_GPU static void ForEachRow(const Warp& warp, const Task& task,
                                     const Stream& stream,
                                     uint32_t element_bytes, Visit visit) {
    const uint32_t rows = RowsPerToken(task);
    for (uint32_t t = 0; t < task.tokens; ++t) {
      for (uint32_t r = 0; r < rows; ++r) {
        const Row row = RowOf(task, t, r);
        Lanes<uint32_t> values;
        LoadRow(warp, stream, element_bytes, row, &values);
        if (!visit(row, values)) return;
      }
    }
  }

  REPRISE_GPU static bool IsConstant(const Warp& warp, const Task& task,
                                     const Stream& stream,
                                     uint32_t element_bytes,
                                     uint32_t* first_value) {
    bool is_constant = true;
    ForEachRow(warp, task, stream, element_bytes,
               [&](const Row& row, const Lanes<uint32_t>& values) {
                 if (row.token == 0 && row.first == 0) {
                   *first_value = warp.Broadcast(values, 0);
                 }
                 is_constant = warp.Ballot([&](uint32_t l) {
                   return l < row.lanes && values[l] != *first_value;
                 }) == 0;
                 return is_constant;
               });
    return is_constant;
  }

  // One row, as codec/exact_kernel.cc has it. Words go to words[*left ..).
  REPRISE_GPU static void EncodeRow(const Warp& warp, const ExactSplit& split,
                                    const ExactEncodeEntry* tables,
                                    const uint16_t* channels, uint32_t lanes,
                                    const Lanes<uint32_t>& values,
                                    Lanes<uint32_t>* states, uint16_t* words,
                                    uint32_t* left) {
    Lanes<uint32_t>& x = *states;
    Lanes<uint32_t> keys, symbols;
    Lanes<ExactEncodeEntry> entries;
    warp.ForEach([&](uint32_t l) {
      symbols[l] = 0;
      if (l >= lanes) return;
      const uint32_t word = channels[l];
      const ExactEncodeEntry* const table =
          tables + word % kExactMaxTables * kExactSymbols;
      keys[l] = ExactCode(values[l], split) >> split.raw_bits;
      const uint32_t symbol = (keys[l] - (word >> 3)) & split.key_mask();
      symbols[l] = symbol < kExactEscape ? symbol : kExactEscape;
      entries[l] = table[symbols[l]];
      if (entries[l].frequency() == 0) {
        symbols[l] = kExactEscape;
        entries[l] = table[kExactEscape];
      }
    });
    const uint32_t escaped =
        warp.Ballot([&](uint32_t l) { return symbols[l] == kExactEscape; });
    if (escaped != 0) {
      PutWords(warp, escaped, words, left, [&](uint32_t l) { return keys[l]; });
    }
    const uint32_t full = warp.Ballot([&](uint32_t l) {
      return l < lanes && x[l] >> 22 >= entries[l].frequency();
    });
    PutWords(warp, full, words, left, [&](uint32_t l) { return x[l]; });
    warp.ForEach([&](uint32_t l) {
      if (l >= lanes) return;
      x[l] = PutSymbol<kExactProbabilityBits>(
          (full >> l & 1) != 0 ? x[l] >> 16 : x[l], entries[l]);
    });
  }

  // All rows, last first. The number of words, which stand at the end of
  // task.words; or kTooMany.
  REPRISE_GPU static uint32_t EncodeWords(const Warp& warp, const Task& task,
                                          const ExactSplit& split,
                                          const ExactEncodeEntry* tables,
                                          const Stream& stream,
                                          Lanes<uint32_t>* states) {
    const uint32_t capacity = task.word_limit + 2 * kWarpLanes;
    uint32_t left = capacity;
    const uint32_t rows = RowsPerToken(task);
    warp.ForEach([&](uint32_t l) { (*states)[l] = kExactLowState; });
    Lanes<uint32_t> next;
    LoadRow(warp, stream, split.element_bytes,
            RowOf(task, task.tokens - 1, rows - 1), &next);
    for (uint32_t t = task.tokens; t-- > 0;) {
      for (uint32_t r = rows; r-- > 0;) {
        const Row row = RowOf(task, t, r);
        const Lanes<uint32_t> values = next;
        // The row that comes next is on its way meanwhile.
        if (r > 0 || t > 0) {
          LoadRow(warp, stream, split.element_bytes,
                  r > 0 ? RowOf(task, t, r - 1) : RowOf(task, t - 1, rows - 1),
                  &next);
        }
        EncodeRow(warp, split, tables, stream.words + row.first, row.lanes,
                  values, states, task.words, &left);
        if (capacity - left > task.word_limit) return kTooMany;
      }
    }
    return capacity - left;
  }

  // The raw bits of all rows, in whole rows of 32 words.
  REPRISE_GPU static void StoreRaw(const Warp& warp, const Task& task,
                                   const ExactSplit& split, Stream* stream,
                                   uint8_t* out) {
    const uint32_t w = split.raw_bits;
    if (w == 0) return;
    uint32_t filled = 0;
    const auto visit = [&](const Row&, const Lanes<uint32_t>& values) {
      warp.ForEach([&](uint32_t l) {
        stream->fields[l] = ExactCode(values[l], split) & ((1u << w) - 1);
      });
      warp.Sync();
      warp.ForEach([&](uint32_t l) {
        if (l < w) stream->staged[filled + l] = JoinFields(*stream, w, l);
      });
      warp.Sync();
      filled += w;
      if (filled < kWarpLanes) return true;
      Lanes<uint32_t> rest;
      warp.ForEach([&](uint32_t l) {
        StoreAligned(out + 4 * l, stream->staged[l]);
        rest[l] = stream->staged[kWarpLanes + l];
      });
      warp.Sync();
      warp.ForEach([&](uint32_t l) { stream->staged[l] = rest[l]; });
      out += 4 * kWarpLanes;
      filled -= kWarpLanes;
      return true;
    };
    ForEachRow(warp, task, *stream, split.element_bytes, visit);
    warp.Sync();
    warp.ForEach([&](uint32_t l) {
      if (l < filled) StoreAligned(out + 4 * l, stream->staged[l]);
    });
  }

  // Bits 32 i to 32 i + 31 of a row's raw bits.
  REPRISE_GPU static uint32_t JoinFields(const Stream& stream, uint32_t w,
                                         uint32_t i) {
    uint32_t field = 32 * i / w;
    uint32_t bits = stream.fields[field] >> (32 * i - field * w);
    for (uint32_t at = (field + 1) * w - 32 * i; at < 32; at += w) {
      bits |= stream.fields[++field] << at;
    }
    return bits;
  }

  // The bytes of the section.
  REPRISE_GPU static uint32_t StoreCoded(const Warp& warp, const Task& task,
                                         const ExactSplit& split,
                                         uint32_t word_count,
                                         const Lanes<uint32_t>& states,
                                         Stream* stream, uint8_t* out) {
    const uint32_t state_count =
        task.channel_count < kWarpLanes ? task.channel_count : kWarpLanes;
    warp.ForEach([&](uint32_t l) {
      if (l < state_count) StoreAligned(out + 4 * l, states[l]);
    });
    warp.Sync();
    const uint16_t* const words =
        task.words + task.word_limit + 2 * kWarpLanes - word_count;
    uint8_t* const words_out = out + 4 * state_count;
    const uint32_t pairs = (word_count + 1) / 2;
    StoreWords(warp, words, word_count, words_out);
    StoreRaw(warp, task, split, stream, words_out + 4 * pairs);
    return 4 * (state_count + pairs +
                task.tokens * RowsPerToken(task) * split.raw_bits);
  }

  REPRISE_GPU static uint32_t StoreAsIs(const Warp& warp, const Task& task,
                                        uint32_t element_bytes,
                                        const Stream& stream, uint8_t* out) {
    const uint32_t row_bytes = task.channel_count * element_bytes;
    ForEachRow(warp, task, stream, element_bytes,
               [&](const Row& row, const Lanes<uint32_t>& values) {
                 uint8_t* const to =
                     out + row.token * row_bytes + row.first * element_bytes;
                 warp.ForEach([&](uint32_t l) {
                   if (l >= row.lanes) return;
                   StoreBits(to + l * element_bytes, element_bytes, values[l]);
                 });
                 return true;
               });
    return row_bytes * task.tokens;
  }

  REPRISE_GPU static void Encode(const Warp& warp, const Task& task,
                                 const GpuRows& rows,
                                 const ExactEncodeEntry* tables,
                                 Stream* stream) {
    const ExactSplit split{.element_bytes = rows.element_bytes,
                           .raw_bits = task.raw_bits,
                           .sign_bit = task.sign_bit};
    FindValues(warp, task, rows, split, stream);
    uint8_t* const out = task.out + sizeof(ExactEncodeHead);
    ExactEncodeHead head;
    uint32_t value = 0;
    if (IsConstant(warp, task, *stream, split.element_bytes, &value)) {
      head.mode = kExactConstant;
      head.bytes = split.element_bytes;
      warp.ForEach([&](uint32_t l) {
        if (l == 0) StoreBits(out, split.element_bytes, value);
      });
    } else {
      Lanes<uint32_t> states;
      uint32_t words = kTooMany;
      if (task.tables != nullptr) {
        words = EncodeWords(warp, task, split, tables, *stream, &states);
      }
      if (words != kTooMany) {
        head.mode = kExactRans;
        head.words = words;
        head.bytes = StoreCoded(warp, task, split, words, states, stream, out);
      } else {
        head.mode = kExactRaw;
        head.bytes = StoreAsIs(warp, task, split.element_bytes, *stream, out);
      }
    }
    warp.ForEach([&](uint32_t l) {
      if (l == 0) *reinterpret_cast<ExactEncodeHead*>(task.out) = head;
    });
    // The next stream's values take the place of this one's.
    warp.Sync();
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_EXACT_ENCODE_KERNEL_H_
