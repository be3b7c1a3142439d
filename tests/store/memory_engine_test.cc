#include "store/memory_engine.h"

#include "tests/store/engine_conformance.h"

namespace reprise {
namespace {

class MemoryUnderTest final : public StoreUnderTest {
 public:
  std::unique_ptr<Engine> OpenHandle() override {
    return OpenMemoryEngine(store_);
  }

 private:
  std::shared_ptr<MemoryStore> store_ = MakeMemoryStore();
};

INSTANTIATE_TEST_SUITE_P(
    Memory, EngineConformance,
    ::testing::Values(EngineParam{
        "memory", [] { return std::make_unique<MemoryUnderTest>(); }}),
    EngineParamName);

}  // namespace
}  // namespace reprise
