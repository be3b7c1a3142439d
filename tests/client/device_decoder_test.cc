// What a DeviceDecoder does with rows that an engine reads already, on the host
// executor, whose streams run in any order that they may.
#include "client/device_decoder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "client/kv_gather.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/klt_layout.h"
#include "gpu/gpu_codec.h"
#include "gpu/host_device.h"
#include "tests/client/kv_cache.h"
#include "tests/client/test_worker.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/trained_profile.h"

namespace reprise {
namespace {

constexpr uint32_t kStages = 3;

// One segment of one layer group in the three stages of `klt`, and a cache.
class DeviceDecoderTest : public testing::Test {
 protected:
  void SetUp() override {
    DeviceDecoder::Options options;
    options.device = device_;
    options.ring_bytes = 4 << 20;
    auto decoder = DeviceDecoder::Make(options);
    ASSERT_OK(decoder);
    decoder_ = *std::move(decoder);
    MakeFrames();
    cache_ = std::make_unique<KvCache>(
        spec_, CacheOptions{.layout = CacheLayout::kVllmNhd,
                            .token_count = kSegmentTokens,
                            .on_device = true});
    auto target = KvTarget::MakeOfDevice(spec_, cache_->sink());
    ASSERT_OK(target);
    target_.emplace(*std::move(target));
  }

  void MakeFrames() {
    const Codec& codec = *FindCodec(CodecId::kKlt);
    const auto bytes = TrainProfile(CodecId::kKlt, spec_);
    ASSERT_OK(bytes);
    auto profile = codec.ParseProfile(*bytes);
    ASSERT_OK(profile);
    auto uploaded =
        FindGpuCodec(CodecId::kKlt)->Upload(*profile, kSegmentTokens, device_);
    ASSERT_OK(uploaded);
    profile_ = *uploaded;
    auto options = ParseCodecChoice("near");
    ASSERT_OK(options);
    const FramePlace place{.layers = LayerGroupsOf(spec_)[0]};
    auto slices = SlicePlanes(spec_, place.layers, place.heads);
    ASSERT_OK(slices);
    slices_ = *std::move(slices);
    KvRows rows(slices_, kSegmentTokens);
    rows.Fill(KvKind::kTypical, 7, 0);
    auto frames = EncodeFrames(codec, profile->get(), InfoOf(spec_, place),
                               slices_, rows, options->options.get());
    ASSERT_OK(frames);
    frames_ = *std::move(frames);
    ASSERT_EQ(frames_.size(), kStages);
    views_.resize(kStages);
    for (uint32_t k = 0; k < kStages; ++k) {
      ASSERT_TRUE(ParseFrame(frames_[k], &views_[k]).ok());
    }
  }

  DeviceUnit UnitOf(uint32_t stages) {
    pointers_.clear();
    for (uint32_t k = 0; k < stages; ++k) pointers_.push_back(&views_[k]);
    return {.frames = pointers_,
            .slices = slices_,
            .profile = profile_.get(),
            .target = &*target_,
            .token_count = kSegmentTokens};
  }

  // Adds it so often, waits, and says whether all of it is whole.
  bool Decode(const DeviceUnit& unit, uint32_t times = 1) {
    std::mutex mutex;
    std::condition_variable changed;
    uint32_t left = times;
    bool all_whole = true;
    for (uint32_t i = 0; i < times; ++i) {
      const Status added = decoder_->Add(unit, [&](bool whole) {
        const std::lock_guard lock(mutex);
        all_whole = all_whole && whole;
        if (--left == 0) changed.notify_all();
      });
      EXPECT_TRUE(added.ok()) << added.ToString();
      if (!added.ok()) std::abort();
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return left == 0; });
    return all_whole;
  }

  // Every byte of the rows, in order.
  Bytes Rows() const {
    Bytes rows;
    for (const PlaneSlice& slice : slices_) {
      for (uint32_t t = 0; t < kSegmentTokens; ++t) {
        const uint8_t* row = cache_->At(slice.layer, slice.plane, t, 0, 0);
        rows.insert(rows.end(), row, row + slice.token_bytes());
      }
    }
    return rows;
  }

