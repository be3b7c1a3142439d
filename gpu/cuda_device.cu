#include <cuda_runtime.h>

#include <array>
#include <string>

#include "codec/message.h"
#include "gpu/cuda_kernel.cuh"
#include "gpu/device.h"

namespace reprise {
namespace {

Status CudaStatus(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return Status();
  return UnavailableError(CatMessage("gpu: ", what, ": ",
                                     cudaGetErrorString(error), " (",
                                     static_cast<int>(error), ")"));
}

// All kernels of this build, by id; a null function where there is none.
std::array<CudaKernel, kKernelIds> AllCudaKernels() {
  std::array<CudaKernel, kKernelIds> kernels{};
  const CudaKernel all[] = {
      CopyRowsCudaKernel(),    ExactDecodeCudaKernel(),
      ExactEncodeCudaKernel(), GatherRowsCudaKernel(),
      KltEntropyCudaKernel(),  KltEntropyEncodeCudaKernel(),
      KltForwardCudaKernel(),  KltInverseCudaKernel(),
      KltPrepareCudaKernel(),  TscDecodeCudaKernel(),
      TscEncodeCudaKernel(),   VectorDecodeCudaKernel(),
  };
  for (const CudaKernel& kernel : all) {
    kernels[static_cast<uint32_t>(kernel.id)] = kernel;
  }
  return kernels;
}

// The calling thread's device, while one of our calls runs: an engine's own
// choice is put back.
class Chosen {
 public:
  explicit Chosen(int ordinal) {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = ordinal;
    status_ = CudaStatus("cudaSetDevice", cudaSetDevice(ordinal));
  }
  ~Chosen() { (void)cudaSetDevice(before_); }
  Chosen(const Chosen&) = delete;
  Chosen& operator=(const Chosen&) = delete;

  const Status& status() const { return status_; }

 private:
  int before_ = 0;
  Status status_;
};

class CudaDevice final : public Device {
 public:
  static Result<std::shared_ptr<Device>> Open(int ordinal);

  const DeviceInfo& info() const override { return info_; }
  Result<uint8_t*> Allocate(GpuMemory kind, uint64_t bytes) override;
  void Free(GpuMemory kind, uint8_t* memory) override;
  Result<GpuStream> MakeStream() override;
  void FreeStream(GpuStream stream) override;
  Result<GpuEvent> MakeEvent() override;
  void FreeEvent(GpuEvent event) override;
  Status CopyToDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                      GpuStream stream) override {
    return Copy(to, from, bytes, cudaMemcpyHostToDevice, stream);
  }
  Status CopyToHost(uint8_t* to, const uint8_t* from, uint64_t bytes,
                    GpuStream stream) override {
    return Copy(to, from, bytes, cudaMemcpyDeviceToHost, stream);
  }
  Status CopyOnDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                      GpuStream stream) override {
    return Copy(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
  }
  Status Launch(const KernelLaunch& launch, GpuStream stream) override;
  Status Record(GpuEvent event, GpuStream stream) override;
  Status Wait(GpuStream stream, GpuEvent event) override;
  Result<bool> IsDone(GpuEvent event) override;
  Status Synchronize(GpuEvent event) override;
  void Drain(GpuStream stream) override;
  Result<uint32_t> BlocksPerMultiprocessor(KernelId kernel) override;

 private:
  explicit CudaDevice(int ordinal) : ordinal_(ordinal) {}
  Status ReadInfo();
  Status PrepareKernels();
  Status Copy(uint8_t* to, const uint8_t* from, uint64_t bytes,
              cudaMemcpyKind kind, GpuStream stream);
  Result<const CudaKernel*> Find(KernelId id) const;

  const int ordinal_;
  const std::array<CudaKernel, kKernelIds> kernels_ = AllCudaKernels();
  DeviceInfo info_;
};

Result<std::shared_ptr<Device>> CudaDevice::Open(int ordinal) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return CudaStatus("cudaGetDeviceCount", error);
  if (ordinal < 0 || ordinal >= count) {
    return UnavailableError(CatMessage(
        "gpu: device ", ordinal, " was asked for, this machine has ", count));
  }
  const std::shared_ptr<CudaDevice> device(new CudaDevice(ordinal));
  const Chosen chosen(ordinal);
  REPRISE_RETURN_IF_ERROR(chosen.status());
  REPRISE_RETURN_IF_ERROR(device->ReadInfo());
  REPRISE_RETURN_IF_ERROR(device->PrepareKernels());
  return std::shared_ptr<Device>(device);
}

Status CudaDevice::ReadInfo() {
  cudaDeviceProp properties;
  REPRISE_RETURN_IF_ERROR(
      CudaStatus("cudaGetDeviceProperties",
                 cudaGetDeviceProperties(&properties, ordinal_)));
  info_.name = properties.name;
  info_.compute_capability =
      static_cast<uint32_t>(10 * properties.major + properties.minor);
  info_.multiprocessors = static_cast<uint32_t>(properties.multiProcessorCount);
  info_.memory_bytes = properties.totalGlobalMem;
  info_.shared_bytes = properties.sharedMemPerBlockOptin;
  return Status();
}

Status CudaDevice::PrepareKernels() {
  for (const CudaKernel& kernel : kernels_) {
    if (kernel.function == nullptr) continue;
    if (kernel.shared_bytes > info_.shared_bytes) {
      return UnavailableError(CatMessage(
          "gpu: kernel ", static_cast<uint32_t>(kernel.id), " wants ",
          kernel.shared_bytes, " bytes of shared memory, a block has ",
          info_.shared_bytes));
    }
    REPRISE_RETURN_IF_ERROR(CudaStatus(
        "cudaFuncSetAttribute",
        cudaFuncSetAttribute(kernel.function,
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(kernel.shared_bytes))));
  }
  return Status();
}

