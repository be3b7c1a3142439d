#include "bench/nvcomp_speed.h"

#include "bench/bench.h"
#include "bench/gpu_frames.h"
#include "bench/nvcomp_abi.h"

namespace reprise::bench {
namespace {

struct DataType {
  const char* name;
  int32_t value;
};
constexpr DataType kDataTypes[] = {{"NvcompUchar", nvcomp::kUchar},
                                   {"NvcompFloat16", nvcomp::kFloat16}};

Status MeasureBatch(const std::shared_ptr<const Nvcomp>& nvcomp,
                    const DataType& type, const Bytes& unit,
                    const GpuSpeedOptions& options, uint32_t batch_units,
                    std::vector<GpuSpeed>* speeds) {
  REPRISE_ASSIGN_OR_RETURN(
      const std::unique_ptr<NvcompBatch> batch,
      NvcompBatch::Make(nvcomp, type.value, options.device, unit, batch_units));
  GpuSpeed speed{.codec = type.name,
                 .tokens = kMeasuredTokens,
                 .batch = batch_units,
                 .heads = options.heads,
                 .raw_bytes = unit.size()};
  const uint64_t bytes = batch_units * unit.size();
  const auto wait = [&] { return batch->Synchronize(); };
  REPRISE_ASSIGN_OR_RETURN(
      const Spread encoded,
      GpuRate(
          options.seconds, bytes, [&] { return batch->Compress(); }, wait));
  REPRISE_ASSIGN_OR_RETURN(speed.frame_bytes, batch->CompressedBytes());
  REPRISE_ASSIGN_OR_RETURN(
      const Spread decoded,
      GpuRate(
          options.seconds, bytes, [&] { return batch->Decompress(); }, wait));
  REPRISE_RETURN_IF_ERROR(batch->Verify());
  speed.what = "decode";
  speed.gb_per_second = decoded.median;
  speed.spread = decoded.relative;
  speeds->push_back(speed);
  speed.what = "encode";
  speed.gb_per_second = encoded.median;
  speed.spread = encoded.relative;
  speeds->push_back(speed);
  return Status();
}

}  // namespace

Result<std::vector<GpuSpeed>> MeasureNvcomp(
    const std::shared_ptr<const Nvcomp>& nvcomp,
    const GpuSpeedOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(const Bytes unit, MeasuredRows(options.heads));
  std::vector<GpuSpeed> speeds;
  for (const DataType& type : kDataTypes) {
    for (const uint32_t units : options.batches) {
      REPRISE_RETURN_IF_ERROR(
          MeasureBatch(nvcomp, type, unit, options, units, &speeds));
    }
  }
  return speeds;
}

}  // namespace reprise::bench
