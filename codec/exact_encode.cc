#include "codec/exact_encode.h"

#include <cstring>
#include <new>

#include "codec/exact_layout.h"
#include "codec/exact_simd.h"
#include "codec/message.h"

namespace reprise {
namespace {

// Below this the tables of a frame's own cost more than they save.
constexpr uint64_t kWorthOwnTables = 4096;

}  // namespace

Result<const ExactProfile*> CheckExactEncode(const EncodeRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckNoChoices(request, "exact"));
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage("exact: stage is ", request.info.stage, ", 0 is wanted"));
  }
  REPRISE_ASSIGN_OR_RETURN(const ExactProfile* profile,
                           AsExactProfile(request.profile));
  if (profile != nullptr) {
    REPRISE_RETURN_IF_ERROR(profile->CheckShape(request.slices));
  }
  return profile;
}

FrameInfo ExactFrameInfo(const EncodeRequest& request,
                         const ExactProfile* profile) {
  FrameInfo info = request.info;
  info.codec = CodecId::kExact;
  info.profile = profile != nullptr ? profile->id() : ProfileId();
  info.raw_bytes = RawBytesOf(request.slices, info.token_count);
  return info;
}

uint32_t CountExactPlaces(std::span<const PlaneSlice> slices) {
  uint32_t count = 0;
  ForEachExactPlace(slices, [&](const ExactStreamPlace&) { ++count; });
  return count;
}

FrameSection ExactSectionOf(std::span<const PlaneSlice> slices,
                            const ExactStreamPlace& place) {
  const PlaneSlice& slice = slices[place.slice];
  return {.layer = slice.layer,
          .plane = slice.plane,
          .channel_first = slice.channel_first() + place.channel_first,
          .channel_count = place.channels};
}

void ExactFrameEncoder::FindPlaces() {
  const uint32_t count = CountExactPlaces(request_.slices);
  auto* const places = reinterpret_cast<ExactStreamPlace*>(
      scratch_->Get(3, count * sizeof(ExactStreamPlace)));
  ExactStreamPlace* next = places;
  ForEachExactPlace(request_.slices, [&](const ExactStreamPlace& place) {
    new (next++) ExactStreamPlace(place);
  });
  places_ = {places, next};
}

const uint8_t* ExactFrameEncoder::FirstValue(uint32_t index) const {
  const ExactStreamPlace& place = places_[index];
  const DType dtype = request_.slices[place.slice].spec->dtype;
  return request_.rows[place.slice].data +
         uint64_t{place.channel_first} * DTypeBytes(dtype);
}

uint32_t ExactFrameEncoder::RowBytes(uint32_t index) const {
  const ExactStreamPlace& place = places_[index];
  return place.channels * DTypeBytes(request_.slices[place.slice].spec->dtype);
}

bool ExactFrameEncoder::IsConstant(uint32_t index) const {
  const uint8_t* first = FirstValue(index);
  const uint32_t row_bytes = RowBytes(index);
  const uint32_t element = row_bytes / places_[index].channels;
  // A row equals itself moved by one element if and only if it is constant.
  if (std::memcmp(first, first + element, row_bytes - element) != 0) {
    return false;
  }
  const uint64_t stride =
      request_.rows[places_[index].slice].token_stride_bytes;
  for (uint32_t t = 1; t < request_.info.token_count; ++t) {
    if (std::memcmp(first, first + t * stride, row_bytes) != 0) return false;
  }
  return true;
}

void ExactFrameEncoder::FitOwnTables() {
  own_tables_ = new (scratch_->Get(4, sizeof(ExactOwnTables))) ExactOwnTables;
  own_streams_ = reinterpret_cast<ExactOwnStream*>(
      scratch_->Get(5, places_.size() * sizeof(ExactOwnStream)));
  for (size_t i = 0; i < places_.size(); ++i) {
    new (own_streams_ + i) ExactOwnStream;
  }
  FitExactOwnTables(request_, places_, own_tables_, own_streams_);
}

ExactFrameEncoder::Plan ExactFrameEncoder::PlanStream(uint32_t index) {
  const ExactStreamPlace& place = places_[index];
  const PlaneSlice& slice = request_.slices[place.slice];
  Plan plan;
  plan.stream.tokens = request_.info.token_count;
  plan.stream.channels = place.channels;
  plan.stream.lanes = &lanes_;
  if (profile_ != nullptr) {
    const ExactPlane* plane = profile_->FindPlane(slice.layer, slice.plane);
    if (plane == nullptr) return plan;
    plan.stream.split = plane->split;
    plan.encode = profile_->set(plane->set).encode.data();
    profile_->FillChannels(*plane, request_.info.first_token,
                           slice.channel_first() + place.channel_first,
                           place.channels, &lanes_);
  } else if (own_streams_ != nullptr &&
             own_streams_[index].table < kExactMaxOwnTables) {
    plan.stream.split = own_tables_->kinds[own_streams_[index].table].split;
    plan.encode = own_tables_->encode;
    plan.head_bytes = ExactOwnStreamBytes(place.channels);
    FillExactChannels(own_streams_[index], place.channels, *own_tables_,
                      &lanes_);
  }
  return plan;
}

