// HTTP server and client. Method: a server answers with what it was asked; the client under test
// and bare sockets, which say what no client would, talk to it. Peers that keep silent do so under
// short time limits; nothing is timed. The TLS certificate is made by the openssl command for each
// run.
#include "consumers/http.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <latch>
#include <thread>

#include "ledger/files.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

class Peer {  // a socket that says anything
 public:
  explicit Peer(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  }
  bool connected() const { return connected_; }
  void Say(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // Until the server closes.
  std::string HearAll() {
    std::string out;
    char piece[4096];
    for (ssize_t n; (n = ::recv(fd_.get(), piece, sizeof(piece), 0)) > 0;) {
      out.append(piece, static_cast<std::size_t>(n));
    }
    return out;
  }
  // Until `end` was heard.
  std::string HearUntil(std::string_view end) {
    std::string out;
    char c;
    while (!out.ends_with(end) && ::recv(fd_.get(), &c, 1, 0) == 1) out.push_back(c);
    return out;
  }

 private:
  Descriptor fd_;
  bool connected_ = false;
};

class HttpTest : public ::testing::Test {
 protected:
  static HttpResponse Echo(const HttpRequest& request) {
    return {200,
            "text/plain",
            request.method + " " + request.target + " " + request.body,
            {{"X-Told", "yes"}}};
  }
  HttpServer& Serve(HttpLimits limits = {}) {
    options_.listen = "127.0.0.1:0";
    options_.limits = limits;
    if (!options_.handler) options_.handler = Echo;
    auto server = HttpServer::Listen(options_);
    EXPECT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(*server);
    return *server_;
  }
  static HttpLimits Impatient() {
    HttpLimits limits;
    limits.read_timeout = milliseconds(50);
    return limits;
  }
  std::string Url(const std::string& path) const {
    return (options_.key_file.empty() ? "http" : "https") + std::string("://127.0.0.1:") +
           std::to_string(server_->port()) + path;
  }
  std::string Told(const std::string& request) const {
    Peer peer(server_->port());
    peer.Say(request);
    return peer.HearAll();
  }
  static std::string StatusLine(const std::string& answer) {
    return answer.substr(0, answer.find('\r'));
  }

  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTest, ACallIsAnsweredWithWhatTheHandlerSaid) {
  Serve();
  const auto got = HttpCall({.url = Url("/a?b=1"), .method = "POST", .body = "hello"});
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->status, 200);
  EXPECT_EQ(got->content_type, "text/plain");
  EXPECT_EQ(got->body, "POST /a?b=1 hello");
  EXPECT_NE(std::find(got->headers.begin(), got->headers.end(),
                      std::pair<std::string, std::string>("x-told", "yes")),
            got->headers.end());
}

