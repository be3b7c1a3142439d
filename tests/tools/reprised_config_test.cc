#include "tools/reprised_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "store/ladder.h"
#include "store/policy.h"
#include "store/policy_rules.h"

namespace reprise {
namespace {

ReprisedCommand Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "reprised");
  return ParseReprisedCommand(static_cast<int>(arguments.size()),
                              arguments.data());
}

std::string FileWith(const std::string& text) {
  std::string path = testing::TempDir() + "/reprised.toml";
  std::ofstream(path) << text;
  return path;
}

// Variables for as long as this lives.
class ScopedVariables {
 public:
  struct Variable {
    std::string name;
    std::string value;
  };
  ScopedVariables(std::initializer_list<Variable> variables)
      : variables_(variables) {
    for (const Variable& variable : variables_) {
      ::setenv(variable.name.c_str(), variable.value.c_str(), 1);
    }
  }
  ~ScopedVariables() {
    for (const Variable& variable : variables_) {
      ::unsetenv(variable.name.c_str());
    }
  }
  ScopedVariables(const ScopedVariables&) = delete;
  ScopedVariables& operator=(const ScopedVariables&) = delete;

 private:
  const std::vector<Variable> variables_;
};

// A setting of each kind: string, number, size, list.
struct Settings {
  std::string dir;
  uint32_t io_threads = 0;
  uint64_t memtable_bytes = 0;
  std::vector<std::string> listen;
  bool operator==(const Settings&) const = default;
};
Settings SettingsOf(const ReprisedCommand& command) {
  EXPECT_TRUE(command.run) << command.text;
  const ReprisedConfig& config = command.config;
  return {config.dir, config.io_threads, config.memtable_bytes, config.listen};
}

TEST(ReprisedConfigTest, FlagsSetWhatTheyName) {
  ReprisedCommand command =
      Parse({"--dir", "/d", "--listen", "127.0.0.1:0", "--listen", "unix:/s",
             "--block-cache", "2GiB", "--drain-timeout", "7"});
  ASSERT_TRUE(command.run) << command.text;
  EXPECT_EQ(command.config.dir, "/d");
  EXPECT_EQ(command.config.listen,
            (std::vector<std::string>{"127.0.0.1:0", "unix:/s"}));
  EXPECT_EQ(command.config.block_cache_bytes, 2ull << 30);
  EXPECT_EQ(command.config.drain_timeout_s, 7);
  EXPECT_TRUE(command.config.admin_is_default);
}

TEST(ReprisedConfigTest, FlagsWinOverVariablesTheseOverTheFile) {
  const std::string file = FileWith(
      "dir = \"/file\"\nio-threads = 3\nmemtable = \"3MiB\"\n"
      "listen = [\"127.0.0.1:3\", \"[::1]:3\"]\n");
  const Settings in_file = {"/file", 3, 3 << 20, {"127.0.0.1:3", "[::1]:3"}};
  const Settings in_variables = {"/variable", 4, 4 << 20, {"127.0.0.1:4"}};
  const Settings in_flags = {"/flag", 5, 5 << 20, {"127.0.0.1:5"}};
  const ReprisedConfig defaults;

  EXPECT_EQ(SettingsOf(Parse({"--config", file.c_str()})), in_file);
  {
    ScopedVariables set{{"REPRISE_DIR", "/variable"},
                        {"REPRISE_IO_THREADS", "4"},
                        {"REPRISE_MEMTABLE", "4MiB"},
                        {"REPRISE_LISTEN", "127.0.0.1:4"}};
    EXPECT_EQ(SettingsOf(Parse({})), in_variables);
    EXPECT_EQ(SettingsOf(Parse({"--config", file.c_str()})), in_variables);
    EXPECT_EQ(SettingsOf(Parse({"--config", file.c_str(), "--dir", "/flag",
                                "--io-threads", "5", "--memtable", "5MiB",
                                "--listen", "127.0.0.1:5"})),
              in_flags);
  }
  const Settings by_default = {"/flag", defaults.io_threads,
                               defaults.memtable_bytes, defaults.listen};
  EXPECT_EQ(SettingsOf(Parse({"--dir", "/flag"})), by_default);
}

