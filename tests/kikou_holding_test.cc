// What the stand-in for 機構 makes of notices, by rule, and that what it lets go wrong is what it tells. Method: notices
// by hand, in messages of one or more; every row is read back.
#include "consumers/kikou_holding.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "consumers/kikou_drift.h"
#include "consumers/kikou_others.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

class KikouHoldingTest : public ::testing::Test {
 protected:
  KikouHoldingTest() { Reopen(); }

  void Reopen() {
    holding_.reset();
    holding_ = KikouHolding::Open(directory_ / "held").value();
  }
  // Behind what it has, as one message.
  kikou::Notices Message(const std::vector<v1::UpdateNotice>& notices) {
    kikou::Notices out;
    out.set_version(1);
    out.set_ledger(std::string(16, 'l'));
    out.set_first_position(holding_->next().value());
    std::uint64_t position = out.first_position();
    for (const v1::UpdateNotice& notice : notices) {
      kikou::Notice& each = *out.add_notices();
      each.set_position(++position);
      each.set_notice(notice.SerializeAsString());
      out.set_last_position(position);
    }
    return out;
  }
  Result<KikouHolding::Taken> Take(const kikou::Notices& message) {
    return holding_->Take(message, Sha256Of({message.SerializeAsString()}), TimeMicros(1), [](const auto& ack) {
      return Result<std::string>(ack.SerializeAsString());
    });
  }
  kikou::Acknowledgement Tell(const std::vector<v1::UpdateNotice>& notices) {
    kikou::Acknowledgement out;
    EXPECT_TRUE(out.ParseFromString(Take(Message(notices)).value().acknowledgement.value()));
    return out;
  }
  // "code:number" of every row, '-' behind those removed.
  std::set<std::string> Rows() {
    std::set<std::string> out;
    EXPECT_TRUE(holding_->ForEach([&](const v1::HeldCopy& row) {
                  out.insert(row.resident_code() + ":" + std::to_string(row.update_number()) + (row.removed() ? "-" : ""));
                  return Status();
                }).ok());
    const KikouHolding::Counts counts = holding_->counts();
    EXPECT_EQ(counts.residents + counts.removed, out.size());
    return out;
  }
  std::size_t Matches(const std::function<void(v1::SearchCondition&)>& ask) {
    v1::SearchCondition condition;
    ask(condition);
    return holding_->Match(condition, 100).value().size();
  }
  std::vector<nlohmann::json> Drift(const std::string& kind, std::uint64_t count = 1, std::uint64_t seed = 1) {
    kikou::Drift drift;
    drift.set_kind(kind);
    drift.set_count(count);
    drift.set_seed(seed);
    std::istringstream lines(ApplyDrift(*holding_, drift).value());
    std::vector<nlohmann::json> out;
    for (std::string line; std::getline(lines, line);) out.push_back(nlohmann::json::parse(line));
    return out;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<KikouHolding> holding_;
  Person hanako_{1}, taro_{2};
};

TEST_F(KikouHoldingTest, TheNoticeOfTheHighestNumberStands) {
  Tell({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":2"});
  // The move-in came before the other municipality's removal, which is history only.
  Tell({MoveIn(hanako_, 4, kTakasaki)});
  Tell({MoveOut(hanako_, 3, kMaebashi)});
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":4"});
  Tell({MoveOut(hanako_, 5, kTakasaki)});
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":5-"});
  Reopen();
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":5-"});
}

TEST_F(KikouHoldingTest, AChangeOfCodeMovesTheRowAndBackAgain) {
  const std::string first = hanako_.code;
  Tell({Birth(hanako_, kMaebashi), Birth(taro_, kMaebashi)});
  const v1::UpdateNotice late = MoveOut(hanako_, 2, kMaebashi);
  Tell({MoveIn(hanako_, 3, kTakasaki), CodeChange(hanako_, 77, 4, kTakasaki)});
  EXPECT_EQ(Rows(), (std::set{hanako_.code + ":4", taro_.code + ":1"}));
  Tell({late});  // names the former code
  EXPECT_EQ(Rows(), (std::set{hanako_.code + ":4", taro_.code + ":1"}));
  Tell({CodeChange(hanako_, 1, 5, kTakasaki)});
  EXPECT_EQ(hanako_.code, first);
  Tell({AddressChange(hanako_, 6, kTakasaki)});
  EXPECT_EQ(Rows(), (std::set{first + ":6", taro_.code + ":1"}));
}

