#include "tests/support/codec_cases.h"

#include "base/limits.h"
#include "codec/exact_profile.h"

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

}  // namespace

std::vector<CodecCase> CodecCases() {
  return {
      {.name = "Raw", .id = CodecId::kRaw},
      {.name = "Exact", .id = CodecId::kExact},
      {.name = "ExactProfile", .id = CodecId::kExact, .fit = FitExact},
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
