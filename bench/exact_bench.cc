// Size and speed of `exact` beside zstd on the same real KV, unit by unit: a
// unit is what a frame holds (a segment of 64 tokens, one layer group). All of
// a frame's bytes count. Profiles are fitted on text A, everything is measured
// on text B.
#include <string>

#include "base/limits.h"
#include "bench/bench.h"
#include "bench/kv_units.h"
#include "bench/zstd_reference.h"
#include "codec/codec.h"
#include "codec/exact_simd.h"
#include "codec/frame.h"

namespace reprise::bench {
namespace {

constexpr uint32_t kFitTokens = 1024;

struct Corpus : KvCorpus {
  std::shared_ptr<const CodecProfile> profile;
  const Codec* codec = FindCodec(CodecId::kExact);
};

Status LoadCorpus(const BenchContext& context, const char* fit,
                  const char* measured, Corpus* corpus) {
  REPRISE_RETURN_IF_ERROR(LoadKvCorpus(
      context.data_dir, fit, measured,
      context.quick ? 2 * kSegmentTokens : kAllTokensOfDump, corpus));
  REPRISE_ASSIGN_OR_RETURN(
      corpus->profile,
      TrainProfile(corpus->fit, {corpus->codec, nullptr}, kFitTokens));
  return Status();
}

Result<std::vector<Bytes>> EncodeAll(const Corpus& corpus,
                                     const CodecProfile* profile) {
  return EncodeUnits(corpus.units, *corpus.codec, {.profile = profile});
}

// The smallest that zstd makes of all units: as they are or split, fast or
// thorough.
struct ZstdSize {
  uint64_t bytes = ~uint64_t{0};
  std::string how;
};

ZstdSize BestZstd(const Corpus& corpus) {
  ZstdReference zstd;
  Bytes split;
  Bytes out;
  ZstdSize best;
  for (const int level : {3, 19}) {
    for (const bool planes : {false, true}) {
      uint64_t bytes = 0;
      for (const KvUnit& unit : corpus.units) {
        SplitByBytePlane(unit.raw, planes ? corpus.element_bytes : 1, &split);
        bytes += zstd.Compress(split, level, &out);
      }
      if (bytes < best.bytes) {
        best = {bytes, "zstd -" + std::to_string(level) +
                           (planes ? " of byte planes" : "")};
      }
    }
  }
  return best;
}

double Bpv(uint64_t bytes, const Corpus& corpus) {
  return 8.0 * static_cast<double>(bytes) / corpus.values;
}

BenchRow SizeRow(const std::string& name, uint64_t bytes, const ZstdSize& zstd,
                 const Corpus& corpus) {
  char note[96];
  std::snprintf(note, sizeof note, "%.3f bpv against %.3f", Bpv(bytes, corpus),
                Bpv(zstd.bytes, corpus));
  BenchRow row;
  row.name = name;
  row.value = static_cast<double>(bytes) / static_cast<double>(zstd.bytes);
  row.unit = "x";
  row.reference = zstd.how + ", bpv";
  row.reference_value = Bpv(zstd.bytes, corpus);
  row.target = 1.0;
  row.has_target = true;
  row.lower_is_better = true;
  row.note = note;
  return row;
}

uint64_t TotalBytes(const std::vector<Bytes>& frames) {
  uint64_t total = 0;
  for (const Bytes& frame : frames) total += frame.size();
  return total;
}

Result<std::vector<BenchRow>> RunSize(const BenchContext& context) {
  std::vector<BenchRow> rows;
  const struct {
    const char* name;
    const char* fit;
    const char* measured;
  } types[] = {{"exact.size.f16", kDumpF16A, kDumpF16B},
               {"exact.size.bf16", kDumpBf16A, kDumpBf16B}};
  for (const auto& type : types) {
    Corpus corpus;
    REPRISE_RETURN_IF_ERROR(
        LoadCorpus(context, type.fit, type.measured, &corpus));
    const ZstdSize zstd = BestZstd(corpus);
    REPRISE_ASSIGN_OR_RETURN(const std::vector<Bytes> with,
                             EncodeAll(corpus, corpus.profile.get()));
    rows.push_back(SizeRow(type.name, TotalBytes(with), zstd, corpus));
    REPRISE_ASSIGN_OR_RETURN(const std::vector<Bytes> without,
                             EncodeAll(corpus, nullptr));
    rows.push_back(SizeRow(std::string(type.name) + ".no_profile",
                           TotalBytes(without), zstd, corpus));
  }
  return rows;
}

// What zstd's side of a speed row works on: -1 of the byte planes.
struct ZstdUnits {
  std::vector<Bytes> split;
  std::vector<Bytes> coded;
  std::vector<uint64_t> sizes;
};

ZstdUnits SplitAll(const Corpus& corpus) {
  ZstdReference zstd;
  ZstdUnits units;
  for (const KvUnit& unit : corpus.units) {
    SplitByBytePlane(unit.raw, corpus.element_bytes,
                     &units.split.emplace_back());
    units.sizes.push_back(
        zstd.Compress(units.split.back(), 1, &units.coded.emplace_back()));
  }
  return units;
}

Result<BenchRow> DecodeRow(const std::string& name, const Corpus& corpus,
                           const ZstdUnits& zstd_units, int repetitions) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<Bytes> frames,
                           EncodeAll(corpus, corpus.profile.get()));
  CodecScratch scratch;
  FrameView view;
  ZstdReference zstd;
  Bytes out(corpus.units[0].raw.size());
  bool right = true;
  const auto ours = [&] {
    for (size_t i = 0; i < frames.size(); ++i) {
      const KvUnit& unit = corpus.units[i];
      const std::vector<PlaneRows> rows = unit.RowsIn(out.data());
      right &= ParseFrame(frames[i], &view).ok() &&
               corpus.codec
                   ->Decode(view,
                            {.slices = unit.slices,
                             .rows = rows,
                             .token_count = kSegmentTokens,
                             .profile = corpus.profile.get()},
                            &scratch)
                   .ok();
    }
  };
  const auto theirs = [&] {
    for (size_t i = 0; i < zstd_units.coded.size(); ++i) {
      right &= zstd.Decompress(
          zstd_units.coded[i], zstd_units.sizes[i],
          MutableByteView(out).first(zstd_units.split[i].size()));
    }
  };
  const Paired paired = TimeInTurn(repetitions, ours, theirs);
  ours();
  right &= BytesEqual(ByteView(out).first(corpus.units.back().raw.size()),
                      corpus.units.back().raw);
  if (!right) return InternalError("bench: a unit did not come back");
  return SpeedRow(name, paired, corpus.bytes, "zstd -d of byte planes, GB/s",
                  1.0);
}

