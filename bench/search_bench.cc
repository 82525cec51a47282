// Daichō's search beside PostgreSQL's, on the same residents, questions and rows; bench/search runs it.
//
//   search_bench prepare --work W --data D        builds the record file; writes PostgreSQL's tables and the questions
//   search_bench compare --data D --work W --pg CONNINFO [--pin P]   checks every row, then measures both in turn
//   search_bench inside  --data D --work W        the same questions without a socket
//   search_bench update  --data D --pg CONNINFO --persons N          PostgreSQL's durable changes, one at a time each: by one, by 35
//   search_bench live    --data D --work W        searching while changes are applied; one change alone
//   search_bench node    --data D --work W        as operators search: signed, and an event each
//
// W is what `pipeline --work W` has left. Prints RESULT lines.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "bench/search_home.h"
#include "bench/search_live.h"
#include "bench/search_measure.h"
#include "bench/search_node.h"
#include "events/clock.h"
#include "events/codes.h"

namespace daicho::search_bench {
namespace {

constexpr std::size_t kQuestions = 5'000;   // of each shape
constexpr std::size_t kDrawnFrom = 60'000;  // residents: a shape does not fit everybody
constexpr std::uint64_t kRounds = 3;
constexpr std::uint64_t kTurns = 40, kAskedInTurn = 1'000;  // of a round of the mix
constexpr std::size_t kUpdates = 3'000;
constexpr std::size_t kEverybody = 1'000'000;

// The tables that bench/search loads into PostgreSQL; names are folded as the index folds them.
class Tables {
 public:
  Tables(const std::string& dir, const Matching& matching)
      : residents_(dir + "/resident.tsv"), names_(dir + "/rname.tsv"), matching_(matching) {}

  void Add(KeySlot slot, const v1::UpdateNotice& resident) {
    const v1::ResidentRecord& record = resident.record();
    const v1::Address& address = record.address();
    const std::array<std::string, 15> columns = {
        std::to_string(slot.value()), resident.resident_code(), record.individual_number(), record.name(),
        record.kana(), record.former_name().name(), record.former_name().kana(), record.alias().name(),
        record.alias().kana(), record.latin_name(), std::to_string(BirthNumber(record.birth())),
        std::to_string(static_cast<int>(record.sex())), address.municipality(), address.text(),
        AddressKey(address.municipality(), matching_.FoldAddress(address.text()))};
    for (std::size_t i = 0; i < columns.size(); ++i) residents_ << (i == 0 ? "" : "\t") << columns[i];
    residents_ << '\n';
    for (const std::string& kana : {record.kana(), record.former_name().kana(), record.alias().kana()}) {
      if (!kana.empty()) AddReading(slot, record, matching_.FoldKana(kana));
    }
    for (const std::string& name :
         {record.name(), record.former_name().name(), record.alias().name(), record.latin_name()}) {
      if (!name.empty()) AddName(slot, record, 2, matching_.FoldName(name));
    }
  }

  Status Close() {
    residents_.close();
    names_.close();
    return residents_ && names_ ? Status() : Unavailable("the tables cannot be written");
  }

 private:
  void AddReading(KeySlot slot, const v1::ResidentRecord& record, const FoldedName& kana) {
    AddName(slot, record, 1, {KanaText(kana.text), KanaText(kana.First()).size()});
  }

  void AddName(KeySlot slot, const v1::ResidentRecord& record, int kind, const FoldedName& name) {
    const std::string_view first = name.First();
    const auto characters = std::count_if(first.begin(), first.end(), [](char byte) {
      return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
    });
    names_ << slot.value() << '\t' << kind << '\t' << name.text << '\t' << characters << '\t'
           << BirthNumber(record.birth()) << '\t' << static_cast<int>(record.sex()) << '\t'
           << record.address().municipality() << '\n';
  }

