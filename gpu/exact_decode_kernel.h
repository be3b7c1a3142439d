// Streams of `exact` decoded on a device: one warp a stream, a lane of it a
// lane of the format. Format: docs/format/codecs/exact.md, section 3.
//
// A block has the tables of one set in shared memory, and goes through its
// share of the tasks, which are sorted by set, eight streams at a time: it
// loads tables only where the set changes. Each row's state depends on the
// last one's by a look-up in shared memory, a product and a shuffle, about a
// hundred cycles; everything else is loaded ahead. So one warp alone waits,
// and a dozen on a multiprocessor keep it issuing, which is then the bound: a
// row of 32 values takes about 110 instructions on sm_90.
#ifndef REPRISE_GPU_EXACT_DECODE_KERNEL_H_
#define REPRISE_GPU_EXACT_DECODE_KERNEL_H_

#include <cstdint>

#include "codec/exact_split.h"
#include "gpu/exact_channels.h"
#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/table_runs.h"

namespace reprise {

//   section  the stream's states, then its words and raw bits at those
//            offsets; all are multiples of 4 as addresses
//   tables   [table_count, 1024]
struct ExactDecodeTask {
  const uint8_t* section = nullptr;
  const uint32_t* tables = nullptr;
  ExactGpuChannels channels;
  uint32_t words_at = 0;
  uint32_t raw_at = 0;
  uint32_t word_count = 0;
  uint32_t tokens = 0;         // of the stream
  uint32_t channel_first = 0;  // of the slice's
  uint32_t channel_count = 0;  // 1 to 256
  uint32_t rows = 0;           // index
  uint32_t unit = 0;
  uint8_t table_count = 0;  // 1 to 8
  uint8_t raw_bits = 0;
  uint8_t sign_bit = 0;
};

// The words of a stream from the cursor on. A warp holds 128 of them, and the
// next 64 are on their way while those before are used.
class ExactWordWindow {
 public:
  REPRISE_GPU ExactWordWindow(const Warp& warp, const uint8_t* words,
                              uint32_t word_count)
      : words_(words), last_(word_count > 2 ? (word_count - 1) / 2 : 0) {
    Load(warp, 0, &now_);
    Load(warp, kHalf, &next_);
  }

  // Gives each lane in `mask`, in ascending order, the next word: calls
  // take(lane, word).
  template <typename Take>
  REPRISE_GPU void Give(const Warp& warp, uint32_t mask, Take take) {
    Lanes<uint32_t> source;
    warp.ForEach([&](uint32_t l) {
      source[l] = (cursor_ - first_ + CountBelow(mask, l)) / 2 % kWarpLanes;
    });
    const Lanes<uint32_t> now = warp.Shuffle(now_, source);
    const Lanes<uint32_t> next = warp.Shuffle(next_, source);
    warp.ForEach([&](uint32_t l) {
      if ((mask >> l & 1) == 0) return;
      const uint32_t at = cursor_ - first_ + CountBelow(mask, l);
      take(l, (at < kHalf ? now[l] : next[l]) >> (at % 2 * 16) & 0xffff);
    });
    cursor_ += CountOnes(mask);
  }

  // Comes after at most 64 words.
  REPRISE_GPU void Advance(const Warp& warp) {
    if (cursor_ - first_ < kHalf) return;
    first_ += kHalf;
    now_ = next_;
    Load(warp, first_ + kHalf, &next_);
  }

  REPRISE_GPU uint32_t cursor() const { return cursor_; }

 private:
  static constexpr uint32_t kHalf = 2 * kWarpLanes;  // words

  // What lies beyond the stream's words is its last two again.
  REPRISE_GPU void Load(const Warp& warp, uint32_t first,
                        Lanes<uint32_t>* out) const {
    warp.ForEach([&](uint32_t l) {
      const uint32_t at = first / 2 + l;
      (*out)[l] = LoadAligned<uint32_t>(words_ + 4 * (at < last_ ? at : last_));
    });
  }

  const uint8_t* words_;
  uint32_t last_;       // pair of words
  uint32_t first_ = 0;  // of the window
  uint32_t cursor_ = 0;
  Lanes<uint32_t> now_, next_;
};

struct ExactDecodeKernel {
  static constexpr KernelId kId = KernelId::kExactDecode;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kWarps = kThreads / kWarpLanes;
  static constexpr uint32_t kBlockTasks = kWarps;
  using Task = ExactDecodeTask;

