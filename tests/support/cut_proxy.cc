#include "tests/support/cut_proxy.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/bytes.h"

namespace reprise {

CutProxy::CutProxy(std::string daemon, const CutPlan& plan)
    : daemon_(std::move(daemon)),
      plan_(plan),
      server_([this](int client) { Serve(client); }) {}

void CutProxy::Serve(int client) {
  if (has_cut_ && plan_.for_good) return;
  const int daemon = ConnectLoopback(daemon_);
  if (daemon < 0) return;
  std::thread answers(
      [&] { Pump(daemon, client, CutPlan::Direction::kAnswers); });
  Pump(client, daemon, CutPlan::Direction::kRequests);
  answers.join();
  close(daemon);
}

void CutProxy::Pump(int from, int to, CutPlan::Direction direction) {
  Bytes message;
  int counted_here = 0;
  for (;;) {
    message.resize(kMessageHeaderBytes);
    if (!ReceiveAll(from, message)) break;
    MessageHeader header;
    const bool replies = direction == CutPlan::Direction::kAnswers;
    if (!ParseMessageHeader(message, replies, {}, &header).ok()) break;
    message.resize(kMessageHeaderBytes + header.meta_bytes + header.body_bytes);
    if (!ReceiveAll(from,
                    MutableByteView(message).subspan(kMessageHeaderBytes))) {
      break;
    }
    const bool counts = direction == plan_.direction &&
                        (plan_.each || !has_cut_) &&
                        (!plan_.type || *plan_.type == header.type);
    if (counts && (plan_.each ? counted_here++ : counted_++) == plan_.message) {
      has_cut_ = true;
      if (plan_.on_cut != nullptr) plan_.on_cut();
      if (plan_.swallow) continue;
      SendAll(to,
              ByteView(message).first(std::min(plan_.bytes, message.size())));
      break;
    }
    if (!SendAll(to, message)) break;
  }
  shutdown(from, SHUT_RDWR);
  shutdown(to, SHUT_RDWR);
}

}  // namespace reprise
