// What one notice costs on its way in: its rules, its line, and the whole reader.
#include <benchmark/benchmark.h>

#include <sstream>
#include <string>

#include "consumers/notice_file.h"
#include "events/notice_rules.h"

namespace daicho {
namespace {

// Of ordinary length: some 200 bytes as Protobuf, 500 as JSON.
v1::UpdateNotice Typical() {
  v1::UpdateNotice notice;
  notice.set_resident_code("24727059608");
  notice.set_update_number(3);
  notice.set_kind(v1::NOTICE_KIND_AMEND);
  notice.set_reason(v1::CHANGE_REASON_ADDRESS_CHANGE);
  notice.set_changed_on("2026-11-22");
  notice.set_notified_at("2026-11-24T09:12:03+09:00");
  v1::ResidentRecord& record = *notice.mutable_record();
  record.set_name("渡邊\U000E0101 花子");
  record.set_kana("わたなべ はなこ");
  record.set_kana_certified(true);
  record.set_birth("1988-02-29");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality("102016");
  record.mutable_address()->set_town("0012000");
  record.mutable_address()->set_text("大手町一丁目１番１号　前橋中央マンション１０１号室");
  record.mutable_address()->set_postal_code("3710026");
  record.set_individual_number("123456789018");
  return notice;
}

void BM_CheckNotice(benchmark::State& state) {
  const v1::UpdateNotice notice = Typical();
  for (auto _ : state) benchmark::DoNotOptimize(CheckNotice(notice, "102016"));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CheckNotice);

void BM_NoticeLine(benchmark::State& state) {
  const v1::UpdateNotice notice = Typical();
  for (auto _ : state) benchmark::DoNotOptimize(NoticeLine(notice));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NoticeLine);

void BM_ReadNotice(benchmark::State& state) {
  const std::string line = NoticeLine(Typical());
  v1::UpdateNotice notice;
  for (auto _ : state) benchmark::DoNotOptimize(ReadNotice(line, notice));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ReadNotice);

// A file of 10,000 notices, from memory.
void BM_ReadNoticeStream(benchmark::State& state) {
  std::string lines;
  for (std::uint64_t i = 0; i < kFileNoticesMax; ++i) (lines += NoticeLine(Typical())) += '\n';
  const std::string file = WriteNoticeFile("102016", 1, lines);
  for (auto _ : state) {
    std::istringstream in(file);
    const Result<NoticeFileReading> reading = ReadNoticeStream(in);
    CHECK(reading.ok() && reading->errors.empty());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kFileNoticesMax));
}
BENCHMARK(BM_ReadNoticeStream)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace daicho

BENCHMARK_MAIN();
