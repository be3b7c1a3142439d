// The program `reprise` as a person or a script runs it: what it prints, what
// it exits with, and what has changed in the store afterwards.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "client/export_format.h"
#include "codec/klt_profile_format.h"
#include "store/clock_guard.h"
#include "store/engine.h"
#include "store/rocks_engine.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/klt_parts.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using nlohmann::json;
using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

const char* const kCommands[] = {
    "status", "ls",      "show",   "match", "fork",   "rewind",     "rm",
    "export", "import",  "fsck",   "gc",    "verify", "dump-frame", "calibrate",
    "plan",   "profile", "policy", "pin",   "unpin",  "compact"};

std::string TextOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

size_t LongestLine(const std::string& text) {
  size_t longest = 0, begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n') continue;
    longest = std::max(longest, i - begin);
    begin = i + 1;
  }
  return longest;
}

AssertionResult Holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return AssertionSuccess();
  return AssertionFailure() << "no '" << part << "' in: " << text;
}

class RepriseCliTest : public testing::Test {
 protected:
  struct Outcome {
    int exit_code = -1;
    std::string out;
    std::string err;
  };

  RepriseCliTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~RepriseCliTest() override { std::filesystem::remove_all(folder_); }

  // The words of a shell, without a server.
  Outcome RunBare(const std::string& words) {
    const std::string out = Path("stdout"), err = Path("stderr");
    const int status = std::system(
        ("tools/reprise " + words + " >" + out + " 2>" + err).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, TextOf(out),
            TextOf(err)};
  }
  Outcome Run(const std::string& words) {
    return RunBare("--server " + daemon_.endpoint() + " " + words);
  }
  // What it prints with --json, when all is well.
  json RunJson(const std::string& words) {
    const Outcome outcome = Run(words + " --json");
    EXPECT_EQ(outcome.exit_code, 0) << words << ": " << outcome.err;
    json parsed = json::parse(outcome.out, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << words << ": " << outcome.out;
    return parsed;
  }
  // Nothing on stdout, and on stderr what went wrong.
  void ExpectFailure(const std::string& words, const std::string& error) {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.exit_code, 1) << words;
    EXPECT_EQ(outcome.out, "") << words;
    EXPECT_TRUE(outcome.err.starts_with("reprise: ")) << outcome.err;
    EXPECT_TRUE(Holds(outcome.err, error)) << words;
  }

  // chat-1 has two commits, of 150 and of 200 tokens.
  void SaveSessions() {
    TestWorker worker(daemon_.Connect());
    const std::vector<TokenId> first(tokens_.begin(), tokens_.begin() + 150);
    ASSERT_OK(worker.Save("chat-1", first, {.labels = {{"user", "ann"}}}));
    ASSERT_OK(worker.Save("chat-1", tokens_));
    ASSERT_OK(worker.Save("chat-2", ToyTokens(2, 64)));
    ASSERT_OK(worker.Save("other", ToyTokens(3, 70)));
  }
  std::vector<std::string> Names(const std::string& prefix = "") {
    std::vector<std::string> names;
    for (const json& session : RunJson("ls " + prefix)) {
      names.push_back(session["name"]);
    }
    return names;
  }
  uint64_t TokensOf(const std::string& session) {
    return RunJson("show " + session)["tokens"];
  }
  void LoseWholeFrames() {
    std::vector<ObjectStore::Listed> listed;
    Engine* engine = daemon_.engine();
    ASSERT_TRUE(
        engine->List(ObjectSpace::kFrameExact, "", "", 1000, &listed).ok());
    ASSERT_FALSE(listed.empty());
    for (const auto& object : listed) {
      const ObjectRef ref{ObjectSpace::kFrameExact, object.key};
      ASSERT_OK(engine->RemoveIfUntouched({&ref, 1}, UINT64_MAX));
    }
  }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }
  std::string FileWith(const std::string& name, const std::string& text) {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }

  const std::string folder_ = testing::TempDir() + "/reprise_cli";
  const std::vector<TokenId> tokens_ = ToyTokens(1, 200);
  TestDaemon daemon_;
};

// --- Words and exit codes. ---

TEST_F(RepriseCliTest, HelpNamesEveryCommand) {
  const Outcome help = RunBare("--help");
  EXPECT_EQ(help.exit_code, 0);
  for (const std::string command : kCommands) {
    EXPECT_TRUE(Holds(help.out, "\n  " + command)) << command;
    const Outcome of_command = RunBare(command + " --help");
    EXPECT_EQ(of_command.exit_code, 0) << command;
    EXPECT_TRUE(Holds(of_command.out, command));
    EXPECT_LE(LongestLine(of_command.out), 80u) << command;
  }
  EXPECT_LE(LongestLine(help.out), 80u);
}

