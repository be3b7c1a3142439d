// Restores into the memory of a device, which here is the host executor: what
// comes is what the CPU path brings, in every layout, and whatever fails says
// so and leaves the CPU path as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/limits.h"
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

// Every byte of two caches of one layout.
void ExpectSameRows(const TestWorker& worker, const KvCache& a,
                    const KvCache& b, uint64_t tokens) {
  for (uint32_t layer = 0; layer < worker.spec.layers.size(); ++layer) {
    const auto& planes = worker.spec.layers[layer].planes;
    for (uint32_t plane = 0; plane < planes.size(); ++plane) {
      const uint64_t bytes = uint64_t{planes[plane].heads} * planes[plane].dim *
                             DTypeBytes(planes[plane].dtype);
      for (uint64_t t = 0; t < tokens; ++t) {
        ASSERT_EQ(std::memcmp(a.At(layer, plane, t, 0, 0),
                              b.At(layer, plane, t, 0, 0), bytes),
                  0)
            << "layer " << layer << " plane " << plane << " token " << t;
      }
    }
  }
}

class DeviceRestoreTest : public testing::Test {
 protected:
  TestWorker NewWorker(const ModelSpec& spec = TinyModel(),
                       const HostDeviceOptions& device = {}) {
    ClientOptions options;
    options.device = MakeHostDevice(device);
    options.codec_threads = 2;
    options.device_ring_bytes = 4 << 20;
    return TestWorker(daemon_.Connect(options), spec);
  }

  TestDaemon daemon_;
};

TEST_F(DeviceRestoreTest, BringsExactStateInEveryLayout) {
  const std::vector<TokenId> tokens = ToyTokens(1, 150);
  TestWorker worker = NewWorker(GqaModel());
  for (const char* codec : {"raw", "exact"}) {
    if (FindGpuCodec(FindCodec(codec)->id()) == nullptr) continue;
    ASSERT_OK(worker.Save(codec, tokens, {.codec = codec}));
    for (const CacheLayout layout : kAllCacheLayouts) {
      for (const uint32_t first_slot : {0u, 5u}) {
        const bool is_paged = layout == CacheLayout::kVllmNhd ||
                              layout == CacheLayout::kVllmHnd ||
                              layout == CacheLayout::kVllmKvPacked;
        if (first_slot != 0 && !is_paged) continue;
        SCOPED_TRACE(std::string(CacheLayoutName(layout)) + codec);
        const auto restored = worker.Restore(codec, {},
                                             {.layout = layout,
                                              .first_slot = first_slot,
                                              .table64 = first_slot != 0,
                                              .on_device = true});
        ASSERT_OK(restored);
        EXPECT_EQ(restored->valid_end, 150u);
        EXPECT_FALSE(restored->recompute_from.has_value());
      }
    }
  }
}

TEST_F(DeviceRestoreTest, BringsAShareOfTheHeads) {
  const std::vector<TokenId> tokens = ToyTokens(1, 100);
  TestWorker worker = NewWorker(GqaModel());
  ASSERT_OK(worker.Save("s", tokens, {.codec = "raw"}));
  const auto restored = worker.Restore(
      "s", {},
      {.heads = {.first = 1, .count = 1, .total = 4}, .on_device = true});
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 100u);
}

TEST_F(DeviceRestoreTest, SaysWhatTokensAreNotThere) {
  TestWorker worker = NewWorker();
  const std::vector<TokenId> tokens = ToyTokens(3, 128);
  std::vector<uint8_t> keep(tokens.size(), 1);
  keep[5] = keep[70] = keep[127] = 0;
  ASSERT_OK(worker.Save("s", tokens, {.codec = "tsc:bits=8", .keep = keep}));
  KvCache on_host(worker.spec, {.token_count = tokens.size()});
  KvCache on_device(worker.spec,
                    {.token_count = tokens.size(), .on_device = true});
  for (KvCache* cache : {&on_host, &on_device}) {
    RestoreRequest request;
    request.model = worker.model;
    request.lowest = Tier::kArchive;
    request.accept_dropped = true;
    request.make_sink = [&](const RestoreInfo&) { return cache->sink(); };
    const auto restored = worker.client->Restore("s", request);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, tokens.size());
    EXPECT_EQ(restored->dropped, (std::vector<uint64_t>{5, 70, 127}));
  }
  ExpectSameRows(worker, on_host, on_device, tokens.size());
}

