// One session's head as one file, frames as they are stored: nothing is
// decoded, everything is checked.
#ifndef REPRISE_CLIENT_EXPORTER_H_
#define REPRISE_CLIENT_EXPORTER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "client/client_core.h"
#include "client/connection.h"
#include "client/export_format.h"
#include "client/manifest.h"
#include "codec/model_spec.h"

namespace reprise {

// For one thread, once.
class Exporter {
 public:
  Exporter(ClientCore* core, std::string_view session,
           ExportWriter::Write write);

  // kNotFound; kDataLoss when a frame is lost or damaged: the file is then not
  // to be used.
  Status Run();

 private:
  Status Begin(WireAnswer* manifest);
  Status WriteModelAndProfiles();
  Status TakeFrames(const WireAnswer& answer);
  Status TakeFrame(uint32_t segment, uint32_t frame, ByteView bytes);
  // Writes the records of segments up to the one whose frames come next.
  Status WriteSegments();
  Status WriteCommit();

  ClientCore* const core_;
  const std::string session_;
  const std::shared_ptr<CallContext> call_;
  ExportWriter writer_;

  std::unique_ptr<Connection> connection_;
  Pending pending_;
  ModelSpec spec_;
  Manifest manifest_;
  size_t next_segment_ = 0;  // whose record is not written yet
  size_t frames_done_ = 0;   // of the segment before it
  FrameView parsed_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_EXPORTER_H_
