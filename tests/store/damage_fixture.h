// A store in memory with ways to spoil what is in it.
#ifndef REPRISE_TESTS_STORE_DAMAGE_FIXTURE_H_
#define REPRISE_TESTS_STORE_DAMAGE_FIXTURE_H_

#include <string>
#include <vector>

#include "tests/store/catalogue_fixture.h"

namespace reprise {

class DamageFixture : public CatalogueFixture {
 protected:
  std::string Key(const SegmentId& id) { return DomainKey(tenant_, id.view()); }

  // Puts other bytes in an object's place, or nothing when there are none.
  void Replace(ObjectSpace space, const std::string& key, ByteView bytes) {
    const ObjectRef ref{space, key};
    const auto removed = engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX);
    ASSERT_TRUE(removed.ok() && *removed == 1);
    if (bytes.empty()) return;
    const ObjectPut put{space, key, bytes};
    REPRISE_ASSERT_OK(engine_->Put({&put, 1}, 1, Durability::kWritten));
  }
  // Flips a bit of the byte at `place`, from 0 at the start to 1 at the end.
  void FlipBit(ObjectSpace space, const std::string& key, double place = 0.5) {
    const auto bytes = engine_->Get({space, key});
    REPRISE_ASSERT_OK(bytes.status());
    Replace(space, key, Flipped(bytes->view(), place));
  }
  void FlipBit(HeadSpace space, const std::string& key, double place = 0.5) {
    const auto head = engine_->GetHead(space, key);
    REPRISE_ASSERT_OK(head.status());
    REPRISE_ASSERT_OK(engine_
                          ->CompareAndSwap(space, key, head->version,
                                           Flipped(head->value.view(), place),
                                           Durability::kWritten)
                          .status());
  }
  static Bytes Flipped(ByteView bytes, double place) {
    Bytes changed(bytes.begin(), bytes.end());
    const auto last = static_cast<double>(changed.size() - 1);
    changed[static_cast<size_t>(place * last)] ^= 4;
    return changed;
  }

  // Of a segment's n-th rendition.
  std::vector<FrameRef> FramesOf(const SegmentId& id, size_t n = 0) {
    const auto head = engine_->GetHead(HeadSpace::kRendition, Key(id));
    if (!head.ok()) return {};
    const auto set = DecodeRenditionSet(head->value.view());
    if (!set.ok() || set->renditions.size() <= n) return {};
    return set->renditions[n].frames;
  }
  std::string KeyOf(const SegmentId& id, const FrameRef& frame) {
    return FrameKey(tenant_, id, frame.rendition, frame.index);
  }
  // Where a restore of these tiers must recompute from: the first token that is
  // not there.
  uint64_t RestorableTokens(std::string_view name, Tier lowest = Tier::kExact) {
    FetchRequest request;
    request.session = name;
    request.lowest = lowest;
    request.lease_ms = 0;
    const auto plan = catalogue_->PlanFetch(tenant_, request);
    if (!plan.ok()) return 0;
    uint64_t tokens = 0;
    for (const FetchSegment& segment : plan->segments) {
      if (segment.rendition.tier == Tier::kTokens) return tokens;
      if (segment.segment.tokens.empty()) return tokens;
      std::vector<Result<PinnedBytes>> frames;
      catalogue_->GetFrames(plan->domain, segment.id, segment.rendition.frames,
                            &frames);
      for (const auto& frame : frames) {
        if (!frame.ok()) return tokens;
      }
      tokens += segment.token_count;
    }
    return tokens;
  }
};

}  // namespace reprise

#endif  // REPRISE_TESTS_STORE_DAMAGE_FIXTURE_H_
