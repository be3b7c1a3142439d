// Encodes frames on the codec threads, or on the device that holds their rows,
// and sends them while more are being encoded: at most so many bytes in flight,
// several requests at once, and again what a broken connection lost.
#ifndef REPRISE_CLIENT_FRAME_UPLOADER_H_
#define REPRISE_CLIENT_FRAME_UPLOADER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/call_context.h"
#include "client/client_core.h"
#include "client/connection.h"
#include "client/frame_jobs.h"
#include "client/save_messages.h"
#include "codec/tier.h"

namespace reprise {

struct UploadTotals {
  uint64_t raw_bytes = 0;
  uint64_t device_bytes = 0;  // of those, encoded on a device
  uint64_t frame_bytes = 0;
  uint64_t wire_bytes = 0;
  int64_t encode_ns = 0;
};

// The frames of one job, by stage.
using UploadedFrames = std::array<UploadedFrame, kMaxStages>;

// For one thread, once.
class FrameUploader {
 public:
  struct Options {
    ClientCore* core = nullptr;
    std::shared_ptr<CallContext> call;
    RenditionId rendition;
    size_t job_count = 0;
    std::function<EncodeJob(size_t)> job_at;
    // Called once, by Run, when the source has been read and is not read again.
    std::function<void()> on_captured;
  };
  explicit FrameUploader(Options options);
  // Waits for jobs that run.
  ~FrameUploader();

  // OK: every frame is acknowledged; (*out)[i] are those of job i, by stage.
  // `out` must outlive this object: jobs write into it.
  Status Run(std::vector<UploadedFrames>* out);
  const UploadTotals& totals() const { return totals_; }

 private:
  // The frames of one job, encoded or not.
  struct Encoded {
    size_t job = 0;
    uint64_t reserved_bytes = 0;
    Status status;
    std::vector<PooledBytes> frames;  // by stage
    std::vector<Tier> tiers;
    uint64_t device_bytes = 0;
    int64_t encode_ns = 0;
  };
  struct Batch {
    WireRequestPtr request;
    Pending pending;
    uint64_t reserved_bytes = 0;
    int failures = 0;
  };

  static uint64_t ReservationFor(const EncodeJob& job);
  bool HasRoomFor(const EncodeJob& job, size_t running) const;
  void Submit(const EncodeJob& job, uint64_t reserved_bytes);
  void SubmitToDevice(const EncodeJob& job, Encoded encoded);
  // On a codec thread. `unit` is null where the source is the host's memory.
  void Encode(const EncodeJob& job, std::shared_ptr<EncodedUnit> unit,
              WorkerMemory* memory, Encoded encoded);
  Status MakeFrames(const EncodeJob& job, const EncodedUnit* unit,
                    WorkerMemory* memory, Encoded* encoded);
  void NoteRead();
  void EndJob(Encoded encoded);
  Status TakeEncoded();
  void TellCaptured();
  void AddToBatch(Encoded encoded);
  void AddToBatch(PooledBytes frame, Tier tier, uint64_t reserved_bytes);
  void SendBatch();
  // The oldest batch has an answer, or will be waited for.
  Status TakeAnswer();
  // Takes the answers that are there already.
  Status TakeAnswers();
  Status WaitForSomething();
  void WaitForJobs();

  const Options options_;
  UploadTotals totals_;
  std::vector<UploadedFrames>* out_ = nullptr;
  size_t next_job_ = 0;
  bool told_captured_ = false;

  // Frames of the next batch, and where they come from.
  std::vector<PooledBytes> batch_frames_;
  std::vector<Tier> batch_tiers_;
  uint64_t batch_bytes_ = 0;
  uint64_t batch_reserved_ = 0;
  std::deque<Batch> window_;  // sent, oldest first

  // Guarded by the call's mutex.
  std::deque<Encoded> encoded_;
  size_t running_ = 0;
  size_t read_ = 0;  // jobs whose rows were read
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_FRAME_UPLOADER_H_
