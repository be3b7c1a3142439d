#include "tools/compaction/reclaim_hook.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "store/rocks_engine.h"

namespace reprise {
namespace {

// With less there is nothing to be copied: it is some of the files in which
// objects lie (store/rocks_options.cc).
constexpr uint64_t kLeastHeadroomBytes = 1ull << 30;

uint64_t HeadroomOf(Engine* engine, const ReclaimPlace& place) {
  uint64_t headroom = UINT64_MAX;
  std::error_code error;
  const auto space = std::filesystem::space(place.dir, error);
  if (!error) {
    // Saves go on meanwhile, and are refused below this.
    const uint64_t kept = RocksOptions().min_free_bytes;
    headroom = space.available - std::min<uint64_t>(space.available, kept);
  }
  const uint64_t max_bytes = place.marks.max_bytes;
  if (max_bytes == 0) return headroom;
  const uint64_t used = UsedBytes(engine->GetStats());
  const uint64_t left = max_bytes - std::min(max_bytes, used);
  const uint64_t least =
      std::max(max_bytes / 100 * kMinHeadroomPercent, kLeastHeadroomBytes);
  return std::min(headroom, std::max(left, least));
}

}  // namespace

decltype(RunHooks::reclaim) MakeReclaimHook(Engine* engine,
                                            const ReclaimPlace& place) {
  return [engine, place](std::atomic<bool>* stop, uint32_t min_garbage_percent,
                         std::vector<std::string>* left) -> Status {
    ReclaimOptions options;
    options.headroom_bytes = HeadroomOf(engine, place);
    options.min_garbage_percent = min_garbage_percent;
    options.read_bytes_per_s = place.bytes_per_s;
    options.stop = stop;
    REPRISE_ASSIGN_OR_RETURN(ReclaimReport report,
                             ReclaimRocksSpace(*engine, options));
    *left = std::move(report.left);
    return Status();
  };
}

}  // namespace reprise
