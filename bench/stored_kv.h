// Real KV of a dump put straight into a catalogue, under any number of
// sessions: encoded once, and then given the names of other tokens.
#ifndef REPRISE_BENCH_STORED_KV_H_
#define REPRISE_BENCH_STORED_KV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/kv_file.h"
#include "store/catalogue.h"
#include "tools/compaction/codec_shelf.h"
#include "tools/compaction/segment_coder.h"
#include "tools/compaction/segment_sinker.h"

namespace reprise::bench {

class StoredKv {
 public:
  // Puts the model, and where `klt_profile` is not empty the profile in that
  // file. Nothing is owned; catalogue and dump outlive this.
  static Result<std::unique_ptr<StoredKv>> Make(Catalogue* catalogue,
                                                const KvDump* dump,
                                                const std::string& klt_profile);

  // Puts a profile of this codec, trained on all of another dump.
  Status PutTrained(std::string_view codec, const KvDump& fit);

  // Encodes the dump's first segments, whole ones only: what Save stores from
  // now on. `codec` as in a save: "klt:tier=near".
  Status Encode(std::string_view codec, uint32_t max_segments);
  // A session of all of them. Different seeds, different tokens.
  Status Save(const std::string& session, uint64_t seed);

  // Decodes what Encode made and encodes it by this codec, in memory; on this
  // thread.
  Status Recode(const TierCodec& to);

  // As a job would make it; kFailedPrecondition where it could not.
  Result<TierCodec> CodecFor(const Ladder& ladder, Tier tier) {
    return shelf_.ForTier(domain_, *model_, ladder, tier);
  }
  const DomainId& domain() const { return domain_; }
  const ModelId& model() const { return model_->id; }
  // Of a session, decoded.
  uint64_t session_raw_bytes() const;
  std::vector<SegmentId> SegmentsOf(uint64_t seed) const;

 private:
  StoredKv(Catalogue* catalogue, const KvDump* dump)
      : catalogue_(catalogue), dump_(dump), shelf_(catalogue) {}

  Bytes RowsOf(const SegmentModel::Group& group, uint32_t first_token) const;
  // Of frames that hold a whole segment.
  Result<Rendition> RenditionOf(const std::vector<Bytes>& frames) const;
  Tier TierOfStage(uint8_t stage) const;
  Status PutSegment(const SegmentRecord& segment,
                    const std::vector<Bytes>& frames);

  Catalogue* const catalogue_;
  const KvDump* const dump_;
  const DomainId domain_ = TenantDomain("bench");
  CodecShelf shelf_;
  SegmentCoder coder_;
  FrameBuilder builder_;
  std::shared_ptr<const SegmentModel> model_;
  TierCodec codec_;
  std::vector<SegmentRecord> segments_;  // of the dump
  std::vector<std::vector<Bytes>> frames_;
  uint64_t drawn_ = 0;
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_STORED_KV_H_
