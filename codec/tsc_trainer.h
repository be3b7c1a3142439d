// Calibrates `tsc`: from exact states of a model, the delta that is still
// ordinary in each plane.
#ifndef REPRISE_CODEC_TSC_TRAINER_H_
#define REPRISE_CODEC_TSC_TRAINER_H_

#include "codec/profile_trainer.h"

namespace reprise {

// A plane's bound is the 99.9-th percentile of what its tokens' largest deltas
// are, times 1.25: so far above the ordinary that about one token in a
// thousand or fewer falls back on other text, and low enough that what is out
// of the ordinary does. Of the options only kappa matters.
// kResourceExhausted with both numbers when the samples of the wanted tokens
// would not fit the memory allowed.
Result<std::unique_ptr<ProfileTrainer>> MakeTscTrainer(
    const ModelSpec& spec, const TrainerOptions& options);

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_TRAINER_H_
