#include "tools/eval/rate_at_kl.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace reprise {

std::vector<RatePoint> RateFrontier(std::vector<RatePoint> points) {
  std::erase_if(points, [](const RatePoint& point) {
    return !(point.bpv > 0 && point.kl > 0 && std::isfinite(point.bpv) &&
             std::isfinite(point.kl));
  });
  std::sort(points.begin(), points.end(),
            [](const RatePoint& a, const RatePoint& b) {
              return std::pair(a.bpv, a.kl) < std::pair(b.bpv, b.kl);
            });
  std::vector<RatePoint> frontier;
  for (const RatePoint& point : points) {
    if (frontier.empty() || point.kl < frontier.back().kl) {
      frontier.push_back(point);
    }
  }
  return frontier;
}

std::optional<double> RateAtKl(const std::vector<RatePoint>& points,
                               double kl) {
  const std::vector<RatePoint> frontier = RateFrontier(points);
  for (size_t i = 0; i + 1 < frontier.size(); ++i) {
    const RatePoint& worse = frontier[i];
    const RatePoint& better = frontier[i + 1];
    if (kl > worse.kl || kl < better.kl) continue;
    const double at = std::log(kl / worse.kl) / std::log(better.kl / worse.kl);
    return worse.bpv * std::pow(better.bpv / worse.bpv, at);
  }
  return std::nullopt;
}

}  // namespace reprise
