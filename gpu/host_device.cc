#include "gpu/host_device.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <new>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "codec/message.h"
#include "gpu/host_kernels.h"

namespace reprise {
namespace {

constexpr std::align_val_t kAlignment{kGpuAlignment};

class HostDevice final : public Device {
 public:
  explicit HostDevice(const HostDeviceOptions& options)
      : options_(options),
        random_(options.seed),
        orders_(options.seed),
        worker_([this] { Work(); }) {
    info_ = {.name = "host executor",
             .compute_capability = 0,
             .multiprocessors = 1,
             .memory_bytes = options.memory_bytes,
             .shared_bytes = 1 << 20};
  }
  ~HostDevice() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }

  const DeviceInfo& info() const override { return info_; }
  Result<uint8_t*> Allocate(GpuMemory kind, uint64_t bytes) override;
  void Free(GpuMemory kind, uint8_t* memory) override;
  Result<GpuStream> MakeStream() override;
  void FreeStream(GpuStream stream) override;
  Result<GpuEvent> MakeEvent() override;
  void FreeEvent(GpuEvent event) override;
  Status CopyToDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                      GpuStream stream) override {
    return Copy(to, from, bytes, stream);
  }
  Status CopyToHost(uint8_t* to, const uint8_t* from, uint64_t bytes,
                    GpuStream stream) override {
    return Copy(to, from, bytes, stream);
  }
  Status CopyOnDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                      GpuStream stream) override {
    return Copy(to, from, bytes, stream);
  }
  Status Launch(const KernelLaunch& launch, GpuStream stream) override;
  Status Record(GpuEvent event, GpuStream stream) override;
  Status Wait(GpuStream stream, GpuEvent event) override;
  Result<bool> IsDone(GpuEvent event) override;
  Status Synchronize(GpuEvent event) override;
  Status Drain(GpuStream stream) override;
  Result<uint32_t> BlocksPerMultiprocessor(KernelId) override { return 1u; }

 private:
  struct Event {
    uint64_t recorded = 0;  // records that were queued
    uint64_t done = 0;
  };
  struct Operation {
    std::function<Status()> run;  // null: the wait alone
    Event* waits_for = nullptr;
    uint64_t waits_until = 0;
    Event* records = nullptr;
    uint64_t records_as = 0;
  };
  struct Stream {
    std::deque<Operation> queue;
    bool runs = false;
  };

  Status Copy(uint8_t* to, const uint8_t* from, uint64_t bytes,
              GpuStream stream);
  Status Queue(GpuStream stream, Operation operation);
  Stream* Find(GpuStream stream) {
    return stream == nullptr ? &default_stream_ : static_cast<Stream*>(stream);
  }
  Status CheckAlive();
  bool IsReady(const Stream& stream) const;
  Stream* PickReady();
  void Work();

  const HostDeviceOptions options_;
  DeviceInfo info_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937_64 random_;
  std::mt19937_64 orders_;  // of threads: the same in each run
  std::vector<std::unique_ptr<Stream>> streams_;
  Stream default_stream_;
  std::unordered_map<uint8_t*, uint64_t> allocated_;
  uint64_t used_bytes_ = 0;
  uint64_t operations_ = 0;
  Status failure_;
  bool stopping_ = false;
  std::thread worker_;  // last: it uses the rest
};

Result<uint8_t*> HostDevice::Allocate(GpuMemory kind, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  REPRISE_RETURN_IF_ERROR(CheckAlive());
  if (kind == GpuMemory::kDevice &&
      bytes > options_.memory_bytes - used_bytes_) {
    return ResourceExhaustedError(CatMessage(
        "gpu: ", bytes, " bytes of device memory are not to be had, ",
        options_.memory_bytes - used_bytes_, " are left"));
  }
  auto* memory = static_cast<uint8_t*>(::operator new(bytes, kAlignment));
  // Nobody should rely on what it holds; all of it would cost too much.
  std::memset(memory, 0xa5, std::min<uint64_t>(bytes, 1 << 20));
  if (kind == GpuMemory::kDevice) {
    allocated_[memory] = bytes;
    used_bytes_ += bytes;
  }
  return memory;
}

void HostDevice::Free(GpuMemory kind, uint8_t* memory) {
  if (memory == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    if (kind == GpuMemory::kDevice) {
      used_bytes_ -= allocated_[memory];
      allocated_.erase(memory);
    }
  }
  ::operator delete(memory, kAlignment);
}

Result<GpuStream> HostDevice::MakeStream() {
  const std::lock_guard lock(mutex_);
  REPRISE_RETURN_IF_ERROR(CheckAlive());
  streams_.push_back(std::make_unique<Stream>());
  return GpuStream{streams_.back().get()};
}