TEST_F(DeviceRestoreTest, BringsEveryTierOfAStagedSession) {
  TestWorker worker = NewWorker();
  const auto profile = TrainProfile(CodecId::kKlt, worker.spec);
  ASSERT_OK(profile);
  ASSERT_OK(worker.client->PutProfile(worker.model, CodecId::kKlt, *profile));
  const std::vector<TokenId> tokens = ToyTokens(2, 150);
  ASSERT_OK(worker.Save("s", tokens, {.codec = "near"}));
  for (const Tier tier : {Tier::kNear, Tier::kCoarse, Tier::kArchive}) {
    SCOPED_TRACE(TierName(tier));
    KvCache on_host(worker.spec, {.token_count = tokens.size()});
    KvCache on_device(worker.spec,
                      {.token_count = tokens.size(), .on_device = true});
    for (KvCache* cache : {&on_host, &on_device}) {
      RestoreRequest request;
      request.model = worker.model;
      request.lowest = request.highest = tier;
      request.make_sink = [&](const RestoreInfo&) { return cache->sink(); };
      const auto restored = worker.client->Restore("s", request);
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, tokens.size());
    }
    ExpectSameRows(worker, on_host, on_device, tokens.size());
  }
}

TEST_F(DeviceRestoreTest, ManyFramesGoThroughASmallRing) {
  const std::vector<TokenId> tokens = ToyTokens(4, 64 * 40);
  TestWorker worker = NewWorker(SmolModel());
  ASSERT_OK(worker.Save("s", tokens, {.codec = "raw"}));
  const auto restored = worker.Restore(
      "s", {}, {.layout = CacheLayout::kVllmNhd, .on_device = true});
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, tokens.size());
}

// What finds no room is copied on the host: here that is some of it, since this
// device is slower than the network.
TEST_F(DeviceRestoreTest, FramesAreReceivedWhereTheDeviceTakesThem) {
  const std::vector<TokenId> tokens = ToyTokens(14, 64 * 24);
  // As large a ring as the client has by itself.
  ClientOptions options;
  options.device = MakeHostDevice();
  options.codec_threads = 2;
  TestWorker worker(daemon_.Connect(options), SmolModel());
  ASSERT_OK(worker.Save("s", tokens, {.codec = "raw"}));
  const CacheOptions on_device{.layout = CacheLayout::kVllmNhd,
                               .on_device = true};
  const auto first = worker.Restore("s", {}, on_device);
  ASSERT_OK(first);
  const auto second = worker.Restore("s", {}, on_device);
  ASSERT_OK(second);
  EXPECT_LT(second->packed_bytes, second->wire_bytes / 2);
  const auto on_host = worker.Restore("s");
  ASSERT_OK(on_host);
  EXPECT_EQ(on_host->packed_bytes, 0u);
}

TEST_F(DeviceRestoreTest, LayersAreToldOnceAndInPlace) {
  const std::vector<TokenId> tokens = ToyTokens(5, 64 * 6);
  TestWorker worker = NewWorker(SmolModel());
  ASSERT_OK(worker.Save("s", tokens, {.codec = "raw"}));
  KvCache cache(worker.spec, {.token_count = tokens.size(), .on_device = true});
  KvCache wanted(worker.spec, {.token_count = tokens.size()});
  wanted.FillAll();
  std::set<uint32_t> layers;
  RestoreRequest request;
  request.model = worker.model;
  request.make_sink = [&](const RestoreInfo&) { return cache.sink(); };
  std::mutex mutex;
  request.on_layer = [&](uint32_t layer) {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(layers.insert(layer).second) << layer;
    const uint64_t last = tokens.size() - 1;
    EXPECT_EQ(std::memcmp(cache.At(layer, 0, last, 1, 3),
                          wanted.At(layer, 0, last, 1, 3), 2),
              0);
  };
  ASSERT_OK(worker.client->Restore("s", request));
  EXPECT_EQ(layers.size(), worker.spec.layers.size());
}

// The cache, with an event for each layer. Both must outlive it.
auto SinkWith(const std::vector<GpuEvent>& events, KvCache* cache) {
  return [&events, cache](const RestoreInfo&) {
    KvSink sink = cache->sink();
    sink.device.layer_events = events;
    return sink;
  };
}

