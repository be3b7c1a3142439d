#include "codec/vector_kernel.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace reprise {
namespace {

template <uint32_t kBytes>
void CopyEntries(const VectorTable& table, const uint8_t* codes, uint8_t* out) {
  const uint8_t* entries = table.entries;
  for (uint32_t b = 0; b < table.full_blocks; ++b) {
    std::memcpy(out, entries + codes[b] * kBytes, kBytes);
    entries += table.block_stride;
    out += kBytes;
  }
}

void CopyAnyEntries(const VectorTable& table, const uint8_t* codes,
                    uint8_t* out) {
  const uint8_t* entries = table.entries;
  for (uint32_t b = 0; b < table.full_blocks; ++b) {
    std::memcpy(out, entries + codes[b] * table.entry_bytes, table.entry_bytes);
    entries += table.block_stride;
    out += table.entry_bytes;
  }
}

}  // namespace

void VectorHalfNorms(const float* centroids, uint32_t count, uint32_t width,
                     float* half_norms) {
  for (uint32_t c = 0; c < count; ++c) {
    const float* centroid = centroids + uint64_t{c} * width;
    float sum = 0;
    for (uint32_t j = 0; j < width; ++j) sum += centroid[j] * centroid[j];
    half_norms[c] = 0.5f * sum;
  }
}

void VectorNearestScalar(const VectorSearch& search, uint8_t* codes) {
  for (uint32_t i = 0; i < RoundUpToLanes(search.count); ++i) {
    float best = std::numeric_limits<float>::infinity();
    uint32_t code = 0;
    for (uint32_t c = 0; c < search.centroid_count; ++c) {
      const float* centroid = search.centroids + uint64_t{c} * search.width;
      float score = search.half_norms[c];
      for (uint32_t j = 0; j < search.width; ++j) {
        score -= search.values[j * search.value_stride + i] * centroid[j];
      }
      if (score < best) {
        best = score;
        code = c;
      }
    }
    codes[i] = static_cast<uint8_t>(code);
  }
}

void VectorNearerScalar(const VectorSearch& search, float* distances) {
  for (uint32_t i = 0; i < RoundUpToLanes(search.count); ++i) {
    float sum = 0;
    for (uint32_t j = 0; j < search.width; ++j) {
      const float d =
          search.values[j * search.value_stride + i] - search.centroids[j];
      sum += d * d;
    }
    if (sum < distances[i]) distances[i] = sum;
  }
}

void VectorDecodeRow(const VectorTable& table, const uint8_t* codes,
                     uint8_t* out) {
  switch (table.entry_bytes) {
    case 4:
      CopyEntries<4>(table, codes, out);
      break;
    case 8:
      CopyEntries<8>(table, codes, out);
      break;
    case 16:
      CopyEntries<16>(table, codes, out);
      break;
    case 32:
      CopyEntries<32>(table, codes, out);
      break;
    default:
      CopyAnyEntries(table, codes, out);
  }
  if (table.tail_bytes == 0) return;
  const uint32_t b = table.full_blocks;
  std::memcpy(out + uint64_t{b} * table.entry_bytes,
              table.entries + b * table.block_stride +
                  uint64_t{codes[b]} * table.tail_stride,
              table.tail_bytes);
}

void PackCodes(const uint8_t* codes, uint32_t count, uint32_t bits,
               uint8_t* out) {
  if (bits == 8) {
    std::memcpy(out, codes, count);
    return;
  }
  uint32_t held = 0;
  uint32_t held_bits = 0;
  for (uint32_t i = 0; i < count; ++i) {
    held |= uint32_t{codes[i]} << held_bits;
    held_bits += bits;
    for (; held_bits >= 8; held_bits -= 8) {
      *out++ = static_cast<uint8_t>(held);
      held >>= 8;
    }
  }
  if (held_bits > 0) *out = static_cast<uint8_t>(held);
}

void UnpackCodes(const uint8_t* packed, uint32_t count, uint32_t bits,
                 uint8_t* codes) {
  uint32_t held = 0;
  uint32_t held_bits = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (held_bits < bits) {
      held |= uint32_t{*packed++} << held_bits;
      held_bits += 8;
    }
    codes[i] = static_cast<uint8_t>(held & ((1u << bits) - 1));
    held >>= bits;
    held_bits -= bits;
  }
}

double VectorError::relative() const {
  if (error == 0) return 0;
  if (energy == 0) return std::numeric_limits<double>::infinity();
  return error / energy;
}

VectorError VectorRowError(const float* exact, const float* decoded,
                           uint32_t count) {
  double error[4] = {};
  double energy[4] = {};
  for (uint32_t i = 0; i < count; ++i) {
    const double x = exact[i];
    const double d = x - static_cast<double>(decoded[i]);
    error[i % 4] += d * d;
    energy[i % 4] += x * x;
  }
  return {(error[0] + error[1]) + (error[2] + error[3]),
          (energy[0] + energy[1]) + (energy[2] + energy[3])};
}

}  // namespace reprise
