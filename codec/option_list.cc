#include "codec/option_list.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "codec/message.h"

namespace reprise {
namespace {

// The whole of `text` as a number; false when it is none.
template <typename T>
bool ParseNumber(std::string_view text, T* out) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *out);
  return error == std::errc() && stop == end;
}

std::string_view NextItem(std::string_view* text) {
  const size_t comma = std::min(text->find(','), text->size());
  const std::string_view item = text->substr(0, comma);
  text->remove_prefix(std::min(comma + 1, text->size()));
  return item;
}

}  // namespace

OptionList::OptionList(std::string_view codec, std::string_view text)
    : codec_(codec) {
  while (!text.empty()) {
    const std::string_view item = NextItem(&text);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      Refuse("options", item, "key=value, with commas between");
      continue;
    }
    const std::string_view key = item.substr(0, equals);
    for (const Option& option : left_) {
      if (option.key == key) Refuse(key, "there twice", "once");
    }
    left_.push_back({std::string(key), std::string(item.substr(equals + 1))});
  }
}

const std::string* OptionList::Find(std::string_view key) {
  known_.emplace_back(key);
  const auto found =
      std::find_if(left_.begin(), left_.end(),
                   [&](const Option& option) { return option.key == key; });
  if (found == left_.end()) return nullptr;
  taken_ = std::move(found->value);
  left_.erase(found);
  return &taken_;
}

template <typename T>
void OptionList::TakeWhole(std::string_view key, T min, T max, T* value) {
  const std::string* text = Find(key);
  if (text == nullptr) return;
  T number = 0;
  if (ParseNumber(*text, &number) && number >= min && number <= max) {
    *value = number;
    return;
  }
  Refuse(key, *text, CatMessage("whole numbers from ", min, " to ", max));
}

void OptionList::Take(std::string_view key, uint32_t min, uint32_t max,
                      uint32_t* value) {
  TakeWhole(key, min, max, value);
}

void OptionList::Take(std::string_view key, int min, int max, int* value) {
  TakeWhole(key, min, max, value);
}

void OptionList::Take(std::string_view key, double min, double max,
                      double* value) {
  const std::string* text = Find(key);
  if (text == nullptr) return;
  double number = 0;
  if (ParseNumber(*text, &number) && std::isfinite(number) && number >= min &&
      number <= max) {
    *value = number;
    return;
  }
  Refuse(key, *text, CatMessage("numbers from ", min, " to ", max));
}

void OptionList::Take(std::string_view key,
                      std::span<const std::string_view> words,
                      uint32_t* index) {
  const std::string* text = Find(key);
  if (text == nullptr) return;
  const auto found = std::find(words.begin(), words.end(), *text);
  if (found != words.end()) {
    *index = static_cast<uint32_t>(found - words.begin());
    return;
  }
  std::string allowed;
  for (const std::string_view word : words) {
    allowed += allowed.empty() ? "" : ", ";
    allowed += word;
  }
  Refuse(key, *text, allowed);
}

void OptionList::Refuse(std::string_view key, std::string_view value,
                        std::string_view allowed) {
  if (!status_.ok()) return;
  status_ = InvalidArgumentError(CatMessage(codec_, ": ", key, " is \"", value,
                                            "\", allowed are ", allowed));
}

Status OptionList::Finish() const {
  if (!status_.ok() || left_.empty()) return status_;
  std::string known;
  for (const std::string& key : known_) {
    known += known.empty() ? "" : ", ";
    known += key;
  }
  return InvalidArgumentError(CatMessage(codec_, ": has no option \"",
                                         left_[0].key, "\", it has ",
                                         known.empty() ? "none" : known));
}

}  // namespace reprise
