// What the fingerprint of a copy costs an event: the item of a notice; the old one taken out, the new one put in.
#include <benchmark/benchmark.h>

#include <random>

#include "projections/copy_fingerprint.h"

namespace daicho {
namespace {

const CopyKey kKey{.epoch = 1, .secret = {1, 2, 3}};

// A notice of some 300 bytes, as they are.
v1::UpdateNotice Notice() {
  v1::UpdateNotice notice;
  notice.set_resident_code("24727059608");
  notice.set_update_number(7);
  notice.set_kind(v1::NOTICE_KIND_AMEND);
  v1::ResidentRecord& record = *notice.mutable_record();
  record.set_name("渡邊󠄀 花子");
  record.set_kana("わたなべ はなこ");
  record.set_kana_certified(true);
  record.mutable_former_name()->set_name("佐藤");
  record.mutable_former_name()->set_kana("さとう");
  record.set_birth("1988-02-29");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality("102016");
  record.mutable_address()->set_town("0012000");
  record.mutable_address()->set_text("大手町一丁目１番１号 群馬ハイツ二〇三号室 大手町住宅管理組合方 県庁前団地第二期分譲地区");
  record.mutable_address()->set_postal_code("3710026");
  record.set_individual_number("123456789018");
  return notice;
}

void ItemOfNotice(benchmark::State& state) {
  const CopyKeying keying(kKey);
  v1::UpdateNotice notice = Notice();
  for (auto _ : state) benchmark::DoNotOptimize(keying.Item(notice));
  state.counters["record_bytes"] = static_cast<double>(notice.record().ByteSizeLong());
}
BENCHMARK(ItemOfNotice);

void ItemsSideBySide(benchmark::State& state) {
  const v1::UpdateNotice notice = Notice();
  CopyItemMaker maker(std::make_shared<CopyKeying>(kKey), [](KeySlot, const CopyItem& item) -> Status {
    benchmark::DoNotOptimize(item);
    return {};
  });
  for (auto _ : state) CHECK(maker.Add(KeySlot(1), notice).ok());
}
BENCHMARK(ItemsSideBySide);

void Mac300(benchmark::State& state) {
  const HmacKey key("key");
  const std::string message(300, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(key.Mac({message}));
}
BENCHMARK(Mac300);

void Mac300FromTheKey(benchmark::State& state) {
  const std::string message(300, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(HmacSha256(kKey.secret, message));
}
BENCHMARK(Mac300FromTheKey);

void OneAesBlock(benchmark::State& state) {
  AesBlock block{};
  for (auto _ : state) benchmark::DoNotOptimize(block = Aes256(kKey.secret, block));
}
BENCHMARK(OneAesBlock);

// One event: the old row's item out, the new row's in.
void RemoveAndAdd(benchmark::State& state) {
  CopyFingerprint fingerprint(std::make_shared<CopyKeying>(kKey));
  std::mt19937_64 random(1);
  std::vector<CopyItem> items(1 << 16);
  for (CopyItem& item : items) {
    item.code = random() % kCopyCodeEnd;
    for (std::uint8_t& byte : item.mac) byte = static_cast<std::uint8_t>(random());
    fingerprint.Add(item);
  }
  std::size_t at = 0;
  for (auto _ : state) {
    fingerprint.Remove(items[at]);
    items[at].mac[0] ^= 1;
    fingerprint.Add(items[at]);
    at = (at + 1) % items.size();
  }
}
BENCHMARK(RemoveAndAdd);

void EncodeFingerprint(benchmark::State& state) {
  const CopyFingerprint fingerprint(std::make_shared<CopyKeying>(kKey));
  for (auto _ : state) benchmark::DoNotOptimize(fingerprint.Encode());
}
BENCHMARK(EncodeFingerprint)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace daicho

BENCHMARK_MAIN();
