#include "tests/support/kv_values.h"

#include <algorithm>
#include <cmath>

namespace reprise {
namespace {

constexpr uint8_t kGuard = 0xa5;
constexpr uint64_t kGuardBytes = 64;

struct FloatShape {
  int exponent_bits;
  int mantissa_bits;
};

FloatShape ShapeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {8, 23};
    case DType::kBf16:
      return {8, 7};
    case DType::kF16:
      return {5, 10};
    case DType::kF8E4M3:
      return {4, 3};
    case DType::kF8E5M2:
      return {5, 2};
    case DType::kOpaque:
      break;
  }
  return {0, 0};
}

// Truncates towards zero; too large a value becomes the largest finite one.
uint32_t FloatBits(FloatShape shape, double value) {
  const uint32_t sign = std::signbit(value) ? 1 : 0;
  const int bias = (1 << (shape.exponent_bits - 1)) - 1;
  const uint32_t max_exponent = (1u << shape.exponent_bits) - 2;
  const double magnitude = std::fabs(value);
  int binary = 0;
  std::frexp(magnitude, &binary);
  // magnitude = 1.m * 2^(binary - 1), or a denormal.
  int exponent = binary - 1 + bias;
  if (magnitude == 0 || exponent < 1) exponent = 0;
  const int step = std::max(exponent, 1) - bias - shape.mantissa_bits;
  uint64_t bits = static_cast<uint64_t>(std::ldexp(magnitude, -step));
  if (exponent > 0) {
    bits += static_cast<uint64_t>(exponent - 1) << shape.mantissa_bits;
  }
  const uint64_t largest =
      ((uint64_t{max_exponent} + 1) << shape.mantissa_bits) - 1;
  const uint64_t kept = std::min(bits, largest);
  return static_cast<uint32_t>(
      kept | uint64_t{sign} << (shape.exponent_bits + shape.mantissa_bits));
}

void StoreBits(DType dtype, uint32_t bits, uint8_t* out) {
  const uint32_t bytes = DTypeBytes(dtype);
  for (uint32_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<uint8_t>(bits >> (8 * i));
  }
}

// One number for each place, whatever order they are asked in.
uint64_t Mix(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) {
  Random random(seed * 0x100000001b3 + a * 0x1000193 + b * 0x3fd + c);
  random.U64();
  return random.U64();
}

}  // namespace

std::string_view KvKindName(KvKind kind) {
  switch (kind) {
    case KvKind::kTypical:
      return "typical";
    case KvKind::kSpecials:
      return "specials";
    case KvKind::kAnyBits:
      return "any bits";
    case KvKind::kConstant:
      return "constant";
    case KvKind::kZero:
      return "zero";
  }
  return "?";
}

void StoreElement(DType dtype, double value, uint8_t* out) {
  if (dtype == DType::kOpaque) {
    *out = static_cast<uint8_t>(static_cast<int64_t>(value * 16));
    return;
  }
  StoreBits(dtype, FloatBits(ShapeOf(dtype), value), out);
}

std::vector<uint32_t> SpecialBits(DType dtype) {
  if (dtype == DType::kOpaque) return {0x00, 0x01, 0x7f, 0x80, 0xff};
  const FloatShape shape = ShapeOf(dtype);
  const uint32_t quiet = 1u << (shape.mantissa_bits - 1);
  const uint32_t infinity = ((1u << shape.exponent_bits) - 1)
                            << shape.mantissa_bits;
  const uint32_t normal = 1u << shape.mantissa_bits;
  std::vector<uint32_t> bits = {
      0,                     // zero
      1,                     // the smallest denormal
      normal - 1,            // the largest denormal
      normal,                // the smallest normal
      infinity - 1,          // the largest finite
      infinity,              //
      infinity | 1,          // a signalling NaN
      infinity | quiet,      // a quiet one
      infinity | quiet | 1,  // with a payload
      infinity | (normal - 1),
  };
  const uint32_t sign = 1u << (shape.exponent_bits + shape.mantissa_bits);
  for (size_t i = 0, count = bits.size(); i < count; ++i) {
    bits.push_back(bits[i] | sign);
  }
  return bits;
}

KvRows::KvRows(std::span<const PlaneSlice> slices, uint32_t token_count,
               uint64_t gap_bytes)
    : token_count_(token_count) {
  for (const PlaneSlice& slice : slices) {
    Plane& plane = planes_.emplace_back();
    plane.slice = slice;
    plane.row_bytes = slice.token_bytes();
    plane.stride_bytes = plane.row_bytes + gap_bytes;
    plane.memory.assign(plane.stride_bytes * token_count + 2 * kGuardBytes,
                        kGuard);
  }
}

