// Saves out of the memory of a device, which here is the host executor: what
// is stored are the frames that the CPU path stores, from every layout, and
// whatever fails says so and leaves the CPU path as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "client/export_format.h"
#include "gpu/gpu_codec.h"
#include "gpu/host_device.h"
#include "tests/client/kv_cache.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"
#include "tests/support/trained_profile.h"

namespace reprise {
namespace {

// All that is stored of a session but its commit, which has a time in it.
Result<std::vector<Bytes>> StoredOf(Client* client, std::string_view session) {
  Bytes file;
  REPRISE_RETURN_IF_ERROR(client->Export(session, [&](ByteView piece) {
    file.insert(file.end(), piece.begin(), piece.end());
    return Status();
  }));
  size_t at = 0;
  ExportReader reader([&](MutableByteView out) -> Result<size_t> {
    const size_t size = std::min(out.size(), file.size() - at);
    std::memcpy(out.data(), file.data() + at, size);
    at += size;
    return size;
  });
  std::vector<Bytes> records;
  for (ExportRecord record;;) {
    REPRISE_RETURN_IF_ERROR(reader.Next(&record));
    if (record.kind == ExportKind::kEnd) return records;
    if (record.kind == ExportKind::kCommit) continue;
    records.push_back(record.content);
  }
}

ClientOptions OptionsWith(const HostDeviceOptions& device) {
  ClientOptions options;
  options.device = MakeHostDevice(device);
  options.codec_threads = 2;
  options.device_ring_bytes = 4 << 20;
  return options;
}

// Two stores, so that neither save finds what the other stored.
class DeviceSaveTest : public testing::Test {
 protected:
  void Use(const ModelSpec& spec, const HostDeviceOptions& device = {}) {
    on_host_ = std::make_unique<TestWorker>(host_daemon_.Connect(), spec);
    on_device_ = std::make_unique<TestWorker>(
        daemon_.Connect(OptionsWith(device)), spec);
  }

  struct Case {
    std::string codec = "exact";
    CacheOptions cache;
    std::vector<uint8_t> keep;
    bool encodes = true;  // on the device, all but the tail
  };
  // Saves on both sides, compares what is stored, and restores it into host
  // memory and into the device's.
  void ExpectTheCpusSave(const std::string& session,
                         const std::vector<TokenId>& tokens, const Case& of) {
    SCOPED_TRACE(std::string(CacheLayoutName(of.cache.layout)) + " " +
                 of.codec + " " + session);
    SaveRequest request{.codec = of.codec, .keep = of.keep};
    ASSERT_OK(on_host_->Save(session, tokens, request, of.cache));
    CacheOptions cache = of.cache;
    cache.on_device = true;
    const auto saved = on_device_->Save(session, tokens, request, cache);
    ASSERT_OK(saved);
    EXPECT_EQ(saved->tokens, tokens.size());
    if (of.encodes) {
      EXPECT_EQ(saved->device_bytes, saved->raw_bytes);
    }
    ExpectSameStored(session);
    if (!FindCodec(of.codec.substr(0, of.codec.find(':')))->is_exact()) return;
    for (const bool on_device : {false, true}) {
      const auto restored =
          on_device_->Restore(session, {}, {.on_device = on_device});
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, tokens.size());
    }
  }

  void ExpectSameStored(const std::string& session) {
    const auto wanted = StoredOf(on_host_->client.get(), session);
    const auto is = StoredOf(on_device_->client.get(), session);
    ASSERT_OK(wanted);
    ASSERT_OK(is);
    ASSERT_EQ(is->size(), wanted->size());
    EXPECT_GT(is->size(), 2u);
    for (size_t i = 0; i < is->size(); ++i) {
      ASSERT_TRUE((*is)[i] == (*wanted)[i])
          << "record " << i << ": " << (*is)[i].size() << " bytes and "
          << (*wanted)[i].size();
    }
  }

