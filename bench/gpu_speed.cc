#include "bench/gpu_speed.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "bench/device_units.h"
#include "bench/gpu_frames.h"
#include "codec/klt_transform_simd.h"
#include "gpu/decode_plan.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_codec.h"
#include "gpu/kernels.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kCopyBytes = 64 << 20;
// Queued at a time: one alone takes hardly longer than it takes to wait.
constexpr uint32_t kCopies = 16;
constexpr uint64_t kMaxPosition = 4096;
constexpr uint32_t kTokens = kMeasuredTokens;
// Of a frame, in a plan: two tables of its own, and what else is sent along.
constexpr uint64_t kConstantBytes = 16 << 10;
// Likewise, of one kernel.
constexpr uint32_t kTasks = 64;

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<Spread> CopyRate(const GpuSpeedOptions& options,
                        const std::function<Status()>& copy) {
  Device& device = *options.device;
  REPRISE_ASSIGN_OR_RETURN(const GpuEvent done, device.MakeEvent());
  Result<Spread> rate = GpuRate(
      options.seconds, kCopies * kCopyBytes,
      [&] {
        for (uint32_t k = 0; k < kCopies; ++k) {
          REPRISE_RETURN_IF_ERROR(copy());
        }
        return device.Record(done, nullptr);
      },
      [&] { return device.Synchronize(done); });
  device.FreeEvent(done);
  return rate;
}

// Of a capped launch: as many blocks as fit on so many multiprocessors, by the
// kernel in the plan of which the fewest do. 0, no cap, for 0.
template <typename... Kernels>
Result<uint32_t> BlocksFor(TaskBatch<KernelList<Kernels...>>* plan,
                           Device* device, uint32_t multiprocessors) {
  std::vector<KernelId> used;
  const auto note = [&](KernelId kernel, const auto& tasks) {
    if (!tasks.empty()) used.push_back(kernel);
  };
  (note(Kernels::kId, plan->template ListOf<Kernels>()), ...);
  uint32_t fewest = 32;  // what a multiprocessor takes of any kernel
  for (const KernelId kernel : used) {
    REPRISE_ASSIGN_OR_RETURN(const uint32_t blocks,
                             device->BlocksPerMultiprocessor(kernel));
    fewest = std::min(fewest, blocks);
  }
  return multiprocessors * fewest;
}

// Of `batch` frames, all in proportion: what a small batch has room for, a
// large one has too.
TaskBatchLimits LimitsOf(uint32_t batch, uint32_t planes,
                         uint64_t scratch_bytes) {
  return {.tasks = batch * kTasks,
          .rows = batch * planes,
          .units = batch,
          .constant_bytes = batch * kConstantBytes,
          .scratch_bytes = batch * scratch_bytes};
}

// A codec's frames and rows of one segment, on the device many times over, so
// that no cache holds what a launch reads and writes.
class CodecRun {
 public:
  CodecRun(MeasuredFrames made, const GpuSpeedOptions& options)
      : made_(std::move(made)),
        options_(options),
        codec_(FindGpuCodec(made_.codec)) {}

  // False: there are no kernels for the codec.
  bool can_run() const { return codec_ != nullptr; }
  Status Prepare();
  Result<Spread> Decode(uint32_t batch, uint32_t multiprocessors);
  Result<Spread> Encode(uint32_t batch, uint32_t multiprocessors);

  uint64_t frame_bytes() const {
    uint64_t bytes = 0;
    for (const Bytes& frame : made_.frames) bytes += frame.size();
    return bytes;
  }
  uint64_t raw_bytes() const { return RawBytesOf(made_.slices, kTokens); }

 private:
  // The unit's frames as they lie on the device.
  Bytes PackedFrames() const;
  // `batch` copies of them and room for as many rows.
  Status Place(uint32_t batch);
  std::vector<GpuRows> RowsOf(uint32_t unit) const;
  GpuEncodeRequest RequestFor(std::span<const GpuRows> rows) const;
  // kDataLoss unless each unit's frames are those of the host.
  Status CheckEncoded(const EncodePlan& plan, uint32_t batch) const;
  DeviceUnits Rows() const {
    return {.data = device_rows_.data(),
            .bytes = raw_bytes(),
            .stride = raw_bytes(),
            .count = placed_};
  }