TEST_F(RepriseCliTest, PlansForAShapeWithoutADaemon) {
  const Outcome plan = RunBare(
      "plan --shape 32,32,128 --context 128000 --memory 80GB "
      "--state-ratio 2 --history-ratio 125 --json");
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const json shown = json::parse(plan.out);
  EXPECT_EQ(shown["by_history"]["users"], 149);
  EXPECT_EQ(shown["by_state"]["users"], 2);
}

TEST_F(RepriseCliTest, WrongCommandsExitWith2) {
  for (const char* words :
       {"", "frobnicate", "ls a b", "show", "fork a", "rewind a",
        "rewind a --tokens 3 --commit abcd", "rewind a --tokens many",
        "--timeout-ms soon ls", "ls --unknown", "match 00 /nothing/here",
        "dump-frame /nothing/here", "import /nothing/here a",
        "fsck --accept-loss"}) {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.exit_code, 2) << words << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "") << words;
    EXPECT_NE(outcome.err, "") << words;
  }
}

TEST_F(RepriseCliTest, UnknownSessionsExitWith1AndAHint) {
  const std::string file = Path("none.rpx");
  for (const std::string words :
       {"show none", "fork none x", "rewind none --tokens 3",
        "rewind none --commit abcd", "rm none", "verify none"}) {
    ExpectFailure(words, "`reprise ls` lists the sessions");
    ExpectFailure(words + " --json", "`reprise ls` lists the sessions");
  }
  ExpectFailure("export none " + file, "`reprise ls` lists the sessions");
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(std::filesystem::exists(file + ".part"));
}

TEST_F(RepriseCliTest, ADaemonThatIsAwayExitsWith1) {
  const std::string endpoint = daemon_.endpoint();
  daemon_.Stop();
  const auto began = std::chrono::steady_clock::now();
  for (const char* words : {"status", "ls", "gc", "fsck"}) {
    ExpectFailure("--timeout-ms 300 " + std::string(words),
                  "is reprised running");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(8));
}

TEST_F(RepriseCliTest, ADaemonThatIsSilentExitsWith1InTime) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(listener, generic, bytes), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, generic, &bytes), 0);
  const auto began = std::chrono::steady_clock::now();
  const Outcome outcome = RunBare("--timeout-ms 300 ls --server 127.0.0.1:" +
                                  std::to_string(ntohs(address.sin_port)));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_EQ(outcome.exit_code, 1);
  // Whichever ends first: waiting for the hello, or for the answer.
  EXPECT_TRUE(Holds(outcome.err, "--timeout-ms") ||
              Holds(outcome.err, "no hello within 300 ms"));
  close(listener);
}

TEST_F(RepriseCliTest, TakesTheServerFromTheEnvironment) {
  ASSERT_EQ(setenv("REPRISE_SERVER", daemon_.endpoint().c_str(), 1), 0);
  const Outcome outcome = RunBare("ls");
  unsetenv("REPRISE_SERVER");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "no sessions\n");
}

// --- Reading. ---

TEST_F(RepriseCliTest, StatusShowsFiguresOnly) {
  for (const bool busy : {false, true}) {
    if (busy) SaveSessions();
    const Outcome table = Run("status");
    EXPECT_EQ(table.exit_code, 0) << table.err;
    EXPECT_TRUE(Holds(table.out, "engine"));
    EXPECT_FALSE(Holds(table.out, "null"));
    EXPECT_FALSE(Holds(table.out, "\""));
    const json stats = RunJson("status");
    EXPECT_TRUE(stats.is_object());
    EXPECT_TRUE(Holds(stats.dump(), daemon_.engine()->name().data()));
    uint64_t tokens = 0;
    for (const json& session : RunJson("ls")) {
      tokens += session["tokens"].get<uint64_t>();
    }
    EXPECT_EQ(stats["sessions"]["count"], busy ? 3 : 0);
    EXPECT_EQ(stats["sessions"]["tokens"], tokens);
    EXPECT_TRUE(Holds(table.out, "sessions/tokens"));
  }
}

TEST_F(RepriseCliTest, ListsSessionsByPrefix) {
  EXPECT_EQ(Run("ls").out, "no sessions\n");
  EXPECT_EQ(RunJson("ls"), json::array());
  SaveSessions();
  using StringList = std::vector<std::string>;
  EXPECT_EQ(Names(), (StringList{"chat-1", "chat-2", "other"}));
  EXPECT_EQ(Names("chat-"), (StringList{"chat-1", "chat-2"}));
  EXPECT_EQ(Names("nobody"), StringList());
  const json first = RunJson("ls chat-1")[0];
  EXPECT_EQ(first["tokens"], 200);
  EXPECT_EQ(first["version"], 2);
  EXPECT_EQ(first["labels"], (json{{"user", "ann"}}));
  EXPECT_EQ(first["model"], ModelIdOf(TinyModel()).Hex());
  const Outcome table = Run("ls");
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_TRUE(Holds(table.out, "chat-1 "));
  EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 4);
}