TEST(ReprisedConfigTest, AnEmptyVariableIsUnset) {
  const std::string file = FileWith("dir = \"/file\"\n");
  ScopedVariables set{{"REPRISE_DIR", ""}, {"REPRISE_ADMIN", ""}};
  const ReprisedCommand command = Parse({"--config", file.c_str()});
  ASSERT_TRUE(command.run) << command.text;
  EXPECT_EQ(command.config.dir, "/file");
  EXPECT_EQ(command.config.admin, ReprisedConfig().admin);
}

TEST(ReprisedConfigTest, AVariableNamesTheFileUnlessAFlagDoes) {
  const std::string file = FileWith("dir = \"/file\"\n");
  {
    ScopedVariables set{{"REPRISE_CONFIG", file}};
    EXPECT_EQ(Parse({}).config.dir, "/file");
  }
  ScopedVariables set{{"REPRISE_CONFIG", "/no/such/file"}};
  EXPECT_EQ(Parse({"--dir", "/d"}).exit_code, 2);
  EXPECT_EQ(Parse({"--config", file.c_str()}).config.dir, "/file");
}

TEST(ReprisedConfigTest, UnknownVariablesAreErrors) {
  ScopedVariables set{{"REPRISE_BLOK_CACHE", "secret"},
                      {"REPRISE_IO_THREAD", "2"},
                      {"REPRISE_DIR", "/d"}};
  for (const ReprisedCommand& command :
       {Parse({}), Parse({"--check-config"})}) {
    EXPECT_FALSE(command.run);
    EXPECT_EQ(command.exit_code, 2);
    EXPECT_NE(command.text.find("REPRISE_BLOK_CACHE"), std::string::npos)
        << command.text;
    EXPECT_NE(command.text.find("REPRISE_IO_THREAD"), std::string::npos);
    EXPECT_EQ(command.text.find("REPRISE_DIR"), std::string::npos);
    EXPECT_EQ(command.text.find("secret"), std::string::npos);
  }
  EXPECT_EQ(Parse({"--help"}).exit_code, 0);
}

TEST(ReprisedConfigTest, VariablesOfOtherProgramsAreNoErrors) {
  ScopedVariables set{{"REPRISE_SERVER", "127.0.0.1:1"},
                      {"REPRISE_TOKEN", "t"},
                      {"REPRISE_WRITE_GOLDEN", "/d"},
                      {"REPRISED", "1"}};
  EXPECT_TRUE(Parse({"--dir", "/d"}).run);
}

// What to do, unlike a setting, is said on the command line alone.
TEST(ReprisedConfigTest, CheckingIsAskedForByFlagAlone) {
  {
    ScopedVariables set{{"REPRISE_CHECK_CONFIG", "1"}};
    EXPECT_EQ(Parse({"--dir", "/d"}).exit_code, 2);
  }
  const std::string file = FileWith("dir = \"/d\"\ncheck-config = true\n");
  EXPECT_EQ(Parse({"--config", file.c_str()}).exit_code, 2);
}

TEST(ReprisedConfigTest, AVariablesValueIsChecked) {
  ScopedVariables set{{"REPRISE_IO_THREADS", "65"}};
  const ReprisedCommand command = Parse({"--dir", "/d", "--check-config"});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_NE(command.text.find("io-threads"), std::string::npos) << command.text;
}

TEST(ReprisedConfigTest, UnknownKeysAreErrors) {
  EXPECT_EQ(Parse({"--dri", "/d"}).exit_code, 2);
  std::string file = FileWith("dir = \"/d\"\nblok-cache = 5\n");
  ReprisedCommand command = Parse({"--config", file.c_str()});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_NE(command.text.find("blok-cache"), std::string::npos) << command.text;
}