  // Of one warp, by channel of its stream.
  struct Channels {
    // Where it lies in its row; or kSkipped.
    int64_t offsets[kExactMaxChannels];
    uint16_t words[kExactMaxChannels];
  };
  struct Shared {
    uint32_t tables[kExactMaxTables * kExactSlots];
    Channels channels[kWarps];
  };

  // What kernels say of a stream that is damaged.
  static constexpr uint32_t kBadStart = 1;
  static constexpr uint32_t kBadEnd = 2;

  // One set after the other; then in the order of memory.
  static bool Before(const Task& a, const Task& b) {
    if (a.tables != b.tables) return a.tables < b.tables;
    return a.section < b.section;
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    RunByTables<kWarps>(
        block, args, [&](const Task& task) { LoadTables(block, task, shared); },
        [&](const Warp& warp, const Task& its) {
          const Task task = its;
          const GpuRows rows = args.rows[task.rows];
          const uint32_t damage = Decode(warp, task, rows, shared->tables,
                                         &shared->channels[warp.index()]);
          if (damage == 0) return;
          warp.ForEach([&](uint32_t l) {
            if (l == 0) args.damage[task.unit] = damage;
          });
        });
  }

 private:
  static constexpr int64_t kSkipped = INT64_MIN;

  // A row's values, before they are joined.
  struct Row {
    Lanes<uint32_t> keys;
    Lanes<uint64_t> raw;
  };

  REPRISE_GPU static void LoadTables(const Block& block, const Task& task,
                                     Shared* shared) {
    block.Threads([&](uint32_t thread) {
      const uint32_t slots =
          task.table_count % (kExactMaxTables + 1) * kExactSlots;
      for (uint32_t i = thread; i < slots; i += kThreads) {
        shared->tables[i] = task.tables[i];
      }
    });
  }

  REPRISE_GPU static void FindChannels(const Warp& warp, const Task& task,
                                       const GpuRows& rows, uint32_t key_mask,
                                       Channels* channels) {
    for (uint32_t first = 0; first < task.channel_count; first += kWarpLanes) {
      warp.ForEach([&](uint32_t l) {
        const uint32_t c = first + l;
        if (c >= task.channel_count) return;
        const uint32_t channel = task.channel_first + c;
        channels->words[c] =
            static_cast<uint16_t>(task.channels.WordOf(c, key_mask));
        channels->offsets[c] =
            rows.Holds(channel) ? rows.OffsetOf(channel) : kSkipped;
      });
    }
    warp.Sync();
  }

  // The raw bits of a row: two words of 32 for each lane, with its field in
  // them. May read up to 4 bytes behind the row.
  REPRISE_GPU static void LoadRaw(const Warp& warp, const uint8_t* raw,
                                  uint32_t raw_bits, Lanes<uint64_t>* out) {
    warp.ForEach([&](uint32_t l) {
      const uint8_t* const at = raw + l * raw_bits / 32 * 4;
      (*out)[l] = LoadAligned<uint32_t>(at) |
                  uint64_t{LoadAligned<uint32_t>(at + 4)} << 32;
    });
  }

  // Steps 1 to 4 of the format, for the channels from `first` on.
  REPRISE_GPU static void DecodeSymbols(const Warp& warp, uint32_t lanes,
                                        const uint32_t* tables,
                                        const uint16_t* words,
                                        Lanes<uint32_t>* states,
                                        ExactWordWindow* window,
                                        Lanes<uint32_t>* keys) {
    Lanes<uint32_t>& x = *states;
    Lanes<uint32_t> symbols;
    warp.ForEach([&](uint32_t l) {
      symbols[l] = 0;
      if (l >= lanes) return;
      const uint32_t word = words[l];
      const uint32_t entry =
          tables[word % kExactMaxTables * kExactSlots + x[l] % kExactSlots];
      const uint32_t frequency =
          entry >> kExactFrequencyShift & (kExactSlots - 1);
      symbols[l] = entry >> kExactSymbolShift;
      x[l] = frequency * (x[l] >> kExactProbabilityBits) +
             (entry & (kExactSlots - 1));
      (*keys)[l] = symbols[l] + (word >> 3);
    });
    const uint32_t low =
        warp.Ballot([&](uint32_t l) { return x[l] < kExactLowState; });
    window->Give(warp, low,
                 [&](uint32_t l, uint32_t word) { x[l] = x[l] << 16 | word; });
    const uint32_t escaped =
        warp.Ballot([&](uint32_t l) { return symbols[l] == kExactEscape; });
    if (escaped != 0) {
      window->Give(warp, escaped,
                   [&](uint32_t l, uint32_t word) { (*keys)[l] = word; });
    }
    window->Advance(warp);
  }