  const MeasuredFrames made_;
  const GpuSpeedOptions options_;
  const GpuCodec* const codec_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::vector<FrameView> views_;
  DeviceBuffer device_frames_, device_rows_;
  uint64_t frame_stride_ = 0;
  uint32_t placed_ = 0;
};

constexpr uint64_t Aligned(uint64_t bytes) {
  return (bytes + kGpuAlignment - 1) / kGpuAlignment * kGpuAlignment;
}

Status CodecRun::Prepare() {
  if (made_.profile != nullptr) {
    REPRISE_ASSIGN_OR_RETURN(
        gpu_profile_,
        codec_->Upload(made_.profile, kMaxPosition, options_.device));
  }
  views_.resize(made_.frames.size());
  for (size_t k = 0; k < views_.size(); ++k) {
    REPRISE_RETURN_IF_ERROR(ParseFrame(made_.frames[k], &views_[k]));
    frame_stride_ += Aligned(made_.frames[k].size() + kGpuSlackBytes);
  }
  return Status();
}

Bytes CodecRun::PackedFrames() const {
  Bytes packed;
  for (const Bytes& frame : made_.frames) {
    const uint64_t end = packed.size() + Aligned(frame.size() + kGpuSlackBytes);
    packed.insert(packed.end(), frame.begin(), frame.end());
    packed.resize(end);
  }
  return packed;
}

Status CodecRun::Place(uint32_t batch) {
  if (batch == placed_) return Status();
  Device& device = *options_.device;
  REPRISE_ASSIGN_OR_RETURN(
      device_frames_, DeviceBuffer::Make(options_.device, GpuMemory::kDevice,
                                         batch * frame_stride_));
  REPRISE_ASSIGN_OR_RETURN(
      device_rows_, DeviceBuffer::Make(options_.device, GpuMemory::kDevice,
                                       batch * raw_bytes()));
  const Bytes unit = PackedFrames();
  placed_ = batch;
  return PutUnits(&device, nullptr,
                  {.data = device_frames_.data(),
                   .bytes = unit.size(),
                   .stride = frame_stride_,
                   .count = batch},
                  unit);
}

// [slices][tokens, heads, dim], as an engine without pages has them.
std::vector<GpuRows> CodecRun::RowsOf(uint32_t unit) const {
  std::vector<GpuRows> rows;
  uint8_t* at = device_rows_.data() + unit * raw_bytes();
  for (const PlaneSlice& slice : made_.slices) {
    const uint32_t bytes = DTypeBytes(slice.spec->dtype);
    rows.push_back({.base = at,
                    .token_stride = static_cast<int64_t>(slice.token_bytes()),
                    .head_stride = int64_t{slice.spec->dim} * bytes,
                    .element_stride = bytes,
                    .token_count = kTokens,
                    .head_count = slice.head_count,
                    .dim = slice.spec->dim,
                    .element_bytes = bytes});
    at += slice.token_bytes() * kTokens;
  }
  return rows;
}

