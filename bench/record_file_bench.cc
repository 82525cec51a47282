// Reading one resident's record now and as of a past position, with 1 and with 50 versions each, and the whole
// of one history. The limit that as-of reading is held against is reading now, in the same run.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <random>

#include "events/codes.h"
#include "projections/record_file.h"

namespace daicho {
namespace {

constexpr std::uint64_t kSubjects = 100'000;

// 11 digits with their check digit.
std::string CodeOf(std::uint64_t subject) {
  std::string digits = std::to_string(1'000'000'000 + subject);
  return digits + ResidentCodeCheckDigit(digits);
}

// A record file of kSubjects residents with `versions` versions each, interleaved by position.
class Fixture {
 public:
  explicit Fixture(std::uint64_t versions)
      : dir_(std::filesystem::temp_directory_path() / ("daicho-bench-" + std::to_string(versions))) {
    std::filesystem::remove_all(dir_);
    StoreOptions options;
    options.path = dir_.string();
    options.families = RecordFile::Families();
    options.write_ahead_log = false;
    auto opened = Store::Open(options);
    CHECK(opened.ok());
    store_ = std::move(opened).value();
    Fill(versions);
    file_ = std::make_unique<RecordFile>(*store_);
    end_ = Position(kSubjects * versions - 1);
  }
  ~Fixture() {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  const RecordFile& file() const { return *file_; }
  Position end() const { return end_; }

 private:
  void Fill(std::uint64_t versions) {
    StoreBatch batch;
    record_file::Writer writer(
        [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); },
        [](Family, std::string_view) {});
    Version version;
    version.issuer = "102016";
    v1::UpdateNotice& notice = version.notice;
    notice.set_changed_on("2026-01-01");
    v1::ResidentRecord& record = *notice.mutable_record();
    record.set_name("渡邊 花子");
    record.set_kana("わたなべ はなこ");
    record.set_birth("1988-02-29");
    record.set_sex(v1::SEX_FEMALE);
    record.mutable_address()->set_municipality("102016");
    record.mutable_address()->set_text("大手町一丁目１番１号");
    for (std::uint64_t n = 0; n < versions; ++n) {
      version.effect = n == 0 ? v1::EFFECT_ENTERED : v1::EFFECT_AMENDED;
      notice.set_update_number(static_cast<std::uint32_t>(n + 1));
      for (std::uint64_t subject = 0; subject < kSubjects; ++subject) {
        version.position = Position(n * kSubjects + subject);
        notice.set_resident_code(CodeOf(subject));
        writer.PutVersion(version, KeySlot(subject), notice.SerializeAsString(), n == 0);
        if (batch.bytes() > (4u << 20)) Commit(batch);
      }
    }
    Commit(batch);
    CHECK(store_->Flush().ok() && store_->Compact(RecordFile::kVersions).ok());
  }
  void Commit(StoreBatch& batch) {
    CHECK(store_->Write(batch, false).ok());
    batch.Clear();
  }

  std::filesystem::path dir_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<RecordFile> file_;
  Position end_;
};

std::map<std::uint64_t, std::unique_ptr<Fixture>>& Fixtures() {
  static std::map<std::uint64_t, std::unique_ptr<Fixture>> fixtures;
  return fixtures;
}

void ReadAt(benchmark::State& state, bool past) {
  const auto versions = static_cast<std::uint64_t>(state.range(0));
  auto& fixture = Fixtures()[versions];
  if (fixture == nullptr) fixture = std::make_unique<Fixture>(versions);
  std::mt19937_64 chance(1);
  const std::uint64_t end = fixture->end().value();
  for (auto _ : state) {
    const std::uint64_t subject = chance() % kSubjects;
    // Any position at which this resident was there already.
    const std::uint64_t at = past ? subject + chance() % (end - subject + 1) : end;
    auto found = fixture->file().FindByResidentCode(CodeOf(subject), Position(at));
    CHECK(found.ok());
    auto version = fixture->file().Read(*found, Position(at), Date{2026, 11, 23});
    CHECK(version.ok() && version->position.value() <= at);
    benchmark::DoNotOptimize(version);
  }
}

void ReadNow(benchmark::State& state) { ReadAt(state, false); }
void ReadAsOf(benchmark::State& state) { ReadAt(state, true); }

BENCHMARK(ReadNow)->Arg(1)->Arg(50);
BENCHMARK(ReadAsOf)->Arg(1)->Arg(50);

}  // namespace

void RemoveFixtures() { Fixtures().clear(); }

}  // namespace daicho

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  daicho::RemoveFixtures();  // while RocksDB's own statics are still there
  return 0;
}
