#include "store/fsck.h"

#include <string>

#include "store/store_walk.h"

namespace reprise {
namespace {

constexpr uint64_t kStepBytes = 32ull << 20;

}  // namespace

Result<FsckReport> Fsck(Catalogue* catalogue, const FsckOptions& options) {
  const auto walk =
      MakeStoreWalk(catalogue, {.read_frames = options.read_frames,
                                .set_aside = options.repair,
                                .count_unreferenced = true});
  const FsckReport& report = walk->report();
  uint64_t told = 0;
  while (!walk->done()) {
    if (options.stop && options.stop()) {
      return UnavailableError("fsck: stopped after " +
                              std::to_string(report.frames) + " frames");
    }
    REPRISE_RETURN_IF_ERROR(walk->Step(kStepBytes));
    if (!options.progress || (report.frames == told && !walk->done())) continue;
    told = report.frames;
    options.progress(told, told);
  }
  return report;
}

}  // namespace reprise
