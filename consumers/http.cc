#include "consumers/http.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <cctype>
#include <charconv>
#include <exception>
#include <list>
#include <optional>
#include <string_view>
#include <thread>

namespace daicho {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::ip::tcp;
using beast::error_code;
using Plain = beast::tcp_stream;
using Tls = beast::ssl_stream<beast::tcp_stream>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kHandshakeTimeout{5};
constexpr std::chrono::seconds kLingerTimeout{2};
constexpr std::size_t kLingerBytesMax = 4u << 20;

Plain& Lowest(Plain& stream) { return stream; }
Plain& Lowest(Tls& stream) { return stream.next_layer(); }

Result<std::uint16_t> ToPort(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Invalid("a port is a number up to 65535");
  }
  return port;
}

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  std::optional<std::string> port;
};

Result<HostPort> SplitHostPort(std::string_view text) {
  HostPort out;
  std::size_t end = text.rfind(':');
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return Invalid("an IPv6 address ends with ]");
    out.host = text.substr(1, close - 1);
    end = close + 1;
    if (end < text.size() && text[end] != ':') return Invalid("after ] comes :PORT");
  } else {
    out.host = text.substr(0, end);
  }
  if (end < text.size()) out.port = std::string(text.substr(end + 1));
  if (out.host.empty()) return Invalid("the address is empty");
  return out;
}

Result<tcp::endpoint> ToEndpoint(const std::string& listen) {
  ASSIGN_OR_RETURN(const HostPort parts, SplitHostPort(listen));
  if (!parts.port) return Invalid("ADDRESS:PORT is needed");
  ASSIGN_OR_RETURN(const std::uint16_t port, ToPort(*parts.port));
  error_code error;
  const auto address = asio::ip::make_address(parts.host, error);
  if (error) return Invalid("an IP address is needed before the port");
  return tcp::endpoint(address, port);
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

HttpRequest ToRequest(http::request<http::string_body>&& message) {
  HttpRequest out;
  out.method = message.method() == http::verb::head ? "GET" : std::string(message.method_string());
  out.target = std::string(message.target());
  for (const auto& field : message)
    out.headers[Lower(field.name_string())] = std::string(field.value());
  out.body = std::move(message.body());
  return out;
}

http::response<http::string_body> ToMessage(HttpResponse&& response, unsigned version) {
  http::response<http::string_body> out(http::int_to_status(static_cast<unsigned>(response.status)),
                                        version);
  out.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) out.set(name, value);
  out.body() = std::move(response.body);
  out.prepare_payload();
  return out;
}

// What to tell a peer whose request cannot be read; none when the connection is at fault.
std::optional<HttpResponse> Refusal(error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return HttpResponse{431, "text/plain", "the request's header is too large\n", {}};
  }
  if (error == http::error::body_limit) {
    return HttpResponse{413, "text/plain", "the request's body is too large\n", {}};
  }
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return HttpResponse{400, "text/plain", "the request is not HTTP/1.1\n", {}};
  }
  return std::nullopt;
}

}  // namespace

// --- server --------------------------------------------------------------------------------------

struct HttpServer::Impl {
  explicit Impl(HttpServerOptions given)
      : options(std::move(given)),
        acceptor(io),
        pool(std::max<std::size_t>(1, options.limits.workers)) {}

  // One peer. `stream` is set while its connection is open.
  struct Connection {
    Plain* stream = nullptr;
    bool answering = false;
  };

  HttpServerOptions options;
  asio::io_context io{1};
  std::optional<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  std::uint16_t port = 0;
  asio::thread_pool pool;
  std::thread io_thread;
  // Of the I/O thread alone.
  std::list<Connection> connections;
  bool stopping = false;

