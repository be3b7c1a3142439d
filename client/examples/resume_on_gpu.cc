// Restores a conversation into a paged cache on a GPU, as an engine would, and
// into host memory where there is none: a complete program against a daemon.
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

// Restores into `sink` and says how far.
Result<reprise::RestoreResult> RestoreInto(Client* client,
                                           const reprise::Model& model,
                                           const std::string& session,
                                           const KvSink& sink) {
  return client->Restore(
      session, {.model = model, .make_sink = [&](const reprise::RestoreInfo&) {
                  return Result<KvSink>(sink);
                }});
}

// On the GPU. What is there afterwards is copied to `cache`, for this example
// to look at.
Status RestoreOnGpu(Client* client, const reprise::Model& model,
                    const std::string& session, Bytes* cache) {
  REPRISE_ASSIGN_OR_RETURN(const std::shared_ptr<Device> device,
                           reprise::OpenDevice(0));
  REPRISE_ASSIGN_OR_RETURN(
      const reprise::DeviceBuffer memory,
      reprise::DeviceBuffer::Make(device, reprise::GpuMemory::kDevice,
                                  kPlanes * kPlaneBytes));
  const std::vector<int32_t> table = BlockTable();
  KvSink sink = Describe<KvSink>(memory.data(), table);
  sink.device = {.is_device = true, .ordinal = 0};
  const auto restored = RestoreInto(client, model, session, sink);
  if (!restored.ok()) return restored.status();
  // The rows are in place: an engine goes on decoding here.
  REPRISE_ASSIGN_OR_RETURN(const reprise::GpuEvent done, device->MakeEvent());
  REPRISE_RETURN_IF_ERROR(
      device->CopyToHost(cache->data(), memory.data(), cache->size(), nullptr));
  REPRISE_RETURN_IF_ERROR(device->Record(done, nullptr));
  const Status status = device->Synchronize(done);
  device->FreeEvent(done);
  return status;
}

Status Run(const std::string& endpoint, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(const auto client,
                           Client::Connect({.endpoint = endpoint}));
  REPRISE_ASSIGN_OR_RETURN(const reprise::Model model,
                           client->RegisterModel(ExampleModel()));
  const std::vector<int32_t> table = BlockTable();
  const std::vector<reprise::TokenId> tokens(kTokens, 1);
  Bytes saved(kPlanes * kPlaneBytes);
  for (size_t i = 0; i < saved.size(); i += 2) {
    saved[i + 1] = 0x3c;  // about 1 in f16
    saved[i] = static_cast<uint8_t>(i / 2);
  }
  const auto view = Describe<reprise::KvView>(
      static_cast<const uint8_t*>(saved.data()), table);
  const auto stored =
      client->Save(session, {.model = model, .tokens = tokens, .kv = view});
  if (!stored.ok()) return stored.status();

  Bytes cache(saved.size());
  const Status on_gpu = RestoreOnGpu(client.get(), model, session, &cache);
  if (on_gpu.Is(StatusCode::kUnimplemented) ||
      on_gpu.Is(StatusCode::kUnavailable)) {
    std::printf("no GPU (%s), so the CPU decodes\n",
                std::string(on_gpu.message()).c_str());
    const auto restored = RestoreInto(client.get(), model, session,
                                      Describe<KvSink>(cache.data(), table));
    if (!restored.ok()) return restored.status();
  } else if (!on_gpu.ok()) {
    return on_gpu;
  }
  // Slots behind the last token are nobody's.
  const size_t last_page = kTokens % kPage * kRowBytes;
  for (size_t plane = 0; plane < kPlanes; ++plane) {
    const uint8_t* const is = cache.data() + plane * kPlaneBytes;
    const uint8_t* const was = saved.data() + plane * kPlaneBytes;
    if (std::memcmp(is, was, last_page) != 0 ||
        std::memcmp(is + kBlockBytes, was + kBlockBytes,
                    kPlaneBytes - kBlockBytes) != 0) {
      return reprise::InternalError("example: other bytes came back");
    }
  }
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