TEST_F(KikouHoldingTest, AMessageIsTakenOnceAndAGapIsAnsweredWithWhatIsExpected) {
  const kikou::Notices first = Message({Birth(hanako_, kMaebashi)});
  const KikouHolding::Taken taken = Take(first).value();
  EXPECT_EQ(taken.expected, Position(2));
  kikou::Notices longer = first;
  longer.set_last_position(9);
  for (const kikou::Notices& again : {first, longer}) EXPECT_EQ(Take(again).value().acknowledgement, taken.acknowledgement);
  for (const std::uint64_t elsewhere : {1, 3}) {
    kikou::Notices message = Message({Birth(taro_, kMaebashi)});
    message.mutable_notices(0)->set_position(elsewhere);
    message.set_first_position(elsewhere);
    message.set_last_position(elsewhere);
    const KikouHolding::Taken refused = Take(message).value();
    EXPECT_FALSE(refused.acknowledgement);
    EXPECT_EQ(refused.expected, Position(2));
  }
  kikou::Notices foreign = Message({Birth(taro_, kMaebashi)});
  foreign.set_ledger(std::string(16, 'x'));
  EXPECT_EQ(Take(foreign).status().message(), "ledger: another is known here");
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":1"});
  EXPECT_EQ(holding_->messages().value(), 1u);
}

TEST_F(KikouHoldingTest, ANoticeThatItCannotTakeIsRefusedByItself) {
  v1::UpdateNotice wrong = Birth(taro_, kMaebashi);
  wrong.set_resident_code("12345678901");
  const kikou::Acknowledgement ack = Tell({Birth(hanako_, kMaebashi), wrong});
  ASSERT_EQ(ack.refused_size(), 1);
  EXPECT_EQ(ack.refused(0).position(), ack.last_position());
  EXPECT_EQ(ack.refused(0).code(), "check_digit");
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":1"});
}

TEST_F(KikouHoldingTest, FindsByNumbersAndByWhatTheRecordSaysNow) {
  Tell({Birth(hanako_, kMaebashi), Birth(taro_, kMaebashi)});
  const std::string former = hanako_.number;
  Tell({NumberChange(hanako_, 77, 2, kMaebashi)});
  EXPECT_EQ(Matches([&](auto& c) { c.set_individual_number(former); }), 0u);
  EXPECT_EQ(Matches([&](auto& c) { c.set_individual_number(hanako_.number); }), 1u);
  EXPECT_EQ(Matches([&](auto& c) { c.set_resident_code(taro_.code); }), 1u);
  EXPECT_EQ(Matches([](auto& c) { c.set_name("渡辺"); }), 2u);  // 異体字
  EXPECT_EQ(Matches([](auto& c) { c.set_kana("ワタナベ"); }), 2u);
  EXPECT_EQ(Matches([](auto& c) {
              c.set_name("渡邊");
              c.set_birth("1988-03");
            }),
            0u);
  EXPECT_EQ(Matches([](auto& c) {
              c.set_name("渡邊");
              c.set_address("大手町2番地");
            }),
            1u);
}

