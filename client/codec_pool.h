// The threads of a client: a bounded queue of tasks and the workers that take
// them. Codec jobs run on one pool, whole saves and restores on others, so
// that a call that waits for its jobs never holds a thread that they need.
#ifndef REPRISE_CLIENT_CODEC_POOL_H_
#define REPRISE_CLIENT_CODEC_POOL_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "codec/codec.h"
#include "codec/frame.h"

namespace reprise {

// What one thread keeps between jobs, so that a warm one allocates nothing.
struct WorkerMemory {
  CodecScratch codec;
  CodecScratch rows;  // slot 0: gathered or decoded rows
  std::array<FrameBuilder, kMaxStages> builders;  // by stage
  std::array<FrameView, kMaxStages> frames;
  std::vector<ConstPlaneRows> source_rows;
  std::vector<PlaneRows> target_rows;
};

// Thread-safe. Threads start with the first task.
class TaskPool {
 public:
  using Task = std::function<void(WorkerMemory&)>;

  struct Options {
    std::string name;  // for messages: "save"
    uint32_t threads = 1;
    uint32_t max_queued = UINT32_MAX;  // waiting for a thread
  };
  explicit TaskPool(const Options& options) : options_(options) {}
  // Runs what is queued, then ends the threads.
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // kResourceExhausted at once when the queue is full.
  Status Submit(Task task);

 private:
  void Work();

  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> queue_;
  std::vector<std::thread> threads_;
  uint32_t idle_ = 0;
  bool closing_ = false;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_CODEC_POOL_H_
