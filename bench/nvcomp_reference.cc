#include "bench/nvcomp_reference.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace reprise::bench {
namespace {

// Of everything that a kernel gets; nvCOMP wants 16.
constexpr uint64_t kAlignment = 256;
static_assert(sizeof(void*) == 8 && sizeof(size_t) == 8);

constexpr uint64_t Aligned(uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::string VersionText(uint32_t version) {
  return std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 100) + "." +
         std::to_string(version % 100);
}

template <typename Function>
Status Find(void* library, const char* name, Function** function) {
  *function = reinterpret_cast<Function*>(dlsym(library, name));
  if (*function != nullptr) return Status();
  return FailedPreconditionError(std::string("nvcomp: no function ") + name);
}

Status FindAll(void* library, nvcomp::Functions* functions) {
  REPRISE_RETURN_IF_ERROR(
      Find(library, "nvcompGetStatusString", &functions->get_status_string));
  REPRISE_RETURN_IF_ERROR(Find(library, "nvcompBatchedANSCompressGetTempSize",
                               &functions->compress_temp_size));
  REPRISE_RETURN_IF_ERROR(Find(library,
                               "nvcompBatchedANSCompressGetMaxOutputChunkSize",
                               &functions->compress_max_chunk));
  REPRISE_RETURN_IF_ERROR(
      Find(library, "nvcompBatchedANSCompressAsync", &functions->compress));
  REPRISE_RETURN_IF_ERROR(Find(library, "nvcompBatchedANSDecompressGetTempSize",
                               &functions->decompress_temp_size));
  return Find(library, "nvcompBatchedANSDecompressAsync",
              &functions->decompress);
}

template <typename T>
T* At(const DeviceBuffer& buffer, uint64_t offset) {
  return reinterpret_cast<T*>(buffer.data() + offset);
}

}  // namespace

Result<std::shared_ptr<const Nvcomp>> Nvcomp::Load(const std::string& library) {
  void* const loaded = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr)
    return NotFoundError(std::string("nvcomp: ") + dlerror());
  const std::shared_ptr<Nvcomp> nvcomp(new Nvcomp);
  nvcomp::Functions* functions = &nvcomp->functions_;
  REPRISE_RETURN_IF_ERROR(
      Find(loaded, "nvcompGetProperties", &functions->get_properties));
  Dl_info info{};
  nvcomp->path_ = library;
  if (dladdr(reinterpret_cast<void*>(functions->get_properties), &info) != 0) {
    nvcomp->path_ = info.dli_fname;
  }
  nvcomp::Properties properties;
  const nvcomp::Status status = functions->get_properties(&properties);
  nvcomp->version_ = VersionText(properties.version);
  if (status != 0 || properties.version / 1000 != nvcomp::kMajor) {
    return FailedPreconditionError(
        "nvcomp: " + nvcomp->path_ + " is of version " + nvcomp->version_ +
        ", one of " + std::to_string(nvcomp::kMajor) + " is wanted");
  }
  REPRISE_RETURN_IF_ERROR(FindAll(loaded, functions));
  return std::shared_ptr<const Nvcomp>(nvcomp);
}

Status Nvcomp::Check(const char* what, nvcomp::Status status) const {
  if (status == 0) return Status();
  const char* text = functions_.get_status_string(status);
  return InternalError(std::string("nvcomp: ") + what + ": " +
                       (text != nullptr ? text : "?") + " (" +
                       std::to_string(status) + ")");
}

NvcompBatch::NvcompBatch(std::shared_ptr<const Nvcomp> nvcomp,
                         int32_t data_type, std::shared_ptr<Device> device,
                         ByteView unit, uint32_t units)
    : nvcomp_(std::move(nvcomp)),
      device_(std::move(device)),
      unit_(unit.begin(), unit.end()),
      units_(units),
      // Of the choices that it leaves to itself, both sides name the number of
      // states: the decoder is then one that is made for it.
      compress_{.data_type = data_type, .states_per_lane = 2},
      decompress_{.data_type = data_type, .states_per_lane = 2} {}