Result<Spread> CodecRun::Decode(uint32_t batch, uint32_t multiprocessors) {
  REPRISE_RETURN_IF_ERROR(Place(batch));
  const DecodePlanLimits limits =
      LimitsOf(batch, made_.slices.size(), 2 * raw_bytes() + (1 << 16));
  REPRISE_ASSIGN_OR_RETURN(const std::unique_ptr<DecodePlan> plan,
                           DecodePlan::Make(options_.device, limits));
  for (uint32_t unit = 0; unit < batch; ++unit) {
    std::vector<const FrameView*> views;
    std::vector<const uint8_t*> device_frames;
    const uint8_t* at = device_frames_.data() + unit * frame_stride_;
    for (size_t k = 0; k < made_.frames.size(); ++k) {
      views.push_back(&views_[k]);
      device_frames.push_back(at);
      at += Aligned(made_.frames[k].size() + kGpuSlackBytes);
    }
    const std::vector<GpuRows> rows = RowsOf(unit);
    const GpuDecodeRequest request{.frames = views,
                                   .device_frames = device_frames,
                                   .slices = made_.slices,
                                   .rows = rows,
                                   .token_count = kTokens,
                                   .profile = gpu_profile_.get()};
    REPRISE_RETURN_IF_ERROR(codec_->Plan(request, plan.get()).status());
  }
  REPRISE_ASSIGN_OR_RETURN(
      const uint32_t max_blocks,
      BlocksFor(plan.get(), options_.device.get(), multiprocessors));
  REPRISE_RETURN_IF_ERROR(SpoilUnits(options_.device.get(), nullptr, Rows()));
  Result<Spread> rate = GpuRate(
      options_.seconds, batch * raw_bytes(),
      [&] { return plan->Launch(nullptr, max_blocks); },
      [&] { return plan->Synchronize(); });
  REPRISE_RETURN_IF_ERROR(rate.status());
  for (uint32_t unit = 0; unit < batch; ++unit) {
    if (plan->damage(unit) != 0)
      return DataLossError("gpu: a frame is damaged");
  }
  REPRISE_RETURN_IF_ERROR(
      CheckUnits(options_.device.get(), nullptr, Rows(), made_.decoded, "gpu"));
  return rate;
}

Result<Spread> CodecRun::Encode(uint32_t batch, uint32_t multiprocessors) {
  REPRISE_RETURN_IF_ERROR(Place(batch));
  // What `klt` wants, most of which it leaves alone.
  const uint64_t most_bytes = 6 * raw_bytes() + (1 << 16);
  EncodePlanLimits limits;
  static_cast<TaskBatchLimits&>(limits) =
      LimitsOf(batch, made_.slices.size(), most_bytes);
  limits.output_bytes = batch * most_bytes;
  limits.outputs = batch * kTasks;
  REPRISE_ASSIGN_OR_RETURN(const std::unique_ptr<EncodePlan> plan,
                           EncodePlan::Make(options_.device, limits));
  for (uint32_t unit = 0; unit < batch; ++unit) {
    const std::vector<GpuRows> rows = RowsOf(unit);
    REPRISE_RETURN_IF_ERROR(
        codec_->PlanEncode(RequestFor(rows), plan.get()).status());
  }
  REPRISE_ASSIGN_OR_RETURN(
      const uint32_t max_blocks,
      BlocksFor(plan.get(), options_.device.get(), multiprocessors));
  REPRISE_RETURN_IF_ERROR(
      PutUnits(options_.device.get(), nullptr, Rows(), made_.rows));
  Result<Spread> rate = GpuRate(
      options_.seconds, batch * raw_bytes(),
      [&] { return plan->Launch(nullptr, max_blocks); },
      [&] { return plan->Synchronize(); });
  REPRISE_RETURN_IF_ERROR(rate.status());
  REPRISE_RETURN_IF_ERROR(CheckEncoded(*plan, batch));
  return rate;
}

GpuEncodeRequest CodecRun::RequestFor(std::span<const GpuRows> rows) const {
  return {.info = made_.info,
          .slices = made_.slices,
          .rows = rows,
          .profile = gpu_profile_.get(),
          .options = made_.options.get()};
}

Status CodecRun::CheckEncoded(const EncodePlan& plan, uint32_t batch) const {
  // A host that does not fuse a product and a sum rounds otherwise.
  if (made_.codec == CodecId::kKlt && !KltForwardIsFused()) return Status();
  for (uint32_t unit = 0; unit < batch; ++unit) {
    std::vector<FrameBuilder> builders(made_.frames.size());
    std::vector<FrameBuilder*> pointers;
    for (FrameBuilder& builder : builders) pointers.push_back(&builder);
    const std::vector<GpuRows> rows = RowsOf(unit);
    REPRISE_RETURN_IF_ERROR(
        codec_->BuildFrames(RequestFor(rows), plan, unit, pointers));
    for (size_t k = 0; k < builders.size(); ++k) {
      REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builders[k].Finish());
      if (BytesEqual(frame, made_.frames[k])) continue;
      return DataLossError("gpu: frame " + std::to_string(k) + " of unit " +
                           std::to_string(unit) + " of " +
                           std::to_string(batch) +
                           " is not what the host encodes");
    }
  }
  return Status();
}

}  // namespace

