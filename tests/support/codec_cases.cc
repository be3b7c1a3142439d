#include "tests/support/codec_cases.h"

#include "base/limits.h"
#include "codec/exact_profile.h"
#include "codec/profile_trainer.h"
#include "tests/support/klt_cases.h"
#include "tests/support/tsc_bounds.h"
#include "tests/support/vector_cases.h"

namespace reprise {
namespace {

// Of one segment of typical values, in each layer group: with the seed of what
// the tests encode, or the channels would be others and all be stored raw.
Result<Bytes> FitExact(const ModelSpec& spec) {
  ExactProfileFitter fitter(spec);
  for (const LayerGroup& group : LayerGroupsOf(spec)) {
    REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                             SlicePlanes(spec, group, HeadRange::All()));
    KvRows rows(slices, kSegmentTokens);
    rows.Fill(KvKind::kTypical, 7, 0);
    fitter.Add(0, kSegmentTokens, slices, rows.Const());
  }
  return fitter.Fit();
}

// With the same values again and again until there are enough.
Result<Bytes> FitTrained(CodecId codec, const ModelSpec& spec) {
  REPRISE_ASSIGN_OR_RETURN(const std::unique_ptr<ProfileTrainer> trainer,
                           MakeProfileTrainer(codec, spec, {}));
  for (const LayerGroup& group : LayerGroupsOf(spec)) {
    REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                             SlicePlanes(spec, group, HeadRange::All()));
    KvRows rows(slices, kSegmentTokens);
    rows.Fill(KvKind::kTypical, 7, 0);
    for (uint64_t t = 0; t < trainer->min_tokens(); t += kSegmentTokens) {
      REPRISE_RETURN_IF_ERROR(trainer->Add(
          static_cast<uint32_t>(t), kSegmentTokens, slices, rows.Const()));
    }
  }
  return trainer->Fit(nullptr);
}

Result<Bytes> FitTsc(const ModelSpec& spec) {
  return FitTrained(CodecId::kTsc, spec);
}

}  // namespace

std::vector<CodecCase> CodecCases() {
  return {
      {.name = "Raw", .id = CodecId::kRaw},
      {.name = "Exact", .id = CodecId::kExact},
      {.name = "ExactProfile", .id = CodecId::kExact, .fit = FitExact},
      {.name = "Tsc", .id = CodecId::kTsc, .problem = TscProblem},
      {.name = "Tsc8",
       .id = CodecId::kTsc,
       .options = "bits=8,kappa=16,page=segment",
       .problem = TscProblem},
      {.name = "TscTight",
       .id = CodecId::kTsc,
       .options = "kappa=8,page=layer,max_delta_error=0.25",
       .problem = TscProblem},
      {.name = "TscProfile",
       .id = CodecId::kTsc,
       .fit = FitTsc,
       .decodes_without_profile = true,
       .problem = TscProblem},
      {.name = "Vq",
       .id = CodecId::kVq,
       .options = std::string(kVqOptions),
       .fit = FitVq,
       .problem = VqProblem},
      {.name = "VqThreshold",
       .id = CodecId::kVq,
       .options = std::string(kVqThresholdOptions),
       .fit = FitVqThreshold,
       .problem = VqThresholdProblem},
      {.name = "Pq",
       .id = CodecId::kPq,
       .fit = MakePqProfile,
       .problem = PqProblem},
      {.name = "PqWorst",
       .id = CodecId::kPq,
       .options = std::string(kPqWorstOptions),
       .fit = FitPqWorst,
       .problem = PqProblem},
      {.name = "KltArchive",
       .id = CodecId::kKlt,
       .options = "tier=archive",
       .fit = MakeKltProfile,
       .needs_all_heads = true,
       .sums_in_any_order = true,
       .problem = KltProblem},
      {.name = "KltArchiveWide",
       .id = CodecId::kKlt,
       .options = "tier=archive,shift=12",
       .fit = MakeWideKltProfile,
       .needs_all_heads = true,
       .sums_in_any_order = true,
       .problem = KltProblem},
  };
}

std::vector<CodecCase> StagedCodecCases() {
  return {
      {.name = "KltCoarse",
       .id = CodecId::kKlt,
       .options = "tier=coarse,shift=-3",
       .fit = MakeWideKltProfile,
       .needs_all_heads = true,
       .sums_in_any_order = true,
       .problem = KltProblem},
      {.name = "Klt",
       .id = CodecId::kKlt,
       .fit = MakeKltProfile,
       .needs_all_heads = true,
       .sums_in_any_order = true,
       .problem = KltProblem},
      {.name = "KltTiny",
       .id = CodecId::kKlt,
       .options = "tier=coarse",
       .fit = FitTinyKltProfile,
       .needs_all_heads = true,
       .sums_in_any_order = true,
       .problem = KltProblem},
      {.name = "KltFour",
       .id = CodecId::kKlt,
       .options = "stages=4,shift=2",
       .fit = MakeWideKltProfile,
       .needs_all_heads = true,
       .sums_in_any_order = true,
       .problem = KltProblem},
  };
}

Result<std::shared_ptr<const CodecOptions>> OptionsOf(
    const CodecCase& codec_case) {
  if (codec_case.options.empty()) {
    return std::shared_ptr<const CodecOptions>();
  }
  return CodecOf(codec_case)->ParseOptions(codec_case.options);
}

Result<std::shared_ptr<const CodecProfile>> ProfileOf(
    const CodecCase& codec_case, const ModelSpec& spec) {
  if (codec_case.fit == nullptr) return std::shared_ptr<const CodecProfile>();
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes, codec_case.fit(spec));
  return CodecOf(codec_case)->ParseProfile(bytes);
}

}  // namespace reprise
