#include "client/codec_pool.h"

#include <utility>

namespace reprise {

TaskPool::~TaskPool() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Status TaskPool::Submit(Task task) {
  {
    std::lock_guard lock(mutex_);
    const bool thread_free =
        queue_.size() < idle_ || threads_.size() < options_.threads;
    if (!thread_free && queue_.size() >= options_.max_queued) {
      return ResourceExhaustedError(
          options_.name + ": " + std::to_string(queue_.size()) +
          " are waiting, at most " + std::to_string(options_.max_queued) +
          " may");
    }
    queue_.push_back(std::move(task));
    if (queue_.size() > idle_ && threads_.size() < options_.threads) {
      threads_.emplace_back([this] { Work(); });
    }
    // Under the mutex: the pool may go as soon as the task has run.
    changed_.notify_one();
  }
  return Status();
}

void TaskPool::Work() {
  WorkerMemory memory;
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    {
      Task task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      task(memory);
    }
    lock.lock();
  }
}

}  // namespace reprise