Result<Spread> GpuRate(double seconds, uint64_t bytes,
                       const std::function<Status()>& queue,
                       const std::function<Status()>& wait) {
  REPRISE_RETURN_IF_ERROR(queue());
  REPRISE_RETURN_IF_ERROR(wait());
  std::vector<double> rates;
  const double start = Now();
  double last = start;
  do {
    REPRISE_RETURN_IF_ERROR(queue());
    REPRISE_RETURN_IF_ERROR(wait());
    const double now = Now();
    rates.push_back(static_cast<double>(bytes) / (now - last) / 1e9);
    last = now;
  } while (last - start < seconds);
  return MedianOf(std::move(rates));
}

Result<std::vector<GpuSpeed>> MeasureGpuCopies(const GpuSpeedOptions& options) {
  Device& device = *options.device;
  REPRISE_ASSIGN_OR_RETURN(
      const DeviceBuffer pinned,
      DeviceBuffer::Make(options.device, GpuMemory::kPinned, kCopyBytes));
  REPRISE_ASSIGN_OR_RETURN(
      const DeviceBuffer from,
      DeviceBuffer::Make(options.device, GpuMemory::kDevice, kCopyBytes));
  REPRISE_ASSIGN_OR_RETURN(
      const DeviceBuffer to,
      DeviceBuffer::Make(options.device, GpuMemory::kDevice, kCopyBytes));
  const struct {
    const char* what;
    std::function<Status()> copy;
  } copies[] = {
      {"on the device",
       [&] {
         return device.CopyOnDevice(to.data(), from.data(), kCopyBytes,
                                    nullptr);
       }},
      {"host to device",
       [&] {
         return device.CopyToDevice(to.data(), pinned.data(), kCopyBytes,
                                    nullptr);
       }},
      {"device to host",
       [&] {
         return device.CopyToHost(pinned.data(), from.data(), kCopyBytes,
                                  nullptr);
       }},
  };
  std::vector<GpuSpeed> speeds;
  for (const auto& copy : copies) {
    REPRISE_ASSIGN_OR_RETURN(const Spread rate, CopyRate(options, copy.copy));
    speeds.push_back({.codec = "copy",
                      .what = copy.what,
                      .raw_bytes = kCopyBytes,
                      .gb_per_second = rate.median,
                      .spread = rate.relative});
  }
  return speeds;
}

Result<std::vector<GpuSpeed>> MeasureGpuCodec(const std::string& coding,
                                              const GpuSpeedOptions& options) {
  std::vector<GpuSpeed> speeds;
  REPRISE_ASSIGN_OR_RETURN(MeasuredFrames made,
                           MakeMeasuredFrames(coding, options.heads));
  CodecRun run(std::move(made), options);
  if (!run.can_run()) return speeds;
  REPRISE_RETURN_IF_ERROR(run.Prepare());
  for (const uint32_t batch : options.batches) {
    for (const uint32_t multiprocessors : options.multiprocessors) {
      GpuSpeed speed{.codec = coding,
                     .tokens = kTokens,
                     .batch = batch,
                     .heads = options.heads,
                     .multiprocessors = multiprocessors,
                     .frame_bytes = run.frame_bytes(),
                     .raw_bytes = run.raw_bytes()};
      const auto add = [&](const char* what, const Spread& rate) {
        speed.what = what;
        speed.gb_per_second = rate.median;
        speed.spread = rate.relative;
        speeds.push_back(speed);
      };
      REPRISE_ASSIGN_OR_RETURN(const Spread decoded,
                               run.Decode(batch, multiprocessors));
      add("decode", decoded);
      const Result<Spread> encoded = run.Encode(batch, multiprocessors);
      if (encoded.status().Is(StatusCode::kUnimplemented)) continue;
      REPRISE_RETURN_IF_ERROR(encoded.status());
      add("encode", *encoded);
    }
  }
  return speeds;
}

}  // namespace reprise::bench
