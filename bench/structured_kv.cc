#include "bench/structured_kv.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "base/limits.h"
#include "bench/synthetic_kv.h"
#include "codec/codec.h"
#include "codec/klt_profile_format.h"
#include "codec/profile_trainer.h"

namespace reprise::bench {
namespace {

// Of one block, drawn once: more than a profile is trained on.
constexpr uint64_t kRows = 1 << 13;
constexpr uint32_t kBlockHeads = 2;
constexpr double kTheta = 500'000;
constexpr uint32_t kContext = 8192;
// The i-th direction of a block has (1 + i)^-kDecay of the first one's spread:
// `klt` then takes about as many bits a value as of the real model of
// docs/quality.md.
constexpr double kDecay = 0.85;

ModelSpec SpecOf(uint32_t layers, uint32_t heads, uint32_t dim) {
  ModelSpec spec = SyntheticSpec(layers, heads, dim, 9);
  spec.rope.pairing = RopePairing::kHalves;
  spec.rope.rotary_dims = dim;
  spec.rope.theta = kTheta;
  spec.rope.original_context = kContext;
  return spec;
}

void StoreBf16(float value, uint8_t* out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value) + 0x8000;
  StoreLe<uint16_t>(out, static_cast<uint16_t>(bits >> 16));
}

// Walsh-Hadamard, orthonormal: mixes every direction into every channel.
void Mix(float* x, uint32_t n) {
  for (uint32_t half = 1; half < n; half *= 2) {
    for (uint32_t i = 0; i < n; i += 2 * half) {
      for (uint32_t k = i; k < i + half; ++k) {
        const float a = x[k];
        const float b = x[k + half];
        x[k] = a + b;
        x[k + half] = a - b;
      }
    }
  }
  const float scale = 1 / std::sqrt(static_cast<float>(n));
  for (uint32_t i = 0; i < n; ++i) x[i] *= scale;
}

// Which of the drawn rows a block has at a token: neighbours have nothing to
// do with each other.
uint64_t RowOf(uint64_t layer, uint64_t block, uint64_t token) {
  return (token + 2'741 * layer + 653 * block) % kRows;
}

// One direction of `n` channels beside those of other blocks: `from` is
// [n, n] of K and V of one block, `to` the same of all blocks.
void Spread(const std::vector<int8_t>& from, uint32_t n, uint32_t blocks,
            std::vector<int8_t>* to) {
  const uint64_t wide = uint64_t{n} * blocks;
  const uint64_t directions = from.size() / n;
  to->assign(directions * blocks * wide, 0);
  for (uint64_t j = 0; j < directions; ++j) {
    for (uint64_t b = 0; b < blocks; ++b) {
      int8_t* const row = to->data() + (j * blocks + b) * wide;
      const int8_t* const of = from.data() + j * n;
      std::copy(of, of + n / 2, row + b * (n / 2));
      std::copy(of + n / 2, of + n, row + wide / 2 + b * (n / 2));
    }
  }
}

// Of the channels of one block, for all blocks.
std::vector<float> Repeat(const std::vector<float>& from, uint32_t blocks) {
  std::vector<float> to;
  const auto middle = from.begin() + static_cast<int64_t>(from.size() / 2);
  for (uint32_t b = 0; b < blocks; ++b) {
    to.insert(to.end(), from.begin(), middle);
  }
  for (uint32_t b = 0; b < blocks; ++b) to.insert(to.end(), middle, from.end());
  return to;
}

// A group of one block to a group of `blocks` of them that have nothing to do
// with each other, as PutBlock draws them.
KltGroupParts Widen(const KltGroupParts& narrow, uint32_t blocks) {
  KltGroupParts wide;
  wide.layer_count = 1;
  wide.n = narrow.n * blocks;
  wide.lead = narrow.lead * blocks;
  wide.mu = Repeat(narrow.mu, blocks);
  wide.dec = Repeat(narrow.dec, blocks);
  wide.enc = Repeat(narrow.enc, blocks);
  wide.regressor = narrow.regressor;
  wide.regressor.by_channel = Repeat(narrow.regressor.by_channel, blocks);
  for (uint32_t r = 0; r < wide.rows(); ++r) {
    wide.levels.push_back(narrow.levels[r / blocks]);
  }
  Spread(narrow.hi, narrow.n, blocks, &wide.hi);
  Spread(narrow.lo, narrow.n, blocks, &wide.lo);
  return wide;
}

}  // namespace

PagedCache::PagedCache(const ModelSpec& spec, uint64_t token_count)
    : token_count_(token_count), table_(token_count / kPageTokens) {
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const uint64_t element = DTypeBytes(plane.dtype);
      planes_.push_back({.offset = bytes_,
                         .row_bytes = plane.token_bytes(),
                         .head_bytes = element * plane.dim,
                         .element_bytes = element});
      bytes_ += plane.token_bytes() * token_count;
    }
  }
  std::iota(table_.begin(), table_.end(), 0);
  std::shuffle(table_.begin(), table_.end(), std::mt19937_64(3));
}

uint64_t PagedCache::RowOffset(size_t plane, uint64_t token) const {
  const auto block = static_cast<uint64_t>(table_[token / kPageTokens]);
  return planes_[plane].offset +
         (block * kPageTokens + token % kPageTokens) * planes_[plane].row_bytes;
}

StructuredKv::StructuredKv(uint32_t layers, uint32_t heads, uint32_t dim)
    : layers_(layers),
      heads_(heads),
      dim_(dim),
      spec_(SpecOf(layers, heads, dim)) {
  DrawRows();
}

