// Random scripts of changes to a store, and its whole content as text: for
// tests that pull the plug and compare what is left with what was.
#ifndef REPRISE_TESTS_STORE_STORE_SCRIPT_H_
#define REPRISE_TESTS_STORE_STORE_SCRIPT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "store/engine.h"

namespace reprise {

struct ScriptStep {
  enum class Kind : uint8_t {
    kPut,
    kTouch,
    kRemove,
    kSwap,
    kRemoveHead,
    kSync
  };
  Kind kind = Kind::kPut;
  std::vector<std::string> keys;  // of a batch; heads: the first
  uint64_t seed = 0;              // of the values
  Epoch epoch = 1;
  Durability durability = Durability::kWritten;
};

// The same for the same arguments. Values are small and, now and then, of
// several blocks; keys come again and again.
std::vector<ScriptStep> MakeScript(uint64_t seed, size_t count);

// Does one step; its answers follow from the store's content alone.
Status RunStep(Engine* engine, const ScriptStep& step);

// Every object and record with its size, checksum and epoch, in order. Or
// why it can't be read.
std::string DumpStore(Engine* engine);

}  // namespace reprise

#endif  // REPRISE_TESTS_STORE_STORE_SCRIPT_H_