Result<uint8_t*> CudaDevice::Allocate(GpuMemory kind, uint64_t bytes) {
  const Chosen chosen(ordinal_);
  REPRISE_RETURN_IF_ERROR(chosen.status());
  void* memory = nullptr;
  const cudaError_t error = kind == GpuMemory::kDevice
                                ? cudaMalloc(&memory, bytes)
                                : cudaMallocHost(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // it does not stay
    return ResourceExhaustedError(
        CatMessage("gpu: ", bytes, " bytes of ",
                   kind == GpuMemory::kDevice ? "device" : "pinned",
                   " memory of ", info_.memory_bytes, " are not to be had"));
  }
  if (error != cudaSuccess) return CudaStatus("cudaMalloc", error);
  return static_cast<uint8_t*>(memory);
}

void CudaDevice::Free(GpuMemory kind, uint8_t* memory) {
  const Chosen chosen(ordinal_);
  (void)(kind == GpuMemory::kDevice ? cudaFree(memory) : cudaFreeHost(memory));
}

Result<GpuStream> CudaDevice::MakeStream() {
  const Chosen chosen(ordinal_);
  cudaStream_t stream = nullptr;
  REPRISE_RETURN_IF_ERROR(
      CudaStatus("cudaStreamCreate",
                 cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)));
  return GpuStream{stream};
}

void CudaDevice::FreeStream(GpuStream stream) {
  Drain(stream);
  (void)cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}

Result<GpuEvent> CudaDevice::MakeEvent() {
  const Chosen chosen(ordinal_);
  cudaEvent_t event = nullptr;
  REPRISE_RETURN_IF_ERROR(
      CudaStatus("cudaEventCreate",
                 cudaEventCreateWithFlags(
                     &event, cudaEventDisableTiming | cudaEventBlockingSync)));
  return GpuEvent{event};
}

void CudaDevice::FreeEvent(GpuEvent event) {
  (void)cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

Status CudaDevice::Copy(uint8_t* to, const uint8_t* from, uint64_t bytes,
                        cudaMemcpyKind kind, GpuStream stream) {
  if (bytes == 0) return Status();
  const Chosen chosen(ordinal_);
  return CudaStatus("cudaMemcpyAsync",
                    cudaMemcpyAsync(to, from, bytes, kind,
                                    static_cast<cudaStream_t>(stream)));
}

Result<const CudaKernel*> CudaDevice::Find(KernelId id) const {
  const auto index = static_cast<uint32_t>(id);
  if (index < kKernelIds && kernels_[index].function != nullptr) {
    return &kernels_[index];
  }
  return UnimplementedError(CatMessage("gpu: there is no kernel ", index));
}

Status CudaDevice::Launch(const KernelLaunch& launch, GpuStream stream) {
  if (launch.blocks == 0) return Status();
  Result<const CudaKernel*> kernel = Find(launch.id);
  if (!kernel.ok()) return kernel.status();
  const Chosen chosen(ordinal_);
  KernelArgs args = launch.args;
  void* arguments[] = {&args};
  return CudaStatus("cudaLaunchKernel",
                    cudaLaunchKernel((*kernel)->function, dim3(launch.blocks),
                                     dim3((*kernel)->threads), arguments,
                                     (*kernel)->shared_bytes,
                                     static_cast<cudaStream_t>(stream)));
}

Status CudaDevice::Record(GpuEvent event, GpuStream stream) {
  const Chosen chosen(ordinal_);
  return CudaStatus("cudaEventRecord",
                    cudaEventRecord(static_cast<cudaEvent_t>(event),
                                    static_cast<cudaStream_t>(stream)));
}

Status CudaDevice::Wait(GpuStream stream, GpuEvent event) {
  const Chosen chosen(ordinal_);
  return CudaStatus("cudaStreamWaitEvent",
                    cudaStreamWaitEvent(static_cast<cudaStream_t>(stream),
                                        static_cast<cudaEvent_t>(event), 0));
}

Result<bool> CudaDevice::IsDone(GpuEvent event) {
  const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event));
  if (error == cudaErrorNotReady) return false;
  if (error != cudaSuccess) return CudaStatus("cudaEventQuery", error);
  return true;
}

Status CudaDevice::Synchronize(GpuEvent event) {
  return CudaStatus("cudaEventSynchronize",
                    cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}

void CudaDevice::Drain(GpuStream stream) {
  const Chosen chosen(ordinal_);
  (void)cudaStreamSynchronize(static_cast<cudaStream_t>(stream));
}

Result<uint32_t> CudaDevice::BlocksPerMultiprocessor(KernelId id) {
  Result<const CudaKernel*> kernel = Find(id);
  if (!kernel.ok()) return kernel.status();
  const Chosen chosen(ordinal_);
  int blocks = 0;
  REPRISE_RETURN_IF_ERROR(CudaStatus(
      "cudaOccupancyMaxActiveBlocksPerMultiprocessor",
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(
          &blocks, (*kernel)->function, static_cast<int>((*kernel)->threads),
          (*kernel)->shared_bytes)));
  return static_cast<uint32_t>(blocks);
}

}  // namespace

Result<std::shared_ptr<Device>> OpenDevice(int32_t ordinal) {
  return CudaDevice::Open(ordinal);
}

int32_t DeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace reprise
