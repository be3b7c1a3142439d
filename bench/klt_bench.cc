// Size and speed of `klt` on real KV, unit by unit, one core. All of a frame's
// bytes count. Quality is not measured here: that takes the model.
//
// Decoders race against themselves with a dense product of f32 matrices by
// OpenBLAS in place of theirs, encoders against that product alone.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "bench/bench.h"
#include "bench/kv_units.h"
#include "bench/transform_reference.h"
#include "codec/codec.h"
#include "codec/exact_simd.h"
#include "codec/klt_transform_simd.h"

namespace reprise::bench {
namespace {

constexpr char kProfileFile[] = "assets/smollm2.klt";

struct Corpus : KvCorpus {
  CodecChoice choice;
  std::shared_ptr<const CodecProfile> profile;
  std::string profile_note;
};

Result<std::shared_ptr<const CodecProfile>> ReadProfile(
    const Codec& codec, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes bytes((std::istreambuf_iterator<char>(file)), {});
  return codec.ParseProfile(bytes);
}

// The profile is the one beside the dumps or the repository's; where there is
// none, one from statistics alone, fitted on text A.
Status LoadCorpus(const BenchContext& context, Corpus* corpus) {
  REPRISE_RETURN_IF_ERROR(LoadKvCorpus(
      context.data_dir, kDumpF16A, kDumpF16B,
      context.quick ? 2 * kSegmentTokens : 16 * kSegmentTokens, corpus));
  REPRISE_ASSIGN_OR_RETURN(corpus->choice, ParseCodecChoice("klt:tier=near"));
  for (const std::string& path :
       {context.data_dir + "/smollm2.klt", std::string(kProfileFile)}) {
    if (!std::filesystem::exists(path)) continue;
    REPRISE_ASSIGN_OR_RETURN(corpus->profile,
                             ReadProfile(*corpus->choice.codec, path));
    corpus->profile_note = "profile " + path;
    return Status();
  }
  REPRISE_ASSIGN_OR_RETURN(
      corpus->profile,
      TrainProfile(corpus->fit, {corpus->choice.codec, nullptr},
                   kAllTokensOfDump));
  corpus->profile_note = "profile from statistics of " +
                         std::to_string(corpus->fit.tokens.size()) + " tokens";
  return Status();
}

// Encodes units into the frames of their stages, with nothing left to allocate
// once warm.
class Encoder {
 public:
  explicit Encoder(const Corpus& corpus)
      : corpus_(corpus),
        builders_(
            corpus.choice.codec->stage_count(corpus.choice.options.get())) {
    for (FrameBuilder& builder : builders_) pointers_.push_back(&builder);
  }

  // The frames are in the builders until the next call.
  Status Encode(const KvUnit& unit) {
    return corpus_.choice.codec->EncodeStages(
        {.info = unit.info,
         .slices = unit.slices,
         .rows = unit.rows,
         .profile = corpus_.profile.get(),
         .options = corpus_.choice.options.get()},
        &scratch_, pointers_);
  }
  std::vector<FrameBuilder>& builders() { return builders_; }