void StructuredKv::DrawRows() {
  const uint32_t n = block_channels();
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> octave(-2, 2);
  std::vector<float> means(n), spreads(n), directions(n);
  for (uint32_t c = 0; c < n; ++c) {
    spreads[c] = std::exp2(octave(random));
    means[c] = spreads[c] * normal(random);
    directions[c] = std::pow(1 + static_cast<float>(c), float{-kDecay});
  }
  rows_.resize(kRows * n);
  for (uint64_t r = 0; r < kRows; ++r) {
    float* const row = rows_.data() + r * n;
    for (uint32_t c = 0; c < n; ++c) row[c] = directions[c] * normal(random);
    Mix(row, n);
    for (uint32_t c = 0; c < n; ++c) {
      // A typical channel's own spread is 1 before it is scaled.
      row[c] = means[c] + 4 * spreads[c] * row[c];
    }
  }
}

void StructuredKv::TurnTo(uint64_t token, std::vector<float>* turns) const {
  const uint32_t pairs = dim_ / 2;
  turns->resize(dim_);
  for (uint32_t j = 0; j < pairs; ++j) {
    const double angle =
        static_cast<double>(token) * std::pow(kTheta, -double(j) / pairs);
    (*turns)[j] = static_cast<float>(std::cos(angle));
    (*turns)[pairs + j] = static_cast<float>(std::sin(angle));
  }
}

void StructuredKv::PutBlock(uint64_t row, const std::vector<float>& turns,
                            uint8_t* keys, uint8_t* values) const {
  const uint32_t pairs = dim_ / 2;
  const float* from = rows_.data() + row * block_channels();
  for (uint32_t head = 0; head < kBlockHeads; ++head) {
    for (uint32_t j = 0; j < pairs; ++j) {
      const float a = from[j];
      const float b = from[pairs + j];
      StoreBf16(a * turns[j] - b * turns[pairs + j], keys + 2 * j);
      StoreBf16(a * turns[pairs + j] + b * turns[j], keys + 2 * (pairs + j));
    }
    from += dim_;
    keys += 2 * dim_;
  }
  for (uint32_t c = 0; c < kBlockHeads * dim_; ++c) {
    StoreBf16(from[c], values + 2 * c);
  }
}

void StructuredKv::Fill(const PagedCache& cache, uint8_t* base) const {
  const uint32_t blocks = heads_ / kBlockHeads;
  const uint64_t block_bytes = uint64_t{2} * kBlockHeads * dim_;
  std::vector<float> turns;
  for (uint64_t token = 0; token < cache.token_count(); ++token) {
    TurnTo(token, &turns);
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      uint8_t* const keys = base + cache.RowOffset(size_t{2} * layer, token);
      uint8_t* const values =
          base + cache.RowOffset(size_t{2} * layer + 1, token);
      for (uint32_t block = 0; block < blocks; ++block) {
        PutBlock(RowOf(layer, block, token), turns, keys + block * block_bytes,
                 values + block * block_bytes);
      }
    }
  }
}

Result<Bytes> StructuredKv::Train(CodecId codec) const {
  if (codec == CodecId::kKlt && heads_ > kBlockHeads) return TrainKlt();
  REPRISE_ASSIGN_OR_RETURN(const auto trainer,
                           MakeProfileTrainer(codec, spec_, {}));
  // The first tokens of a session do not count.
  const PagedCache cache(spec_, trainer->min_tokens() + kSegmentTokens);
  Bytes memory(cache.bytes());
  Fill(cache, memory.data());
  for (uint64_t t = 0; t < cache.token_count(); t += PagedCache::kPageTokens) {
    for (const LayerGroup& group : LayerGroupsOf(spec_)) {
      REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                               SlicePlanes(spec_, group, HeadRange::All()));
      std::vector<ConstPlaneRows> rows;
      for (const PlaneSlice& slice : slices) {
        const size_t plane = size_t{2} * slice.layer + slice.plane;
        rows.push_back(
            {memory.data() + cache.RowOffset(plane, t), slice.token_bytes()});
      }
      REPRISE_RETURN_IF_ERROR(trainer->Add(
          static_cast<uint32_t>(t), PagedCache::kPageTokens, slices, rows));
    }
  }
  return trainer->Fit(nullptr);
}

// Eigenvectors of so wide a group take minutes. Blocks have nothing to do with
// each other, so those of one block are those of all.
Result<Bytes> StructuredKv::TrainKlt() const {
  const StructuredKv narrow(1, kBlockHeads, dim_);
  REPRISE_ASSIGN_OR_RETURN(const Bytes trained, narrow.Train(CodecId::kKlt));
  REPRISE_ASSIGN_OR_RETURN(KltProfileParts parts, DecodeKltProfile(trained));
  const KltGroupParts group = Widen(parts.groups[0], heads_ / kBlockHeads);
  const std::vector<KltPlane> planes = std::exchange(parts.planes, {});
  parts.groups.assign(layers_, group);
  for (uint32_t layer = 0; layer < layers_; ++layer) {
    parts.groups[layer].first_layer = static_cast<uint16_t>(layer);
    for (KltPlane plane : planes) {
      plane.layer = static_cast<uint16_t>(layer);
      plane.heads = heads_;
      parts.planes.push_back(plane);
    }
  }
  REPRISE_RETURN_IF_ERROR(CheckKltProfile(parts));
  return EncodeKltProfile(parts);
}

}  // namespace reprise::bench
