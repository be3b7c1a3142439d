#include "tests/store/store_script.h"

#include <random>

#include "base/hash.h"

namespace reprise {
namespace {

using Kind = ScriptStep::Kind;

constexpr int kKeys = 12;

ObjectSpace SpaceOf(const std::string& key) {
  return key.back() % 2 == 0 ? ObjectSpace::kFrameExact : ObjectSpace::kSegment;
}

HeadSpace HeadSpaceOf(const std::string& key) {
  return key.back() % 2 == 0 ? HeadSpace::kSession : HeadSpace::kRendition;
}

Bytes MakeValue(uint64_t seed) {
  std::mt19937_64 random(seed);
  const uint64_t roll = random() % 10;
  const size_t size = roll == 0 ? random() % 90'000 : random() % 6'000;
  Bytes value(size);
  for (uint8_t& b : value) b = static_cast<uint8_t>(random() >> 11);
  return value;
}

std::vector<ObjectRef> Refs(const ScriptStep& step) {
  std::vector<ObjectRef> refs;
  for (const std::string& key : step.keys) refs.push_back({SpaceOf(key), key});
  return refs;
}

Status RunPut(Engine* engine, const ScriptStep& step) {
  std::vector<Bytes> values;
  for (size_t i = 0; i < step.keys.size(); ++i) {
    values.push_back(MakeValue(step.seed + i));
  }
  std::vector<ObjectPut> puts;
  for (size_t i = 0; i < step.keys.size(); ++i) {
    puts.push_back({SpaceOf(step.keys[i]), step.keys[i], values[i]});
  }
  return engine->Put(puts, step.epoch, step.durability);
}

Result<HeadVersion> VersionOf(Engine* engine, const std::string& key) {
  const auto head = engine->GetHead(HeadSpaceOf(key), key);
  if (head.ok()) return head->version;
  if (head.status().Is(StatusCode::kNotFound)) return HeadVersion{0};
  return head.status();
}

}  // namespace

std::vector<ScriptStep> MakeScript(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<ScriptStep> script(count);
  for (ScriptStep& step : script) {
    const Kind kinds[] = {Kind::kPut,    Kind::kPut,    Kind::kPut,
                          Kind::kTouch,  Kind::kSwap,   Kind::kSwap,
                          Kind::kRemove, Kind::kRemove, Kind::kRemoveHead,
                          Kind::kSync};
    step.kind = kinds[random() % std::size(kinds)];
    step.seed = random();
    step.epoch = 1 + random() % 4;
    const size_t keys = 1 + random() % 4;
    for (size_t i = 0; i < keys; ++i) {
      step.keys.push_back("key " + std::string(1, 'a' + random() % kKeys));
    }
    if (random() % 4 == 0 || step.kind == Kind::kSync) {
      step.durability = Durability::kSynced;
    }
    // These two have no durability of their own.
    if (step.kind == Kind::kTouch || step.kind == Kind::kRemove) {
      step.durability = Durability::kWritten;
    }
  }
  return script;
}

Status RunStep(Engine* engine, const ScriptStep& step) {
  const std::string& key = step.keys[0];
  switch (step.kind) {
    case Kind::kPut:
      return RunPut(engine, step);
    case Kind::kTouch: {
      std::vector<bool> present;
      return engine->Touch(Refs(step), step.epoch, &present);
    }
    case Kind::kRemove:
      return engine->RemoveIfUntouched(Refs(step), step.epoch).status();
    case Kind::kSwap: {
      REPRISE_ASSIGN_OR_RETURN(const HeadVersion version,
                               VersionOf(engine, key));
      return engine
          ->CompareAndSwap(HeadSpaceOf(key), key, version, MakeValue(step.seed),
                           step.durability)
          .status();
    }
    case Kind::kRemoveHead: {
      REPRISE_ASSIGN_OR_RETURN(const HeadVersion version,
                               VersionOf(engine, key));
      return engine->RemoveHead(HeadSpaceOf(key), key, version,
                                step.durability);
    }
    case Kind::kSync:
      return engine->Sync();
  }
  return InternalError("script: unknown step");
}

std::string DumpStore(Engine* engine) {
  std::string dump;
  const auto add = [&](std::string_view space, std::string_view key,
                       ByteView value) {
    dump += std::string(space) + "/" + std::string(key) + " " +
            std::to_string(value.size()) + " " +
            std::to_string(Checksum(value));
  };
  for (const ObjectSpace space : kAllObjectSpaces) {
    std::vector<ObjectStore::Listed> listed;
    const Status status = engine->List(space, "", "", 1000, &listed);
    if (!status.ok()) return status.ToString();
    for (const auto& entry : listed) {
      const auto got = engine->Get({space, entry.key});
      if (!got.ok()) return entry.key + ": " + got.status().ToString();
      add(ObjectSpaceName(space), entry.key, got->view());
      dump += " @" + std::to_string(entry.epoch) + "\n";
      if (got->size() != entry.bytes) return entry.key + ": index is wrong";
    }
  }
  for (const HeadSpace space : kAllHeadSpaces) {
    std::vector<HeadStore::ListedHead> listed;
    const Status status = engine->ListHeads(space, "", "", 1000, &listed);
    if (!status.ok()) return status.ToString();
    for (const auto& head : listed) {
      add(HeadSpaceName(space), head.key, head.record.value.view());
      dump += "\n";
    }
  }
  return dump;
}

}  // namespace reprise
