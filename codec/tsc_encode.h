// Encodes one frame of `tsc`: decides row by row what is a keyframe, a
// fallback or a delta, then writes the section of each slice.
#ifndef REPRISE_CODEC_TSC_ENCODE_H_
#define REPRISE_CODEC_TSC_ENCODE_H_

#include "codec/tsc_layout.h"
#include "codec/tsc_profile.h"

namespace reprise {

// What was chosen for an encoding, checked.
struct TscChoices {
  const TscOptions* options = nullptr;
  const TscProfile* profile = nullptr;  // may be null
};
// kInvalidArgument or kFailedPrecondition, as of Codec::Encode. Does not look
// at rows.
Result<TscChoices> CheckTscChoices(const EncodeRequest& request);

// How a slice is to be encoded, as far as its rows have no say in it.
struct TscSlicePlan {
  TscShape shape;
  TscHeader header;           // kept, kappa, page
  bool is_raw = false;        // there are to be no deltas and no references
  float delta_limit = 0;      // rows with a larger delta are raw
  float reference_limit = 0;  // no row leans on one with a larger value
};
TscSlicePlan PlanTscSlice(const EncodeRequest& request,
                          const TscChoices& choices, const PlaneSlice& slice);

// Directory entry and frame header, for FrameBuilder.
FrameSection TscSectionOf(const PlaneSlice& slice, const TscHeader& header,
                          uint32_t bits);
FrameInfo TscInfoOf(const EncodeRequest& request, const TscChoices& choices);

// One frame. The request was checked.
class TscFrameEncoder {
 public:
  TscFrameEncoder(const EncodeRequest& request, const TscChoices& choices,
                  CodecScratch* scratch, FrameBuilder* builder)
      : request_(request),
        choices_(choices),
        scratch_(scratch),
        builder_(builder) {}

  void Run();

 private:
  // A slice while it is encoded.
  struct Work {
    TscSlicePlan plan;
    TscShape shape;
    TscHeader header;
    ConstPlaneRows rows;
    float* largest = nullptr;  // [deltas, heads]: of each delta row and head
    float* scales = nullptr;   // [heads]

    const uint8_t* Row(uint32_t token) const {
      return rows.data + token * rows.token_stride_bytes;
    }
  };

  void AddSlice(size_t index);
  // Sorts the rows into raw ones, references and deltas.
  void Sort(Work* work) const;
  void StoreRaw(const Work& work, uint8_t* out) const;
  void StoreScales(const Work& work, uint64_t count, uint8_t* out) const;
  void StoreCodes(const Work& work, const uint8_t* stored_scales,
                  uint8_t* out) const;

  const EncodeRequest& request_;
  const TscChoices choices_;
  CodecScratch* scratch_;
  FrameBuilder* builder_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_ENCODE_H_