Result<BenchRow> EncodeRow(const std::string& name, const Corpus& corpus,
                           const ZstdUnits& zstd_units, int repetitions,
                           const CodecProfile* profile) {
  CodecScratch scratch;
  FrameBuilder builder;
  ZstdReference zstd;
  Bytes out;
  bool right = true;
  const auto ours = [&] {
    for (const KvUnit& unit : corpus.units) {
      const EncodeRequest request{unit.info, unit.slices, unit.rows, profile};
      right &= corpus.codec->Encode(request, &scratch, &builder).ok() &&
               builder.Finish().ok();
    }
  };
  const auto theirs = [&] {
    for (const Bytes& split : zstd_units.split) {
      right &= zstd.Compress(split, 1, &out) > 0;
    }
  };
  const Paired paired = TimeInTurn(repetitions, ours, theirs);
  if (!right) return InternalError("bench: a unit was not encoded");
  return SpeedRow(name, paired, corpus.bytes, "zstd -1 of byte planes, GB/s",
                  1.0);
}

Result<std::vector<BenchRow>> RunSpeed(const BenchContext& context) {
  std::vector<BenchRow> rows;
  const int repetitions = context.quick ? 3 : 11;
  const struct {
    const char* name;
    const char* fit;
    const char* measured;
  } types[] = {{"bf16", kDumpBf16A, kDumpBf16B}, {"f16", kDumpF16A, kDumpF16B}};
  for (const auto& type : types) {
    Corpus corpus;
    REPRISE_RETURN_IF_ERROR(
        LoadCorpus(context, type.fit, type.measured, &corpus));
    const ZstdUnits zstd = SplitAll(corpus);
    const std::string name = type.name;
    const std::vector<int64_t> targets = ExactTargets();
    for (const int64_t target : targets) {
      ChooseExactTarget(target);
      const bool best = target == targets.front();
      const std::string suffix =
          best ? "" : "." + std::string(ExactTargetName(target));
      REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(),
                               DecodeRow("exact.decode." + name + suffix,
                                         corpus, zstd, repetitions));
      REPRISE_ASSIGN_OR_RETURN(
          rows.emplace_back(),
          EncodeRow("exact.encode." + name + suffix, corpus, zstd, repetitions,
                    corpus.profile.get()));
      // Other instruction sets stand beside, and f16, where zstd stores nearly
      // everything as it is: without a target.
      if (!best || name != "bf16")
        rows.back().has_target = rows.end()[-2].has_target = false;
      ChooseExactTarget(0);
    }
    REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(),
                             EncodeRow("exact.encode." + name + ".no_profile",
                                       corpus, zstd, repetitions, nullptr));
    rows.back().has_target = false;
  }
  return rows;
}

const bool kAdded =
    Register({"exact.size", "bytes of exact frames beside zstd's", RunSize}) &&
    Register({"exact.speed", "exact frames decoded and encoded beside zstd",
              RunSpeed});

}  // namespace
}  // namespace reprise::bench
