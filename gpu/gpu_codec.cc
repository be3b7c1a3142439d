#include "gpu/gpu_codec.h"

#include "codec/message.h"
#include "gpu/exact_gpu_codec.h"
#include "gpu/klt_gpu_codec.h"
#include "gpu/raw_gpu_codec.h"
#include "gpu/tsc_gpu_codec.h"
#include "gpu/vector_gpu_codec.h"

namespace reprise {

namespace {

Status CheckGpuDecodeRequest(const GpuDecodeRequest& request) {
  if (request.frames.empty() ||
      request.device_frames.size() != request.frames.size()) {
    return InvalidArgumentError(CatMessage(
        "gpu: ", request.device_frames.size(), " frames are on the device, ",
        request.frames.size(), " were parsed"));
  }
  if (request.slices.empty() || request.rows.size() != request.slices.size()) {
    return InvalidArgumentError(CatMessage("gpu: ", request.rows.size(),
                                           " rows for ", request.slices.size(),
                                           " slices"));
  }
  const uint32_t has = request.frames[0]->info.token_count;
  if (request.token_count > has) {
    return InvalidArgumentError(CatMessage("gpu: ", request.token_count,
                                           " tokens are wanted, the frame has ",
                                           has));
  }
  for (const GpuRows& rows : request.rows) {
    if (rows.base != nullptr && rows.token_count != request.token_count) {
      return InvalidArgumentError(
          CatMessage("gpu: there are ", rows.token_count, " rows, ",
                     request.token_count, " tokens are wanted"));
    }
  }
  return Status();
}

}  // namespace

Result<uint32_t> GpuCodec::Plan(const GpuDecodeRequest& request,
                                DecodePlan* plan) const {
  REPRISE_RETURN_IF_ERROR(CheckGpuDecodeRequest(request));
  Result<uint32_t> unit = plan->BeginUnit();
  if (!unit.ok()) return unit;
  const Status status = AddTasks(request, *unit, plan);
  if (status.ok()) return unit;
  plan->DropUnit();
  return status;
}

Result<uint32_t> GpuCodec::PlanEncode(const GpuEncodeRequest& request,
                                      EncodePlan* plan) const {
  REPRISE_RETURN_IF_ERROR(CheckGpuEncodeRequest(request));
  Result<uint32_t> unit = plan->BeginUnit();
  if (!unit.ok()) return unit;
  const Status status = AddEncodeTasks(request, *unit, plan);
  if (status.ok()) return unit;
  plan->DropUnit();
  return status;
}

Status GpuCodec::AddEncodeTasks(const GpuEncodeRequest&, uint32_t,
                                EncodePlan*) const {
  return UnimplementedError(
      CatMessage("gpu: codec ", CodecIdName(id()), " encodes on the host"));
}

Status GpuCodec::BuildFrames(const GpuEncodeRequest&, const EncodePlan&,
                             uint32_t, std::span<FrameBuilder* const>) const {
  return UnimplementedError(
      CatMessage("gpu: codec ", CodecIdName(id()), " encodes on the host"));
}

namespace {

Status CheckRows(const PlaneSlice& slice, const GpuRows& rows,
                 uint32_t token_count) {
  if (rows.base == nullptr) {
    return InvalidArgumentError(CatMessage("gpu: rows of layer ", slice.layer,
                                           " plane ", slice.plane,
                                           " are null"));
  }
  if (rows.token_count != token_count) {
    return InvalidArgumentError(CatMessage("gpu: there are ", rows.token_count,
                                           " rows, the frame has ", token_count,
                                           " tokens"));
  }
  if (rows.head_first != 0 || rows.head_count != slice.head_count) {
    return InvalidArgumentError(
        CatMessage("gpu: rows have ", rows.head_count, " heads from ",
                   rows.head_first, " on, the slice has ", slice.head_count));
  }
  if (rows.dim != slice.spec->dim ||
      rows.element_bytes != DTypeBytes(slice.spec->dtype)) {
    return InvalidArgumentError(
        CatMessage("gpu: rows are of ", rows.dim, " elements of ",
                   rows.element_bytes, " bytes, the slice's of ",
                   slice.spec->dim, " of ", DTypeBytes(slice.spec->dtype)));
  }
  return Status();
}

}  // namespace

Status CheckGpuEncodeRequest(const GpuEncodeRequest& request) {
  if (request.slices.empty() || request.rows.size() != request.slices.size()) {
    return InvalidArgumentError(CatMessage("gpu: ", request.rows.size(),
                                           " rows for ", request.slices.size(),
                                           " slices"));
  }
  REPRISE_RETURN_IF_ERROR(CheckEncodeTokens(request.info, request.kept));
  for (size_t i = 0; i < request.slices.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(CheckRows(request.slices[i], request.rows[i],
                                      request.info.token_count));
  }
  return Status();
}

EncodeRequest WithoutRows(const GpuEncodeRequest& request) {
  return {.info = request.info,
          .slices = request.slices,
          .rows = {},
          .profile = request.profile == nullptr ? nullptr
                                                : &request.profile->profile(),
          .options = request.options,
          .kept = request.kept};
}

const GpuCodec* FindGpuCodec(CodecId id) {
  static const RawGpuCodec raw;
  static const ExactGpuCodec exact;
  static const TscGpuCodec tsc;
  static const VectorGpuCodec vq(CodecId::kVq);
  static const VectorGpuCodec pq(CodecId::kPq);
  static const KltGpuCodec klt;
  static const GpuCodec* const codecs[] = {
      &raw, &exact, &tsc, &vq, &pq, &klt,
  };
  for (const GpuCodec* codec : codecs) {
    if (codec->id() == id) return codec;
  }
  return nullptr;
}

}  // namespace reprise
