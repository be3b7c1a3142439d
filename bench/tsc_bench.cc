// Size, error and speed of `tsc` on real KV, unit by unit. All of a frame's
// bytes count. Profiles are calibrated on text A, everything is measured on
// text B. Quality is not measured here: that takes the model.
#include <cmath>
#include <cstring>
#include <string>

#include "bench/bench.h"
#include "bench/kv_units.h"
#include "codec/exact_simd.h"
#include "codec/float_element.h"
#include "codec/tsc_codec.h"

namespace reprise::bench {
namespace {

constexpr char kReference[] = "memcpy of the raw planes, GB/s";

struct Corpus : KvCorpus {
  std::shared_ptr<const CodecProfile> profile;
  const Codec* codec = FindCodec(CodecId::kTsc);
};

Status LoadCorpus(const BenchContext& context, const char* fit,
                  const char* measured, Corpus* corpus) {
  REPRISE_RETURN_IF_ERROR(LoadKvCorpus(
      context.data_dir, fit, measured,
      context.quick ? 2 * kSegmentTokens : kAllTokensOfDump, corpus));
  REPRISE_ASSIGN_OR_RETURN(
      corpus->profile,
      TrainProfile(corpus->fit, {corpus->codec, nullptr}, kAllTokensOfDump));
  return Status();
}

// ------------------------------------------------------------ size and error

// Squared errors over squared values, by the plane's role.
struct Errors {
  double noise[2] = {};
  double signal[2] = {};

  void Add(const KvUnit& unit, const Bytes& decoded) {
    uint64_t at = 0;
    for (const PlaneSlice& slice : unit.slices) {
      const int is_value = slice.spec->role == PlaneRole::kValue;
      const uint64_t end = at + slice.token_bytes() * kSegmentTokens;
      for (; at < end; at += 2) {
        const double x = F16ToF32(LoadLe<uint16_t>(unit.raw.data() + at));
        const double y = F16ToF32(LoadLe<uint16_t>(decoded.data() + at));
        noise[is_value] += (x - y) * (x - y);
        signal[is_value] += x * x;
      }
    }
  }
};

struct Measured {
  uint64_t bytes = 0;
  TscStats stats;
  Errors errors;
};

Result<Measured> Measure(const Corpus& corpus, const std::string& options,
                         bool calibrated) {
  REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice,
                           ParseCodecChoice("tsc:" + options));
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<Bytes> frames,
      EncodeUnits(corpus.units, *corpus.codec,
                  {.profile = calibrated ? corpus.profile.get() : nullptr,
                   .options = choice.options.get()}));
  Measured out;
  CodecScratch scratch;
  FrameView view;
  for (size_t i = 0; i < frames.size(); ++i) {
    const KvUnit& unit = corpus.units[i];
    Bytes decoded(unit.raw.size());
    const std::vector<PlaneRows> rows = unit.RowsIn(decoded.data());
    REPRISE_RETURN_IF_ERROR(ParseFrame(frames[i], &view));
    REPRISE_RETURN_IF_ERROR(
        corpus.codec->Decode(view,
                             {.slices = unit.slices,
                              .rows = rows,
                              .token_count = kSegmentTokens,
                              .profile = corpus.profile.get()},
                             &scratch));
    REPRISE_ASSIGN_OR_RETURN(const TscStats stats, TscFrameStats(view));
    out.bytes += frames[i].size();
    out.stats += stats;
    out.errors.Add(unit, decoded);
  }
  return out;
}

BenchRow SizeRow(const std::string& name, const Measured& measured,
                 const Corpus& corpus, double lab_bpv) {
  const Errors& errors = measured.errors;
  char note[128];
  std::snprintf(note, sizeof note,
                "squared error K %.5f V %.5f of the energy; fallbacks %.4f %%",
                errors.noise[0] / errors.signal[0],
                errors.noise[1] / errors.signal[1],
                100 * measured.stats.fallback_share());
  BenchRow row;
  row.name = name;
  row.value = 8.0 * static_cast<double>(measured.bytes) / corpus.values;
  row.unit = "bpv";
  row.reference = "a model of it, without headers, bpv";
  row.reference_value = lab_bpv;
  row.lower_is_better = true;
  row.note = note;
  return row;
}

Result<std::vector<BenchRow>> RunSize(const BenchContext& context) {
  Corpus corpus;
  REPRISE_RETURN_IF_ERROR(LoadCorpus(context, kDumpF16A, kDumpF16B, &corpus));
  const struct {
    const char* name;
    const char* options;
    bool calibrated;
    double lab_bpv;
  } settings[] = {
      {"tsc.size", "", false, 4.43},
      {"tsc.size.calibrated", "", true, 4.43},
      {"tsc.size.uncalibrated", "max_delta_error=0.001", false, 4.43},
      {"tsc.size.page_segment", "page=segment", false, 4.19},
      {"tsc.size.page_layer", "page=layer", false, 4.27},
      {"tsc.size.kappa8", "kappa=8", false, 5.72},
      {"tsc.size.bits8", "bits=8", false, 8.37},
      {"tsc.size.bits8.calibrated", "bits=8", true, 8.37},
  };
  std::vector<BenchRow> rows;
  for (const auto& setting : settings) {
    REPRISE_ASSIGN_OR_RETURN(
        const Measured measured,
        Measure(corpus, setting.options, setting.calibrated));
    rows.push_back(SizeRow(setting.name, measured, corpus, setting.lab_bpv));
  }
  return rows;
}