TEST(ReprisedConfigTest, ValuesOutsideTheirRangeAreErrors) {
  EXPECT_EQ(Parse({"--dir", "/d", "--io-threads", "0"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--io-threads", "65"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--durability", "maybe"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--listen", "nowhere"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--admin", "nowhere"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--memtable", "lots"}).exit_code, 2);
  EXPECT_EQ(Parse({"--config", "/no/such/file"}).exit_code, 2);
}

TEST(ReprisedConfigTest, RocksdbNeedsADirectoryAndMemoryNone) {
  EXPECT_EQ(Parse({}).exit_code, 2);
  EXPECT_TRUE(Parse({"--engine", "memory"}).run);
}

TEST(ReprisedConfigTest, WhatIsPrintedCanBeRead) {
  ReprisedCommand printed =
      Parse({"--dir", "/d", "--memtable", "64MiB", "--print-config"});
  EXPECT_FALSE(printed.run);
  EXPECT_EQ(printed.exit_code, 0);
  std::string file = FileWith(printed.text);
  ReprisedCommand command = Parse({"--config", file.c_str()});
  ASSERT_TRUE(command.run) << command.text;
  EXPECT_EQ(command.config.memtable_bytes, 64ull << 20);
  EXPECT_EQ(command.config.dir, "/d");
}

// --- Policies and ladders. ---

// The codec of a tier, as the daemon would use it.
std::string CodecOf(const ReprisedCommand& command, std::string_view ladder,
                    Tier tier) {
  EXPECT_TRUE(command.run) << command.text;
  const Ladder* found = FindLadder(command.config.policies.ladders, ladder);
  const LadderTier* rung = found == nullptr ? nullptr : found->Find(tier);
  return rung == nullptr ? "none" : rung->codec_choice;
}

TEST(ReprisedConfigTest, SessionsSinkDownTheDefaultLadderByDefault) {
  const ReprisedCommand command = Parse({"--dir", "/d"});
  ASSERT_TRUE(command.run) << command.text;
  const PolicyRules& rules = command.config.policies;
  EXPECT_EQ(FormatPolicy(rules.policy),
            "exact 1h, near 1d, coarse 30d, archive 1y, tokens");
  EXPECT_EQ(rules.ttl_ms, kForeverMs);
  EXPECT_EQ(rules.ladders, BuiltInLadders());
}

TEST(ReprisedConfigTest, PoliciesComeFromFlagVariableAndFile) {
  const std::string file = FileWith(
      "dir = \"/d\"\npolicy = \"series: exact 2h, near 3d, tokens\"\n"
      "ttl = \"2y\"\n");
  const auto policy_of = [](const ReprisedCommand& command) {
    EXPECT_TRUE(command.run) << command.text;
    return FormatPolicy(command.config.policies.policy);
  };
  const ReprisedCommand from_file = Parse({"--config", file.c_str()});
  EXPECT_EQ(policy_of(from_file), "series: exact 2h, near 3d, tokens");
  EXPECT_EQ(from_file.config.policies.ttl_ms, 2 * kYearMs);
  ScopedVariables set{{"REPRISE_POLICY", "exact 4h, near 5d, tokens"}};
  EXPECT_EQ(policy_of(Parse({"--config", file.c_str()})),
            "exact 4h, near 5d, tokens");
  EXPECT_EQ(policy_of(Parse({"--config", file.c_str(), "--policy",
                             "exact 6h, near 7d, tokens"})),
            "exact 6h, near 1w, tokens");
}

TEST(ReprisedConfigTest, LaddersComeFromFlagVariableAndFile) {
  const std::string file = FileWith(
      "dir = \"/d\"\n"
      "ladder.default.near = \"klt:tier=near,stages=4\"\n"
      "[ladder.series]\n"
      "coarse = \"tsc:bits=4,kappa=8\"\n"
      "archive = \"vq:worst=0.2\"\n"
      "[ladder.mine]\n"
      "archive = \"vq\"\n");
  const ReprisedCommand from_file = Parse({"--config", file.c_str()});
  EXPECT_EQ(CodecOf(from_file, "default", Tier::kNear),
            "klt:tier=near,stages=4");
  EXPECT_EQ(CodecOf(from_file, "default", Tier::kCoarse), "klt:tier=coarse");
  EXPECT_EQ(CodecOf(from_file, "series", Tier::kNear), "tsc:bits=8");
  EXPECT_EQ(CodecOf(from_file, "series", Tier::kCoarse), "tsc:bits=4,kappa=8");
  EXPECT_EQ(CodecOf(from_file, "series", Tier::kArchive), "vq:worst=0.2");
  EXPECT_EQ(CodecOf(from_file, "mine", Tier::kArchive), "vq");
  EXPECT_EQ(CodecOf(from_file, "mine", Tier::kNear), "none");
  // What wins, wins as a whole.
  const ReprisedCommand from_flags =
      Parse({"--config", file.c_str(), "--ladder", "a.near=tsc:bits=8",
             "--ladder", "a.archive=vq:worst=0.1,centroids=64", "--policy",
             "a: exact 1h, near 1d, archive"});
  EXPECT_EQ(CodecOf(from_flags, "a", Tier::kNear), "tsc:bits=8");
  EXPECT_EQ(CodecOf(from_flags, "a", Tier::kArchive),
            "vq:worst=0.1,centroids=64");
  EXPECT_EQ(CodecOf(from_flags, "mine", Tier::kArchive), "none");
  ScopedVariables set{{"REPRISE_LADDER", "b.near=tsc:bits=8"}};
  const ReprisedCommand from_variable = Parse({"--config", file.c_str()});
  EXPECT_EQ(CodecOf(from_variable, "b", Tier::kNear), "tsc:bits=8");
  EXPECT_EQ(CodecOf(from_variable, "mine", Tier::kArchive), "none");
}

TEST(ReprisedConfigTest, ALadderAsItIsPrintedCanBeRead) {
  const ReprisedCommand printed =
      Parse({"--dir", "/d", "--policy", "mine: exact 1h, near 1d, tokens",
             "--ladder", "mine.near=tsc:bits=8,kappa=8", "--ladder",
             "default.near=klt:tier=near,stages=4", "--ttl", "90d",
             "--print-config"});
  EXPECT_EQ(printed.exit_code, 0);
  const std::string file = FileWith(printed.text);
  const ReprisedCommand command = Parse({"--config", file.c_str()});
  EXPECT_EQ(CodecOf(command, "mine", Tier::kNear), "tsc:bits=8,kappa=8")
      << printed.text;
  EXPECT_EQ(CodecOf(command, "default", Tier::kNear), "klt:tier=near,stages=4");
  EXPECT_EQ(command.config.policies.policy.ladder, "mine");
  EXPECT_EQ(command.config.policies.ttl_ms, 90 * kDayMs);
}

TEST(ReprisedConfigTest, WhatIsWrongWithAPolicyIsSaid) {
  const struct {
    std::vector<const char*> arguments;
    const char* error;
  } kCases[] = {
      {{"--policy", "exact 1h, nera"}, "policy: column 11: a tier is expected"},
      {{"--policy", "mine: exact"}, "policy: there is no ladder \"mine\""},
      {{"--policy", "mine: exact 1h, near", "--ladder", "mine.archive=vq"},
       "policy: ladder \"mine\" has no tier near"},
      {{"--ttl", "90"}, "ttl: duration: column 3: a unit is expected"},
      {{"--ladder", "series.near=vq"},
       "ladder series.near=vq: \"vq\" makes tier archive"},
      {{"--ladder", "near=vq"}, "NAME.TIER=CODEC is wanted"},
  };
  for (const auto& each : kCases) {
    std::vector<const char*> arguments = {"--dir", "/d", "--check-config"};
    arguments.insert(arguments.end(), each.arguments.begin(),
                     each.arguments.end());
    const ReprisedCommand command = Parse(arguments);
    EXPECT_EQ(command.exit_code, 2) << each.error;
    EXPECT_NE(command.text.find(each.error), std::string::npos) << command.text;
  }
  for (const char* text :
       {"[ladder]\nnear = \"vq\"\n", "[ladder.a.b]\nnear = \"vq\"\n",
        "[ladders.a]\nnear = \"vq\"\n", "[ladder.a]\nnera = \"vq\"\n"}) {
    const std::string file = FileWith(std::string("dir = \"/d\"\n") + text);
    EXPECT_EQ(Parse({"--config", file.c_str()}).exit_code, 2) << text;
  }
}

TEST(ReprisedConfigTest, SpaceIsLimitedInOrder) {
  const ReprisedConfig free = Parse({"--dir", "/d"}).config;
  EXPECT_EQ(free.space.max_bytes, 0u);
  EXPECT_EQ(free.space.high_percent, 85u);
  EXPECT_EQ(free.space.low_percent, 75u);
  const std::string file =
      FileWith("max-bytes = \"2GiB\"\nhigh-watermark = 90\n");
  const ReprisedCommand set =
      Parse({"--dir", "/d", "--low-watermark", "60", "--config", file.c_str()});
  ASSERT_TRUE(set.run) << set.text;
  EXPECT_EQ(set.config.space.max_bytes, 2ull << 30);
  EXPECT_EQ(set.config.space.high_percent, 90u);
  EXPECT_EQ(set.config.space.low_percent, 60u);
  const ReprisedCommand swapped =
      Parse({"--dir", "/d", "--low-watermark", "90"});
  EXPECT_EQ(swapped.exit_code, 2);
  EXPECT_NE(swapped.text.find("low watermark is 90 %"), std::string::npos);
  EXPECT_NE(swapped.text.find("85 %"), std::string::npos);
  const ReprisedCommand no_room =
      Parse({"--dir", "/d", "--high-watermark", "96"});
  EXPECT_EQ(no_room.exit_code, 2);
  EXPECT_NE(no_room.text.find("high watermark is 96 %"), std::string::npos);
  EXPECT_EQ(Parse({"--dir", "/d", "--low-watermark", "0"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--max-bytes", "much"}).exit_code, 2);
}

TEST(ReprisedConfigTest, CheckingRunsNothing) {
  ReprisedCommand good = Parse({"--dir", "/d", "--check-config"});
  EXPECT_FALSE(good.run);
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(Parse({"--check-config"}).exit_code, 2);
}

TEST(ReprisedConfigTest, CompactionsAreHourlyAndLimitedUnlessSetOtherwise) {
  const ReprisedConfig usual = Parse({"--dir", "/d"}).config;
  EXPECT_EQ(usual.compact_interval_s, 3600);
  EXPECT_EQ(usual.compact_bytes_per_s, 64ull << 20);
  EXPECT_EQ(usual.compact_threads, 1u);
  EXPECT_EQ(usual.profile_memory_bytes, 0u);
  const std::string file = FileWith(
      "compact-interval = 0\ncompact-rate = \"8MiB\"\ncompact-threads = 3\n");
  const ReprisedCommand set = Parse({"--dir", "/d", "--config", file.c_str()});
  ASSERT_TRUE(set.run) << set.text;
  EXPECT_EQ(set.config.compact_interval_s, 0);
  EXPECT_EQ(set.config.compact_bytes_per_s, 8ull << 20);
  EXPECT_EQ(set.config.compact_threads, 3u);
  EXPECT_EQ(usual.max_commit_s, 60);
  EXPECT_EQ(Parse({"--dir", "/d", "--max-commit", "2"}).config.max_commit_s, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--max-commit", "0"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--max-commit", "601"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--compact-threads", "0"}).exit_code, 2);
  EXPECT_EQ(Parse({"--dir", "/d", "--compact-interval", "-1"}).exit_code, 2);
}

TEST(ReprisedConfigTest, HelpNamesEveryOption) {
  ReprisedCommand help = Parse({"--help"});
  EXPECT_FALSE(help.run);
  EXPECT_EQ(help.exit_code, 0);
  for (const char* option :
       {"--dir", "--listen", "--admin", "--durability", "--collect-interval",
        "--compact-interval", "--compact-rate", "--log-level"}) {
    EXPECT_NE(help.text.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace reprise
