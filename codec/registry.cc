// The codecs that are built. One line a codec.
#include "codec/codec.h"
#include "codec/exact_codec.h"
#include "codec/raw_codec.h"

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
      Only<RawCodec>(),
      Only<ExactCodec>(),
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

}  // namespace reprise
