#include "tools/eval/state_ratios.h"

namespace reprise {

double BitsPerValue(const StoredSize& size) {
  return 8 * size.stored_bytes() / static_cast<double>(size.values);
}

double StateRatio(const StoredSize& size) {
  return 2 * static_cast<double>(size.values) / size.stored_bytes();
}

HistoryRatio HistoryRatioOf(const StoredSize& size, uint64_t tokens_a_turn) {
  const uint64_t turns = size.tokens / tokens_a_turn;
  const bool partial = size.tokens % tokens_a_turn != 0;
  HistoryRatio out;
  out.snapshots = turns + (partial ? 1 : 0);
  // Token counts of the snapshots: t, 2t, ... and the whole state.
  const uint64_t token_sum =
      tokens_a_turn * (turns * (turns + 1) / 2) + (partial ? size.tokens : 0);
  // In floating point: 4 Mi tokens of a large model go past 64 bits.
  out.snapshot_bytes = static_cast<double>(token_sum) *
                       static_cast<double>(2 * size.values / size.tokens);
  out.ratio = out.snapshot_bytes / size.stored_bytes();
  return out;
}

}  // namespace reprise
