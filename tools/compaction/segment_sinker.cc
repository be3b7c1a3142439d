#include "tools/compaction/segment_sinker.h"

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "tools/compaction/sink_worker.h"

namespace reprise {
namespace {

// Read and swapped together, by one thread.
constexpr size_t kChunkTasks = 64;

// Runs of tasks of one domain: [first, end).
std::vector<std::pair<size_t, size_t>> ChunksOf(
    std::span<const SinkTask> tasks) {
  std::vector<std::pair<size_t, size_t>> chunks;
  for (size_t first = 0; first < tasks.size();) {
    size_t end = first + 1;
    while (end < tasks.size() && end - first < kChunkTasks &&
           tasks[end].domain == tasks[first].domain) {
      ++end;
    }
    chunks.emplace_back(first, end);
    first = end;
  }
  return chunks;
}

constexpr std::string_view kNames[] = {
    "not-done", "nothing-to-do", "dropped",    "derived",     "encoded",
    "skipped",  "changed",       "unreadable", "failed-check"};
static_assert(std::size(kNames) == kSinkResultCount);

}  // namespace

std::string_view SinkResultName(SinkResult result) {
  const auto index = static_cast<size_t>(result);
  return index < std::size(kNames) ? kNames[index] : "?";
}

SegmentSinker::SegmentSinker(Catalogue* catalogue, const SinkerOptions& options)
    : catalogue_(catalogue),
      options_(options),
      shelf_(catalogue),
      rate_(options.bytes_per_s) {}

SegmentSinker::~SegmentSinker() = default;

void SegmentSinker::Stop() {
  stopped_ = true;
  rate_.Stop();
}

Status SegmentSinker::Sink(std::span<const SinkTask> tasks,
                           std::vector<SinkReport>* out) {
  out->assign(tasks.size(), SinkReport());
  const auto chunks = ChunksOf(tasks);
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  Status first_error;
  const auto work = [&](SinkWorker* worker) {
    Status status;
    while (!failed && status.ok()) {
      const size_t at = next++;
      if (at >= chunks.size()) break;
      const auto [first, end] = chunks[at];
      status = worker->Run(tasks.subspan(first, end - first),
                           std::span(*out).subspan(first, end - first));
    }
    const Status finished = worker->Finish();
    if (status.ok()) status = finished;
    if (status.ok()) return;
    failed = true;
    std::lock_guard lock(mutex);
    if (first_error.ok()) first_error = status;
  };
  const size_t threads = std::clamp<size_t>(options_.threads, 1,
                                            std::max<size_t>(1, chunks.size()));
  while (workers_.size() < threads) {
    workers_.push_back(std::make_unique<SinkWorker>(
        SinkShared{catalogue_, &shelf_, &rate_, &stopped_, options_.batch_bytes,
                   options_.batch_row_bytes}));
  }
  std::vector<std::thread> others;
  for (size_t i = 1; i < threads; ++i) {
    others.emplace_back(work, workers_[i].get());
  }
  work(workers_[0].get());
  for (std::thread& other : others) other.join();
  return first_error;
}

}  // namespace reprise
