// The streams of a frame of `exact`, one by one, with every check of what is
// not a stream's contents. Decoders of all kinds read frames through it.
#ifndef REPRISE_CODEC_EXACT_STREAMS_H_
#define REPRISE_CODEC_EXACT_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "codec/codec.h"
#include "codec/exact_layout.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_profile_format.h"
#include "codec/frame.h"

namespace reprise {

// The profile that a frame is decoded with; null for one that has none.
// `given` may be null. kDataLoss for a stage there is not, kFailedPrecondition
// unless the profile given is the one that the frame names and fits the
// slices.
Result<const ExactProfile*> ProfileOfExactFrame(
    const FrameView& frame, std::span<const PlaneSlice> slices,
    const CodecProfile* given);

struct ExactFrameStream {
  const FrameSection* section = nullptr;
  size_t slice = 0;
  uint32_t channel_first = 0;  // of the slice's
  uint32_t element_bytes = 0;
  // Of mode kExactRans, from here on.
  ExactSplit split;
  ExactLayout layout;
  const ExactPlane* plane = nullptr;  // in a frame with a profile
  ExactOwnStream own;                 // in one without
};

// Allocates nothing. All errors are kDataLoss, with both numbers.
class ExactFrameReader {
 public:
  // Keeps all of it. `profile` is the frame's, or null; `tables` is room for
  // the tables of a frame without.
  ExactFrameReader(const FrameView& frame, std::span<const PlaneSlice> slices,
                   const ExactProfile* profile, ExactOwnTables* tables)
      : frame_(frame), slices_(slices), profile_(profile), tables_(tables) {}

  // Comes first: reads the tables of a frame that has its own.
  Status ReadTables();
  // False when all sections are read; what is missing is then an error of
  // CheckEnd.
  bool HasNext() const { return index_ < frame_.sections.size(); }
  // The next stream's place, checked. Its mode and size are not.
  Status Next(ExactFrameStream* out);
  // Checks mode and size of a stream that is to be decoded, and fills in how.
  Status Inspect(ExactFrameStream* stream) const;
  // That there was a stream for every channel.
  Status CheckEnd() const;

  // The frame's own tables; null when it has shown none.
  const ExactOwnTables* own_tables() const {
    return has_tables_ ? tables_ : nullptr;
  }

 private:
  Status InspectRans(ExactFrameStream* stream) const;

  const FrameView& frame_;
  const std::span<const PlaneSlice> slices_;
  const ExactProfile* const profile_;
  ExactOwnTables* const tables_;
  bool has_tables_ = false;
  size_t index_ = 0;  // of the next section
  // The slice whose streams come next, and its first channel not yet seen.
  size_t slice_ = 0;
  uint32_t channel_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_STREAMS_H_
