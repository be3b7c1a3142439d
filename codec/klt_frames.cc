#include "codec/klt_frames.h"

#include <bit>
#include <string_view>

#include "codec/message.h"

namespace reprise {
namespace {

Status Damaged(std::string_view what, uint64_t is, uint64_t wanted) {
  return DataLossError(
      CatMessage("klt: ", what, " is ", is, ", wanted is ", wanted));
}

Result<const KltProfile*> ProfileOf(const FrameView& frame,
                                    const CodecProfile* profile) {
  REPRISE_ASSIGN_OR_RETURN(const KltProfile* own, OwnKltProfile(profile));
  if (own->id() == frame.info.profile) return own;
  return FailedPreconditionError(CatMessage(
      "klt: the frame was made with profile ", frame.info.profile.ShortHex(),
      ", given is ", own->id().ShortHex()));
}

Status CheckSection(const FrameView& frame, size_t index,
                    const FrameSection& wanted) {
  const FrameSection& section = frame.sections[index];
  if (section.layer == wanted.layer && section.plane == wanted.plane &&
      section.mode == wanted.mode &&
      section.channel_first == wanted.channel_first &&
      section.channel_count == wanted.channel_count) {
    return Status();
  }
  return DataLossError(CatMessage(
      "klt: stage ", frame.info.stage, " section ", index, " is of layer ",
      section.layer, " plane ", section.plane, " mode ", section.mode, ", ",
      section.channel_count, " channels from ", section.channel_first,
      " on; wanted are layer ", wanted.layer, " plane ", wanted.plane, " mode ",
      wanted.mode, ", ", wanted.channel_count, " from ", wanted.channel_first,
      " on"));
}

Status CheckRawTokens(const FrameView& frame, uint64_t coded_token_bytes,
                      TokenMask* raw) {
  if (coded_token_bytes == 0) {
    return DataLossError("klt: raw tokens of a frame without coded slices");
  }
  const FrameSection& section = frame.sections[1];
  if (section.words != 0) return Damaged("words", section.words, 0);
  if (section.bytes < sizeof(TokenMask)) {
    return Damaged("size of the raw tokens", section.bytes, sizeof(TokenMask));
  }
  const uint32_t tokens = frame.info.token_count;
  *raw = LoadLe<TokenMask>(frame.Section(section).data());
  if (*raw == 0 || (*raw & ~FirstTokens(tokens)) != 0) {
    return DataLossError(CatMessage(
        "klt: the mask of raw tokens names ", std::popcount(*raw),
        ", up to token ", 63 - std::countl_zero(*raw | 1), " of ", tokens));
  }
  const uint64_t wanted =
      sizeof(TokenMask) +
      coded_token_bytes * static_cast<uint64_t>(std::popcount(*raw));
  if (section.bytes == wanted) return Status();
  return Damaged("size of the raw tokens", section.bytes, wanted);
}

Status CheckPlane(const FrameView& frame, size_t index,
                  const PlaneSlice& slice) {
  REPRISE_RETURN_IF_ERROR(CheckSection(frame, index, KltPlaneSectionOf(slice)));
  const FrameSection& section = frame.sections[index];
  const uint64_t wanted = slice.token_bytes() * frame.info.token_count;
  if (section.bytes != wanted) {
    return Damaged("size of a plane", section.bytes, wanted);
  }
  if (section.words != 0) return Damaged("words", section.words, 0);
  return Status();
}

// Fills in what the sections say.
Status CheckSections(std::span<const FrameView* const> frames,
                     std::span<const PlaneSlice> slices, KltFrames* found) {
  const auto is_coded = [&](const PlaneSlice& slice) {
    return found->profile->FindPlane(slice.layer, slice.plane) != nullptr;
  };
  uint64_t coded_token_bytes = 0;
  size_t uncoded = 0;
  for (const PlaneSlice& slice : slices) {
    if (is_coded(slice)) {
      coded_token_bytes += slice.token_bytes();
    } else {
      ++uncoded;
    }
  }
  const FrameView& base = *frames[0];
  const bool has_raw = base.sections.size() == 2 + uncoded;
  found->first_plane_section = has_raw ? 2 : 1;
  for (const FrameView* frame : frames) {
    const size_t wanted =
        frame == &base ? found->first_plane_section + uncoded : 1;
    if (frame->sections.size() != wanted) {
      return Damaged("number of sections", frame->sections.size(), wanted);
    }
    REPRISE_RETURN_IF_ERROR(CheckSection(
        *frame, 0, KltSectionOf(slices[0], KltMode::kCoefficients, 0)));
  }
  if (has_raw) {
    REPRISE_RETURN_IF_ERROR(
        CheckSection(base, 1, KltSectionOf(slices[0], KltMode::kRawTokens, 0)));
    REPRISE_RETURN_IF_ERROR(
        CheckRawTokens(base, coded_token_bytes, &found->raw));
  }
  size_t index = found->first_plane_section;
  for (const PlaneSlice& slice : slices) {
    if (is_coded(slice)) continue;
    REPRISE_RETURN_IF_ERROR(CheckPlane(base, index++, slice));
  }
  return Status();
}

// All of a stage's coefficients but the words and signs themselves.
Status CheckStream(std::span<const FrameView* const> frames, uint32_t stage,
                   int* shift) {
  const FrameSection& section = frames[stage]->sections[0];
  const ByteView bytes = frames[stage]->Section(section);
  const uint64_t signs_at = KltSignsOffset(section.words);
  if (bytes.size() < signs_at) {
    return Damaged("size of the coefficients", bytes.size(), signs_at);
  }
  const int is = static_cast<int8_t>(bytes[0]);
  if (is < -kKltMaxShift || is > kKltMaxShift || (stage > 0 && is != *shift)) {
    return DataLossError(CatMessage("klt: stage ", stage, ": shift is ", is,
                                    ", that of stage 0 ", *shift));
  }
  *shift = is;
  const uint32_t reserved = bytes[1] | bytes[2] | bytes[3];
  if (reserved != 0) return Damaged("reserved byte", reserved, 0);
  const auto parent = LoadLe<uint32_t>(bytes.data() + kKltParentOffset);
  const uint32_t wanted =
      stage == 0
          ? 0
          : static_cast<uint32_t>(frames[stage - 1]->sections[0].checksum);
  if (parent != wanted) return Damaged("parent", parent, wanted);
  for (uint32_t l = 0; l < kKltLanes; ++l) {
    const auto state =
        LoadLe<uint32_t>(bytes.data() + kKltStatesOffset + 4 * l);
    if (state < kKltLowState) return Damaged("a state", state, kKltLowState);
  }
  for (uint64_t i = kKltWordsOffset + 2 * uint64_t{section.words}; i < signs_at;
       ++i) {
    if (bytes[i] != 0) return Damaged("byte behind the words", bytes[i], 0);
  }
  return Status();
}

}  // namespace

// The headers of one encoding's frames differ in little.
Status CheckKltStages(std::span<const FrameView* const> frames) {
  if (frames.empty() || frames.size() > kMaxStages) {
    return InvalidArgumentError(CatMessage("klt: ", frames.size(),
                                           " frames were given, 1 to ",
                                           kMaxStages, " are wanted"));
  }
  for (size_t k = 0; k < frames.size(); ++k) {
    if (frames[k]->info.stage != k) {
      return InvalidArgumentError(
          CatMessage("klt: frame ", k, " is of stage ", frames[k]->info.stage));
    }
    FrameInfo wanted = frames[0]->info;
    wanted.stage = frames[k]->info.stage;
    if (frames[k]->info != wanted) {
      return DataLossError(CatMessage("klt: the header of stage ", k,
                                      " is not that of stage 0"));
    }
  }
  return Status();
}

Result<KltFrames> CheckKltFrames(std::span<const FrameView* const> frames,
                                 std::span<const PlaneSlice> slices,
                                 const CodecProfile* profile) {
  KltFrames found;
  REPRISE_ASSIGN_OR_RETURN(found.profile, ProfileOf(*frames[0], profile));
  REPRISE_ASSIGN_OR_RETURN(
      found.groups, found.profile->GroupsFor(frames[0]->info.layers, slices));
  REPRISE_RETURN_IF_ERROR(CheckSections(frames, slices, &found));
  for (uint32_t k = 0; k < frames.size(); ++k) {
    REPRISE_RETURN_IF_ERROR(CheckStream(frames, k, &found.shift));
  }
  return found;
}

}  // namespace reprise
