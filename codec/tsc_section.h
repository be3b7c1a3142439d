// A section of `tsc` with all checks made: what the decoders of the CPU and of
// a device work on.
#ifndef REPRISE_CODEC_TSC_SECTION_H_
#define REPRISE_CODEC_TSC_SECTION_H_

#include <span>

#include "codec/codec.h"
#include "codec/tsc_layout.h"

namespace reprise {

// Its parts lie inside of the section, which it points into.
struct TscSection {
  TscShape shape;
  TscHeader header;
  TscLayout layout;
  const uint8_t* bytes = nullptr;
};

// kDataLoss unless the section is the slice's and its header, directory entry
// and size fit together. Scales and references are not looked at.
Status LoadTscSection(const FrameView& frame, const FrameSection& entry,
                      const PlaneSlice& slice, TscSection* out);

// LoadTscSection of all sections, their number and the stage; answers the
// tokens that the frame has, on which its sections must agree.
Result<TokenMask> CheckTscFrame(const FrameView& frame,
                                std::span<const PlaneSlice> slices);

// kFailedPrecondition when a caller that takes no answer (`takes_kept` false)
// wants tokens that the frame lacks.
Status CheckTscKept(const FrameView& frame, TokenMask kept,
                    uint32_t token_count, bool takes_kept);

// kDataLoss unless all scales are finite and not negative, and so are the
// values of the references among the first `token_count` tokens: so no NaN,
// whose bits would depend on the machine, can arise.
Status CheckTscValues(const FrameSection& entry, const TscSection& section,
                      uint32_t token_count);

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_SECTION_H_
