// The codec interface. A codec turns the planes of one segment and one layer
// group into a frame's sections and back. It is pure: no I/O, no threads, no
// clock, no globals, and it never crashes on any bytes.
//
// Encoders are free to change; the decoder of a published CodecId never does:
// its output is a function of the frame's and the profile's bytes alone, bit
// for bit the same in the scalar, SIMD and GPU decoders.
#ifndef REPRISE_CODEC_CODEC_H_
#define REPRISE_CODEC_CODEC_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/frame.h"
#include "codec/model_spec.h"
#include "codec/tier.h"

namespace reprise {

// A plane slice in the caller's memory: one row of slice.channels() elements
// a token, rows `token_stride_bytes` apart (at least a row's bytes). Elements
// within a row are contiguous; other layouts are gathered first
// (client/kv_layout.h).
struct ConstPlaneRows {
  const uint8_t* data = nullptr;
  uint64_t token_stride_bytes = 0;
};
struct PlaneRows {
  uint8_t* data = nullptr;
  uint64_t token_stride_bytes = 0;
};

// What a trained codec needs for one model, parsed and ready. Immutable and
// thread-safe. Each codec defines its own kind.
class CodecProfile {
 public:
  virtual ~CodecProfile() = default;
  virtual CodecId codec() const = 0;
  // SHA-256 of the profile's bytes.
  virtual const ProfileId& id() const = 0;
};

// Working memory of one encoder or decoder, kept between frames so that
// nothing is allocated per frame once warm. One thread at a time.
class CodecScratch {
 public:
  // A buffer of at least `bytes` bytes, 64-byte aligned, contents undefined.
  // Valid until the next call with the same slot. REQUIRES: slot < 8.
  uint8_t* Get(uint32_t slot, uint64_t bytes);

  // For codecs that want more than bytes: an object of a type of their own,
  // made anew when another type, or none, is held.
  class Kept {
   public:
    virtual ~Kept() = default;
  };
  template <typename T>
  T* Keep() {
    T* held = dynamic_cast<T*>(kept_.get());
    if (held == nullptr) {
      auto made = std::make_unique<T>();
      held = made.get();
      kept_ = std::move(made);
    }
    return held;
  }

 private:
  struct Free {
    void operator()(uint8_t* p) const;
  };
  struct Slot {
    std::unique_ptr<uint8_t, Free> data;
    uint64_t bytes = 0;
  };
  Slot slots_[8];
  std::unique_ptr<Kept> kept_;
};

// How an encoder is to choose; a decoder never sees it. Immutable and
// thread-safe. A codec with options defines its own kind.
class CodecOptions {
 public:
  virtual ~CodecOptions() = default;
  virtual CodecId codec() const = 0;
};

// Stages of one encoding, at most.
inline constexpr uint32_t kMaxStages = 4;

// Bit t: token t of the frame. What an evicting caller keeps.
using TokenMask = uint64_t;
inline constexpr TokenMask kAllTokens = ~TokenMask{0};

struct EncodeRequest {
  // codec, profile and raw_bytes are filled in by the codec.
  FrameInfo info;
  std::span<const PlaneSlice> slices;
  // Same order as slices.
  std::span<const ConstPlaneRows> rows;
  // Null: without a profile (each codec says whether it can).
  const CodecProfile* profile = nullptr;
  // Null: the codec's defaults.
  const CodecOptions* options = nullptr;
  // Tokens to be stored; the others' KV is dropped. Codecs that can't answer
  // kUnimplemented unless it names all of the frame's tokens.
  TokenMask kept = kAllTokens;
};

struct DecodeRequest {
  std::span<const PlaneSlice> slices;
  // Same order as slices. A null `data` skips the plane.
  std::span<const PlaneRows> rows;
  // Tokens of the frame to write: [0, token_count), counted from the frame's
  // first. Rows after it are not touched. At most the frame's token_count.
  uint32_t token_count = 0;
  const CodecProfile* profile = nullptr;
  // Bits of tokens that the frame lacks are cleared in it, and their rows
  // zeroed. Null: a frame that lacks one of [0, token_count) is refused with
  // kFailedPrecondition.
  TokenMask* kept = nullptr;
};

// What a frame of these slices decodes to: FrameInfo::raw_bytes.
uint64_t RawBytesOf(std::span<const PlaneSlice> slices, uint32_t token_count);

// The mask of the first `count` tokens of a frame. REQUIRES: count <= 64.
inline TokenMask FirstTokens(uint32_t count) {
  return count == 64 ? kAllTokens : (TokenMask{1} << count) - 1;
}

// The checks of the caller's side that every codec makes before it touches a
// row. kInvalidArgument with both numbers unless: there is a row for each
// slice and at least one of them; no row to be encoded is null; strides are no
// shorter than a row; a segment has 64 tokens and a tail 1 to 63; and not more
// tokens are wanted than the frame has.
Status CheckEncodeRequest(const EncodeRequest& request);
Status CheckDecodeRequest(const FrameView& frame, const DecodeRequest& request);
// The part of CheckEncodeRequest that is about tokens.
Status CheckEncodeTokens(const FrameInfo& info, TokenMask kept);
// For codecs without options that can't drop tokens either: kInvalidArgument
// when there are options, kUnimplemented unless all tokens are kept.
Status CheckNoChoices(const EncodeRequest& request, std::string_view codec);

// Stateless: one object serves all threads.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual CodecId id() const = 0;
  virtual std::string_view name() const = 0;
  virtual bool needs_profile() const = 0;
  // True when decoding gives back the very bits that were encoded.
  virtual bool is_exact() const = 0;
  // The quality of what is encoded with these options (null: the defaults).
  virtual Tier tier(const CodecOptions* options) const;
  // False: kept masks other than all tokens are refused.
  virtual bool can_drop_tokens() const { return false; }

