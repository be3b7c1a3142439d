// Saves a conversation's KV cache and restores it, as a worker would: a
// complete program against a daemon.
//
//   resume_chat ENDPOINT SESSION
//
// The "engine" is two layers of memory with made-up contents.
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"

namespace {

using reprise::Client;
using reprise::KvSink;
using reprise::KvView;
using reprise::TokenId;

constexpr uint32_t kLayers = 2;
constexpr uint32_t kHeads = 2;
constexpr uint32_t kHeadDim = 64;
constexpr int64_t kRowBytes = int64_t{kHeads} * kHeadDim * 2;  // f16

// One contiguous [token, head, element] tensor for each plane of each layer.
struct Cache {
  explicit Cache(size_t token_count)
      : tokens(token_count),
        planes(kLayers * 2,
               std::vector<uint16_t>(token_count * kHeads * kHeadDim)) {}

  template <typename Memory>
  Memory Describe(uint64_t first_token) {
    Memory memory;
    for (std::vector<uint16_t>& plane : planes) {
      memory.planes.push_back({.base = plane.data(),
                               .token_stride_bytes = kRowBytes,
                               .head_stride_bytes = kHeadDim * 2,
                               .element_stride_bytes = 2});
    }
    memory.first_token = first_token;
    memory.token_count = tokens;
    return memory;
  }

  size_t tokens;
  std::vector<std::vector<uint16_t>> planes;
};

reprise::ModelSpec ExampleModel() {
  reprise::ModelSpec spec;
  // Digests of the files that the engine loaded, whole.
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

reprise::Status Run(const std::string& endpoint, const std::string& session) {
  REPRISE_ASSIGN_OR_RETURN(const auto client,
                           Client::Connect({.endpoint = endpoint}));
  REPRISE_ASSIGN_OR_RETURN(const reprise::Model model,
                           client->RegisterModel(ExampleModel()));

  // After a turn: the tokens whose KV is in the cache, and the one chosen next.
  std::vector<TokenId> tokens(100);
  Cache cache(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<TokenId>(i);
    for (auto& plane : cache.planes) {
      plane[i * kHeads * kHeadDim] = static_cast<uint16_t>(0x3c00 + i);
    }
  }
  const std::vector<TokenId> next = {7};
  REPRISE_ASSIGN_OR_RETURN(
      const reprise::SaveResult saved,
      client->Save(session, {.model = model,
                             .tokens = tokens,
                             .pending = next,
                             .kv = cache.Describe<KvView>(0)}));
  std::printf("saved %llu tokens in %llu bytes\n",
              static_cast<unsigned long long>(saved.tokens),
              static_cast<unsigned long long>(saved.frame_bytes));

  // Later, in this worker or another.
  Cache resumed(0);
  REPRISE_ASSIGN_OR_RETURN(
      const reprise::RestoreResult restored,
      client->Restore(
          session,
          {.model = model, .make_sink = [&](const reprise::RestoreInfo& info) {
             resumed = Cache(info.tokens.size());
             return reprise::Result<KvSink>(
                 resumed.Describe<KvSink>(info.first_token));
           }}));
  if (resumed.planes != cache.planes) {
    return reprise::InternalError("example: other bytes came back");
  }
  std::printf("restored %llu tokens, decode goes on with token %d\n",
              static_cast<unsigned long long>(restored.valid_end),
              static_cast<int>(restored.info.pending[0]));
  return client->Remove(session);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s ENDPOINT SESSION\n", argv[0]);
    return 2;
  }
  const reprise::Status status = Run(argv[1], argv[2]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
