// What every storage engine must pass. A test of an engine instantiates the
// suite with a factory of empty stores:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, EngineConformance,
//                            ::testing::Values(EngineParam{"memory", Make}),
//                            EngineParamName);
//
// The cases see promises of store/engine.h only. Two handles on one store are
// used wherever that could matter.
#ifndef REPRISE_TESTS_STORE_ENGINE_CONFORMANCE_H_
#define REPRISE_TESTS_STORE_ENGINE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/engine.h"

namespace reprise {

// An empty store that gives out handles on itself.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual std::unique_ptr<Engine> OpenHandle() = 0;
};

struct EngineParam {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>()> make_store;
};
std::string EngineParamName(const ::testing::TestParamInfo<EngineParam>& info);

class EngineConformance : public ::testing::TestWithParam<EngineParam> {
 protected:
  void SetUp() override;

  // Two handles on one store; `engine_` is the first.
  Engine* engine_ = nullptr;
  Engine* other_ = nullptr;

  // Shorthands that fail the test when the call does.
  void Put(ObjectSpace space, std::string_view key, std::string_view value,
           Epoch epoch = 1);
  std::string Get(ObjectSpace space, std::string_view key);
  bool Present(ObjectSpace space, std::string_view key);
  bool Touch(ObjectSpace space, std::string_view key, Epoch epoch);
  uint64_t Remove(ObjectSpace space, std::string_view key, Epoch epoch);
  HeadVersion Swap(HeadSpace space, std::string_view key, HeadVersion expected,
                   std::string_view value);
  std::vector<std::string> ListKeys(ObjectSpace space, std::string_view prefix,
                                    std::string_view cursor = "",
                                    uint32_t limit = 100);
  std::vector<std::string> ListHeadKeys(HeadSpace space,
                                        std::string_view prefix,
                                        std::string_view cursor = "",
                                        uint32_t limit = 100);

 private:
  std::unique_ptr<StoreUnderTest> store_;
  std::unique_ptr<Engine> first_;
  std::unique_ptr<Engine> second_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_STORE_ENGINE_CONFORMANCE_H_