  // From "key=value,key=value" (option_list.h); "" gives the defaults.
  // kInvalidArgument with the key and what is allowed.
  virtual Result<std::shared_ptr<const CodecOptions>> ParseOptions(
      std::string_view text) const;

  // kDataLoss or kInvalidArgument for bytes that are no profile of this codec.
  virtual Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const = 0;

  // Fills `builder` with one frame; call builder->Finish() for its bytes.
  // kFailedPrecondition when the profile does not fit the model's shape or
  // the options; kInvalidArgument for options of another codec.
  virtual Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                        FrameBuilder* builder) const = 0;

  // Writes the rows of the frame. The frame was parsed by ParseFrame and
  // checked by CheckFrameAgainstModel, and its info.codec is id().
  // kDataLoss when its contents are damaged in a way that checksums do not
  // show (a wrong encoder): rows may then be partly written.
  // kFailedPrecondition when the profile is not the one the frame names.
  virtual Status Decode(const FrameView& frame, const DecodeRequest& request,
                        CodecScratch* scratch) const = 0;

  // A staged codec makes several frames of one segment and layer group, stage
  // 0 first: each refines those before it, so every prefix of them is state of
  // a tier of its own. All others make one frame, of stage 0.
  //
  // How many frames these options make (null: the defaults); at most
  // kMaxStages.
  virtual uint32_t stage_count(const CodecOptions* options) const;
  // The tier of what frames 0 to `stage` of an encoding with these options
  // decode to; that of the last stage is tier(options).
  virtual Tier stage_tier(uint32_t stage, const CodecOptions* options) const;
  // Fills one builder a stage; Encode is this with one. info.stage is filled
  // in here. REQUIRES: builders.size() == stage_count(request.options).
  virtual Status EncodeStages(const EncodeRequest& request,
                              CodecScratch* scratch,
                              std::span<FrameBuilder* const> builders) const;
  // Writes the rows from stages 0 to frames.size() - 1 of one encoding. The
  // frames were parsed and checked as for Decode, and have the same segment,
  // layers, heads and profile. kInvalidArgument, with both numbers, unless
  // their stages are 0, 1, ...; kDataLoss when they were not made together,
  // where the codec can tell.
  virtual Status DecodeStages(std::span<const FrameView* const> frames,
                              const DecodeRequest& request,
                              CodecScratch* scratch) const;
};

// The codec of an id, or of a name ("raw", "exact"); null when it is not
// built. The registry feeds tests, fuzzing and benchmarks too. Thread-safe.
const Codec* FindCodec(CodecId id);
const Codec* FindCodec(std::string_view name);
std::span<const Codec* const> AllCodecs();

// A codec and how to use it, as callers name it: "exact", "tsc:bits=8". The
// name of a lower tier stands for the codec that makes it: "near", "coarse"
// and "archive" for "klt:tier=near" and so on.
struct CodecChoice {
  const Codec* codec = nullptr;
  std::shared_ptr<const CodecOptions> options;  // null: none were given
  Tier tier() const { return codec->tier(options.get()); }
};
// kUnimplemented with the names that there are for a codec that is not built;
// errors of Codec::ParseOptions.
Result<CodecChoice> ParseCodecChoice(std::string_view text);

}  // namespace reprise

#endif  // REPRISE_CODEC_CODEC_H_