// Kernels that wait for a layer's event see its rows, though nobody waited for
// them on the host.
TEST_F(DeviceRestoreTest, AStreamMayWaitForALayer) {
  const std::vector<TokenId> tokens = ToyTokens(11, 64 * 12);
  const std::shared_ptr<Device> device = MakeHostDevice();
  ClientOptions options;
  options.device = device;
  options.codec_threads = 2;
  options.device_ring_bytes = 4 << 20;
  TestWorker worker(daemon_.Connect(options), SmolModel());
  ASSERT_OK(worker.Save("s", tokens, {.codec = "raw"}));
  const auto stream = device->MakeStream();
  ASSERT_OK(stream);
  std::vector<GpuEvent> events;
  for (size_t l = 0; l < worker.spec.layers.size(); ++l) {
    const auto event = device->MakeEvent();
    ASSERT_OK(event);
    events.push_back(*event);
  }
  KvCache cache(worker.spec, {.token_count = tokens.size(), .on_device = true});
  KvCache wanted(worker.spec, {.token_count = tokens.size()});
  wanted.FillAll();
  RestoreRequest request;
  request.model = worker.model;
  request.make_sink = SinkWith(events, &cache);
  auto ticket = worker.client->RestoreAsync("s", request);
  ASSERT_OK(ticket);
  const uint64_t row_bytes = worker.spec.layers[0].planes[0].channels() * 2;
  std::vector<Bytes> seen(events.size(), Bytes(row_bytes * tokens.size()));
  for (uint32_t layer = 0; layer < events.size(); ++layer) {
    ASSERT_TRUE((*ticket)->WaitLayerQueued(layer).ok());
    ASSERT_TRUE(device->Wait(*stream, events[layer]).ok());
    ASSERT_TRUE(device
                    ->CopyToHost(seen[layer].data(),
                                 cache.At(layer, 0, 0, 0, 0),
                                 seen[layer].size(), *stream)
                    .ok());
  }
  ASSERT_OK((*ticket)->Wait());
  device->FreeStream(*stream);  // waits
  for (uint32_t layer = 0; layer < events.size(); ++layer) {
    EXPECT_EQ(std::memcmp(seen[layer].data(), wanted.At(layer, 0, 0, 0, 0),
                          seen[layer].size()),
              0)
        << layer;
    EXPECT_TRUE((*ticket)->WaitLayer(layer).ok());
    device->FreeEvent(events[layer]);
  }
  ExpectStatus((*ticket)->WaitLayerQueued(uint32_t(events.size())),
               StatusCode::kInvalidArgument, "layer");
}

TEST_F(DeviceRestoreTest, WithoutEventsALayerIsQueuedWhenItIsThere) {
  TestWorker worker = NewWorker();
  const std::vector<TokenId> tokens = ToyTokens(12, 64);
  ASSERT_OK(worker.Save("s", tokens));
  for (const bool on_device : {false, true}) {
    KvCache cache(worker.spec,
                  {.token_count = tokens.size(), .on_device = on_device});
    RestoreRequest request;
    request.model = worker.model;
    request.make_sink = [&](const RestoreInfo&) { return cache.sink(); };
    auto ticket = worker.client->RestoreAsync("s", request);
    ASSERT_OK(ticket);
    EXPECT_TRUE((*ticket)->WaitLayerQueued(0).ok());
    EXPECT_EQ((*ticket)->ValidRanges(0).size(), 1u);
  }
}

TEST_F(DeviceRestoreTest, EventsAreOneALayer) {
  TestWorker worker = NewWorker();
  ASSERT_OK(worker.Save("s", ToyTokens(13, 64)));
  KvCache cache(worker.spec, {.token_count = 64, .on_device = true});
  const std::vector<GpuEvent> events(worker.spec.layers.size() + 1);
  RestoreRequest request;
  request.model = worker.model;
  request.make_sink = SinkWith(events, &cache);
  ExpectStatus(worker.client->Restore("s", request).status(),
               StatusCode::kInvalidArgument,
               std::to_string(events.size()) + " layer events");
}