TEST_F(HttpTest, HeadIsAnsweredAsGetWithoutTheBody) {
  Serve();
  const std::string answer = Told("HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusLine(answer), "HTTP/1.1 200 OK");
  EXPECT_NE(answer.find("Content-Length: 7\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
  EXPECT_EQ(HttpCall({.url = Url("/x"), .method = "HEAD"})->body, "");
}

TEST_F(HttpTest, AConnectionServesManyRequestsInOrder) {
  Serve();
  Peer peer(server_->port());
  for (int i = 0; i < 3; ++i) {
    const std::string end = "GET /" + std::to_string(i) + " ";
    peer.Say("GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(StatusLine(peer.HearUntil(end)), "HTTP/1.1 200 OK");
  }
  peer.Say(
      "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string both = peer.HearAll();
  EXPECT_LT(both.find("GET /a "), both.find("GET /b "));
  EXPECT_NE(both.find("GET /b "), std::string::npos);
}

TEST_F(HttpTest, WhatIsNoHttpIsRefused) {
  Serve();
  for (const char* request :
       {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    EXPECT_EQ(StatusLine(Told(request)), "HTTP/1.1 400 Bad Request") << request;
  }
  EXPECT_EQ(HttpCall({.url = Url("/")})->status, 200);
}

TEST_F(HttpTest, AHeaderAboveTheLimitIsRefused) {
  Serve();
  EXPECT_EQ(StatusLine(Told("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n")),
            "HTTP/1.1 431 Request Header Fields Too Large");
  EXPECT_EQ(StatusLine(Told("GET /" + std::string(2'000'000, 'x') + " HTTP/1.1\r\n\r\n")),
            "HTTP/1.1 431 Request Header Fields Too Large");
}

TEST_F(HttpTest, ABodyAboveTheLimitIsRefusedWhetherAnnouncedOrNot) {
  HttpLimits limits;
  limits.body_bytes_max = 1'000;
  Serve(limits);
  EXPECT_EQ(HttpCall({.url = Url("/"), .method = "POST", .body = std::string(1'000, 'x')})->status,
            200);
  EXPECT_EQ(
      HttpCall({.url = Url("/"), .method = "POST", .body = std::string(2'000'000, 'x')})->status,
      413);
  std::string chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 101; ++i) chunked += "a\r\n0123456789\r\n";
  EXPECT_EQ(StatusLine(Told(chunked)), "HTTP/1.1 413 Payload Too Large");
}

TEST_F(HttpTest, AClientThatStopsInTheMiddleIsClosedAndHoldsNoWorker) {
  HttpLimits limits = Impatient();
  limits.workers = 1;
  Serve(limits);
  for (const char* beginning : {"", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n",
                                "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"}) {
    Peer slow(server_->port());
    slow.Say(beginning);
    EXPECT_EQ(HttpCall({.url = Url("/")})->status, 200);
    EXPECT_EQ(slow.HearAll(), "") << beginning;
  }
}

TEST_F(HttpTest, ConnectionsAboveTheLimitAreClosedAndTheOthersServed) {
  HttpLimits limits;
  limits.connections_max = 20;
  Serve(limits);
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<Peer>(server_->port()));
    peers.back()->Say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peers.back()->HearUntil("GET / ");
  }
  EXPECT_EQ(Told("GET / HTTP/1.1\r\n\r\n"), "");
  for (auto& peer : peers) {
    peer->Say("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(StatusLine(peer->HearUntil("GET /again ")), "HTTP/1.1 200 OK");
  }
}

TEST_F(HttpTest, ManyCallsAtOnceAreAllAnswered) {
  Serve();
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 40; ++i) {
    calls.push_back(std::async(std::launch::async, [this, i] {
      const std::string path = "/" + std::to_string(i);
      const auto got = HttpCall({.url = Url(path)});
      return got.ok() && got->body == "GET " + path + " ";
    }));
  }
  for (auto& call : calls) EXPECT_TRUE(call.get());
}

TEST_F(HttpTest, StoppingAnswersWhatWasAskedAndClosesTheIdle) {
  std::latch asked(1), stopped(1);
  options_.handler = [&](const HttpRequest& request) {
    asked.count_down();
    stopped.wait();
    return Echo(request);
  };
  Serve();
  Peer idle(server_->port());
  auto call = std::async(std::launch::async, [this] { return HttpCall({.url = Url("/busy")}); });
  asked.wait();
  auto stop = std::async(std::launch::async, [this] { server_.reset(); });
  EXPECT_EQ(idle.HearAll(), "");
  stopped.count_down();
  stop.get();
  const auto got = call.get();
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->body, "GET /busy ");
}

TEST_F(HttpTest, AHandlersExceptionIsAnAnswerOf500) {
  options_.handler = [](const HttpRequest&) -> HttpResponse {
    return {200, "", std::string().at(1) + std::string(), {}};
  };
  Serve();
  EXPECT_EQ(HttpCall({.url = Url("/")})->status, 500);
}

TEST_F(HttpTest, PlaintextIsForLoopbackOnly) {
  options_.handler = Echo;
  for (const char* address : {"0.0.0.0:0", "[::]:0", "192.0.2.1:80"}) {
    options_.listen = address;
    const auto server = HttpServer::Listen(options_);
    ASSERT_FALSE(server.ok()) << address;
    EXPECT_EQ(server.status().code(), Code::kInvalid);
    EXPECT_NE(server.status().message().find("plaintext is for loopback addresses only"),
              std::string::npos);
  }
  const auto call = HttpCall({.url = "http://192.0.2.1/"});
  EXPECT_EQ(call.status().code(), Code::kInvalid);
  EXPECT_NE(call.status().message().find("loopback addresses only"), std::string::npos);
}

TEST_F(HttpTest, AddressesAndUrlsThatBreakARuleAreInvalid) {
  for (const char* address :
       {"", "127.0.0.1", ":80", "localhost:80", "127.0.0.1:99999", "127.0.0.1:x", "[::1]80"}) {
    options_.listen = address;
    EXPECT_EQ(HttpServer::Listen(options_).status().code(), Code::kInvalid) << address;
  }
  for (const char* url :
       {"", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:0x/", "http://a@127.0.0.1/",
        "http://127.0.0.1/ /", "http://127.0.0.1/\r\nX: y", "http://[::1/"}) {
    EXPECT_EQ(HttpCall({.url = url}).status().code(), Code::kInvalid) << url;
  }
}

TEST_F(HttpTest, APortInUseIsUnavailable) {
  Serve();
  options_.listen = "127.0.0.1:" + std::to_string(server_->port());
  EXPECT_EQ(HttpServer::Listen(options_).status().code(), Code::kUnavailable);
}

// --- the client ----------------------------------------------------------------------------------

class Listener {  // accepts into the backlog and never answers
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(::listen(fd_.get(), 8), 0);
    socklen_t size = sizeof(at);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(at.sin_port);
  }
  // Answers one connection with `text` and closes it.
  void AnswerOnce(std::string_view text) {
    const Descriptor peer(::accept(fd_.get(), nullptr, nullptr));
    char request[4096];
    EXPECT_GT(::recv(peer.get(), request, sizeof(request), 0), 0);
    EXPECT_EQ(::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }

 private:
  Descriptor fd_;
  std::uint16_t port_ = 0;
};

TEST(HttpClient, GivesUpOnAServerThatKeepsSilent) {
  Listener silent;
  const auto got = HttpCall({.url = silent.url(), .timeout = milliseconds(50)});
  EXPECT_EQ(got.status().code(), Code::kUnavailable);
  EXPECT_NE(got.status().message().find("no answer in time"), std::string::npos)
      << got.status().message();
}

TEST(HttpClient, RefusesAnAnswerThatIsTooLargeOrNoHttp) {
  for (const std::string& answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'),
        "HTTP/1.1 200 OK\r\n\r\n" + std::string(2000, 'x'), std::string("SSH-2.0-OpenSSH\r\n"),
        "HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n",
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")}) {
    Listener listener;
    std::thread server([&] { listener.AnswerOnce(answer); });
    const auto got = HttpCall({.url = listener.url(), .response_bytes_max = 1'000});
    server.join();
    EXPECT_EQ(got.status().code(), Code::kUnavailable) << answer.substr(0, 60);
  }
}

TEST(HttpClient, NobodyListeningIsUnavailable) {
  std::string url;
  {
    url = Listener().url();
  }
  EXPECT_EQ(HttpCall({.url = url}).status().code(), Code::kUnavailable);
}

// --- TLS -----------------------------------------------------------------------------------------

class HttpTlsTest : public HttpTest {
 protected:
  void SetUp() override {
    dir_ = ::testing::TempDir() + "daicho_http_" + std::to_string(::getpid());
    std::filesystem::create_directories(dir_);
    Certificate("good", "IP:127.0.0.1");
    Certificate("other", "DNS:witness.example");
    options_.certificate_file = dir_ + "/good.pem";
    options_.key_file = dir_ + "/good.key";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void Certificate(const std::string& name, const std::string& host) {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "
        "/CN=test -addext "
        "subjectAltName=" +
        host + " -keyout " + dir_ + "/" + name + ".key -out " + dir_ + "/" + name + ".pem";
    ASSERT_EQ(std::system((command + " >" + dir_ + "/openssl.txt 2>&1").c_str()), 0);
  }
  std::string dir_;
};

TEST_F(HttpTlsTest, ACallIsAnsweredWhenTheCertificateVerifies) {
  Serve();
  const auto got = HttpCall({.url = Url("/x"), .ca_file = dir_ + "/good.pem"});
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->body, "GET /x ");
}

TEST_F(HttpTlsTest, ACertificateThatDoesNotVerifyIsDenied) {
  Serve();
  EXPECT_EQ(HttpCall({.url = Url("/")}).status().code(), Code::kDenied);
  EXPECT_EQ(HttpCall({.url = Url("/"), .ca_file = dir_ + "/other.pem"}).status().code(),
            Code::kDenied);
  EXPECT_EQ(HttpCall({.url = Url("/"), .ca_file = dir_ + "/none.pem"}).status().code(),
            Code::kInvalid);
}

TEST_F(HttpTlsTest, ACertificateOfAnotherHostIsDenied) {
  options_.certificate_file = dir_ + "/other.pem";
  options_.key_file = dir_ + "/other.key";
  Serve();
  EXPECT_EQ(HttpCall({.url = Url("/"), .ca_file = dir_ + "/other.pem"}).status().code(),
            Code::kDenied);
}

TEST_F(HttpTlsTest, EveryAddressMayBeServedOverTls) {
  options_.listen = "0.0.0.0:0";
  options_.handler = Echo;
  const auto server = HttpServer::Listen(options_);
  EXPECT_TRUE(server.ok()) << server.status().ToString();
}

TEST_F(HttpTlsTest, PlaintextAndSilenceDoNotDisturbTheOthers) {
  Serve(Impatient());
  Peer silent(server_->port());
  EXPECT_EQ(Told("GET / HTTP/1.1\r\n\r\n").find("HTTP/1.1 200"), std::string::npos);
  EXPECT_TRUE(HttpCall({.url = Url("/"), .ca_file = dir_ + "/good.pem"}).ok());
}

TEST_F(HttpTlsTest, ACertificateWithoutItsKeyIsInvalid) {
  options_.listen = "127.0.0.1:0";
  options_.handler = Echo;
  options_.key_file = dir_ + "/other.key";
  EXPECT_EQ(HttpServer::Listen(options_).status().code(), Code::kInvalid);
  options_.key_file.clear();
  EXPECT_EQ(HttpServer::Listen(options_).status().code(), Code::kInvalid);
  options_.key_file = options_.certificate_file = dir_ + "/none.pem";
  EXPECT_EQ(HttpServer::Listen(options_).status().code(), Code::kInvalid);
}

}  // namespace
}  // namespace daicho
