// Encodes one frame of `tsc`: decides row by row what is a keyframe, a
// fallback or a delta, then writes the section of each slice.
#ifndef REPRISE_CODEC_TSC_ENCODE_H_
#define REPRISE_CODEC_TSC_ENCODE_H_

#include "codec/tsc_layout.h"
#include "codec/tsc_profile.h"

namespace reprise {

// One frame. The request was checked, and the profile, which may be null,
// against its slices.
class TscFrameEncoder {
 public:
  TscFrameEncoder(const EncodeRequest& request, const TscOptions& options,
                  const TscProfile* profile, CodecScratch* scratch,
                  FrameBuilder* builder)
      : request_(request),
        options_(options),
        profile_(profile),
        scratch_(scratch),
        builder_(builder) {}

  void Run();

 private:
  // A slice while it is encoded.
  struct Work {
    TscShape shape;
    TscHeader header;
    ConstPlaneRows rows;
    float max_delta = 0;       // above it a row falls back
    float* largest = nullptr;  // [deltas, heads]: of each delta row and head
    float* scales = nullptr;   // [heads]

    const uint8_t* Row(uint32_t token) const {
      return rows.data + token * rows.token_stride_bytes;
    }
  };

  void AddSlice(size_t index);
  float MaxDeltaOf(const PlaneSlice& slice) const;
  // Sorts the rows into raw ones, references and deltas.
  void Sort(Work* work) const;
  void StoreRaw(const Work& work, uint8_t* out) const;
  void StoreScales(const Work& work, uint64_t count, uint8_t* out) const;
  void StoreCodes(const Work& work, const uint8_t* stored_scales,
                  uint8_t* out) const;

  const EncodeRequest& request_;
  const TscOptions& options_;
  const TscProfile* profile_;
  CodecScratch* scratch_;
  FrameBuilder* builder_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_ENCODE_H_
