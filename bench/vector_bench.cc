// Size, error and speed of `vq` and `pq` on real KV, unit by unit. All of a
// frame's bytes count. Profiles are trained on text A, everything is measured
// on text B. Quality is not measured here: that takes the model.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "bench/bench.h"
#include "bench/kv_units.h"
#include "bench/nearest_reference.h"
#include "bench/zstd_reference.h"
#include "codec/exact_simd.h"
#include "codec/float_rows.h"
#include "codec/vector_codec.h"
#include "codec/vector_kernel.h"
#include "codec/vector_profile.h"
#include "codec/vector_simd.h"

namespace reprise::bench {
namespace {

constexpr uint32_t kMeasuredTokens = 1024;

Status LoadCorpus(const BenchContext& context, KvCorpus* corpus) {
  return LoadKvCorpus(context.data_dir, kDumpF16A, kDumpF16B,
                      context.quick ? 2 * kSegmentTokens : kMeasuredTokens,
                      corpus);
}

// A codec as a row names it, and its profile.
struct Trained {
  CodecChoice choice;
  std::shared_ptr<const CodecProfile> profile;
  double seconds = 0;

  const VectorProfile& vectors() const {
    return static_cast<const VectorProfile&>(*profile);
  }
};

Result<Trained> Train(const KvCorpus& corpus, const std::string& text) {
  Trained trained;
  REPRISE_ASSIGN_OR_RETURN(trained.choice, ParseCodecChoice(text));
  Result<std::shared_ptr<const CodecProfile>> profile =
      InternalError("bench: was not trained");
  trained.seconds = SecondsOf([&] {
    profile = TrainProfile(corpus.fit, trained.choice, kAllTokensOfDump);
  });
  REPRISE_ASSIGN_OR_RETURN(trained.profile, std::move(profile));
  return trained;
}

// ------------------------------------------------------------ size and error

// Squared errors over squared values by the plane's role, without the token
// at position 0, which is exact and larger than all others.
struct Errors {
  double noise[2] = {};
  double signal[2] = {};

  void Add(const KvUnit& unit, const Bytes& decoded) {
    uint64_t at = 0;
    std::vector<float> x;
    std::vector<float> y;
    for (const PlaneSlice& slice : unit.slices) {
      const int is_value = slice.spec->role == PlaneRole::kValue;
      const uint32_t count = slice.channels();
      x.resize(count);
      y.resize(count);
      for (uint32_t t = 0; t < kSegmentTokens; ++t) {
        LoadFloats(slice.spec->dtype, unit.raw.data() + at, count, x.data());
        LoadFloats(slice.spec->dtype, decoded.data() + at, count, y.data());
        at += slice.token_bytes();
        if (unit.info.first_token + t == 0) continue;
        const VectorError error = VectorRowError(x.data(), y.data(), count);
        noise[is_value] += error.error;
        signal[is_value] += error.energy;
      }
    }
  }
};

Status DecodeUnit(const KvUnit& unit, const Trained& trained,
                  const FrameView& view, CodecScratch* scratch, uint8_t* out) {
  const std::vector<PlaneRows> rows = unit.RowsIn(out);
  return trained.choice.codec->Decode(view,
                                      {.slices = unit.slices,
                                       .rows = rows,
                                       .token_count = kSegmentTokens,
                                       .profile = trained.profile.get()},
                                      scratch);
}

Result<BenchRow> SizeRow(const KvCorpus& corpus, const std::string& text,
                         double bare_bpv) {
  REPRISE_ASSIGN_OR_RETURN(const Trained trained, Train(corpus, text));
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<Bytes> frames,
      EncodeUnits(corpus.units, *trained.choice.codec,
                  {.profile = trained.profile.get(),
                   .options = trained.choice.options.get()}));
  uint64_t bytes = 0;
  VectorFrameStats stats;
  Errors errors;
  CodecScratch scratch;
  FrameView view;
  for (size_t i = 0; i < frames.size(); ++i) {
    const KvUnit& unit = corpus.units[i];
    Bytes decoded(unit.raw.size());
    REPRISE_RETURN_IF_ERROR(ParseFrame(frames[i], &view));
    REPRISE_RETURN_IF_ERROR(
        DecodeUnit(unit, trained, view, &scratch, decoded.data()));
    const VectorFrameStats of_frame = StatsOfVectorFrame(view, unit.slices);
    stats.token_heads += of_frame.token_heads;
    stats.raw_token_heads += of_frame.raw_token_heads;
    bytes += frames[i].size();
    errors.Add(unit, decoded);
  }
  char note[160];
  std::snprintf(note, sizeof note,
                "squared error K %.4f V %.4f of the energy; %.2f %% of "
                "token-heads raw; trained in %.1f s",
                errors.noise[0] / errors.signal[0],
                errors.noise[1] / errors.signal[1], 100 * stats.raw_share(),
                trained.seconds);
  BenchRow row;
  row.name = text;
  row.value = 8.0 * static_cast<double>(bytes) / corpus.values;
  row.unit = "bpv";
  row.reference = "codes, masks and raw rows alone, bpv";
  row.reference_value = bare_bpv;
  row.lower_is_better = true;
  row.note = note;
  return row;
}

Result<std::vector<BenchRow>> RunSize(const BenchContext& context) {
  KvCorpus corpus;
  REPRISE_RETURN_IF_ERROR(LoadCorpus(context, &corpus));
  const struct {
    const char* text;
    double bare_bpv;
  } settings[] = {{"vq", 1.0},
                  {"vq:worst=0.1", 2.52},
                  {"pq", 2.0},
                  {"pq:worst=0.1", 3.42},
                  {"pq:worst=0.5", 9.02},
                  {"pq:d=2", 4.0},
                  {"pq:d=8", 1.0},
                  {"pq:d=2,centroids=16", 2.0}};
  std::vector<BenchRow> rows;
  for (const auto& setting : settings) {
    if (context.quick && rows.size() == 2) break;
    REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(),
                             SizeRow(corpus, setting.text, setting.bare_bpv));
  }
  return rows;
}

