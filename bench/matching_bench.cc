// What folding one record costs, and reading what was typed.
#include <benchmark/benchmark.h>

#include "projections/matching.h"

namespace daicho {
namespace {

void BM_FoldName(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) benchmark::DoNotOptimize(matching.FoldName("渡邊\U000E0101　花子"));
}
BENCHMARK(BM_FoldName);

void BM_FoldLatinName(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) benchmark::DoNotOptimize(matching.FoldName("NGUYỄN VĂN ANH"));
}
BENCHMARK(BM_FoldLatinName);

void BM_FoldKana(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) benchmark::DoNotOptimize(matching.FoldKana("わたなべ　はなこ"));
}
BENCHMARK(BM_FoldKana);

void BM_FoldAddress(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        matching.FoldAddress("大手町一丁目１番１号　前橋中央マンション１０１号室"));
  }
}
BENCHMARK(BM_FoldAddress);

// 氏名, 振り仮名 and 住所 of one record.
void BM_FoldRecord(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) {
    benchmark::DoNotOptimize(matching.FoldName("渡邊\U000E0101　花子"));
    benchmark::DoNotOptimize(matching.FoldKana("わたなべ　はなこ"));
    benchmark::DoNotOptimize(
        matching.FoldAddress("大手町一丁目１番１号　前橋中央マンション１０１号室"));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FoldRecord);

void BM_ParseKana(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) benchmark::DoNotOptimize(matching.ParseKana("みづき じゅんこ"));
}
BENCHMARK(BM_ParseKana);

void BM_ParseAddress(benchmark::State& state) {
  const Matching& matching = *Matching::Shipped();
  for (auto _ : state) benchmark::DoNotOptimize(matching.ParseAddress("群馬県前橋市大手町1-1-1"));
}
BENCHMARK(BM_ParseAddress);

}  // namespace
}  // namespace daicho

BENCHMARK_MAIN();
