// That a batch's memory is not given back before the device is done with it.
#include "gpu/task_batch.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "base/bytes.h"
#include "gpu/encode_plan.h"
#include "gpu/host_device.h"

namespace reprise {
namespace {

// A host device that knows whether somebody has waited for the last thing that
// was queued.
class WatchedDevice final : public Device {
 public:
  const DeviceInfo& info() const override { return device_->info(); }
  Result<uint8_t*> Allocate(GpuMemory kind, uint64_t bytes) override {
    return device_->Allocate(kind, bytes);
  }
  void Free(GpuMemory kind, uint8_t* memory) override {
    freed_too_early_ = freed_too_early_ || is_busy();
    device_->Free(kind, memory);
  }
  Result<GpuStream> MakeStream() override { return device_->MakeStream(); }
  void FreeStream(GpuStream stream) override { device_->FreeStream(stream); }
  Result<GpuEvent> MakeEvent() override { return device_->MakeEvent(); }
  void FreeEvent(GpuEvent event) override { device_->FreeEvent(event); }

  Status CopyToDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                      GpuStream stream) override {
    ++queued_;
    return device_->CopyToDevice(to, from, bytes, stream);
  }
  Status CopyToHost(uint8_t* to, const uint8_t* from, uint64_t bytes,
                    GpuStream stream) override {
    ++queued_;
    return device_->CopyToHost(to, from, bytes, stream);
  }
  Status CopyOnDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                      GpuStream stream) override {
    ++queued_;
    return device_->CopyOnDevice(to, from, bytes, stream);
  }
  Status Launch(const KernelLaunch& launch, GpuStream stream) override {
    if (launch_fails) return UnavailableError("gpu: as it was told to");
    ++queued_;
    return device_->Launch(launch, stream);
  }
  Status Record(GpuEvent event, GpuStream stream) override {
    recorded_ = queued_;
    return device_->Record(event, stream);
  }
  Status Wait(GpuStream stream, GpuEvent event) override {
    return device_->Wait(stream, event);
  }
  Result<bool> IsDone(GpuEvent event) override {
    return device_->IsDone(event);
  }
  Status Synchronize(GpuEvent event) override {
    awaited_ = recorded_;
    return device_->Synchronize(event);
  }
  Status Drain(GpuStream stream) override { return device_->Drain(stream); }
  Result<uint32_t> BlocksPerMultiprocessor(KernelId kernel) override {
    return device_->BlocksPerMultiprocessor(kernel);
  }

  bool launch_fails = false;
  bool is_busy() const { return awaited_ != queued_; }
  bool freed_too_early() const { return freed_too_early_; }

 private:
  const std::shared_ptr<Device> device_ = MakeHostDevice();
  uint64_t queued_ = 0;
  uint64_t recorded_ = 0;  // of those queued: before the last event
  uint64_t awaited_ = 0;   // of those recorded
  bool freed_too_early_ = false;
};

class TaskBatchTest : public testing::Test {
 protected:
  // One row of 16 bytes to an output.
  void Fill() {
    auto plan = EncodePlan::Make(device_, {});
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
    ASSERT_TRUE(plan_->BeginUnit().ok());
    const auto rows = plan_->AddRows({.base = row_,
                                      .element_stride = 1,
                                      .token_count = 1,
                                      .head_count = 1,
                                      .dim = sizeof row_,
                                      .element_bytes = 1});
    const auto output = plan_->AddOutput(sizeof row_);
    ASSERT_TRUE(rows.ok() && output.ok());
    ASSERT_TRUE(plan_
                    ->Add<GatherRowsKernel>({.out = output->data,
                                             .row_bytes = sizeof row_,
                                             .rows = *rows,
                                             .token_count = 1})
                    .ok());
  }

  const std::shared_ptr<WatchedDevice> device_ =
      std::make_shared<WatchedDevice>();
  uint8_t row_[16] = {};
  std::unique_ptr<EncodePlan> plan_;
};

TEST_F(TaskBatchTest, WaitsBeforeItsOutputsAreFreed) {
  Fill();
  ASSERT_TRUE(plan_->Launch(nullptr).ok());
  ASSERT_TRUE(device_->is_busy());
  plan_ = nullptr;
  EXPECT_FALSE(device_->freed_too_early());
}

TEST_F(TaskBatchTest, WaitsForWhatWasQueuedBeforeAnError) {
  Fill();
  device_->launch_fails = true;
  ASSERT_EQ(plan_->Launch(nullptr).code(), StatusCode::kUnavailable);
  ASSERT_TRUE(device_->is_busy());  // with the copy of the tasks
  ASSERT_TRUE(plan_->Synchronize().ok());
  EXPECT_FALSE(device_->is_busy());
  plan_ = nullptr;
  EXPECT_FALSE(device_->freed_too_early());
}

}  // namespace
}  // namespace reprise