TEST_F(RepriseCliTest, PrintsNamesOfAnyBytes) {
  TestWorker worker(daemon_.Connect());
  ASSERT_OK(worker.Save("odd\n\xff\x1b[1m", ToyTokens(1, 3)));
  EXPECT_EQ(RunJson("ls").size(), 1u);
  const Outcome table = Run("ls");
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_FALSE(Holds(table.out, "\x1b"));
  EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 2);
}

TEST_F(RepriseCliTest, ShowsHistoryTiersAndBytes) {
  SaveSessions();
  const json shown = RunJson("show chat-1");
  EXPECT_EQ(shown["name"], "chat-1");
  ASSERT_EQ(shown["history"].size(), 2u);
  EXPECT_EQ(shown["history"][0]["commit"], shown["head"]);
  EXPECT_EQ(shown["history"][0]["parent"], shown["history"][1]["commit"]);
  EXPECT_EQ(shown["history"][1]["tokens"], 150);
  EXPECT_EQ(shown["segments_by_tier"], (json{{"exact", 4}}));
  EXPECT_EQ(shown["raw_bytes"], 200 * TinyModel().token_bytes());
  EXPECT_GT(shown["frame_bytes"], 0);
  EXPECT_GT(shown["record_bytes"], 200 * sizeof(TokenId));
  const Outcome text = Run("show chat-1");
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_TRUE(Holds(text.out, "chat-1: 200 tokens"));
  EXPECT_TRUE(Holds(text.out, "state ratio"));
}

TEST_F(RepriseCliTest, MatchesAPromptFromAFile) {
  SaveSessions();
  std::string text = "[";
  for (size_t i = 0; i < 140; ++i) text += std::to_string(tokens_[i]) + ", ";
  const std::string path = FileWith("prompt", text + "99]\n");
  const std::string model = ModelIdOf(TinyModel()).Hex();
  const json match = RunJson("match " + model + " " + path);
  EXPECT_EQ(match["asked"], 141);
  EXPECT_EQ(match["tokens"], 128);
  ASSERT_EQ(match["ranges"].size(), 1u);
  EXPECT_EQ(match["ranges"][0]["tier"], "exact");
  EXPECT_TRUE(Holds(Run("match " + model + " " + path).out,
                    "128 of 141 tokens are stored"));

  ExpectFailure("match " + model + " " + FileWith("bad", "1 2-3"),
                "no token id at byte 2");
  ExpectFailure("match " + model + " " + FileWith("bad", "99999999999"),
                "no token id at byte 0");
  ExpectFailure("match 12 " + path, "64 are wanted");
  ExpectFailure("match " + std::string(64, '0') + " " + path, "reprise: ");
  ExpectFailure("match " + model + " " + path + " --lowest best", "tier");
}

TEST_F(RepriseCliTest, VerifiesASession) {
  SaveSessions();
  const json verified = RunJson("verify chat-1");
  EXPECT_EQ(verified["ok"], true);
  EXPECT_EQ(verified["valid_tokens"], 200);
  EXPECT_EQ(verified["raw_bytes"], 200 * TinyModel().token_bytes());
  EXPECT_TRUE(Holds(Run("verify chat-1").out, "200 of 200 tokens"));

  LoseWholeFrames();
  const Outcome lost = Run("verify chat-1 --json");
  EXPECT_EQ(lost.exit_code, 1);
  EXPECT_TRUE(Holds(lost.err, "recompute from token 0 of 200"));
  EXPECT_TRUE(Holds(lost.err, "`reprise fsck` says what else is damaged"));
  EXPECT_EQ(json::parse(lost.out, nullptr, false)["ok"], false);
}

// --- Changing. ---

TEST_F(RepriseCliTest, ForksTheHeadAndAnOlderCommit) {
  SaveSessions();
  const json shown = RunJson("show chat-1");
  EXPECT_EQ(RunJson("fork chat-1 twin")["head"], shown["head"]);
  EXPECT_EQ(TokensOf("twin"), 200u);
  const std::string older = shown["history"][1]["commit"];
  const json fork = RunJson("fork chat-1 past --commit " + older.substr(0, 8));
  EXPECT_EQ(fork["session"], "past");
  EXPECT_EQ(fork["head"], older);
  EXPECT_EQ(TokensOf("past"), 150u);
  ExpectFailure("fork chat-1 chat-2", "FailedPrecondition");
  EXPECT_EQ(TokensOf("chat-2"), 64u);
}

