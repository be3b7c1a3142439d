// What a profile's notes say of its tiers (docs/format/profile.md): the KL that
// was measured of each when the profile was made.
#ifndef REPRISE_TOOLS_MEASURED_KL_H_
#define REPRISE_TOOLS_MEASURED_KL_H_

#include <map>
#include <string>

#include "codec/codec.h"
#include "codec/tier.h"

namespace reprise {

// In nats, mean KL(exact || tier) a token; of the tiers that the notes have
// one of. Notes are anybody's text: what is no such number is not there.
std::map<Tier, double> MeasuredKlOf(const CodecProfile& profile);

// "0.0014": two digits, for those of a measurement on a few texts.
std::string KlText(double kl);

}  // namespace reprise

#endif  // REPRISE_TOOLS_MEASURED_KL_H_