ExactEncodeOut ExactFrameEncoder::ScratchFor(const ExactStream& stream) {
  constexpr uint64_t kMargin = kExactSlackBytes;
  const uint64_t values = uint64_t{stream.rows()} * kExactLanes;
  ExactEncodeOut out;
  uint8_t* words =
      scratch_->Get(0, ExactMaxWords(stream) * 2 + 2 * kMargin) + kMargin;
  out.words = reinterpret_cast<uint16_t*>(words);
  out.raw = scratch_->Get(1, stream.raw_bytes() + kMargin);
  out.keys =
      reinterpret_cast<uint16_t*>(scratch_->Get(2, values * 2 + kMargin));
  return out;
}

bool ExactFrameEncoder::TryRans(uint32_t index, const FrameSection& section) {
  const Plan plan = PlanStream(index);
  if (plan.encode == nullptr) return false;
  const ExactStream& stream = plan.stream;
  ExactEncodeOut out = ScratchFor(stream);
  const uint64_t stride =
      request_.rows[places_[index].slice].token_stride_bytes;
  const uint32_t word_count =
      ExactEncode(stream, plan.encode, FirstValue(index), stride, &out);
  const ExactLayout layout =
      LayOutExactStream(stream, plan.head_bytes, word_count);
  if (layout.end >= uint64_t{RowBytes(index)} * stream.tokens) return false;
  FrameSection done = section;
  done.mode = kExactRans;
  done.words = word_count;
  uint8_t* to = builder_->BeginSection(layout.end).data();
  if (plan.head_bytes > 0) {
    StoreExactOwnStream(own_streams_[index], stream.channels, to);
  }
  std::memcpy(to + layout.states, out.states, 4 * stream.states());
  const uint16_t* words = out.words + ExactMaxWords(stream) - word_count;
  std::memcpy(to + layout.words, words, word_count * 2);
  std::memset(to + layout.words + word_count * 2, 0,
              layout.raw - layout.words - word_count * 2);
  std::memcpy(to + layout.raw, out.raw, stream.raw_bytes());
  builder_->EndSection(done, layout.end);
  return true;
}

void ExactFrameEncoder::AddConstant(uint32_t index, FrameSection section) {
  const uint32_t element = RowBytes(index) / places_[index].channels;
  section.mode = kExactConstant;
  std::memcpy(builder_->BeginSection(element).data(), FirstValue(index),
              element);
  builder_->EndSection(section, element);
}

void ExactFrameEncoder::AddRaw(uint32_t index, FrameSection section) {
  const uint64_t row_bytes = RowBytes(index);
  const uint64_t bytes = row_bytes * request_.info.token_count;
  const uint64_t stride =
      request_.rows[places_[index].slice].token_stride_bytes;
  section.mode = kExactRaw;
  uint8_t* to = builder_->BeginSection(bytes).data();
  for (uint32_t t = 0; t < request_.info.token_count; ++t) {
    std::memcpy(to + t * row_bytes, FirstValue(index) + t * stride, row_bytes);
  }
  builder_->EndSection(section, bytes);
}

void ExactFrameEncoder::AddStream(uint32_t index) {
  const FrameSection section = ExactSectionOf(request_.slices, places_[index]);
  if (IsConstant(index)) {
    AddConstant(index, section);
  } else if (!TryRans(index, section)) {
    AddRaw(index, section);
  }
}

void ExactFrameEncoder::AddTables() {
  const PlaneSlice& slice = request_.slices[0];
  FrameSection section;
  section.layer = slice.layer;
  section.plane = slice.plane;
  section.mode = kExactTables;
  section.channel_first = slice.channel_first();
  const uint64_t bytes = own_tables_->count * kExactOwnTableBytes;
  StoreExactOwnTables(*own_tables_, builder_->BeginSection(bytes).data());
  builder_->EndSection(section, bytes);
}

void ExactFrameEncoder::Run() {
  FindPlaces();
  const FrameInfo info = ExactFrameInfo(request_, profile_);
  const bool own = profile_ == nullptr && info.raw_bytes >= kWorthOwnTables;
  builder_->Start(info, static_cast<uint32_t>(places_.size()) + own);
  if (own) {
    FitOwnTables();
    AddTables();
  }
  for (uint32_t i = 0; i < places_.size(); ++i) AddStream(i);
}

}  // namespace reprise
