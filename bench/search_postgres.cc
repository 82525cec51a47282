#include <libpq-fe.h>
#include <sched.h>

#include <chrono>
#include <random>

#include "bench/search_sides.h"

namespace daicho::search_bench {
namespace {

constexpr std::uint64_t kNewbornMax = 100'000;  // of one client

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Answer = std::unique_ptr<PGresult, Clear>;

class Connection : public Postgres {
 public:
  explicit Connection(PGconn* connection) : connection_(connection) {}

  Status Open() {
    if (PQstatus(connection_.get()) != CONNECTION_OK) return Failure("connecting");
    RETURN_IF_ERROR(Execute("set plan_cache_mode=force_generic_plan"));
    for (const Shape& shape : Shapes()) {
      for (std::size_t readings = 1; readings <= kReadingsMax; ++readings) {
        RETURN_IF_ERROR(Prepare(shape.name + "/" + std::to_string(readings), shape.sql(readings)));
      }
    }
    return {};
  }

  Status Pin(int processor) override {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(processor), &set);
    if (::sched_setaffinity(process(), sizeof set, &set) == 0) return {};
    return Invalid("PostgreSQL's process cannot be pinned");
  }

  int process() const override { return PQbackendPID(connection_.get()); }

  Result<std::size_t> Ask(std::size_t shape, const Question& question) override {
    RETURN_IF_ERROR(Run(Shapes()[shape].name + "/" + std::to_string(question.readings), question.parameters));
    return static_cast<std::size_t>(PQntuples(answer_.get()));
  }

  std::vector<Row> Rows() const override {
    constexpr std::size_t kCodeDigits = 11;
    std::vector<Row> out(static_cast<std::size_t>(PQntuples(answer_.get())));
    for (std::size_t row = 0; row < out.size(); ++row) {
      for (std::size_t column = 0; column < kColumns; ++column) {
        out[row][column] = PQgetvalue(answer_.get(), static_cast<int>(row), static_cast<int>(column));
      }
      std::string& code = out[row][0];  // a number there
      if (code.size() < kCodeDigits) code.insert(0, kCodeDigits - code.size(), '0');
    }
    return out;
  }

  Result<std::vector<double>> Update(std::size_t count, std::size_t client, std::uint64_t residents,
                                     const std::vector<Question>& places) override {
    RETURN_IF_ERROR(PrepareUpdates());
    std::mt19937_64 chance(5 + client);
    const std::uint64_t newborn = residents + client * kNewbornMax;
    std::vector<double> out;
    for (std::size_t i = 0; i < count; ++i) {
      const auto before = std::chrono::steady_clock::now();
      RETURN_IF_ERROR(Execute("begin"));
      RETURN_IF_ERROR(Change(chance() % 100, chance() % residents, newborn + i, places[chance() % places.size()]));
      RETURN_IF_ERROR(Execute("commit"));
      out.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - before).count());
    }
    return out;
  }

 private:
  Status Failure(const std::string& doing) const {
    return Invalid("PostgreSQL, " + doing + ": " + PQerrorMessage(connection_.get()));
  }

  Status Take(const std::string& doing, PGresult* result) {
    answer_.reset(result);
    const ExecStatusType status = PQresultStatus(answer_.get());
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? Status() : Failure(doing);
  }

  Status Execute(const char* sql) { return Take(sql, PQexec(connection_.get(), sql)); }

  Status Prepare(const std::string& name, const std::string& sql) {
    return Take(name, PQprepare(connection_.get(), name.c_str(), sql.c_str(), 0, nullptr));
  }

  Status Run(const std::string& name, const std::vector<std::string>& parameters) {
    std::array<const char*, 2 * kReadingsMax + 4> values{};
    for (std::size_t i = 0; i < parameters.size(); ++i) values[i] = parameters[i].c_str();
    return Take(name, PQexecPrepared(connection_.get(), name.c_str(), static_cast<int>(parameters.size()), values.data(),
                                     nullptr, nullptr, 0));
  }

  Status PrepareUpdates() {
    RETURN_IF_ERROR(Execute("set synchronous_commit=on"));
    RETURN_IF_ERROR(Prepare("move", "update resident set addr=$2,addr_norm=$3,muni=$4::int where id=$1::bigint"));
    RETURN_IF_ERROR(Prepare("move names", "update rname set muni=$2::int where id=$1::bigint"));
    RETURN_IF_ERROR(Prepare("rename", "update resident set kanji=$2,kana=$3 where id=$1::bigint"));
    RETURN_IF_ERROR(Prepare("rename name", "update rname set norm=$3 where id=$1::bigint and k=$2::int2"));
    RETURN_IF_ERROR(Prepare("birth",
                            "insert into resident(id,juki,myno,kanji,kana,birth,sex,muni,addr,addr_norm) values "
                            "($1::bigint,$1::bigint+200000000000,$1::bigint+2000000000000,$2,$3,20260401,1,102016,"
                            "$4,$5)"));
    RETURN_IF_ERROR(Prepare("birth name", "insert into rname values($1::bigint,$2::int2,$3,2,20260401,1,102016)"));
    RETURN_IF_ERROR(Prepare("death", "delete from resident where id=$1::bigint"));
    return Prepare("death names", "delete from rname where id=$1::bigint");
  }

  Status Change(std::uint64_t what, std::uint64_t person, std::uint64_t newborn, const Question& place) {
    const std::string id = std::to_string(person), next = std::to_string(newborn);
    const std::string& surname = place.parameters[0];
    const std::string& address = place.parameters[2];
    if (what < 60) {
      RETURN_IF_ERROR(Run("move", {id, address, address, "102032"}));
      return Run("move names", {id, "102032"});
    }
    if (what < 70) {
      RETURN_IF_ERROR(Run("rename", {id, surname + " 花子", "さとう はなこ"}));
      RETURN_IF_ERROR(Run("rename name", {id, "2", surname + "花子"}));
      return Run("rename name", {id, "1", "サトウハナコ"});
    }
    if (what < 85) {
      RETURN_IF_ERROR(Run("birth", {next, surname + " 新", "さとう あらた", address, address}));
      RETURN_IF_ERROR(Run("birth name", {next, "2", surname + "新"}));
      return Run("birth name", {next, "1", "サトウアラタ"});
    }
    RETURN_IF_ERROR(Run("death", {id}));
    return Run("death names", {id});
  }

  std::unique_ptr<PGconn, Clear> connection_;
  Answer answer_;
};

}  // namespace

Result<std::unique_ptr<Postgres>> Postgres::Connect(const std::string& conninfo) {
  auto connection = std::make_unique<Connection>(PQconnectdb(conninfo.c_str()));
  RETURN_IF_ERROR(connection->Open());
  return std::unique_ptr<Postgres>(std::move(connection));
}

}  // namespace daicho::search_bench
