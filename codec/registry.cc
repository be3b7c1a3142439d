// The codecs that are built. One line a codec.
#include "codec/codec.h"
#include "codec/exact_codec.h"
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

}  // namespace

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
  return nullptr;
}

const Codec* FindCodec(std::string_view name) {
  for (const Codec* codec : AllCodecs()) {
    if (codec->name() == name) return codec;
  }
  return nullptr;
}

Result<CodecChoice> ParseCodecChoice(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
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
  if (colon == std::string_view::npos) return choice;
  REPRISE_ASSIGN_OR_RETURN(choice.options,
                           choice.codec->ParseOptions(text.substr(colon + 1)));
  return choice;
}

}  // namespace reprise
