#include "bench/kv_units.h"

#include <algorithm>

#include "base/limits.h"
#include "codec/profile_trainer.h"

namespace reprise::bench {
namespace {

Result<KvUnit> MakeUnit(const KvDump& dump, const LayerGroup& group,
                        uint32_t first_token) {
  KvUnit unit;
  unit.info.layers = group;
  unit.info.first_token = first_token;
  unit.info.token_count = kSegmentTokens;
  REPRISE_ASSIGN_OR_RETURN(unit.slices,
                           SlicePlanes(dump.spec, group, HeadRange::All()));
  for (const PlaneSlice& slice : unit.slices) {
    const uint64_t stride = slice.token_bytes();
    const uint8_t* data =
        dump.Plane(slice.layer, slice.plane) + first_token * stride;
    unit.rows.push_back({data, stride});
    unit.raw.insert(unit.raw.end(), data, data + kSegmentTokens * stride);
  }
  return unit;
}

}  // namespace

std::vector<PlaneRows> KvUnit::RowsIn(uint8_t* out) const {
  std::vector<PlaneRows> targets;
  for (const PlaneSlice& slice : slices) {
    targets.push_back({out, slice.token_bytes()});
    out += slice.token_bytes() * kSegmentTokens;
  }
  return targets;
}

Result<std::vector<KvUnit>> CutIntoUnits(const KvDump& dump,
                                         uint32_t max_tokens) {
  const auto tokens =
      std::min<uint32_t>(max_tokens, static_cast<uint32_t>(dump.tokens.size()));
  std::vector<KvUnit> units;
  for (uint32_t t = 0; t + kSegmentTokens <= tokens; t += kSegmentTokens) {
    for (const LayerGroup& group : LayerGroupsOf(dump.spec)) {
      REPRISE_ASSIGN_OR_RETURN(units.emplace_back(), MakeUnit(dump, group, t));
    }
  }
  if (units.empty()) {
    return FailedPreconditionError("bench: the dump holds no whole segment");
  }
  return units;
}

uint64_t RawBytesOf(const std::vector<KvUnit>& units) {
  uint64_t bytes = 0;
  for (const KvUnit& unit : units) bytes += unit.raw.size();
  return bytes;
}

Result<Bytes> TrainProfileBytes(const KvDump& dump, const CodecChoice& choice,
                                uint32_t max_tokens) {
  REPRISE_ASSIGN_OR_RETURN(
      const std::unique_ptr<ProfileTrainer> trainer,
      MakeProfileTrainer(choice.codec->id(), dump.spec,
                         {.codec_options = choice.options.get()}));
  REPRISE_ASSIGN_OR_RETURN(const std::vector<KvUnit> units,
                           CutIntoUnits(dump, max_tokens));
  for (const KvUnit& unit : units) {
    REPRISE_RETURN_IF_ERROR(trainer->Add(unit.info.first_token, kSegmentTokens,
                                         unit.slices, unit.rows));
  }
  return trainer->Fit(nullptr);
}

Result<std::shared_ptr<const CodecProfile>> TrainProfile(
    const KvDump& dump, const CodecChoice& choice, uint32_t max_tokens) {
  REPRISE_ASSIGN_OR_RETURN(const Bytes bytes,
                           TrainProfileBytes(dump, choice, max_tokens));
  return choice.codec->ParseProfile(bytes);
}

Status LoadKvCorpus(const std::string& folder, const char* fit,
                    const char* measured, uint32_t max_tokens,
                    KvCorpus* corpus) {
  REPRISE_ASSIGN_OR_RETURN(corpus->fit, ReadKvDump(folder + "/" + fit));
  REPRISE_ASSIGN_OR_RETURN(corpus->measured,
                           ReadKvDump(folder + "/" + measured));
  REPRISE_ASSIGN_OR_RETURN(corpus->units,
                           CutIntoUnits(corpus->measured, max_tokens));
  corpus->element_bytes = DTypeBytes(corpus->units[0].slices[0].spec->dtype);
  corpus->bytes = static_cast<double>(RawBytesOf(corpus->units));
  corpus->values = corpus->bytes / corpus->element_bytes;
  return Status();
}

Result<std::vector<Bytes>> EncodeUnits(const std::vector<KvUnit>& units,
                                       const Codec& codec,
                                       const EncodeSetting& setting) {
  std::vector<Bytes> frames;
  CodecScratch scratch;
  FrameBuilder builder;
  for (const KvUnit& unit : units) {
    const EncodeRequest request{.info = unit.info,
                                .slices = unit.slices,
                                .rows = unit.rows,
                                .profile = setting.profile,
                                .options = setting.options};
    REPRISE_RETURN_IF_ERROR(codec.Encode(request, &scratch, &builder));
    REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builder.Finish());
    frames.emplace_back(frame.begin(), frame.end());
  }
  return frames;
}

}  // namespace reprise::bench
