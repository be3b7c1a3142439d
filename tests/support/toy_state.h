// Made-up conversation state, for tests of everything that stores or moves
// frames without decoding them. Frames are well formed and belong to their
// model, but their sections hold a few random bytes.
#ifndef REPRISE_TESTS_SUPPORT_TOY_STATE_H_
#define REPRISE_TESTS_SUPPORT_TOY_STATE_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "codec/commit.h"
#include "codec/model_spec.h"
#include "store/catalogue.h"

namespace reprise {

// `count` token ids, a function of the seed. Two seeds differ from the start.
std::vector<TokenId> ToyTokens(uint64_t seed, size_t count);

// Whole segments and, if tokens are left, a tail.
std::vector<SegmentRecord> ToySegments(const ModelId& model,
                                       std::span<const TokenId> tokens);

// A commit of all these tokens.
CommitRecord ToyCommit(const ModelId& model, std::span<const TokenId> tokens,
                       const CommitId& parent, int64_t time_ms = 1);

struct ToyOptions {
  uint64_t seed = 1;  // of the RenditionId and the sections' bytes
  Tier tier = Tier::kExact;
  Tier basis = Tier::kExact;
  uint16_t ranks = 1;  // frames a layer group, by head
  uint8_t stages = 1;
  // Of each stage's frames, the last one's being `tier`; empty: `tier`.
  std::vector<Tier> stage_tiers;
  ProfileId profile;
  bool other_weights = false;   // the profile's
  uint32_t section_bytes = 40;  // of each frame's one section
};

// A rendition of one segment and its frames, in the order of
// rendition.frames.
struct ToyRendition {
  Rendition rendition;
  std::vector<Bytes> frames;
};
Tier ToyStageTier(const ToyOptions& options, uint8_t stage);
// Three stages: archive, coarse, near.
ToyOptions StagedToy(uint64_t seed = 1);
ToyRendition MakeToyRendition(const ModelSpec& spec,
                              const SegmentRecord& segment,
                              const ToyOptions& options);

// Saves to one tenant as a worker would. The catalogue must outlive it.
class ToyWorker {
 public:
  // Puts the model. Aborts when that fails.
  ToyWorker(Catalogue* catalogue, const DomainId& tenant, ModelSpec spec);

  const ModelSpec& spec() const { return spec_; }
  const ModelId& model() const { return model_; }
  Catalogue* catalogue() const { return catalogue_; }
  // Of its commits; kSynced unless it is set.
  void set_durability(Durability durability) { durability_ = durability; }

  // Puts and publishes the segments [first, end) of a token sequence, the
  // tail included.
  Status Put(std::span<const TokenId> tokens, const ToyOptions& options = {},
             size_t first = 0, size_t end = SIZE_MAX);
  // The same, with the answers of Publish.
  Status Put(std::span<const TokenId> tokens, const ToyOptions& options,
             size_t first, size_t end, std::vector<PublishOutcome>* out);

  // A commit of `tokens` on top of what the session is now, or a new session.
  Result<CommitOutcome> Commit(std::string_view session,
                               std::span<const TokenId> tokens,
                               int64_t time_ms = 1);
  // Put, then Commit. kNotFound when segments are reported missing.
  Result<CommitOutcome> Save(std::string_view session,
                             std::span<const TokenId> tokens,
                             const ToyOptions& options = {});

 private:
  Catalogue* const catalogue_;
  const DomainId tenant_;
  const ModelSpec spec_;
  ModelId model_;
  Durability durability_ = Durability::kSynced;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_TOY_STATE_H_
