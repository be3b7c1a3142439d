#include <cuda.h>
#include <cuda_runtime.h>

#include <array>
#include <string>

#include "codec/message.h"
#include "gpu/cuda_kernel.cuh"
#include "gpu/device.h"

namespace reprise {
namespace {

// An error that a call has left behind is taken away: the engine's code may
// share this runtime, and would take it for one of its own.
Status CudaStatus(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return Status();
  (void)cudaGetLastError();
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

// Whether this process has a context on a device. True where nobody can tell.
bool HasContext(int ordinal) {
  using Ask = decltype(&cuDevicePrimaryCtxGetState);
  static const Ask ask = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuDevicePrimaryCtxGetState", &found,
                                         12000, cudaEnableDefault, &result);
    (void)CudaStatus("cudaGetDriverEntryPointByVersion", error);
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess
               ? reinterpret_cast<Ask>(found)
               : nullptr;
  }();
  unsigned int flags = 0;
  int is_active = 0;
  return ask == nullptr || ask(ordinal, &flags, &is_active) != CUDA_SUCCESS ||
         is_active != 0;
}

// The calling thread's device, while one of our calls runs: an engine's own
// choice is put back. Not where that would give the process a context there,
// which takes hundreds of megabytes of the device: a thread that has chosen
// nothing says that it is on device 0, in a process that may use another only.
//
// Meanwhile the thread may do what a stream of some other thread's that is
// being captured into a graph would otherwise forbid. Nothing of ours waits
// for captured work, and an engine may capture at any time.
class Chosen {
 public:
  explicit Chosen(int ordinal) : ordinal_(ordinal) {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = ordinal;
    status_ = CudaStatus("cudaSetDevice", cudaSetDevice(ordinal));
    is_relaxed_ = cudaThreadExchangeStreamCaptureMode(&mode_) == cudaSuccess;
  }
  ~Chosen() {
    if (is_relaxed_) (void)cudaThreadExchangeStreamCaptureMode(&mode_);
    if (before_ != ordinal_ && HasContext(before_)) {
      (void)cudaSetDevice(before_);
    }
  }
  Chosen(const Chosen&) = delete;
  Chosen& operator=(const Chosen&) = delete;

  const Status& status() const { return status_; }

 private:
  const int ordinal_;
  int before_ = 0;
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
  bool is_relaxed_ = false;
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
  Status Drain(GpuStream stream) override;
  Result<uint32_t> BlocksPerMultiprocessor(KernelId kernel) override;

 private:
  explicit CudaDevice(int ordinal) : ordinal_(ordinal) {}
  Status ReadInfo();
  Status PrepareKernels();
  Status Copy(uint8_t* to, const uint8_t* from, uint64_t bytes,
              cudaMemcpyKind kind, GpuStream stream);
  Result<const CudaKernel*> Find(KernelId id) const;
  // What `function` answers, called with this device chosen.
  template <typename Function>
  Status Call(const char* what, Function function) {
    const Chosen chosen(ordinal_);
    REPRISE_RETURN_IF_ERROR(chosen.status());
    return CudaStatus(what, function());
  }

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
  if (memory == nullptr) return;
  (void)Call("cudaFree", [&] {
    return kind == GpuMemory::kDevice ? cudaFree(memory) : cudaFreeHost(memory);
  });
}

Result<GpuStream> CudaDevice::MakeStream() {
  cudaStream_t stream = nullptr;
  REPRISE_RETURN_IF_ERROR(Call("cudaStreamCreate", [&] {
    return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  }));
  return GpuStream{stream};
}

void CudaDevice::FreeStream(GpuStream stream) {
  (void)Drain(stream);
  (void)Call("cudaStreamDestroy", [&] {
    return cudaStreamDestroy(static_cast<cudaStream_t>(stream));
  });
}

Result<GpuEvent> CudaDevice::MakeEvent() {
  cudaEvent_t event = nullptr;
  REPRISE_RETURN_IF_ERROR(Call("cudaEventCreate", [&] {
    return cudaEventCreateWithFlags(
        &event, cudaEventDisableTiming | cudaEventBlockingSync);
  }));
  return GpuEvent{event};
}

void CudaDevice::FreeEvent(GpuEvent event) {
  if (event == nullptr) return;
  (void)Call("cudaEventDestroy",
             [&] { return cudaEventDestroy(static_cast<cudaEvent_t>(event)); });
}

Status CudaDevice::Copy(uint8_t* to, const uint8_t* from, uint64_t bytes,
                        cudaMemcpyKind kind, GpuStream stream) {
  if (bytes == 0) return Status();
  return Call("cudaMemcpyAsync", [&] {
    return cudaMemcpyAsync(to, from, bytes, kind,
                           static_cast<cudaStream_t>(stream));
  });
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
  REPRISE_ASSIGN_OR_RETURN(const CudaKernel* const kernel, Find(launch.id));
  KernelArgs args = launch.args;
  void* arguments[] = {&args};
  return Call("cudaLaunchKernel", [&] {
    return cudaLaunchKernel(
        kernel->function, dim3(launch.blocks), dim3(kernel->threads), arguments,
        kernel->shared_bytes, static_cast<cudaStream_t>(stream));
  });
}

Status CudaDevice::Record(GpuEvent event, GpuStream stream) {
  return Call("cudaEventRecord", [&] {
    return cudaEventRecord(static_cast<cudaEvent_t>(event),
                           static_cast<cudaStream_t>(stream));
  });
}

Status CudaDevice::Wait(GpuStream stream, GpuEvent event) {
  return Call("cudaStreamWaitEvent", [&] {
    return cudaStreamWaitEvent(static_cast<cudaStream_t>(stream),
                               static_cast<cudaEvent_t>(event), 0);
  });
}

Result<bool> CudaDevice::IsDone(GpuEvent event) {
  bool is_done = true;
  REPRISE_RETURN_IF_ERROR(Call("cudaEventQuery", [&] {
    const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event));
    if (error != cudaErrorNotReady) return error;
    (void)cudaGetLastError();  // it stays as if it were one
    is_done = false;
    return cudaSuccess;
  }));
  return is_done;
}

Status CudaDevice::Synchronize(GpuEvent event) {
  return Call("cudaEventSynchronize", [&] {
    return cudaEventSynchronize(static_cast<cudaEvent_t>(event));
  });
}

Status CudaDevice::Drain(GpuStream stream) {
  return Call("cudaStreamSynchronize", [&] {
    return cudaStreamSynchronize(static_cast<cudaStream_t>(stream));
  });
}

Result<uint32_t> CudaDevice::BlocksPerMultiprocessor(KernelId id) {
  REPRISE_ASSIGN_OR_RETURN(const CudaKernel* const kernel, Find(id));
  int blocks = 0;
  REPRISE_RETURN_IF_ERROR(
      Call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
        return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
            &blocks, kernel->function, static_cast<int>(kernel->threads),
            kernel->shared_bytes);
      }));
  return static_cast<uint32_t>(blocks);
}

}  // namespace

Result<std::shared_ptr<Device>> OpenDevice(int32_t ordinal) {
  return CudaDevice::Open(ordinal);
}

int32_t DeviceCount() {
  int count = 0;
  return CudaStatus("cudaGetDeviceCount", cudaGetDeviceCount(&count)).ok()
             ? count
             : 0;
}

}  // namespace reprise
