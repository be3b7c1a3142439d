// The streams of `klt` to coefficients: all stages of one segment and layer
// group at once (docs/format/codecs/klt.md, section 3).
#ifndef REPRISE_GPU_KLT_ENTROPY_KERNEL_H_
#define REPRISE_GPU_KLT_ENTROPY_KERNEL_H_

#include <cstdint>

#include "codec/klt_step.h"
#include "gpu/executor.h"
#include "gpu/kernel.h"
#include "gpu/klt_tiles.h"

namespace reprise {

inline constexpr uint32_t kKltGpuStages = 4;
inline constexpr uint32_t kKltGpuSlots = 4096;
inline constexpr uint32_t kKltGpuSymbols = 64;
inline constexpr uint32_t kKltGpuTables = 64;
inline constexpr uint32_t kKltGpuContexts = 4;  // three, and one that pads
inline constexpr uint32_t kKltGpuLevels = 256;

// A profile's table of exponents or of magnitudes.
struct KltGpuTable {
  uint32_t entries[kKltGpuSymbols];  // frequency | start << 16
  uint8_t symbols[kKltGpuSlots];     // by slot
};

// A profile's group, as far as streams know it.
struct KltGpuGroup {
  const uint8_t* levels;  // [rows]
  // [257]: how many rows have at least that level. They are the first ones.
  const uint16_t* rows_from;
  uint32_t coefficients;
  uint32_t rows;
};

// What the kernel says of a damaged unit.
enum class KltDamage : uint32_t {
  kStream = 1,     // a limit on magnitudes is broken, or the end is not one
  kMagnitudes = 2  // a token's sum of magnitudes is above the limit
};

// One segment and layer group; one warp decodes it.
struct KltEntropyTask {
  struct Stage {
    const uint8_t* section;  // of coefficients; a multiple of 8
    uint32_t words;
    uint32_t sign_bytes;
  };
  Stage stages[kKltGpuStages];
  uint32_t stage_count = 0;
  uint32_t group_count = 0;
  const KltGpuGroup* groups = nullptr;     // [group_count]
  uint8_t* const* coefficients = nullptr;  // [group_count] KltTiles; null: none
  const KltGpuTable* tables = nullptr;     // exponents, then magnitudes [n0]
  const uint32_t* refining = nullptr;  // [n1][4] start of 1 | start of 2 << 16
  uint64_t tokens = 0;                 // a mask: those that are not raw
  double step = 1;                     // D
  uint32_t lo0 = 0;
  uint32_t lo1 = 0;
  uint32_t last_magnitudes = 0;  // n0 - 1
  uint32_t last_refining = 0;    // n1 - 1
  uint32_t token_count = 0;
  uint32_t wanted_tokens = 0;  // the first ones: others are checked, no more
  int32_t first_exponent = 0;  // of o = 0: shift - 3
  uint32_t unit = 0;
};

// A row goes through all stages before the next one starts, so that
// magnitudes are refined in registers, written once, and the stages' chains of
// states overlap. Each step of a chain waits for the last one (state, table,
// word: about 150 cycles), so what bounds the kernel is how many warps an SM
// has to take turns; tables of magnitudes, 4 KiB each, come from L1.
struct KltEntropyKernel {
  static constexpr KernelId kId = KernelId::kKltEntropy;
  static constexpr uint32_t kThreads = 128;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = kThreads / kWarpLanes;
  using Task = KltEntropyTask;
  struct Shared {
    uint32_t refining[kBlockTasks][kKltGpuTables * kKltGpuContexts];
  };

  static constexpr uint32_t kLowState = 1u << 16;
  static constexpr uint32_t kEscape = 63;
  static constexpr uint32_t kMaxMagnitude = 32767;
  static constexpr uint32_t kMaxSum = 131071;
  static constexpr uint32_t kStatesAt = 8;
  static constexpr uint32_t kWordsAt = kStatesAt + 4 * kWarpLanes;

  // One stage's, while it is decoded. Cursors may pass the ends, which is seen
  // when all is done; reads never do.
  struct Stream {
    Lanes<uint32_t> x;
    const uint8_t* words;  // then signs, at the next multiple of 4 bytes
    uint32_t word_count;
    uint32_t word_cursor;
    uint32_t sign_count;  // bits
    uint32_t sign_cursor;