NvcompBatch::~NvcompBatch() {
  (void)Synchronize();
  if (done_ != nullptr) device_->FreeEvent(done_);
  if (stream_ != nullptr) device_->FreeStream(stream_);
}

uint64_t NvcompBatch::unit_chunks() const {
  return (unit_.size() + kNvcompChunkBytes - 1) / kNvcompChunkBytes;
}

uint64_t NvcompBatch::ChunkBytes(uint64_t chunk_of_unit) const {
  return std::min<uint64_t>(kNvcompChunkBytes,
                            unit_.size() - chunk_of_unit * kNvcompChunkBytes);
}

uint64_t NvcompBatch::unit_stride() const { return Aligned(unit_.size()); }

DeviceUnits NvcompBatch::UnitsIn(const DeviceBuffer& buffer) const {
  return {.data = buffer.data(),
          .bytes = unit_.size(),
          .stride = unit_stride(),
          .count = units_};
}

Result<std::unique_ptr<NvcompBatch>> NvcompBatch::Make(
    std::shared_ptr<const Nvcomp> nvcomp, int32_t data_type,
    std::shared_ptr<Device> device, ByteView unit, uint32_t units) {
  std::unique_ptr<NvcompBatch> batch(new NvcompBatch(
      std::move(nvcomp), data_type, std::move(device), unit, units));
  REPRISE_RETURN_IF_ERROR(batch->Allocate());
  REPRISE_RETURN_IF_ERROR(batch->PlaceTables());
  Device* const of = batch->device_.get();
  REPRISE_RETURN_IF_ERROR(
      PutUnits(of, batch->stream_, batch->UnitsIn(batch->raw_), unit));
  REPRISE_RETURN_IF_ERROR(
      SpoilUnits(of, batch->stream_, batch->UnitsIn(batch->decoded_)));
  return batch;
}

Status NvcompBatch::Allocate() {
  const nvcomp::Functions& functions = nvcomp_->functions();
  REPRISE_ASSIGN_OR_RETURN(stream_, device_->MakeStream());
  REPRISE_ASSIGN_OR_RETURN(done_, device_->MakeEvent());
  const uint64_t total_bytes = units_ * unit_.size();
  size_t compress_temp = 0, decompress_temp = 0, most = 0;
  REPRISE_RETURN_IF_ERROR(nvcomp_->Check(
      "room for a compressed chunk",
      functions.compress_max_chunk(ChunkBytes(0), compress_, &most)));
  REPRISE_RETURN_IF_ERROR(nvcomp_->Check(
      "scratch of compressing",
      functions.compress_temp_size(chunks(), ChunkBytes(0), compress_,
                                   &compress_temp, total_bytes, stream_)));
  REPRISE_RETURN_IF_ERROR(nvcomp_->Check(
      "scratch of decompressing",
      functions.decompress_temp_size(chunks(), ChunkBytes(0), decompress_,
                                     &decompress_temp, total_bytes, stream_)));
  compressed_stride_ = Aligned(most);
  temp_bytes_ = std::max(compress_temp, decompress_temp);
  const struct {
    DeviceBuffer* buffer;
    uint64_t bytes;
  } buffers[] = {
      {&raw_, units_ * unit_stride()},
      {&decoded_, units_ * unit_stride()},
      {&compressed_, chunks() * compressed_stride_},
      {&temp_, temp_bytes_ + kAlignment},
      {&results_, chunks() * (2 * sizeof(size_t) + sizeof(nvcomp::Status))}};
  for (const auto& [buffer, bytes] : buffers) {
    REPRISE_ASSIGN_OR_RETURN(
        *buffer, DeviceBuffer::Make(device_, GpuMemory::kDevice, bytes));
  }
  return Status();
}

