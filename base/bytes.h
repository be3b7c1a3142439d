// Byte views, and bounds-checked little-endian reading and writing.
//
// A ByteReader never reads outside its view and never throws: a read past the
// end answers zero, or an empty view, and leaves the reader failed for good.
// A parser reads all its fields and asks once:
//
//   ByteReader reader(bytes);
//   uint32_t magic = reader.U32();
//   ByteView body = reader.View(reader.U16());
//   REPRISE_RETURN_IF_ERROR(reader.Finish("tail record"));
#ifndef REPRISE_BASE_BYTES_H_
#define REPRISE_BASE_BYTES_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace reprise {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;
using MutableByteView = std::span<uint8_t>;

static_assert(std::endian::native == std::endian::little,
              "stored integers are little endian and are copied as they are");

// Unaligned little-endian access. REQUIRES: sizeof(T) bytes at `p`.
template <typename T>
T LoadLe(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
template <typename T>
void StoreLe(uint8_t* p, T value) {
  std::memcpy(p, &value, sizeof(T));
}

// Views share the string's or the vector's memory and lifetime.
inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline bool BytesEqual(ByteView a, ByteView b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Lower-case hexadecimal, two characters a byte.
std::string ToHex(ByteView bytes);
// kInvalidArgument unless `hex` is an even number of hexadecimal digits.
Result<Bytes> FromHex(std::string_view hex);

class ByteReader {
 public:
  // The view must outlive the reader and what View() returned.
  explicit ByteReader(ByteView bytes) : bytes_(bytes) {}

  uint8_t U8() { return Int<uint8_t>(); }
  uint16_t U16() { return Int<uint16_t>(); }
  uint32_t U32() { return Int<uint32_t>(); }
  uint64_t U64() { return Int<uint64_t>(); }
  float F32() { return Int<float>(); }
  double F64() { return Int<double>(); }

  // The next `count` bytes, without a copy.
  ByteView View(uint64_t count);
  // The next out.size() bytes, copied; zeros after a failure.
  void Copy(MutableByteView out);
  // A u16 length and that many bytes.
  std::string_view Text16() { return AsText(View(U16())); }

  bool failed() const { return failed_; }
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  // kDataLoss when a read failed ("NAME: ends at byte 12, 4 more wanted") or
  // when bytes are left over.
  Status Finish(std::string_view name) const;
  // The same, but bytes may be left over.
  Status Check(std::string_view name) const;

 private:
  template <typename T>
  T Int() {
    if (sizeof(T) > left() || failed_) {
      Fail(sizeof(T));
      return T{};
    }
    T value = LoadLe<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return value;
  }
  void Fail(uint64_t wanted);

  ByteView bytes_;
  uint64_t position_ = 0;
  uint64_t wanted_ = 0;
  bool failed_ = false;
};

// Appends to a vector that it owns.
class ByteWriter {
 public:
  void U8(uint8_t v) { Int(v); }
  void U16(uint16_t v) { Int(v); }
  void U32(uint32_t v) { Int(v); }
  void U64(uint64_t v) { Int(v); }
  void F32(float v) { Int(v); }
  void F64(double v) { Int(v); }
  void Raw(ByteView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  // A u16 length and the bytes. REQUIRES: text.size() < 65,536.
  void Text16(std::string_view text);
  // Zero bytes up to a multiple of `alignment`.
  void Align(uint64_t alignment);

  uint64_t size() const { return bytes_.size(); }
  // For fields that are known only later. REQUIRES: inside what was written.
  uint8_t* At(uint64_t position) { return bytes_.data() + position; }
  const Bytes& bytes() const { return bytes_; }
  Bytes Take() { return std::move(bytes_); }
  void Reserve(uint64_t count) { bytes_.reserve(count); }

 private:
  template <typename T>
  void Int(T v) {
    const auto* p = reinterpret_cast<const uint8_t*>(&v);
    bytes_.insert(bytes_.end(), p, p + sizeof(T));
  }
  Bytes bytes_;
};

// a * b and a + b, or false when the result does not fit 64 bits.
[[nodiscard]] inline bool CheckedMul(uint64_t a, uint64_t b, uint64_t* out) {
  return !__builtin_mul_overflow(a, b, out);
}
[[nodiscard]] inline bool CheckedAdd(uint64_t a, uint64_t b, uint64_t* out) {
  return !__builtin_add_overflow(a, b, out);
}

}  // namespace reprise

#endif  // REPRISE_BASE_BYTES_H_
