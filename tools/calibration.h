// Trains a codec's profile from exact state that a daemon holds.
#ifndef REPRISE_TOOLS_CALIBRATION_H_
#define REPRISE_TOOLS_CALIBRATION_H_

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "client/client.h"
#include "codec/codec.h"

namespace reprise {

struct CalibrationRequest {
  // What is fixed in the profile is taken from its options.
  CodecChoice codec;
  ModelId model;
  // Sessions whose names start so, in the order of their names.
  std::string prefix;
  // At most so many; 0: as many as the trainer wants.
  uint64_t max_tokens = 0;
  uint64_t max_memory_bytes = 2ull << 30;
  uint64_t seed = 1;
};

struct CalibrationResult {
  Bytes profile;
  uint64_t sessions = 0;  // that gave at least a segment
  // Distinct: what sessions share counts once.
  uint64_t tokens = 0;
};

enum class CalibrationStep { kRead, kFit };
using CalibrationProgress =
    std::function<void(CalibrationStep step, uint64_t done, uint64_t total)>;

// Reads whole segments of tier and basis exact, each distinct segment once,
// and fits. Two stores with the same sessions give the same bytes.
// Memory: the trainer's, and a state of 512 tokens.
// kFailedPrecondition with both numbers when there are too few tokens;
// kResourceExhausted over max_memory_bytes; errors of Client::Restore.
Result<CalibrationResult> Calibrate(Client* client,
                                    const CalibrationRequest& request,
                                    const CalibrationProgress& progress);

}  // namespace reprise

#endif  // REPRISE_TOOLS_CALIBRATION_H_
