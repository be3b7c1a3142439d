// One encoding of `klt`: transform and round all groups, decide what stays
// raw, then write each stage.
#ifndef REPRISE_CODEC_KLT_ENCODE_H_
#define REPRISE_CODEC_KLT_ENCODE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/codec.h"
#include "codec/klt_codec.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile.h"

namespace reprise {

// The defaults for null. kInvalidArgument when they are of another codec.
Result<const KltOptions*> OwnKltOptions(const CodecOptions* options);

// What was chosen for an encoding, checked.
struct KltChoices {
  const KltOptions* options = nullptr;
  const KltProfile* profile = nullptr;
  std::span<const KltGroup> groups;  // the profile's that fit the slices
};
// The checks that every encoder makes first, besides those of rows and tokens;
// errors of Codec::EncodeStages.
Result<KltChoices> CheckKltChoices(const EncodeRequest& request);
// kInvalidArgument unless there is a builder for each stage.
Status CheckKltBuilders(const KltChoices& choices, size_t count);

// What the header of a stage's frame says.
FrameInfo KltStageInfo(const EncodeRequest& request, const KltProfile& profile,
                       uint32_t stage);

class KltFrameEncoder {
 public:
  // Keeps references to all of its arguments. REQUIRES: the request, with its
  // rows, and the number of builders were checked.
  KltFrameEncoder(const EncodeRequest& request, const KltChoices& choices,
                  KltWork* work, std::span<FrameBuilder* const> builders);
  void Run();

 private:
  // A group, and where its part of the frame's arrays begins.
  struct Place {
    const KltGroup* group = nullptr;
    uint32_t first_coded = 0;  // of the coded slices
    uint32_t index = 0;        // of the frame's groups
    uint64_t first_q = 0;
    uint32_t stride() const { return group->transform.padded(); }
    uint32_t n() const { return group->transform.n(); }
  };

  // Calls visit(place) for all groups, in order or from the last to the first.
  template <typename Visit>
  void ForEachGroup(Visit visit) const;
  template <typename Visit>
  void ForEachGroupFromLast(Visit visit) const;

  void TakeScratch();
  void FindRawTokens();
  void LoadGroup(const Place& place);
  void ChooseExponents(const Place& place);
  uint8_t ExponentOf(const Place& place, uint32_t token) const;
  void QuantiseGroup(const Place& place);
  // Makes q what the rows can hold.
  void ClipGroup(const Place& place);
  KltRows RowsOf(const Place& place, uint32_t token, uint32_t stage) const;

  void WriteStage(uint32_t stage);
  void WriteCoefficients(uint32_t stage);
  void EncodeGroup(const Place& place, uint32_t stage, KltEncoder* encoder);
  void WriteRawTokens();
  void WritePlane(const PlaneSlice& slice, const ConstPlaneRows& rows);

  bool IsRaw(uint32_t token) const { return raw_ >> token & 1; }

  const EncodeRequest& request_;
  const KltOptions& options_;
  const KltProfile& profile_;
  std::span<const KltGroup> groups_;
  KltWork* work_;
  std::span<FrameBuilder* const> builders_;
  uint32_t tokens_;
  uint32_t last_stage_;

  TokenMask raw_ = 0;
  uint32_t parent_ = 0;        // of the stage that is written next
  uint64_t coefficients_ = 0;  // of all groups and tokens, padding included
  uint64_t max_words_ = 0;     // of a stage
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_ENCODE_H_
