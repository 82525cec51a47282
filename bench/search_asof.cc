// Searching as of a past position, with 1 and with 20 versions of each person, mostly moves. The limit that it is
// held against is searching now, in the same run: the mix of bench/search, in process. Whoever is asked for as of
// a position is somebody as they were known then.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <random>

#include "bench/search_queries.h"
#include "consumers/generate.h"
#include "consumers/notice_file.h"
#include "projections/search.h"

namespace daicho::search_bench {
namespace {

constexpr std::uint64_t kPersons = 100'000;
constexpr std::size_t kDrawnFrom = 20'000;
constexpr std::size_t kQuestions = 2'000;  // of each shape
constexpr Date kOn{2026, 11, 25};

// The persons of an initial load, as `daicho generate` makes them.
std::vector<v1::UpdateNotice> Generated(const std::string& dir) {
  GenerateOptions options;
  options.residents = kPersons;
  options.seed = 1;
  options.years = 0;
  options.out = dir;
  CHECK(Generate(options).ok());
  std::vector<v1::UpdateNotice> out;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.path().extension() == ".ndjson") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& path : files) {
    auto reading = ReadNoticeFile(path);
    CHECK(reading.ok() && reading->errors.empty());
    for (const std::string& payload : reading->file.payloads) CHECK(out.emplace_back().ParseFromString(payload));
  }
  std::shuffle(out.begin(), out.end(), std::mt19937_64(1));
  return out;
}

constexpr std::size_t kCacheBytes = 64 << 20;

// A question and a position at which it has an answer.
struct Asked {
  v1::SearchCondition condition;
  Position at;
};
using Pool = std::array<std::vector<Asked>, kShapes>;

// A record file with its search index, of kPersons persons with `versions` versions each, interleaved by position.
class Fixture {
 public:
  explicit Fixture(std::uint64_t versions)
      : dir_(std::filesystem::temp_directory_path() / ("daicho-search-" + std::to_string(versions))),
        versions_(versions) {
    std::filesystem::remove_all(dir_);
    StoreOptions options;
    options.path = (dir_ / "store").string();
    options.families = RecordFile::Families();
    options.write_ahead_log = false;
    std::filesystem::create_directories(dir_);
    auto opened = Store::Open(options);
    CHECK(opened.ok());
    store_ = std::move(opened).value();
    Fill();
    CHECK(SearchWriter(*store_, *matching_, parts_).Build(*store_, 64u << 20).ok());
    search_ = std::make_unique<Search>(*store_, matching_, parts_, kCacheBytes);
    now_ = Draw(newest_);
    past_ = Draw(past_drawn_);
  }
  ~Fixture() {
    search_.reset();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  const Search& search() const { return *search_; }
  const Pool& pool(bool past) const { return past ? past_ : now_; }

 private:
  struct Drawn {
    std::vector<v1::UpdateNotice> notices;
    std::vector<Position> at;
  };

  void Fill() {
    StoreBatch batch;
    record_file::Writer writer(
        [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); },
        [](Family, std::string_view) {});
    std::vector<v1::UpdateNotice> persons = Generated((dir_ / "notices").string());
    std::mt19937_64 chance(2);
    std::vector<std::uint64_t> drawn_round(kDrawnFrom);
    for (std::uint64_t& round : drawn_round) round = chance() % versions_;
    const std::uint64_t end = versions_ * kPersons - 1;
    for (std::uint64_t round = 0; round < versions_; ++round) {
      for (std::uint64_t person = 0; person < kPersons; ++person) {
        v1::UpdateNotice& notice = persons[person];
        if (round > 0) Change(persons, notice, chance);
        Version version;
        version.position = Position(round * kPersons + person);
        version.admitted_at = TimeMicros(StartOfDay(kOn).value() + static_cast<std::int64_t>(version.position.value()));
        version.issuer = notice.record().address().municipality();
        version.effect = round == 0 ? v1::EFFECT_ENTERED : v1::EFFECT_AMENDED;
        version.notice = notice;
        writer.PutVersion(version, KeySlot(person), notice.SerializeAsString(), round == 0);
        if (batch.bytes() > (4u << 20)) Commit(batch);
        if (person >= kDrawnFrom) continue;
        if (round + 1 == versions_) {
          newest_.notices.push_back(notice);
          newest_.at.push_back(Position(end));
        }
        if (round == drawn_round[person]) {
          past_drawn_.notices.push_back(notice);
          // Any position until the next round changes this person.
          past_drawn_.at.push_back(Position(std::min(version.position.value() + chance() % kPersons, end)));
        }
      }
    }
    Commit(batch);
    CHECK(store_->Flush().ok() && store_->Compact(RecordFile::kVersions).ok());
  }

