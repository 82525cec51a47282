// Who answers the search bench's questions. Each answer is whole rows of the same columns, in the asker's
// memory when Ask returns.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/search_queries.h"

namespace daicho::search_bench {

// 住民票コード, 氏名, 振り仮名, ローマ字氏名, 生年月日, 性別, 住所: as text, empty for nothing.
inline constexpr std::size_t kColumns = 7;
using Row = std::array<std::string, kColumns>;

class Side {
 public:
  virtual ~Side() = default;
  // Rows of the answer, kRowsMax at most.
  virtual Result<std::size_t> Ask(std::size_t shape, const Question& question) = 0;
  // Those of the last answer.
  virtual std::vector<Row> Rows() const = 0;
  // The process that answers; 0: this one.
  virtual int process() const = 0;
};

// PostgreSQL over its Unix socket: prepared statements under generic plans, answers as libpq materialises them.
class Postgres : public Side {
 public:
  static Result<std::unique_ptr<Postgres>> Connect(const std::string& conninfo);
  // Runs the server's process for this connection on that processor alone. Requires: to be allowed to.
  virtual Status Pin(int processor) = 0;
  // `count` changes, each in a transaction of its own and durable before the next: 60 % moves, 10 % renames, 15 %
  // births, 15 % deaths among `residents` persons. `client`: another one for each connection. `places`: questions of S9.
  // Microseconds each.
  virtual Result<std::vector<double>> Update(std::size_t count, std::size_t client, std::uint64_t residents,
                                             const std::vector<Question>& places) = 0;
};

// Daichō's search in a process of its own over a Unix socket: one message per question, the condition, and one
// per answer. Both are length(4) ‖ bytes; an answer's are kColumns × (length(4) ‖ text) per row.
class Served : public Side {
 public:
  // Takes a connected socket over; `process` is at its other end.
  Served(int socket, int process) : socket_(socket), process_(process) {}
  ~Served() override;
  Result<std::size_t> Ask(std::size_t shape, const Question& question) override;
  std::vector<Row> Rows() const override;
  int process() const override { return process_; }

 private:
  int socket_, process_;
  std::string request_, answer_;         // storage that serves every question
  std::vector<std::string_view> cells_;  // in answer_
};

// Appends the answer to one question.
using Answerer = std::function<Status(const v1::SearchCondition&, std::string& out)>;
// The other end of a Served: answers until the asker has gone.
Status Serve(int socket, const Answerer& answerer);

// One row of an answer, appended to it; and an answer taken apart again, in place.
void AppendRow(const v1::UpdateNotice& notice, std::string& out);
std::vector<std::string_view> Cells(std::string_view answer);
std::vector<Row> RowsOf(const std::vector<std::string_view>& cells);

// Runs the calling thread on that processor alone.
Status PinThread(int processor);

}  // namespace daicho::search_bench