// -------------------------------------------------------------------- speed

Result<BenchRow> DecodeRow(const std::string& name, const KvCorpus& corpus,
                           const Trained& trained, int repetitions) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<Bytes> frames,
                           EncodeUnits(corpus.units, *trained.choice.codec,
                                       {.profile = trained.profile.get()}));
  ZstdReference zstd;
  std::vector<Bytes> coded;
  std::vector<uint64_t> sizes;
  for (const KvUnit& unit : corpus.units) {
    sizes.push_back(zstd.Compress(unit.raw, 3, &coded.emplace_back()));
  }
  // A whole cache, as a restore fills it.
  Bytes out(RawBytesOf(corpus.units));
  CodecScratch scratch;
  FrameView view;
  bool right = true;
  const auto ours = [&] {
    uint8_t* to = out.data();
    for (size_t i = 0; i < frames.size(); ++i) {
      right &= ParseFrame(frames[i], &view).ok() &&
               DecodeUnit(corpus.units[i], trained, view, &scratch, to).ok();
      to += corpus.units[i].raw.size();
    }
  };
  const auto theirs = [&] {
    uint64_t at = 0;
    for (size_t i = 0; i < coded.size(); ++i) {
      const uint64_t size = corpus.units[i].raw.size();
      right &= zstd.Decompress(coded[i], sizes[i],
                               MutableByteView(out).subspan(at, size));
      at += size;
    }
  };
  const Paired paired = TimeInTurn(repetitions, ours, theirs);
  if (!right) return InternalError("bench: a unit did not come back");
  return SpeedRow(name, paired, corpus.bytes, "zstd -3 -d of raw planes, GB/s",
                  1.0);
}

// The vectors of one block of one head, and the centroids to find.
struct Search {
  std::vector<float> values;  // [width, tokens]
  std::vector<float> centroids;
  uint32_t width = 0;
};

