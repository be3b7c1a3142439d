// Coefficients of `klt` to streams: one stage of one frame a warp
// (docs/format/codecs/klt.md, section 3), byte for byte those of
// codec/klt_encode.cc.
#ifndef REPRISE_GPU_KLT_ENTROPY_ENCODE_KERNEL_H_
#define REPRISE_GPU_KLT_ENTROPY_ENCODE_KERNEL_H_

#include <cstdint>

#include "codec/klt_encode_entry.h"
#include "codec/klt_step.h"
#include "gpu/executor.h"
#include "gpu/kernel.h"
#include "gpu/klt_entropy_kernel.h"
#include "gpu/rans_encode.h"

namespace reprise {

// What the other kernels left of a group.
struct KltCodedGroup {
  const int16_t* q = nullptr;          // [tokens][32 rows] of the last stage
  const uint32_t* sums = nullptr;      // [rows][64] as KltForwardTask has them
  const uint8_t* exponents = nullptr;  // [64]
};

// What an output starts with; the section of coefficients follows, but for its
// parent, which is the host's to fill in.
struct alignas(16) KltEncodeHead {
  uint64_t raw = 0;         // tokens
  uint32_t words = 0;       // of the section
  uint32_t sign_bytes = 0;  // likewise
};

struct KltEntropyEncodeTask {
  uint8_t* out = nullptr;                // a multiple of 16
  uint16_t* words = nullptr;             // [word_room] scratch
  uint64_t* raw_tokens = nullptr;        // written by stage 0: as in the head
  const KltGpuGroup* groups = nullptr;   // [group_count]
  const KltCodedGroup* coded = nullptr;  // [group_count]
  const KltEncodeEntry* exponents = nullptr;   // [16]
  const KltEncodeEntry* magnitudes = nullptr;  // [n0][64]
  const KltEncodeEntry* refining = nullptr;    // [n1][3][4]
  uint64_t raw_first = 0;  // tokens that are raw whatever they hold
  uint32_t word_room = 0;  // enough for any coefficients
  uint32_t group_count = 0;
  uint32_t lo0 = 0;
  uint32_t lo1 = 0;
  uint32_t last_magnitudes = 0;  // n0 - 1
  uint32_t last_refining = 0;    // n1 - 1
  uint32_t token_count = 0;
  int32_t shift = 0;
  uint32_t stage = 0;
  uint32_t last_stage = 0;
};

// Rows are gone through twice: from the last to the first for words, whose
// number says where signs stand, then from the first on for these. The states
// of a warp are a chain, about 100 cycles a row; so what bounds the kernel is
// how many frames there are, as it is with the one that decodes.
struct KltEntropyEncodeKernel {
  static constexpr KernelId kId = KernelId::kKltEntropyEncode;
  static constexpr uint32_t kThreads = 128;
  static constexpr uint32_t kMinBlocks = 6;
  static constexpr uint32_t kBlockTasks = kThreads / kWarpLanes;
  static constexpr uint32_t kTokens = 64;
  static constexpr uint32_t kEscape = KltEntropyKernel::kEscape;
  static constexpr uint32_t kLowState = KltEntropyKernel::kLowState;
  using Task = KltEntropyEncodeTask;

  // Of a warp: signs, a byte each, that make no whole word yet.
  struct Shared {
    uint8_t signs[kBlockTasks][2 * kWarpLanes];
  };

  // A row of one token, in one stage.
  struct Row {
    Lanes<uint32_t> fine;    // magnitudes
    Lanes<uint32_t> coarse;  // those of the stages below
    Lanes<uint32_t> is_negative;
    uint32_t active;  // lanes
  };

  // A token of a group.
  struct Token {
    const int16_t* q;
    const uint8_t* levels;
    uint32_t coefficients;               // of the group
    int base;                            // of this stage
    KltEntropyKernel::RowCounts counts;  // none in later stages than the last
    uint32_t count;                      // in this one
  };

  struct State {
    Lanes<uint32_t> x;
    uint32_t left;  // words stand in [left, word_room)
  };

  REPRISE_GPU static uint64_t AllTokens(const Task& task) {
    return task.token_count < kTokens ? (uint64_t{1} << task.token_count) - 1
                                      : ~uint64_t{0};
  }

