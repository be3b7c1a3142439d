// Saves a conversation out of a paged cache on a GPU and restores it into
// another, as an engine would, and by way of host memory where there is none: a
// complete program against a daemon.
//
//   resume_on_gpu ENDPOINT SESSION
//
// The "engine" has two layers, whose caches are [blocks, page, heads, dim] of
// f16. An engine of your own has its memory, stream and block table already.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "gpu/device.h"

namespace {

using reprise::Bytes;
using reprise::Client;
using reprise::Device;
using reprise::KvSink;
using reprise::Result;
using reprise::Status;
using reprise::StatusCode;

constexpr uint32_t kLayers = 2;
constexpr uint32_t kHeads = 2;
constexpr uint32_t kHeadDim = 64;
constexpr uint32_t kPage = 16;
constexpr int64_t kRowBytes = int64_t{kHeads} * kHeadDim * 2;
constexpr int64_t kBlockBytes = kPage * kRowBytes;
constexpr size_t kTokens = 100;
constexpr size_t kBlocks = (kTokens + kPage - 1) / kPage;
constexpr size_t kPlaneBytes = kBlocks * kBlockBytes;
constexpr size_t kPlanes = 2 * kLayers;

// Where pages lie: in the reverse order of their tokens.
std::vector<int32_t> BlockTable() {
  std::vector<int32_t> table;
  for (size_t b = kBlocks; b > 0; --b) table.push_back(int32_t(b) - 1);
  return table;
}

// The paged cache at `base`, all planes one after the other, as Reprise is
// told of it.
template <typename Memory, typename Pointer>
Memory Describe(Pointer base, const std::vector<int32_t>& table) {
  Memory memory;
  for (size_t plane = 0; plane < kPlanes; ++plane) {
    memory.planes.push_back({.base = base + plane * kPlaneBytes,
                             .block_stride_bytes = kBlockBytes,
                             .token_stride_bytes = kRowBytes,
                             .head_stride_bytes = kHeadDim * 2,
                             .element_stride_bytes = 2});
  }
  memory.paging = {{.page_tokens = kPage,
                    .table32 = table.data(),
                    .table_entries = table.size()}};
  memory.token_count = kTokens;
  return memory;
}

reprise::ModelSpec ExampleModel() {
  reprise::ModelSpec spec;
  spec.weights_hash = reprise::Sha256(reprise::AsBytes("example weights"));
  spec.tokenizer_hash = reprise::Sha256(reprise::AsBytes("example tokens"));
  const reprise::PlaneSpec key{.name = "k", .heads = kHeads, .dim = kHeadDim};
  const reprise::PlaneSpec value{.name = "v",
                                 .role = reprise::PlaneRole::kValue,
                                 .heads = kHeads,
                                 .dim = kHeadDim};
  spec.layers.assign(kLayers, {.planes = {key, value}});
  return spec;
}

constexpr size_t kCacheBytes = kPlanes * kPlaneBytes;

// An engine's cache on a device.
struct GpuCache {
  std::shared_ptr<Device> device;
  reprise::DeviceBuffer memory;
};

Result<GpuCache> MakeGpuCache() {
  REPRISE_ASSIGN_OR_RETURN(const std::shared_ptr<Device> device,
                           reprise::OpenDevice(0));
  REPRISE_ASSIGN_OR_RETURN(
      reprise::DeviceBuffer memory,
      reprise::DeviceBuffer::Make(device, reprise::GpuMemory::kDevice,
                                  kCacheBytes));
  return GpuCache{device, std::move(memory)};
}

// What a save or a restore is of.
struct Target {
  Client* client = nullptr;
  reprise::Model model;
  std::string session;
};

Status Save(const Target& target, const reprise::KvView& view) {
  const std::vector<reprise::TokenId> tokens(kTokens, 1);
  const auto saved = target.client->Save(
      target.session, {.model = target.model, .tokens = tokens, .kv = view});
  if (!saved.ok()) return saved.status();
  std::printf("saved %llu bytes as %llu, %llu of them encoded on the GPU\n",
              static_cast<unsigned long long>(saved->raw_bytes),
              static_cast<unsigned long long>(saved->frame_bytes),
              static_cast<unsigned long long>(saved->device_bytes));
  return Status();
}

Status Restore(const Target& target, const KvSink& sink) {
  return target.client
      ->Restore(target.session, {.model = target.model,
                                 .make_sink =
                                     [&](const reprise::RestoreInfo&) {
                                       return Result<KvSink>(sink);
                                     }})
      .status();
}

// The rows are queued on a stream, here the default one, as an engine's kernels
// would be that compute them: the save waits for them on the device.
Status SaveFromGpu(const Target& target, const GpuCache& cache,
                   const Bytes& rows) {
  REPRISE_RETURN_IF_ERROR(cache.device->CopyToDevice(
      cache.memory.data(), rows.data(), rows.size(), nullptr));
  const std::vector<int32_t> table = BlockTable();
  auto view = Describe<reprise::KvView>(
      static_cast<const uint8_t*>(cache.memory.data()), table);
  view.device = {.is_device = true, .ordinal = 0, .stream = nullptr};
  return Save(target, view);
}

// What is there afterwards is copied to `rows`, for this example to look at.
Status RestoreOnGpu(const Target& target, const GpuCache& cache, Bytes* rows) {
  const std::vector<int32_t> table = BlockTable();
  auto sink = Describe<KvSink>(cache.memory.data(), table);
  sink.device = {.is_device = true, .ordinal = 0, .stream = nullptr};
  REPRISE_RETURN_IF_ERROR(Restore(target, sink));
  // The rows are in place: an engine goes on decoding here.
  REPRISE_RETURN_IF_ERROR(cache.device->CopyToHost(
      rows->data(), cache.memory.data(), rows->size(), nullptr));
  return cache.device->Drain(nullptr);
}

// From one cache on the GPU into another.
Status ThereAndBackOnGpu(const Target& target, const Bytes& rows,
                         Bytes* cache) {
  REPRISE_ASSIGN_OR_RETURN(const GpuCache from, MakeGpuCache());
  REPRISE_RETURN_IF_ERROR(SaveFromGpu(target, from, rows));
  REPRISE_ASSIGN_OR_RETURN(const GpuCache to, MakeGpuCache());
  return RestoreOnGpu(target, to, cache);
}

Status ThereAndBackOnHost(const Target& target, const Bytes& rows,
                          Bytes* cache) {
  const std::vector<int32_t> table = BlockTable();
  REPRISE_RETURN_IF_ERROR(
      Save(target, Describe<reprise::KvView>(
                       static_cast<const uint8_t*>(rows.data()), table)));
  return Restore(target, Describe<KvSink>(cache->data(), table));
}

// Slots behind the last token are nobody's.
Status CheckSameTokens(const Bytes& cache, const Bytes& rows) {
  const size_t last_page = kTokens % kPage * kRowBytes;
  for (size_t plane = 0; plane < kPlanes; ++plane) {
    const uint8_t* const is = cache.data() + plane * kPlaneBytes;
    const uint8_t* const was = rows.data() + plane * kPlaneBytes;
    if (std::memcmp(is, was, last_page) != 0 ||
        std::memcmp(is + kBlockBytes, was + kBlockBytes,
                    kPlaneBytes - kBlockBytes) != 0) {
      return reprise::InternalError("example: other bytes came back");
    }
  }
  return Status();
}

Status Run(const std::string& endpoint, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(const auto client,
                           Client::Connect({.endpoint = endpoint}));
  REPRISE_ASSIGN_OR_RETURN(const reprise::Model model,
                           client->RegisterModel(ExampleModel()));
  const Target target{client.get(), model, session};
  Bytes rows(kCacheBytes);
  for (size_t i = 0; i < rows.size(); i += 2) {
    rows[i + 1] = 0x3c;  // about 1 in f16
    rows[i] = static_cast<uint8_t>(i / 2);
  }
  Bytes cache(rows.size());
  const Status on_gpu = ThereAndBackOnGpu(target, rows, &cache);
  if (on_gpu.Is(StatusCode::kUnimplemented) ||
      on_gpu.Is(StatusCode::kUnavailable)) {
    std::printf("no GPU (%s), so the CPU encodes and decodes\n",
                std::string(on_gpu.message()).c_str());
    REPRISE_RETURN_IF_ERROR(ThereAndBackOnHost(target, rows, &cache));
  } else if (!on_gpu.ok()) {
    return on_gpu;
  }
  REPRISE_RETURN_IF_ERROR(CheckSameTokens(cache, rows));
  std::printf("restored %zu tokens into %zu pages\n", kTokens, kBlocks);
  return client->Remove(session);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s ENDPOINT SESSION\n", argv[0]);
    return 2;
  }
  const Status status = Run(argv[1], argv[2]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
