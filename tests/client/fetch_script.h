// A fetch taken down from a real daemon, and a daemon that tells it again as
// a test changed it: well-formed messages that may be lies.
#ifndef REPRISE_TESTS_CLIENT_FETCH_SCRIPT_H_
#define REPRISE_TESTS_CLIENT_FETCH_SCRIPT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/metadata.h"
#include "base/bytes.h"
#include "codec/model_spec.h"
#include "tests/support/fake_daemon.h"

namespace reprise {

struct ScriptedFrame {
  uint32_t segment = 0;
  uint32_t frame = 0;
  Bytes bytes;
  std::optional<uint32_t> claimed_bytes;  // else as many as there are
};

// A manifest, then one message for each frame.
struct FetchScript {
  std::unique_ptr<wire::FetchManifestT> manifest;
  std::vector<ScriptedFrame> frames;
  bool has_end = true;       // the last message says that it is
  int repetitions = 1;       // of all frames
  uint32_t late_frames = 0;  // so many again, after the end

  wire::FetchSegmentT& segment(size_t i) { return *manifest->segments[i]; }
  wire::RenditionT& rendition(size_t i) { return *segment(i).rendition; }
};

// The fields of a wire::FrameRef, which itself cannot be changed.
struct FrameFields {
  uint8_t stage = 0;
  uint16_t first_layer = 0;
  uint16_t layer_count = 0;
  uint16_t head_first = 0;
  uint16_t head_count = 0;
  uint16_t head_total = 0;
  uint32_t bytes = 0;
  uint64_t checksum = 0;
};
void EditFrame(wire::FrameRef* frame,
               const std::function<void(FrameFields&)>& edit);

class RecordedFetch {
 public:
  // What the daemon at `endpoint` sends of the session. Aborts when it fails.
  RecordedFetch(const std::string& endpoint, const std::string& session);

  // What it would send for such a fetch, layer-major.
  FetchScript Answer(const wire::FetchT& fetch) const;

 private:
  Bytes manifest_;
  std::vector<ScriptedFrame> frames_;
};

class ScriptedDaemon {
 public:
  // The answer to a fetch, of which `earlier` came before.
  using Tell = std::function<FetchScript(const wire::FetchT&, int earlier)>;
  // Called before each message of a fetch, from 0, the manifest, on. False
  // ends the connection.
  using Gate = std::function<bool(int earlier, int message)>;
  ScriptedDaemon(const ModelSpec& spec, Tell tell, Gate gate = nullptr);

  const std::string& endpoint() const { return daemon_.endpoint(); }
  int fetches() const { return fetches_; }

 private:
  bool Handle(FakeConnection& connection, const FakeRequest& request);
  bool TellFetch(FakeConnection& connection, const FakeRequest& request);

  const ModelId model_;
  const Tell tell_;
  const Gate gate_;
  std::atomic<int> fetches_{0};
  FakeDaemon daemon_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_FETCH_SCRIPT_H_