TEST_F(RepriseCliTest, RewindsToTokensAndToACommit) {
  SaveSessions();
  const std::string older = RunJson("show chat-1")["history"][1]["commit"];
  EXPECT_EQ(RunJson("rewind chat-1 --tokens 100")["version"], 3);
  EXPECT_EQ(TokensOf("chat-1"), 100u);
  EXPECT_EQ(RunJson("verify chat-1")["valid_tokens"], 100);
  const Outcome back = Run("rewind chat-1 --commit " + older.substr(0, 6));
  EXPECT_EQ(back.exit_code, 0) << back.err;
  EXPECT_TRUE(Holds(back.out, "commit " + older.substr(0, 12)));
  EXPECT_EQ(TokensOf("chat-1"), 150u);

  ExpectFailure("rewind chat-1 --commit zzzz", "starts with these digits");
  ExpectFailure("rewind chat-1 --commit abc", "at least 4 are wanted");
  ExpectFailure("rewind chat-1 --tokens 151", "151");
  EXPECT_EQ(TokensOf("chat-1"), 150u);

  RunJson("rewind chat-1 --tokens 0");
  EXPECT_EQ(TokensOf("chat-1"), 0u);
  EXPECT_EQ(RunJson("verify chat-1")["ok"], true);
}

TEST_F(RepriseCliTest, SetsAndShowsAPolicy) {
  SaveSessions();
  const json before = RunJson("policy chat-1");
  EXPECT_EQ(before["policy"], "default");
  EXPECT_EQ(before["ttl"], "default");
  EXPECT_EQ(before["effective"]["policy"],
            "exact 1h, near 1d, coarse 30d, archive 1y, tokens");
  EXPECT_EQ(before["effective"]["ttl"], "never");
  ASSERT_EQ(before["effective"]["tiers"].size(), 3u);
  EXPECT_EQ(before["effective"]["tiers"][1]["codec"], "klt:tier=coarse");
  EXPECT_TRUE(Holds(before["effective"]["tiers"][1]["problem"],
                    "`reprise calibrate klt` makes one"));
  EXPECT_EQ(before["wanted_tier"], "exact");
  EXPECT_EQ(before["next_step"]["tier"], "near");
  const int64_t changed_ms = RunJson("show chat-1")["changed_ms"];
  EXPECT_GE(before["next_step"]["at_ms"], changed_ms + 3'600'000);

  // As one word or as several.
  EXPECT_EQ(RunJson("policy chat-1 'exact 60m,near 2d, tokens'")["policy"],
            "exact 1h, near 2d, tokens");
  const json set =
      RunJson("policy chat-1 series: exact 60m, near 3d, tokens --ttl 90d");
  EXPECT_EQ(set["policy"], "series: exact 1h, near 3d, tokens");
  EXPECT_EQ(set["ttl"], "90d");
  EXPECT_EQ(RunJson("policy chat-1 --ttl never")["policy"], set["policy"]);
  EXPECT_EQ(RunJson("ls chat-1")[0]["settings"],
            (json{{"policy", set["policy"]},
                  {"ttl", "never"},
                  {"pinned", false},
                  {"pinned_until_ms", nullptr}}));
  EXPECT_TRUE(Holds(Run("ls").out,
                    "series: exact 1h, near 3d, tokens; ttl "
                    "never\n"));
  const Outcome text = Run("show chat-1");
  EXPECT_TRUE(Holds(text.out, "series: exact 1h, near 3d, tokens"));
  EXPECT_TRUE(Holds(text.out, "exact; if not used, near from 20"));
  const json back = RunJson("policy chat-1 --default");
  EXPECT_EQ(back["policy"], "default");
  EXPECT_EQ(back["ttl"], "default");
  EXPECT_TRUE(Holds(Run("policy chat-1").out, "the daemon's default"));
}

TEST_F(RepriseCliTest, RefusesAPolicyWithItsColumn) {
  SaveSessions();
  ExpectFailure("policy chat-1 exact 1h, nera 1d",
                "policy: column 11: a tier is expected");
  ExpectFailure("policy chat-1 mine: exact", "there is no ladder \"mine\"");
  ExpectFailure("policy chat-1 --ttl 3", "--ttl: duration: column 2: a unit");
  ExpectFailure("policy nobody exact", "session does not exist");
  EXPECT_EQ(Run("policy chat-1 exact --default").exit_code, 2);
  EXPECT_EQ(RunJson("show chat-1")["settings"]["policy"], "default");
}