    REPRISE_GPU uint32_t Word(uint32_t ahead) const {
      const uint32_t at = word_cursor + ahead;
      return LoadAligned<uint16_t>(
          words + 2 * uint64_t{at < word_count ? at : word_count});
    }
    // The next 32 bits.
    REPRISE_GPU uint32_t Signs() const {
      const uint32_t at = sign_cursor < sign_count ? sign_cursor : sign_count;
      const uint8_t* const from =
          words + 4 * (uint64_t{word_count} / 2 + word_count % 2 + at / 32);
      const uint64_t bits = uint64_t{LoadAligned<uint32_t>(from + 4)} << 32 |
                            LoadAligned<uint32_t>(from);
      return static_cast<uint32_t>(bits >> at % 32);
    }
  };

  // A row's coefficients on their way through the stages.
  struct Row {
    Lanes<uint32_t> magnitude;
    Lanes<uint32_t> is_negative;
    uint32_t active;  // lanes
  };

  // What a group's tokens have in common.
  struct Group {
    KltGpuGroup of;
    KltTiles tiles;
    uint8_t* out;                    // null: not wanted
    Lanes<uint32_t> low, high, top;  // marks of the tile of tokens at hand
    Lanes<uint32_t> exponents[2];    // o, by token
  };

  // What a warp knows of its task.
  struct State {
    Stream streams[kKltGpuStages];
    const uint32_t* refining;    // shared
    Lanes<uint32_t> magnitudes;  // all that there were, together
    uint32_t sums_too_large;
  };

  REPRISE_GPU static uint32_t FirstLanes(uint32_t count) {
    return count < kWarpLanes ? (1u << count) - 1 : ~0u;
  }

  REPRISE_GPU static void Open(const Warp& warp,
                               const KltEntropyTask::Stage& stage,
                               Stream* stream) {
    warp.ForEach([&](uint32_t l) {
      stream->x[l] = LoadAligned<uint32_t>(stage.section + kStatesAt + 4 * l);
    });
    stream->words = stage.section + kWordsAt;
    stream->word_count = stage.words;
    stream->word_cursor = 0;
    stream->sign_count = 8 * stage.sign_bytes;
    stream->sign_cursor = 0;
  }

  // Whether the stream ends as it must.
  REPRISE_GPU static bool IsEnd(const Warp& warp, const Stream& stream) {
    const uint32_t others =
        warp.Ballot([&](uint32_t l) { return stream.x[l] != kLowState; });
    if (others != 0 || stream.word_cursor != stream.word_count ||
        stream.sign_count - stream.sign_cursor >= 8) {
      return false;
    }
    const uint32_t left = stream.sign_count - stream.sign_cursor;
    return (stream.Signs() & FirstLanes(left)) == 0;
  }

  // The symbols' way out of the states.
  REPRISE_GPU static void Advance(const Warp& warp, uint32_t active,
                                  const Lanes<uint32_t>& frequency,
                                  const Lanes<uint32_t>& bias, Stream* stream) {
    warp.ForEach([&](uint32_t l) {
      if ((active >> l & 1) == 0) return;
      stream->x[l] = frequency[l] * (stream->x[l] >> 12) + bias[l];
    });
    const uint32_t low = active & warp.Ballot([&](uint32_t l) {
      return stream->x[l] < kLowState;
    });
    warp.ForEach([&](uint32_t l) {
      if ((low >> l & 1) == 0) return;
      stream->x[l] = stream->x[l] << 16 | stream->Word(CountBelow(low, l));
    });
    stream->word_cursor += CountOnes(low);
  }

  REPRISE_GPU static void DecodeSymbols(const Warp& warp,
                                        const KltGpuTable& table,
                                        uint32_t active, Stream* stream,
                                        Lanes<uint32_t>* symbols) {
    Lanes<uint32_t> frequency, bias;
    warp.ForEach([&](uint32_t l) {
      const uint32_t slot = stream->x[l] % kKltGpuSlots;
      const uint32_t symbol = table.symbols[slot] % kKltGpuSymbols;
      const uint32_t entry = table.entries[symbol];
      frequency[l] = entry & 0xffff;
      bias[l] = slot - (entry >> 16);
      (*symbols)[l] = (active >> l & 1) != 0 ? symbol : 0;
    });
    Advance(warp, active, frequency, bias, stream);
  }

