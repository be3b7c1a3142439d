// A library with nvCOMP's interface that "compresses" by a header of four
// bytes and turned bits, at once, in memory that the host can reach. It does
// wrong on demand: `fake_nvcomp_fault`.
#include <cstring>

#include "bench/nvcomp_abi.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION 6012
#endif

namespace nv = reprise::bench::nvcomp;

namespace {

constexpr size_t kHeaderBytes = 4;
constexpr size_t kTempBytes = 64;
constexpr uint8_t kTurned = 0x3c;

size_t MostBytes(size_t bytes) { return bytes + kHeaderBytes; }

void Turn(const uint8_t* from, size_t bytes, uint8_t* to) {
  for (size_t k = 0; k < bytes; ++k) to[k] = from[k] ^ kTurned;
}

}  // namespace

extern "C" {

// 1: a decoded byte is another; 2: the last chunk is not decoded, and nothing
// says so; 3: nor is it, and its status does; 4: the last chunk is said to be a
// byte shorter; 5: the decoder refuses the call; 6: the last chunk is not
// encoded, and its status says so.
int fake_nvcomp_fault = 0;

nv::Status nvcompGetProperties(nv::Properties* properties) {
  *properties = {.version = FAKE_VERSION, .cudart_version = 13000};
  return 0;
}

const char* nvcompGetStatusString(nv::Status status) {
  return status == 11 ? "not supported" : "other";
}

nv::Status nvcompBatchedANSCompressGetTempSize(size_t, size_t,
                                               nv::CompressOptions,
                                               size_t* bytes, size_t,
                                               nv::Stream) {
  *bytes = kTempBytes;
  return 0;
}

nv::Status nvcompBatchedANSCompressGetMaxOutputChunkSize(size_t chunk_bytes,
                                                         nv::CompressOptions,
                                                         size_t* bytes) {
  *bytes = MostBytes(chunk_bytes);
  return 0;
}

nv::Status nvcompBatchedANSCompressAsync(const void* const* from,
                                         const size_t* from_bytes,
                                         size_t max_chunk_bytes, size_t chunks,
                                         void* temp, size_t temp_bytes,
                                         void* const* to, size_t* to_bytes,
                                         nv::CompressOptions options,
                                         nv::Status* statuses, nv::Stream) {
  if (temp_bytes < kTempBytes) return 10;
  std::memset(temp, 1, temp_bytes);
  for (size_t k = 0; k < chunks; ++k) {
    if (from_bytes[k] > max_chunk_bytes) return 18;
    // A whole number of elements, and at an alignment of 16.
    if (options.data_type == nv::kFloat16 && from_bytes[k] % 2 != 0) return 20;
    if (reinterpret_cast<uintptr_t>(from[k]) % 16 != 0) return 17;
    if (reinterpret_cast<uintptr_t>(to[k]) % 16 != 0) return 17;
    auto* out = static_cast<uint8_t*>(to[k]);
    const auto bytes = static_cast<uint32_t>(from_bytes[k]);
    std::memcpy(out, &bytes, kHeaderBytes);
    Turn(static_cast<const uint8_t*>(from[k]), bytes, out + kHeaderBytes);
    to_bytes[k] = MostBytes(bytes);
    statuses[k] = k + 1 == chunks && fake_nvcomp_fault == 6 ? 19 : 0;
  }
  return 0;
}

#ifndef FAKE_WITHOUT_DECODER
nv::Status nvcompBatchedANSDecompressGetTempSize(size_t, size_t,
                                                 nv::DecompressOptions,
                                                 size_t* bytes, size_t,
                                                 nv::Stream) {
  *bytes = kTempBytes;
  return 0;
}

nv::Status nvcompBatchedANSDecompressAsync(
    const void* const* from, const size_t* from_bytes, const size_t* room,
    size_t* to_bytes, size_t chunks, void* temp, size_t temp_bytes,
    void* const* to, nv::DecompressOptions, nv::Status* statuses, nv::Stream) {
  if (fake_nvcomp_fault == 5) return 11;
  if (temp_bytes < kTempBytes) return 10;
  std::memset(temp, 2, temp_bytes);
  for (size_t k = 0; k < chunks; ++k) {
    const auto* in = static_cast<const uint8_t*>(from[k]);
    auto* out = static_cast<uint8_t*>(to[k]);
    uint32_t bytes = 0;
    std::memcpy(&bytes, in, kHeaderBytes);
    const bool is_last = k + 1 == chunks;
    const bool is_whole = from_bytes[k] == MostBytes(bytes) && bytes <= room[k];
    to_bytes[k] = bytes - (is_last && fake_nvcomp_fault == 4);
    statuses[k] = is_whole && !(is_last && fake_nvcomp_fault == 3) ? 0 : 12;
    if (is_last && (fake_nvcomp_fault == 2 || fake_nvcomp_fault == 3)) continue;
    Turn(in + kHeaderBytes, bytes, out);
    if (is_last && fake_nvcomp_fault == 1) out[bytes - 1] ^= 1;
  }
  return 0;
}
#endif

}  // extern "C"
