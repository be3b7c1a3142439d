// An export file into a store: every id computed again, every frame checked,
// the session committed last.
#ifndef REPRISE_CLIENT_IMPORTER_H_
#define REPRISE_CLIENT_IMPORTER_H_

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/client.h"
#include "client/client_core.h"
#include "client/export_format.h"
#include "codec/codec.h"
#include "codec/model_spec.h"

namespace reprise {

// For one thread, once.
class Importer {
 public:
  Importer(ClientCore* core, std::string_view session, ExportReader::Read read);

  // kFailedPrecondition when the session exists; kDataLoss for a file that is
  // damaged or contradicts itself.
  Result<SessionVersion> Run();

 private:
  Status TakeModel(ByteView content);
  Status TakeProfile(ByteView content);
  Status TakeSegment(ByteView content);
  Status TakeFrame(Bytes content);
  // Of what its stage and those below it decode to.
  Tier TierOf(const FrameInfo& info) const;
  // The frames of a segment hold all planes of the model once.
  Status CheckFrames() const;
  // Stores and publishes the segment whose frames are all here.
  Status StoreSegment();
  Status PutFrames();
  Result<SessionVersion> Commit(ByteView content);

  ClientCore* const core_;
  const std::string session_;
  const std::shared_ptr<CallContext> call_;
  const RenditionId rendition_;
  ExportReader reader_;

  ModelSpec spec_;
  ModelId model_;
  std::vector<LayerGroup> groups_;
  std::set<ProfileId> other_weights_;  // profiles of other weights
  ExportSegment segment_;
  SegmentId segment_id_;
  SegmentId last_;  // of the segment before
  uint64_t tokens_ = 0;
  std::vector<SegmentId> segments_;
  SegmentId tail_;
  std::vector<Bytes> frames_;
  std::vector<FrameInfo> infos_;
  FrameView parsed_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_IMPORTER_H_
