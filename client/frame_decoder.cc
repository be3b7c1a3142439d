#include "client/frame_decoder.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <string>

namespace reprise {

RestoreState::RestoreState(std::shared_ptr<CallContext> call, Model of_model)
    : context(std::move(call)),
      model(std::move(of_model)),
      layers(model->spec().layers.size(), Layer::kComing) {}

FrameDecoder::FrameDecoder(const Options& options)
    : core_(options.core),
      state_(options.state),
      call_(options.state->context),
      request_(*options.request),
      groups_(options.state->model->groups()),
      units_left_(groups_.size(), 0),
      units_to_queue_(groups_.size(), 0) {}

FrameDecoder::~FrameDecoder() { WaitForJobs(); }

void FrameDecoder::WaitForJobs() {
  std::unique_lock lock(call_->mutex());
  call_->WaitAlways(lock, [this] { return running_ == 0; });
}

Status FrameDecoder::AddSegment(const ManifestSegment* manifest,
                                const CodecProfile* profile) {
  Segment segment;
  segment.manifest = manifest;
  segment.profile = profile;
  for (uint32_t unit = 0; unit < manifest->units(); ++unit) {
    const ManifestFrame& frame = manifest->frames[unit];
    const auto group = static_cast<uint32_t>(
        std::find(groups_.begin(), groups_.end(), frame.layers) -
        groups_.begin());
    const HeadRange& heads = frame.heads;
    auto& slices = slices_[{group, heads.first, heads.count, heads.total}];
    if (slices.empty()) {
      auto cut = SlicePlanes(state_->model->spec(), frame.layers, heads);
      if (!cut.ok()) return DataLossError(std::string(cut.status().message()));
      slices = *std::move(cut);
    }
    segment.groups.push_back(group);
    segment.slices.push_back(&slices);
  }
  segment.units.resize(manifest->units());
  std::lock_guard lock(call_->mutex());
  for (const uint32_t group : segment.groups) {
    ++units_left_[group];
    ++units_to_queue_[group];
  }
  segments_.push_back(std::move(segment));
  state_->placed.push_back({manifest->first_token, manifest->end_token(),
                            manifest->basis,
                            std::vector<Tier>(groups_.size(), Tier::kTokens)});
  return Status();
}

// --- Jobs. ---

void FrameDecoder::Submit(uint32_t segment, uint32_t unit,
                          std::vector<FrameBytes> frames, bool is_last) {
  const UnitKey key{segment, unit};
  Task task{std::move(frames), is_last};
  {
    std::lock_guard lock(call_->mutex());
    Unit& state = segments_[segment].units[unit];
    if (state.decided) return;
    state.decided = is_last;
    if (state.running) {
      next_[key] = std::move(task);
      return;
    }
    if (!task.frames.empty()) {
      state.running = true;
      ++running_;
    }
  }
  if (task.frames.empty()) {
    Run(key, std::move(task), nullptr);
    return;
  }
  Queue(key, std::move(task));
}

void FrameDecoder::Queue(UnitKey key, Task task) {
  // The pool of codec jobs has no limit of its own: this cannot fail.
  (void)core_->codecs.Submit(
      [this, key, task = std::move(task)](WorkerMemory& memory) mutable {
        Run(key, std::move(task), &memory);
      });
}

void FrameDecoder::EndJob(UnitKey key) {
  // Held while notifying: the restore may go as soon as it sees the end.
  const auto call = call_;
  std::lock_guard lock(call->mutex());
  const auto next = next_.find(key);
  if (next == next_.end()) {
    segments_[key.first].units[key.second].running = false;
    // Each unit's end is of interest to nobody; waking for it costs more
    // than to decode it.
    if (--running_ == 0) call->Notify();
    return;
  }
  // Behind what others wait for: their base may be among it.
  Queue(key, std::move(next->second));
  next_.erase(next);
}

DecodeJob FrameDecoder::JobOf(UnitKey key, const Task& task) {
  DecodeJob job;
  job.spec = &state_->model->spec();
  job.model = state_->model->id();
  job.target = target_;
  job.unit = key.second;
  job.frames = task.frames;
  job.rows_lock = request_.rows_lock;
  std::lock_guard lock(call_->mutex());
  const Segment& segment = segments_[key.first];
  job.segment = segment.manifest;
  job.codec = FindCodec(job.segment->codec);
  job.profile = segment.profile;
  job.slices = *segment.slices[key.second];
  job.stages_in_place = segment.units[key.second].stages_in_place;
  return job;
}

void FrameDecoder::Run(UnitKey key, Task task, WorkerMemory* memory) {
  Outcome outcome{.start_ns = CallContext::NowNs(), .is_last = task.is_last};
  const bool is_job = !task.frames.empty();
  DecodeJob job = JobOf(key, task);
  outcome.stages = job.stages_in_place;
  if (task.frames.size() > outcome.stages && !call_->cancelled()) {
    if (device_ != nullptr) {
      const auto shared = std::make_shared<Task>(std::move(task));
      job.frames = shared->frames;
      if (RunOnDevice(key, shared, job, memory)) return;
    } else {
      if (request_.accept_dropped) job.kept = &outcome.kept;
      outcome.stages = DecodeFrames(job, memory);
    }
  }
  Settle(key, outcome);
  task.frames.clear();
  if (is_job) EndJob(key);
}

bool FrameDecoder::RunOnDevice(UnitKey key, std::shared_ptr<Task> task,
                               DecodeJob job, WorkerMemory* memory) {
  const uint32_t stages = CheckFrames(job, memory);
  if (stages <= job.stages_in_place) return false;
  // Shared: what Add learns of it is known when it is done.
  const auto outcome = std::make_shared<Outcome>();
  outcome->start_ns = CallContext::NowNs();
  outcome->is_last = task->is_last;
  std::array<const FrameView*, kMaxStages> frames{};
  for (uint32_t s = 0; s < stages; ++s) {
    frames[s] = &memory->frames[s];
    const ByteView bytes = frames[s]->bytes;
    if (!device_->IsInRing(bytes)) outcome->packed_bytes += bytes.size();
  }
  const auto profile = device_profiles_.find(job.profile);
  const DeviceUnit unit{
      .frames = std::span(frames).first(stages),
      .slices = job.slices,
      .profile =
          profile == device_profiles_.end() ? nullptr : profile->second.get(),
      .target = target_,
      .first_token = job.segment->first_token,
      .token_count = job.segment->token_count,
      .kept = request_.accept_dropped ? &outcome->kept : nullptr,
      .is_refinement = job.stages_in_place > 0,
      .stream = device_memory_.stream,
      .rows_lock = request_.rows_lock};
  DeviceDecoder::Queued queued;
  if (!device_memory_.layer_events.empty() && !unit.is_refinement) {
    queued = [=, this](GpuStream kernels) { NoteQueued(key, kernels); };
  }
  const auto done = [=, this](bool is_whole) {
    if (!is_whole && stages > 1) {
      // Damage that no checksum shows may be in any of its stages.
      Task fewer{std::move(task->frames), task->is_last};
      fewer.frames.resize(stages - 1);
      Queue(key, std::move(fewer));
      return;
    }
    outcome->stages = is_whole ? stages : 0;
    Settle(key, *outcome);
    task->frames.clear();
    EndJob(key);
  };
  // After this all may be over.
  return device_->Add(unit, done, std::move(queued)).ok();
}

void FrameDecoder::NoteQueued(UnitKey key, GpuStream kernels) {
  {
    std::lock_guard lock(call_->mutex());
    Segment& segment = segments_[key.first];
    // Of a unit that is damaged, what is left of it is queued once more.
    if (std::exchange(segment.units[key.second].queued, true)) return;
    const uint32_t group = segment.groups[key.second];
    if (--units_to_queue_[group] != 0) return;
    const LayerGroup& layers = groups_[group];
    for (uint32_t k = 0; k < layers.layer_count; ++k) {
      const uint32_t layer = layers.first_layer + k;
      // A device that fails here is found to have failed by whoever waits.
      (void)device_->shared_device()->Record(device_memory_.layer_events[layer],
                                             kernels);
      if (state_->layers[layer] == RestoreState::Layer::kComing) {
        state_->layers[layer] = RestoreState::Layer::kQueued;
      }
    }
  }
  call_->Notify();
}

void FrameDecoder::Settle(UnitKey key, const Outcome& outcome) {
  News news;
  uint32_t group = 0;
  {
    std::lock_guard lock(call_->mutex());
    Segment& segment = segments_[key.first];
    group = segment.groups[key.second];
    const uint32_t before = segment.units[key.second].stages_in_place;
    if (outcome.stages > 0 && before == 0) {
      raw_bytes_ += RawBytesOf(*segment.slices[key.second],
                               segment.manifest->token_count);
    }
    if (outcome.stages > before) segment.kept &= outcome.kept;
    packed_bytes_ += outcome.packed_bytes;
    decode_ns_ += CallContext::NowNs() - outcome.start_ns;
    news = Note(key, outcome.stages, outcome.is_last);
  }
  Tell(group, news);
}

FrameDecoder::News FrameDecoder::Note(UnitKey key, uint32_t stages_in_place,
                                      bool is_last) {
  News news;
  Segment& segment = segments_[key.first];
  Unit& unit = segment.units[key.second];
  const bool is_better = stages_in_place > unit.stages_in_place;
  unit.stages_in_place = static_cast<uint8_t>(stages_in_place);
  if (is_better) news.range = NotePlaced(key);
  const uint32_t group = segment.groups[key.second];
  const LayerGroup& layers = groups_[group];
  const auto states = state_->layers.begin() + layers.first_layer;
  if (is_last &&
      !IsGoodEnough(segment, segment.manifest->tier_of(stages_in_place))) {
    first_lost_ = std::min(first_lost_, key.first);
    std::fill_n(states, layers.layer_count, RestoreState::Layer::kLost);
  }
  const bool is_here = request_.progressive && stages_in_place > 0;
  if (unit.counted || !(is_last || is_here)) return news;
  unit.counted = true;
  if (--units_left_[group] != 0) return news;
  std::replace_if(
      states, states + layers.layer_count,
      [](RestoreState::Layer layer) {
        return layer != RestoreState::Layer::kLost;
      },
      RestoreState::Layer::kHere);
  news.layers_done = true;
  return news;
}

std::optional<TierRange> FrameDecoder::NotePlaced(UnitKey key) {
  const Segment& segment = segments_[key.first];
  const uint32_t group = segment.groups[key.second];
  RestoreState::Placed& placed = state_->placed[key.first];
  const Tier tier = WorstOf(segment, group);
  if (tier >= placed.tiers[group]) return {};
  placed.tiers[group] = tier;
  return TierRange{placed.first_token, placed.end_token, tier, placed.basis};
}

void FrameDecoder::Tell(uint32_t group, const News& news) {
  if (news.layers_done) call_->Notify();
  if (call_->cancelled()) return;
  const LayerGroup& layers = groups_[group];
  if (news.range && request_.on_tier != nullptr) {
    request_.on_tier({layers.first_layer, layers.layer_count, *news.range});
  }
  if (!news.layers_done || request_.on_layer == nullptr) return;
  for (uint32_t i = 0; i < layers.layer_count; ++i) {
    request_.on_layer(layers.first_layer + i);
  }
}

// --- What is known. ---

bool FrameDecoder::IsGoodEnough(const Segment& segment, Tier tier) const {
  return WorseOf(tier, segment.manifest->basis) <= request_.lowest;
}

Tier FrameDecoder::WorstOf(const Segment& segment,
                           std::optional<uint32_t> group) const {
  Tier worst = Tier::kExact;
  for (size_t i = 0; i < segment.units.size(); ++i) {
    if (group && segment.groups[i] != *group) continue;
    worst = WorseOf(
        worst, segment.manifest->tier_of(segment.units[i].stages_in_place));
  }
  return worst;
}

uint32_t FrameDecoder::GoodSegments() {
  std::lock_guard lock(call_->mutex());
  return std::min(static_cast<uint32_t>(segments_.size()), first_lost_);
}

bool FrameDecoder::IsUsable() {
  WaitForJobs();
  std::lock_guard lock(call_->mutex());
  return std::all_of(segments_.begin(), segments_.end(),
                     [this](const Segment& segment) {
                       return IsGoodEnough(segment, WorstOf(segment));
                     });
}

Tier FrameDecoder::TierInPlace(uint32_t segment) {
  std::lock_guard lock(call_->mutex());
  return WorstOf(segments_[segment]);
}

std::vector<uint64_t> FrameDecoder::Dropped(uint64_t end) {
  std::vector<uint64_t> dropped;
  std::lock_guard lock(call_->mutex());
  for (const Segment& segment : segments_) {
    if (segment.kept == kAllTokens) continue;
    for (uint32_t t = 0; t < segment.manifest->token_count; ++t) {
      const uint64_t position = segment.manifest->first_token + t;
      const bool is_kept = (segment.kept >> t & 1) != 0;
      if (!is_kept && position < end) dropped.push_back(position);
    }
  }
  return dropped;
}

void FrameDecoder::AddStats(RestoreResult* result) {
  std::lock_guard lock(call_->mutex());
  result->raw_bytes = raw_bytes_;
  result->packed_bytes = packed_bytes_;
  result->decode_ms = static_cast<double>(decode_ns_) / 1e6;
}

}  // namespace reprise