  REPRISE_GPU static void TakeSigns(const Warp& warp, uint32_t takers,
                                    Stream* stream, Row* row) {
    if (takers == 0) return;
    const uint32_t signs = stream->Signs();
    warp.ForEach([&](uint32_t l) {
      if ((takers >> l & 1) == 0) return;
      row->is_negative[l] = signs >> CountBelow(takers, l) & 1;
    });
    stream->sign_cursor += CountOnes(takers);
  }

  REPRISE_GPU static void DecodeMagnitudes(const Warp& warp,
                                           const KltGpuTable& table,
                                           Stream* stream, Row* row) {
    DecodeSymbols(warp, table, row->active, stream, &row->magnitude);
    const uint32_t escaped =
        warp.Ballot([&](uint32_t l) { return row->magnitude[l] == kEscape; });
    if (escaped != 0) {
      warp.ForEach([&](uint32_t l) {
        if ((escaped >> l & 1) == 0) return;
        row->magnitude[l] = stream->Word(CountBelow(escaped, l));
      });
      stream->word_cursor += CountOnes(escaped);
    }
    const uint32_t some =
        warp.Ballot([&](uint32_t l) { return row->magnitude[l] != 0; });
    TakeSigns(warp, some, stream, row);
  }

  // `contexts`: of the row's table.
  REPRISE_GPU static void Refine(const Warp& warp, const uint32_t* contexts,
                                 Stream* stream, Row* row) {
    Lanes<uint32_t> frequency, bias, next;
    warp.ForEach([&](uint32_t l) {
      const uint32_t m = row->magnitude[l];
      const uint32_t starts = contexts[m < 2 ? m : 2];
      const uint32_t one = starts & 0xffff;
      const uint32_t two = starts >> 16;
      const uint32_t slot = stream->x[l] % kKltGpuSlots;
      const bool is_one = slot >= one;
      const bool is_two = slot >= two;
      const uint32_t start = is_two ? two : (is_one ? one : 0);
      const uint32_t end = is_two ? kKltGpuSlots : (is_one ? two : one);
      frequency[l] = end - start;
      bias[l] = slot - start;
      next[l] = is_two ? 3 * m - 1 : 3 * m + (is_one ? 1 : 0);
    });
    Advance(warp, row->active, frequency, bias, stream);
    const uint32_t fresh = row->active & warp.Ballot([&](uint32_t l) {
      return row->magnitude[l] == 0 && next[l] != 0;
    });
    warp.ForEach([&](uint32_t l) {
      if ((row->active >> l & 1) != 0) row->magnitude[l] = next[l];
    });
    TakeSigns(warp, fresh, stream, row);
  }

  // Makes a tile zero when something is about to be written to it for the
  // first time.
  REPRISE_GPU static void OpenTile(const Warp& warp, uint32_t row,
                                   uint32_t bytes, Lanes<uint32_t>* marks,
                                   uint8_t* tile) {
    const uint32_t bit = 1u << row % 32;
    const uint32_t marked = warp.Ballot(
        [&](uint32_t l) { return l == row / 32 && ((*marks)[l] & bit) != 0; });
    if (marked != 0) return;
    warp.ForEach([&](uint32_t l) {
      if (l == row / 32) (*marks)[l] |= bit;
      if (16 * l < bytes) StoreAligned(tile + 16 * l, KltLaneBytes{});
    });
    warp.Sync();
  }

  // A token's row to its tile.
  REPRISE_GPU static void Put(const Warp& warp, const Row& row, uint32_t token,
                              uint32_t index, Group* group) {
    const uint32_t tile = token / kKltTileTokens;
    const uint32_t place = token % kKltTileTokens;
    const auto q = [&](uint32_t l) {
      const auto m = static_cast<int32_t>(row.magnitude[l]);
      return row.is_negative[l] != 0 ? -m : m;
    };
    uint8_t* const low =
        group->out + group->tiles.TileAt(KltLimb::kLow, tile, index);
    OpenTile(warp, index, kKltTileBytes, &group->low, low);
    warp.ForEach([&](uint32_t l) {
      low[KltByteInTile(place, l)] = static_cast<uint8_t>(q(l));
    });
    // Above 127 or below -128.
    const uint32_t large = warp.Ballot(
        [&](uint32_t l) { return static_cast<uint32_t>(q(l) + 128) > 255; });
    if (large == 0) return;
    uint8_t* const high =
        group->out + group->tiles.TileAt(KltLimb::kHigh, tile, index);
    OpenTile(warp, index, kKltTileBytes, &group->high, high);
    warp.ForEach([&](uint32_t l) {
      const int32_t limb = (q(l) + 128) >> 8;
      high[KltByteInTile(place, l)] =
          static_cast<uint8_t>(limb < 128 ? limb : 127);
    });
    const uint32_t top =
        warp.Ballot([&](uint32_t l) { return (q(l) + 128) >> 8 > 127; });
    if (top == 0) return;
    uint8_t* const bits =
        group->out + group->tiles.TileAt(KltLimb::kTop, tile, index);
    OpenTile(warp, index, kKltTopBytes, &group->top, bits);
    warp.ForEach([&](uint32_t l) {
      if (l == 0) StoreAligned(bits + 4 * place, top);
    });
  }

