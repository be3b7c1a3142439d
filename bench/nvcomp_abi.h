// What is used of the C interface of NVIDIA's nvCOMP, version 6: ANS in
// batches of chunks. It is declared here, so that nothing of nvCOMP is needed
// to build; names and meanings are of its nvcomp/ans.h. The options carry
// their own reserve of zeros: a later 6.x takes them as they are.
#ifndef REPRISE_BENCH_NVCOMP_ABI_H_
#define REPRISE_BENCH_NVCOMP_ABI_H_

#include <cstddef>
#include <cstdint>

namespace reprise::bench::nvcomp {

inline constexpr uint32_t kMajor = 6;

using Status = int32_t;  // nvcompStatus_t; 0: success
using Stream = void*;    // cudaStream_t

struct Properties {
  uint32_t version = 0;         // 6001 for 6.0.1
  uint32_t cudart_version = 0;  // 13040 for 13.4
};

// nvcompType_t.
inline constexpr int32_t kUchar = 1;
inline constexpr int32_t kFloat16 = 10;  // bf16 too

struct CompressOptions {
  int32_t algorithm = 0;  // rANS, the only one
  int32_t data_type = kUchar;
  uint8_t max_sub_chunks = 0;            // 0: 8
  uint8_t states_per_lane = 0;           // 0: 2
  uint8_t histogram_reduction_log2 = 0;  // 0: exact
  uint8_t reserved[53] = {};
};
static_assert(sizeof(CompressOptions) == 64);

// Where it names what the stream was compressed with, a kernel made for that
// is launched.
struct DecompressOptions {
  int32_t backend = 0;  // nvCOMP's choice
  int32_t data_type = kUchar;
  uint8_t max_sub_chunks = 0;   // 0: the stream says
  uint8_t states_per_lane = 0;  // 0: the stream says
  uint8_t skip_validate = 0;
  uint8_t reserved[53] = {};
};
static_assert(sizeof(DecompressOptions) == 64);

// Pointers to arrays, and what these point to, are the device's, but for
// results named `host`. All arrays have `chunks` elements.
using GetProperties = Status(Properties* host);
using GetStatusString = const char*(Status status);
using CompressGetTempSize = Status(size_t chunks, size_t max_chunk_bytes,
                                   CompressOptions options, size_t* host,
                                   size_t total_bytes, Stream stream);
using CompressGetMaxOutputChunkSize = Status(size_t max_chunk_bytes,
                                             CompressOptions options,
                                             size_t* host);
using CompressAsync = Status(const void* const* from, const size_t* from_bytes,
                             size_t max_chunk_bytes, size_t chunks, void* temp,
                             size_t temp_bytes, void* const* to,
                             size_t* to_bytes, CompressOptions options,
                             Status* statuses, Stream stream);
using DecompressGetTempSize = Status(size_t chunks, size_t max_chunk_bytes,
                                     DecompressOptions options, size_t* host,
                                     size_t total_bytes, Stream stream);
using DecompressAsync = Status(const void* const* from,
                               const size_t* from_bytes, const size_t* room,
                               size_t* to_bytes, size_t chunks, void* temp,
                               size_t temp_bytes, void* const* to,
                               DecompressOptions options, Status* statuses,
                               Stream stream);

struct Functions {
  GetProperties* get_properties = nullptr;
  GetStatusString* get_status_string = nullptr;
  CompressGetTempSize* compress_temp_size = nullptr;
  CompressGetMaxOutputChunkSize* compress_max_chunk = nullptr;
  CompressAsync* compress = nullptr;
  DecompressGetTempSize* decompress_temp_size = nullptr;
  DecompressAsync* decompress = nullptr;
};

}  // namespace reprise::bench::nvcomp

#endif  // REPRISE_BENCH_NVCOMP_ABI_H_
