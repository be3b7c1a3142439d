#include "bench/gpu_frames.h"

#include <algorithm>
#include <iterator>

#include "bench/structured_kv.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"

namespace reprise::bench {
namespace {

constexpr uint32_t kFirstToken = kSegmentTokens;

struct Coding {
  const char* name;
  CodecId codec;
  const char* options;
  bool has_profile;
};
constexpr Coding kCodings[] = {
    {"Raw", CodecId::kRaw, "", false},
    {"Tsc8", CodecId::kTsc, "bits=8", false},
    {"Tsc", CodecId::kTsc, "", false},
    {"Vq", CodecId::kVq, "", true},
    {"VqWorst", CodecId::kVq, "worst=0.1", true},
    {"Pq", CodecId::kPq, "", true},
    {"KltArchive", CodecId::kKlt, "tier=archive", true},
    {"KltCoarse", CodecId::kKlt, "tier=coarse", true},
    {"KltNear", CodecId::kKlt, "tier=near", true},
    {"ExactProfile", CodecId::kExact, "", true},
    {"Exact", CodecId::kExact, "", false},
};

// A layer group is a layer: there is a second one to show for it.
const StructuredKv& State() {
  static const StructuredKv state(2, kMeasuredHeads, 128);
  return state;
}

FramePlace PlaceOf(uint16_t heads) {
  FramePlace place{.layers = LayerGroupsOf(State().spec())[0],
                   .first_token = kFirstToken};
  if (heads < kMeasuredHeads) place.heads = {0, heads, kMeasuredHeads};
  return place;
}

Result<std::vector<PlaneSlice>> SlicesOf(const FramePlace& place) {
  return SlicePlanes(State().spec(), place.layers, place.heads);
}

Bytes PackedRows(const std::vector<PlaneSlice>& slices) {
  const PagedCache cache(State().spec(), kFirstToken + kMeasuredTokens);
  Bytes memory(cache.bytes());
  State().Fill(cache, memory.data());
  Bytes packed;
  for (const PlaneSlice& slice : slices) {
    const size_t plane = size_t{2} * slice.layer + slice.plane;
    const uint64_t head_bytes = slice.token_bytes() / slice.head_count;
    for (uint32_t token = 0; token < kMeasuredTokens; ++token) {
      const auto row =
          memory.begin() +
          static_cast<int64_t>(cache.RowOffset(plane, kFirstToken + token) +
                               slice.head_first * head_bytes);
      packed.insert(packed.end(), row,
                    row + static_cast<int64_t>(slice.token_bytes()));
    }
  }
  return packed;
}

}  // namespace

std::vector<std::string> MeasuredCodings() {
  std::vector<std::string> names;
  for (const Coding& coding : kCodings) names.push_back(coding.name);
  return names;
}

Result<MeasuredFrames> MakeMeasuredFrames(const std::string& coding,
                                          uint16_t heads) {
  const auto found =
      std::find_if(std::begin(kCodings), std::end(kCodings),
                   [&](const Coding& of) { return of.name == coding; });
  if (found == std::end(kCodings)) {
    return InvalidArgumentError("gpu: no coding " + coding);
  }
  const Codec& codec = *FindCodec(found->codec);
  const FramePlace place = PlaceOf(heads);
  MeasuredFrames made;
  made.codec = found->codec;
  made.info = InfoOf(State().spec(), place);
  REPRISE_ASSIGN_OR_RETURN(made.slices, SlicesOf(place));
  if (*found->options != '\0') {
    REPRISE_ASSIGN_OR_RETURN(made.options, codec.ParseOptions(found->options));
  }
  if (found->has_profile) {
    REPRISE_ASSIGN_OR_RETURN(const Bytes profile, State().Train(found->codec));
    REPRISE_ASSIGN_OR_RETURN(made.profile, codec.ParseProfile(profile));
  }
  KvRows rows(made.slices, kMeasuredTokens);
  made.rows = PackedRows(made.slices);
  rows.Unpack(made.rows);
  REPRISE_ASSIGN_OR_RETURN(made.frames,
                           EncodeFrames(codec, made.profile.get(), made.info,
                                        made.slices, rows, made.options.get()));
  REPRISE_RETURN_IF_ERROR(DecodeFrames(made.profile.get(), State().spec(),
                                       made.frames, kMeasuredTokens, &rows));
  made.decoded = rows.Packed();
  return made;
}

Result<Bytes> MeasuredRows(uint16_t heads) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                           SlicesOf(PlaceOf(heads)));
  return PackedRows(slices);
}

}  // namespace reprise::bench
