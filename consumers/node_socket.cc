#include "consumers/node_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <list>
#include <mutex>
#include <thread>

#include "events/bytes.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMessageBytesMax = kRecordBytesMax + (1u << 20);
constexpr std::size_t kConnectionsMax = 256;
constexpr std::uint32_t kReadRecordsMax = 1'000;
constexpr std::uint32_t kReadWaitMsMax = 1'000;

// An address of at most 107 characters, whatever the length of the path: the directory is held open and
// named through it.
struct Address {
  Descriptor directory;
  sockaddr_un name{};
};

Result<Address> MakeAddress(const std::string& path) {
  const std::filesystem::path full(path);
  Address out;
  out.directory = Descriptor(::open(full.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (out.directory.get() < 0) return ErrnoStatus("opening " + full.parent_path().string());
  const std::string text =
      "/proc/self/fd/" + std::to_string(out.directory.get()) + "/" + full.filename().string();
  if (text.size() >= sizeof(out.name.sun_path)) return Invalid("socket name is too long");
  out.name.sun_family = AF_UNIX;
  std::copy(text.begin(), text.end(), out.name.sun_path);
  return out;
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("sending to the node's socket").With("node");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::string> ReadExactly(int fd, std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t got = 0; got < size;) {
    const ssize_t n = ::recv(fd, out.data() + got, size - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("reading from the node's socket");
    if (n == 0) return Unavailable("the node closed the connection");
    got += static_cast<std::size_t>(n);
  }
  return out;
}

template <typename Message>
Status SendMessage(int fd, const Message& message) {
  std::string frame;
  AppendU32(frame, static_cast<std::uint32_t>(message.ByteSizeLong()));
  message.AppendToString(&frame);
  return WriteAll(fd, frame);
}

template <typename Message>
Result<Message> ReceiveMessage(int fd) {
  ASSIGN_OR_RETURN(const std::string length, ReadExactly(fd, 4));
  const std::uint32_t size = ReadU32(length);
  if (size > kMessageBytesMax) return Invalid("message is larger than the node takes");
  ASSIGN_OR_RETURN(const std::string bytes, ReadExactly(fd, size));
  Message message;
  if (!message.ParseFromString(bytes)) return Invalid("message cannot be decoded");
  return message;
}

}  // namespace

// --- server --------------------------------------------------------------------------------------

struct SocketServer::Impl {
  std::string path;
  Handler handle;
  Descriptor listener;
  std::thread acceptor;
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  struct Connection {
    Descriptor fd;
    std::thread thread;
    bool done = false;
  };
  std::list<Connection> connections;  // guarded by mutex

  void Accept() {
    while (!stopping) {
      pollfd waiting{listener.get(), POLLIN, 0};
      if (::poll(&waiting, 1, 100) <= 0) continue;
      Descriptor fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (fd.get() < 0) continue;
      const std::lock_guard lock(mutex);
      for (auto it = connections.begin(); it != connections.end();) {
        if (it->done) {
          it->thread.join();
          it = connections.erase(it);
        } else {
          ++it;
        }
      }
      if (connections.size() >= kConnectionsMax) continue;  // closes it
      Connection& connection = connections.emplace_back();
      connection.fd = std::move(fd);
      connection.thread = std::thread([this, &connection] { Serve(connection); });
    }
  }

  void Serve(Connection& connection) {
    for (;;) {
      const auto request = ReceiveMessage<node::Request>(connection.fd.get());
      if (!request.ok()) break;
      if (!SendMessage(connection.fd.get(), handle(*request)).ok()) break;
    }
    const std::lock_guard lock(mutex);
    ::shutdown(connection.fd.get(), SHUT_RDWR);
    connection.done = true;
  }

  ~Impl() {
    stopping = true;
    if (acceptor.joinable()) acceptor.join();
    {
      const std::lock_guard lock(mutex);
      for (Connection& connection : connections) ::shutdown(connection.fd.get(), SHUT_RDWR);
    }
    for (Connection& connection : connections) connection.thread.join();
    ::unlink(path.c_str());
  }
};

SocketServer::SocketServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SocketServer::~SocketServer() = default;

Result<std::unique_ptr<SocketServer>> SocketServer::Listen(const std::string& path, Handler handle) {
  if (SocketClient::Connect(path).ok()) return Unavailable("a node is serving " + path + " already");
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->handle = std::move(handle);
  ::unlink(path.c_str());
  ASSIGN_OR_RETURN(const Address address, MakeAddress(path));
  impl->listener = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const mode_t mask = ::umask(0007);
  const int bound = ::bind(impl->listener.get(), reinterpret_cast<const sockaddr*>(&address.name),
                           sizeof(address.name));
  ::umask(mask);
  if (bound != 0 || ::listen(impl->listener.get(), 64) != 0) return ErrnoStatus("listening on " + path);
  impl->acceptor = std::thread([raw = impl.get()] { raw->Accept(); });
  return std::unique_ptr<SocketServer>(new SocketServer(std::move(impl)));
}

// --- client --------------------------------------------------------------------------------------

struct SocketClient::Impl {
  Descriptor fd;
};

SocketClient::SocketClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SocketClient::~SocketClient() = default;

Result<std::unique_ptr<SocketClient>> SocketClient::Connect(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  if (!FileExists(path)) return NotFound("no node serves " + path);
  ASSIGN_OR_RETURN(const Address address, MakeAddress(path));
  impl->fd = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(impl->fd.get(), reinterpret_cast<const sockaddr*>(&address.name), sizeof(address.name)) != 0) {
    return NotFound("no node serves " + path);
  }
  return std::unique_ptr<SocketClient>(new SocketClient(std::move(impl)));
}

Result<node::Response> SocketClient::Call(const node::Request& request) {
  RETURN_IF_ERROR(SendMessage(impl_->fd.get(), request));
  ASSIGN_OR_RETURN(node::Response response, ReceiveMessage<node::Response>(impl_->fd.get()));
  if (response.code() != 0) return Status(static_cast<Code>(response.code()), response.message());
  return response;
}

// --- logs through it -----------------------------------------------------------------------------

namespace {

class SocketLogReader final : public LogReader {
 public:
  explicit SocketLogReader(std::unique_ptr<SocketClient> client) : client_(std::move(client)) {}

  Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
    node::Request request;
    request.set_bounds(topic);
    RETURN_IF_ERROR(client_->Call(request).status());
    sources_.push_back({topic, from});
    return static_cast<std::uint32_t>(sources_.size() - 1);
  }

  Result<std::vector<Received>> Poll(std::size_t records_max, milliseconds wait) override {
    std::vector<Received> out;
    for (std::uint32_t source = 0; source < sources_.size() && out.empty(); ++source) {
      node::Request request;
      node::Read& read = *request.mutable_read();
      read.set_topic(sources_[source].topic);
      read.set_from(sources_[source].next.value());
      read.set_records_max(static_cast<std::uint32_t>(std::min<std::size_t>(records_max, kReadRecordsMax)));
      read.set_wait_ms(static_cast<std::uint32_t>(
          static_cast<std::size_t>(wait.count()) / sources_.size()));
      ASSIGN_OR_RETURN(node::Response response, client_->Call(request));
      for (node::Record& record : *response.mutable_records()) {
        out.push_back({source, Cursor(record.cursor()), Cursor(record.next()),
                       std::move(*record.mutable_key()), std::move(*record.mutable_value())});
      }
      sources_[source].next = Cursor(response.end());
    }
    return out;
  }

  Cursor Next(std::uint32_t source) const override { return sources_[source].next; }

 private:
  struct Source {
    std::string topic;
    Cursor next;
  };
  std::unique_ptr<SocketClient> client_;
  std::vector<Source> sources_;
};

class SocketLog final : public Log {
 public:
  SocketLog(std::string path, std::unique_ptr<SocketClient> client)
      : path_(std::move(path)), client_(std::move(client)) {}

  Status CreateTopic(const std::string&) override { return Denied("only the node creates topics"); }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string&) override {
    return Denied("only the node writes the ledger");
  }
  Status Append(const std::string& topic, const Record& record) override {
    node::Request request;
    request.mutable_append()->set_topic(topic);
    request.mutable_append()->mutable_record()->set_key(record.key);
    request.mutable_append()->mutable_record()->set_value(record.value);
    return Call(request).status();
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    auto client = SocketClient::Connect(path_);
    // It was there when this log was opened: it has ended since, and may come back.
    if (!client.ok()) return Unavailable(client.status().message());
    return std::unique_ptr<LogReader>(std::make_unique<SocketLogReader>(std::move(*client)));
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    node::Request request;
    request.set_bounds(topic);
    ASSIGN_OR_RETURN(const node::Response response, Call(request));
    return Bounds{Cursor(response.first()), Cursor(response.end())};
  }
  Result<Received> ReadLast(const std::string& topic) override {
    node::Request request;
    request.set_last(topic);
    ASSIGN_OR_RETURN(const node::Response response, Call(request));
    if (response.records_size() != 1) return Corrupt("the node answered without a record");
    const node::Record& record = response.records(0);
    return Received{0, Cursor(record.cursor()), Cursor(record.next()), record.key(), record.value()};
  }

 private:
  Result<node::Response> Call(const node::Request& request) {
    const std::lock_guard lock(mutex_);
    return client_->Call(request);
  }

  std::string path_;
  std::mutex mutex_;
  std::unique_ptr<SocketClient> client_;  // guarded by mutex_
};

