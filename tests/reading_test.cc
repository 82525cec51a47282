// Nothing is shown before its record is in the ledger. Method: an operator of a real prefecture
// asks; what stands in the ledger afterwards is opened and compared with what was shown, and with
// the same question evaluated again at the position that the event names.
#include "consumers/reading.h"

#include <gtest/gtest.h>

#include "consumers/node.h"
#include "tests/retaining.h"

namespace daicho {
namespace {

class ReadingTest : public ::testing::Test {
 protected:
  ReadingTest() {
    p_.Found();
    const std::string records = RoleIssuer(Prefecture::kNumber, "records");
    v1::RoleDefined reader = Role("reader");
    v1::RoleDefined historian = Role("historian");
    historian.add_permissions(v1::PERMISSION_READ_HISTORY);
    p_.Submit(Prefecture::Registrar(),
              {p_.Registration(records, v1::ISSUER_ROLE_RECORDS),
               Administration(v1::EVENT_KIND_ROLE_DEFINED, reader.SerializeAsString()),
               Administration(v1::EVENT_KIND_ROLE_DEFINED, historian.SerializeAsString()),
               Operator("sato", "historian"), Operator("suzuki", "reader")});
    p_.Notify(kMaebashi, {Birth(hanako_, kMaebashi)});
    p_.Notify(kMaebashi, {AddressChange(hanako_, 2, kMaebashi)});
    ProjectorOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p_.ledger_id();
    o.registrar_public_key = p_.registrar_key().public_key();
    o.dir = p_.Path("file");
    o.log = &p_.log();
    o.keys = &p_.key_store();
    o.matching = Matching::Shipped();
    projector_ = Projector::Open(std::move(o)).value();
    EXPECT_TRUE(projector_->CatchUp().ok());
    reading_ = std::make_unique<Reading>(ReadingOptions{
        p_.ledger_id(), [this] { return std::shared_ptr<const Projector>(projector_); }, &p_.clock(), [this, records](const DraftEvent& event) {
          if (!ledger_answers_) return Unavailable("no sequencer");
          const v1::Receipt receipt = p_.Submit(records, {event});
          EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
          return Status();
        }});
  }

  static v1::RoleDefined Role(const std::string& name) {
    v1::RoleDefined role;
    role.set_role(name);
    role.add_duties("5-1");
    role.add_permissions(v1::PERMISSION_READ_RECORD);
    role.add_permissions(v1::PERMISSION_SEARCH);
    return role;
  }
  DraftEvent Operator(const std::string& id, const std::string& role,
                      const std::function<void(v1::OperatorRegistered&)>& change = {}) {
    keys_[id] = SigningKey::Generate();
    v1::OperatorRegistered registered;
    registered.set_operator_id(id);
    registered.set_public_key(std::string(View(keys_[id].public_key())));
    registered.add_roles(role);
    if (change) change(registered);
    return Administration(v1::EVENT_KIND_OPERATOR_REGISTERED, registered.SerializeAsString());
  }

  void Administer(const DraftEvent& event) {
    EXPECT_EQ(p_.Submit(Prefecture::Registrar(), {event}).outcome(), v1::OUTCOME_ADMITTED);
    EXPECT_TRUE(projector_->CatchUp().ok());
    ++size_;
  }
  void Register(const std::string& id, const std::function<void(v1::OperatorRegistered&)>& change) {
    Administer(Operator(id, "reader", change));
  }

