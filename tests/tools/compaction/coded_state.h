// Sessions whose frames hold values: saved straight into a catalogue with real
// codecs, and read back, for tests of jobs that decode.
#ifndef REPRISE_TESTS_TOOLS_COMPACTION_CODED_STATE_H_
#define REPRISE_TESTS_TOOLS_COMPACTION_CODED_STATE_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "tests/support/toy_state.h"
#include "tools/compaction/codec_shelf.h"
#include "tools/compaction/segment_coder.h"

namespace reprise {

struct CodedOptions {
  std::string_view codec = "exact";
  Tier basis = Tier::kExact;
  uint64_t seed = 1;  // of the values
  // Of the rendition, where it is not what the codec says; kTokens: it is.
  Tier tier = Tier::kTokens;
};

class CodedWorker {
 public:
  // Puts the model. The catalogue must outlive it.
  CodedWorker(Catalogue* catalogue, const DomainId& tenant, ModelSpec spec)
      : catalogue_(catalogue),
        tenant_(tenant),
        toy_(catalogue, tenant, std::move(spec)),
        shelf_(catalogue) {}

  const ModelId& model() const { return toy_.model(); }
  const ModelSpec& spec() const { return toy_.spec(); }
  ToyWorker& toy() { return toy_; }

  // The rows of all layer groups of a segment or tail, group after group: the
  // values that Put encodes.
  std::vector<Bytes> Values(const SegmentRecord& segment, uint64_t seed);
  // Encodes, puts and publishes all; tails with `exact`.
  Status Put(std::span<const TokenId> tokens, const CodedOptions& options = {});
  // Put, then a commit on top of what the session is now.
  Status Save(std::string_view session, std::span<const TokenId> tokens,
              const CodedOptions& options = {});

  // What a rendition decodes to. Every byte is checked.
  Result<std::vector<Bytes>> Read(const SegmentRecord& segment,
                                  const Rendition& rendition);
  // As a fetch would, every segment of the session that is not kTokens.
  // kDataLoss when one can't be decoded.
  struct ReadSegment {
    SegmentRecord segment;
    Rendition rendition;
    std::vector<Bytes> values;  // none of tier kTokens
  };
  Result<std::vector<ReadSegment>> ReadAll(std::string_view session,
                                           Tier lowest = Tier::kArchive);

 private:
  Status PutOne(const SegmentRecord& segment, const CodedOptions& options);

  Catalogue* const catalogue_;
  const DomainId tenant_;
  ToyWorker toy_;
  CodecShelf shelf_;
  SegmentCoder coder_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_TOOLS_COMPACTION_CODED_STATE_H_
