// Plain text that people read in a terminal: aligned columns, sizes, times.
#ifndef REPRISE_TOOLS_TABLE_H_
#define REPRISE_TOOLS_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

// Rows of cells, each column as wide as its widest cell. A column whose title
// starts with '>' is aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> titles);
  // REQUIRES: as many cells as titles.
  void Add(std::vector<std::string> cells);
  size_t row_count() const { return rows_.size(); }
  // With titles; ends in a newline.
  std::string ToString() const;

 private:
  std::vector<std::string> titles_;
  std::vector<std::vector<std::string>> rows_;
};

// "0 B", "999 B", "1.5 KiB", "12 MiB".
std::string FormatBytes(uint64_t bytes);
// "2026-11-24 15:23:16" in UTC; "-" for 0.
std::string FormatTime(int64_t wall_ms);
// The way back: "2026-11-24", with " 15:23" or " 15:23:16" behind it or not,
// where "T" may stand for the blank and "Z" at the end. kInvalidArgument for
// other text, for days that there are not, and for 1970 and before.
Result<int64_t> ParseTime(const std::string& text);
// "1,234,567".
std::string FormatCount(uint64_t count);
// With control bytes replaced by '?': names come from others.
std::string Printable(const std::string& text);

}  // namespace reprise

#endif  // REPRISE_TOOLS_TABLE_H_