  // Sato asks for Hanako by her code.
  v1::ReadRequest Request() {
    v1::ReadRequest request;
    request.set_version(1);
    request.set_ledger(std::string(View(p_.ledger_id())));
    request.set_operator_id("sato");
    request.set_duty("5-1");
    request.set_purpose("case 7");
    request.mutable_condition()->set_resident_code(hanako_.code);
    request.set_requested_at(p_.clock().Now().value());
    request.set_nonce(std::string(View(RandomArray<16>())));
    return request;
  }
  Result<std::string> Ask(const v1::ReadRequest& request) {
    return Ask(request, keys_[request.operator_id()]);
  }
  Result<std::string> Ask(const v1::ReadRequest& request, const SigningKey& key) {
    const std::string bytes = request.SerializeAsString();
    auto answer = reading_->Read(bytes, key.Sign(std::string(kReadRequestTag) + bytes));
    if (!answer.ok()) return answer.status();
    return std::move(answer->lines);
  }
  // The code, and the reason recorded: "denied 3". Nothing may be recorded but one event.
  std::string Refusal(const Result<std::string>& answer) {
    const v1::SearchPerformed event = LastEvent();
    EXPECT_EQ(event.result_count(), 0);
    EXPECT_EQ(event.result_digest(), View(Sha256Of({""})));
    return std::string(CodeName(answer.status().code())) + " " + std::to_string(event.refusal());
  }
  v1::SearchPerformed LastEvent() {
    const auto entries = p_.Entries();
    EXPECT_EQ(entries.size(), ++size_) << "one event per reading";
    v1::SearchPerformed event;
    EXPECT_EQ(entries.back().header.kind(), v1::EVENT_KIND_SEARCH);
    EXPECT_TRUE(event.ParseFromString(p_.Open(entries.back()).value()));
    return event;
  }
  void ExpectNotRecorded() { EXPECT_EQ(p_.Size(), size_); }

