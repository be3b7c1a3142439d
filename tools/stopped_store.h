// What the commands of `reprise compact` share: a store whose daemon is
// stopped, and the policies and ladders that its daemon would go by.
#ifndef REPRISE_TOOLS_STOPPED_STORE_H_
#define REPRISE_TOOLS_STOPPED_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace reprise {

struct StoppedStore {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Catalogue> catalogue;
};

// The directory is held until the result goes. An error says who holds it, or
// that there is no store.
Result<StoppedStore> OpenStopped(const std::string& dir);
// Whether sessions may sink ahead of their time there. kFailedPrecondition,
// with what to do, without the file kRehearsalFile.
Status CheckRehearsal(const std::string& dir);
// The option --dir of a command. Without it a daemon is asked.
CLI::Option* AddDirOption(CLI::App* command, std::string* dir);

// As the daemon takes them.
struct RulesArguments {
  std::string config;
  std::string policy;
  std::vector<std::string> ladder;
};
// --config, which is only of use with the option `dir`, --policy and --ladder;
// `arguments` outlives the parsing.
void AddRulesOptions(CLI::App* command, CLI::Option* dir,
                     RulesArguments* arguments);
// Policies and ladders as the daemon of the store in `dir` would have them,
// the environment's variables included. kInvalidArgument with what the daemon
// would say.
Result<PolicyRules> ReadRules(const std::string& dir,
                              const RulesArguments& arguments);

}  // namespace reprise

#endif  // REPRISE_TOOLS_STOPPED_STORE_H_
