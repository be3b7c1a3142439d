// Profiles and promises of `vq` and `pq` for codec_cases.h.
#ifndef REPRISE_TESTS_SUPPORT_VECTOR_CASES_H_
#define REPRISE_TESTS_SUPPORT_VECTOR_CASES_H_

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/model_spec.h"
#include "tests/support/codec_cases.h"

namespace reprise {

// Codes of 4 bits; of 5 bits, with a block that divides no head, a bound and
// four sinks; of 4 bits, with a share that falls back.
inline constexpr std::string_view kVqOptions = "centroids=16";
inline constexpr std::string_view kVqThresholdOptions =
    "block=5,centroids=32,sinks=4,threshold=0.1";
inline constexpr std::string_view kPqWorstOptions =
    "d=2,centroids=16,worst=0.25";

// Trained on as many segments of typical values as the options need.
Result<Bytes> TrainVectors(CodecId codec, std::string_view options,
                           const ModelSpec& spec);
Result<Bytes> FitVq(const ModelSpec& spec);
Result<Bytes> FitVqThreshold(const ModelSpec& spec);
Result<Bytes> FitPqWorst(const ModelSpec& spec);
// Of the default shape, with centroids that nobody trained: 256 of them take
// too long for every model of the tests.
Result<Bytes> MakePqProfile(const ModelSpec& spec);

// A token-head comes back as it was, or it is finite, no sink, and what comes
// back is finite and, where there is one, within the bound.
std::string VqProblem(const CodedSlice& coded);
std::string VqThresholdProblem(const CodedSlice& coded);
std::string PqProblem(const CodedSlice& coded);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_VECTOR_CASES_H_
