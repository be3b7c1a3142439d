// A frame of `vq` or `pq` with all checks made, head by head: what the decoders
// of the CPU and of a device work on.
#ifndef REPRISE_CODEC_VECTOR_SECTION_H_
#define REPRISE_CODEC_VECTOR_SECTION_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/vector_layout.h"
#include "codec/vector_profile.h"

namespace reprise {

// One head of a coded slice.
struct VectorHead {
  size_t slice = 0;   // index
  uint32_t head = 0;  // of the slice
  const VectorPlane* plane = nullptr;
  TokenMask raw = 0;  // the others are codes
  // Where they begin in the section of codes; offsets in bytes.
  uint64_t codes_at = 0;
  uint64_t raw_at = 0;
};

// The profile as this codec's, if it is the frame's and fits the slices.
// kFailedPrecondition otherwise.
Result<const VectorProfile*> CheckVectorProfile(
    CodecId codec, const FrameView& frame, std::span<const PlaneSlice> slices,
    const CodecProfile* profile);

// Points to what it is made of.
class VectorFrame {
 public:
  // REQUIRES: the profile is the frame's and fits the slices.
  VectorFrame(const FrameView& frame, std::span<const PlaneSlice> slices,
              const VectorProfile& profile)
      : frame_(frame),
        slices_(slices),
        profile_(profile),
        name_(CodecIdName(profile.codec())),
        token_count_(frame.info.token_count) {}

  // Everything that can be wrong with it: kDataLoss. What is below REQUIRES
  // that nothing is.
  Status Check();

  // The section of codes, which is the first. REQUIRES: ForEachHead visits.
  const FrameSection& CodeSection() const { return frame_.sections[0]; }
  // visit(const VectorHead&) of all heads of coded slices, in their order;
  // stops at an error.
  template <typename Visit>
  Status ForEachHead(Visit visit) const;
  // visit(size_t slice, const FrameSection&) of the slices that are stored as
  // they are.
  template <typename Visit>
  Status ForEachPlane(Visit visit) const;

 private:
  const VectorPlane* PlaneOf(const PlaneSlice& slice) const {
    return profile_.FindPlane(slice.layer, slice.plane);
  }
  Status CheckSection(size_t index, const PlaneSlice& slice,
                      bool is_coded) const;
  Status CheckPlane(const FrameSection& section, const PlaneSlice& slice) const;
  Status CheckCodes(const FrameSection& section);
  TokenMask MaskOf(uint64_t head_index) const;

  const FrameView& frame_;
  const std::span<const PlaneSlice> slices_;
  const VectorProfile& profile_;
  const std::string_view name_;
  const uint32_t token_count_;

  ByteView coded_;  // the section of codes; empty without one
  VectorParts parts_;
};

template <typename Visit>
Status VectorFrame::ForEachHead(Visit visit) const {
  VectorHead head{.codes_at = parts_.codes_at(), .raw_at = parts_.raw_at()};
  uint64_t index = 0;
  for (size_t i = 0; i < slices_.size(); ++i) {
    head.slice = i;
    head.plane = PlaneOf(slices_[i]);
    if (head.plane == nullptr) continue;
    for (head.head = 0; head.head < slices_[i].head_count; ++head.head) {
      head.raw = MaskOf(index++);
      REPRISE_RETURN_IF_ERROR(visit(std::as_const(head)));
      VectorParts own;
      own.Add(profile_, *head.plane, token_count_, head.raw);
      head.codes_at += own.code_bytes;
      head.raw_at += own.raw_bytes;
    }
  }
  return Status();
}

template <typename Visit>
Status VectorFrame::ForEachPlane(Visit visit) const {
  size_t index = parts_.token_heads > 0 ? 1 : 0;
  for (size_t i = 0; i < slices_.size(); ++i) {
    if (PlaneOf(slices_[i]) != nullptr) continue;
    REPRISE_RETURN_IF_ERROR(visit(i, frame_.sections[index++]));
  }
  return Status();
}

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_SECTION_H_
