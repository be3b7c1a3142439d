// A dump cut into what frames hold: a segment of 64 tokens, one layer group.
#ifndef REPRISE_BENCH_KV_UNITS_H_
#define REPRISE_BENCH_KV_UNITS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/kv_file.h"
#include "codec/codec.h"

namespace reprise::bench {

struct KvUnit {
  FrameInfo info;
  std::vector<PlaneSlice> slices;    // point into the dump's spec
  std::vector<ConstPlaneRows> rows;  // in the dump
  Bytes raw;                         // the same, as one run of bytes

  // Rows in `out`, slice by slice without gaps, as in `raw`.
  // REQUIRES: raw.size() bytes at `out`.
  std::vector<PlaneRows> RowsIn(uint8_t* out) const;
};

// All whole segments of the first `max_tokens` tokens. The dump must stay
// where it is. kFailedPrecondition when there are none.
Result<std::vector<KvUnit>> CutIntoUnits(const KvDump& dump,
                                         uint32_t max_tokens);

uint64_t RawBytesOf(const std::vector<KvUnit>& units);

inline constexpr uint32_t kAllTokensOfDump = 1u << 20;

// Two dumps of one model: profiles are fitted on the one, the units are of the
// other.
struct KvCorpus {
  KvDump fit;
  KvDump measured;
  std::vector<KvUnit> units;
  uint32_t element_bytes = 0;
  double bytes = 0;  // of the units, raw
  double values = 0;
};
// Files in `folder`. `corpus` must stay where it is.
Status LoadKvCorpus(const std::string& folder, const char* fit,
                    const char* measured, uint32_t max_tokens,
                    KvCorpus* corpus);

// A profile fitted on the first `max_tokens` tokens of a dump: its bytes, and
// what they are parsed to.
Result<Bytes> TrainProfileBytes(const KvDump& dump, const CodecChoice& choice,
                                uint32_t max_tokens);
Result<std::shared_ptr<const CodecProfile>> TrainProfile(
    const KvDump& dump, const CodecChoice& choice, uint32_t max_tokens);

struct EncodeSetting {
  const CodecProfile* profile = nullptr;
  const CodecOptions* options = nullptr;
};
Result<std::vector<Bytes>> EncodeUnits(const std::vector<KvUnit>& units,
                                       const Codec& codec,
                                       const EncodeSetting& setting);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_KV_UNITS_H_