  std::ofstream residents_, names_;
  const Matching& matching_;
};

Status Prepare(const std::string& work, const std::string& data) {
  ASSIGN_OR_RETURN(auto home, OpenedHome::Open(work, KeyStore::Mode::kRead));
  const auto begun = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(home->projector().CatchUp());
  RETURN_IF_ERROR(home->projector().store().Flush());
  for (Family family = 0; family < RecordFile::Families().size(); ++family) {
    RETURN_IF_ERROR(home->projector().store().Compact(family));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const auto matching = Matching::Shipped();
  std::filesystem::create_directories(data);
  Tables tables(data, *matching);
  std::vector<v1::UpdateNotice> drawn;  // each person with the same chance
  std::mt19937_64 chance(7);
  std::uint64_t seen = 0, slots = 0;
  RETURN_IF_ERROR(home->ForEachResident([&](KeySlot slot, const Version& version) {
    tables.Add(slot, version.notice);
    slots = slot.value() + 1;
    ++seen;
    if (drawn.size() < kDrawnFrom) {
      drawn.push_back(version.notice);
    } else if (const std::uint64_t place = chance() % seen; place < kDrawnFrom) {
      drawn[place] = version.notice;
    }
  }));
  RETURN_IF_ERROR(tables.Close());
  std::shuffle(drawn.begin(), drawn.end(), chance);
  RETURN_IF_ERROR(WriteQuestions(DrawQuestions(drawn, kQuestions, *matching), data));
  fmt::print("RESULT side=daicho stage=build seconds={:.2f} residents={} slots={}\n", seconds, seen, slots);
  fmt::print("RESULT side=daicho stage=size mib={:.1f}\n",
             static_cast<double>(home->projector().store().SizeBytes()) / (1 << 20));
  return {};
}

// Daichō's end of the socket, in a process of its own that has the record file to itself.
class Server {
 public:
  // Requires: no thread runs yet.
  static Result<Server> Start(const std::string& work, int processor) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return Unavailable("no socket");
    const pid_t child = ::fork();
    if (child < 0) return Unavailable("no process");
    if (child > 0) {
      ::close(ends[1]);
      return Server(child, ends[0]);
    }
    ::close(ends[0]);
    const Status status = Run(work, processor, ends[1]);
    if (!status.ok()) fmt::print(stderr, "search_bench: the server: {}\n", status.ToString());
    ::_exit(status.ok() ? 0 : 1);
  }

  std::unique_ptr<Side> TakeSide() { return std::make_unique<Served>(socket_, child_); }
  // Requires: its side is gone.
  Status Wait() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    return status == 0 ? Status() : Unavailable("the server failed");
  }

 private:
  Server(pid_t child, int socket) : child_(child), socket_(socket) {}

  static Status Run(const std::string& work, int processor, int socket) {
    ASSIGN_OR_RETURN(const auto home, OpenedHome::Open(work, KeyStore::Mode::kRead));
    if (processor >= 0) RETURN_IF_ERROR(PinThread(processor));
    return Serve(socket, [&](const v1::SearchCondition& condition, std::string& out) {
      return home->Answer(condition, out);
    });
  }

  pid_t child_;
  int socket_;
};

Status MeasureInTurn(const std::vector<std::pair<const char*, Side*>>& sides, const Questions& questions) {
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    for (const auto& [name, side] : sides) {
      ASSIGN_OR_RETURN(const Measured measured, MeasureShape(*side, shape, questions));
      Report(name, fmt::format("shape={}", Shapes()[shape].name), measured);
    }
  }
  for (std::uint64_t round = 0; round <= kRounds; ++round) {
    // In short turns: what else the machine does meets all sides alike.
    std::vector<Measured> measured(sides.size());
    for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
      for (std::size_t i = 0; i < sides.size(); ++i) {
        ASSIGN_OR_RETURN(const Measured part,
                         MeasureMix(*sides[i].second, questions, round * kTurns + turn, kAskedInTurn));
        measured[i].Add(part);
      }
    }
    if (round == 0) continue;  // warms
    for (std::size_t i = 0; i < sides.size(); ++i) {
      Report(sides[i].first, fmt::format("shape=mix round={}", round), measured[i]);
    }
  }
  return {};
}

Status Compare(const std::string& work, const std::string& data, const std::string& conninfo, int processor) {
  ASSIGN_OR_RETURN(Server server, Server::Start(work, processor));
  ASSIGN_OR_RETURN(const Questions questions, ReadQuestions(data));
  ASSIGN_OR_RETURN(const auto postgres, Postgres::Connect(conninfo));
  if (processor >= 0) {
    RETURN_IF_ERROR(PinThread(processor));
    RETURN_IF_ERROR(postgres->Pin(processor));
  }
  auto daicho = server.TakeSide();
  RETURN_IF_ERROR(CheckSameRows(*postgres, *daicho, questions));
  RETURN_IF_ERROR(MeasureInTurn({{"postgres", postgres.get()}, {"daicho", daicho.get()}}, questions));
  daicho.reset();
  return server.Wait();
}

