// One more codec beside those that are built: how tests bring a small one of
// their own to where codecs are looked up by id or name.
#ifndef REPRISE_CODEC_EXTRA_CODEC_H_
#define REPRISE_CODEC_EXTRA_CODEC_H_

#include "codec/codec.h"

namespace reprise {

// FindCodec finds it from now on, AllCodecs does not. It must live to the end
// of the process; its id and name must be nobody's. Null takes it away.
// Thread-safe.
void SetExtraCodec(const Codec* codec);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXTRA_CODEC_H_
