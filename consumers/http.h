// HTTP/1.1 server and client, over TLS or, on loopback addresses only, in clear. The one door to
// Boost.
//
//   socket ─► I/O thread ─► worker pool ─► I/O thread
//             reads a       runs the       writes
//             request       handler
//
// A slow or silent peer costs a connection and no thread, until its time is over. Workers are as
// many as handlers may run at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "events/result.h"

namespace daicho {

struct HttpRequest {
  std::string method;  // HEAD arrives as GET; the body of its answer is not sent
  std::string target;  // as sent: path and query, not decoded
  std::map<std::string, std::string> headers;  // names in lower case; of a repeated one the last
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct HttpLimits {
  std::size_t body_bytes_max = 1u << 20;
  std::uint32_t header_bytes_max = 16u << 10;  // request line included
  std::size_t connections_max = 256;           // further ones are closed at once
  std::size_t workers = 4;
  // From an idle connection to the end of the next request's header; then for its body.
  std::chrono::milliseconds read_timeout{10'000};
  std::chrono::milliseconds write_timeout{30'000};
};

struct HttpServerOptions {
  std::string listen;  // "127.0.0.1:0", "[::1]:8443": an address, not a name; port 0 chooses one
  std::string certificate_file, key_file;  // PEM; both or neither
  std::function<HttpResponse(const HttpRequest&)>
      handler;  // of any worker thread, at the same time
  HttpLimits limits;
};

class HttpServer {
 public:
  // Errors: kInvalid for a bad address or certificate, and for an address that is not loopback
  // without TLS; kUnavailable when it cannot be bound.
  static Result<std::unique_ptr<HttpServer>> Listen(HttpServerOptions options);
  // Takes no further request, lets those that were read whole be answered, then closes.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;

  std::uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct HttpCallOptions {
  std::string url = {};  // http://HOST[:PORT]/… on loopback, https://… anywhere
  std::string method = "GET";
  std::string body = {};
  std::string content_type = "text/plain; charset=utf-8";
  // Of the whole call but the look-up of HOST's address, which the system's resolver bounds.
  std::chrono::milliseconds timeout{10'000};
  std::string ca_file = {};  // PEM; empty: the system's
  std::size_t response_bytes_max = 1u << 20;
};

// Whether a URL may be called at all, before anything is looked up. Errors: kInvalid with the rule.
Status CheckHttpUrl(const std::string& url);

// One request on a connection of its own; blocks. An answer of any status is an answer.
// Errors: kInvalid for a URL that breaks a rule, kDenied for a certificate that does not verify,
// kUnavailable for everything that the network or the peer does.
Result<HttpResponse> HttpCall(const HttpCallOptions& options);

}  // namespace daicho
