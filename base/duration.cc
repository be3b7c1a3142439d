#include "base/duration.h"

#include <cstddef>

namespace reprise {
namespace {

struct Unit {
  char letter;
  int64_t ms;
};
// Largest first: FormatDuration takes the first that divides.
constexpr Unit kUnits[] = {{'y', kYearMs}, {'w', kWeekMs},   {'d', kDayMs},
                           {'h', kHourMs}, {'m', kMinuteMs}, {'s', kSecondMs}};

constexpr char kNumberExpected[] =
    "a duration is expected, a whole number from 1 on and a unit (s, m, h, d, "
    "w or y), such as 30d";
constexpr char kUnitExpected[] =
    "a unit is expected: s, m, h, d, w (7 days) or y (365 days)";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

const Unit* FindUnit(char letter) {
  for (const Unit& unit : kUnits) {
    if (unit.letter == letter) return &unit;
  }
  return nullptr;
}

}  // namespace

Result<int64_t> TakeDuration(std::string_view* text) {
  if (text->empty() || !IsDigit(text->front()) || text->front() == '0') {
    return InvalidArgumentError(kNumberExpected);
  }
  // More than any unit takes counts as that: the digits go on all the same.
  int64_t count = 0;
  size_t size = 0;
  for (; size < text->size() && IsDigit((*text)[size]); ++size) {
    if (count <= kMaxDurationMs) count = count * 10 + ((*text)[size] - '0');
  }
  const Unit* const unit =
      size < text->size() ? FindUnit((*text)[size]) : nullptr;
  if (unit == nullptr) {
    text->remove_prefix(size);
    return InvalidArgumentError(kUnitExpected);
  }
  const int64_t most = kMaxDurationMs / unit->ms;
  if (count > most) {
    return InvalidArgumentError(
        "the duration is over the limit of 1000y, which is " +
        std::to_string(most) + unit->letter);
  }
  text->remove_prefix(size + 1);
  return count * unit->ms;
}

Result<int64_t> ParseDuration(std::string_view text) {
  std::string_view rest = text;
  Result<int64_t> ms = TakeDuration(&rest);
  if (ms.ok() && !rest.empty()) {
    ms = InvalidArgumentError("the end is expected after the unit");
  }
  if (ms.ok()) return ms;
  return ms.status().WithContext("duration: column " +
                                 std::to_string(text.size() - rest.size() + 1));
}

std::string FormatDuration(int64_t ms) {
  if (ms > 0) {
    for (const Unit& unit : kUnits) {
      if (ms % unit.ms == 0) return std::to_string(ms / unit.ms) + unit.letter;
    }
  }
  std::string text = std::to_string(ms / kSecondMs);
  if (const int64_t part = ms % kSecondMs; part != 0) {
    // Three digits, without zeros at the end.
    std::string digits = std::to_string(kSecondMs + part).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += "." + digits;
  }
  return text + "s";
}

}  // namespace reprise