TEST_F(RepriseCliTest, PinsAndUnpins) {
  SaveSessions();
  json pinned = RunJson("pin chat-1");
  EXPECT_EQ(pinned["pinned"], true);
  EXPECT_EQ(pinned["pinned_until_ms"], nullptr);
  EXPECT_TRUE(Holds(Run("ls chat-1").out, "default; pinned for ever\n"));
  const int64_t now_ms = SystemClock().WallMs();
  pinned = RunJson("pin chat-1 --for 30d");
  EXPECT_GE(pinned["pinned_until_ms"], now_ms + 30 * kDayMs);
  EXPECT_LE(pinned["pinned_until_ms"], now_ms + 31 * kDayMs);
  pinned = RunJson("pin chat-1 --until 2999-12-31T12:00");
  EXPECT_EQ(pinned["pinned_until_ms"], 32'503'636'800'000);
  EXPECT_TRUE(Holds(Run("show chat-1").out, "until 2999-12-31 12:00:00"));
  EXPECT_EQ(RunJson("unpin chat-1")["pinned"], false);
  ExpectFailure("pin chat-1 --until 2001-01-01", "pin: until 978307200000");
  ExpectFailure("pin chat-1 --until tomorrow", "--until: time: a time in UTC");
  ExpectFailure("pin chat-1 --for ever", "--for: duration: column 1");
  ExpectFailure("unpin nobody", "session does not exist");
  EXPECT_EQ(Run("pin chat-1 --for 1d --until 2999-12-31").exit_code, 2);
}

TEST_F(RepriseCliTest, RemovesASessionAndCollectsItsBytes) {
  SaveSessions();
  EXPECT_EQ(RunJson("rm chat-1"), (json{{"removed", "chat-1"}}));
  EXPECT_EQ(Names(), (std::vector<std::string>{"chat-2", "other"}));
  ExpectFailure("rm chat-1", "NotFound");
  const json collected = RunJson("gc");
  EXPECT_GT(collected["removed"], 0);
  EXPECT_GT(collected["removed_bytes"], 0);
  EXPECT_EQ(RunJson("fsck")["unreferenced"], 0);
  EXPECT_EQ(RunJson("verify chat-2")["ok"], true);
  const Outcome again = Run("gc");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(Holds(again.out, "removed"));
}

// --- Files. ---

TEST_F(RepriseCliTest, ExportsAndImports) {
  SaveSessions();
  const std::string file = Path("chat.rpx");
  const json exported = RunJson("export chat-1 " + file);
  EXPECT_EQ(exported["bytes"], std::filesystem::file_size(file));
  EXPECT_FALSE(std::filesystem::exists(file + ".part"));
  const json imported = RunJson("import " + file + " copy");
  EXPECT_EQ(imported["session"], "copy");
  EXPECT_EQ(imported["version"], 1);
  const json verified = RunJson("verify copy");
  EXPECT_EQ(verified["ok"], true);
  EXPECT_EQ(verified["valid_tokens"], 200);

  ExpectFailure("import " + file + " copy", "the session exists");
  const std::string whole = TextOf(file);
  ExpectFailure("import " +
                    FileWith("cut.rpx", whole.substr(0, whole.size() / 2)) +
                    " cut",
                "file ends at byte");
  ExpectFailure("export chat-1 " + Path("no/such/folder.rpx"), "the file");
  EXPECT_TRUE(Names("cut").empty());
}

TEST_F(RepriseCliTest, CalibratesAndPlansFromWhatIsStored) {
  SaveSessions();
  const json made = RunJson("calibrate exact --out " + Path("profile"));
  EXPECT_EQ(made["sessions"], 3u);
  EXPECT_EQ(made["tokens"], 192u + 64u + 64u);
  EXPECT_EQ(made["profile_bytes"], TextOf(Path("profile")).size());
  const json plan = RunJson("plan --context 1000 --memory 1MiB");
  EXPECT_EQ(plan["sessions_measured"], 3u);
  EXPECT_GT(plan["state_ratio"], 0.1);
  // chat-1 was saved twice.
  EXPECT_GT(plan["history_ratio"], plan["state_ratio"]);
  EXPECT_EQ(plan["snapshots_measured"], 4u);
  // No ratio is too large to be printed.
  EXPECT_EQ(Run("plan --context 1 --memory 1TiB --state-ratio 1e300").exit_code,
            0);
  ExpectFailure("plan --context 1000 --memory 1MiB --tier near",
                "no session of the model has all its segments at tier near");
  // Its tail is exact.
  TestWorker worker(daemon_.Connect());
  ASSERT_OK(worker.Save("lossy", ToyTokens(4, 100), {.codec = "tsc"}));
  const json lossy = RunJson("plan --context 1000 --memory 1MiB --tier coarse");
  EXPECT_EQ(lossy["sessions_measured"], 1u);
  EXPECT_EQ(RunJson("plan --context 9 --memory 1MiB")["sessions_measured"], 3u);
  ExpectFailure("calibrate exact --model 00", "no session is of a model");
}

