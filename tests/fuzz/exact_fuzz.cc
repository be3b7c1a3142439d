// Profiles of `exact` and the tables of its frames: the bytes as they are,
// then with size and checksum made right, so that mutations reach the checks
// behind them. What is accepted is written back as the same bytes, and its
// channels can be looked up anywhere.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "codec/exact_own_tables.h"
#include "codec/exact_profile_format.h"

namespace reprise {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void LookUp(const ExactProfile& profile) {
  const auto lanes = std::make_unique<ExactChannels>();
  for (const ExactPlane& plane : profile.parts().planes) {
    Require(profile.FindPlane(plane.layer, plane.plane) != nullptr);
    const uint32_t count = plane.channels() < kExactMaxChannels
                               ? plane.channels()
                               : kExactMaxChannels;
    for (const uint32_t token : {0u, 64u, 0xffffffc0u}) {
      profile.FillChannels(plane, token, plane.channels() - count, count,
                           lanes.get());
      for (uint32_t c = 0; c < count; ++c) {
        Require(lanes->table_slot[c] <
                profile.set(plane.set).table_count() * kExactSlots);
        Require(lanes->offset[c] <= plane.split.key_mask());
      }
    }
  }
}

void ParseProfile(const Bytes& bytes) {
  const auto profile = ExactProfile::Parse(bytes);
  if (!profile.ok()) return;
  Require(EncodeExactProfile((*profile)->parts()) == bytes);
  LookUp(**profile);
}

void ParseTables(ByteView bytes) {
  const auto tables = std::make_unique<ExactOwnTables>();
  if (!LoadExactOwnTables(bytes, tables.get()).ok()) return;
  Bytes again(bytes.size());
  StoreExactOwnTables(*tables, again.data());
  Require(BytesEqual(again, bytes));
}

void Fuzz(Bytes bytes) {
  ParseProfile(bytes);
  ParseTables(bytes);
  constexpr uint64_t kHeaderBytes = 48;
  if (bytes.size() < kHeaderBytes) return;
  StoreLe<uint64_t>(bytes.data() + 24, bytes.size());
  StoreLe<uint64_t>(bytes.data() + 40,
                    Checksum(ByteView(bytes).first(40),
                             ByteView(bytes).subspan(kHeaderBytes)));
  ParseProfile(bytes);
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reprise::Fuzz(reprise::Bytes(data, data + size));
  return 0;
}
