// Options as people type them: "bits=8,kappa=64". A codec takes out the keys
// that it knows, then Finish() refuses what is left.
#ifndef REPRISE_CODEC_OPTION_LIST_H_
#define REPRISE_CODEC_OPTION_LIST_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace reprise {

// Errors are kept until Finish(), the first one wins; values stay as they are
// where a key is absent or wrong.
class OptionList {
 public:
  // `codec` names the codec in messages.
  OptionList(std::string_view codec, std::string_view text);

  // Whole numbers within [min, max].
  void Take(std::string_view key, uint32_t min, uint32_t max, uint32_t* value);
  void Take(std::string_view key, int min, int max, int* value);
  // Finite numbers within [min, max].
  void Take(std::string_view key, double min, double max, double* value);
  // One of some words; `index` is which.
  void Take(std::string_view key, std::span<const std::string_view> words,
            uint32_t* index);

  // kInvalidArgument with the key, its value and what is allowed: for text
  // that is no list of key=value, for a key that nobody took or that is there
  // twice, and for values out of range.
  Status Finish() const;

 private:
  template <typename T>
  void TakeWhole(std::string_view key, T min, T max, T* value);

  struct Option {
    std::string key;
    std::string value;
  };

  // Removes and returns the key's value; null when it is absent.
  const std::string* Find(std::string_view key);
  void Refuse(std::string_view key, std::string_view value,
              std::string_view allowed);

  std::string codec_;
  std::vector<Option> left_;
  std::string taken_;  // value of the last Find
  std::vector<std::string> known_;
  Status status_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_OPTION_LIST_H_
