// Profiles for tests that store with a codec and look at nothing in its tables.
#ifndef REPRISE_TESTS_SUPPORT_TRAINED_PROFILE_H_
#define REPRISE_TESTS_SUPPORT_TRAINED_PROFILE_H_

#include "base/bytes.h"
#include "base/status.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise {

// Trained on as little as the codec takes, of made-up typical values of the
// model's first layer group. Errors of the trainer.
Result<Bytes> TrainProfile(CodecId codec, const ModelSpec& spec);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_TRAINED_PROFILE_H_