  const ModelSpec spec_ = TinyModel();
  const std::shared_ptr<Device> device_ = MakeHostDevice();
  std::shared_ptr<const GpuProfile> profile_;
  std::vector<PlaneSlice> slices_;
  std::vector<Bytes> frames_;
  std::vector<FrameView> views_;
  std::vector<const FrameView*> pointers_;
  std::unique_ptr<KvCache> cache_;
  std::optional<KvTarget> target_;
  std::unique_ptr<DeviceDecoder> decoder_;
};

TEST_F(DeviceDecoderTest, ARefinementTakesThePlaceOfValidRows) {
  ASSERT_TRUE(Decode(UnitOf(kStages)));
  const Bytes best = Rows();
  ASSERT_TRUE(Decode(UnitOf(1)));
  const Bytes base = Rows();
  ASSERT_NE(base, best);
  DeviceUnit refinement = UnitOf(kStages);
  refinement.is_refinement = true;
  ASSERT_TRUE(Decode(refinement));
  EXPECT_EQ(Rows(), best);
}

// No checksum shows it: the bytes change after they were verified.
TEST_F(DeviceDecoderTest, ADamagedRefinementLeavesTheRowsAsTheyWere) {
  ASSERT_TRUE(Decode(UnitOf(1)));
  const Bytes base = Rows();
  const FrameSection& section = views_[kStages - 1].sections[0];
  ASSERT_GT(section.words, 4u);
  uint8_t* const words = frames_[kStages - 1].data() + section.offset +
                         KltSignsOffset(section.words) - 8;
  for (int i = 0; i < 4; ++i) words[i] ^= 0xff;
  DeviceUnit refinement = UnitOf(kStages);
  refinement.is_refinement = true;
  EXPECT_FALSE(Decode(refinement));
  EXPECT_EQ(Rows(), base);
  refinement = UnitOf(kStages - 1);
  refinement.is_refinement = true;
  EXPECT_TRUE(Decode(refinement));
  EXPECT_NE(Rows(), base);
}

// One batch costs as much as many frames.
TEST_F(DeviceDecoderTest, WhatComesTogetherIsOneBatch) {
  ASSERT_TRUE(Decode(UnitOf(kStages)));
  EXPECT_EQ(decoder_->launches(), 1u);
  constexpr uint32_t kUnits = 64;
  ASSERT_TRUE(Decode(UnitOf(kStages), kUnits));
  EXPECT_LE(decoder_->launches(), 1u + kUnits / 4);
}

// In the ring, at the least alignment that a frame has, and partly elsewhere.
TEST_F(DeviceDecoderTest, FramesInTheRingAreTakenFromThere) {
  ASSERT_TRUE(Decode(UnitOf(kStages)));
  const Bytes wanted = Rows();
  for (const uint64_t shift : {uint64_t{0}, kFrameAlignment, uint64_t{1}}) {
    SCOPED_TRACE(shift);
    ASSERT_TRUE(Decode(UnitOf(1)));
    PooledBytes body = decoder_->bodies()->TryTake(shift + frames_[0].size() +
                                                   frames_[2].size());
    ASSERT_GT(body.size(), 0u);
    uint8_t* at = body.data() + shift;
    for (const uint32_t k : {0u, 2u}) {
      const ByteView moved(at, frames_[k].size());
      std::copy(frames_[k].begin(), frames_[k].end(), at);
      ASSERT_TRUE(ParseFrame(moved, &views_[k]).ok());
      EXPECT_EQ(decoder_->IsInRing(moved), shift != 1);
      at += moved.size();
    }
    EXPECT_FALSE(decoder_->IsInRing(frames_[1]));
    ASSERT_TRUE(Decode(UnitOf(kStages)));
    EXPECT_EQ(Rows(), wanted);
  }
}

// What the engine queued before sees the old rows, what it queues later the new
// ones.
TEST_F(DeviceDecoderTest, ARefinementIsInTheOrderOfTheEnginesStream) {
  ASSERT_TRUE(Decode(UnitOf(kStages)));
  const Bytes best = Rows();
  const PlaneSlice& last = slices_.back();
  const uint32_t token = kSegmentTokens - 1;
  uint8_t* const row = cache_->At(last.layer, last.plane, token, 0, 0);
  const auto bytes = last.token_bytes();
  const auto stream = device_->MakeStream();
  ASSERT_OK(stream);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(Decode(UnitOf(1)));
    const Bytes base(row, row + bytes);
    Bytes before(bytes), after(bytes);
    ASSERT_TRUE(device_->CopyToHost(before.data(), row, bytes, *stream).ok());
    DeviceUnit refinement = UnitOf(kStages);
    refinement.is_refinement = true;
    refinement.stream = *stream;
    ASSERT_TRUE(Decode(refinement));
    ASSERT_TRUE(device_->CopyToHost(after.data(), row, bytes, *stream).ok());
    ASSERT_TRUE(device_->Drain(*stream).ok());
    EXPECT_EQ(before, base);
    EXPECT_EQ(after,
              Bytes(best.end() - static_cast<ptrdiff_t>(bytes), best.end()));
  }
  device_->FreeStream(*stream);
}

TEST_F(DeviceDecoderTest, ARefinementWaitsForTheLock) {
  ASSERT_TRUE(Decode(UnitOf(1)));
  const Bytes base = Rows();
  std::shared_mutex rows_lock;
  DeviceUnit refinement = UnitOf(kStages);
  refinement.is_refinement = true;
  refinement.rows_lock = &rows_lock;
  std::atomic<bool> is_done = false;
  std::thread thread;
  {
    const std::shared_lock lock(rows_lock);
    thread = std::thread([&] {
      EXPECT_TRUE(Decode(refinement));
      is_done = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(is_done);
    EXPECT_EQ(Rows(), base);
  }
  thread.join();
  EXPECT_NE(Rows(), base);
}

}  // namespace
}  // namespace reprise
