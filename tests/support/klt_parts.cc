#include "tests/support/klt_parts.h"

#include <gtest/gtest.h>

#include "codec/klt_groups.h"

namespace reprise {

KltProfileParts PlainKltParts(const ModelSpec& spec, uint32_t layers) {
  KltProfileParts parts;
  const Status planned = PlanKltGroups(spec, layers, &parts);
  EXPECT_TRUE(planned.ok()) << planned.ToString();
  parts.step = 0.25;
  parts.raw_first = 1;
  parts.lo0 = parts.lo1 = kKltLevelOfStep - 7;
  parts.exponents.fill(1);
  parts.exponents[kKltMeanExponent] = kKltSlots - (kKltExponents - 1);
  KltMagnitudeTable magnitudes;
  magnitudes.fill(kKltSlots / kKltMagnitudes);
  parts.magnitudes = {magnitudes};
  parts.refining = {{{{1000, 0}, {1000, 1000}, {1000, 1000}}}};
  for (KltGroupParts& group : parts.groups) {
    group.mu.assign(group.n, 0.0f);
    group.dec.assign(group.n, 0x1p-6f);
    group.enc.assign(group.n, 0x1p-6f);
    group.regressor.by_channel.assign(group.n, 0.0f);
    group.regressor.by_norm.assign(parts.PlanesOf(group).size(), 0.0f);
    group.levels.assign(group.rows(), kKltLevelOfStep + 9);
    group.hi.assign(uint64_t{group.n} * group.n, 0);
    for (uint32_t j = 0; j < group.n; ++j) {
      group.hi[uint64_t{j} * group.n + j] = 64;
    }
  }
  const Status checked = CheckKltProfile(parts);
  EXPECT_TRUE(checked.ok()) << checked.ToString();
  return parts;
}

}  // namespace reprise