  Status Open() {
    auto endpoint = ToEndpoint(options.listen);
    if (!endpoint.ok()) return endpoint.status().With("listen " + options.listen);
    if (options.certificate_file.empty() != options.key_file.empty()) {
      return Invalid("listen: a TLS certificate and its key belong together");
    }
    if (!options.certificate_file.empty()) {
      RETURN_IF_ERROR(LoadCertificate());
    } else if (!endpoint->address().is_loopback()) {
      return Invalid("listen " + options.listen +
                     ": plaintext is for loopback addresses only; give a TLS certificate and key");
    }
    error_code error;
    acceptor.open(endpoint->protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(*endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (!error) port = acceptor.local_endpoint(error).port();
    if (error) return Unavailable("listen " + options.listen + ": " + error.message());
    return {};
  }

  Status LoadCertificate() {
    tls.emplace(asio::ssl::context::tls_server);
    error_code error;
    tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                         asio::ssl::context::no_tlsv1_1,
                     error);
    if (!error) tls->use_certificate_chain_file(options.certificate_file, error);
    if (error)
      return Invalid("TLS certificate " + options.certificate_file + ": " + error.message());
    tls->use_private_key_file(options.key_file, asio::ssl::context::pem, error);
    if (error) return Invalid("TLS key " + options.key_file + ": " + error.message());
    return {};
  }

  void Start() {
    asio::co_spawn(io, Accept(), asio::detached);
    io_thread = std::thread([this] {
      for (;;) {
        try {
          io.run();
          return;
        } catch (const std::exception&) {
          // Of one connection, which has unwound; the others go on.
        }
      }
    });
  }

  void Stop() {
    asio::post(io, [this] {
      stopping = true;
      error_code ignored;
      acceptor.close(ignored);
      for (Connection& connection : connections) {
        if (!connection.answering && connection.stream != nullptr) connection.stream->close();
      }
    });
    io_thread.join();
    pool.join();
  }

  awaitable<void> Accept() {
    while (!stopping) {
      auto [error, socket] = co_await acceptor.async_accept(kAwait);
      if (stopping) co_return;
      if (error) {  // out of descriptors, or the peer has gone: not to spin
        asio::steady_timer pause(io, std::chrono::milliseconds(50));
        co_await pause.async_wait(kAwait);
        continue;
      }
      if (connections.size() >= options.limits.connections_max) continue;  // closes it
      asio::co_spawn(io, Serve(std::move(socket)), asio::detached);
    }
  }

  awaitable<void> Serve(tcp::socket socket) {
    const auto self = connections.emplace(connections.end());
    try {
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      if (tls) {
        Tls stream(std::move(socket), *tls);
        self->stream = &Lowest(stream);
        co_await ServeTls(stream, *self);
      } else {
        Plain stream(std::move(socket));
        self->stream = &stream;
        co_await ServeRequests(stream, *self);
        stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
      }
    } catch (const std::exception&) {
      // Out of memory, or a library's surprise: this connection ends.
    }
    connections.erase(self);
  }

  awaitable<void> ServeTls(Tls& stream, Connection& self) {
    Lowest(stream).expires_after(kHandshakeTimeout);
    const auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::server, kAwait);
    if (error) co_return;
    co_await ServeRequests(stream, self);
    Lowest(stream).expires_after(kLingerTimeout);
    co_await stream.async_shutdown(kAwait);
  }

