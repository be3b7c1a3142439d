// Stands between a client and a daemon, counts messages, and cuts the
// connection before the N-th of one direction is passed on.
#ifndef REPRISE_TESTS_SUPPORT_CUT_PROXY_H_
#define REPRISE_TESTS_SUPPORT_CUT_PROXY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "api/framing.h"
#include "tests/support/loopback.h"

namespace reprise {

struct CutPlan {
  enum class Direction { kRequests, kAnswers };
  Direction direction = Direction::kAnswers;
  // Cut before this message is passed on; counted from 0, Hellos included.
  // Negative: never.
  int message = -1;
  // Only messages of this type count; nothing: all.
  std::optional<MessageType> type;
  // Pass on so many of the message's bytes before the cut.
  size_t bytes = 0;
  // No connection gets through after the cut; else the next one does.
  bool for_good = false;
  // Swallow that message instead of cutting.
  bool swallow = false;
  // Each connection is cut, at that message of its own.
  bool each = false;
  // Called at a cut, before anybody can see it.
  std::function<void()> on_cut;
};

class CutProxy {
 public:
  CutProxy(std::string daemon, const CutPlan& plan);

  const std::string& endpoint() const { return server_.endpoint(); }
  bool has_cut() const { return has_cut_; }

 private:
  void Serve(int client);
  // Passes messages on until the end or the cut.
  void Pump(int from, int to, CutPlan::Direction direction);

  const std::string daemon_;
  const CutPlan plan_;
  std::atomic<int> counted_{0};
  std::atomic<bool> has_cut_{false};
  LoopbackServer server_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_CUT_PROXY_H_
