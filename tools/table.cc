#include "tools/table.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace reprise {

Table::Table(std::vector<std::string> titles) : titles_(std::move(titles)) {}

void Table::Add(std::vector<std::string> cells) {
  REPRISE_CHECK(cells.size() == titles_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<bool> right(titles_.size());
  std::vector<std::string> titles = titles_;
  std::vector<size_t> widths(titles_.size());
  for (size_t i = 0; i < titles.size(); ++i) {
    right[i] = titles[i].starts_with('>');
    if (right[i]) titles[i].erase(0, 1);
    widths[i] = titles[i].size();
    for (const auto& row : rows_)
      widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  const auto append = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string space(widths[i] - cells[i].size(), ' ');
      line += right[i] ? space + cells[i] : cells[i] + space;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  append(titles);
  for (const auto& row : rows_) append(row);
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f %s" : "%.1f %s", value,
                kUnits[unit]);
  return text;
}

std::string FormatTime(int64_t wall_ms) {
  if (wall_ms == 0) return "-";
  const std::time_t seconds = wall_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

Result<int64_t> ParseTime(const std::string& text) {
  // What a text of each length looks like, with 0 for any digit.
  static constexpr std::string_view kShapes[] = {
      "0000-00-00", "0000-00-00 00:00", "0000-00-00 00:00:00"};
  std::string wanted = text;
  if (wanted.ends_with('Z')) wanted.pop_back();
  if (wanted.size() > 10 && wanted[10] == 'T') wanted[10] = ' ';
  std::string shape = wanted;
  for (char& c : shape) c = c >= '0' && c <= '9' ? '0' : c;
  const Status refused = InvalidArgumentError(
      "time: a time in UTC is expected, such as 2027-01-31 or "
      "2027-01-31T12:00:00");
  if (std::ranges::find(kShapes, shape) == std::end(kShapes)) return refused;
  std::tm parts{};
  std::sscanf(wanted.c_str(), "%4d-%2d-%2d %2d:%2d:%2d", &parts.tm_year,
              &parts.tm_mon, &parts.tm_mday, &parts.tm_hour, &parts.tm_min,
              &parts.tm_sec);
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const int64_t wall_ms = int64_t{timegm(&parts)} * 1000;
  // 31 February becomes a day of March: not what was written.
  if (wall_ms <= 0 || !FormatTime(wall_ms).starts_with(wanted)) return refused;
  return wall_ms;
}

std::string FormatCount(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string Printable(const std::string& text) {
  std::string result = text;
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return result;
}

}  // namespace reprise