  struct RowCounts {
    uint32_t of[kKltGpuStages];
  };
  REPRISE_GPU static uint32_t CountRows(const KltGpuGroup& group, int base) {
    const int least = base > 0 ? 0 : -base;
    const int most = kKltGpuLevels;
    return group.rows_from[least < most ? least : most];
  }
  // Stages that are not there have none.
  REPRISE_GPU static RowCounts CountRows(const Task& task,
                                         const KltGpuGroup& group, int e) {
    RowCounts counts;
    REPRISE_UNROLL
    for (uint32_t k = 0; k < kKltGpuStages; ++k) {
      const uint32_t lo = k == 0 ? task.lo0 : task.lo1;
      counts.of[k] =
          k < task.stage_count ? CountRows(group, KltBase(k, lo, e)) : 0;
    }
    return counts;
  }

  // Number of a row's table. REQUIRES: the row is coded.
  REPRISE_GPU static uint32_t TableOf(uint32_t level, int base, uint32_t last) {
    const auto index = static_cast<uint32_t>(static_cast<int>(level) + base);
    return index < last ? index : last;
  }

  REPRISE_GPU static void DecodeRow(const Warp& warp, const Task& task,
                                    const RowCounts& counts, int e,
                                    uint32_t index, uint32_t level,
                                    State* state, Row* row) {
    warp.ForEach([&](uint32_t l) {
      row->magnitude[l] = 0;
      row->is_negative[l] = 0;
    });
    if (index < counts.of[0]) {
      const uint32_t table =
          TableOf(level, KltBase(0, task.lo0, e), task.last_magnitudes);
      DecodeMagnitudes(warp, task.tables[1 + table], &state->streams[0], row);
    }
    REPRISE_UNROLL
    for (uint32_t k = 1; k < kKltGpuStages; ++k) {
      if (index >= counts.of[k]) continue;
      const uint32_t table =
          TableOf(level, KltBase(k, task.lo1, e), task.last_refining);
      Refine(warp, state->refining + kKltGpuContexts * table,
             &state->streams[k], row);
    }
  }

  REPRISE_GPU static void DecodeToken(const Warp& warp, const Task& task,
                                      uint32_t token, Group* group,
                                      State* state) {
    // An index that is not constant would cost registers.
    const uint32_t lane = token % kWarpLanes;
    const uint32_t first = warp.Broadcast(group->exponents[0], lane);
    const uint32_t second = warp.Broadcast(group->exponents[1], lane);
    const int e = task.first_exponent +
                  static_cast<int>(token < kWarpLanes ? first : second);
    const RowCounts counts = CountRows(task, group->of, e);
    uint32_t count = 0;
    REPRISE_UNROLL
    for (uint32_t k = 0; k < kKltGpuStages; ++k) {
      count = counts.of[k] > count ? counts.of[k] : count;
    }
    const bool is_wanted = group->out != nullptr && token < task.wanted_tokens;
    Lanes<uint32_t> sums;
    warp.ForEach([&](uint32_t l) { sums[l] = 0; });
    for (uint32_t r = 0; r < count; ++r) {
      Row row;
      row.active = FirstLanes(group->of.coefficients - r * kWarpLanes);
      DecodeRow(warp, task, counts, e, r, group->of.levels[r], state, &row);
      const uint32_t some =
          warp.Ballot([&](uint32_t l) { return row.magnitude[l] != 0; });
      if (some == 0) continue;
      warp.ForEach([&](uint32_t l) {
        sums[l] += row.magnitude[l];
        state->magnitudes[l] |= row.magnitude[l];
      });
      if (is_wanted) Put(warp, row, token, r, group);
    }
    if (is_wanted && warp.Sum(sums) > kMaxSum) state->sums_too_large = 1;
  }

