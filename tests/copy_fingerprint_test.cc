// Copies and their fingerprints against the obvious: two sets of items, and what is in one and not in the other. Random
// differences of all kinds must be named exactly, all and only, by each way there is, also when a comparison is
// broken off and goes on later. Then what comes from outside: every cut, flipped and invented byte is refused, or
// changes nothing.
#include "projections/copy_fingerprint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "events/codes.h"
#include "projections/copy_reconcile.h"

namespace daicho {
namespace {

const CopyKey kKey{.epoch = 7, .secret = Sha256Of({"shared by two"})};
const Position kPosition(812);

std::shared_ptr<const CopyKeying> Keying(const CopyKey& key = kKey) { return std::make_shared<CopyKeying>(key); }

std::uint64_t Code(std::uint64_t ten_digits) {
  std::string text = CodeText(ten_digits * 10);
  text.back() = ResidentCodeCheckDigit(std::string_view(text).substr(0, 10));
  return CodeNumber(text).value();
}

// One side: what it holds, and its fingerprint kept up item by item.
class Copy : public CopyHolder {
 public:
  explicit Copy(std::shared_ptr<const CopyKeying> keying = Keying()) : fingerprint_(std::move(keying)) {}

  void Put(std::uint64_t code, std::uint64_t version) {
    Drop(code);
    const CopyItem item{code, Sha256Of({CodeText(code), std::to_string(version)})};
    fingerprint_.Add(item);
    items_[code] = item;
  }
  void Drop(std::uint64_t code) {
    const auto found = items_.find(code);
    if (found == items_.end()) return;
    fingerprint_.Remove(found->second);
    items_.erase(found);
  }

  const CopyFingerprint& fingerprint() const { return fingerprint_; }
  const std::map<std::uint64_t, CopyItem>& items() const { return items_; }
  CopyScan Scan() const {
    return [this](std::uint64_t first, std::uint64_t last, const CopyItemSink& take) -> Status {
      for (auto it = items_.lower_bound(first); it != items_.end() && it->first < last; ++it) {
        RETURN_IF_ERROR(take(it->second));
      }
      return {};
    };
  }

  // As the other side. Fails once so many questions were answered.
  Result<std::string> Ask(std::string_view question) override {
    if (answers_left_-- == 0) return Unavailable("the line is dead");
    if (!answers_) answers_ = std::make_unique<CopyAnswers>(fingerprint_, kPosition, Scan());
    kinds_.insert(question[0]);
    Result<std::string> answer = answers_->Ask(question);
    if (answer.ok()) spoil_(*answer);
    return answer;
  }
  void BreakAfter(int answers) { answers_left_ = answers; }
  std::function<void(std::string&)> spoil_ = [](std::string&) {};
  std::set<char> kinds_;  // of the questions asked

