// From the points of one codec, each with a rate and a divergence: at which
// rate would it reach a given one? So codecs can be compared at equal quality.
#ifndef REPRISE_TOOLS_EVAL_RATE_AT_KL_H_
#define REPRISE_TOOLS_EVAL_RATE_AT_KL_H_

#include <optional>
#include <vector>

namespace reprise {

// The divergences that reports name.
inline constexpr double kReportedKl[] = {0.05, 0.01, 0.001};

struct RatePoint {
  double bpv = 0;  // stored bits a value
  double kl = 0;   // mean, nats
};

// The points that are better than every cheaper one, by rising rate: what the
// codec has to offer. Points without a finite positive rate and divergence are
// left out: they have no place on logarithmic axes.
std::vector<RatePoint> RateFrontier(std::vector<RatePoint> points);

// Between the two points of the frontier beside `kl`, on a straight line in
// log rate over log divergence. Nothing where `kl` is outside of the points:
// nothing is extrapolated.
std::optional<double> RateAtKl(const std::vector<RatePoint>& points, double kl);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_RATE_AT_KL_H_