TEST_F(DeviceRestoreTest, AFailingDeviceSaysSoAndTheCpuServes) {
  const std::vector<TokenId> tokens = ToyTokens(6, 64 * 3);
  TestWorker saver = NewWorker();
  ASSERT_OK(saver.Save("s", tokens, {.codec = "raw"}));
  bool came_through = false;
  for (uint64_t n = 0; n < 200 && !came_through; ++n) {
    SCOPED_TRACE(n);
    TestWorker worker = NewWorker(TinyModel(), {.fails_after = n});
    const auto restored = worker.Restore("s", {}, {.on_device = true});
    came_through = restored.ok();
    if (came_through) {
      EXPECT_EQ(restored->valid_end, tokens.size());
    } else {
      ExpectStatus(restored.status(), StatusCode::kUnavailable, "device");
    }
    const auto on_host = worker.Restore("s");
    ASSERT_OK(on_host);
    EXPECT_EQ(on_host->valid_end, tokens.size());
  }
  EXPECT_TRUE(came_through);
}

TEST_F(DeviceRestoreTest, TooLittleDeviceMemoryIsAnErrorWithTheNumbers) {
  TestWorker worker = NewWorker(TinyModel(), {.memory_bytes = 1 << 20});
  ASSERT_OK(worker.Save("s", ToyTokens(7, 64), {.codec = "raw"}));
  const auto restored = worker.Restore("s", {}, {.on_device = true});
  ExpectStatus(restored.status(), StatusCode::kResourceExhausted, "bytes");
}

TEST_F(DeviceRestoreTest, WithoutADeviceTheCpuServes) {
  if (DeviceCount() > 0) GTEST_SKIP() << "this machine has a device";
  TestWorker worker(daemon_.Connect(), TinyModel());
  ASSERT_OK(worker.Save("s", ToyTokens(8, 64)));
  const auto refused = worker.Restore("s", {}, {.on_device = true});
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.status().Is(StatusCode::kUnimplemented) ||
              refused.status().Is(StatusCode::kUnavailable))
      << refused.status().ToString();
  ASSERT_OK(worker.Restore("s"));
}

// The base of all layers first, then better rows over it, in pages and where a
// rank holds a part of the heads.
TEST_F(DeviceRestoreTest, RefinementsComeOverTheBase) {
  TestWorker worker = NewWorker();
  const auto profile = TrainProfile(CodecId::kKlt, worker.spec);
  ASSERT_OK(profile);
  ASSERT_OK(worker.client->PutProfile(worker.model, CodecId::kKlt, *profile));
  const std::vector<TokenId> tokens = ToyTokens(9, 64 * 8 + 20);
  ASSERT_OK(worker.Save("s", tokens, {.codec = "near"}));
  for (const CacheLayout layout :
       {CacheLayout::kLlama, CacheLayout::kVllmHnd}) {
    CacheOptions options{.layout = layout, .token_count = tokens.size()};
    KvCache on_host(worker.spec, options);
    options.on_device = true;
    KvCache on_device(worker.spec, options);
    for (KvCache* cache : {&on_host, &on_device}) {
      std::mutex mutex;
      std::set<Tier> tiers;
      RestoreRequest request;
      request.model = worker.model;
      request.lowest = Tier::kArchive;
      request.progressive = true;
      request.make_sink = [&](const RestoreInfo&) { return cache->sink(); };
      request.on_tier = [&](const RestoredPart& part) {
        const std::lock_guard lock(mutex);
        tiers.insert(part.range.tier);
      };
      const auto restored = worker.client->Restore("s", request);
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, tokens.size());
      EXPECT_TRUE(tiers.contains(Tier::kNear));
      EXPECT_TRUE(tiers.contains(Tier::kArchive));
    }
    ExpectSameRows(worker, on_host, on_device, tokens.size());
  }
}

TEST_F(DeviceRestoreTest, CancelledNothingTouchesTheSink) {
  const std::vector<TokenId> tokens = ToyTokens(10, 64 * 20);
  TestWorker worker = NewWorker(SmolModel());
  ASSERT_OK(worker.Save("s", tokens, {.codec = "raw"}));
  for (int round = 0; round < 10; ++round) {
    auto cache = std::make_unique<KvCache>(
        worker.spec,
        CacheOptions{.token_count = tokens.size(), .on_device = true});
    RestoreRequest request;
    request.model = worker.model;
    request.make_sink = [&](const RestoreInfo&) { return cache->sink(); };
    auto ticket = worker.client->RestoreAsync("s", request);
    ASSERT_OK(ticket);
    if (round > 0) (void)(*ticket)->WaitLayer(static_cast<uint32_t>(round));
    (*ticket)->Cancel();
    cache.reset();  // ASan sees who comes later
  }
}

}  // namespace
}  // namespace reprise
