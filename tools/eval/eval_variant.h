// What is judged: a way in which a state is changed or coded, as people name
// it.
//
//   raw, exact, tsc:bits=8, ...      a codec and its options
//   klt@archive:shift=2              the first stages of a staged codec, up
//                                    to the first one of that tier
//   llama:q8_0, llama:q4_0, ...      llama.cpp's own quantised cache
//   evict:keep=0.75,by=mass,then=tsc:bits=8
//                                    only some tokens are kept, then a codec;
//                                    `then` is last and takes all that follows
#ifndef REPRISE_TOOLS_EVAL_EVAL_VARIANT_H_
#define REPRISE_TOOLS_EVAL_EVAL_VARIANT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/codec.h"

namespace reprise {

enum class Importance : uint8_t {
  kAttentionMass,    // received from all queries of the prefix, summed
  kRecentAttention,  // received from the last queries only
  kKeyNorm,          // small norms of K are important
  kValueNorm,        // large norms of V are important
  kRandom,
};
std::string_view ImportanceName(Importance importance);

struct EvalVariant {
  std::string text;        // as it was named
  std::string codec;       // "tsc", "evict+tsc", "llama:q8_0": one curve each
  std::string parameters;  // "bits=8"
  CodecChoice choice;      // of all but llama.cpp's cache types
  std::string llama_type;  // "q8_0"; empty: a codec of ours
  double keep = 1;         // share of the tokens; below 1: the rest is evicted
  Importance by = Importance::kAttentionMass;
  // How `choice` was named, without '@' and tier: variants of one name can
  // share a profile, and one encoding.
  std::string choice_text;
  uint32_t stages = 0;  // of a staged codec, how many are stored; 0: all

  bool evicts() const { return keep < 1; }
  bool needs_attention() const {
    return evicts() && (by == Importance::kAttentionMass ||
                        by == Importance::kRecentAttention);
  }
};

// kInvalidArgument with what is allowed; errors of ParseCodecChoice.
Result<EvalVariant> ParseVariant(std::string_view text);

// The variant and, where its codec is staged and it names no tier, one for
// each shorter prefix of the stages that ends at a tier of its own, shortest
// first, the variant itself last.
std::vector<EvalVariant> WithStagePrefixes(const EvalVariant& variant);

// The names in a list with ';' or ',' between them. Options have commas too:
// an item like "key=value" belongs to the name before it.
std::vector<std::string> SplitVariants(std::string_view text);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_EVAL_VARIANT_H_
