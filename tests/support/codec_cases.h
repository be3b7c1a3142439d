// One record a way of using a codec. What is listed here is put through the
// conformance suite, the fuzzer, the golden files and the benchmarks: a new
// codec adds its record and nothing else.
#ifndef REPRISE_TESTS_SUPPORT_CODEC_CASES_H_
#define REPRISE_TESTS_SUPPORT_CODEC_CASES_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/model_spec.h"
#include "tests/support/kv_values.h"

namespace reprise {

// One slice of a frame, before and after.
struct CodedSlice {
  const FrameView& frame;
  size_t index = 0;  // of the slice in its frame
  const PlaneSlice& slice;
  const KvRows& rows;
  const KvRows& decoded;
  uint32_t token_count = 0;  // of the frame
  TokenMask kept = kAllTokens;
};

struct CodecCase {
  std::string name;  // letters and digits: it is a part of test names
  CodecId id = CodecId::kRaw;
  // As people type them; "": none are given.
  std::string options;
  // The bytes of a profile for a model; null: the codec is used without one.
  Result<Bytes> (*fit)(const ModelSpec& spec) = nullptr;
  // True when only the encoder needs the profile that the frame names.
  bool decodes_without_profile = false;
  // True when the codec refuses frames that hold a part of the heads.
  bool needs_all_heads = false;
  // True when encoders of other instruction sets may round otherwise.
  bool sums_in_any_order = false;
  // What a lossy codec's format page promises of the values that come back:
  // "" or, with its numbers, the promise that is broken. Null in records of
  // exact codecs: their promise is the bits.
  std::string (*problem)(const CodedSlice& coded) = nullptr;
};

// What a failed test prints.
inline void PrintTo(const CodecCase& codec_case, std::ostream* out) {
  *out << codec_case.name;
}

// Those that make one frame.
std::vector<CodecCase> CodecCases();
// Those that make several: put through codec_stages_test.cc.
std::vector<CodecCase> StagedCodecCases();

// The case's codec; null when it is not built.
inline const Codec* CodecOf(const CodecCase& codec_case) {
  return FindCodec(codec_case.id);
}

// The case's options; a null pointer for a case without.
Result<std::shared_ptr<const CodecOptions>> OptionsOf(
    const CodecCase& codec_case);

// The case's profile for a model, parsed; a null pointer for a case without.
Result<std::shared_ptr<const CodecProfile>> ProfileOf(
    const CodecCase& codec_case, const ModelSpec& spec);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_CODEC_CASES_H_
