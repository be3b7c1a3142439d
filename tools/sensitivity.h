// Training with gradients by the Python program of tools/calibrate, which
// needs PyTorch: found, checked and run as a program of its own.
#ifndef REPRISE_TOOLS_SENSITIVITY_H_
#define REPRISE_TOOLS_SENSITIVITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

struct SensitivityRequest {
  std::string model_file;          // GGUF, or a Hugging Face folder
  std::string out;                 // the profile
  std::vector<std::string> texts;  // none: the repository's own
  uint64_t tokens = 0;             // 0: the program's default
  uint32_t layers = 0;             // of a group; 0: likewise
};

// Its output goes to stderr. kFailedPrecondition, with what to install, when
// the program, Python or one of its packages is missing; kInternal when it
// fails, after what it said itself.
//
// The program is $REPRISE_CALIBRATE, or calibrate/calibrate.py beside this
// one, or in a build. Python is $REPRISE_PYTHON, or that of the environment
// that `./dev calibrate` makes, or python3.
Status TrainWithSensitivity(const SensitivityRequest& request);

}  // namespace reprise

#endif  // REPRISE_TOOLS_SENSITIVITY_H_
