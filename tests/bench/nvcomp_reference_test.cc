#include "bench/nvcomp_reference.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "bench/gpu_frames.h"
#include "bench/nvcomp_abi.h"
#include "bench/nvcomp_speed.h"
#include "gpu/host_device.h"

namespace reprise::bench {
namespace {

using testing::HasSubstr;

constexpr const char* kFake = "tests/bench/libfake_nvcomp.so";
constexpr uint64_t kHeaderBytes = 4;  // of the fake's chunks

// Of the fake library, until the end of the scope.
class Fault {
 public:
  explicit Fault(int fault)
      : fault_(static_cast<int*>(
            dlsym(dlopen(kFake, RTLD_NOW), "fake_nvcomp_fault"))) {
    *fault_ = fault;
  }
  ~Fault() { *fault_ = 0; }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;

 private:
  int* const fault_;
};

Bytes Pattern(uint64_t bytes) {
  Bytes pattern(bytes);
  for (uint64_t k = 0; k < bytes; ++k) {
    pattern[k] = static_cast<uint8_t>(k * 7 + k / 256);
  }
  return pattern;
}

// Encodes and decodes three units of so many bytes.
Status RoundTrip(uint64_t unit_bytes, uint64_t* compressed_bytes) {
  REPRISE_ASSIGN_OR_RETURN(const std::shared_ptr<const Nvcomp> nvcomp,
                           Nvcomp::Load(kFake));
  REPRISE_ASSIGN_OR_RETURN(
      const std::unique_ptr<NvcompBatch> batch,
      NvcompBatch::Make(nvcomp, nvcomp::kUchar, MakeHostDevice(),
                        Pattern(unit_bytes), 3));
  REPRISE_RETURN_IF_ERROR(batch->Compress());
  REPRISE_RETURN_IF_ERROR(batch->Synchronize());
  REPRISE_ASSIGN_OR_RETURN(*compressed_bytes, batch->CompressedBytes());
  REPRISE_RETURN_IF_ERROR(batch->Decompress());
  REPRISE_RETURN_IF_ERROR(batch->Synchronize());
  return batch->Verify();
}

Status LoadStatus(const std::string& library) {
  return Nvcomp::Load(library).status();
}

TEST(NvcompReferenceTest, SaysThatTheLibraryIsNotThere) {
  const Status status = LoadStatus("tests/bench/libno_nvcomp.so");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("libno_nvcomp.so: cannot open"));
}

TEST(NvcompReferenceTest, RefusesAnotherMajorVersion) {
  const Status status = LoadStatus("tests/bench/libold_nvcomp.so");
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("libold_nvcomp.so is of version 5.1.3, one of 6 is"));
}

TEST(NvcompReferenceTest, RefusesALibraryThatLacksAFunction) {
  const Status status = LoadStatus("tests/bench/libpoor_nvcomp.so");
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("nvcompBatchedANSDecompressGetTempSize"));
}

TEST(NvcompReferenceTest, KnowsItsVersionAndWhereItIs) {
  const auto nvcomp = Nvcomp::Load(kFake);
  ASSERT_TRUE(nvcomp.ok()) << nvcomp.status().ToString();
  EXPECT_EQ((*nvcomp)->version(), "6.0.12");
  EXPECT_THAT((*nvcomp)->path(), HasSubstr("libfake_nvcomp.so"));
}

TEST(NvcompReferenceTest, RoundTripsAnySize) {
  constexpr uint64_t kChunk = kNvcompChunkBytes;
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{300}, kChunk - 1, kChunk,
                               kChunk + 1, 4 * kChunk, 4 * kChunk + 77}) {
    uint64_t compressed_bytes = 0;
    const Status status = RoundTrip(bytes, &compressed_bytes);
    EXPECT_TRUE(status.ok()) << bytes << ": " << status.ToString();
    const uint64_t chunks = (bytes + kChunk - 1) / kChunk;
    EXPECT_EQ(compressed_bytes, bytes + chunks * kHeaderBytes);
  }
}

TEST(NvcompReferenceTest, FindsWhatIsNotDecodedAsItWas) {
  const struct {
    int fault;
    StatusCode code;
    const char* message;
  } cases[] = {
      {1, StatusCode::kDataLoss, "unit 2 of 3 came back with another byte 299"},
      {2, StatusCode::kDataLoss, "unit 2 of 3 came back with another byte 0"},
      {3, StatusCode::kDataLoss,
       "decompressing chunk 2 of 3 ended with status"},
      {4, StatusCode::kDataLoss, "came back as 299 bytes, 300 went in"},
      {5, StatusCode::kInternal, "decompressing: not supported (11)"},
      {6, StatusCode::kDataLoss, "compressing chunk 2 of 3 ended with status"},
  };
  for (const auto& [fault, code, message] : cases) {
    const Fault here(fault);
    uint64_t compressed_bytes = 0;
    const Status status = RoundTrip(300, &compressed_bytes);
    EXPECT_EQ(status.code(), code) << fault;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << fault;
  }
}

TEST(NvcompReferenceTest, SaysWhatTheDeviceLacks) {
  const auto nvcomp = Nvcomp::Load(kFake);
  ASSERT_TRUE(nvcomp.ok()) << nvcomp.status().ToString();
  const auto batch = NvcompBatch::Make(
      *nvcomp, nvcomp::kUchar, MakeHostDevice({.memory_bytes = 1 << 20}),
      Pattern(1 << 20), 3);
  EXPECT_EQ(batch.status().code(), StatusCode::kResourceExhausted);
}

TEST(NvcompReferenceTest, MeasuresTheRowsThatExactGets) {
  const auto nvcomp = Nvcomp::Load(kFake);
  ASSERT_TRUE(nvcomp.ok()) << nvcomp.status().ToString();
  for (const uint16_t heads : {kMeasuredHeads, uint16_t{1}}) {
    const GpuSpeedOptions options{.device = MakeHostDevice(),
                                  .seconds = 0.001,
                                  .batches = {1, 3},
                                  .heads = heads};
    const auto speeds = MeasureNvcomp(*nvcomp, options);
    ASSERT_TRUE(speeds.ok()) << speeds.status().ToString();
    // Two data types, two batches, both directions.
    ASSERT_EQ(speeds->size(), 8u);
    EXPECT_EQ(speeds->front().codec, "NvcompUchar");
    EXPECT_EQ(speeds->back().codec, "NvcompFloat16");
    for (const GpuSpeed& speed : *speeds) {
      // Keys and values of 64 tokens, 128 a head, 2 bytes each.
      EXPECT_EQ(speed.raw_bytes, 2u * 64 * heads * 128 * 2);
      const uint64_t chunks =
          (speed.raw_bytes + kNvcompChunkBytes - 1) / kNvcompChunkBytes;
      EXPECT_EQ(speed.frame_bytes, speed.raw_bytes + chunks * kHeaderBytes);
      EXPECT_GT(speed.gb_per_second, 0);
    }
  }
}

TEST(NvcompReferenceTest, GivesNoFigureOfWhatIsWrong) {
  const auto nvcomp = Nvcomp::Load(kFake);
  ASSERT_TRUE(nvcomp.ok()) << nvcomp.status().ToString();
  const Fault here(1);
  const GpuSpeedOptions options{
      .device = MakeHostDevice(), .seconds = 0.001, .batches = {2}};
  EXPECT_EQ(MeasureNvcomp(*nvcomp, options).status().code(),
            StatusCode::kDataLoss);
}

}  // namespace
}  // namespace reprise::bench
