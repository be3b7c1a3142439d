#include "gpu/klt_gpu_encoding.h"

#include <cstring>
#include <utility>

#include "codec/klt_analysis.h"
#include "gpu/klt_forward_kernel.h"

namespace reprise {
namespace {

constexpr uint32_t kStrip = KltForwardKernel::kStrip;
constexpr uint32_t kQuad = KltTransform::kQuad;

// As KltForwardTask wants them.
std::vector<int16_t> StripsOf(const KltTransform& transform) {
  const KltAnalysis& analysis = transform.analysis();
  const uint32_t padded = transform.padded();
  std::vector<int16_t> strips(uint64_t{padded} * padded);
  for (uint32_t quad = 0; quad < analysis.quads(); ++quad) {
    const int16_t* from = analysis.weights(quad);
    const uint32_t first = quad * kQuad;
    int16_t* to = strips.data() + uint64_t{first / kStrip} * padded * kStrip +
                  first % kStrip;
    for (uint32_t i = 0; i < padded; ++i, from += kQuad, to += kStrip) {
      std::memcpy(to, from, kQuad * sizeof(int16_t));
    }
  }
  return strips;
}

std::vector<KltGpuChannel> ChannelsOf(const KltGroup& group) {
  const float* const factors = group.transform.analysis().factors();
  const std::vector<float>& weights = group.parts->regressor.by_channel;
  std::vector<KltGpuChannel> channels;
  for (uint32_t i = 0; i < group.transform.n(); ++i) {
    channels.push_back({.mu = group.transform.mu()[i],
                        .factor = factors[i],
                        .weight = weights[i],
                        .unused = 0});
  }
  return channels;
}

std::vector<KltGpuPlane> PlanesOf(const KltGroup& group) {
  std::vector<KltGpuPlane> planes;
  for (size_t p = 0; p < group.planes.size(); ++p) {
    const KltPlane& plane = group.planes[p];
    planes.push_back({.channels = static_cast<uint32_t>(plane.channels()),
                      .dim = plane.dim,
                      .by_norm = group.parts->regressor.by_norm[p],
                      .is_rotated = plane.is_rotated});
  }
  return planes;
}

}  // namespace

template <typename T>
Result<const T*> KltGpuEncoding::Upload(const std::vector<T>& of) {
  const ByteView bytes(reinterpret_cast<const uint8_t*>(of.data()),
                       of.size() * sizeof(T));
  REPRISE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           DeviceBuffer::Upload(device_, bytes));
  memory_.push_back(std::move(buffer));
  return reinterpret_cast<const T*>(memory_.back().data());
}

Result<KltGpuEncoding::Tables> KltGpuEncoding::MakeTables() {
  const std::lock_guard lock(mutex_);
  if (tables_) return *tables_;
  const KltTables& from = profile_.tables();
  Tables tables;
  REPRISE_ASSIGN_OR_RETURN(tables.exponents, Upload(from.encode_exponents));
  REPRISE_ASSIGN_OR_RETURN(tables.magnitudes, Upload(from.encode_magnitudes));
  REPRISE_ASSIGN_OR_RETURN(tables.refining, Upload(from.refining));
  tables_ = tables;
  return tables;
}

Result<KltGpuEncoding::Group> KltGpuEncoding::MakeGroup(size_t index) {
  const std::lock_guard lock(mutex_);
  std::optional<Group>& made = groups_[index];
  if (made) return *made;
  const KltGroup& from = profile_.groups()[index];
  const float* const scales = from.transform.analysis().scales();
  Group group;
  REPRISE_ASSIGN_OR_RETURN(group.planes, Upload(PlanesOf(from)));
  REPRISE_ASSIGN_OR_RETURN(group.channels, Upload(ChannelsOf(from)));
  REPRISE_ASSIGN_OR_RETURN(group.weights, Upload(StripsOf(from.transform)));
  REPRISE_ASSIGN_OR_RETURN(
      group.scales,
      Upload(std::vector<float>(scales, scales + from.transform.padded())));
  made = group;
  return group;
}

Status KltGpuEncoding::MakeAll() {
  REPRISE_RETURN_IF_ERROR(MakeTables().status());
  for (size_t i = 0; i < groups_.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(MakeGroup(i).status());
  }
  return Status();
}

}  // namespace reprise
