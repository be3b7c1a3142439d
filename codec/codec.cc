#include "codec/codec.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <new>

#include "base/check.h"
#include "base/limits.h"
#include "codec/message.h"
#include "codec/option_list.h"

namespace reprise {
namespace {

constexpr std::align_val_t kScratchAlignment{64};

Status Refuse(std::string message) {
  return InvalidArgumentError("codec: " + std::move(message));
}

Status CheckCounts(size_t slices, size_t rows) {
  if (slices != 0 && slices == rows) return Status();
  return Refuse(CatMessage(rows, " rows for ", slices,
                           " slices, one for each of at least 1 is wanted"));
}

Status CheckStride(const PlaneSlice& slice, uint64_t stride_bytes) {
  if (stride_bytes >= slice.token_bytes()) return Status();
  return Refuse(CatMessage("layer ", slice.layer, " plane ", slice.plane,
                           ": stride is ", stride_bytes, " bytes, a row has ",
                           slice.token_bytes()));
}

}  // namespace

void CodecScratch::Free::operator()(uint8_t* p) const {
  ::operator delete(p, kScratchAlignment);
}

uint8_t* CodecScratch::Get(uint32_t slot, uint64_t bytes) {
  REPRISE_DCHECK(slot < std::size(slots_));
  Slot& held = slots_[slot];
  if (held.data == nullptr || held.bytes < bytes) {
    // Twice as much as before, so that slowly growing wishes end soon.
    const uint64_t room = std::max(bytes, held.bytes * 2);
    held.data.reset();
    held.bytes = 0;
    held.data.reset(
        static_cast<uint8_t*>(::operator new(room, kScratchAlignment)));
    held.bytes = room;
  }
  return held.data.get();
}

uint64_t RawBytesOf(std::span<const PlaneSlice> slices, uint32_t token_count) {
  uint64_t token_bytes = 0;
  for (const PlaneSlice& slice : slices) token_bytes += slice.token_bytes();
  return token_bytes * token_count;
}

Status CheckEncodeTokens(const FrameInfo& info, TokenMask kept) {
  const uint32_t min_tokens = info.is_tail ? 1 : kSegmentTokens;
  const uint32_t max_tokens = info.is_tail ? kSegmentTokens - 1 : min_tokens;
  if (info.token_count < min_tokens || info.token_count > max_tokens) {
    return Refuse(CatMessage(info.token_count, " tokens, ", min_tokens, " to ",
                             max_tokens, " are wanted"));
  }
  if ((kept & ~FirstTokens(info.token_count)) != 0 && kept != kAllTokens) {
    return Refuse(
        CatMessage("tokens to keep reach past the frame's ", info.token_count));
  }
  return Status();
}

Status CheckEncodeRequest(const EncodeRequest& request) {
  REPRISE_RETURN_IF_ERROR(
      CheckCounts(request.slices.size(), request.rows.size()));
  REPRISE_RETURN_IF_ERROR(CheckEncodeTokens(request.info, request.kept));
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const PlaneSlice& slice = request.slices[i];
    if (request.rows[i].data == nullptr) {
      return Refuse(CatMessage("layer ", slice.layer, " plane ", slice.plane,
                               ": its rows are null"));
    }
    REPRISE_RETURN_IF_ERROR(
        CheckStride(slice, request.rows[i].token_stride_bytes));
  }
  return Status();
}

Status CheckDecodeRequest(const FrameView& frame,
                          const DecodeRequest& request) {
  REPRISE_RETURN_IF_ERROR(
      CheckCounts(request.slices.size(), request.rows.size()));
  if (request.token_count > frame.info.token_count) {
    return Refuse(CatMessage(request.token_count,
                             " tokens are wanted, the frame has ",
                             frame.info.token_count));
  }
  for (size_t i = 0; i < request.slices.size(); ++i) {
    if (request.rows[i].data == nullptr) continue;
    REPRISE_RETURN_IF_ERROR(
        CheckStride(request.slices[i], request.rows[i].token_stride_bytes));
  }
  return Status();
}

Status CheckNoChoices(const EncodeRequest& request, std::string_view codec) {
  if (request.options != nullptr) {
    return InvalidArgumentError(
        CatMessage(codec, ": has no options, those of ",
                   CodecIdName(request.options->codec()), " were given"));
  }
  const TokenMask all = FirstTokens(request.info.token_count);
  if ((request.kept & all) == all) return Status();
  return UnimplementedError(CatMessage(
      codec, ": can't drop tokens, ", std::popcount(request.kept & all),
      " are to be kept of ", request.info.token_count));
}

uint32_t Codec::stage_count(const CodecOptions*) const { return 1; }

Tier Codec::stage_tier(uint32_t, const CodecOptions* options) const {
  return tier(options);
}

Status Codec::EncodeStages(const EncodeRequest& request, CodecScratch* scratch,
                           std::span<FrameBuilder* const> builders) const {
  if (builders.size() != 1) {
    return Refuse(CatMessage(name(), " makes 1 frame, ", builders.size(),
                             " builders were given"));
  }
  return Encode(request, scratch, builders[0]);
}

Status Codec::DecodeStages(std::span<const FrameView* const> frames,
                           const DecodeRequest& request,
                           CodecScratch* scratch) const {
  if (frames.size() != 1) {
    return Refuse(CatMessage(name(), " decodes 1 frame at a time, ",
                             frames.size(), " were given"));
  }
  return Decode(*frames[0], request, scratch);
}

Tier Codec::tier(const CodecOptions*) const {
  return is_exact() ? Tier::kExact : Tier::kNear;
}

Result<std::shared_ptr<const CodecOptions>> Codec::ParseOptions(
    std::string_view text) const {
  REPRISE_RETURN_IF_ERROR(OptionList(name(), text).Finish());
  return std::shared_ptr<const CodecOptions>();
}

}  // namespace reprise