TEST_F(RepriseCliTest, PutsGetsAndListsProfiles) {
  SaveSessions();
  EXPECT_EQ(Run("profile list").out.find("klt"), std::string::npos);
  const ModelSpec spec = TinyModel();
  KltProfileParts parts = PlainKltParts(spec);
  const auto file = [&] {
    const Bytes bytes = EncodeKltProfile(parts);
    return FileWith("p.klt", std::string(AsText(bytes)));
  };
  const json put = RunJson("profile put klt " + file());
  EXPECT_EQ(put["model"], ModelIdOf(spec).Hex());
  RunJson("profile get klt " + Path("back.klt"));
  EXPECT_EQ(TextOf(Path("back.klt")), TextOf(Path("p.klt")));
  // The one of exact is there too: the first save made it.
  const auto klt_of = [](const json& list) {
    for (const json& line : list) {
      if (line["codec"] == "klt") return line;
    }
    return json();
  };
  json listed = klt_of(RunJson("profile list"));
  EXPECT_EQ(listed["made_from"], "statistics only");
  EXPECT_EQ(listed["other_weights"], false);
  EXPECT_EQ(listed["measured_kl"], json::object());

  parts.notes =
      R"({"tiers": {"near": {"kl": 0.00137}, "coarse": {"kl": 0.0099},)"
      R"( "archive": {"bpv": 1}}})";
  parts.weights = Sha256(AsBytes("other"));
  parts.kind = KltProfileKind::kSensitivities;
  ExpectFailure("profile put klt " + file(), "--accept-other-weights");
  RunJson("profile put klt " + file() + " --accept-other-weights");
  listed = klt_of(RunJson("profile list"));
  EXPECT_EQ(listed["made_from"], "sensitivities");
  EXPECT_EQ(listed["other_weights"], true);
  EXPECT_EQ(listed["measured_kl"],
            json({{"near", 0.00137}, {"coarse", 0.0099}}));
  const std::string table = Run("profile list").out;
  EXPECT_TRUE(Holds(table, "others, accepted"));
  EXPECT_TRUE(Holds(table, "near 0.0014, coarse 0.0099")) << table;
  EXPECT_EQ(RunJson("show chat-1")["other_weights_segments"], 0);
  // And where a ladder is printed.
  const json tiers = RunJson("policy chat-1")["effective"]["tiers"];
  ASSERT_EQ(tiers.size(), 3u);
  EXPECT_EQ(tiers[0]["codec"], "klt:tier=near");
  EXPECT_EQ(tiers[0]["measured_kl"], 0.00137);
  EXPECT_EQ(tiers[0]["profile"], listed["profile"]);
  EXPECT_EQ(tiers[2]["measured_kl"], nullptr);
  EXPECT_EQ(tiers[2]["problem"], nullptr);
  const std::string policy = Run("policy chat-1").out;
  EXPECT_TRUE(Holds(policy, "0.0014")) << policy;

  parts.planes[0].heads = 1;
  parts.planes[0].dim = 32;
  ExpectFailure("profile put klt " + file() + " --accept-other-weights",
                "layer 0 plane 0: number of heads is 2 in the model");
  ExpectFailure("profile put klt " + FileWith("bad", "x"), "DataLoss");
  ExpectFailure("profile get pq " + Path("none"), "NotFound");
}

TEST_F(RepriseCliTest, CalibratesKltFromValuesAlone) {
  TestWorker worker(daemon_.Connect());
  ASSERT_OK(worker.Save("short", ToyTokens(8, 700)));
  ExpectFailure("calibrate klt", "640 tokens of exact state");
  ASSERT_OK(worker.Save("long", ToyTokens(9, 1200)));
  const json made = RunJson("calibrate klt:layers=1 --out " + Path("p.klt"));
  EXPECT_EQ(made["made_from"], "statistics only");
  EXPECT_TRUE(Holds(Run("calibrate klt").out, "statistics only"));
  const std::string made_text = TextOf(Path("p.klt"));
  const auto parts = DecodeKltProfile(AsBytes(made_text));
  ASSERT_OK(parts);
  EXPECT_EQ(parts->groups.size(), 2u);
  EXPECT_TRUE(Holds(parts->notes, "statistics only"));
}

// From the profile's record to the renditions, and through an export file.
TEST_F(RepriseCliTest, ShowsWhatProfilesOfOtherWeightsCoded) {
  SaveSessions();
  KltProfileParts parts = PlainKltParts(TinyModel());
  parts.weights = Sha256(AsBytes("other"));
  const std::string text(AsText(EncodeKltProfile(parts)));
  RunJson("profile put klt " + FileWith("p.klt", text) +
          " --accept-other-weights");
  TestWorker worker(daemon_.Connect());
  ASSERT_OK(
      worker.Save("lossy", ToyTokens(5, 200), {.codec = "klt:tier=archive"}));
  EXPECT_EQ(RunJson("show lossy")["other_weights_segments"], 3);
  EXPECT_TRUE(Holds(Run("show lossy").out,
                    "3 segments are coded with a profile of other weights"));
  EXPECT_EQ(RunJson("show chat-1")["other_weights_segments"], 0);
  RunJson("export lossy " + Path("lossy.rpx"));
  RunJson("rm lossy");
  RunJson("gc");
  RunJson("import " + Path("lossy.rpx") + " copy");
  EXPECT_EQ(RunJson("show copy")["other_weights_segments"], 3);
}

