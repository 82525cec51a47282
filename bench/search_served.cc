#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/search_sides.h"
#include "events/bytes.h"

namespace daicho::search_bench {
namespace {

Status SendAll(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return Unavailable("the other end has gone");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

constexpr std::size_t kHead = 4;  // a message's length

// One message without its length, in `buffer`, which is never cleared: that would cost more than the message.
// Errors: kNotFound when the other end has gone.
Result<std::string_view> Receive(int socket, std::string& buffer) {
  if (buffer.empty()) buffer.resize(64 << 10);
  std::size_t have = 0, want = kHead;
  while (have < want) {
    const ssize_t got = ::recv(socket, buffer.data() + have, buffer.size() - have, 0);
    if (got <= 0) return NotFound("the other end has gone");
    have += static_cast<std::size_t>(got);
    if (want == kHead && have >= kHead) {
      want = kHead + ReadU32(buffer);
      if (buffer.size() < want) buffer.resize(want);
    }
  }
  return std::string_view(buffer).substr(kHead, want - kHead);
}

void PutLength(std::string& message) {
  std::string length;
  AppendU32(length, static_cast<std::uint32_t>(message.size() - kHead));
  message.replace(0, kHead, length);
}

}  // namespace

Served::~Served() { ::close(socket_); }

Result<std::size_t> Served::Ask(std::size_t, const Question& question) {
  request_.assign(kHead, '\0');
  question.condition.AppendToString(&request_);
  PutLength(request_);
  RETURN_IF_ERROR(SendAll(socket_, request_));
  ASSIGN_OR_RETURN(const std::string_view answer, Receive(socket_, answer_));
  cells_ = Cells(answer);
  return cells_.size() / kColumns;
}

std::vector<Row> Served::Rows() const { return RowsOf(cells_); }

Status Serve(int socket, const Answerer& answerer) {
  std::string buffer, answer;
  v1::SearchCondition condition;
  while (true) {
    const auto request = Receive(socket, buffer);
    if (!request.ok()) return {};
    if (!condition.ParseFromArray(request->data(), static_cast<int>(request->size()))) {
      return Corrupt("a condition cannot be read");
    }
    answer.assign(kHead, '\0');
    RETURN_IF_ERROR(answerer(condition, answer));
    PutLength(answer);
    RETURN_IF_ERROR(SendAll(socket, answer));
  }
}

void AppendRow(const v1::UpdateNotice& notice, std::string& out) {
  const auto cell = [&](std::string_view text) {
    AppendU32(out, static_cast<std::uint32_t>(text.size()));
    out.append(text);
  };
  const v1::ResidentRecord& record = notice.record();
  cell(notice.resident_code());
  cell(record.name());
  cell(record.kana());
  cell(record.latin_name());
  cell(std::to_string(BirthNumber(record.birth())));
  cell(std::to_string(static_cast<int>(record.sex())));
  cell(record.address().text());
}

std::vector<std::string_view> Cells(std::string_view answer) {
  std::vector<std::string_view> out;
  while (!answer.empty()) {
    const std::size_t size = ReadU32(answer);
    out.push_back(answer.substr(4, size));
    answer.remove_prefix(4 + size);
  }
  return out;
}

std::vector<Row> RowsOf(const std::vector<std::string_view>& cells) {
  std::vector<Row> out(cells.size() / kColumns);
  for (std::size_t i = 0; i < cells.size(); ++i) out[i / kColumns][i % kColumns] = cells[i];
  return out;
}

Status PinThread(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(processor), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0 ? Status() : Invalid("no such processor");
}

}  // namespace daicho::search_bench
