#include "tools/reprised_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

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

TEST(ReprisedConfigTest, FlagsWinOverTheFileAndItOverVariables) {
  std::string file = FileWith(
      "dir = \"/file\"\nio-threads = 3\n"
      "listen = [\"127.0.0.1:1\", \"[::1]:2\"]\n");
  ::setenv("REPRISE_STORE_THREADS", "10", 1);
  ::setenv("REPRISE_IO_THREADS", "4", 1);
  ReprisedCommand command = Parse({"--config", file.c_str()});
  ReprisedCommand flagged =
      Parse({"--config", file.c_str(), "--io-threads", "5"});
  ::unsetenv("REPRISE_STORE_THREADS");
  ::unsetenv("REPRISE_IO_THREADS");
  ASSERT_TRUE(command.run) << command.text;
  EXPECT_EQ(command.config.dir, "/file");
  EXPECT_EQ(command.config.io_threads, 3u);
  EXPECT_EQ(flagged.config.io_threads, 5u);
  EXPECT_EQ(command.config.store_threads, 10u);
  EXPECT_EQ(command.config.listen.size(), 2u);
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

TEST(ReprisedConfigTest, CheckingRunsNothing) {
  ReprisedCommand good = Parse({"--dir", "/d", "--check-config"});
  EXPECT_FALSE(good.run);
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(Parse({"--check-config"}).exit_code, 2);
}

TEST(ReprisedConfigTest, HelpNamesEveryOption) {
  ReprisedCommand help = Parse({"--help"});
  EXPECT_FALSE(help.run);
  EXPECT_EQ(help.exit_code, 0);
  for (const char* option : {"--dir", "--listen", "--admin", "--durability",
                             "--collect-interval", "--log-level"}) {
    EXPECT_NE(help.text.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace reprise