TEST_F(RepriseCliTest, SaysWhatGradientsNeed) {
  SaveSessions();
  ExpectFailure("calibrate klt --sensitivity", "--weights");
  ExpectFailure("calibrate exact --sensitivity", "is of klt");
  setenv("REPRISE_CALIBRATE", Path("calibrate.py").c_str(), 1);
  setenv("REPRISE_PYTHON", "/bin/false", 1);
  const std::string words =
      "calibrate klt --sensitivity --weights m.gguf "
      "--out " +
      Path("made.klt");
  ExpectFailure(words, "/bin/false lacks what gradients need");
  ExpectFailure(words, "./dev calibrate");
  // A Python with all packages, and a program that copies what it was given.
  const Bytes bytes = EncodeKltProfile(PlainKltParts(TinyModel()));
  const std::string made = FileWith("ready.klt", std::string(AsText(bytes)));
  const std::string python = FileWith(
      "python", "#!/bin/sh\n[ \"$1\" = -c ] || cp " + made + " \"$5\"\n");
  std::filesystem::permissions(python, std::filesystem::perms::owner_all);
  setenv("REPRISE_PYTHON", python.c_str(), 1);
  const json done = RunJson(words);
  EXPECT_EQ(done["models"], json({ModelIdOf(TinyModel()).Hex()}));
  EXPECT_EQ(done["made_from"], "sensitivities");
  unsetenv("REPRISE_PYTHON");
  unsetenv("REPRISE_CALIBRATE");
}

TEST_F(RepriseCliTest, DumpsAFrame) {
  SaveSessions();
  const std::string file = Path("chat.rpx");
  RunJson("export chat-1 " + file);
  std::ifstream stream(file, std::ios::binary);
  ExportReader reader([&](MutableByteView out) -> Result<size_t> {
    stream.read(reinterpret_cast<char*>(out.data()),
                static_cast<std::streamsize>(out.size()));
    return static_cast<size_t>(stream.gcount());
  });
  ExportRecord record;
  while (record.kind != ExportKind::kFrame) {
    ASSERT_TRUE(reader.Next(&record).ok());
  }
  std::string frame(AsText(record.content));
  const json dumped = RunJson("dump-frame " + FileWith("frame", frame));
  EXPECT_EQ(dumped["model"], ModelIdOf(TinyModel()).Hex());
  EXPECT_EQ(dumped["token_count"], 64);
  EXPECT_EQ(dumped["bytes"], frame.size());
  EXPECT_FALSE(dumped["sections"].empty());
  EXPECT_TRUE(Holds(Run("dump-frame " + Path("frame")).out, "64"));

  frame[20] = static_cast<char>(frame[20] ^ 1);
  ExpectFailure("dump-frame " + FileWith("frame", frame), "frame: ");
  ExpectFailure("dump-frame " + FileWith("frame", ""), "frame: ");
}

// --- Checks of the whole store. ---

TEST_F(RepriseCliTest, TheDaemonChecksItsOwnStore) {
  SaveSessions();
  const json report = RunJson("fsck");
  EXPECT_EQ(report["sessions"], 3);
  EXPECT_GT(report["frames"], 0);
  EXPECT_TRUE(report["findings"].empty());
  EXPECT_EQ(RunJson("fsck --quick")["sessions"], 3);

  LoseWholeFrames();
  const Outcome damaged = Run("fsck");
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_TRUE(Holds(damaged.out, "damage: "));
  EXPECT_TRUE(Holds(damaged.out, "must be recomputed from token 0"));
  EXPECT_TRUE(Holds(damaged.err, "findings"));
}

TEST_F(RepriseCliTest, ChecksAStoreWhoseDaemonIsStopped) {
  const std::string folder = Path("store");
  const std::string words = "fsck --dir " + folder + " --json";
  {
    auto engine = OpenRocksEngine({.directory = folder});
    ASSERT_OK(engine);
    TestDaemon daemon(*std::move(engine));
    TestWorker worker(daemon.Connect());
    ASSERT_OK(worker.Save("s", tokens_));
    const Outcome held = RunBare(words);
    EXPECT_EQ(held.exit_code, 1);
    EXPECT_TRUE(Holds(held.err, "FailedPrecondition"));
  }
  const Outcome whole = RunBare(words);
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  const json report = json::parse(whole.out, nullptr, false);
  EXPECT_EQ(report["sessions"], 1);
  EXPECT_EQ(report["findings"], json::array());

  const Outcome none = RunBare("fsck --dir " + Path("empty"));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_TRUE(Holds(none.err, "NotFound"));
  EXPECT_FALSE(Holds(none.err, "reprise ls"));
  EXPECT_FALSE(std::filesystem::exists(Path("empty")));
}

