// Sessions saved by a codec that works in stages, and restores whose every
// byte is compared with what the tier that is claimed for it makes of it.
#ifndef REPRISE_TESTS_CLIENT_STAGED_FIXTURE_H_
#define REPRISE_TESTS_CLIENT_STAGED_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "store/engine.h"
#include "store/records.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/bit_stages_codec.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {

// Three layer groups.
inline ModelSpec StagedModel() {
  return PlainModel("staged", 3, 8, 128, DType::kBf16);
}
// Three segments. Without a tail, which would be exact: to fit a profile for
// that takes longer than all the rest.
inline constexpr uint32_t kStagedTokens = 192;

// Contiguous memory for a state, one plane after the other. Its values are a
// function of layer, plane, token and place in the row.
class StagedState {
 public:
  StagedState(const ModelSpec& spec, uint32_t token_count)
      : spec_(spec), token_count_(token_count) {
    for (const LayerSpec& layer : spec.layers) {
      for (const PlaneSpec& plane : layer.planes) {
        row_bytes_.push_back(uint64_t{plane.channels()} *
                             DTypeBytes(plane.dtype));
        planes_.emplace_back(row_bytes_.back() * token_count, uint8_t{0x5a});
      }
    }
  }
  StagedState& Fill() {
    for (size_t p = 0; p < planes_.size(); ++p) {
      for (uint32_t t = 0; t < token_count_; ++t) {
        for (uint64_t b = 0; b < row_bytes_[p]; ++b) {
          planes_[p][t * row_bytes_[p] + b] = Value(p, t, b);
        }
      }
    }
    return *this;
  }
  static uint8_t Value(size_t plane, uint32_t token, uint64_t byte) {
    return static_cast<uint8_t>(
        (plane * 131 + token * 31 + byte * 7) * 2654435761u >> 13);
  }

  KvView View() { return Describe<KvView>(); }
  KvSink Sink() { return Describe<KvSink>(); }

  // Rows of a layer hold what the range's tier makes of the values, or what a
  // better one does: each segment's one of them, as a whole.
  testing::AssertionResult Holds(uint32_t layer, const TierRange& range) const {
    for (uint64_t first = range.first_token; first < range.end_token;
         first += kSegmentTokens) {
      const uint64_t end = std::min(first + kSegmentTokens, range.end_token);
      bool holds = false;
      for (const Tier tier :
           {Tier::kArchive, Tier::kCoarse, Tier::kNear, Tier::kExact}) {
        holds = holds || (tier <= range.tier && IsOf(tier, layer, first, end));
      }
      if (holds) continue;
      return testing::AssertionFailure()
             << "layer " << layer << " from token " << first
             << " on is of no tier from " << TierName(range.tier) << " on";
    }
    return testing::AssertionSuccess();
  }
  testing::AssertionResult Holds(const std::vector<TierRange>& ranges) const {
    for (const TierRange& range : ranges) {
      for (uint32_t layer = 0; layer < spec_.layers.size(); ++layer) {
        if (auto holds = Holds(layer, range); !holds) return holds;
      }
    }
    return testing::AssertionSuccess();
  }

 private:
  bool IsOf(Tier tier, uint32_t layer, uint64_t first, uint64_t end) const {
    const uint8_t mask =
        tier == Tier::kExact ? 0xff : StagedCodec::MaskOf(tier);
    for (size_t p = 2 * layer; p < 2 * layer + 2; ++p) {
      for (uint64_t t = first; t < end; ++t) {
        for (uint64_t b = 0; b < row_bytes_[p]; ++b) {
          const uint8_t is = planes_[p][t * row_bytes_[p] + b];
          if (is != (Value(p, static_cast<uint32_t>(t), b) & mask))
            return false;
        }
      }
    }
    return true;
  }
  template <typename Memory>
  Memory Describe() {
    Memory memory;
    memory.token_count = token_count_;
    size_t p = 0;
    for (const LayerSpec& layer : spec_.layers) {
      for (const PlaneSpec& plane : layer.planes) {
        const int64_t element = DTypeBytes(plane.dtype);
        memory.planes.push_back({planes_[p].data(), 0,
                                 static_cast<int64_t>(row_bytes_[p]),
                                 element * plane.dim, element});
        ++p;
      }
    }
    return memory;
  }