Status NvcompBatch::PlaceTables() {
  std::vector<uint64_t> tables(4 * chunks());
  uint64_t* const raw = tables.data();
  uint64_t* const compressed = raw + chunks();
  uint64_t* const decoded = compressed + chunks();
  uint64_t* const bytes = decoded + chunks();
  for (uint64_t k = 0; k < chunks(); ++k) {
    const uint64_t of_unit = k % unit_chunks();
    const uint64_t offset =
        k / unit_chunks() * unit_stride() + of_unit * kNvcompChunkBytes;
    raw[k] = reinterpret_cast<uint64_t>(raw_.data() + offset);
    decoded[k] = reinterpret_cast<uint64_t>(decoded_.data() + offset);
    compressed[k] =
        reinterpret_cast<uint64_t>(compressed_.data() + k * compressed_stride_);
    bytes[k] = ChunkBytes(of_unit);
  }
  const ByteView view(reinterpret_cast<const uint8_t*>(tables.data()),
                      tables.size() * sizeof(uint64_t));
  REPRISE_ASSIGN_OR_RETURN(tables_, DeviceBuffer::Upload(device_, view));
  return Status();
}

Status NvcompBatch::Compress() {
  const uint64_t column = chunks() * sizeof(uint64_t);
  return nvcomp_->Check(
      "compressing",
      nvcomp_->functions().compress(
          At<const void*>(tables_, 0), At<size_t>(tables_, 3 * column),
          ChunkBytes(0), chunks(), temp_.data(), temp_bytes_,
          At<void*>(tables_, column), At<size_t>(results_, 0), compress_,
          At<nvcomp::Status>(results_, 2 * column), stream_));
}

Status NvcompBatch::Decompress() {
  const uint64_t column = chunks() * sizeof(uint64_t);
  return nvcomp_->Check(
      "decompressing",
      nvcomp_->functions().decompress(
          At<const void*>(tables_, column), At<size_t>(results_, 0),
          At<size_t>(tables_, 3 * column), At<size_t>(results_, column),
          chunks(), temp_.data(), temp_bytes_, At<void*>(tables_, 2 * column),
          decompress_, At<nvcomp::Status>(results_, 2 * column), stream_));
}

Status NvcompBatch::Synchronize() {
  if (done_ == nullptr) return Status();
  REPRISE_RETURN_IF_ERROR(device_->Record(done_, stream_));
  return device_->Synchronize(done_);
}

Result<std::vector<uint64_t>> NvcompBatch::Sizes(const char* what,
                                                 uint64_t column) {
  Bytes results(results_.size());
  REPRISE_RETURN_IF_ERROR(device_->CopyToHost(results.data(), results_.data(),
                                              results.size(), stream_));
  REPRISE_RETURN_IF_ERROR(Synchronize());
  std::vector<uint64_t> sizes(chunks());
  for (uint64_t k = 0; k < chunks(); ++k) {
    const uint8_t* statuses = results.data() + 2 * chunks() * sizeof(uint64_t);
    const auto status =
        LoadLe<nvcomp::Status>(statuses + k * sizeof(nvcomp::Status));
    if (status != 0) {
      return DataLossError(std::string("nvcomp: ") + what + " chunk " +
                           std::to_string(k) + " of " +
                           std::to_string(chunks()) + " ended with status " +
                           std::to_string(status));
    }
    sizes[k] = LoadLe<uint64_t>(results.data() +
                                (column * chunks() + k) * sizeof(uint64_t));
  }
  return sizes;
}

Result<uint64_t> NvcompBatch::CompressedBytes() {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes,
                           Sizes("compressing", 0));
  uint64_t bytes = 0;
  for (uint64_t k = 0; k < unit_chunks(); ++k) bytes += sizes[k];
  return bytes;
}

Status NvcompBatch::Verify() {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes,
                           Sizes("decompressing", 1));
  for (uint64_t k = 0; k < chunks(); ++k) {
    const uint64_t wanted = ChunkBytes(k % unit_chunks());
    if (sizes[k] == wanted) continue;
    return DataLossError("nvcomp: chunk " + std::to_string(k) +
                         " came back as " + std::to_string(sizes[k]) +
                         " bytes, " + std::to_string(wanted) + " went in");
  }
  return CheckUnits(device_.get(), stream_, UnitsIn(decoded_), unit_, "nvcomp");
}

}  // namespace reprise::bench
