// Searching as of a past day gives what a scan of the auditor's replay of that day gives. Method: three years of
// a small prefecture's notices are admitted over months; the ledger is replayed to some of those days and each
// of the records that the replay wrote is held against random conditions, which are also asked of the record
// file as it is now.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "consumers/audit_replay.h"
#include "consumers/generate.h"
#include "consumers/notice_file.h"
#include "consumers/notice_json.h"
#include "projections/projector.h"
#include "tests/prefecture.h"
#include "tests/search_oracle.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr int kDays = 6;
constexpr int kQuestions = 1'000;

struct Replayed {
  std::string handle;
  v1::ResidentRecord record;
};

class SearchReplayTest : public ::testing::Test {
 protected:
  void Live() {
    p_.Found();
    GenerateOptions options;
    options.residents = 150;
    options.years = 3;
    options.seed = Seed();
    options.out = p_.Path("notices");
    ASSERT_TRUE(Generate(options).ok());
    std::vector<fs::path> rounds;
    for (const auto& entry : fs::directory_iterator(options.out)) {
      if (entry.is_directory()) rounds.push_back(entry.path());
    }
    std::ranges::sort(rounds);
    std::set<std::string> registered = {kMaebashi, kTakasaki};
    for (const fs::path& round : rounds) {
      std::vector<fs::path> files;
      for (const auto& entry : fs::directory_iterator(round)) files.push_back(entry.path());
      std::ranges::sort(files);
      for (const fs::path& path : files) {
        const NoticeFile file = ReadNoticeFile(path.string())->file;
        if (registered.insert(file.issuer).second) {
          p_.Submit(Prefecture::Registrar(), {p_.Registration(file.issuer)});
        }
        std::vector<v1::UpdateNotice> notices(file.payloads.size());
        for (std::size_t i = 0; i < notices.size(); ++i) ASSERT_TRUE(notices[i].ParseFromString(file.payloads[i]));
        ASSERT_EQ(p_.Notify(file.issuer, notices).outcome(), v1::OUTCOME_ADMITTED);
      }
      days_.push_back(JapanDate(p_.clock().Now()));
      p_.clock().Advance(std::chrono::hours(24 * 30));
    }
  }
  std::unique_ptr<Projector> CaughtUp() {
    ProjectorOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p_.ledger_id();
    o.registrar_public_key = p_.registrar_key().public_key();
    o.dir = p_.Path("file");
    o.log = &p_.log();
    o.keys = &p_.key_store();
    o.matching = matching_;
    auto out = Projector::Open(std::move(o)).value();
    EXPECT_TRUE(out->CatchUp().ok());
    return out;
  }
  std::vector<Replayed> Replay(Date day) {
    ReplayOptions o;
    o.ledger.prefecture = Prefecture::kNumber;
    o.ledger.ledger = p_.ledger_id();
    o.ledger.registrar = p_.registrar_key().public_key();
    o.log = &p_.log();
    o.keys = &p_.key_store();
    o.as_of = day;
    o.out = p_.Path("replay-" + FormatDate(day));
    const auto state = ReplayTo(o);
    EXPECT_TRUE(state.ok()) << state.status().ToString();
    std::vector<Replayed> out;
    std::ifstream lines(o.out + "/records.ndjson");
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      Replayed each{json["handle"], {}};
      EXPECT_TRUE(ReadRecord(json["record"].dump(), each.record).complete);
      out.push_back(std::move(each));
    }
    return out;
  }
  std::size_t Below(std::size_t limit) { return chance_() % limit; }
  // Like what an official types of someone.
  v1::SearchCondition Question(const v1::ResidentRecord& record) {
    v1::SearchCondition out;
    const auto beginning = [&](const std::string& text) {
      std::size_t end = 1 + Below(text.size());
      while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
      return text.substr(0, end);
    };
    while (out.ByteSizeLong() == 0) {
      if (Below(2) == 0) out.set_name(beginning(record.name()));
      if (!record.kana().empty() && Below(3) == 0) out.set_kana(beginning(record.kana()));
      if (Below(3) == 0) out.set_birth(record.birth().starts_with("?") ? record.birth() : record.birth().substr(0, 4 + 3 * Below(3)));
      if (Below(4) == 0) out.set_address(beginning(record.address().text()));
      if (Below(4) == 0) out.set_municipality(record.address().municipality());
    }
    if (Below(3) == 0) out.set_sex(record.sex());
    if (Below(4) == 0) out.set_name_match(v1::NAME_MATCH_WHOLE);
    return out;
  }
  Prefecture p_;
  std::shared_ptr<const Matching> matching_ = Matching::Shipped();
  std::mt19937_64 chance_{Seed()};
  std::vector<Date> days_;
};

TEST_F(SearchReplayTest, EqualsAScanOfWhatTheAuditorReplaysOfThatDay) {
  Live();
  const auto now = CaughtUp();
  std::map<Date, std::vector<Replayed>> replayed;
  for (int i = 0; i < kDays; ++i) {
    const Date day = days_[days_.size() * static_cast<std::size_t>(i) / kDays];
    replayed[day] = Replay(day);
  }
  std::size_t found = 0;
  for (int asked = 0; asked < kQuestions;) {
    const auto& [day, records] = *std::next(replayed.begin(), static_cast<long>(Below(replayed.size())));
    const v1::SearchCondition condition = Question(records[Below(records.size())].record);
    if (!Answerable(*matching_, condition)) continue;
    ++asked;
    std::set<std::string> expected, shown;
    for (const Replayed& each : records) {
      if (Means(*matching_, condition, each.record)) expected.insert(each.handle);
    }
    const Position at = now->file().AtEndOf(day).value();
    const SearchPage page = now->search().Find(condition, at, day, records.size(), {}).value();
    for (const Version& version : page.hits) shown.insert(ToHex(View(version.handle)));
    ASSERT_EQ(shown, expected) << FormatDate(day) << " " << condition.ShortDebugString();
    found += shown.size();
  }
  EXPECT_GT(found, static_cast<std::size_t>(kQuestions));
}

}  // namespace
}  // namespace daicho
