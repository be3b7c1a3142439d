// How a block of a kernel goes through tasks that are sorted by the tables
// that they need: one set of them is in shared memory at a time.
#ifndef REPRISE_GPU_TABLE_RUNS_H_
#define REPRISE_GPU_TABLE_RUNS_H_

#include <cstdint>

#include "gpu/executor.h"
#include "gpu/kernel.h"

namespace reprise {

// Calls work(warp, task) for the block's share of the tasks, a warp a task, up
// to kWarps at a time, and load(task), which is made of phases, before those
// whose `tables` are others than the last ones'. The share is adjacent, so
// that a set is loaded by few blocks, and by each once.
template <uint32_t kWarps, typename Task, typename Load, typename Work>
REPRISE_GPU void RunByTables(const Block& block, const TaskArgs<Task>& args,
                             Load load, Work work) {
  const uint32_t share = args.task_count / block.count();
  const uint32_t longer = args.task_count % block.count();
  const bool is_longer = block.index() < longer;
  const uint32_t begin =
      share * block.index() + (is_longer ? block.index() : longer);
  const uint32_t end = begin + share + (is_longer ? 1 : 0);
  uint32_t first = begin;
  while (first < end) {
    const auto* const tables = args.tasks[first].tables;
    uint32_t taken = 1;
    while (taken < kWarps && first + taken < end &&
           args.tasks[first + taken].tables == tables) {
      ++taken;
    }
    if (first == begin || args.tasks[first - 1].tables != tables) {
      load(args.tasks[first]);
    }
    block.Warps([&](const Warp& warp) {
      if (warp.index() < taken) work(warp, args.tasks[first + warp.index()]);
    });
    first += taken;
  }
}

}  // namespace reprise

#endif  // REPRISE_GPU_TABLE_RUNS_H_
