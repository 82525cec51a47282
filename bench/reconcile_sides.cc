// Two copies of N records in which D differ, compared in each way there is: bytes in both directions, questions,
// time. The outcome is checked against the difference that was planted. For bench/reconcile, which has another
// program compare the same items.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <vector>

#include "events/codes.h"
#include "projections/copy_reconcile.h"

namespace daicho {
namespace {

using Clock = std::chrono::steady_clock;

const CopyKey kKey{.epoch = 1, .secret = {1, 2, 3}};
const Position kPosition(1);

struct Settings {
  std::size_t residents = 2'000'000;
  std::vector<std::size_t> differing = {0, 1, 100, 10'000, 100'000, 400'000};
  std::string dump;  // directory for the items of both sides
};

double Milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

// 11 digits with their check digit.
std::uint64_t CodeOf(std::uint64_t ten_digits) {
  const std::string digits = CodeText(ten_digits * 10).substr(0, 10);
  return ten_digits * 10 + static_cast<std::uint64_t>(ResidentCodeCheckDigit(digits) - '0');
}

class Side {
 public:
  explicit Side(std::vector<CopyItem> items)
      : items_(std::move(items)), fingerprint_(std::make_shared<CopyKeying>(kKey)) {
    for (const CopyItem& item : items_) fingerprint_.Add(item);
  }
  const CopyFingerprint& fingerprint() const { return fingerprint_; }
  CopyScan Scan() const {
    return [this](std::uint64_t first, std::uint64_t last, const CopyItemSink& take) -> Status {
      auto it = std::ranges::lower_bound(items_, first, {}, &CopyItem::code);
      for (; it != items_.end() && it->code < last; ++it) RETURN_IF_ERROR(take(*it));
      return {};
    };
  }
  void Write(const std::string& path) const {
    std::ofstream out(path, std::ios::binary);
    for (const CopyItem& item : items_) {
      out.write(reinterpret_cast<const char*>(&item.code), sizeof(item.code));
      out.write(reinterpret_cast<const char*>(item.mac.data()), static_cast<std::streamsize>(item.mac.size()));
    }
  }

 private:
  std::vector<CopyItem> items_;  // by ascending code
  CopyFingerprint fingerprint_;
};

class Counted : public CopyHolder {
 public:
  explicit Counted(CopyAnswers answers) : answers_(std::move(answers)) {}
  Result<std::string> Ask(std::string_view question) override {
    ++questions_;
    const Clock::time_point started = Clock::now();
    Result<std::string> answer = answers_.Ask(question);
    milliseconds_ += Milliseconds(started);
    return answer;
  }
  int questions() const { return questions_; }
  double milliseconds() const { return milliseconds_; }

 private:
  CopyAnswers answers_;
  int questions_ = 0;
  double milliseconds_ = 0;
};

// 40 % another version, 30 % only here, 30 % only there.
struct Planted {
  std::vector<CopyItem> here, there;
  CopyDifference difference;

  Planted(const std::vector<std::uint64_t>& codes, std::size_t differing, std::mt19937_64& random) {
    std::vector<std::size_t> chosen(codes.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = i;
    std::ranges::shuffle(chosen, random);
    std::vector<char> kinds(codes.size());
    for (std::size_t i = 0; i < differing; ++i) kinds[chosen[i]] = i % 10 < 4 ? 'v' : i % 10 < 7 ? 'h' : 't';
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const CopyItem item = Item(codes[i], random);
      if (kinds[i] != 't') here.push_back(item);
      if (kinds[i] != 'h') there.push_back(kinds[i] == 'v' ? Item(codes[i], random) : item);
      if (kinds[i] == 'v' || kinds[i] == 'h') difference.here.push_back(NameOf(item));
      if (kinds[i] == 'v' || kinds[i] == 't') difference.there.push_back(NameOf(there.back()));
    }
  }
  static CopyItem Item(std::uint64_t code, std::mt19937_64& random) {
    CopyItem item{.code = code};
    for (std::size_t at = 0; at < item.mac.size(); at += 8) {
      const std::uint64_t word = random();
      std::memcpy(item.mac.data() + at, &word, 8);
    }
    return item;
  }
};

void Compare(const Settings& settings, const std::vector<std::uint64_t>& codes, std::size_t differing) {
  std::mt19937_64 random(differing + 1);
  Planted planted(codes, differing, random);
  Clock::time_point started = Clock::now();
  const Side here(std::move(planted.here)), there(std::move(planted.there));
  const double build_ms = Milliseconds(started) / 2;
  if (!settings.dump.empty()) {
    here.Write(settings.dump + "/here");
    there.Write(settings.dump + "/there");
  }

  started = Clock::now();
  Counted holder(CopyAnswers(there.fingerprint(), kPosition, there.Scan()));
  CopyProgress progress;
  const CopyDifference found = Reconcile(here.fingerprint(), kPosition, here.Scan(), holder, progress).value();
  const double ms = Milliseconds(started);
  CHECK(found == planted.difference);
  fmt::print("RESULT way=questions differing={} items={} sent={} received={} questions={} by_bucket={} ms={:.1f} "
             "answering_ms={:.1f} build_ms={:.0f}\n",
             differing, found.here.size() + found.there.size(), progress.bytes_sent, progress.bytes_received,
             holder.questions(), progress.by_bucket, ms, holder.milliseconds(), build_ms);

  for (const bool lengthened : {false, true}) {
    started = Clock::now();
    const CopyFingerprint theirs = lengthened ? there.fingerprint().Lengthened(there.Scan()).value() : there.fingerprint();
    const std::string file = WriteSketchFile(theirs, kPosition);
    const double write_ms = Milliseconds(started);
    started = Clock::now();
    const CopyFingerprint ours = lengthened ? here.fingerprint().Lengthened(here.Scan()).value() : here.fingerprint();
    const SketchComparison compared = CompareSketchFile(ours, kPosition, file).value();
    CHECK(!compared.complete || compared.difference == planted.difference);
    fmt::print("RESULT way={} differing={} bytes={} complete={} buckets={} write_ms={:.1f} ms={:.1f}\n",
               lengthened ? "long_file" : "file", differing, file.size(), compared.complete, compared.buckets.size(),
               write_ms, Milliseconds(started));
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace daicho

int main(int argc, char** argv) {
  daicho::Settings settings;
  CLI::App app("reconcile_sides");
  app.add_option("--residents", settings.residents);
  app.add_option("--differing", settings.differing)->delimiter(',');
  app.add_option("--dump", settings.dump);
  CLI11_PARSE(app, argc, argv);
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> codes(settings.residents);
  for (std::uint64_t& code : codes) code = daicho::CodeOf(random() % 10'000'000'000);
  std::ranges::sort(codes);
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  for (const std::size_t differing : settings.differing) daicho::Compare(settings, codes, differing);
}