// -------------------------------------------------------------------- speed

// All units' bytes, one after the other.
void CopyAll(const Corpus& corpus, uint8_t* out) {
  for (const KvUnit& unit : corpus.units) {
    std::memcpy(out, unit.raw.data(), unit.raw.size());
    out += unit.raw.size();
  }
}

Result<BenchRow> DecodeRow(const std::string& name, const Corpus& corpus,
                           int repetitions) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<Bytes> frames,
                           EncodeUnits(corpus.units, *corpus.codec,
                                       {.profile = corpus.profile.get()}));
  CodecScratch scratch;
  FrameView view;
  // A whole cache, as a restore fills it: larger than the machine's caches.
  Bytes out(RawBytesOf(corpus.units));
  std::vector<std::vector<PlaneRows>> targets;
  uint64_t at = 0;
  for (const KvUnit& unit : corpus.units) {
    targets.push_back(unit.RowsIn(out.data() + at));
    at += unit.raw.size();
  }
  bool right = true;
  const auto ours = [&] {
    for (size_t i = 0; i < frames.size(); ++i) {
      right &= ParseFrame(frames[i], &view).ok() &&
               corpus.codec
                   ->Decode(view,
                            {.slices = corpus.units[i].slices,
                             .rows = targets[i],
                             .token_count = kSegmentTokens},
                            &scratch)
                   .ok();
    }
  };
  const Paired paired =
      TimeInTurn(repetitions, ours, [&] { CopyAll(corpus, out.data()); });
  if (!right) return InternalError("bench: a unit did not come back");
  return SpeedRow(name, paired, corpus.bytes, kReference, 0.3);
}

Result<BenchRow> EncodeRow(const std::string& name, const Corpus& corpus,
                           int repetitions) {
  CodecScratch scratch;
  FrameBuilder builder;
  Bytes out(RawBytesOf(corpus.units));
  bool right = true;
  const auto ours = [&] {
    for (const KvUnit& unit : corpus.units) {
      const EncodeRequest request{.info = unit.info,
                                  .slices = unit.slices,
                                  .rows = unit.rows,
                                  .profile = corpus.profile.get()};
      right &= corpus.codec->Encode(request, &scratch, &builder).ok() &&
               builder.Finish().ok();
    }
  };
  const Paired paired =
      TimeInTurn(repetitions, ours, [&] { CopyAll(corpus, out.data()); });
  if (!right) return InternalError("bench: a unit was not encoded");
  return SpeedRow(name, paired, corpus.bytes, kReference, 0.3);
}

Result<std::vector<BenchRow>> RunSpeed(const BenchContext& context) {
  std::vector<BenchRow> rows;
  const int repetitions = context.quick ? 3 : 11;
  const struct {
    const char* suffix;
    const char* fit;
    const char* measured;
  } types[] = {{"", kDumpF16A, kDumpF16B}, {".bf16", kDumpBf16A, kDumpBf16B}};
  for (const auto& type : types) {
    Corpus corpus;
    REPRISE_RETURN_IF_ERROR(
        LoadCorpus(context, type.fit, type.measured, &corpus));
    const std::vector<int64_t> targets = ExactTargets();
    for (const int64_t target : targets) {
      const bool best = target == targets.front();
      // The others run the scalar loops: once is enough.
      if (!best && ExactTargetName(target) != "AVX2" &&
          target != targets.back()) {
        continue;
      }
      ChooseExactTarget(target);
      const std::string suffix =
          type.suffix +
          (best ? "" : "." + std::string(ExactTargetName(target)));
      REPRISE_ASSIGN_OR_RETURN(
          rows.emplace_back(),
          DecodeRow("tsc.decode" + suffix, corpus, repetitions));
      rows.back().has_target = best;
      REPRISE_ASSIGN_OR_RETURN(
          rows.emplace_back(),
          EncodeRow("tsc.encode" + suffix, corpus, repetitions));
      rows.back().has_target = best;
      ChooseExactTarget(0);
    }
  }
  return rows;
}

const bool kAdded =
    Register({"tsc.size", "bytes and errors of tsc frames", RunSize}) &&
    Register({"tsc.speed", "tsc frames encoded and decoded beside memcpy",
              RunSpeed});

}  // namespace
}  // namespace reprise::bench