  // A move to where somebody else lives; one change in twenty is of the name.
  void Change(const std::vector<v1::UpdateNotice>& persons, v1::UpdateNotice& notice, std::mt19937_64& chance) {
    const v1::ResidentRecord& other = persons[chance() % persons.size()].record();
    notice.set_update_number(notice.update_number() + 1);
    notice.set_kind(v1::NOTICE_KIND_AMEND);
    if (chance() % 20 == 0) {
      notice.mutable_record()->set_name(other.name());
      notice.mutable_record()->set_kana(other.kana());
    } else {
      *notice.mutable_record()->mutable_address() = other.address();
    }
  }

  void Commit(StoreBatch& batch) {
    CHECK(store_->Write(batch, false).ok());
    batch.Clear();
  }

  Pool Draw(const Drawn& drawn) const {
    Questions questions = DrawQuestions(drawn.notices, kQuestions, *matching_);
    Pool out;
    for (std::size_t shape = 0; shape < kShapes; ++shape) {
      CHECK(!questions[shape].empty());
      for (Question& question : questions[shape]) {
        out[shape].push_back({std::move(question.condition), drawn.at[question.about]});
      }
    }
    return out;
  }

  std::filesystem::path dir_;
  std::uint64_t versions_;
  std::shared_ptr<const Matching> matching_ = Matching::Shipped();
  std::unique_ptr<Store> store_;
  SearchParts parts_;
  std::unique_ptr<Search> search_;
  Drawn newest_, past_drawn_;
  Pool now_, past_;
};

std::map<std::uint64_t, std::unique_ptr<Fixture>>& Fixtures() {
  static std::map<std::uint64_t, std::unique_ptr<Fixture>> fixtures;
  return fixtures;
}

void SearchAt(benchmark::State& state, bool past) {
  auto& fixture = Fixtures()[static_cast<std::uint64_t>(state.range(0))];
  if (fixture == nullptr) fixture = std::make_unique<Fixture>(static_cast<std::uint64_t>(state.range(0)));
  std::vector<double> weights;
  for (const Shape& shape : Shapes()) weights.push_back(shape.weight);
  std::discrete_distribution<std::size_t> shapes(weights.begin(), weights.end());
  std::mt19937_64 chance(1);
  const Pool& pool = fixture->pool(past);
  std::uint64_t rows = 0;
  for (auto _ : state) {
    const std::vector<Asked>& asked = pool[shapes(chance)];
    const Asked& one = asked[chance() % asked.size()];
    auto page = fixture->search().Find(one.condition, one.at, kOn, kRowsMax, {});
    CHECK(page.ok());
    rows += page->hits.size();
    benchmark::DoNotOptimize(page);
  }
  state.counters["rows"] = benchmark::Counter(static_cast<double>(rows), benchmark::Counter::kAvgIterations);
}

void SearchNow(benchmark::State& state) { SearchAt(state, false); }
void SearchAsOf(benchmark::State& state) { SearchAt(state, true); }

BENCHMARK(SearchNow)->Arg(1)->Arg(20)->Unit(benchmark::kMicrosecond);
BENCHMARK(SearchAsOf)->Arg(1)->Arg(20)->Unit(benchmark::kMicrosecond);

}  // namespace

void RemoveFixtures() { Fixtures().clear(); }

}  // namespace daicho::search_bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  daicho::search_bench::RemoveFixtures();  // while RocksDB's own statics are still there
  return 0;
}
