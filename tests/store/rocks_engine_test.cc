#include "store/rocks_engine.h"

#include "tests/store/engine_conformance.h"
#include "tests/store/scratch_directory.h"

namespace reprise {
namespace {

class RocksUnderTest final : public StoreUnderTest {
 public:
  std::unique_ptr<Engine> OpenHandle() override {
    if (first_ != nullptr) return ShareRocksEngine(*first_);
    RocksOptions options;
    options.directory = directory_.path();
    Result<std::unique_ptr<Engine>> opened = OpenRocksEngine(options);
    if (!opened.ok()) ADD_FAILURE() << opened.status().ToString();
    first_ = opened->get();
    return *std::move(opened);
  }

 private:
  ScratchDirectory directory_;
  Engine* first_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(
    Rocks, EngineConformance,
    ::testing::Values(EngineParam{
        "rocksdb", [] { return std::make_unique<RocksUnderTest>(); }}),
    EngineParamName);

}  // namespace
}  // namespace reprise
