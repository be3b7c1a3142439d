#include "api/admin.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "api/listen_address.h"
#include "api/metrics.h"

namespace reprise {
namespace {

class AdminTest : public testing::Test {
 protected:
  AdminTest() {
    input_.metrics = &metrics_;
    input_.engine = "memory";
    input_.sessions = {.sessions = 7, .tokens = 900, .at_least = false};
    metrics_.RecordRequest(MessageType::kMatch, StatusCode::kOk, 50'000);
    metrics_.RecordRequest(MessageType::kMatch, StatusCode::kNotFound, 90'000);
    metrics_.sent_bytes = 1234;
  }
  AdminResponse Get(std::string_view target) {
    return AnswerAdmin("GET", target, [this] { return input_; });
  }

  ServerMetrics metrics_;
  StatsInput input_;
};

TEST_F(AdminTest, IsReadyUntilItDrainsOrTheEngineFails) {
  EXPECT_EQ(Get("/healthz").status, 200);
  EXPECT_EQ(Get("/readyz").status, 200);
  input_.draining = true;
  EXPECT_EQ(Get("/readyz").status, 503);
  input_.draining = false;
  input_.health = UnavailableError("a sync failed");
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/readyz").body, "Unavailable: a sync failed\n");
  EXPECT_EQ(Get("/healthz").status, 200);
}

TEST_F(AdminTest, MetricsNameTypeAndCode) {
  std::string text = Get("/metrics?x=1").body;
  EXPECT_NE(text.find("reprise_sent_bytes_total 1234"), std::string::npos);
  EXPECT_NE(
      text.find("reprise_requests_total{type=\"match\",code=\"NotFound\"} 1"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("reprise_sessions 7\n"), std::string::npos) << text;
  EXPECT_NE(text.find("reprise_session_tokens 900\n"), std::string::npos);
  EXPECT_NE(text.find("reprise_request_seconds_count{type=\"match\"} 2"),
            std::string::npos);
}

TEST_F(AdminTest, StatsAreJson) {
  AdminResponse answer = Get("/api/stats");
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_NE(answer.body.find("\"match\":{\"answered\":2,\"errors\":"
                             "{\"NotFound\":1},\"p50_us\":131"),
            std::string::npos)
      << answer.body;
  EXPECT_NE(answer.body.find("\"sessions\":{\"count\":7,\"tokens\":900,"
                             "\"at_least\":false,\"age_ms\":0}"),
            std::string::npos)
      << answer.body;
}

TEST_F(AdminTest, OtherPathsAndMethodsAreRefused) {
  EXPECT_EQ(Get("/").status, 404);
  EXPECT_EQ(Get("/metricsx").status, 404);
  EXPECT_EQ(AnswerAdmin("POST", "/metrics", [this] { return input_; }).status,
            405);
}

TEST_F(AdminTest, ListensOnLoopbackOnly) {
  auto source = [this] { return input_; };
  auto server = AdminServer::Start("0.0.0.0:0", source);
  EXPECT_TRUE(server.status().Is(StatusCode::kFailedPrecondition));
  server = AdminServer::Start("unix:/tmp/x", source);
  EXPECT_TRUE(server.status().Is(StatusCode::kInvalidArgument));
}

// Sends bytes and reads until the end.
std::string Talk(const std::string& endpoint, const std::string& sent) {
  ListenAddress address = *ParseListenAddress(endpoint);
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  ::inet_pton(AF_INET, address.host.c_str(), &to.sin_addr);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  EXPECT_EQ(::send(fd, sent.data(), sent.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(sent.size()));
  std::string got;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    got.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return got;
}

TEST_F(AdminTest, SpeaksHttp) {
  auto server = AdminServer::Start("127.0.0.1:0", [this] { return input_; });
  ASSERT_TRUE(server.ok()) << server.status().ToString();
  std::string got = Talk((*server)->endpoint(),
                         "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /nope HTTP/1.1\r\nHost: a\r\n"
                         "Connection: close\r\n\r\n");
  EXPECT_TRUE(got.starts_with("HTTP/1.1 200 OK\r\n")) << got;
  EXPECT_NE(got.find("HTTP/1.1 404"), std::string::npos);
  EXPECT_EQ(Talk((*server)->endpoint(), "garbage\r\n\r\n"), "");
  std::string long_header(20'000, 'x');
  EXPECT_EQ(
      Talk((*server)->endpoint(),
           "GET / HTTP/1.1\r\nA: " + long_header.substr(0, 9'000) + "\r\n\r\n"),
      "");
}

}  // namespace
}  // namespace reprise
