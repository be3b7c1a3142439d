// The reference engine: everything in maps, behind one mutex. For tests and
// as the model that other engines are compared with.
#ifndef REPRISE_STORE_MEMORY_ENGINE_H_
#define REPRISE_STORE_MEMORY_ENGINE_H_

#include <memory>

#include "store/engine.h"

namespace reprise {

// A store in memory; handles opened on the same one see the same data.
class MemoryStore;
std::shared_ptr<MemoryStore> MakeMemoryStore();
std::unique_ptr<Engine> OpenMemoryEngine(std::shared_ptr<MemoryStore> store);

}  // namespace reprise

#endif  // REPRISE_STORE_MEMORY_ENGINE_H_