  TestDaemon host_daemon_, daemon_;
  std::unique_ptr<TestWorker> on_host_, on_device_;
};

TEST_F(DeviceSaveTest, StoresTheCpusFramesFromEveryLayout) {
  Use(GqaModel());
  uint32_t turn = 0;
  for (const char* codec : {"raw", "exact", "tsc:bits=8"}) {
    for (const CacheLayout layout : kAllCacheLayouts) {
      ++turn;
      const bool is_paged = layout == CacheLayout::kVllmNhd ||
                            layout == CacheLayout::kVllmHnd ||
                            layout == CacheLayout::kVllmKvPacked;
      // Segments, and a tail.
      const std::vector<TokenId> tokens = ToyTokens(turn, 150);
      ExpectTheCpusSave("s" + std::to_string(turn), tokens,
                        {.codec = codec,
                         .cache = {.layout = layout,
                                   .first_slot = is_paged ? turn % 16 : 0,
                                   .table64 = turn % 2 == 0}});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(DeviceSaveTest, FitsTheCpusProfile) {
  Use(SmolModel());
  const std::vector<TokenId> tokens = ToyTokens(1, 64 * 3 + 1);
  ExpectTheCpusSave("s", tokens, {.cache = {.layout = CacheLayout::kVllmHnd}});
  const auto profiles = ProfilesOf(on_device_->model);
  ASSERT_EQ(profiles.size(), 1u);
  EXPECT_EQ(profiles[0].codec, CodecId::kExact);
  EXPECT_EQ(profiles[0].profile, ProfilesOf(on_host_->model)[0].profile);
}

// A first save is too short for a profile: the host encodes it.
TEST_F(DeviceSaveTest, TooFewTokensForAProfileAreEncodedOnTheHost) {
  Use(GqaModel());
  const std::vector<TokenId> tokens = ToyTokens(2, 40);
  ExpectTheCpusSave("s", tokens, {.encodes = false});
  EXPECT_TRUE(ProfilesOf(on_device_->model).empty());
}

TEST_F(DeviceSaveTest, WhatHasNoEncoderThereIsEncodedOnTheHost) {
  Use(TinyModel());
  for (const char* name : {"pq", "vq"}) {
    const CodecId id = FindCodec(name)->id();
    const auto trained = TrainProfile(id, on_host_->spec);
    ASSERT_OK(trained);
    for (TestWorker* worker : {on_host_.get(), on_device_.get()}) {
      ASSERT_OK(worker->client->PutProfile(worker->model, id, *trained));
    }
    ExpectTheCpusSave(name, ToyTokens(3, 128),
                      {.codec = name,
                       .cache = {.layout = CacheLayout::kLlamaTransposedV},
                       .encodes = false});
  }
}

TEST_F(DeviceSaveTest, StoresTheCpusStages) {
  Use(TinyModel());
  const auto profile = TrainProfile(CodecId::kKlt, on_host_->spec);
  ASSERT_OK(profile);
  for (TestWorker* worker : {on_host_.get(), on_device_.get()}) {
    ASSERT_OK(
        worker->client->PutProfile(worker->model, CodecId::kKlt, *profile));
  }
  uint32_t turn = 0;
  for (const CacheLayout layout : kAllCacheLayouts) {
    ++turn;
    // With or without an encoder on the device.
    ExpectTheCpusSave("s" + std::to_string(turn), ToyTokens(10 + turn, 150),
                      {.codec = "klt:tier=near",
                       .cache = {.layout = layout, .seed = turn},
                       .encodes = false});
    if (HasFatalFailure()) return;
  }
}

TEST_F(DeviceSaveTest, DropsTokens) {
  Use(TinyModel());
  std::vector<uint8_t> keep(150, 1);
  keep[5] = keep[70] = keep[127] = 0;
  ExpectTheCpusSave("s", ToyTokens(4, keep.size()),
                    {.codec = "tsc:bits=4",
                     .cache = {.layout = CacheLayout::kVllmNhd},
                     .keep = keep});
}

// One process that holds all ranks' shares, of which one is in host memory.
TEST_F(DeviceSaveTest, ShardsAreEachOnTheirDevice) {
  Use(PlainModel("wide", 3, 8, 64, DType::kBf16));
  // Several shares don't fit a profile, so one is there before.
  for (TestWorker* worker : {on_host_.get(), on_device_.get()}) {
    ASSERT_OK(worker->Save("first", ToyTokens(50, 64)));
  }
  for (const char* codec : {"tsc:bits=8", "raw", "exact"}) {
    SCOPED_TRACE(codec);
    const std::vector<TokenId> tokens = ToyTokens(codec[0] * uint64_t{10}, 150);
    for (TestWorker* worker : {on_host_.get(), on_device_.get()}) {
      std::vector<std::unique_ptr<KvCache>> caches;
      SaveRequest request{
          .model = worker->model, .tokens = tokens, .codec = codec};
      for (uint16_t rank = 0; rank < 8; ++rank) {
        caches.push_back(std::make_unique<KvCache>(
            worker->spec,
            CacheOptions{.layout = kAllCacheLayouts[rank % 7],
                         .token_count = tokens.size(),
                         .heads = {.first = rank, .count = 1, .total = 8},
                         .on_device = worker == on_device_.get() && rank != 3,
                         .seed = 1}));
        caches.back()->FillAll();
        (rank == 0 ? request.kv : request.shards.emplace_back()) =
            caches.back()->view();
      }
      const auto saved = worker->client->Save(codec, request);
      ASSERT_OK(saved);
      EXPECT_EQ(saved->device_bytes,
                worker == on_device_.get() ? saved->raw_bytes / 8 * 7 : 0);
    }
    ExpectSameStored(codec);
  }
}

TEST_F(DeviceSaveTest, AppendsFromTheTokenThatIsNew) {
  Use(TinyModel());
  const std::vector<TokenId> tokens = ToyTokens(6, 64 * 5 + 9);
  for (TestWorker* worker : {on_host_.get(), on_device_.get()}) {
    const bool on_device = worker == on_device_.get();
    const std::vector<TokenId> first(tokens.begin(), tokens.begin() + 130);
    ASSERT_OK(worker->Save("s", first, {}, {.on_device = on_device}));
    // Only the new tokens' KV is there.
    KvCache cache(worker->spec, {.layout = CacheLayout::kVllmNhd,
                                 .first_token = 128,
                                 .token_count = tokens.size() - 128,
                                 .first_slot = 3,
                                 .on_device = on_device});
    cache.FillAll();
    const auto saved = worker->client->Save(
        "s", {.model = worker->model, .tokens = tokens, .kv = cache.view()});
    ASSERT_OK(saved);
    EXPECT_EQ(saved->new_segments, 3u);
    EXPECT_EQ(saved->device_bytes, on_device ? saved->raw_bytes : 0);
    // Nothing is new now, and no memory is wanted.
    ASSERT_OK(worker->client->Save(
        "s", {.model = worker->model,
              .tokens = tokens,
              .kv = {.device = {.is_device = on_device}}}));
  }
  ExpectSameStored("s");
}

// The engine fills its cache on a stream of its own, and is not waited for.
TEST_F(DeviceSaveTest, ReadsWhatWasQueuedOnTheCallersStream) {
  // Before the rows: it takes longer than a save has to ask the daemon.
  const Bytes from(1 << 20);
  Bytes to(from.size());
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<TokenId> tokens = ToyTokens(70 + seed, 64 * 4);
    const std::shared_ptr<Device> device = MakeHostDevice({.seed = seed});
    ClientOptions options = OptionsWith({});
    options.device = device;
    TestWorker worker(daemon_.Connect(options), GqaModel());
    const GpuStream stream = *device->MakeStream();
    const GpuEvent ready = *device->MakeEvent();
    KvCache full(worker.spec, {.token_count = tokens.size()});
    full.FillAll();
    KvCache cache(worker.spec,
                  {.token_count = tokens.size(), .on_device = true});
    for (int i = 0; i < 400; ++i) {
      ASSERT_TRUE(
          device->CopyToDevice(to.data(), from.data(), to.size(), stream).ok());
    }
    for (uint32_t layer = 0; layer < worker.spec.layers.size(); ++layer) {
      for (uint32_t plane = 0; plane < 2; ++plane) {
        const PlaneSpec& spec = worker.spec.layers[layer].planes[plane];
        const Status queued = device->CopyToDevice(
            cache.At(layer, plane, 0, 0, 0), full.At(layer, plane, 0, 0, 0),
            tokens.size() * spec.channels() * DTypeBytes(spec.dtype), stream);
        ASSERT_TRUE(queued.ok()) << queued.ToString();
      }
    }
    SaveRequest request{.model = worker.model, .tokens = tokens};
    request.kv = cache.view();
    request.kv.device.stream = stream;
    if (seed % 2 == 0) {
      ASSERT_TRUE(device->Record(ready, stream).ok());
      request.kv.device.stream = nullptr;
      request.kv.device.ready_event = ready;
    }
    const std::string session = "s" + std::to_string(seed);
    auto ticket = worker.client->SaveAsync(session, request);
    ASSERT_OK(ticket);
    ASSERT_TRUE((*ticket)->WaitCaptured().ok());
    // The engine may write there again.
    std::memset(cache.At(0, 0, 0, 0, 0), 0x77, 64);
    ASSERT_OK((*ticket)->Wait());
    const auto restored = worker.Restore(session);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, tokens.size());
    device->FreeStream(stream);
    device->FreeEvent(ready);
  }
}

TEST_F(DeviceSaveTest, ManySavesAtOnceGoThroughSmallSlots) {
  Use(SmolModel());
  constexpr int kThreads = 4;
  const auto session = [](int i) { return "s" + std::to_string(i); };
  const auto tokens = [](int i) {
    return ToyTokens(static_cast<uint64_t>(20 + i), 64 * 12 + 5);
  };
  // The profile first, so that all have the same.
  for (TestWorker* worker : {on_host_.get(), on_device_.get()}) {
    ASSERT_OK(worker->Save("first", ToyTokens(8, 64 * 2)));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const CacheOptions cache{.layout = kAllCacheLayouts[i],
                               .on_device = true};
      const char* codec = i % 2 == 0 ? "exact" : "tsc:bits=4";
      EXPECT_TRUE(
          on_device_->Save(session(i), tokens(i), {.codec = codec}, cache)
              .ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kThreads; ++i) {
    const char* codec = i % 2 == 0 ? "exact" : "tsc:bits=4";
    ASSERT_OK(on_host_->Save(session(i), tokens(i), {.codec = codec},
                             {.layout = kAllCacheLayouts[i]}));
    ExpectSameStored(session(i));
  }
}

TEST_F(DeviceSaveTest, AFailingDeviceSaysSoAndTheCpuServes) {
  const std::vector<TokenId> tokens = ToyTokens(9, 64 * 3 + 7);
  bool came_through = false;
  uint64_t failures = 0;
  for (uint64_t n = 0; n < 400 && !came_through; ++n) {
    SCOPED_TRACE(n);
    TestDaemon daemon;
    TestWorker worker(daemon.Connect(OptionsWith({.fails_after = n})),
                      TinyModel());
    const auto saved = worker.Save("s", tokens, {}, {.on_device = true});
    came_through = saved.ok();
    if (!came_through) {
      ++failures;
      ExpectStatus(saved.status(), StatusCode::kUnavailable, "device");
      ASSERT_OK(worker.Save("s", tokens));
    }
    const auto restored = worker.Restore("s");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, tokens.size());
  }
  EXPECT_TRUE(came_through);
  EXPECT_GT(failures, 30u);
}

TEST_F(DeviceSaveTest, TooLittleDeviceMemoryIsAnErrorWithTheNumbers) {
  Use(TinyModel(), {.memory_bytes = 1 << 20});
  const auto saved =
      on_device_->Save("s", ToyTokens(10, 64), {}, {.on_device = true});
  ExpectStatus(saved.status(), StatusCode::kResourceExhausted, "bytes");
}

TEST_F(DeviceSaveTest, AFrameThatIsLargerThanASlotIsAnErrorWithTheNumbers) {
  Use(PlainModel("wide", 1, 64, 256, DType::kF32));
  const auto saved = on_device_->Save("s", ToyTokens(11, 64), {.codec = "raw"},
                                      {.on_device = true});
  ExpectStatus(saved.status(), StatusCode::kResourceExhausted, "bytes");
}

TEST_F(DeviceSaveTest, AddressesThatADeviceCannotLoadFromAreRefused) {
  Use(GqaModel());
  const std::vector<TokenId> tokens = ToyTokens(12, 64);
  KvCache cache(on_device_->spec,
                {.token_count = tokens.size(), .on_device = true});
  SaveRequest request{.model = on_device_->model, .tokens = tokens};
  request.kv = cache.view();
  request.kv.planes[1].base =
      static_cast<const uint8_t*>(request.kv.planes[1].base) + 1;
  const auto saved = on_device_->client->Save("s", request);
  ExpectStatus(saved.status(), StatusCode::kInvalidArgument, "base");
}

TEST_F(DeviceSaveTest, WithoutADeviceTheCpuServes) {
  if (DeviceCount() > 0) GTEST_SKIP() << "this machine has a device";
  TestWorker worker(daemon_.Connect(), TinyModel());
  const std::vector<TokenId> tokens = ToyTokens(13, 64);
  const auto refused = worker.Save("s", tokens, {}, {.on_device = true});
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.status().Is(StatusCode::kUnimplemented) ||
              refused.status().Is(StatusCode::kUnavailable))
      << refused.status().ToString();
  ASSERT_OK(worker.Save("s", tokens));
}

TEST_F(DeviceSaveTest, CancelledNothingTouchesTheView) {
  Use(SmolModel());
  const std::vector<TokenId> tokens = ToyTokens(14, 64 * 12);
  for (int round = 0; round < 8; ++round) {
    auto cache = std::make_unique<KvCache>(
        on_device_->spec,
        CacheOptions{.token_count = tokens.size(), .on_device = true});
    cache->FillAll();
    SaveRequest request{.model = on_device_->model, .tokens = tokens};
    request.codec = round % 2 == 0 ? "raw" : "tsc:bits=8";
    request.kv = cache->view();
    auto ticket =
        on_device_->client->SaveAsync("s" + std::to_string(round), request);
    ASSERT_OK(ticket);
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * round));
    (*ticket)->Cancel();
    cache.reset();  // ASan sees who comes later
  }
}

}  // namespace
}  // namespace reprise
