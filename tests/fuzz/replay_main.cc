// A main for fuzz targets where there is no libFuzzer. Runs the target over
// each file named, each of its prefixes, and each copy of it with one byte
// changed; a file above kThoroughBytes only whole and at kSteps places.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kThoroughBytes = 4096;
constexpr size_t kSteps = 256;

// The input lies alone in a heap block of its own size, so that ASan sees a
// read past its end.
void Run(const uint8_t* data, size_t size) {
  std::vector<uint8_t> copy(data, data + size);
  copy.shrink_to_fit();
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

uint64_t Replay(std::vector<uint8_t> input) {
  const size_t size = input.size();
  const size_t step = size <= kThoroughBytes ? 1 : size / kSteps;
  uint64_t runs = 0;
  for (size_t prefix = 0; prefix < size; prefix += step, ++runs) {
    Run(input.data(), prefix);
  }
  Run(input.data(), size);
  for (size_t i = 0; i < size; i += step) {
    for (uint8_t mask : {0x01, 0x80, 0xff}) {
      input[i] ^= mask;
      Run(input.data(), size);
      input[i] ^= mask;
      ++runs;
    }
  }
  return runs + 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "replay: no corpus file was named\n");
    return 1;
  }
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "replay: cannot open %s\n", argv[i]);
      return 1;
    }
    std::vector<uint8_t> input{std::istreambuf_iterator<char>(file), {}};
    const uint64_t runs = Replay(std::move(input));
    std::printf("%s: %llu inputs\n", argv[i],
                static_cast<unsigned long long>(runs));
  }
  return 0;
}