void AddRecord(const Received& record, node::Response& response) {
  node::Record& out = *response.add_records();
  out.set_key(record.key);
  out.set_value(record.value);
  out.set_cursor(record.cursor.value());
  out.set_next(record.next.value());
}

bool IsKind(const std::string& topic, std::string_view kind) {
  const std::size_t dot = topic.find('.', topic.find('.') + 1);
  return topic.starts_with("daicho.") && dot != std::string::npos &&
         std::string_view(topic).substr(dot + 1).starts_with(kind);
}

bool MayWrite(const std::string& topic) {
  return IsKind(topic, "inbox.") || IsKind(topic, "request.") || IsKind(topic, "reply.");
}

bool MayRead(const std::string& topic, bool ledger_too) {
  return IsKind(topic, "receipt.") || IsKind(topic, "provision.") || (ledger_too && (IsKind(topic, "ledger") || IsKind(topic, "checkpoint")));
}

// A response holds at least one record, and no more than fits a message.
constexpr std::size_t kResponseBytes = 16u << 20;

Status Answer(Log& log, const node::Request& request, node::Response& response, bool ledger_too) {
  switch (request.what_case()) {
    case node::Request::kAppend: {
      const node::Append& append = request.append();
      if (!MayWrite(append.topic())) return Denied("only inboxes, requests and replies may be written");
      return log.Append(append.topic(), {append.record().key(), append.record().value(), {}});
    }
    case node::Request::kRead: {
      const node::Read& read = request.read();
      if (!MayRead(read.topic(), ledger_too)) return Denied("only receipts and provisions may be read");
      ASSIGN_OR_RETURN(auto reader, log.OpenReader());
      RETURN_IF_ERROR(reader->Assign(read.topic(), Cursor(read.from())).status());
      ASSIGN_OR_RETURN(const auto records,
                       reader->Poll(std::min(read.records_max(), kReadRecordsMax),
                                    milliseconds(std::min(read.wait_ms(), kReadWaitMsMax))));
      std::size_t bytes = 0;
      response.set_end(reader->Next(0).value());
      for (const Received& record : records) {
        if (bytes > 0 && bytes + record.value.size() > kResponseBytes) {
          response.set_end(record.cursor.value());
          break;
        }
        bytes += record.value.size();
        AddRecord(record, response);
      }
      return {};
    }
    case node::Request::kBounds: {
      ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(request.bounds()));
      response.set_first(bounds.first.value());
      response.set_end(bounds.end.value());
      return {};
    }
    case node::Request::kLast: {
      if (!MayRead(request.last(), ledger_too)) return Denied("only receipts and provisions may be read");
      ASSIGN_OR_RETURN(const Received record, log.ReadLast(request.last()));
      AddRecord(record, response);
      return {};
    }
    default:
      return Unsupported("the node does not know this request");
  }
}

}  // namespace

Result<std::unique_ptr<Log>> OpenSocketLog(const std::string& path) {
  ASSIGN_OR_RETURN(auto client, SocketClient::Connect(path));
  return std::unique_ptr<Log>(std::make_unique<SocketLog>(path, std::move(client)));
}

Result<std::unique_ptr<Log>> OpenServedLog(const std::string& log, const std::string& kafka_config, LogUse use) {
  if (!IsLocal(log)) return OpenLog(log, kafka_config, use);
  auto socket = OpenSocketLog(LocalDirectory(log) + "/node.sock");
  if (!socket.ok()) return Unavailable("no node serves " + log + "; daicho serve starts one");
  return socket;
}

node::Response AnswerLogRequest(Log& log, const node::Request& request, bool ledger_too) {
  node::Response response;
  const Status status = Answer(log, request, response, ledger_too);
  response.set_code(static_cast<std::int32_t>(status.code()));
  response.set_message(status.message());
  return response;
}

}  // namespace daicho