  // Tokens that a group's limits or what the host says make raw.
  REPRISE_GPU static uint64_t FindRaw(const Warp& warp, const Task& task) {
    Lanes<uint32_t> low, high;
    warp.ForEach([&](uint32_t l) { low[l] = high[l] = 0; });
    for (uint32_t g = 0; g < task.group_count; ++g) {
      const uint32_t rows = task.groups[g].rows;
      const uint32_t* const sums = task.coded[g].sums;
      warp.ForEach([&](uint32_t l) {
        uint32_t first = 0;
        uint32_t second = 0;
        for (uint32_t r = 0; r < rows; ++r) {
          first += sums[r * kTokens + l];
          second += sums[r * kTokens + kWarpLanes + l];
        }
        low[l] |= first > KltEntropyKernel::kMaxSum ? 1u : 0u;
        high[l] |= second > KltEntropyKernel::kMaxSum ? 1u : 0u;
      });
    }
    const uint64_t too_large =
        uint64_t{warp.Ballot([&](uint32_t l) { return high[l] != 0; })} << 32 |
        warp.Ballot([&](uint32_t l) { return low[l] != 0; });
    return (too_large | task.raw_first) & AllTokens(task);
  }

  REPRISE_GPU static Token TokenOf(const Task& task, uint32_t group,
                                   uint32_t index) {
    const KltGpuGroup& of = task.groups[group];
    const KltCodedGroup& coded = task.coded[group];
    const int e = static_cast<int>(coded.exponents[index]) - kKltMeanExponent +
                  task.shift;
    Token token;
    token.q = coded.q + uint64_t{index} * of.rows * kWarpLanes;
    token.levels = of.levels;
    token.coefficients = of.coefficients;
    token.base = KltBase(task.stage, task.stage == 0 ? task.lo0 : task.lo1, e);
    token.count = KltEntropyKernel::CountRows(of, token.base);
    REPRISE_UNROLL
    for (uint32_t k = 0; k < kKltGpuStages; ++k) {
      const int base = KltBase(k, k == 0 ? task.lo0 : task.lo1, e);
      token.counts.of[k] =
          k <= task.last_stage ? KltEntropyKernel::CountRows(of, base) : 0;
    }
    return token;
  }

  REPRISE_GPU static void LoadRow(const Warp& warp, const Token& token,
                                  uint32_t index, Lanes<int32_t>* q) {
    warp.ForEach([&](uint32_t l) {
      (*q)[l] = token.q[uint64_t{index} * kWarpLanes + l];
    });
  }

  // The most that the last stage's magnitudes may be in a row: each stage that
  // codes it makes of m at most 3 m + 1, the first one of 0.
  REPRISE_GPU static uint32_t BoundOf(const Task& task, const Token& token,
                                      uint32_t index) {
    if (index < token.counts.of[0]) return KltEntropyKernel::kMaxMagnitude;
    uint32_t bound = 0;
    REPRISE_UNROLL
    for (uint32_t k = 1; k < kKltGpuStages; ++k) {
      if (index < token.counts.of[k]) bound = 3 * bound + 1;
    }
    return bound;
  }

  REPRISE_GPU static Row RowOf(const Warp& warp, const Task& task,
                               const Token& token, uint32_t index,
                               const Lanes<int32_t>& q) {
    const uint32_t bound = BoundOf(task, token, index);
    const uint32_t finer = task.last_stage - task.stage;
    Row row;
    row.active =
        KltEntropyKernel::FirstLanes(token.coefficients - index * kWarpLanes);
    warp.ForEach([&](uint32_t l) {
      row.is_negative[l] = q[l] < 0 ? 1 : 0;
      auto m = static_cast<uint32_t>(q[l] < 0 ? -q[l] : q[l]);
      m = m < bound ? m : bound;
      REPRISE_UNROLL
      for (uint32_t k = 0; k + 1 < kKltGpuStages; ++k) {
        m = k < finer ? (m + 1) / 3 : m;
      }
      row.fine[l] = m;
      row.coarse[l] = task.stage == 0 ? 0 : (m + 1) / 3;
    });
    return row;
  }

  // ---- Words.

  REPRISE_GPU static void EncodeSymbols(const Warp& warp, const Task& task,
                                        uint32_t active,
                                        const Lanes<KltEncodeEntry>& entries,
                                        State* state) {
    Lanes<uint32_t>& x = state->x;
    const uint32_t full = warp.Ballot([&](uint32_t l) {
      return (active >> l & 1) != 0 && x[l] >> 20 >= entries[l].frequency();
    });
    PutWords(warp, full, task.words, &state->left,
             [&](uint32_t l) { return x[l]; });
    warp.ForEach([&](uint32_t l) {
      if ((active >> l & 1) == 0) return;
      x[l] =
          PutSymbol<12>((full >> l & 1) != 0 ? x[l] >> 16 : x[l], entries[l]);
    });
  }