void KvRows::Fill(KvKind kind, uint64_t seed, uint32_t first_token) {
  for (size_t i = 0; i < planes_.size(); ++i) {
    for (uint32_t c = 0; c < planes_[i].slice.channels(); ++c) {
      FillChannel(kind, seed, first_token, i, c);
    }
  }
}

// The channel decides where its values lie and how far they spread; the token,
// unless all rows are the same, decides the value.
void KvRows::FillChannel(KvKind kind, uint64_t seed, uint32_t first_token,
                         size_t index, uint32_t channel_in_slice) {
  const PlaneSlice& slice = planes_[index].slice;
  const DType dtype = slice.spec->dtype;
  const std::vector<uint32_t> specials = SpecialBits(dtype);
  const uint64_t place = uint64_t{slice.layer} << 8 | slice.plane;
  const uint64_t channel = slice.channel_first() + channel_in_slice;
  Random of_channel(Mix(seed, place, channel, ~uint64_t{0}));
  const double mean = of_channel.Normal();
  const int octave = static_cast<int>(of_channel.Below(6)) - 4;
  const double spread = std::ldexp(1.0, octave);
  for (uint32_t t = 0; t < token_count_; ++t) {
    uint8_t* const out =
        Row(index, t) + uint64_t{channel_in_slice} * DTypeBytes(dtype);
    const uint64_t time =
        kind == KvKind::kConstant ? 0 : uint64_t{first_token} + t;
    Random of_value(Mix(seed, place, channel, time));
    if (kind == KvKind::kZero) {
      StoreBits(dtype, 0, out);
    } else if (kind == KvKind::kAnyBits) {
      StoreBits(dtype, static_cast<uint32_t>(of_value.U64()), out);
    } else if (kind == KvKind::kSpecials && of_value.OneIn(8)) {
      StoreBits(dtype, specials[of_value.Below(specials.size())], out);
    } else {
      StoreElement(dtype, mean + spread * of_value.Normal(), out);
    }
  }
}

std::vector<ConstPlaneRows> KvRows::Const() const {
  std::vector<ConstPlaneRows> rows;
  for (const Plane& plane : planes_) {
    rows.push_back({plane.memory.data() + kGuardBytes, plane.stride_bytes});
  }
  return rows;
}

std::vector<PlaneRows> KvRows::Mutable() {
  std::vector<PlaneRows> rows;
  for (Plane& plane : planes_) {
    rows.push_back({plane.memory.data() + kGuardBytes, plane.stride_bytes});
  }
  return rows;
}

uint8_t* KvRows::Row(size_t slice, uint32_t token) {
  Plane& plane = planes_[slice];
  return plane.memory.data() + kGuardBytes + token * plane.stride_bytes;
}

ByteView KvRows::RowView(size_t slice, uint32_t token) const {
  const Plane& plane = planes_[slice];
  return ByteView(plane.memory)
      .subspan(kGuardBytes + token * plane.stride_bytes, plane.row_bytes);
}

bool KvRows::GuardsAreWhole(uint32_t token_count) const {
  for (const Plane& plane : planes_) {
    for (size_t i = 0; i < plane.memory.size(); ++i) {
      const bool before = i < kGuardBytes;
      const uint64_t token =
          before ? 0 : (i - kGuardBytes) / plane.stride_bytes;
      const uint64_t in_row =
          before ? 0 : (i - kGuardBytes) % plane.stride_bytes;
      const bool is_value =
          !before && token < token_count && in_row < plane.row_bytes;
      if (!is_value && plane.memory[i] != kGuard) return false;
    }
  }
  return true;
}

Bytes KvRows::Packed() const {
  ByteWriter writer;
  for (size_t i = 0; i < planes_.size(); ++i) {
    for (uint32_t t = 0; t < token_count_; ++t) writer.Raw(RowView(i, t));
  }
  return writer.Take();
}

void KvRows::Unpack(ByteView packed) {
  ByteReader reader(packed);
  for (size_t i = 0; i < planes_.size(); ++i) {
    for (uint32_t t = 0; t < token_count_; ++t) {
      reader.Copy({Row(i, t), planes_[i].row_bytes});
    }
  }
}

}  // namespace reprise