// All searches that encoding makes, with the values divided and turned
// beforehand: the reference is not charged for it, the codec is.
std::vector<Search> SearchesOf(const KvCorpus& corpus, const Trained& trained) {
  const VectorProfile& profile = trained.vectors();
  const VectorShape& shape = profile.parts().shape;
  const auto tokens = static_cast<uint32_t>(
      corpus.units.back().info.first_token + kSegmentTokens);
  std::vector<Search> searches;
  for (const VectorPlane& plane : profile.parts().planes) {
    const uint8_t* rows = corpus.measured.Plane(plane.layer, plane.plane);
    const uint32_t channels = plane.heads * plane.dim;
    std::vector<float> row(channels);
    const size_t first = searches.size();
    for (uint32_t h = 0; h < plane.heads; ++h) {
      for (uint32_t b = 0; b < profile.blocks(plane); ++b) {
        Search& search = searches.emplace_back();
        search.width = profile.parts().width(plane.dim, b);
        search.values.resize(uint64_t{search.width} * tokens);
        search.centroids.resize(uint64_t{search.width} * shape.centroids);
        LoadFloats(DType::kF16, profile.book(plane, h, b).centroids,
                   search.width * shape.centroids, search.centroids.data());
      }
    }
    for (uint32_t t = 0; t < tokens; ++t) {
      LoadFloats(plane.dtype,
                 rows + uint64_t{t} * channels * DTypeBytes(plane.dtype),
                 channels, row.data());
      for (uint32_t c = 0; c < channels; ++c) {
        const uint32_t h = c / plane.dim;
        const uint32_t i = c % plane.dim;
        Search& search =
            searches[first + h * profile.blocks(plane) + i / shape.block];
        search.values[uint64_t{i % shape.block} * tokens + t] =
            row[c] * (1.0f / profile.norm(plane, h));
      }
    }
  }
  return searches;
}

Result<BenchRow> EncodeRow(const std::string& name, const KvCorpus& corpus,
                           const Trained& trained, int repetitions) {
  const std::vector<Search> searches = SearchesOf(corpus, trained);
  const uint32_t centroids = trained.vectors().parts().shape.centroids;
  CodecScratch scratch;
  FrameBuilder builder;
  bool right = true;
  const auto ours = [&] {
    for (const KvUnit& unit : corpus.units) {
      const EncodeRequest request{.info = unit.info,
                                  .slices = unit.slices,
                                  .rows = unit.rows,
                                  .profile = trained.profile.get()};
      right &= trained.choice.codec->Encode(request, &scratch, &builder).ok() &&
               builder.Finish().ok();
    }
  };
  NearestReference reference;
  std::vector<uint8_t> codes(kMeasuredTokens);
  const auto theirs = [&] {
    for (const Search& search : searches) {
      const auto count =
          static_cast<uint32_t>(search.values.size() / search.width);
      reference.Find(search.centroids.data(), centroids, search.width,
                     search.values.data(), count, codes.data());
    }
  };
  const Paired paired = TimeInTurn(repetitions, ours, theirs);
  if (!right) return InternalError("bench: a unit was not encoded");
  BenchRow row = SpeedRow(name, paired, corpus.bytes,
                          "nearest centroid by OpenBLAS, GB/s", 1.0);
  const double tokens =
      corpus.bytes / static_cast<double>(corpus.measured.spec.token_bytes());
  char note[64];
  std::snprintf(note, sizeof note, "; 1,000 tokens in %.3f s",
                paired.ours_seconds * 1000 / tokens);
  row.note += note;
  return row;
}

Result<std::vector<BenchRow>> RunSpeed(const BenchContext& context) {
  KvCorpus corpus;
  REPRISE_RETURN_IF_ERROR(LoadCorpus(context, &corpus));
  const int repetitions = context.quick ? 3 : 11;
  std::vector<BenchRow> rows;
  for (const std::string name : {"vq", "pq"}) {
    REPRISE_ASSIGN_OR_RETURN(const Trained trained, Train(corpus, name));
    REPRISE_ASSIGN_OR_RETURN(
        rows.emplace_back(),
        DecodeRow(name + ".decode", corpus, trained, repetitions));
    const std::vector<int64_t> targets = ExactTargets();
    for (const int64_t target : targets) {
      const bool best = target == targets.front();
      const std::string set(ExactTargetName(target));
      if (!best && set != "AVX2") continue;
      ChooseExactTarget(target);
      Result<BenchRow> row =
          EncodeRow(name + ".encode" + (best ? "" : "." + set), corpus, trained,
                    repetitions);
      ChooseExactTarget(0);
      REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(), std::move(row));
      // OpenBLAS keeps the best set: such a row stands beside.
      rows.back().has_target = best;
    }
  }
  return rows;
}

const bool kAdded =
    Register(
        {"vector.size", "bytes and errors of vq and pq frames", RunSize}) &&
    Register({"vector.speed", "vq and pq beside zstd and OpenBLAS", RunSpeed});

}  // namespace
}  // namespace reprise::bench