  Prefecture p_;
  const Person hanako_{1};
  std::map<std::string, SigningKey> keys_;
  std::shared_ptr<Projector> projector_;
  std::unique_ptr<Reading> reading_;
  bool ledger_answers_ = true;
  std::uint64_t size_ = 10;  // entries
};

TEST_F(ReadingTest, WhatIsShownIsInTheLedgerWithWhoAskedAndWhy) {
  const v1::ReadRequest request = Request();
  const std::string shown = Ask(request).value();
  EXPECT_NE(shown.find(hanako_.code), std::string::npos);
  const v1::SearchPerformed event = LastEvent();
  EXPECT_EQ(event.operator_id(), "sato");
  EXPECT_EQ(event.duty(), "5-1");
  EXPECT_EQ(event.purpose(), "case 7");
  EXPECT_EQ(event.condition().resident_code(), hanako_.code);
  EXPECT_EQ(event.operator_request(), request.SerializeAsString());
  EXPECT_TRUE(VerifyingKey::From(keys_["sato"].public_key())
                  ->Verify(std::string(kReadRequestTag) + event.operator_request(),
                           event.operator_signature())
                  .ok());
  EXPECT_EQ(event.evaluated_at(), 9);
  EXPECT_EQ(event.result_count(), 1);
  EXPECT_EQ(event.result_digest(), View(Sha256Of({shown})));
  EXPECT_EQ(event.refusal(), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST_F(ReadingTest, TheReadingIsFiledUnderThePersonRead) {
  ASSERT_TRUE(Ask(Request()).ok());
  const auto entries = p_.Entries();
  EXPECT_EQ(entries.back().leaf.keys(0).subject(), entries[9].leaf.keys(0).subject());
  EXPECT_NE(entries.back().leaf.keys(0).slot(), entries[9].leaf.keys(0).slot())
      << "kept for another time";
}

TEST_F(ReadingTest, NothingIsShownWhenItCannotBeRecorded) {
  ledger_answers_ = false;
  EXPECT_EQ(Ask(Request()).status().code(), Code::kUnavailable);
  ExpectNotRecorded();
}

TEST_F(ReadingTest, TheSameQuestionAtThePositionOfTheEventGivesTheSameBytes) {
  const std::string shown = Ask(Request()).value();
  const v1::SearchPerformed event = LastEvent();
  p_.Notify(kMaebashi, {AddressChange(hanako_, 3, kMaebashi)});
  ++size_;
  ASSERT_TRUE(projector_->CatchUp().ok());
  EXPECT_NE(Ask(Request()).value(), shown);
  v1::ReadRequest again = Request();
  again.set_position(event.evaluated_at());
  again.set_on_date(event.on_date());
  EXPECT_EQ(Ask(again).value(), shown);
}

TEST_F(ReadingTest, APersonIsFoundByNumberAndHandleToo) {
  const std::string shown = Ask(Request()).value();
  v1::ReadRequest by_number = Request();
  by_number.mutable_condition()->clear_resident_code();
  by_number.mutable_condition()->set_individual_number(hanako_.number);
  EXPECT_EQ(Ask(by_number).value(), shown);
  v1::ReadRequest by_handle = Request();
  by_handle.mutable_condition()->clear_resident_code();
  by_handle.mutable_condition()->set_subject(p_.Entries()[9].leaf.keys(0).subject());
  EXPECT_EQ(Ask(by_handle).value(), shown);
}

TEST_F(ReadingTest, AHistoryHasALineForEveryVersion) {
  v1::ReadRequest request = Request();
  request.set_history(true);
  const std::string shown = Ask(request).value();
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 2);
  EXPECT_EQ(LastEvent().result_count(), 2);
}

TEST_F(ReadingTest, AReadingThatFindsNobodyIsRecorded) {
  v1::ReadRequest request = Request();
  request.mutable_condition()->set_resident_code(CodeOf(99));
  EXPECT_EQ(Refusal(Ask(request)), "not found 0");
}

TEST_F(ReadingTest, AReadingAsOfADayBeforeTheLedgerIsRecordedToo) {
  v1::ReadRequest request = Request();
  request.set_date("2020-01-01");
  EXPECT_EQ(Refusal(Ask(request)), "not found 0");
}

TEST_F(ReadingTest, AsOfADateIsWhatWasKnownAtItsEnd) {
  v1::ReadRequest request = Request();
  request.set_date("2026-11-24");
  const std::string shown = Ask(request).value();
  EXPECT_EQ(LastEvent().evaluated_at(), 9);
  EXPECT_NE(shown.find("\"update_number\":2"), std::string::npos);
}

// --- searching -----------------------------------------------------------------------------------

class SearchingTest : public ReadingTest {
 protected:
  SearchingTest() {
    v1::PolicyRules rules = Retaining::Rules();
    v1::SearchRule& rule = *rules.add_search_rules();
    rule.set_duty("5-1");
    rule.set_items_min(2);
    rule.set_results_max(2);
    v1::PolicySet policy;
    policy.set_rules(rules.SerializeAsString());
    Administer(Administration(v1::EVENT_KIND_POLICY_SET, policy.SerializeAsString()));
    for (const int number : {2, 3, 4}) p_.Notify(kMaebashi, {Birth(Person{number}, kMaebashi)});
    size_ += 3;
    EXPECT_TRUE(projector_->CatchUp().ok());
  }
  v1::ReadRequest ByName() {
    v1::ReadRequest request = Request();
    request.clear_condition();
    const v1::ResidentRecord record = Birth(hanako_, kMaebashi).record();
    request.mutable_condition()->set_name(record.name());
    request.mutable_condition()->set_birth(record.birth());
    return request;
  }
  static std::vector<std::string> Lines(const std::string& text) {
    std::vector<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  static std::string Denied(v1::RefusalReason reason) { return "denied " + std::to_string(reason); }
};

TEST_F(SearchingTest, ASearchIsInTheLedgerWithItsConditionAndItsResult) {
  const v1::ReadRequest request = ByName();
  const std::string shown = Ask(request).value();
  const v1::SearchPerformed event = LastEvent();
  EXPECT_EQ(event.condition().name(), request.condition().name());
  EXPECT_EQ(event.result_count(), 2);
  EXPECT_EQ(event.result_digest(), View(Sha256Of({shown})));
  EXPECT_EQ(event.evaluated_at(), size_ - 2);
  EXPECT_EQ(event.matching(), Matching::Shipped()->id());
}

TEST_F(SearchingTest, NoMoreIsShownThanTheRuleLetsAndTheRestOnDemand) {
  const auto first = Lines(Ask(ByName()).value());
  ASSERT_EQ(first.size(), 3U);
  EXPECT_EQ(first[2], "{\"more\":true,\"after\":\"13:2:search_names\"}");
  v1::ReadRequest rest = ByName();
  rest.set_position(13);
  rest.set_skip(2);
  rest.set_led_by("search_names");
  const auto second = Lines(Ask(rest).value());
  ASSERT_EQ(second.size(), 2U);
  EXPECT_EQ(std::set<std::string>({first[0], first[1], second[0], second[1]}).size(), 4U);
}

TEST_F(SearchingTest, ATooBroadConditionIsRefusedAndRecorded) {
  v1::ReadRequest request = ByName();
  request.mutable_condition()->clear_birth();
  EXPECT_EQ(Refusal(Ask(request)), Denied(v1::REFUSAL_REASON_CONDITION));
  request = ByName();
  request.mutable_condition()->clear_birth();
  request.mutable_condition()->set_municipality(kMaebashi);
  EXPECT_EQ(Refusal(Ask(request)), Denied(v1::REFUSAL_REASON_CONDITION)) << "the municipality only narrows";
  request = ByName();
  request.mutable_condition()->set_name_match(v1::NAME_MATCH_INFIX);
  EXPECT_EQ(Refusal(Ask(request)), Denied(v1::REFUSAL_REASON_CONDITION));
  request = ByName();
  request.mutable_condition()->set_former(true);
  EXPECT_EQ(Refusal(Ask(request)), Denied(v1::REFUSAL_REASON_CONDITION));
}

TEST_F(SearchingTest, SearchingNeedsItsOwnPermission) {
  v1::RoleDefined role = Role("reader");
  role.clear_permissions();
  role.add_permissions(v1::PERMISSION_READ_RECORD);
  Administer(Administration(v1::EVENT_KIND_ROLE_DEFINED, role.SerializeAsString()));
  v1::ReadRequest request = ByName();
  request.set_operator_id("suzuki");
  EXPECT_EQ(Refusal(Ask(request)), Denied(v1::REFUSAL_REASON_PERMISSION));
}

TEST_F(SearchingTest, WhomNobodyMatchesIsRecordedToo) {
  v1::ReadRequest request = ByName();
  request.mutable_condition()->set_name("誰某");
  EXPECT_EQ(Refusal(Ask(request)), "not found 0");
}

TEST_F(SearchingTest, WhatCannotBeAskedIsNotRecorded) {
  v1::ReadRequest request = ByName();
  request.mutable_condition()->set_birth("1988-13");
  EXPECT_EQ(Ask(request).status().code(), Code::kInvalid);
  request = ByName();
  request.set_history(true);
  EXPECT_EQ(Ask(request).status().code(), Code::kInvalid);
  request = ByName();
  request.set_led_by("search_names(kana)");
  EXPECT_EQ(Ask(request).status().code(), Code::kInvalid);
  ExpectNotRecorded();
}

TEST_F(ReadingTest, ADutyWithoutARuleMayNotSearch) {
  v1::ReadRequest request = Request();
  request.clear_condition();
  request.mutable_condition()->set_name("渡邊");
  request.mutable_condition()->set_birth("1988-02-29");
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_CONDITION));
}

// --- refusals ------------------------------------------------------------------------------------

TEST_F(ReadingTest, AnUnknownOperatorIsRefusedAndRecorded) {
  v1::ReadRequest request = Request();
  request.set_operator_id("nobody");
  EXPECT_EQ(Refusal(Ask(request, keys_["sato"])),
            "denied " + std::to_string(v1::REFUSAL_REASON_UNKNOWN_OPERATOR));
}

TEST_F(ReadingTest, AnothersSignatureIsRefusedAndRecorded) {
  EXPECT_EQ(Refusal(Ask(Request(), keys_["suzuki"])),
            "denied " + std::to_string(v1::REFUSAL_REASON_SIGNATURE));
}

TEST_F(ReadingTest, ARequestIsAnsweredOnce) {
  const v1::ReadRequest request = Request();
  ASSERT_TRUE(Ask(request).ok());
  ++size_;
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_STALE_REQUEST));
}

