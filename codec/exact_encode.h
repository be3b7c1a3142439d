// One frame of `exact`, encoded: which streams there are, how each is stored.
#ifndef REPRISE_CODEC_EXACT_ENCODE_H_
#define REPRISE_CODEC_EXACT_ENCODE_H_

#include <algorithm>
#include <cstdint>
#include <span>

#include "codec/codec.h"
#include "codec/exact_kernel.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_profile_format.h"

namespace reprise {

// The checks that every encoder makes first, besides those of rows: the
// profile to encode with, or null. Errors of Codec::Encode. Rows are not
// looked at.
Result<const ExactProfile*> CheckExactEncode(const EncodeRequest& request);

// What the frame's header says.
FrameInfo ExactFrameInfo(const EncodeRequest& request,
                         const ExactProfile* profile);

// The streams that an encoder cuts slices into, in order: their number, and
// visit(place) for each.
uint32_t CountExactPlaces(std::span<const PlaneSlice> slices);
template <typename Visit>
void ForEachExactPlace(std::span<const PlaneSlice> slices, Visit visit) {
  for (uint32_t s = 0; s < slices.size(); ++s) {
    const uint32_t channels = slices[s].channels();
    for (uint32_t c = 0; c < channels; c += kExactMaxChannels) {
      visit(ExactStreamPlace{s, c, std::min(channels - c, kExactMaxChannels)});
    }
  }
}
// The directory entry of a stream, without mode and words.
FrameSection ExactSectionOf(std::span<const PlaneSlice> slices,
                            const ExactStreamPlace& place);

class ExactFrameEncoder {
 public:
  // Keeps references to all of its arguments. `profile` may be null.
  ExactFrameEncoder(const EncodeRequest& request, const ExactProfile* profile,
                    CodecScratch* scratch, FrameBuilder* builder)
      : request_(request),
        profile_(profile),
        scratch_(scratch),
        builder_(builder) {}

  void Run();

 private:
  // How a stream would be coded; `encode` is null where it would not be.
  struct Plan {
    ExactStream stream;
    const ExactEncodeEntry* encode = nullptr;
    uint32_t head_bytes = 0;
  };

  void FindPlaces();
  void FitOwnTables();
  Plan PlanStream(uint32_t index);
  void AddTables();
  void AddStream(uint32_t index);
  // False when coding does not shorten the stream.
  bool TryRans(uint32_t index, const FrameSection& section);
  void AddConstant(uint32_t index, FrameSection section);
  void AddRaw(uint32_t index, FrameSection section);

  const uint8_t* FirstValue(uint32_t index) const;
  uint32_t RowBytes(uint32_t index) const;
  bool IsConstant(uint32_t index) const;
  ExactEncodeOut ScratchFor(const ExactStream& stream);

  const EncodeRequest& request_;
  const ExactProfile* profile_;
  CodecScratch* scratch_;
  FrameBuilder* builder_;

  // In scratch. The last two are null in a frame that has no tables.
  std::span<const ExactStreamPlace> places_;
  ExactOwnTables* own_tables_ = nullptr;
  ExactOwnStream* own_streams_ = nullptr;
  ExactChannels lanes_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_ENCODE_H_
