#include "tests/support/codec_cases.h"

namespace reprise {

std::vector<CodecCase> CodecCases() {
  return {
      {.name = "Raw", .id = CodecId::kRaw},
      {.name = "Exact", .id = CodecId::kExact},
  };
}

Result<std::shared_ptr<const CodecProfile>> ProfileOf(
    const CodecCase& codec_case, const ModelSpec& spec) {
  if (codec_case.fit == nullptr) return std::shared_ptr<const CodecProfile>();
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes, codec_case.fit(spec));
  return CodecOf(codec_case)->ParseProfile(bytes);
}

}  // namespace reprise