TEST_F(ReadingTest, ARequestIsGoodForFiveMinutesEitherWay) {
  const std::string stale = "denied " + std::to_string(v1::REFUSAL_REASON_STALE_REQUEST);
  const std::int64_t life = std::chrono::microseconds(kRequestLife).count();
  const auto ask_at = [&](std::int64_t at) {
    v1::ReadRequest request = Request();
    request.set_requested_at(at);
    return Refusal(Ask(request));
  };
  EXPECT_EQ(ask_at(p_.clock().Now().value() - life - 1), stale);
  EXPECT_EQ(ask_at(p_.clock().Now().value() + life + 1), stale);
  EXPECT_EQ(ask_at(std::numeric_limits<std::int64_t>::min()), stale);
  EXPECT_EQ(ask_at(0), stale);
  v1::ReadRequest early = Request();
  early.set_requested_at(p_.clock().Now().value() + life);
  EXPECT_TRUE(Ask(early).ok());
}

TEST_F(ReadingTest, ANonceOfAnotherSizeIsRefused) {
  v1::ReadRequest request = Request();
  request.set_nonce("short");
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_STALE_REQUEST));
}

TEST_F(ReadingTest, ADutyThatIsNotTheOperatorsIsRefusedAndRecorded) {
  v1::ReadRequest request = Request();
  request.set_duty("99-9");
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_DUTY));
}

