// Saves a state with a codec into a store of its own and reads it back: real
// frames, real records, so the bytes are those that a daemon would hold.
//
// Whole segments of 64 tokens are coded with the codec that is asked for, the
// tail exactly, as the client library does it. An encoding in stages is made
// once; each prefix of its stages can then be stored and read back by itself,
// as a session that has sunk to that tier.
#ifndef REPRISE_TOOLS_EVAL_STATE_CODER_H_
#define REPRISE_TOOLS_EVAL_STATE_CODER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/kv_gather.h"
#include "client/kv_layout.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/model_spec.h"
#include "codec/profile_trainer.h"
#include "codec/segment.h"
#include "store/catalogue.h"
#include "tools/eval/fallback_count.h"
#include "tools/eval/state_ratios.h"

namespace reprise {

// A profile in both of its forms; null and empty: none.
struct EvalProfile {
  std::shared_ptr<const CodecProfile> profile;
  Bytes bytes;
};

struct CodeRequest {
  std::span<const TokenId> tokens;  // of the state, from position 0 on
  const KvView* view = nullptr;     // of as many tokens
  const KvSink* sink = nullptr;     // where the decoded state goes
  const CodecChoice* choice = nullptr;
  const EvalProfile* profile = nullptr;  // null: without
  // One flag a token; empty: all are kept. The KV of the others is dropped by
  // the codec where it can; where it can't, frames are taken to be smaller by
  // the dropped share and the mask is counted as 8 bytes a segment. Rows of
  // dropped tokens in the sink mean nothing.
  std::span<const uint8_t> keep;
};

// All frames of one encoding of a state, in memory.
struct EncodedState {
  struct Segment {
    SegmentRecord record;
    CodecId codec = CodecId::kRaw;
    ProfileId profile;
    uint32_t stages = 1;
    std::vector<Bytes> frames;  // stage by stage, in each the layer groups
  };
  std::vector<Segment> segments;
  double encode_s = 0;
};

struct CodedState {
  StoredSize size;
  FallbackCount fallbacks;
  double encode_s = 0;  // of the whole encoding, however much of it is stored
  double decode_s = 0;
};

// Of one model. Not thread-safe: it has scratch memory.
class StateCoder {
 public:
  // REQUIRES: ValidateModelSpec(spec).ok().
  explicit StateCoder(const ModelSpec& spec);

  const ModelSpec& spec() const { return spec_; }

  // Encodes the state with all stages of the codec. request.sink is not used.
  // Errors of the codec.
  Result<EncodedState> Encode(const CodeRequest& request);

  // Stores stages 0 to `stages` - 1 (0: all there are), reads them back and
  // decodes them into request.sink. The size is that of these frames and their
  // records alone.
  // Errors of the codec, of the store, and kDataLoss when what is read back is
  // not what was written.
  // REQUIRES: `encoded` is what Encode made of an equal request.
  Result<CodedState> Store(const CodeRequest& request,
                           const EncodedState& encoded, uint32_t stages);

  // Encode, then Store of all stages.
  Result<CodedState> Code(const CodeRequest& request);

  // Gives all rows of the view to a trainer, segment by segment.
  Status Feed(const KvView& view, ProfileTrainer* trainer);

  // Whether a profile serves these options: what an encoder says that is
  // given the first segment of the view, which has at least one.
  bool Serves(const EvalProfile& profile, const CodecChoice& choice,
              const KvView& view);

 private:
  struct Session;
  struct Group {
    LayerGroup layers;
    std::vector<PlaneSlice> slices;
  };

  // Rows of a group in source_rows_, packed where the view's are not.
  void Gather(const KvSource& source, const Group& group, uint64_t first_token,
              uint32_t count);
  Status EncodeSegment(const CodeRequest& request, const KvSource& source,
                       EncodedState::Segment* segment);
  Status EncodeGroup(const EncodeRequest& request, const Codec& codec,
                     uint32_t group, EncodedState::Segment* segment);
  Status OpenStore(Session* session);
  Status PutProfile(Session* session);
  Status PutSegment(Session* session, size_t index);
  // Makes the frames that were put visible, as a session.
  Status Publish(Session* session);
  Status DecodeAll(Session* session);
  Status DecodeSegment(Session* session, const FetchSegment& fetched);
  Status DecodeGroup(Session* session, const FetchSegment& fetched,
                     const Group& group, std::span<const ByteView> stages);

  const ModelSpec spec_;
  const ModelId model_;
  std::vector<Group> groups_;
  CodecScratch scratch_;
  FrameBuilder builders_[kMaxStages];
  FrameView frames_[kMaxStages];
  Bytes packed_;
  std::vector<ConstPlaneRows> source_rows_;
  std::vector<PlaneRows> target_rows_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_STATE_CODER_H_