// Conditions that very many meet, all of whom are asked for: how soon a search gives up.
Status MeasureTooBroad(const OpenedHome& home) {
  Measured measured;
  for (const char* name : {"子", "藤", "田", "山", "木"}) {
    for (const char* kana : {"あ", "い", "か", "し", "た"}) {
      v1::SearchCondition condition;
      condition.set_name(name);
      condition.set_kana(kana);
      condition.set_name_match(v1::NAME_MATCH_INFIX);
      const auto begun = std::chrono::steady_clock::now();
      ASSIGN_OR_RETURN(const SearchPage page,
                       home.projector().search().Find(condition, home.now(), JapanDate(SystemClock().Now()), kEverybody, {}));
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
      if (!page.too_broad) continue;
      measured.micros.push_back(seconds * 1e6);
      measured.seconds += seconds;
    }
  }
  if (measured.micros.empty()) return Internal("no condition was too broad");
  Report("inside", "stage=too-broad", measured);
  return {};
}

Status MeasureInside(const std::string& work, const std::string& data) {
  ASSIGN_OR_RETURN(const auto home, OpenedHome::Open(work, KeyStore::Mode::kRead));
  ASSIGN_OR_RETURN(const Questions questions, ReadQuestions(data));
  Inside inside(*home);
  RETURN_IF_ERROR(MeasureInTurn({{"inside", &inside}}, questions));
  return MeasureTooBroad(*home);
}

Status Update(const std::string& data, const std::string& conninfo, std::uint64_t persons) {
  constexpr std::size_t kSurnameAndPlace = 8;
  ASSIGN_OR_RETURN(const Questions questions, ReadQuestions(data));
  ASSIGN_OR_RETURN(const auto postgres, Postgres::Connect(conninfo));
  Measured measured;
  ASSIGN_OR_RETURN(measured.micros, postgres->Update(kUpdates, 0, persons, questions[kSurnameAndPlace]));
  for (const double micros : measured.micros) measured.seconds += micros / 1e6;
  Report("postgres", "stage=update", measured);

  // As many as there are municipalities, each waiting for its own: PostgreSQL syncs together what comes together.
  std::vector<std::unique_ptr<Postgres>> connections;
  for (std::size_t i = 0; i < std::size(kMunicipalities); ++i) {
    ASSIGN_OR_RETURN(connections.emplace_back(), Postgres::Connect(conninfo));
  }
  std::vector<Result<std::vector<double>>> took(connections.size(), std::vector<double>());
  const auto begun = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> clients;
    for (std::size_t i = 0; i < connections.size(); ++i) {
      clients.emplace_back([&, i] {
        took[i] = connections[i]->Update(kUpdates / 4, i + 1, persons, questions[kSurnameAndPlace]);
      });
    }
  }
  Measured together;
  together.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  for (const auto& each : took) {
    RETURN_IF_ERROR(each.status());
    together.micros.insert(together.micros.end(), each->begin(), each->end());
  }
  Report("postgres", "stage=update-together", together);
  return {};
}

}  // namespace
}  // namespace daicho::search_bench

int main(int argc, char** argv) {
  CLI::App app{"Daichō's search beside PostgreSQL's"};
  app.require_subcommand(1);
  std::string work, data, conninfo;
  int processor = -1;
  std::uint64_t persons = 0;
  const auto command = [&](const char* name) {
    CLI::App* sub = app.add_subcommand(name);
    sub->add_option("--data", data)->required();
    return sub;
  };
  CLI::App* prepare = command("prepare");
  CLI::App* compare = command("compare");
  CLI::App* inside = command("inside");
  CLI::App* update = command("update");
  CLI::App* live = command("live");
  CLI::App* node = command("node");
  for (CLI::App* sub : {prepare, compare, inside, live, node}) sub->add_option("--work", work)->required();
  for (CLI::App* sub : {compare, update}) sub->add_option("--pg", conninfo)->required();
  compare->add_option("--pin", processor);
  update->add_option("--persons", persons)->required();
  CLI11_PARSE(app, argc, argv);
  using namespace daicho::search_bench;
  daicho::Status status;
  if (*prepare) status = Prepare(work, data);
  if (*compare) status = Compare(work, data, conninfo, processor);
  if (*inside) status = MeasureInside(work, data);
  if (*update) status = Update(data, conninfo, persons);
  if (*live) status = Live(work, data);
  if (*node) status = MeasureNode(work, data);
  if (!status.ok()) fmt::print(stderr, "search_bench: {}\n", status.ToString());
  return status.ok() ? 0 : 1;
}