  REPRISE_GPU static void EncodeMagnitudes(const Warp& warp, const Task& task,
                                           uint32_t table, const Row& row,
                                           State* state) {
    const KltEncodeEntry* const of = task.magnitudes + table * kKltGpuSymbols;
    Lanes<KltEncodeEntry> entries;
    Lanes<uint32_t> is_escaped;
    warp.ForEach([&](uint32_t l) {
      const uint32_t m = row.fine[l];
      uint32_t symbol = m < kEscape ? m : kEscape;
      entries[l] = of[symbol];
      if (entries[l].frequency() == 0) {
        symbol = kEscape;
        entries[l] = of[symbol];
      }
      is_escaped[l] = symbol == kEscape ? 1 : 0;
    });
    const uint32_t escaped = row.active & warp.Ballot([&](uint32_t l) {
      return is_escaped[l] != 0;
    });
    if (escaped != 0) {
      PutWords(warp, escaped, task.words, &state->left,
               [&](uint32_t l) { return row.fine[l]; });
    }
    EncodeSymbols(warp, task, row.active, entries, state);
  }

  REPRISE_GPU static void EncodeRefining(const Warp& warp, const Task& task,
                                         uint32_t table, const Row& row,
                                         State* state) {
    const KltEncodeEntry* const of =
        task.refining + table * 3 * kKltRefiningEntries;
    Lanes<KltEncodeEntry> entries;
    warp.ForEach([&](uint32_t l) {
      const uint32_t m = row.coarse[l];
      // 0, 1, or 2 for one less.
      const uint32_t symbol = row.fine[l] < 3 * m ? 2 : row.fine[l] - 3 * m;
      entries[l] = of[(m < 2 ? m : 2) * kKltRefiningEntries + symbol];
    });
    EncodeSymbols(warp, task, row.active, entries, state);
  }

  REPRISE_GPU static void EncodeToken(const Warp& warp, const Task& task,
                                      const Token& token, State* state) {
    if (token.count == 0) return;
    Lanes<int32_t> next;
    LoadRow(warp, token, token.count - 1, &next);
    for (uint32_t r = token.count; r-- > 0;) {
      const Lanes<int32_t> q = next;
      // The row that comes next is on its way meanwhile.
      if (r > 0) LoadRow(warp, token, r - 1, &next);
      const Row row = RowOf(warp, task, token, r, q);
      const uint32_t table = KltEntropyKernel::TableOf(
          token.levels[r], token.base,
          task.stage == 0 ? task.last_magnitudes : task.last_refining);
      if (task.stage == 0) {
        EncodeMagnitudes(warp, task, table, row, state);
      } else {
        EncodeRefining(warp, task, table, row, state);
      }
    }
  }

  REPRISE_GPU static void EncodeExponents(const Warp& warp, const Task& task,
                                          uint32_t group, uint64_t tokens,
                                          State* state) {
    for (uint32_t r = 2; r-- > 0;) {
      const auto active = static_cast<uint32_t>(tokens >> r * kWarpLanes);
      const uint8_t* const o = task.coded[group].exponents + r * kWarpLanes;
      Lanes<KltEncodeEntry> entries;
      warp.ForEach([&](uint32_t l) {
        if ((active >> l & 1) != 0) entries[l] = task.exponents[o[l] % 16];
      });
      EncodeSymbols(warp, task, active, entries, state);
    }
  }

  // Tokens that are coded: those in `tokens`.
  REPRISE_GPU static void EncodeWords(const Warp& warp, const Task& task,
                                      uint64_t tokens, State* state) {
    warp.ForEach([&](uint32_t l) { state->x[l] = kLowState; });
    state->left = task.word_room;
    for (uint32_t g = task.group_count; g-- > 0;) {
      for (uint32_t t = task.token_count; t-- > 0;) {
        if ((tokens >> t & 1) == 0) continue;
        EncodeToken(warp, task, TokenOf(task, g, t), state);
      }
      if (task.stage == 0) EncodeExponents(warp, task, g, tokens, state);
    }
    warp.Sync();
  }

  // ---- Signs.

  struct Signs {
    uint8_t* staged;       // shared
    uint32_t count;        // of those, below 32 between rows
    Lanes<uint32_t> bits;  // words that make no whole row yet
    uint32_t words;        // all that there were
    uint8_t* out;
  };

  REPRISE_GPU static void AddWord(const Warp& warp, uint32_t word,
                                  Signs* signs) {
    warp.ForEach([&](uint32_t l) {
      if (l == signs->words % kWarpLanes) signs->bits[l] = word;
    });
    ++signs->words;
    if (signs->words % kWarpLanes != 0) return;
    const uint32_t first = signs->words - kWarpLanes;
    warp.ForEach([&](uint32_t l) {
      StoreAligned(signs->out + 4 * (first + l), signs->bits[l]);
    });
  }

