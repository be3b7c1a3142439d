// The profile of `exact`: tables fitted from the first tokens that are saved
// of a model. Format: docs/format/codecs/exact.md.
#ifndef REPRISE_CODEC_EXACT_PROFILE_H_
#define REPRISE_CODEC_EXACT_PROFILE_H_

#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/model_spec.h"

namespace reprise {

// Gathers statistics token by token and fits a profile. Deterministic: the
// same rows in the same order give the same bytes on any machine. Not
// thread-safe.
class ExactProfileFitter {
 public:
  // A thousand tokens are enough; after it Add is a no-op.
  static constexpr uint32_t kWantedTokens = 1024;

  // REQUIRES: ValidateModelSpec(spec).ok(). Copies what it needs of the spec.
  explicit ExactProfileFitter(const ModelSpec& spec);
  ~ExactProfileFitter();

  // Rows of all planes of one layer group and all heads, `token_count` tokens
  // from position `first_token` on.
  void Add(uint32_t first_token, uint32_t token_count,
           std::span<const PlaneSlice> slices,
           std::span<const ConstPlaneRows> rows);

  // The profile's bytes. kResourceExhausted with both numbers when fewer than
  // 64 tokens were added.
  Result<Bytes> Fit() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_PROFILE_H_