  REPRISE_GPU static uint64_t AddressOf(const GpuRows& rows, uint32_t token,
                                        uint32_t tokens) {
    return token < tokens ? reinterpret_cast<uintptr_t>(rows.Row(token)) : 0;
  }

  REPRISE_GPU static void StoreRow(const Warp& warp, const ExactSplit& split,
                                   uint32_t lanes, const Row& row,
                                   const int64_t* offsets, uint8_t* to) {
    const uint32_t w = split.raw_bits;
    warp.ForEach([&](uint32_t l) {
      if (l >= lanes || offsets[l] == kSkipped) return;
      const auto field = static_cast<uint32_t>(row.raw[l] >> (l * w % 32));
      const uint32_t code =
          (row.keys[l] & split.key_mask()) << w | (field & ((1u << w) - 1));
      StoreBits(to + offsets[l], split.element_bytes, ExactValue(code, split));
    });
  }

  // The damage; 0: none was seen.
  REPRISE_GPU static uint32_t Decode(const Warp& warp, const Task& task,
                                     const GpuRows& rows,
                                     const uint32_t* tables,
                                     Channels* channels) {
    const ExactSplit split{.element_bytes = rows.element_bytes,
                           .raw_bits = task.raw_bits,
                           .sign_bit = task.sign_bit};
    FindChannels(warp, task, rows, split.key_mask(), channels);
    const uint32_t count = task.channel_count;
    const uint32_t tokens =
        rows.token_count < task.tokens ? rows.token_count : task.tokens;
    // Of the rows of a lane's two tokens, at once: where one lies in a paged
    // cache takes a division.
    Lanes<uint64_t> early, late;
    warp.ForEach([&](uint32_t l) {
      early[l] = AddressOf(rows, l, tokens);
      late[l] = AddressOf(rows, l + kWarpLanes, tokens);
    });
    Lanes<uint32_t> states;
    warp.ForEach([&](uint32_t l) {
      states[l] = kExactLowState;
      if (l < count) states[l] = LoadAligned<uint32_t>(task.section + 4 * l);
    });
    if (warp.Ballot([&](uint32_t l) { return states[l] < kExactLowState; })) {
      return kBadStart;
    }
    ExactWordWindow window(warp, task.section + task.words_at, task.word_count);
    const uint8_t* raw = task.section + task.raw_at;
    Lanes<uint64_t> next_raw;
    LoadRaw(warp, raw, split.raw_bits, &next_raw);
    for (uint32_t t = 0; t < tokens; ++t) {
      auto* const to = reinterpret_cast<uint8_t*>(
          t < kWarpLanes ? warp.Broadcast(early, t)
                         : warp.Broadcast(late, t - kWarpLanes));
      for (uint32_t first = 0; first < count; first += kWarpLanes) {
        const uint32_t lanes =
            count - first < kWarpLanes ? count - first : kWarpLanes;
        Row row;
        row.raw = next_raw;
        raw += split.raw_bits * 4;
        LoadRaw(warp, raw, split.raw_bits, &next_raw);
        DecodeSymbols(warp, lanes, tables, channels->words + first, &states,
                      &window, &row.keys);
        StoreRow(warp, split, lanes, row, channels->offsets + first, to);
      }
    }
    if (window.cursor() > task.word_count) return kBadEnd;
    if (tokens < task.tokens) return 0;
    const bool is_end = warp.Ballot([&](uint32_t l) {
      return states[l] != kExactLowState;
    }) == 0 && window.cursor() == task.word_count;
    return is_end ? 0 : kBadEnd;
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_EXACT_DECODE_KERNEL_H_