 private:
  std::map<std::uint64_t, CopyItem> items_;
  CopyFingerprint fingerprint_;
  std::unique_ptr<CopyAnswers> answers_;
  int answers_left_ = -1;
};

CopyDifference TrueDifference(const Copy& here, const Copy& there) {
  CopyDifference out;
  const auto only = [](const Copy& a, const Copy& b, std::vector<CopyName>& names) {
    for (const auto& [code, item] : a.items()) {
      const auto other = b.items().find(code);
      if (other == b.items().end() || other->second != item) names.push_back(NameOf(item));
    }
    std::ranges::sort(names);
  };
  only(here, there, out.here);
  only(there, here, out.there);
  return out;
}

// Two copies of `count` persons with `differing` differences: 40 % another version, 30 % only here, 30 % only there.
// Those of `clustered` have codes that are neighbours.
struct Pair {
  Copy here, there;
  Pair(std::size_t count, std::size_t differing, unsigned seed, bool clustered = false) {
    std::mt19937_64 random(seed);
    std::set<std::uint64_t> numbers;
    while (numbers.size() < count) numbers.insert(random() % 10'000'000'000);
    std::vector<std::uint64_t> order(numbers.begin(), numbers.end());
    if (!clustered) std::ranges::shuffle(order, random);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::uint64_t code = Code(order[i]);
      const bool other = i < differing && i % 10 < 4, only_here = i < differing && i % 10 >= 4 && i % 10 < 7;
      const bool only_there = i < differing && i % 10 >= 7;
      if (!only_there) here.Put(code, 1);
      if (!only_here) there.Put(code, other ? 2 : 1);
    }
  }
  Result<CopyDifference> Reconcile(CopyProgress& progress) {
    return daicho::Reconcile(here.fingerprint(), kPosition, here.Scan(), there, progress);
  }
};

v1::HeldCopy Row() {
  v1::HeldCopy row;
  row.set_resident_code("24727059608");
  row.set_update_number(7);
  row.mutable_record()->set_name("渡邊 花子");
  row.mutable_record()->set_birth("1988-02-29");
  row.mutable_record()->mutable_address()->set_municipality("102016");
  return row;
}

// --- Items -----------------------------------------------------------------------------------------

TEST(CopyItem, IsAKeyedHashOfTheRowAsProtobufSerialisesIt) {
  const CopyKeying keying(kKey);
  std::string info = "rows";
  AppendU32(info, kKey.epoch);
  const HmacKey key(HkdfSha256("daicho/copy/1\n", View(kKey.secret), info, 32));
  v1::HeldCopy row = Row();
  EXPECT_EQ(keying.Item(row), (CopyItem{24'727'059'608, key.Mac({row.SerializeAsString()})}));
  row.set_retention(v1::RETENTION_START_RECEIVED);
  EXPECT_EQ(keying.Item(row).mac, key.Mac({row.SerializeAsString()}));
  row.set_retention(v1::RETENTION_START_SUPERSEDED);  // as the state asks for: never said
  EXPECT_EQ(keying.Item(row), keying.Item(Row()));
  row.clear_retention();
  row.set_removed(true);
  EXPECT_EQ(keying.Item(row).mac, key.Mac({row.SerializeAsString()}));
  row.clear_record();
  row.set_update_number(0);
  EXPECT_EQ(keying.Item(row).mac, key.Mac({row.SerializeAsString()}));
}

TEST(CopyItem, OfANoticeIsThatOfTheRowItLeaves) {
  v1::UpdateNotice notice;
  notice.set_resident_code(Row().resident_code());
  notice.set_update_number(7);
  notice.set_kind(v1::NOTICE_KIND_AMEND);
  *notice.mutable_record() = Row().record();
  const CopyKeying keying(kKey);
  EXPECT_EQ(keying.Item(notice), keying.Item(Row()));
  notice.set_kind(v1::NOTICE_KIND_REMOVAL);
  EXPECT_TRUE(HeldRow(notice).removed());
  EXPECT_EQ(keying.Item(notice), keying.Item(HeldRow(notice)));
}

TEST(CopyItem, OfManyTogetherAreThoseOfEachInTheirOrder) {
  const auto keying = Keying();
  std::vector<std::pair<KeySlot, CopyItem>> each, together;
  CopyItemMaker maker(keying, [&](KeySlot subject, const CopyItem& item) -> Status {
    together.emplace_back(subject, item);
    return {};
  });
  for (std::uint64_t i = 0; i < 600; ++i) {
    v1::UpdateNotice notice;
    notice.set_resident_code(CodeText(Code(i)));
    notice.set_kind(i % 5 == 0 ? v1::NOTICE_KIND_REMOVAL : v1::NOTICE_KIND_AMEND);
    if (i % 5 != 0) {
      *notice.mutable_record() = Row().record();
      notice.mutable_record()->set_name(std::string(i % 97, 'a'));
    }
    each.emplace_back(KeySlot(i / 2), keying->Item(notice));
    ASSERT_TRUE(maker.Add(KeySlot(i / 2), notice).ok());
  }
  EXPECT_LT(together.size(), each.size());
  ASSERT_TRUE(maker.Flush().ok() && maker.Flush().ok());
  EXPECT_EQ(together, each);

  int taken = 0;
  CopyItemMaker failing(keying, [&](KeySlot, const CopyItem&) -> Status { return ++taken < 3 ? Status() : Corrupt("full"); });
  v1::UpdateNotice notice;
  notice.set_resident_code(CodeText(Code(1)));
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(failing.Add(KeySlot(1), notice).ok());
  EXPECT_EQ(failing.Flush().code(), Code::kCorrupt);
  EXPECT_EQ(taken, 3);
}

TEST(CopyItem, EveryFieldAndTheKeyCount) {
  std::set<Digest> macs;
  const auto add = [&](const CopyKeying& keying, auto change) {
    v1::HeldCopy row = Row();
    change(row);
    macs.insert(keying.Item(row).mac);
  };
  const CopyKeying keying(kKey);
  add(keying, [](v1::HeldCopy&) {});
  add(keying, [](v1::HeldCopy& row) { row.set_update_number(8); });
  add(keying, [](v1::HeldCopy& row) { row.set_removed(true); });
  add(keying, [](v1::HeldCopy& row) { row.mutable_record()->set_name("渡邊󠄀 花子"); });
  add(keying, [](v1::HeldCopy& row) { row.mutable_record()->mutable_address()->set_town("0012000"); });
  add(CopyKeying({kKey.epoch + 1, kKey.secret}), [](v1::HeldCopy&) {});
  add(CopyKeying({kKey.epoch, Sha256Of({"another"})}), [](v1::HeldCopy&) {});
  EXPECT_EQ(macs.size(), 7);
}

TEST(CopySymbol, OpensToItsCodeWithTheKeyAlone) {
  const CopyKeying keying(kKey), other({kKey.epoch, Sha256Of({"another"})});
  const CopyItem item = keying.Item(Row());
  std::uint64_t made, opened;
  const CopySymbol symbol = keying.Symbol(item, made);
  EXPECT_NE(symbol.masked_code, item.code);
  EXPECT_TRUE(keying.IsOne(symbol));
  EXPECT_EQ(keying.Open(symbol, opened).value(), NameOf(item));
  EXPECT_EQ(made, opened);
  EXPECT_FALSE(other.IsOne(symbol));
  EXPECT_EQ(other.Open(symbol, opened).status().code(), Code::kTampered);
}

TEST(CopySymbol, AnyOneBitChangedIsNoItem) {
  const CopyKeying keying(kKey);
  std::uint64_t seed;
  const CopySymbol symbol = keying.Symbol(keying.Item(Row()), seed);
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t flip = std::uint64_t{1} << bit;
    EXPECT_FALSE(keying.IsOne({symbol.id_low ^ flip, symbol.id_high, symbol.masked_code, symbol.check}));
    EXPECT_FALSE(keying.IsOne({symbol.id_low, symbol.id_high ^ flip, symbol.masked_code, symbol.check}));
    EXPECT_FALSE(keying.IsOne({symbol.id_low, symbol.id_high, symbol.masked_code, symbol.check ^ flip}));
    if (bit >= 40) continue;
    EXPECT_FALSE(keying.IsOne({symbol.id_low, symbol.id_high, symbol.masked_code ^ flip, symbol.check}));
  }
}

TEST(CopySymbol, OfAnImpossibleCodeIsRefused) {
  const CopyKeying keying(kKey);
  std::uint64_t seed;
  for (const std::uint64_t code : {std::uint64_t{24'727'059'609}, kCopyCodeEnd, (std::uint64_t{1} << 40) - 1}) {
    const CopySymbol symbol = keying.Symbol({code, Sha256Of({"x"})}, seed);
    EXPECT_EQ(keying.Open(symbol, seed).status().code(), Code::kTampered) << code;
  }
}

// The worked example of projections/README.md: what a municipality is given of the same secret.
TEST(CopyKeying, OfEachMunicipalityIsItsOwn) {
  CopyKey key{.epoch = 1, .secret = {}};
  for (std::size_t i = 0; i < key.secret.size(); ++i) key.secret[i] = static_cast<std::uint8_t>(i);
  const CopyKey maebashi = CopyKeyOfMunicipality(key, "102016");
  EXPECT_EQ(maebashi.epoch, 1u);
  EXPECT_EQ(ToHex(View(maebashi.secret)), "cc33f71d64429eec35d576578734633719aaf1a735450320edb99fe74a47e712");
  EXPECT_EQ(ToHex(View(CopyKeying(maebashi).key_id())), "76e2374b6f39ff78");
  std::set<Key256> secrets = {key.secret, maebashi.secret};
  secrets.insert(CopyKeyOfMunicipality(key, "102024").secret);
  secrets.insert(CopyKeyOfMunicipality({.epoch = 2, .secret = key.secret}, "102016").secret);
  secrets.insert(CopyKeyOfMunicipality({.epoch = 1, .secret = Sha256Of({"x"})}, "102016").secret);
  secrets.insert(CopyKeyOfRun(key, "102016").secret);
  EXPECT_EQ(secrets.size(), 6u);
}

// The worked example of projections/README.md.
TEST(CopySymbol, OfTheExampleIsThis) {
  CopyKey key{.epoch = 1, .secret = {}};
  for (std::size_t i = 0; i < key.secret.size(); ++i) key.secret[i] = static_cast<std::uint8_t>(i);
  const auto keying = Keying(key);
  const CopyItem item = keying->Item(Row());
  EXPECT_EQ(
      ToHex(Row().SerializeAsString()),
      "0a0b3234373237303539363038100722250a0de6b8a1e9828a20e88ab1e5ad903a0a313938382d30322d32394a080a06313032303136");
  EXPECT_EQ(ToHex(View(item.mac)),
            "745f1ad1b7b80c0c8e03be9039adf4d0b26716cec556a2c0205d179139aba335");
  EXPECT_EQ(ToHex(View(keying->key_id())),
            "278dc64eb9ba5b13");
  std::uint64_t seed;
  const CopySymbol symbol = keying->Symbol(item, seed);
  std::string cell;
  AppendCells(1, 0, std::array{CopyCell{symbol, 1}}, cell);
  EXPECT_EQ(ToHex(cell),
            "745f1ad1b7b80c0c8e03be9039adf4d00a06d04ebc5bd665e6352aab2800");
  std::vector<std::uint64_t> cells;
  for (CopyCellsOf of(seed); cells.size() < 6; of.Next()) cells.push_back(of.at());
  EXPECT_EQ(cells, (std::vector<std::uint64_t>{0, 1, 4, 19, 20, 23}));
  EXPECT_EQ(BucketOf(item.code), 16'205);
  CopyFingerprint fingerprint(keying);
  fingerprint.Add(item);
  EXPECT_EQ(ToHex(fingerprint.Cut(Position(36)).Encode()),
            "00000001278dc64eb9ba5b1300000000000000240000000000000001"
            "745f1ad1b7b80c0c8e03be9039adf4d0b26716cec556a2c0205d179139aba335");
  EXPECT_TRUE(WriteSketchFile(fingerprint, Position(36)).starts_with(
      "daicho-sketch/2\n" + fingerprint.Cut(Position(36)).Encode() + std::string("\x00\x00\x80\x00\x00\x0f\x00\x00", 8) + cell));
}

// --- Cells -----------------------------------------------------------------------------------------

// Pinned: two programs must put an item into the same cells for ever.
TEST(CopyCells, OfASeedAreTheseForEver) {
  const auto cells_of = [](std::uint64_t seed) {
    std::vector<std::uint64_t> cells;
    for (CopyCellsOf of(seed); cells.size() < 8; of.Next()) cells.push_back(of.at());
    return cells;
  };
  EXPECT_EQ(cells_of(0), (std::vector<std::uint64_t>{0, 1, 3, 27, 28, 89, 157, 379}));
  EXPECT_EQ(cells_of(1), (std::vector<std::uint64_t>{0, 1, 2, 3, 6, 10, 12, 13}));
}

// The steps approximate it: 0.64 of all items are in cell 1, for 0.67; beyond the first cells it is within a hundredth.
TEST(CopyCells, HoldAnItemWithAboutTheProbabilityThatIsExpected) {
  std::vector<CopyCell> cells(1'000);
  constexpr int kItems = 50'000;
  std::mt19937_64 random(1);
  for (int i = 0; i < kItems; ++i) PutInCells({}, random(), 1, 0, cells);
  for (const std::size_t i : {0u, 1u, 2u, 10u, 100u, 999u}) {
    const double p = 2.0 / static_cast<double>(i + 2), expected = p * kItems;
    EXPECT_NEAR(static_cast<double>(cells[i].count), expected, 0.05 * expected + 4 * std::sqrt(expected * (1 - p)))
        << i;
  }
}

TEST(CopyCells, FromAnyCellOnAreTheSame) {
  const CopyKeying keying(kKey);
  std::vector<CopyCell> whole(3'000), tail(1'000);
  for (std::uint64_t n = 0; n < 500; ++n) {
    std::uint64_t seed;
    const CopySymbol symbol = keying.Symbol({Code(n), Sha256Of({std::to_string(n)})}, seed);
    PutInCells(symbol, seed, 1, 0, whole);
    PutInCells(symbol, seed, 1, 2'000, tail);
  }
  EXPECT_TRUE(std::ranges::equal(tail, std::span(whole).subspan(2'000)));
}

TEST(CopyCells, TravelInSome30BytesAndComeBack) {
  const Pair pair(20'000, 0, 1);
  const auto cells = pair.here.fingerprint().cells();
  std::string bytes;
  AppendCells(20'000, 0, cells, bytes);
  EXPECT_LT(bytes.size(), cells.size() * 31);
  EXPECT_TRUE(std::ranges::equal(ReadCells(20'000, 0, cells.size(), bytes).value(), cells));
  EXPECT_FALSE(ReadCells(20'000, 0, cells.size() + 1, bytes).ok());
  EXPECT_FALSE(ReadCells(20'000, 0, cells.size() - 1, bytes).ok());
  EXPECT_FALSE(ReadCells(20'000, 0, cells.size(), bytes.substr(1)).ok());
  EXPECT_FALSE(ReadCells(20'000, 0, std::size_t{1} << 60, bytes).ok());
}

TEST(CopyPeeler, EstimatesHowMuchDiffers) {
  const Pair pair(20'000, 5'000, 2);
  CopyPeeler peeler(pair.here.fingerprint().keying());
  ASSERT_TRUE(
      peeler.Take(pair.here.fingerprint().cells().first(2'000), pair.there.fingerprint().cells().first(2'000)).ok());
  EXPECT_FALSE(peeler.done());
  EXPECT_NEAR(peeler.Estimate(), 7'000, 1'000);
}

// What no two sets give: whoever has the key may make it, and it must end.
TEST(CopyPeeler, CraftedCellsEnd) {
  const CopyKeying keying(kKey);
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<CopyCell> cells(64), none(64);
    for (int i = 0; i < 100; ++i) {
      std::uint64_t seed;
      const CopySymbol symbol = keying.Symbol({Code(random() % 20), Sha256Of({std::to_string(random() % 20)})}, seed);
      CopyCell& cell = cells[random() % cells.size()];  // not where it belongs
      cell.sum = symbol;
      cell.count = static_cast<std::int64_t>(random() % 3) - 1;
    }
    CopyPeeler peeler(keying);
    const Status taken = peeler.Take(cells, none);
    EXPECT_TRUE(taken.ok() || taken.code() == Code::kTampered);
  }
}

// --- Fingerprint -----------------------------------------------------------------------------------

TEST(CopyFingerprint, IsAFunctionOfTheSet) {
  Copy a, b;
  for (std::uint64_t n = 0; n < 300; ++n) a.Put(Code(n * 31'337'001), 1);
  for (std::uint64_t n = 300; n-- > 0;) {
    b.Put(Code(n * 31'337'001), 5);
    b.Put(Code(n * 31'337'001), 1);
    b.Put(Code(n * 31'337'001 + 1), 1);
  }
  EXPECT_NE(a.fingerprint().Encode(), b.fingerprint().Encode());
  for (std::uint64_t n = 0; n < 300; ++n) b.Drop(Code(n * 31'337'001 + 1));
  EXPECT_EQ(a.fingerprint().Encode(), b.fingerprint().Encode());
  for (std::uint64_t n = 0; n < 300; ++n) a.Drop(Code(n * 31'337'001));
  EXPECT_EQ(a.fingerprint().Encode(), Copy().fingerprint().Encode());
}

TEST(CopyFingerprint, SumsCarryThroughAllWords) {
  Digest ones, one{};
  ones.fill(0xFF);
  one[0] = 1;
  CopyTotal total;
  total.Add(ones);
  total.Add(one);
  EXPECT_EQ(total, (CopyTotal{2, {}}));
  total.Remove(one);
  total.Remove(ones);
  EXPECT_EQ(total, CopyTotal{});
}

TEST(CopyFingerprint, EveryCodeIsInTheBucketThatBeginsBeforeIt) {
  EXPECT_EQ(BucketOf(0), 0);
  EXPECT_EQ(BucketOf(kCopyCodeEnd - 1), kCopyBuckets - 1);
  EXPECT_EQ(BucketStart(kCopyBuckets), kCopyCodeEnd);
  for (std::uint32_t bucket = 1; bucket < kCopyBuckets; ++bucket) {
    ASSERT_EQ(BucketOf(BucketStart(bucket)), bucket);
    ASSERT_EQ(BucketOf(BucketStart(bucket) - 1), bucket - 1);
  }
}

TEST(CopyFingerprint, IsStoredAndReadBack) {
  const Pair pair(3'000, 100, 4);
  const std::string stored = pair.here.fingerprint().Encode();
  CopyFingerprint again = CopyFingerprint::Decode(Keying(), stored).value();
  EXPECT_EQ(again.Encode(), stored);
  again.Add(pair.there.items().begin()->second);
  EXPECT_NE(again.Encode(), stored);
  EXPECT_EQ(CopyFingerprint::Decode(Keying({8, kKey.secret}), stored).status().code(), Code::kConflict);
  EXPECT_EQ(CopyFingerprint::Decode(Keying({7, Sha256Of({"x"})}), stored).status().code(), Code::kConflict);
  EXPECT_EQ(CopyFingerprint::Decode(Keying(), stored + "x").status().code(), Code::kCorrupt);
  std::string other_format = stored;
  other_format[0] = 2;
  EXPECT_EQ(CopyFingerprint::Decode(Keying(), other_format).status().code(), Code::kUnsupported);
  for (const std::size_t size : {0ul, 1ul, 60ul, 64ul, 65ul, 100'000ul, stored.size() / 2, stored.size() - 1}) {
    EXPECT_EQ(CopyFingerprint::Decode(Keying(), stored.substr(0, size)).status().code(), Code::kCorrupt) << size;
  }
}

// --- The one-shot file -----------------------------------------------------------------------------

TEST(SketchFile, NamesEveryDifferenceUpToItsCapacity) {
  for (const std::size_t differing : {0, 1, 2, 3, 10, 100, 3'000, 14'000}) {
    const Pair pair(20'000, differing, static_cast<unsigned>(differing + 5));
    const std::string file = WriteSketchFile(pair.there.fingerprint(), kPosition);
    EXPECT_LT(file.size(), 2'200'000);
    const Result<SketchComparison> found = CompareSketchFile(pair.here.fingerprint(), kPosition, file);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_TRUE(found->complete) << differing;
    EXPECT_EQ(found->difference, TrueDifference(pair.here, pair.there)) << differing;
    EXPECT_EQ(found->there.total.count, pair.there.items().size());
  }
}

TEST(SketchFile, TellsWhereTheDifferencesAreBeyondIt) {
  const Pair pair(40'000, 30'000, 6, true);
  const Result<SketchComparison> found =
      CompareSketchFile(pair.here.fingerprint(), kPosition, WriteSketchFile(pair.there.fingerprint(), kPosition));
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_FALSE(found->complete);
  std::set<std::uint32_t> buckets;
  const CopyDifference truth = TrueDifference(pair.here, pair.there);
  for (const auto* side : {&truth.here, &truth.there}) {
    for (const CopyName& name : *side) buckets.insert(BucketOf(name.code));
  }
  EXPECT_TRUE(std::ranges::equal(found->buckets, buckets));
}

TEST(SketchFile, ALongOneNamesMore) {
  const Pair pair(40'000, 30'000, 6, true);
  const auto here = pair.here.fingerprint().Lengthened(pair.here.Scan()).value();
  const auto there = pair.there.fingerprint().Lengthened(pair.there.Scan()).value();
  EXPECT_TRUE(std::ranges::equal(there.cells().first(kCopyCells), pair.there.fingerprint().cells()));
  const std::string file = WriteSketchFile(there, kPosition);
  EXPECT_EQ(ReadSketchHead(file)->cells, kCopyCellsMax);
  EXPECT_LT(file.size(), 10'000'000);
  const Result<SketchComparison> found = CompareSketchFile(here, kPosition, file);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_TRUE(found->complete);
  EXPECT_EQ(found->difference, TrueDifference(pair.here, pair.there));
  // A short one can be compared with a long fingerprint too.
  EXPECT_FALSE(CompareSketchFile(here, kPosition, WriteSketchFile(pair.there.fingerprint(), kPosition))->complete);
  // Items of another copy do not lengthen it.
  EXPECT_EQ(pair.here.fingerprint().Lengthened(pair.there.Scan()).status().code(), Code::kConflict);
}

TEST(SketchFile, IsRefusedUnlessItIsOfTheSameKeyAndPosition) {
  const Pair pair(100, 10, 7);
  const std::string file = WriteSketchFile(pair.there.fingerprint(), kPosition);
  EXPECT_EQ(CompareSketchFile(pair.here.fingerprint(), kPosition.Next(), file).status().code(), Code::kConflict);
  for (const CopyKey& key : {CopyKey{8, kKey.secret}, CopyKey{7, Sha256Of({"x"})}}) {
    EXPECT_EQ(CompareSketchFile(Copy(Keying(key)).fingerprint(), kPosition, file).status().code(), Code::kConflict);
  }
}

TEST(SketchFile, AnyChangedByteIsRefused) {
  const Pair pair(100, 10, 8);
  const std::string file = WriteSketchFile(pair.there.fingerprint(), kPosition);
  std::mt19937_64 random(8);
  std::vector<std::size_t> places = {0, 14, 16, 20, 28, 36, 44, 75, 76, 79, 80, file.size() - 33, file.size() - 1};
  for (int i = 0; i < 20; ++i) places.push_back(random() % file.size());
  for (const std::size_t at : places) {
    std::string changed = file;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_FALSE(CompareSketchFile(pair.here.fingerprint(), kPosition, changed).ok()) << at;
  }
  for (const std::size_t size : {0ul, 15ul, 16ul, 76ul, 80ul, 84ul, 115ul, 116ul, 1'000'000ul, file.size() - 1}) {
    EXPECT_FALSE(CompareSketchFile(pair.here.fingerprint(), kPosition, file.substr(0, size)).ok()) << size;
  }
  EXPECT_EQ(CompareSketchFile(pair.here.fingerprint(), kPosition, file + "x").status().code(), Code::kTampered);
  EXPECT_EQ(CompareSketchFile(pair.here.fingerprint(), kPosition, "daicho-sketch/1\n").status().code(),
            Code::kUnsupported);
}

TEST(SketchFile, DoesNotShowACode) {
  Copy copy;
  copy.Put(24'727'059'608, 1);
  std::string code;
  for (std::uint64_t rest = 24'727'059'608; rest > 0; rest >>= 8) code += static_cast<char>(rest);
  const std::string file = WriteSketchFile(copy.fingerprint(), kPosition);
  EXPECT_EQ(file.find(code), std::string::npos);
  EXPECT_EQ(file.find("24727059608"), std::string::npos);
}

// --- Questions and answers -------------------------------------------------------------------------

TEST(Reconcile, EqualCopiesTakeOneAnswer) {
  Pair pair(1'000, 0, 9);
  CopyProgress progress;
  EXPECT_EQ(pair.Reconcile(progress).value(), CopyDifference{});
  EXPECT_EQ(progress.bytes_sent + progress.bytes_received, 61);
}

TEST(Reconcile, NamesEveryDifference) {
  for (const std::size_t differing : {1, 2, 3, 5, 10, 30, 100, 1'000, 10'000, 20'000}) {
    Pair pair(30'000, differing, static_cast<unsigned>(differing));
    CopyProgress progress;
    const Result<CopyDifference> found = pair.Reconcile(progress);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(*found, TrueDifference(pair.here, pair.there)) << differing;
    const std::uint64_t items = found->here.size() + found->there.size();
    EXPECT_LT(progress.bytes_received, 1'300 + items * 60) << differing;
    EXPECT_FALSE(progress.by_bucket);
  }
}

TEST(Reconcile, AlsoOfNothingWithAll) {
  for (const bool mine_is_empty : {false, true}) {
    Pair pair(5'000, 0, 10);
    Copy none;
    CopyProgress progress;
    const Result<CopyDifference> found =
        mine_is_empty ? Reconcile(none.fingerprint(), kPosition, none.Scan(), pair.there, progress)
                      : Reconcile(pair.here.fingerprint(), kPosition, pair.here.Scan(), none, progress);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(*found, mine_is_empty ? TrueDifference(none, pair.there) : TrueDifference(pair.here, none));
  }
}

// More differences than cells are worth, everywhere and in one place.
TEST(Reconcile, GoesToTheItemsWhenTooMuchDiffers) {
  for (const bool clustered : {false, true}) {
    Pair pair(260'000, 220'000, 11, clustered);
    CopyProgress progress;
    const Result<CopyDifference> found = pair.Reconcile(progress);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(*found, TrueDifference(pair.here, pair.there));
    EXPECT_TRUE(progress.by_bucket);
    EXPECT_TRUE(pair.there.kinds_.contains(4));
    EXPECT_LT(progress.bytes_received, 5'000'000);  // the cells were given up early
  }
}

// Against none the two rows cancel out in cells but for their count: only the items themselves tell.
TEST(Reconcile, NamesARowThatIsTwiceInACopy) {
  for (const bool also_there : {true, false}) {
    Pair pair(3'000, 20, 17);
    const CopyItem twice = pair.here.items().rbegin()->second;
    if (!also_there) pair.there.Drop(twice.code);
    CopyDifference truth = TrueDifference(pair.here, pair.there);
    CopyFingerprint fingerprint = pair.here.fingerprint();
    fingerprint.Add(twice);
    truth.here.push_back(NameOf(twice));
    std::ranges::sort(truth.here);
    const CopyScan scan = pair.here.Scan();
    const CopyScan with_it = [&](std::uint64_t first, std::uint64_t last, const CopyItemSink& take) -> Status {
      return scan(first, last, [&](const CopyItem& item) -> Status {
        if (item == twice) RETURN_IF_ERROR(take(item));
        return take(item);
      });
    };
    CopyProgress progress;
    const Result<CopyDifference> found = Reconcile(fingerprint, kPosition, with_it, pair.there, progress);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(*found, truth);
    EXPECT_EQ(progress.by_bucket, !also_there);
    const SketchComparison compared =
        CompareSketchFile(fingerprint, kPosition, WriteSketchFile(pair.there.fingerprint(), kPosition)).value();
    EXPECT_EQ(compared.complete, also_there);
    EXPECT_TRUE(std::ranges::binary_search(compared.buckets, BucketOf(twice.code)));
  }
}

TEST(Reconcile, GoesOnWhereItWasBrokenOff) {
  for (const std::size_t differing : {500, 20'000, 30'000}) {
    Pair pair(differing == 30'000 ? 250'000 : 30'000, differing * (differing == 30'000 ? 8 : 1), 12);
    CopyProgress whole;
    const CopyDifference truth = pair.Reconcile(whole).value();
    ASSERT_EQ(truth, TrueDifference(pair.here, pair.there));
    CopyProgress progress;
    Result<CopyDifference> found = Unavailable("not begun");
    int calls = 0;
    for (; !found.ok(); ++calls) {
      ASSERT_EQ(found.status().code(), Code::kUnavailable);
      ASSERT_LT(calls, 100);
      pair.there.BreakAfter(progress.by_bucket ? 2 : 1);  // buckets are asked for anew
      found = pair.Reconcile(progress);
      progress = CopyProgress::Decode(progress.Encode()).value();
    }
    EXPECT_GT(calls, 3);
    EXPECT_EQ(*found, truth);
    if (whole.by_bucket) {
      EXPECT_GT(progress.bytes_received, whole.bytes_received);
    } else {
      EXPECT_EQ(progress.bytes_received, whole.bytes_received);
    }
  }
}

TEST(Reconcile, RefusesAnotherKeyAndPosition) {
  Pair pair(100, 10, 13);
  Copy other_key(Keying({8, kKey.secret}));
  CopyProgress progress;
  EXPECT_EQ(Reconcile(other_key.fingerprint(), kPosition, other_key.Scan(), pair.there, progress).status().code(),
            Code::kConflict);
  EXPECT_EQ(Reconcile(pair.here.fingerprint(), Position(1), pair.here.Scan(), pair.there, progress).status().code(),
            Code::kConflict);
}

TEST(Reconcile, RefusesItemsThatAreNotThoseOfTheFingerprint) {
  Pair pair(30'000, 28'000, 14);
  const CopyScan scan = pair.here.Scan();
  const CopyScan less = [&](std::uint64_t first, std::uint64_t last, const auto& take) {
    return scan(std::max<std::uint64_t>(first, kCopyCodeEnd / 2), last, take);
  };
  CopyProgress progress;
  EXPECT_EQ(Reconcile(pair.here.fingerprint(), kPosition, less, pair.there, progress).status().code(), Code::kConflict);
}

// A holder that answers wrongly: an error or, where the wrong byte did not matter, the right answer; never another.
TEST(Reconcile, WrongAnswersNameNothingWrong) {
  std::mt19937_64 random(15);
  int refused = 0;
  for (int round = 0; round < 60; ++round) {
    Pair pair(3'000, round % 2 == 0 ? 20 : 900, static_cast<unsigned>(round));
    const CopyDifference truth = TrueDifference(pair.here, pair.there);
    int answers = 0;
    pair.there.spoil_ = [&](std::string& answer) {
      if (answers++ != round % 3 || answer.empty()) return;
      switch (random() % 3) {
        case 0:
          answer[random() % answer.size()] ^= static_cast<char>(1 << random() % 8);
          break;
        case 1:
          answer.resize(random() % answer.size());
          break;
        default:
          answer.append(random() % 40, 'x');
      }
    };
    CopyProgress progress;
    const Result<CopyDifference> found = pair.Reconcile(progress);
    refused += !found.ok();
    EXPECT_EQ(found.ok() ? *found : truth, truth);
  }
  EXPECT_GT(refused, 30);
}

TEST(CopyAnswers, RefuseWhatIsNoQuestion) {
  Copy copy;
  copy.Put(Code(1), 1);
  CopyAnswers answers(copy.fingerprint(), kPosition, copy.Scan());
  const auto question = [](char kind, Position position, std::initializer_list<std::uint64_t> numbers) {
    std::string out(1, kind);
    AppendU64(out, position.value());
    for (const std::uint64_t number : numbers) AppendVarint(out, number);
    return out;
  };
  const auto code_of = [&](const std::string& asked) { return answers.Ask(asked).status().code(); };
  for (const std::string& asked :
       {std::string(), std::string("\x01x"), std::string("\x02"), question(0, kPosition, {}),
        question(5, kPosition, {}), question(2, kPosition, {}), question(2, kPosition, {1}),
        question(2, kPosition, {1, 2, 3}), question(2, kPosition, {kCopyCellsMax, 1}),
        question(2, kPosition, {1, ~std::uint64_t{0}}), question(3, kPosition, {1}), question(4, kPosition, {1}),
        question(4, kPosition, {1, 0}), question(4, kPosition, {0, kCopyBucketsAsked + 1}),
        question(4, kPosition, {kCopyBuckets, 1}), question(4, kPosition, {~std::uint64_t{0}, 1})}) {
    EXPECT_EQ(code_of(asked), Code::kInvalid) << ToHex(asked);
  }
  EXPECT_EQ(code_of(question(2, Position(1), {0, 1})), Code::kConflict);
  EXPECT_TRUE(answers.Ask(question(2, kPosition, {0, 1})).ok());
  EXPECT_TRUE(answers.Ask(question(4, kPosition, {kCopyBuckets - 1, 1})).ok());
}

TEST(CopyProgress, RefusesWhatWasCutShort) {
  Pair pair(1'000, 200, 16);
  CopyProgress progress;
  ASSERT_TRUE(pair.Reconcile(progress).ok());
  progress.found = TrueDifference(pair.here, pair.there);
  const std::string stored = progress.Encode();
  EXPECT_EQ(CopyProgress::Decode(stored).value().Encode(), stored);
  for (std::size_t size = 0; size < 200; ++size)
    EXPECT_FALSE(CopyProgress::Decode(stored.substr(0, size)).ok()) << size;
}

}  // namespace
}  // namespace daicho
