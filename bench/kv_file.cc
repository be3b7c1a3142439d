#include "bench/kv_file.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace reprise::bench {
namespace {

constexpr uint32_t kMagic = 0x31444b52;  // "RKD1"

}  // namespace

const uint8_t* KvDump::Plane(uint32_t layer, uint32_t plane) const {
  uint64_t offset = 0;
  for (uint32_t l = 0; l <= layer; ++l) {
    const auto& planes_here = spec.layers[l].planes;
    for (uint32_t p = 0; p < planes_here.size(); ++p) {
      if (l == layer && p == plane) return planes.data() + offset;
      offset += planes_here[p].token_bytes() * tokens.size();
    }
  }
  return nullptr;
}

Status WriteKvDump(const KvDump& dump, const std::string& path) {
  const Bytes spec = EncodeModelSpec(dump.spec);
  ByteWriter head;
  head.U32(kMagic);
  head.U32(static_cast<uint32_t>(spec.size()));
  head.U64(dump.tokens.size());
  head.U64(dump.planes.size());
  head.Raw(spec);
  for (TokenId token : dump.tokens) head.U32(static_cast<uint32_t>(token));
  std::ofstream file(path + ".part", std::ios::binary);
  const auto write = [&file](ByteView bytes) {
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  };
  write(head.bytes());
  write(dump.planes);
  file.close();
  if (!file || std::rename((path + ".part").c_str(), path.c_str()) != 0) {
    return UnavailableError("KV dump: cannot write " + path);
  }
  return Status();
}

Result<KvDump> ReadKvDump(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return NotFoundError("KV dump: no file " + path +
                         "; ./dev bench makes it with bench/kv_dump");
  }
  const Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  ByteReader in(bytes);
  const uint32_t magic = in.U32();
  const uint32_t spec_bytes = in.U32();
  const uint64_t token_count = in.U64();
  const uint64_t plane_bytes = in.U64();
  const ByteView spec = in.View(spec_bytes);
  const ByteView tokens = in.View(token_count * sizeof(TokenId));
  const ByteView planes = in.View(plane_bytes);
  REPRISE_RETURN_IF_ERROR(in.Finish("KV dump"));
  if (magic != kMagic) return DataLossError("KV dump: not such a file");
  KvDump dump;
  REPRISE_ASSIGN_OR_RETURN(dump.spec, DecodeModelSpec(spec));
  dump.tokens.resize(token_count);
  std::memcpy(dump.tokens.data(), tokens.data(), tokens.size());
  dump.planes.assign(planes.begin(), planes.end());
  if (dump.planes.size() != dump.spec.token_bytes() * token_count) {
    return DataLossError("KV dump: " + std::to_string(dump.planes.size()) +
                         " bytes of planes, the spec says " +
                         std::to_string(dump.spec.token_bytes() * token_count));
  }
  return dump;
}

}  // namespace reprise::bench