Status HostDevice::Drain(GpuStream stream) {
  std::unique_lock lock(mutex_);
  const Stream* const held = Find(stream);
  changed_.wait(lock, [&] { return held->queue.empty() && !held->runs; });
  return CheckAlive();
}

void HostDevice::FreeStream(GpuStream stream) {
  (void)Drain(stream);
  const std::lock_guard lock(mutex_);
  const auto* const held = static_cast<Stream*>(stream);
  std::erase_if(streams_, [&](const auto& s) { return s.get() == held; });
}

Result<GpuEvent> HostDevice::MakeEvent() { return GpuEvent{new Event}; }

void HostDevice::FreeEvent(GpuEvent event) {
  if (event == nullptr) return;
  (void)Synchronize(event);
  delete static_cast<Event*>(event);
}

Status HostDevice::CheckAlive() {
  if (failure_.ok() && ++operations_ > options_.fails_after) {
    failure_ = UnavailableError(CatMessage("gpu: the device failed after ",
                                           options_.fails_after,
                                           " operations, as it was told to"));
  }
  return failure_;
}

Status HostDevice::Queue(GpuStream stream, Operation operation) {
  {
    const std::lock_guard lock(mutex_);
    REPRISE_RETURN_IF_ERROR(CheckAlive());
    Stream* const held = Find(stream);
    if (operation.records != nullptr) {
      operation.records_as = ++operation.records->recorded;
    }
    if (operation.waits_for != nullptr) {
      operation.waits_until = operation.waits_for->recorded;
    }
    held->queue.push_back(std::move(operation));
  }
  changed_.notify_all();
  return Status();
}

Status HostDevice::Copy(uint8_t* to, const uint8_t* from, uint64_t bytes,
                        GpuStream stream) {
  if (bytes == 0) return Status();
  return Queue(stream, {.run = [=] {
                 std::memcpy(to, from, bytes);
                 return Status();
               }});
}

Status HostDevice::Launch(const KernelLaunch& launch, GpuStream stream) {
  if (launch.blocks == 0) return Status();
  bool is_backwards = false;
  {
    const std::lock_guard lock(mutex_);
    is_backwards = orders_() % 2 != 0;
  }
  return Queue(stream,
               {.run = [=] { return RunOnHost(launch, is_backwards); }});
}

Status HostDevice::Record(GpuEvent event, GpuStream stream) {
  return Queue(stream, {.records = static_cast<Event*>(event)});
}

Status HostDevice::Wait(GpuStream stream, GpuEvent event) {
  return Queue(stream, {.waits_for = static_cast<Event*>(event)});
}

Result<bool> HostDevice::IsDone(GpuEvent event) {
  const std::lock_guard lock(mutex_);
  REPRISE_RETURN_IF_ERROR(CheckAlive());
  const auto* const held = static_cast<Event*>(event);
  return held->done >= held->recorded;
}

Status HostDevice::Synchronize(GpuEvent event) {
  std::unique_lock lock(mutex_);
  const auto* const held = static_cast<Event*>(event);
  const uint64_t until = held->recorded;
  changed_.wait(lock, [&] { return held->done >= until; });
  return CheckAlive();
}

bool HostDevice::IsReady(const Stream& stream) const {
  if (stream.queue.empty() || stream.runs) return false;
  const Operation& next = stream.queue.front();
  return next.waits_for == nullptr || next.waits_for->done >= next.waits_until;
}

HostDevice::Stream* HostDevice::PickReady() {
  std::vector<Stream*> ready;
  if (IsReady(default_stream_)) ready.push_back(&default_stream_);
  for (const auto& stream : streams_) {
    if (IsReady(*stream)) ready.push_back(stream.get());
  }
  return ready.empty() ? nullptr : ready[random_() % ready.size()];
}

void HostDevice::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    Stream* stream = nullptr;
    changed_.wait(lock, [&] {
      stream = PickReady();
      return stream != nullptr || stopping_;
    });
    if (stream == nullptr) return;
    const Operation operation = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (operation.run != nullptr && failure_.ok()) {
      stream->runs = true;
      lock.unlock();
      const Status status = operation.run();
      lock.lock();
      stream->runs = false;
      if (failure_.ok()) failure_ = status;
    }
    if (operation.records != nullptr) {
      operation.records->done = operation.records_as;
    }
    changed_.notify_all();
  }
}

}  // namespace

std::shared_ptr<Device> MakeHostDevice(const HostDeviceOptions& options) {
  return std::make_shared<HostDevice>(options);
}

}  // namespace reprise