  REPRISE_GPU static void DecodeExponents(const Warp& warp, const Task& task,
                                          Group* group, State* state) {
    REPRISE_UNROLL
    for (uint32_t r = 0; r < 2; ++r) {
      const auto tokens = static_cast<uint32_t>(task.tokens >> r * kWarpLanes);
      DecodeSymbols(warp, task.tables[0], tokens, &state->streams[0],
                    &group->exponents[r]);
      if (group->out == nullptr) continue;
      warp.ForEach([&](uint32_t l) {
        const int e =
            task.first_exponent + static_cast<int>(group->exponents[r][l]);
        StoreAligned(group->out + KltTiles::StepAt(r * kWarpLanes + l),
                     KltStep(task.step, task.stage_count - 1, e));
      });
    }
  }

  REPRISE_GPU static void PutMarks(const Warp& warp, KltLimb limb,
                                   uint32_t tile, const Lanes<uint32_t>& marks,
                                   uint8_t* out) {
    warp.ForEach([&](uint32_t l) {
      if (l >= kKltMarkWords) return;
      StoreAligned(out + KltTiles::MarksAt(limb, tile) + 4 * l, marks[l]);
    });
  }

  REPRISE_GPU static void DecodeGroup(const Warp& warp, const Task& task,
                                      uint32_t index, State* state) {
    Group group;
    group.of = task.groups[index];
    group.out = task.coefficients[index];
    group.tiles = {.token_tiles = KltTokenTiles(task.wanted_tokens),
                   .rows = group.of.rows};
    DecodeExponents(warp, task, &group, state);
    for (uint32_t tile = 0; tile * kKltTileTokens < task.token_count; ++tile) {
      warp.ForEach(
          [&](uint32_t l) { group.low[l] = group.high[l] = group.top[l] = 0; });
      for (uint32_t t = 0; t < kKltTileTokens; ++t) {
        const uint32_t token = tile * kKltTileTokens + t;
        if ((task.tokens >> token & 1) == 0) continue;
        DecodeToken(warp, task, token, &group, state);
      }
      if (group.out == nullptr || tile >= group.tiles.token_tiles) continue;
      PutMarks(warp, KltLimb::kLow, tile, group.low, group.out);
      PutMarks(warp, KltLimb::kHigh, tile, group.high, group.out);
      PutMarks(warp, KltLimb::kTop, tile, group.top, group.out);
    }
  }

  REPRISE_GPU static void DecodeTask(const Warp& warp, const Task& task,
                                     uint32_t* refining, uint32_t* damage) {
    State state;
    state.refining = refining;
    state.sums_too_large = 0;
    warp.ForEach([&](uint32_t l) {
      state.magnitudes[l] = 0;
      for (uint32_t i = l; i < (task.last_refining + 1) * kKltGpuContexts;
           i += kWarpLanes) {
        refining[i] = task.refining[i];
      }
    });
    warp.Sync();
    REPRISE_UNROLL
    for (uint32_t k = 0; k < kKltGpuStages; ++k) {
      if (k < task.stage_count) Open(warp, task.stages[k], &state.streams[k]);
    }
    for (uint32_t g = 0; g < task.group_count; ++g) {
      DecodeGroup(warp, task, g, &state);
    }
    bool is_whole = warp.Ballot([&](uint32_t l) {
      return state.magnitudes[l] > kMaxMagnitude;
    }) == 0;
    REPRISE_UNROLL
    for (uint32_t k = 0; k < kKltGpuStages; ++k) {
      if (k >= task.stage_count) continue;
      is_whole = IsEnd(warp, state.streams[k]) && is_whole;
    }
    const KltDamage found =
        is_whole ? KltDamage::kMagnitudes : KltDamage::kStream;
    if (is_whole && state.sums_too_large == 0) return;
    warp.ForEach([&](uint32_t l) {
      if (l == 0) *damage = static_cast<uint32_t>(found);
    });
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    block.Warps([&](const Warp& warp) {
      const uint32_t warps = block.threads() / kWarpLanes;
      for (uint32_t i = block.index() * warps + warp.index();
           i < args.task_count; i += block.count() * warps) {
        // A copy: each store would have what is used of the original read
        // again.
        const Task task = args.tasks[i];
        warp.Sync();  // the last task's tables are not looked at any more
        DecodeTask(warp, task, shared->refining[warp.index()],
                   args.damage + task.unit);
      }
    });
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_ENTROPY_KERNEL_H_