TEST_F(ReadingTest, AHistoryNeedsItsOwnPermission) {
  v1::ReadRequest request = Request();
  request.set_operator_id("suzuki");
  ASSERT_TRUE(Ask(request).ok());
  ++size_;
  request = Request();
  request.set_operator_id("suzuki");
  request.set_history(true);
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_PERMISSION));
}

TEST_F(ReadingTest, AnOperatorActsOnlyAtItsTerminals) {
  Register("ito", [](auto& o) { o.add_terminals("T-1"); });
  v1::ReadRequest request = Request();
  request.set_operator_id("ito");
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_TERMINAL));
  request = Request();
  request.set_operator_id("ito");
  request.set_terminal("T-2");
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_TERMINAL));
  request = Request();
  request.set_operator_id("ito");
  request.set_terminal("T-1");
  EXPECT_TRUE(Ask(request).ok());
}

TEST_F(ReadingTest, AnOperatorActsUntilItsLastDayInJapan) {
  Register("ito", [](auto& o) { o.set_valid_until("2026-11-24"); });
  const auto ask = [&] {
    v1::ReadRequest request = Request();
    request.set_operator_id("ito");
    return Ask(request);
  };
  EXPECT_TRUE(ask().ok());
  ++size_;
  p_.clock().Advance(std::chrono::hours(24));
  EXPECT_EQ(Refusal(ask()), "denied " + std::to_string(v1::REFUSAL_REASON_UNKNOWN_OPERATOR));
}

TEST_F(ReadingTest, ARevokedKeyReadsNothingMore) {
  Register("ito", [](auto&) {});
  v1::KeyChanged revoked;
  revoked.set_use(v1::KEY_USE_OPERATOR);
  revoked.set_holder("ito");
  revoked.set_action(v1::KEY_ACTION_REVOKE);
  revoked.set_old_key_id(NoteKeyId("ito", keys_["ito"].public_key()));
  revoked.set_reason("left");
  Administer(Administration(v1::EVENT_KIND_KEY_CHANGED, revoked.SerializeAsString()));
  v1::ReadRequest request = Request();
  request.set_operator_id("ito");
  EXPECT_EQ(Refusal(Ask(request)), "denied " + std::to_string(v1::REFUSAL_REASON_UNKNOWN_OPERATOR));
}

TEST_F(ReadingTest, ARequestThatCannotBeReadIsInvalidAndNobodysToRecord) {
  const auto code = [&](const std::function<void(v1::ReadRequest&)>& change) {
    v1::ReadRequest request = Request();
    change(request);
    return Ask(request, keys_["sato"]).status().code();
  };
  EXPECT_EQ(code([](auto& r) { r.set_version(2); }), Code::kInvalid);
  EXPECT_EQ(code([](auto& r) { r.set_ledger("another"); }), Code::kInvalid);
  EXPECT_EQ(code([](auto& r) { r.clear_condition(); }), Code::kInvalid);
  EXPECT_EQ(code([](auto& r) { r.set_on_date("2026-02-30"); }), Code::kInvalid);
  EXPECT_EQ(code([](auto& r) { r.set_date("yesterday"); }), Code::kInvalid);
  EXPECT_EQ(code([](auto& r) { r.set_position(1'000); }), Code::kInvalid);
  EXPECT_EQ(reading_->Read("\xff", "").status().code(), Code::kInvalid);
  ExpectNotRecorded();
}

}  // namespace
}  // namespace daicho
