// Hello and Stats: who is there, and how it is.
#include <algorithm>
#include <string>

#include "api/handler_call.h"

namespace reprise {
namespace {

// Without tokens there is one tenant.
constexpr std::string_view kOnlyTenant = "default";

constexpr CodecId kKnownCodecs[] = {CodecId::kRaw, CodecId::kExact};

}  // namespace

Result<HandlerReply> HandleHello(const HandlerCall& call,
                                 const wire::Hello& hello) {
  if (hello.version_min() > kWireVersion ||
      hello.version_max() < kWireVersion) {
    return FailedPreconditionError(
        "hello: the client speaks versions " +
        std::to_string(hello.version_min()) + " to " +
        std::to_string(hello.version_max()) + ", this daemon " +
        std::to_string(kWireVersion));
  }
  if (call.context.draining) {
    return UnavailableError("hello: the daemon is draining");
  }
  call.connection.tenant = TenantDomain(kOnlyTenant);
  call.connection.greeted = true;
  wire::HelloReplyT reply;
  reply.version = kWireVersion;
  reply.server = call.context.server_name;
  reply.tenant = kOnlyTenant;
  reply.max_body_bytes = kMaxMessageBodyBytes;
  reply.max_in_flight_bytes = call.context.limits.in_flight_bytes;
  for (CodecId codec : kKnownCodecs) {
    reply.codecs.push_back(static_cast<uint16_t>(codec));
  }
  return call.Only(reply);
}

Result<HandlerReply> HandleStats(const HandlerCall& call,
                                 const wire::Stats& stats) {
  wire::StatsReplyT reply;
  if (call.context.stats_json) reply.json = call.context.stats_json();
  return call.Only(reply);
}

}  // namespace reprise
