#include "tests/support/gpu_sink.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "gpu/host_device.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr uint8_t kGuard = 0x5a;
constexpr uint64_t kGuardBytes = 64;
constexpr uint32_t kFirstSlot = 3;  // of paged layouts

uint32_t PageTokens(GpuLayout layout) {
  if (layout == GpuLayout::kPagedNhd) return 16;
  return layout == GpuLayout::kPagedHnd ? 7 : 0;
}

}  // namespace

const std::shared_ptr<Device>& TestDevice() {
  static const std::shared_ptr<Device> device = [] {
    if (DeviceCount() > 0) {
      Result<std::shared_ptr<Device>> real = OpenDevice(0);
      if (real.ok()) return *real;
    }
    return MakeHostDevice();
  }();
  return device;
}

std::string_view GpuLayoutName(GpuLayout layout) {
  switch (layout) {
    case GpuLayout::kTokenMajor:
      return "token major";
    case GpuLayout::kHeadMajor:
      return "head major";
    case GpuLayout::kTransposed:
      return "transposed";
    case GpuLayout::kPagedNhd:
      return "paged NHD";
    case GpuLayout::kPagedHnd:
      return "paged HND";
    case GpuLayout::kShifted:
      return "shifted";
  }
  return "?";
}

GpuSink::GpuSink(std::shared_ptr<Device> device,
                 std::span<const PlaneSlice> slices, const Shape& shape)
    : device_(std::move(device)) {
  const uint32_t page = PageTokens(shape.layout);
  if (page != 0) {
    // In no order, and with blocks that are nobody's.
    table_.resize((kFirstSlot + shape.token_count + page - 1) / page);
    std::iota(table_.begin(), table_.end(), 1);
    Random random(5);
    for (size_t i = table_.size(); i > 1; --i) {
      std::swap(table_[i - 1], table_[random.Below(i)]);
    }
  }
  for (const PlaneSlice& slice : slices) PlacePlane(slice, shape);
  status_ = Upload();
}

void GpuSink::PlacePlane(const PlaneSlice& slice, const Shape& shape) {
  GpuRows rows;
  rows.element_bytes = DTypeBytes(slice.spec->dtype);
  rows.dim = slice.spec->dim;
  rows.head_first = std::min(shape.heads.skip, slice.head_count);
  rows.head_count =
      std::min(shape.heads.count, slice.head_count - rows.head_first);
  rows.token_count = shape.token_count;
  const int64_t element = rows.element_bytes;
  const int64_t head = element * rows.dim;
  const int64_t row = head * rows.head_count;
  const uint32_t page = PageTokens(shape.layout);
  const int64_t tokens = page != 0 ? page : shape.token_count;
  rows.page_tokens = page != 0 ? page : 1;
  rows.first_slot = page != 0 ? kFirstSlot : 0;
  rows.element_stride = element;
  switch (shape.layout) {
    case GpuLayout::kTokenMajor:
    case GpuLayout::kShifted:
      rows.head_stride = head;
      rows.token_stride = row + 8 * element;
      break;
    case GpuLayout::kPagedNhd:
      rows.head_stride = head;
      rows.token_stride = row;
      break;
    case GpuLayout::kHeadMajor:
    case GpuLayout::kPagedHnd:
      rows.head_stride = head * tokens;
      rows.token_stride = head;
      break;
    case GpuLayout::kTransposed:
      rows.element_stride = element * tokens;
      rows.head_stride = head * tokens;
      rows.token_stride = element;
      break;
  }
  rows.block_stride = row * tokens + 16 * element;
  const uint64_t blocks = page != 0 ? table_.size() + 2 : 0;
  const auto bytes = static_cast<uint64_t>(
      page != 0 ? rows.block_stride * static_cast<int64_t>(blocks)
                : (row + 8 * element) * tokens);
  const uint64_t first = planes_.empty()
                             ? kGuardBytes
                             : planes_.back().first_byte + planes_.back().bytes;
  const uint64_t shift =
      shape.layout == GpuLayout::kShifted ? rows.element_bytes : 0;
  planes_.push_back(
      {.first_byte =
           (first + 2 * kGuardBytes - 1) / kGuardBytes * kGuardBytes + shift,
       .bytes = bytes});
  rows_.push_back(rows);
}

