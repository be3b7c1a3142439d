#include "client/frame_uploader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/hash.h"
#include "base/limits.h"
#include "client/calls.h"

namespace reprise {
namespace {

// Large enough that a request's own cost does not show, small enough that
// several are on their way.
constexpr uint64_t kBatchBytes = 2ull << 20;
// Headers and directory of a frame that did not shrink.
constexpr uint64_t kFrameOverheadBytes = 16ull << 10;
// A device wants many at once: their bytes are what bounds them.
constexpr size_t kMostOnDevice = 4096;

}  // namespace

FrameUploader::FrameUploader(Options options) : options_(std::move(options)) {}

FrameUploader::~FrameUploader() {
  WaitForJobs();
  uint64_t reserved = batch_reserved_;
  for (const Encoded& encoded : encoded_) reserved += encoded.reserved_bytes;
  for (const Batch& batch : window_) reserved += batch.reserved_bytes;
  if (reserved != 0) options_.core->save_bytes.Give(reserved);
}

void FrameUploader::WaitForJobs() {
  std::unique_lock lock(options_.call->mutex());
  options_.call->WaitAlways(lock, [this] { return running_ == 0; });
}

Status FrameUploader::Run(std::vector<UploadedFrames>* out) {
  out->assign(options_.job_count, UploadedFrames());
  out_ = out;
  FlightBudget& budget = options_.core->save_bytes;
  for (;;) {
    REPRISE_RETURN_IF_ERROR(TakeEncoded());
    TellCaptured();
    REPRISE_RETURN_IF_ERROR(TakeAnswers());
    size_t running = 0;
    {
      std::lock_guard lock(options_.call->mutex());
      running = running_ + encoded_.size();
    }
    if (next_job_ < options_.job_count) {
      const EncodeJob job = options_.job_at(next_job_);
      const uint64_t bytes = ReservationFor(job);
      if (HasRoomFor(job, running) && budget.TryTake(bytes)) {
        Submit(job, bytes);
        continue;
      }
      // Whatever of the budget is ours is on its way back before we wait.
      if (running == 0 && batch_frames_.empty() && window_.empty()) {
        REPRISE_RETURN_IF_ERROR(budget.Take(options_.call, bytes));
        Submit(job, bytes);
        continue;
      }
    }
    if (running > 0) {
      REPRISE_RETURN_IF_ERROR(WaitForSomething());
    } else if (!batch_frames_.empty()) {
      SendBatch();
    } else if (!window_.empty()) {
      REPRISE_RETURN_IF_ERROR(TakeAnswer());
    } else if (next_job_ == options_.job_count) {
      return Status();
    }
  }
}

// All stages together are one encoding: the values are not in it twice.
uint64_t FrameUploader::ReservationFor(const EncodeJob& job) {
  return RawBytesOf(job.slices, job.token_count) +
         StageCountOf(job) * kFrameOverheadBytes;
}

bool FrameUploader::HasRoomFor(const EncodeJob& job, size_t running) const {
  return running < (job.device != nullptr
                        ? kMostOnDevice
                        : 2 * options_.core->options.codec_threads + 1);
}

void FrameUploader::Submit(const EncodeJob& job, uint64_t reserved_bytes) {
  Encoded encoded;
  encoded.job = next_job_++;
  encoded.reserved_bytes = reserved_bytes;
  totals_.raw_bytes += RawBytesOf(job.slices, job.token_count);
  {
    std::lock_guard lock(options_.call->mutex());
    ++running_;
  }
  if (job.device != nullptr) {
    SubmitToDevice(job, std::move(encoded));
    return;
  }
  const auto shared = std::make_shared<Encoded>(std::move(encoded));
  // The pool of codec jobs has no limit of its own: this cannot fail.
  (void)options_.core->codecs.Submit([=, this](WorkerMemory& memory) {
    Encode(job, nullptr, &memory, std::move(*shared));
  });
}

void FrameUploader::SubmitToDevice(const EncodeJob& job, Encoded encoded) {
  const auto shared = std::make_shared<Encoded>(std::move(encoded));
  const auto done = [=, this](Status status,
                              std::shared_ptr<EncodedUnit> unit) {
    if (!status.ok()) {
      shared->status = std::move(status);
      EndJob(std::move(*shared));
      return;
    }
    NoteRead();
    (void)options_.core->codecs.Submit(
        [this, job, shared,
         held = std::move(unit)](WorkerMemory& memory) mutable {
          Encode(job, std::move(held), &memory, std::move(*shared));
        });
  };
  Status status = job.device->Add(DeviceUnitOf(job), done);
  if (status.ok()) return;
  shared->status = std::move(status);
  EndJob(std::move(*shared));
}

void FrameUploader::Encode(const EncodeJob& job,
                           std::shared_ptr<EncodedUnit> unit,
                           WorkerMemory* memory, Encoded encoded) {
  const int64_t start_ns = CallContext::NowNs();
  encoded.status = MakeFrames(job, unit.get(), memory, &encoded);
  encoded.encode_ns = CallContext::NowNs() - start_ns;
  if (unit == nullptr && encoded.status.ok()) NoteRead();
  // Others wait for its slot.
  unit.reset();
  EndJob(std::move(encoded));
}

void FrameUploader::NoteRead() {
  std::lock_guard lock(options_.call->mutex());
  if (++read_ == options_.job_count) options_.call->Notify();
}

void FrameUploader::EndJob(Encoded encoded) {
  // Held while notifying: the uploader may go as soon as it sees this.
  const auto call = options_.call;
  std::lock_guard lock(call->mutex());
  encoded_.push_back(std::move(encoded));
  --running_;
  call->Notify();
}

void FrameUploader::TellCaptured() {
  if (told_captured_) return;
  {
    std::lock_guard lock(options_.call->mutex());
    if (read_ < options_.job_count) return;
  }
  told_captured_ = true;
  options_.on_captured();
}

Status FrameUploader::MakeFrames(const EncodeJob& job, const EncodedUnit* unit,
                                 WorkerMemory* memory, Encoded* encoded) {
  if (options_.call->cancelled()) return UnavailableError("save: cancelled");
  BufferPool* const buffers = options_.core->buffers.get();
  auto frames = unit == nullptr ? EncodeFrames(job, memory, buffers)
                                : EncodeFrames(job, *unit, memory, buffers);
  if (!frames.ok()) return frames.status();
  encoded->frames = *std::move(frames);
  if (unit != nullptr && !unit->is_rows()) {
    encoded->device_bytes = RawBytesOf(job.slices, job.token_count);
  }
  for (uint32_t stage = 0; stage < encoded->frames.size(); ++stage) {
    const PooledBytes& frame = encoded->frames[stage];
    encoded->tiers.push_back(StageTierOf(job, stage));
    (*out_)[encoded->job][stage] = {static_cast<uint32_t>(frame.size()),
                                    Checksum(frame.view())};
  }
  return Status();
}

Status FrameUploader::TakeEncoded() {
  std::deque<Encoded> taken;
  {
    std::lock_guard lock(options_.call->mutex());
    taken.swap(encoded_);
  }
  Status status;
  for (Encoded& encoded : taken) {
    totals_.encode_ns += encoded.encode_ns;
    totals_.device_bytes += encoded.device_bytes;
    if (status.ok()) status = encoded.status;
    if (status.ok()) {
      AddToBatch(std::move(encoded));
    } else {
      options_.core->save_bytes.Give(encoded.reserved_bytes);
    }
  }
  return status;
}

void FrameUploader::AddToBatch(Encoded encoded) {
  uint64_t left = encoded.reserved_bytes;
  for (size_t i = 0; i < encoded.frames.size(); ++i) {
    const uint64_t bytes = std::min<uint64_t>(left, encoded.frames[i].size());
    AddToBatch(std::move(encoded.frames[i]), encoded.tiers[i], bytes);
    left -= bytes;
  }
  if (left > 0) options_.core->save_bytes.Give(left);
  if (batch_bytes_ >= kBatchBytes) SendBatch();
}

void FrameUploader::AddToBatch(PooledBytes frame, Tier tier,
                               uint64_t reserved_bytes) {
  const uint64_t bytes = frame.size();
  if (batch_bytes_ + bytes > kMaxFrameBytes) SendBatch();
  totals_.frame_bytes += bytes;
  batch_bytes_ += bytes;
  batch_reserved_ += reserved_bytes;
  batch_frames_.push_back(std::move(frame));
  batch_tiers_.push_back(tier);
}

void FrameUploader::SendBatch() {
  if (batch_frames_.empty()) return;
  const wire::Id16 rendition = IdToWire(options_.rendition);
  wire::PutFramesT put;
  put.frames.reserve(batch_frames_.size());
  for (size_t i = 0; i < batch_frames_.size(); ++i) {
    put.frames.emplace_back(rendition,
                            static_cast<uint32_t>(batch_frames_[i].size()),
                            static_cast<uint8_t>(batch_tiers_[i]));
  }
  batch_tiers_.clear();
  Batch batch;
  batch.reserved_bytes = std::exchange(batch_reserved_, 0);
  batch_bytes_ = 0;
  batch.request = MakeRequest(MessageType::kPutFrames, put,
                              std::exchange(batch_frames_, {}));
  batch.pending = options_.core->control.Start(batch.request, options_.call);
  totals_.wire_bytes += batch.request->wire_bytes();
  window_.push_back(std::move(batch));
}

Status FrameUploader::TakeAnswers() {
  while (!window_.empty()) {
    {
      std::lock_guard lock(options_.call->mutex());
      if (!window_.front().pending.Ready()) break;
    }
    REPRISE_RETURN_IF_ERROR(TakeAnswer());
  }
  return Status();
}

Status FrameUploader::TakeAnswer() {
  Batch& batch = window_.front();
  ClientCore* core = options_.core;
  const Result<WireAnswer> answer =
      batch.pending.Next(CallContext::InMs(core->options.request_timeout_ms));
  if (answer.ok()) {
    core->save_bytes.Give(batch.reserved_bytes);
    window_.pop_front();
    return Status();
  }
  REPRISE_RETURN_IF_ERROR(WaitForRetry(&core->control, options_.call.get(),
                                       Retry::kPatiently, ++batch.failures,
                                       answer.status()));
  batch.pending = core->control.Start(batch.request, options_.call);
  totals_.wire_bytes += batch.request->wire_bytes();
  return Status();
}

Status FrameUploader::WaitForSomething() {
  std::unique_lock lock(options_.call->mutex());
  return options_.call->Wait(lock, INT64_MAX, [this] {
    return !encoded_.empty() ||
           (!told_captured_ && read_ == options_.job_count) ||
           (!window_.empty() && window_.front().pending.Ready());
  });
}

}  // namespace reprise