TEST_F(KikouHoldingTest, OthersAreFoundAndLeaveWhenTheyMoveIn) {
  std::vector<v1::HeldCopy> others = MakeOthers(20, 3);
  EXPECT_EQ(others.size(), 20u);
  others.push_back(HeldRow(Birth(hanako_, "131016")));
  const auto make = [&]() -> Result<std::vector<v1::HeldCopy>> { return others; };
  ASSERT_TRUE(holding_->ReplaceOthers("a", make).ok());
  const auto found = [&] { return Matches([&](auto& c) { c.set_individual_number(hanako_.number); }); };
  EXPECT_EQ(found(), 1u);
  EXPECT_EQ(Rows(), std::set<std::string>());
  Tell({MoveIn(hanako_, 2, kMaebashi)});
  EXPECT_EQ(found(), 1u);
  EXPECT_EQ(Rows(), std::set{hanako_.code + ":2"});
  ASSERT_TRUE(holding_->ReplaceOthers("b", make).ok());
  EXPECT_EQ(holding_->Find(hanako_.code)->update_number(), 2u);
}

TEST_F(KikouHoldingTest, WhatGoesWrongIsWhatItTells) {
  std::vector<v1::UpdateNotice> notices;
  for (int i = 10; i < 60; ++i) {
    const Person person(i);
    notices.push_back(Birth(person, kMaebashi));
    if (i % 2 == 0) notices.push_back(AddressChange(person, 2, kMaebashi));
  }
  Tell(notices);
  const auto of = [&](const nlohmann::json& line) { return holding_->Find(line["resident_code"]); };
  const auto held = [&] {
    std::map<std::string, std::string> out;
    EXPECT_TRUE(holding_->ForEach([&](const v1::HeldCopy& row) {
                  out[row.resident_code()] = row.SerializeAsString();
                  return Status();
                }).ok());
    return out;
  };
  // Exactly those told are another than before.
  for (const char* kind : {"drop", "alter", "glyph", "reorder", "removed", "duplicate"}) {
    const auto before = held();
    const auto told = Drift(kind, 3, 5);
    ASSERT_EQ(told.size(), 3u) << kind;
    std::set<std::string> hit, changed;
    for (const auto& line : told) hit.insert(line[std::string(kind) == "duplicate" ? "copy" : "resident_code"]);
    const auto after = held();
    for (const auto& [code, row] : before) {
      if (!after.contains(code) || after.at(code) != row) changed.insert(code);
    }
    for (const auto& [code, row] : after) {
      if (!before.contains(code)) changed.insert(code);
    }
    EXPECT_EQ(changed, hit) << kind;
    for (const auto& line : told) {
      if (line.contains("removed")) {
        EXPECT_EQ(of(line)->removed(), line["removed"]);
      }
      if (line.contains("update_number")) {
        EXPECT_EQ(of(line)->update_number(), line["update_number"]);
      }
    }
  }
  // Where there are fewer than asked for, as many as there are.
  const std::size_t left = Rows().size();
  EXPECT_EQ(Drift("drop", 1'000).size(), left);
}

TEST_F(KikouHoldingTest, ComingNoticesAreLostOrWait) {
  EXPECT_TRUE(Drift("lose", 1).empty());
  EXPECT_TRUE(Drift("delay", 1).empty());
  Tell({Birth(hanako_, kMaebashi)});
  Tell({Birth(taro_, kMaebashi), Birth(Person(3), kMaebashi)});
  EXPECT_EQ(Rows(), std::set{CodeOf(3) + ":1"});
  const auto released = Drift("release");
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0]["resident_code"], taro_.code);
  EXPECT_EQ(Rows(), (std::set{CodeOf(2) + ":1", CodeOf(3) + ":1"}));
}

TEST_F(KikouHoldingTest, TheSameSeedHitsTheSame) {
  std::vector<v1::UpdateNotice> notices;
  for (int i = 10; i < 60; ++i) notices.push_back(Birth(Person(i), kMaebashi));
  Tell(notices);
  const auto first = Drift("removed", 5, 9);
  EXPECT_EQ(Drift("removed", 5, 9).size(), 5u);
  std::set<std::string> a, b;
  for (const auto& line : first) a.insert(line["resident_code"]);
  for (const auto& line : Drift("removed", 5, 9)) b.insert(line["resident_code"]);
  EXPECT_EQ(a, b);
  EXPECT_EQ(ApplyDrift(*holding_, kikou::Drift()).status().message(), "count: at least 1");
}

}  // namespace
}  // namespace daicho
