// A dump of one model's KV cache: what size and speed of codecs are measured
// on. Written by bench/kv_dump.cc from a real model and real text; not a
// format that anything else reads.
#ifndef REPRISE_BENCH_KV_FILE_H_
#define REPRISE_BENCH_KV_FILE_H_

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/model_spec.h"
#include "codec/segment.h"

namespace reprise::bench {

// Planes lie one after the other, layer by layer, each [tokens, heads, dim].
struct KvDump {
  ModelSpec spec;
  std::vector<TokenId> tokens;
  Bytes planes;

  // The first byte of plane `plane` of layer `layer`.
  const uint8_t* Plane(uint32_t layer, uint32_t plane) const;
};

Status WriteKvDump(const KvDump& dump, const std::string& path);
// kNotFound with the command that makes it when there is no such file.
Result<KvDump> ReadKvDump(const std::string& path);

// Names of the dumps in BenchContext::data_dir: text A is what profiles are
// fitted on, text B is what sizes are measured on.
inline constexpr char kDumpF16A[] = "smollm2-f16-a.kv";
inline constexpr char kDumpF16B[] = "smollm2-f16-b.kv";
inline constexpr char kDumpBf16A[] = "smollm2-bf16-a.kv";
inline constexpr char kDumpBf16B[] = "smollm2-bf16-b.kv";

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_KV_FILE_H_