  const ModelSpec spec_;
  const uint32_t token_count_;
  std::vector<uint64_t> row_bytes_;
  std::vector<Bytes> planes_;
};

class StagedFixture : public testing::Test {
 protected:
  StagedFixture()
      : worker_((StagedCodec::Install(), daemon_.Connect()), StagedModel()),
        exact_(worker_.spec, kStagedTokens) {
    exact_.Fill();
    daemon_.set_fetch_message_bytes(1);  // one frame a message
  }
  ~StagedFixture() override { StagedCodec::OnDecode(nullptr); }

  Result<SaveResult> Save(const std::string& codec = "staged",
                          std::string_view session = "s") {
    SaveRequest request;
    request.model = worker_.model;
    request.tokens = tokens_;
    request.kv = exact_.View();
    request.codec = codec;
    return worker_.client->Save(session, request);
  }

  RestoreRequest Into(StagedState* state, RestoreRequest request) const {
    request.model = worker_.model;
    request.make_sink = [state](const RestoreInfo&) {
      return Result<KvSink>(state->Sink());
    };
    return request;
  }
  static RestoreRequest Any(Tier highest = Tier::kExact) {
    RestoreRequest request;
    request.lowest = Tier::kArchive;
    request.highest = highest;
    return request;
  }

  // Restores with any client into fresh memory, and compares all that is
  // claimed to be there.
  Result<RestoreResult> RestoreBy(Client* client, RestoreRequest request,
                                  std::string_view session = "s") {
    StagedState state(worker_.spec, kStagedTokens);
    auto restored = client->Restore(session, Into(&state, std::move(request)));
    if (restored.ok()) {
      std::vector<TierRange> valid = restored->info.ranges;
      for (TierRange& range : valid) {
        range.end_token = std::min(range.end_token, restored->valid_end);
      }
      EXPECT_TRUE(state.Holds(valid));
    }
    return restored;
  }
  Result<RestoreResult> Restore(RestoreRequest request,
                                std::string_view session = "s") {
    return RestoreBy(worker_.client.get(), std::move(request), session);
  }

  static std::vector<TierRange> AllAt(Tier tier) {
    return {{0, kStagedTokens, tier, Tier::kExact}};
  }
  std::vector<SegmentId> Segments() const {
    return SegmentIdsOf(IdOf(worker_.model), tokens_);
  }
  DomainId Domain() const { return TenantDomain("default"); }
  // A frame of a stage of a segment, of the second layer group.
  FrameRef FrameOf(size_t segment, uint8_t stage) {
    const auto head = daemon_.engine()->GetHead(
        HeadSpace::kRendition, DomainKey(Domain(), Segments()[segment].view()));
    EXPECT_TRUE(head.ok());
    const RenditionSet set = *DecodeRenditionSet(head->value.view());
    for (const FrameRef& frame : set.renditions[0].frames) {
      if (frame.stage == stage && frame.first_layer == 1) return frame;
    }
    ADD_FAILURE() << "no such frame";
    return {};
  }
  void RemoveFrame(size_t segment, uint8_t stage) {
    const FrameRef frame = FrameOf(segment, stage);
    const std::string key =
        FrameKey(Domain(), Segments()[segment], frame.rendition, frame.index);
    const ObjectRef ref{frame.space, key};
    EXPECT_TRUE(
        daemon_.engine()->RemoveIfUntouched({&ref, 1}, UINT64_MAX).ok());
  }

  TestDaemon daemon_;
  TestWorker worker_;
  const std::vector<TokenId> tokens_ = ToyTokens(1, kStagedTokens);
  StagedState exact_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_STAGED_FIXTURE_H_