Status GpuSink::Upload() {
  const uint64_t bytes =
      planes_.back().first_byte + planes_.back().bytes + kGuardBytes;
  memory_.assign(bytes, kGuard);
  Result<DeviceBuffer> memory =
      DeviceBuffer::Make(device_, GpuMemory::kDevice, bytes);
  if (!memory.ok()) return memory.status();
  device_memory_ = *std::move(memory);
  Result<DeviceBuffer> table = DeviceBuffer::Make(
      device_, GpuMemory::kDevice, (table_.size() + 1) * sizeof(int64_t));
  if (!table.ok()) return table.status();
  device_table_ = *std::move(table);
  const bool is_short = rows_[0].page_tokens == 16;
  std::vector<int32_t> shorts(table_.begin(), table_.end());
  const auto* const from =
      is_short ? reinterpret_cast<const uint8_t*>(shorts.data())
               : reinterpret_cast<const uint8_t*>(table_.data());
  const uint64_t table_bytes =
      table_.size() * (is_short ? sizeof(int32_t) : sizeof(int64_t));
  REPRISE_RETURN_IF_ERROR(device_->CopyToDevice(
      device_memory_.data(), memory_.data(), memory_.size(), nullptr));
  REPRISE_RETURN_IF_ERROR(
      device_->CopyToDevice(device_table_.data(), from, table_bytes, nullptr));
  REPRISE_RETURN_IF_ERROR(device_->Drain(nullptr));
  for (size_t i = 0; i < rows_.size(); ++i) {
    rows_[i].base = device_memory_.data() + planes_[i].first_byte;
    if (table_.empty()) continue;
    if (is_short) {
      rows_[i].table32 = reinterpret_cast<const int32_t*>(device_table_.data());
    } else {
      rows_[i].table64 = reinterpret_cast<const int64_t*>(device_table_.data());
    }
  }
  return Status();
}

Status GpuSink::Put(const KvRows& rows) {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const uint32_t bytes = rows_[i].element_bytes;
    for (uint32_t t = 0; t < rows_[i].token_count; ++t) {
      const uint8_t* from =
          rows.RowView(i, t).data() +
          uint64_t{rows_[i].head_first} * rows_[i].dim * bytes;
      for (uint32_t h = 0; h < rows_[i].head_count; ++h) {
        for (uint32_t e = 0; e < rows_[i].dim; ++e, from += bytes) {
          std::memcpy(memory_.data() + At(i, t, h, e), from, bytes);
        }
      }
    }
  }
  REPRISE_RETURN_IF_ERROR(device_->CopyToDevice(
      device_memory_.data(), memory_.data(), memory_.size(), nullptr));
  return device_->Drain(nullptr);
}

Status GpuSink::Fetch() {
  REPRISE_RETURN_IF_ERROR(device_->CopyToHost(
      memory_.data(), device_memory_.data(), memory_.size(), nullptr));
  return device_->Drain(nullptr);
}

uint64_t GpuSink::At(size_t slice, uint32_t token, uint32_t head,
                     uint32_t element) const {
  const GpuRows& rows = rows_[slice];
  const uint64_t slot = rows.first_slot + token;
  const int64_t block = table_.empty() ? 0 : table_[slot / rows.page_tokens];
  const uint64_t in_block = table_.empty() ? slot : slot % rows.page_tokens;
  return planes_[slice].first_byte +
         static_cast<uint64_t>(
             block * rows.block_stride +
             static_cast<int64_t>(in_block) * rows.token_stride +
             head * rows.head_stride + element * rows.element_stride);
}

Bytes GpuSink::Row(size_t slice, uint32_t token) const {
  const GpuRows& rows = rows_[slice];
  Bytes out;
  for (uint32_t h = 0; h < rows.head_count; ++h) {
    for (uint32_t e = 0; e < rows.dim; ++e) {
      const uint8_t* const at = memory_.data() + At(slice, token, h, e);
      out.insert(out.end(), at, at + rows.element_bytes);
    }
  }
  return out;
}

bool GpuSink::GuardsAreWhole(uint32_t token_count) const {
  std::vector<bool> written(memory_.size());
  for (size_t i = 0; i < rows_.size(); ++i) {
    for (uint32_t t = 0; t < token_count; ++t) {
      for (uint32_t h = 0; h < rows_[i].head_count; ++h) {
        for (uint32_t e = 0; e < rows_[i].dim; ++e) {
          const uint64_t at = At(i, t, h, e);
          std::fill_n(written.begin() + static_cast<int64_t>(at),
                      rows_[i].element_bytes, true);
        }
      }
    }
  }
  for (size_t i = 0; i < memory_.size(); ++i) {
    if (!written[i] && memory_[i] != kGuard) return false;
  }
  return true;
}

}  // namespace reprise