  REPRISE_GPU static void AddSigns(const Warp& warp, uint32_t takers,
                                   const Row& row, Signs* signs) {
    uint8_t* const staged = signs->staged;
    warp.ForEach([&](uint32_t l) {
      if ((takers >> l & 1) == 0) return;
      staged[signs->count + CountBelow(takers, l)] =
          static_cast<uint8_t>(row.is_negative[l]);
    });
    signs->count += CountOnes(takers);
    warp.Sync();
    if (signs->count < kWarpLanes) return;
    signs->count -= kWarpLanes;
    AddWord(warp, warp.Ballot([&](uint32_t l) { return staged[l] != 0; }),
            signs);
    Lanes<uint8_t> rest;
    warp.ForEach([&](uint32_t l) { rest[l] = staged[kWarpLanes + l]; });
    warp.Sync();
    warp.ForEach([&](uint32_t l) { staged[l] = rest[l]; });
    warp.Sync();
  }

  // Their bytes.
  REPRISE_GPU static uint32_t EndSigns(const Warp& warp, Signs* signs) {
    const uint32_t bytes = 4 * signs->words + (signs->count + 7) / 8;
    if (signs->count > 0) {
      AddWord(warp, warp.Ballot([&](uint32_t l) {
        return l < signs->count && signs->staged[l] != 0;
      }),
              signs);
    }
    const uint32_t left = signs->words % kWarpLanes;
    warp.ForEach([&](uint32_t l) {
      if (l >= left) return;
      StoreAligned(signs->out + 4 * (signs->words - left + l), signs->bits[l]);
    });
    return bytes;
  }

  REPRISE_GPU static uint32_t StoreSigns(const Warp& warp, const Task& task,
                                         uint64_t tokens, uint8_t* staged,
                                         uint8_t* out) {
    Signs signs;
    signs.staged = staged;
    signs.count = 0;
    signs.words = 0;
    signs.out = out;
    for (uint32_t g = 0; g < task.group_count; ++g) {
      for (uint32_t t = 0; t < task.token_count; ++t) {
        if ((tokens >> t & 1) == 0) continue;
        const Token token = TokenOf(task, g, t);
        for (uint32_t r = 0; r < token.count; ++r) {
          Lanes<int32_t> q;
          LoadRow(warp, token, r, &q);
          const Row row = RowOf(warp, task, token, r, q);
          const uint32_t takers = warp.Ballot([&](uint32_t l) {
            return row.fine[l] != 0 && row.coarse[l] == 0;
          });
          if (takers != 0) AddSigns(warp, takers, row, &signs);
        }
      }
    }
    return EndSigns(warp, &signs);
  }

  // ---- The section.

  REPRISE_GPU static void Encode(const Warp& warp, const Task& task,
                                 uint8_t* staged) {
    KltEncodeHead head;
    head.raw = FindRaw(warp, task);
    const uint64_t tokens = AllTokens(task) & ~head.raw;
    State state;
    EncodeWords(warp, task, tokens, &state);
    head.words = task.word_room - state.left;
    uint8_t* const section = task.out + sizeof head;
    warp.ForEach([&](uint32_t l) {
      if (l < 2) {
        const auto shift = static_cast<uint8_t>(task.shift);
        StoreAligned(section + 4 * l, l == 0 ? uint32_t{shift} : 0);
      }
      StoreAligned(section + KltEntropyKernel::kStatesAt + 4 * l, state.x[l]);
    });
    uint8_t* const words = section + KltEntropyKernel::kWordsAt;
    StoreWords(warp, task.words + state.left, head.words, words);
    head.sign_bytes = StoreSigns(warp, task, tokens, staged,
                                 words + 4 * ((head.words + 1) / 2));
    warp.ForEach([&](uint32_t l) {
      if (l != 0) return;
      *reinterpret_cast<KltEncodeHead*>(task.out) = head;
      if (task.stage == 0) *task.raw_tokens = head.raw;
    });
    warp.Sync();
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    block.Warps([&](const Warp& warp) {
      const uint32_t warps = block.threads() / kWarpLanes;
      for (uint32_t i = block.index() * warps + warp.index();
           i < args.task_count; i += block.count() * warps) {
        // A copy: what is read from the original would be read again after
        // each store.
        const Task task = args.tasks[i];
        Encode(warp, task, shared->signs[warp.index()]);
      }
    });
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_ENTROPY_ENCODE_KERNEL_H_