 private:
  const Corpus& corpus_;
  CodecScratch scratch_;
  std::vector<FrameBuilder> builders_;
  std::vector<FrameBuilder*> pointers_;
};

// [unit][stage]
using Frames = std::vector<std::vector<Bytes>>;

Result<Frames> EncodeAll(const Corpus& corpus) {
  Encoder encoder(corpus);
  Frames frames;
  for (const KvUnit& unit : corpus.units) {
    REPRISE_RETURN_IF_ERROR(encoder.Encode(unit));
    std::vector<Bytes>& stages = frames.emplace_back();
    for (FrameBuilder& builder : encoder.builders()) {
      REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builder.Finish());
      stages.emplace_back(frame.begin(), frame.end());
    }
  }
  return frames;
}

// What of a stage's frame is not its symbols, signs and raw values: header,
// directory, padding, and the states that streams start from, whole, although
// they carry symbols too.
Result<uint64_t> OverheadOf(ByteView frame) {
  constexpr uint64_t kFixedBytes = 8 + 4 * 32;  // klt.md, section 3
  constexpr uint8_t kCoefficients = 1;
  FrameView view;
  REPRISE_RETURN_IF_ERROR(ParseFrame(frame, &view));
  uint64_t overhead = frame.size();
  for (const FrameSection& section : view.sections) {
    overhead -= section.bytes;
    if (section.mode == kCoefficients) overhead += kFixedBytes;
  }
  return overhead;
}

// Its share in all frames of the stages up to `last`.
Result<BenchRow> OverheadRow(const Corpus& corpus, const Frames& frames,
                             size_t last) {
  double bytes = 0;
  double overhead = 0;
  for (const auto& stages : frames) {
    for (size_t stage = 0; stage <= last; ++stage) {
      bytes += static_cast<double>(stages[stage].size());
      REPRISE_ASSIGN_OR_RETURN(const uint64_t of_this,
                               OverheadOf(stages[stage]));
      overhead += static_cast<double>(of_this);
    }
  }
  return BenchRow{.name = "klt.overhead.coarse",
                  .value = 100 * overhead / bytes,
                  .unit = "%",
                  .reference = "bytes of the frames",
                  .reference_value = bytes,
                  .target = 8,
                  .has_target = true,
                  .lower_is_better = true,
                  .note = corpus.profile_note};
}

Result<std::vector<BenchRow>> RunSize(const BenchContext& context) {
  Corpus corpus;
  REPRISE_RETURN_IF_ERROR(LoadCorpus(context, &corpus));
  REPRISE_ASSIGN_OR_RETURN(const Frames frames, EncodeAll(corpus));
  std::vector<BenchRow> rows;
  double bytes = 0;
  for (size_t stage = 0; stage < frames[0].size(); ++stage) {
    for (const auto& stages : frames) {
      bytes += static_cast<double>(stages[stage].size());
    }
    const Tier tier = corpus.choice.codec->stage_tier(
        static_cast<uint32_t>(stage), corpus.choice.options.get());
    rows.push_back({.name = "klt.size." + std::string(TierName(tier)),
                    .value = 8.0 * bytes / corpus.values,
                    .unit = "bpv",
                    .reference = "f16, bpv",
                    .reference_value = 16,
                    .lower_is_better = true,
                    .note = corpus.profile_note});
  }
  REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(), OverheadRow(corpus, frames, 1));
  return rows;
}

// Decodes all units to a whole cache, as a restore fills it: larger than the
// machine's caches.
class Decoder {
 public:
  // `stages` of each unit's frames.
  Decoder(const Corpus& corpus, const Frames& frames, size_t stages)
      : corpus_(corpus), frames_(frames), out_(RawBytesOf(corpus.units)) {
    uint64_t at = 0;
    for (const KvUnit& unit : corpus.units) {
      targets_.push_back(unit.RowsIn(out_.data() + at));
      at += unit.raw.size();
    }
    views_.resize(stages);
    for (const FrameView& view : views_) pointers_.push_back(&view);
  }

  bool Run() {
    bool right = true;
    for (size_t i = 0; i < frames_.size(); ++i) {
      for (size_t k = 0; k < views_.size(); ++k) {
        right &= ParseFrame(frames_[i][k], &views_[k]).ok();
      }
      right &= corpus_.choice.codec
                   ->DecodeStages(pointers_,
                                  {.slices = corpus_.units[i].slices,
                                   .rows = targets_[i],
                                   .token_count = kSegmentTokens,
                                   .profile = corpus_.profile.get()},
                                  &scratch_)
                   .ok();
    }
    return right;
  }

 private:
  const Corpus& corpus_;
  const Frames& frames_;
  Bytes out_;
  std::vector<std::vector<PlaneRows>> targets_;
  std::vector<FrameView> views_;
  std::vector<const FrameView*> pointers_;
  CodecScratch scratch_;
};

