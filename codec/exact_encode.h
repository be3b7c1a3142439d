// One frame of `exact`, encoded: which streams there are, how each is stored.
// The checks of ExactCodec::Encode come first.
#ifndef REPRISE_CODEC_EXACT_ENCODE_H_
#define REPRISE_CODEC_EXACT_ENCODE_H_

#include <cstdint>
#include <span>

#include "codec/codec.h"
#include "codec/exact_kernel.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_profile_format.h"

namespace reprise {

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
