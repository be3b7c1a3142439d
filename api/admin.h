// The admin listener: HTTP for those who run the daemon. Loopback only.
//
//   /healthz    200 while the process lives
//   /readyz     200 while it takes writes and is not draining; else 503
//   /metrics    Prometheus
//   /api/stats  the figures of Stats, as JSON
#ifndef REPRISE_API_ADMIN_H_
#define REPRISE_API_ADMIN_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/admin_json.h"
#include "base/status.h"

namespace reprise {

// Asked for at each request; may block.
using StatsSource = std::function<StatsInput()>;

struct AdminResponse {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body;
};
// What a request is answered with. `target` may have a query.
AdminResponse AnswerAdmin(std::string_view method, std::string_view target,
                          const StatsSource& stats);

// Serves on a thread of its own until it is destroyed.
class AdminServer {
 public:
  // kFailedPrecondition beyond loopback, kUnavailable when the address can't
  // be listened on.
  static Result<std::unique_ptr<AdminServer>> Start(const std::string& address,
                                                    StatsSource stats);
  virtual ~AdminServer() = default;
  // As bound.
  virtual const std::string& endpoint() const = 0;
};

}  // namespace reprise

#endif  // REPRISE_API_ADMIN_H_
