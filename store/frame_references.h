// Which frames the rendition records of their segments name, for a batch of
// frame keys. Inside of collector and fsck only.
#ifndef REPRISE_STORE_FRAME_REFERENCES_H_
#define REPRISE_STORE_FRAME_REFERENCES_H_

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "store/engine.h"
#include "store/records.h"

namespace reprise {

// Add the frames, Load once, then ask. Not thread-safe.
class FrameReferences {
 public:
  explicit FrameReferences(Engine* engine) : engine_(engine) {}

  // REQUIRES: a frame's key.
  void Add(std::string_view frame_key);
  Status Load();
  // Whether the record of the frame's segment names it, or is damaged, so that
  // nobody can say. False where the frame was not added or has no record.
  bool Names(ObjectSpace space, std::string_view frame_key) const;

 private:
  struct Record {
    bool damaged = false;
    RenditionSet set;
  };

  Engine* const engine_;
  // By domain and segment; empty until loaded, and without a record.
  std::unordered_map<std::string, std::optional<Record>> records_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_FRAME_REFERENCES_H_
