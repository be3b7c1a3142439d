// The codecs that are built. One line a codec.
#include <atomic>
#include <string>

#include "codec/codec.h"
#include "codec/exact_codec.h"
#include "codec/extra_codec.h"
#include "codec/klt_codec.h"
#include "codec/message.h"
#include "codec/pq_codec.h"
#include "codec/raw_codec.h"
#include "codec/tsc_codec.h"
#include "codec/vq_codec.h"

namespace reprise {
namespace {

// Never destroyed: a decoder may still run while a process ends.
template <typename T>
const Codec* Only() {
  static const T* const codec = new T;
  return codec;
}

std::atomic<const Codec*> extra_codec{nullptr};

// The codec and options that a tier's name stands for; other text as it is.
std::string Expanded(std::string_view text) {
  for (const Tier tier : {Tier::kNear, Tier::kCoarse, Tier::kArchive}) {
    if (text == TierName(tier)) {
      return CatMessage(CodecIdName(CodecId::kKlt), ":tier=", text);
    }
  }
  return std::string(text);
}

}  // namespace

void SetExtraCodec(const Codec* codec) { extra_codec = codec; }

std::span<const Codec* const> AllCodecs() {
  static const Codec* const codecs[] = {
      Only<RawCodec>(), Only<ExactCodec>(), Only<TscCodec>(),
      Only<VqCodec>(),  Only<PqCodec>(),    Only<KltCodec>(),
  };
  return codecs;
}

const Codec* FindCodec(CodecId id) {
  for (const Codec* codec : AllCodecs()) {
    if (codec->id() == id) return codec;
  }
  const Codec* const extra = extra_codec;
  return extra != nullptr && extra->id() == id ? extra : nullptr;
}

const Codec* FindCodec(std::string_view name) {
  for (const Codec* codec : AllCodecs()) {
    if (codec->name() == name) return codec;
  }
  const Codec* const extra = extra_codec;
  return extra != nullptr && extra->name() == name ? extra : nullptr;
}

Result<CodecChoice> ParseCodecChoice(std::string_view given) {
  const std::string text = Expanded(given);
  const size_t colon = text.find(':');
  const std::string_view name = std::string_view(text).substr(0, colon);
  CodecChoice choice;
  choice.codec = FindCodec(name);
  if (choice.codec == nullptr) {
    std::string names;
    for (const Codec* codec : AllCodecs()) {
      names += names.empty() ? "" : ", ";
      names += codec->name();
    }
    return UnimplementedError(
        CatMessage("codec \"", name, "\" is not built; there are ", names));
  }
  if (colon == std::string::npos) return choice;
  REPRISE_ASSIGN_OR_RETURN(
      choice.options,
      choice.codec->ParseOptions(std::string_view(text).substr(colon + 1)));
  return choice;
}

}  // namespace reprise
