// Size and speed of `exact` beside zstd on the same real KV, unit by unit: a
// unit is what a frame holds (a segment of 64 tokens, one layer group). All of
// a frame's bytes count. Profiles are fitted on text A, everything is measured
// on text B.
#include <algorithm>
#include <string>

#include "bench/bench.h"
#include "bench/kv_file.h"
#include "bench/zstd_reference.h"
#include "codec/codec.h"
#include "codec/exact_profile.h"
#include "codec/exact_simd.h"
#include "codec/frame.h"

namespace reprise::bench {
namespace {

constexpr uint32_t kFitTokens = 1024;

struct Unit {
  FrameInfo info;
  std::vector<PlaneSlice> slices;
  std::vector<ConstPlaneRows> rows;  // in the dump
  Bytes raw;                         // the same, as one run of bytes
};

struct Corpus {
  KvDump fit;
  KvDump measured;
  std::vector<Unit> units;
  std::shared_ptr<const CodecProfile> profile;
  const Codec* codec = FindCodec(CodecId::kExact);
  double values = 0;
  uint32_t element_bytes = 2;
};

Result<Unit> MakeUnit(const KvDump& dump, const LayerGroup& group,
                      uint32_t first_token) {
  Unit unit;
  unit.info.layers = group;
  unit.info.first_token = first_token;
  unit.info.token_count = kSegmentTokens;
  REPRISE_ASSIGN_OR_RETURN(unit.slices,
                           SlicePlanes(dump.spec, group, HeadRange::All()));
  for (const PlaneSlice& slice : unit.slices) {
    const uint64_t stride = slice.token_bytes();
    const uint8_t* data =
        dump.Plane(slice.layer, slice.plane) + first_token * stride;
    unit.rows.push_back({data, stride});
    unit.raw.insert(unit.raw.end(), data, data + kSegmentTokens * stride);
  }
  return unit;
}

Result<std::shared_ptr<const CodecProfile>> FitProfile(const Corpus& corpus) {
  ExactProfileFitter fitter(corpus.fit.spec);
  const auto tokens = std::min<uint32_t>(
      kFitTokens, static_cast<uint32_t>(corpus.fit.tokens.size()));
  for (uint32_t t = 0; t + kSegmentTokens <= tokens; t += kSegmentTokens) {
    for (const LayerGroup& group : LayerGroupsOf(corpus.fit.spec)) {
      REPRISE_ASSIGN_OR_RETURN(const Unit unit, MakeUnit(corpus.fit, group, t));
      fitter.Add(t, kSegmentTokens, unit.slices, unit.rows);
    }
  }
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes, fitter.Fit());
  return corpus.codec->ParseProfile(bytes);
}

Result<Corpus> LoadCorpus(const BenchContext& context, const char* fit,
                          const char* measured) {
  Corpus corpus;
  REPRISE_ASSIGN_OR_RETURN(corpus.fit,
                           ReadKvDump(context.data_dir + "/" + fit));
  REPRISE_ASSIGN_OR_RETURN(corpus.measured,
                           ReadKvDump(context.data_dir + "/" + measured));
  const uint32_t limit = context.quick ? 2 * kSegmentTokens : 1u << 20;
  const auto tokens = std::min<uint32_t>(
      limit, static_cast<uint32_t>(corpus.measured.tokens.size()));
  for (uint32_t t = 0; t + kSegmentTokens <= tokens; t += kSegmentTokens) {
    for (const LayerGroup& group : LayerGroupsOf(corpus.measured.spec)) {
      REPRISE_ASSIGN_OR_RETURN(Unit unit, MakeUnit(corpus.measured, group, t));
      corpus.element_bytes = DTypeBytes(unit.slices[0].spec->dtype);
      corpus.values +=
          static_cast<double>(unit.raw.size()) / corpus.element_bytes;
      corpus.units.push_back(std::move(unit));
    }
  }
  if (corpus.units.empty()) {
    return FailedPreconditionError("bench: the dump holds no whole segment");
  }
  REPRISE_ASSIGN_OR_RETURN(corpus.profile, FitProfile(corpus));
  return corpus;
}

Result<std::vector<Bytes>> EncodeAll(const Corpus& corpus,
                                     const CodecProfile* profile) {
  std::vector<Bytes> frames;
  CodecScratch scratch;
  FrameBuilder builder;
  for (const Unit& unit : corpus.units) {
    const EncodeRequest request{unit.info, unit.slices, unit.rows, profile};
    REPRISE_RETURN_IF_ERROR(corpus.codec->Encode(request, &scratch, &builder));
    REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builder.Finish());
    frames.emplace_back(frame.begin(), frame.end());
  }
  return frames;
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
      for (const Unit& unit : corpus.units) {
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
    REPRISE_ASSIGN_OR_RETURN(const Corpus corpus,
                             LoadCorpus(context, type.fit, type.measured));
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
  for (const Unit& unit : corpus.units) {
    SplitByBytePlane(unit.raw, corpus.element_bytes,
                     &units.split.emplace_back());
    units.sizes.push_back(
        zstd.Compress(units.split.back(), 1, &units.coded.emplace_back()));
  }
  return units;
}

BenchRow SpeedRow(const std::string& name, const Paired& paired, double bytes,
                  const char* reference) {
  char note[96];
  std::snprintf(note, sizeof note, "%.2f GB/s of raw bytes against %.2f",
                bytes / paired.ours_seconds / 1e9,
                bytes / paired.theirs_seconds / 1e9);
  BenchRow row;
  row.name = name;
  row.value = paired.ratio.median;
  row.spread = paired.ratio.relative;
  row.unit = "x";
  row.reference = reference;
  row.reference_value = bytes / paired.theirs_seconds / 1e9;
  row.target = 1.0;
  row.has_target = true;
  row.note = note;
  return row;
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
  double bytes = 0;
  for (const Unit& unit : corpus.units) {
    bytes += static_cast<double>(unit.raw.size());
  }
  const auto ours = [&] {
    for (size_t i = 0; i < frames.size(); ++i) {
      const Unit& unit = corpus.units[i];
      std::vector<PlaneRows> rows;
      uint64_t offset = 0;
      for (const PlaneSlice& slice : unit.slices) {
        rows.push_back({out.data() + offset, slice.token_bytes()});
        offset += slice.token_bytes() * kSegmentTokens;
      }
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
  return SpeedRow(name, paired, bytes, "zstd -d of byte planes, GB/s");
}

Result<BenchRow> EncodeRow(const std::string& name, const Corpus& corpus,
                           const ZstdUnits& zstd_units, int repetitions,
                           const CodecProfile* profile) {
  CodecScratch scratch;
  FrameBuilder builder;
  ZstdReference zstd;
  Bytes out;
  bool right = true;
  double bytes = 0;
  for (const Unit& unit : corpus.units) {
    bytes += static_cast<double>(unit.raw.size());
  }
  const auto ours = [&] {
    for (const Unit& unit : corpus.units) {
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
  return SpeedRow(name, paired, bytes, "zstd -1 of byte planes, GB/s");
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
    REPRISE_ASSIGN_OR_RETURN(const Corpus corpus,
                             LoadCorpus(context, type.fit, type.measured));
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
