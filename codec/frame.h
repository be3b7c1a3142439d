// The frame: the encoded planes of one segment (or tail) for one layer group
// and one range of heads. A frame says by itself what it is, which codec and
// profile made it, and carries a checksum over every byte. Format:
// docs/format/frame.md.
//
//   header (192 bytes) | directory (32 bytes a section) | sections
//
// A section holds the bytes of one block of channels of one plane of one
// layer; what is in it is the codec's business. Nothing here decodes: the
// store uses this header too.
#ifndef REPRISE_CODEC_FRAME_H_
#define REPRISE_CODEC_FRAME_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/model_spec.h"

namespace reprise {

// Which codec made a payload. Values are stored and never reused; a decoder
// of a published id never changes.
enum class CodecId : uint16_t {
  kRaw = 1,
  kExact = 2,
  kTsc = 3,
  kVq = 4,
  kPq = 5,
  kKlt = 6,
  kPredict = 7,
};
// "raw", "exact", ...; "?" for a value outside the enum.
std::string_view CodecIdName(CodecId id);

// The share of the heads that a frame covers: of a plane with `heads` heads
// split by head, those from heads * first / total up to
// heads * (first + count) / total, which both must be whole. For the usual
// model, where all planes have the same number of heads, total is that number
// and the range is one of heads. Replicated planes stand only in frames whose
// range starts at 0.
struct HeadRange {
  uint16_t first = 0;
  uint16_t count = 1;
  uint16_t total = 1;

  bool operator==(const HeadRange&) const = default;
  static HeadRange All() { return {}; }
};

// kInvalidArgument unless count > 0, first + count <= total and total is at
// most kMaxHeads.
Status ValidateHeadRange(const HeadRange& range);

// One plane of one layer, cut to a frame's heads.
struct PlaneSlice {
  uint16_t layer = 0;       // absolute
  uint8_t plane = 0;        // index in LayerSpec::planes
  uint32_t head_first = 0;  // of the plane's heads
  uint32_t head_count = 0;
  const PlaneSpec* spec = nullptr;  // lives in the ModelSpec

  uint32_t channel_first() const { return head_first * spec->dim; }
  uint32_t channels() const { return head_count * spec->dim; }
  uint64_t token_bytes() const {
    return uint64_t{channels()} * DTypeBytes(spec->dtype);
  }
};

// The planes that a frame of `group` and `heads` holds, in the order of
// layers and then of LayerSpec::planes. kInvalidArgument when the range cuts
// a plane inside a head. The slices point into `spec`.
// REQUIRES: ValidateModelSpec(spec).ok(); the group lies inside the spec.
Result<std::vector<PlaneSlice>> SlicePlanes(const ModelSpec& spec,
                                            const LayerGroup& group,
                                            const HeadRange& heads);

// Everything a frame's header says, but for sizes and checksums.
struct FrameInfo {
  CodecId codec = CodecId::kRaw;
  // 0: decodable by itself. k > 0: refines the frames of stages below it.
  uint8_t stage = 0;
  bool is_tail = false;
  ModelId model;
  SegmentId segment;         // or the TailId
  ProfileId profile;         // zero: none
  uint32_t first_token = 0;  // position; divisible by 64
  uint16_t token_count = 0;  // 64, or 1 to 63 in a tail
  LayerGroup layers;
  HeadRange heads;
  uint64_t raw_bytes = 0;  // of the planes, decoded

  bool operator==(const FrameInfo&) const = default;
};

// Sections start at multiples of this in their frame, and a whole frame has a
// multiple of it: where one does, so do those that lie behind it.
inline constexpr uint64_t kFrameAlignment = 16;

// A directory entry. `mode` and `words` mean what the codec says.
struct FrameSection {
  uint16_t layer = 0;  // absolute
  uint8_t plane = 0;
  uint8_t mode = 0;
  uint32_t channel_first = 0;  // of the plane's channels, not of the slice's
  uint32_t channel_count = 0;
  uint32_t words = 0;
  uint32_t bytes = 0;
  // Inside the frame; starts at a multiple of kFrameAlignment.
  uint32_t offset = 0;
  uint64_t checksum = 0;  // of the section's bytes

  bool operator==(const FrameSection&) const = default;
};

// Builds one frame, section by section, in a buffer that is kept and used
// again. Not thread-safe.
class FrameBuilder {
 public:
  // Starts a frame. REQUIRES: section_count is the number of AddSection calls
  // that follow.
  void Start(const FrameInfo& info, uint32_t section_count);

  // Appends a section; offset, bytes and checksum of `section` are filled in
  // here. Room for the bytes is made first, so that an encoder can write in
  // place: `max_bytes` bytes to write to, then EndSection with what it used.
  MutableByteView BeginSection(uint64_t max_bytes);
  void EndSection(FrameSection section, uint64_t used_bytes);

  // Header, directory and padding are completed; the view stays valid until
  // Start. kResourceExhausted when the frame is over kMaxFrameBytes or
  // kMaxFrameSections. kInvalidArgument when ParseFrame would refuse the info.
  // kInternal when the number of sections is not what Start was told, or a
  // section used more than it asked for.
  Result<ByteView> Finish();

 private:
  void Grow(uint64_t bytes);

  FrameInfo info_;
  uint32_t section_count_ = 0;
  uint32_t sections_done_ = 0;
  uint64_t size_ = 0;        // of what is complete, padding included
  uint64_t open_bytes_ = 0;  // what BeginSection gave out
  bool overrun_ = false;
  Bytes buffer_;  // only ever grows
};

// A parsed frame. Points into the bytes it was parsed from.
struct FrameView {
  FrameInfo info;
  std::vector<FrameSection> sections;
  ByteView bytes;

  ByteView Section(const FrameSection& section) const {
    return bytes.subspan(section.offset, section.bytes);
  }
};

// Checks header, directory, every section's checksum, offsets, order, padding
// and reserved bits: after it each byte of the frame is known to be as it was
// written. Sections are ascending in offset and don't overlap. `out` is
// reused: no allocation once its vector is large enough. After an error its
// contents mean nothing.
// kDataLoss for damage, kUnimplemented for a version from the future.
// Unknown codec ids are not an error here.
Status ParseFrame(ByteView bytes, FrameView* out);

// Header and directory only, with their checksums; sections are not read.
// `bytes` may end anywhere after the directory: FrameView::Section is then not
// to be called for what lies past the end.
Status ParseFrameDirectory(ByteView bytes, FrameView* out);

// kInvalidArgument with the field and both numbers unless the frame belongs
// to this model: group is one of LayerGroupsOf, heads cut no head, raw bytes
// are those of the slices (of which there is at least one), and each section's
// layer, plane and channels lie inside them. Allocates nothing. The ModelId is
// not compared here: hashing a spec costs more than all the rest, so compare
// frame.info.model with the id that is at hand.
// REQUIRES: ValidateModelSpec(spec).ok(); the frame was parsed.
Status CheckFrameAgainstModel(const FrameView& frame, const ModelSpec& spec);

// Many lines that a person can read: `reprise dump-frame`.
std::string DescribeFrame(const FrameView& frame);

}  // namespace reprise

#endif  // REPRISE_CODEC_FRAME_H_
