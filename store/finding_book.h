// What a walk over a store has found so far, in bounded memory. Inside of the
// walk only.
#ifndef REPRISE_STORE_FINDING_BOOK_H_
#define REPRISE_STORE_FINDING_BOOK_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "store/check_report.h"

namespace reprise {

// Not thread-safe.
class FindingBook {
 public:
  static constexpr size_t kNoFinding = SIZE_MAX;
  // A segment, tail or commit that is not what it was, by domain and id.
  struct Bad {
    uint8_t lost_tier = 0;     // 0: not of a tier: the object or record
    Tier left = Tier::kExact;  // at best, where nothing was changed yet
    size_t finding = kNoFinding;
  };

  // The place among report.findings, or kNoFinding when there is no room.
  size_t Add(FsckFinding finding) {
    ++report.finding_count;
    if (report.findings.size() >= FsckReport::kMostFindings) return kNoFinding;
    report.findings.push_back(std::move(finding));
    return report.findings.size() - 1;
  }
  // Keeps the first finding and the worst of it; what is beyond kMostBad is not
  // traced to its sessions.
  void AddBad(const std::string& key, const Bad& bad) {
    if (bad_.size() >= kMostBad && !bad_.contains(key)) return;
    const auto [it, is_new] = bad_.try_emplace(key, bad);
    if (is_new) return;
    Bad& old = it->second;
    if (bad.lost_tier != 0 &&
        (old.lost_tier == 0 || bad.lost_tier < old.lost_tier)) {
      old.lost_tier = bad.lost_tier;
    }
    old.left = WorseOf(old.left, bad.left);
  }
  const Bad* FindBad(const std::string& key) const {
    const auto it = bad_.find(key);
    return it == bad_.end() ? nullptr : &it->second;
  }
  // Names the session in a finding that has none yet.
  void NameSession(size_t finding, const std::string& session, uint64_t token) {
    if (finding == kNoFinding) return;
    FsckFinding& found = report.findings[finding];
    if (!found.session.empty()) return;
    found.session = session;
    found.recompute_from_token = token;
  }
  void AddTouched(TouchedSession touched) {
    ++report.touched_count;
    if (report.touched.size() >= FsckReport::kMostFindings) return;
    report.touched.push_back(std::move(touched));
  }
  // Whether this place was found in this run; notes it.
  bool IsNewPlace(const std::string& key) {
    return places_.size() >= kMostBad ||
           places_.insert(Checksum(AsBytes(key))).second;
  }

  FsckReport report;

 private:
  static constexpr size_t kMostBad = 65'536;
  std::unordered_map<std::string, Bad> bad_;
  std::unordered_set<uint64_t> places_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_FINDING_BOOK_H_