  template <typename Stream>
  awaitable<void> ServeRequests(Stream& stream, Connection& self) {
    beast::flat_buffer buffer(options.limits.header_bytes_max + (64u << 10));
    for (bool keep = true; keep && !stopping;) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(options.limits.header_bytes_max);
      parser.body_limit(options.limits.body_bytes_max);
      const error_code error = co_await ReadRequest(stream, buffer, parser);
      if (error) {
        if (auto refusal = Refusal(error)) {
          co_await Write(stream, ToMessage(std::move(*refusal), 11), false, false);
          co_await Linger(stream);
        }
        co_return;
      }
      self.answering = true;
      keep = co_await AnswerRequest(stream, parser.release());
      self.answering = false;
    }
  }

  template <typename Stream, typename Parser>
  awaitable<error_code> ReadRequest(Stream& stream, beast::flat_buffer& buffer, Parser& parser) {
    Lowest(stream).expires_after(options.limits.read_timeout);
    auto [header_error, header_bytes] =
        co_await http::async_read_header(stream, buffer, parser, kAwait);
    if (header_error) co_return header_error;
    Lowest(stream).expires_after(options.limits.read_timeout);
    auto [error, bytes] = co_await http::async_read(stream, buffer, parser, kAwait);
    co_return error;
  }

  // Whether the connection may be used again.
  template <typename Stream>
  awaitable<bool> AnswerRequest(Stream& stream, http::request<http::string_body> message) {
    const bool keep = message.keep_alive();
    const bool head = message.method() == http::verb::head;
    const unsigned version = message.version();
    const HttpRequest request = ToRequest(std::move(message));
    HttpResponse response = co_await asio::co_spawn(pool, Handle(request), asio::use_awaitable);
    co_return co_await Write(stream, ToMessage(std::move(response), version), head,
                             keep && !stopping);
  }

  awaitable<HttpResponse> Handle(const HttpRequest& request) {
    try {
      co_return options.handler(request);
    } catch (const std::exception&) {
      co_return HttpResponse{500, "text/plain", "internal error\n", {}};
    }
  }

  template <typename Stream>
  awaitable<bool> Write(Stream& stream, http::response<http::string_body> message, bool head,
                        bool keep) {
    message.keep_alive(keep);
    http::response_serializer<http::string_body> serializer(message);
    Lowest(stream).expires_after(options.limits.write_timeout);
    error_code error;
    if (head) {
      auto [header_error, bytes] = co_await http::async_write_header(stream, serializer, kAwait);
      error = header_error;
    } else {
      auto [write_error, bytes] = co_await http::async_write(stream, serializer, kAwait);
      error = write_error;
    }
    co_return !error && keep;
  }

  // Reads on past what was refused: closing with bytes unread would reset the connection, and the
  // peer could lose the answer.
  template <typename Stream>
  awaitable<void> Linger(Stream& stream) {
    Plain& lowest = Lowest(stream);
    error_code ignored;
    lowest.socket().shutdown(tcp::socket::shutdown_send, ignored);
    lowest.expires_after(kLingerTimeout);
    std::string discarded(16u << 10, '\0');
    for (std::size_t total = 0; total < kLingerBytesMax && !stopping;) {
      auto [error, bytes] = co_await lowest.async_read_some(asio::buffer(discarded), kAwait);
      if (error) co_return;
      total += bytes;
    }
  }
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { impl_->Stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(HttpServerOptions options) {
  try {
    auto impl = std::make_unique<Impl>(std::move(options));
    RETURN_IF_ERROR(impl->Open());
    impl->Start();
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& e) {
    return Unavailable(std::string("listen: ") + e.what());
  }
}

std::uint16_t HttpServer::port() const { return impl_->port; }

// --- client --------------------------------------------------------------------------------------

namespace {

struct Url {
  bool tls = false;
  std::string host, port, target;
};

Result<Url> ParseUrl(std::string_view text) {
  Url out;
  if (text.starts_with("https://")) {
    out.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return Invalid("a URL begins with https:// or http://");
  }
  const std::size_t path = std::min(text.find('/'), text.size());
  out.target = path == text.size() ? "/" : std::string(text.substr(path));
  const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
  if (!std::all_of(text.begin(), text.end(), printable) || text.find('@') < path) {
    return Invalid("a URL is printable ASCII without user names");
  }
  ASSIGN_OR_RETURN(const HostPort parts, SplitHostPort(text.substr(0, path)));
  out.host = parts.host;
  out.port = parts.port.value_or(out.tls ? "443" : "80");
  RETURN_IF_ERROR(ToPort(out.port).status());
  return out;
}

class Call {
 public:
  Call(const HttpCallOptions& options, Url url) : options_(options), url_(std::move(url)) {}

  Result<HttpResponse> Run() {
    auto endpoints = Resolve();
    if (!endpoints.ok()) return endpoints.status();
    Result<HttpResponse> out = Unavailable("no answer");
    asio::co_spawn(io_, Exchange(*endpoints, out), [](std::exception_ptr failure) {
      if (failure) std::rethrow_exception(failure);
    });
    io_.run();
    return out;
  }

 private:
  Result<tcp::resolver::results_type> Resolve() {
    tcp::resolver resolver(io_);
    error_code error;
    auto endpoints = resolver.resolve(url_.host, url_.port, error);
    if (error) return Unavailable(url_.host + ": " + error.message());
    for (const auto& entry : endpoints) {
      if (!url_.tls && !entry.endpoint().address().is_loopback()) {
        return Invalid("http:// is for loopback addresses only; use https://");
      }
    }
    return endpoints;
  }

  Status TrustStore(asio::ssl::context& context) {
    error_code error;
    if (options_.ca_file.empty()) {
      context.set_default_verify_paths(error);
    } else {
      context.load_verify_file(options_.ca_file, error);
    }
    if (error) return Invalid("CA file " + options_.ca_file + ": " + error.message());
    context.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
    return {};
  }

  awaitable<void> Exchange(tcp::resolver::results_type endpoints, Result<HttpResponse>& out) {
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    if (!url_.tls) {
      Plain stream(io_);
      stream.expires_at(deadline);
      auto [error, endpoint] = co_await stream.async_connect(endpoints, kAwait);
      if (error) {
        out = Failed("connecting", error);
        co_return;
      }
      co_await Send(stream, out);
      co_return;
    }
    asio::ssl::context context(asio::ssl::context::tls_client);
    if (const Status trusted = TrustStore(context); !trusted.ok()) {
      out = trusted;
      co_return;
    }
    Tls stream(io_, context);
    Lowest(stream).expires_at(deadline);
    if (const Status ready = co_await Handshake(stream, endpoints); !ready.ok()) {
      out = ready;
      co_return;
    }
    co_await Send(stream, out);
  }

  awaitable<Status> Handshake(Tls& stream, tcp::resolver::results_type endpoints) {
    auto [error, endpoint] = co_await Lowest(stream).async_connect(endpoints, kAwait);
    if (error) co_return Failed("connecting", error);
    stream.set_verify_mode(asio::ssl::verify_peer);
    stream.set_verify_callback(asio::ssl::host_name_verification(url_.host));
    if (SSL_set_tlsext_host_name(stream.native_handle(), url_.host.c_str()) != 1) {
      co_return Invalid("the host's name is not fit for TLS");
    }
    const auto [tls_error] =
        co_await stream.async_handshake(asio::ssl::stream_base::client, kAwait);
    if (!tls_error) co_return Status();
    const long verified = SSL_get_verify_result(stream.native_handle());
    if (verified != X509_V_OK) {
      co_return Denied(url_.host + ": its certificate does not verify: " +
                       X509_verify_cert_error_string(verified));
    }
    co_return Failed("TLS handshake", tls_error);
  }

  template <typename Stream>
  awaitable<void> Send(Stream& stream, Result<HttpResponse>& out) {
    auto request = Message();
    http::request_serializer<http::string_body> serializer(request);
    auto [write_error, written] = co_await http::async_write(stream, serializer, kAwait);
    // A server that refuses early may have answered already: that answer is worth more than the
    // error.
    beast::flat_buffer buffer(options_.response_bytes_max + (128u << 10));
    http::response_parser<http::string_body> parser;
    parser.header_limit(16u << 10);
    parser.body_limit(options_.response_bytes_max);
    parser.skip(options_.method == "HEAD");
    auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kAwait);
    if (read_error) {
      out = Failed(write_error ? "sending" : "receiving", write_error ? write_error : read_error);
      co_return;
    }
    out = ToResponse(parser.release());
  }

  http::request<http::string_body> Message() const {
    http::request<http::string_body> out;
    out.version(11);
    out.method_string(options_.method);
    out.target(url_.target);
    const bool usual = url_.port == (url_.tls ? "443" : "80");
    const std::string host =
        url_.host.find(':') == std::string::npos ? url_.host : "[" + url_.host + "]";
    out.set(http::field::host, usual ? host : host + ":" + url_.port);
    out.set(http::field::user_agent, "daicho");
    out.keep_alive(false);
    if (!options_.body.empty()) out.set(http::field::content_type, options_.content_type);
    out.body() = options_.body;
    out.prepare_payload();
    return out;
  }

  static HttpResponse ToResponse(http::response<http::string_body> message) {
    HttpResponse out;
    out.status = static_cast<int>(message.result_int());
    out.content_type = std::string(message[http::field::content_type]);
    for (const auto& field : message) {
      out.headers.emplace_back(Lower(field.name_string()), std::string(field.value()));
    }
    out.body = std::move(message.body());
    return out;
  }

  Status Failed(std::string_view doing, error_code error) const {
    return Unavailable(url_.host + ":" + url_.port + ": " + std::string(doing) + ": " +
                       (error == beast::error::timeout ? "no answer in time" : error.message()));
  }

  const HttpCallOptions& options_;
  const Url url_;
  asio::io_context io_{1};
};

}  // namespace

Status CheckHttpUrl(const std::string& url) {
  ASSIGN_OR_RETURN(const Url parsed, ParseUrl(url));
  error_code not_an_address;
  const auto address = asio::ip::make_address(parsed.host, not_an_address);
  if (parsed.tls || not_an_address || address.is_loopback()) return {};
  return Invalid("http:// is for loopback addresses only; use https://");
}

Result<HttpResponse> HttpCall(const HttpCallOptions& options) {
  try {
    auto url = ParseUrl(options.url);
    if (!url.ok()) return url.status();
    if (options.method.empty()) return Invalid("a call has a method");
    return Call(options, std::move(*url)).Run();
  } catch (const std::exception& e) {
    return Unavailable(std::string("HTTP call: ") + e.what());
  }
}

}  // namespace daicho