Result<BenchRow> DecodeRow(const std::string& name, const Corpus& corpus,
                           const Frames& frames, size_t stages, double target,
                           int repetitions) {
  Decoder decoder(corpus, frames, stages);
  bool right = true;
  const Paired paired = TimeInTurn(
      repetitions, [&] { right &= decoder.Run(); },
      [&] {
        const DenseInverse dense;
        right &= decoder.Run();
      });
  if (!right) return InternalError("bench: a unit did not come back");
  return SpeedRow(name, paired, corpus.bytes,
                  "the decoder with a dense sgemm, GB/s", target);
}

Result<BenchRow> EncodeRow(const std::string& name, const Corpus& corpus,
                           int repetitions) {
  Encoder encoder(corpus);
  bool right = true;
  const auto ours = [&] {
    for (const KvUnit& unit : corpus.units) {
      right &= encoder.Encode(unit).ok();
      for (FrameBuilder& builder : encoder.builders()) {
        right &= builder.Finish().ok();
      }
    }
  };
  DenseForward dense(RecordForward(ours));
  const Paired paired = TimeInTurn(repetitions, ours, [&] { dense.Run(); });
  if (!right) return InternalError("bench: a unit was not encoded");
  return SpeedRow(name, paired, corpus.bytes, "its sgemm alone, GB/s", 0.5);
}

Status AddSpeedRows(const Corpus& corpus, const Frames& frames,
                    const std::string& suffix, bool has_target, int repetitions,
                    std::vector<BenchRow>* rows) {
  const struct {
    const char* name;
    size_t stages;
    double target;
  } tiers[] = {{"klt.decode.archive", 1, 2},
               {"klt.decode.coarse", 2, 2},
               {"klt.decode.near", 3, 1}};
  for (const auto& tier : tiers) {
    REPRISE_ASSIGN_OR_RETURN(rows->emplace_back(),
                             DecodeRow(tier.name + suffix, corpus, frames,
                                       tier.stages, tier.target, repetitions));
    rows->back().has_target = has_target && tier.stages > 1;
  }
  REPRISE_ASSIGN_OR_RETURN(
      rows->emplace_back(),
      EncodeRow("klt.encode" + suffix, corpus, repetitions));
  rows->back().has_target = has_target;
  return Status();
}

Result<std::vector<BenchRow>> RunSpeed(const BenchContext& context) {
  const int repetitions = context.quick ? 3 : 7;
  Corpus corpus;
  REPRISE_RETURN_IF_ERROR(LoadCorpus(context, &corpus));
  REPRISE_ASSIGN_OR_RETURN(const Frames frames, EncodeAll(corpus));
  std::vector<BenchRow> rows;
  REPRISE_RETURN_IF_ERROR(
      AddSpeedRows(corpus, frames, "", true, repetitions, &rows));
  const std::vector<int64_t> targets = ExactTargets();
  Status status;
  if (ExactTargetName(targets.front()) == "AVX3") {
    AllowKltDotProducts(false);
    status =
        AddSpeedRows(corpus, frames, ".no_vnni", false, repetitions, &rows);
    AllowKltDotProducts(true);
  }
  REPRISE_RETURN_IF_ERROR(status);
  for (const int64_t target : targets) {
    if (target == targets.front() || ExactTargetName(target) != "AVX2")
      continue;
    ChooseExactTarget(target);
    status = AddSpeedRows(corpus, frames, ".AVX2", false, repetitions, &rows);
    ChooseExactTarget(0);
  }
  REPRISE_RETURN_IF_ERROR(status);
  return rows;
}

const bool kAdded =
    Register({"klt.size", "bytes of klt frames, tier by tier", RunSize}) &&
    Register(
        {"klt.speed", "klt frames encoded and decoded beside sgemm", RunSpeed});

}  // namespace
}  // namespace reprise::bench
