// Saves made-up state (tests/support/toy_state.h) over the wire, message by
// message, as a client does.
#ifndef REPRISE_TESTS_API_WIRE_WORKER_H_
#define REPRISE_TESTS_API_WIRE_WORKER_H_

#include <span>
#include <string>
#include <vector>

#include "api/metadata.h"
#include "base/bytes.h"
#include "codec/model_spec.h"
#include "store/records.h"
#include "tests/support/toy_state.h"

namespace reprise {

// A request and its body, ready for RawClient::Call or a handler.
template <typename Native>
struct WireRequest {
  Native table;
  Bytes body;
};

// Everything that saving `tokens` takes.
struct WireSave {
  Bytes model_spec;
  WireRequest<wire::PutFramesT> put_frames;
  wire::PublishT publish;
  WireRequest<wire::CommitT> commit;
  // What a fetch must give back, by segment and frame.
  std::vector<ToyRendition> renditions;
  std::vector<SegmentRecord> segments;
};
WireSave MakeWireSave(const ModelSpec& spec, std::string_view session,
                      std::span<const TokenId> tokens,
                      const ToyOptions& options = {});

std::unique_ptr<wire::Id32> WireId(ByteView id);

}  // namespace reprise

#endif  // REPRISE_TESTS_API_WIRE_WORKER_H_