TEST_F(RepriseCliTest, CompactPlanSaysWhatAStoppedStoreWouldBecome) {
  const std::string folder = Path("store");
  {
    auto engine = OpenRocksEngine({.directory = folder});
    ASSERT_OK(engine);
    TestDaemon daemon(*std::move(engine));
    TestWorker worker(daemon.Connect());
    ASSERT_OK(worker.Save("s", tokens_));
    const Outcome held = RunBare("compact plan --dir " + folder);
    EXPECT_EQ(held.exit_code, 1);
    EXPECT_TRUE(Holds(held.err, "FailedPrecondition"));
  }
  const auto plan = [&](const std::string& words) {
    const Outcome ran =
        RunBare("compact plan --json --dir " + folder + " " + words);
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    return json::parse(ran.out, nullptr, false);
  };
  const json now = plan("");
  EXPECT_GT(now["total"]["bytes_now"], 0);
  EXPECT_EQ(now["total"]["bytes_now"], now["total"]["bytes_after"]);
  EXPECT_EQ(now["clock_problem"], nullptr);
  const json later = plan("--idle-plus 2y");
  EXPECT_EQ(later["total"]["bytes_now"], now["total"]["bytes_now"]);
  EXPECT_EQ(later["total"]["bytes_after"], 0);
  // The default ladder wants a profile that nobody trained.
  const json skipped = plan("--idle-plus 2h")["skipped"];
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_TRUE(Holds(skipped[0]["reason"], "there is no profile"));
  // Each tier of a ladder says what it is worth, due or not.
  ASSERT_EQ(now["ladders"].size(), 3u);
  EXPECT_EQ(now["ladders"][1]["ladder"], "default");
  EXPECT_EQ(now["ladders"][1]["tier"], "coarse");
  EXPECT_EQ(now["ladders"][1]["codec"], "klt:tier=coarse");
  EXPECT_EQ(now["ladders"][1]["measured_kl"], nullptr);
  EXPECT_TRUE(Holds(now["ladders"][1]["problem"], "reprise calibrate klt"));
  const std::string config = Path("reprised.toml");
  std::ofstream(config) << "policy = \"series: exact 1h, near\"\n";
  const json series = plan("--idle-plus 2h --config " + config);
  EXPECT_EQ(series["skipped"], json::array());
  ASSERT_EQ(series["encodes"].size(), 1u);
  EXPECT_EQ(series["encodes"][0]["codec"], "tsc:bits=8");
  EXPECT_LT(series["total"]["bytes_after"], now["total"]["bytes_now"]);

  // A policy can be tried before it is set.
  const json tried = plan(
      "--idle-plus 2h --policy 'mine: exact 1h, coarse' --ladder "
      "mine.coarse=tsc:bits=4");
  ASSERT_EQ(tried["encodes"].size(), 1u);
  EXPECT_EQ(tried["encodes"][0]["codec"], "tsc:bits=4");
  const Outcome wrong =
      RunBare("compact plan --policy nonsense --dir " + folder);
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_TRUE(Holds(wrong.err, "column 1"));

  const Outcome text = RunBare("compact plan --idle-plus 2h --dir " + folder);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_TRUE(Holds(text.out,
                    "skipped: ladder default: tier near by klt:tier=near: "
                    "there is no profile of codec klt for model "));
  EXPECT_TRUE(Holds(text.out,
                    "can't be made, but is not due: ladder default: tier "
                    "coarse by klt:tier=coarse: there is no profile"));
  EXPECT_EQ(RunBare("compact plan --at x --dir " + folder).exit_code, 1);
  // Without a directory a daemon is asked, and none listens there.
  const Outcome asked = RunBare("--server 127.0.0.1:1 compact plan");
  EXPECT_EQ(asked.exit_code, 1);
  EXPECT_TRUE(Holds(asked.err, "is --server right?"));
  EXPECT_TRUE(Holds(asked.err, "connect to 127.0.0.1:1: "));
}

TEST_F(RepriseCliTest, CompactConfirmClockEndsTheWaitAfterAJump) {
  const std::string folder = Path("store");
  {
    auto engine = OpenRocksEngine({.directory = folder});
    ASSERT_OK(engine);
    const auto reading =
        KeepClock(engine->get(), SystemClock().WallMs() - 2 * kDayMs);
    ASSERT_OK(reading);
  }
  const std::string plan = "compact plan --json --dir " + folder;
  const json before = json::parse(RunBare(plan).out, nullptr, false);
  EXPECT_TRUE(Holds(before["clock_problem"], "confirm-clock"));
  const Outcome confirmed = RunBare("compact confirm-clock --dir " + folder);
  EXPECT_EQ(confirmed.exit_code, 0) << confirmed.err;
  const json after = json::parse(RunBare(plan).out, nullptr, false);
  EXPECT_EQ(after["clock_problem"], nullptr);
}

}  // namespace
}  // namespace reprise
