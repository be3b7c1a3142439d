// Memory that holds a whole restored state, laid out plane after plane.
#ifndef REPRISE_TOOLS_SCRATCH_SINK_H_
#define REPRISE_TOOLS_SCRATCH_SINK_H_

#include "base/bytes.h"
#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/model_spec.h"

namespace reprise {

class ScratchSink {
 public:
  // kResourceExhausted when the state is over `max_bytes`. The sink points
  // into this object.
  Result<KvSink> Make(const ModelSpec& spec, uint64_t first_token,
                      uint64_t token_count, uint64_t max_bytes);
  ByteView bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_SCRATCH_SINK_H_
