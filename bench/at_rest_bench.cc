// What keys at rest cost: a store in clear against one encrypted (bulk writing, and reading at
// random past the cache), and the key store's erasure of one key among two million.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>

#include "ledger/key_store.h"
#include "ledger/store.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kEntries = 1'000'000, kEntriesPerBatch = 1'000, kKeys = 2'000'000;
constexpr std::size_t kValueBytes = 300;

fs::path Directory(const std::string& name) {
  const fs::path out = fs::temp_directory_path() / ("daicho-at-rest-" + name);
  fs::remove_all(out);
  return out;
}

std::string KeyOf(std::uint64_t n) {
  std::string key;
  AppendU64(key, n * 0x9e3779b97f4a7c15u);  // spread over the whole range
  return key;
}

std::unique_ptr<Store> OpenStore(const fs::path& path, bool encrypted) {
  StoreOptions options;
  options.path = path;
  options.families = {"f"};
  options.block_cache_bytes = 32u << 20;  // index and filters fit, a tenth of the entries does
  if (encrypted) options.file_key = Key256{7};
  return Store::Open(options).value();
}

void Fill(Store& store) {
  std::string value(kValueBytes, '\0');
  StoreBatch batch;
  for (std::uint64_t n = 0; n < kEntries; ++n) {
    RandomBytes(value.data(), value.size());
    batch.Put(0, KeyOf(n), value);
    if ((n + 1) % kEntriesPerBatch != 0) continue;
    CHECK(store.Write(batch, false).ok());
    batch.Clear();
  }
  CHECK(store.Flush().ok());
}

void BulkWrite(benchmark::State& state) {
  for (auto _ : state) {
    const fs::path dir = Directory("write");
    Fill(*OpenStore(dir, state.range(0) != 0));
    CHECK(Store::Destroy(dir).ok());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kEntries));
}
BENCHMARK(BulkWrite)
    ->ArgName("encrypted")
    ->Arg(0)
    ->Arg(1)
    ->Iterations(2)
    ->Unit(benchmark::kMillisecond);

void ReadAtRandom(benchmark::State& state) {
  const fs::path dir = Directory("read");
  {
    auto store = OpenStore(dir, state.range(0) != 0);
    Fill(*store);
    std::uint64_t n = 0;
    for (auto _ : state) CHECK(store->Get(0, KeyOf(n = (n * 6'364'136'223u + 1) % kEntries)).ok());
  }
  CHECK(Store::Destroy(dir).ok());
}
BENCHMARK(ReadAtRandom)->ArgName("encrypted")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

void EraseOneOfTwoMillion(benchmark::State& state) {
  const fs::path dir = Directory("keys");
  {
    auto store = KeyStore::Open(dir, KeyStore::Mode::kWrite).value();
    for (std::uint64_t n = 0; n < kKeys; ++n) {
      store->Create();
      if (n % 10'000 == 0) CHECK(store->Sync().ok());
    }
    std::uint64_t position = 0;
    for (auto _ : state) {
      const KeyStore::Advance erased{KeySlot(position), KeyStore::kNoLivingStep};
      CHECK(store->Erase({&erased, 1}, Position(position++)).ok());
    }
  }
  fs::remove_all(dir);
}
BENCHMARK(EraseOneOfTwoMillion)->Iterations(2)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace daicho

BENCHMARK_MAIN();
