// One frame of `vq` or `pq`: find the codes, decide what stays raw, write.
#ifndef REPRISE_CODEC_VECTOR_ENCODE_H_
#define REPRISE_CODEC_VECTOR_ENCODE_H_

#include <cstdint>

#include "codec/codec.h"
#include "codec/vector_layout.h"
#include "codec/vector_options.h"
#include "codec/vector_profile.h"

namespace reprise {

// Encodes one frame into `builder`. REQUIRES: the request was checked; the
// profile fits its slices; options (which may be null) fit the profile.
class VectorFrameEncoder {
 public:
  VectorFrameEncoder(const EncodeRequest& request, const VectorProfile& profile,
                     const VectorOptions* options, CodecScratch* scratch,
                     FrameBuilder* builder);
  void Run();

 private:
  // One head of one slice.
  struct Head {
    const PlaneSlice* slice = nullptr;
    const VectorPlane* plane = nullptr;
    const uint8_t* rows = nullptr;
    uint64_t stride = 0;
    uint32_t head = 0;  // of the plane's heads

    uint64_t row_bytes() const {
      return uint64_t{plane->dim} * DTypeBytes(plane->dtype);
    }
  };
  // A token-head that may fall back.
  struct Candidate {
    double error = 0;  // relative squared
    uint32_t head_index = 0;
    uint32_t token = 0;
  };
  // The centroids that a search is made among, widened to f32.
  struct LoadedBook {
    const uint8_t* centroids = nullptr;
    uint32_t width = 0;
    const float* half_norms = nullptr;
  };

  template <typename Visit>
  void ForEachHead(Visit visit) const;
  void TakeScratch();
  void LoadBook(const Head& head, uint32_t block, uint32_t width);
  // Values of all tokens divided by the head's norm, one token a lane, and
  // which tokens are not to be coded.
  TokenMask LoadHead(const Head& head);
  void EncodeHead(const Head& head, uint8_t* codes);
  // A token's codes, one byte each. Valid until the next call.
  const uint8_t* CodesOf(const uint8_t* codes, uint32_t blocks,
                         uint32_t token) const;
  void MeasureHead(const Head& head, uint32_t head_index, const uint8_t* codes);
  void ChooseRaw(uint32_t heads);
  void FindCodes();
  void WriteHead(const Head& head, TokenMask raw, const uint8_t* codes,
                 uint8_t** code_out, uint8_t** raw_out);
  void WriteCodes(const PlaneSlice& first_slice);
  void WritePlane(const PlaneSlice& slice, const ConstPlaneRows& rows);

  const EncodeRequest& request_;
  const VectorProfile& profile_;
  const VectorOptions* options_;
  CodecScratch* scratch_;
  FrameBuilder* builder_;
  uint32_t token_count_;
  uint32_t lanes_;  // tokens, rounded up

  uint32_t head_count_ = 0;
  uint64_t code_rows_ = 0;  // blocks of all heads
  uint32_t max_dim_ = 0;
  LoadedBook book_;

  // Scratch.
  float* exact_ = nullptr;    // [lanes, dim]
  float* values_ = nullptr;   // [dim, lanes]
  float* wide_ = nullptr;     // [256, 16] centroids, then [256] half norms
  uint8_t* codes_ = nullptr;  // [head][block, lanes]
  TokenMask* raw_ = nullptr;  // [head]
  Candidate* candidates_ = nullptr;
  uint32_t candidate_count_ = 0;
  uint8_t* row_ = nullptr;  // codes, then elements of one token-head
};

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_ENCODE_H_
