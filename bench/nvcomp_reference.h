// NVIDIA's nvCOMP, its ANS coder: what a user would pick on a device instead
// of `exact`. It is loaded at run time, where it is; neither the repository nor
// a binary of ours holds anything of it. Its licence is NVIDIA's.
#ifndef REPRISE_BENCH_NVCOMP_REFERENCE_H_
#define REPRISE_BENCH_NVCOMP_REFERENCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "bench/device_units.h"
#include "bench/nvcomp_abi.h"
#include "gpu/device.h"

namespace reprise::bench {

// What its makers advise for the fastest decoding.
inline constexpr uint64_t kNvcompChunkBytes = 64 << 10;

// The library. Thread-safe; what was loaded stays until the process ends, as a
// library with kernels can't be taken from a device that may still run them.
class Nvcomp {
 public:
  // `library` is a file, or a name that the dynamic loader looks for: beside
  // the program too. kNotFound, with the loader's words;
  // kFailedPrecondition when it is of another major version, or lacks a
  // function that is used.
  static Result<std::shared_ptr<const Nvcomp>> Load(const std::string& library);

  const std::string& version() const { return version_; }  // "6.0.1"
  const std::string& path() const { return path_; }
  const nvcomp::Functions& functions() const { return functions_; }

  // Of what one of the functions answered: kInternal, with nvCOMP's words.
  Status Check(const char* what, nvcomp::Status status) const;

 private:
  Nvcomp() = default;
  std::string version_, path_;
  nvcomp::Functions functions_;
};

// Copies of one piece of memory on a device, in chunks of kNvcompChunkBytes
// (and a shorter one), compressed and decompressed in one batch. One thread at
// a time. nvCOMP works on device 0: that is to be `device`.
class NvcompBatch {
 public:
  // `data_type` is of nvcomp_abi.h. `unit`: not empty, of whole elements.
  // Allocates about 3.5 times units * unit.size() of device memory. Errors of
  // the device and of nvCOMP.
  static Result<std::unique_ptr<NvcompBatch>> Make(
      std::shared_ptr<const Nvcomp> nvcomp, int32_t data_type,
      std::shared_ptr<Device> device, ByteView unit, uint32_t units);
  ~NvcompBatch();
  NvcompBatch(const NvcompBatch&) = delete;
  NvcompBatch& operator=(const NvcompBatch&) = delete;

  // Queues the compression of all units.
  Status Compress();
  // Queues the decompression, into memory of its own.
  // REQUIRES: Compress was called.
  Status Decompress();
  // Waits for what was queued.
  Status Synchronize();

  // Of one unit; nothing but the streams is counted. kDataLoss when a chunk
  // was not compressed. REQUIRES: compressed, and waited for.
  Result<uint64_t> CompressedBytes();
  // kDataLoss when what was decompressed is not what was compressed.
  // REQUIRES: decompressed, and waited for.
  Status Verify();

 private:
  NvcompBatch(std::shared_ptr<const Nvcomp> nvcomp, int32_t data_type,
              std::shared_ptr<Device> device, ByteView unit, uint32_t units);
  Status Allocate();
  Status PlaceTables();
  // A column of results_; kDataLoss when a chunk's status is not success.
  Result<std::vector<uint64_t>> Sizes(const char* what, uint64_t column);

  uint64_t unit_chunks() const;
  uint64_t chunks() const { return units_ * unit_chunks(); }
  uint64_t ChunkBytes(uint64_t chunk_of_unit) const;
  uint64_t unit_stride() const;
  DeviceUnits UnitsIn(const DeviceBuffer& buffer) const;

  const std::shared_ptr<const Nvcomp> nvcomp_;
  const std::shared_ptr<Device> device_;
  const Bytes unit_;
  const uint32_t units_;
  nvcomp::CompressOptions compress_;
  nvcomp::DecompressOptions decompress_;

  GpuStream stream_ = nullptr;
  GpuEvent done_ = nullptr;
  uint64_t compressed_stride_ = 0;  // of a chunk
  uint64_t temp_bytes_ = 0;
  DeviceBuffer raw_, compressed_, decoded_, temp_;
  // [chunks] each, in this order: where a chunk lies raw, compressed and
  // decoded; its raw bytes.
  DeviceBuffer tables_;
  // [chunks] each: compressed bytes, decoded bytes; statuses, 4 bytes each.
  DeviceBuffer results_;
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_NVCOMP_REFERENCE_H_
