// The two ratios of stored state, always labelled, never mixed:
//
//   state ratio    bytes of one state at 16 bits a value, over all bytes that
//                  are stored for it: frames, records, tokens, tail, commit
//   history ratio  the sum of all snapshots that a saver of whole states would
//                  have written on the way (after every token, or after every
//                  turn), at 16 bits a value, over the same stored bytes
//
// The history ratio grows with the number of snapshots, without any codec:
// after every token it is (n + 1) / 2 times the state ratio. Profiles are
// shared by all sessions of a model and are counted beside.
#ifndef REPRISE_TOOLS_EVAL_STATE_RATIOS_H_
#define REPRISE_TOOLS_EVAL_STATE_RATIOS_H_

#include <cstdint>

namespace reprise {

// What is stored of one state.
struct StoredSize {
  uint64_t tokens = 0;
  uint64_t values = 0;  // of K and V; two opaque bytes count as one
  double frame_bytes = 0;
  double record_bytes = 0;   // with keys, tokens, commit and session
  double profile_bytes = 0;  // not in the ratios

  double stored_bytes() const { return frame_bytes + record_bytes; }
};

// Every stored bit over the number of values. REQUIRES: values > 0.
double BitsPerValue(const StoredSize& size);
// REQUIRES: something is stored.
double StateRatio(const StoredSize& size);

struct HistoryRatio {
  double ratio = 0;
  uint64_t snapshots = 0;
  double snapshot_bytes = 0;  // of all of them, at 16 bits a value
};
// With a snapshot after every `tokens_a_turn` tokens and one at the end.
// REQUIRES: tokens_a_turn > 0; something is stored.
HistoryRatio HistoryRatioOf(const StoredSize& size, uint64_t tokens_a_turn);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_STATE_RATIOS_H_
