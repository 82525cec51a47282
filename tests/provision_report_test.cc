// What officials read of the provision register. Method: provisions are admitted by a real sequencer; what is listed and
// counted is compared with what was told. Of one resident nothing is shown before the reading is in the ledger, and only to
// who audits or discloses.
#include "consumers/provision_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "consumers/node.h"
#include "consumers/reading.h"
#include "tests/provisions.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

class ProvisionReportTest : public ProvisionsTest {
 protected:
  // Waits for noon of that day.
  void Wait(const std::string& day) {
    const TimeMicros noon(StartOfDay(ParseDate(day).value()).value() + 12 * 3'600'000'000ll);
    p().clock().Advance(std::chrono::microseconds(noon.value() - p().clock().Now().value()));
  }
  static v1::Provision Counted(v1::Provision provision, int found, int none, int multiple, int refused) {
    provision.set_found_count(static_cast<std::uint64_t>(found));
    provision.set_none_count(static_cast<std::uint64_t>(none));
    provision.set_multiple_count(static_cast<std::uint64_t>(multiple));
    provision.set_refused_count(static_cast<std::uint64_t>(refused));
    return provision;
  }
  std::string Listed(const std::function<void(node::ListProvisions&)>& ask) {
    const auto projector = r_.CaughtUp("file");
    node::ListProvisions asked;
    ask(asked);
    std::string out;
    do {
      const ProvisionPage page = ListProvisions(*projector, asked).value();
      std::istringstream lines(page.lines);
      for (std::string line; std::getline(lines, line);) out += ordered_json::parse(line)["position"].dump() + " ";
      asked.set_first(page.next ? page.next->value() : 0);
    } while (asked.first() != 0);
    return out;
  }
  // The data lines of the CSV.
  std::vector<std::string> Csv(const std::string& from, const std::string& to) {
    node::CountProvisions asked;
    asked.set_from(from);
    asked.set_to(to);
    std::string text = CountsCsv(CountsJson(CountProvisions(*r_.CaughtUp("file"), asked).value()));
    EXPECT_TRUE(text.starts_with("\xEF\xBB\xBF\"提供先\""));
    std::vector<std::string> out;
    while (!text.empty()) {
      const std::size_t end = text.find("\r\n");
      EXPECT_NE(end, std::string::npos);
      out.push_back(text.substr(0, end));
      text.erase(0, end + 2);
    }
    out.erase(out.begin());
    return out;
  }
  static std::string Words(const std::vector<Position>& positions) {
    std::string out;
    for (const Position position : positions) out += std::to_string(position.value()) + " ";
    return out;
  }
};

TEST_F(ProvisionReportTest, ListsByAgencyBasisKindAndDay) {
  Wait("2026-11-30");
  const Position a = Provide(Provision("boe", "1"), {Result(1)});
  Wait("2026-12-01");
  v1::Provision other = Provision("tax", "1");
  other.set_basis("30-15-1/5-tax");
  const Position b = Provide(other, {Result(1)}, v1::EVENT_KIND_TRANSFER);
  const Position c = Provide(Provision("boe", "2"), {Result(2)});
  EXPECT_EQ(Listed([](auto&) {}), Words({a, b, c}));
  EXPECT_EQ(Listed([](auto& asked) { asked.set_agency("boe"); }), Words({a, c}));
  EXPECT_EQ(Listed([](auto& asked) { asked.set_basis("30-15-1/5-tax"); }), Words({b}));
  EXPECT_EQ(Listed([](auto& asked) { asked.set_kind(v1::EVENT_KIND_TRANSFER); }), Words({b}));
  EXPECT_EQ(Listed([](auto& asked) { asked.set_to("2026-11-30"); }), Words({a}));
  EXPECT_EQ(Listed([](auto& asked) { asked.set_from("2026-12-01"); }), Words({b, c}));
  EXPECT_EQ(Listed([](auto& asked) { asked.set_from("2026-12-02"); }), "");
  EXPECT_EQ(Listed([](auto& asked) { asked.set_to("2026-01-01"); }), "");
  node::ListProvisions wrong;
  wrong.set_from("yesterday");
  EXPECT_EQ(ListProvisions(*r_.CaughtUp("file"), wrong).status().code(), Code::kInvalid);
}

TEST_F(ProvisionReportTest, ALineSaysWhatTheEventSaysAndWhetherItWasConfirmedButNamesNoPerson) {
  v1::Provision provision = Counted(Provision("boe", "R8-0001"), 1, 1, 0, 0);
  provision.set_duty("6-3-1");
  provision.set_requested_at(ParseTimestamp("2026-11-24T10:00:00+09:00")->value());
  auto found = Result(1);
  found.second.mutable_condition()->set_individual_number("123456789018");
  const Position position = Provide(provision, {found, Result(2, v1::ANSWER_OUTCOME_NONE)});
  const Position confirmed = Confirm(told_.back());
  const std::string line = ListProvisions(*r_.CaughtUp("file"), {}).value().lines;
  const auto said = ordered_json::parse(line);
  EXPECT_EQ(said["position"], position.value());
  EXPECT_EQ(said["kind"], "provision");
  EXPECT_EQ(said["basis"], "30-15-2/6-3");
  EXPECT_EQ(said["duty"], "6-3-1");
  EXPECT_EQ(said["mode"], "batch");
  EXPECT_EQ(said["method"], "line");
  EXPECT_EQ(said["requested_at"], "2026-11-24T10:00:00+09:00");
  EXPECT_EQ(said["found"], 1);
  EXPECT_EQ(said["confirmed_at"], confirmed.value());
  EXPECT_EQ(line.find("123456789018"), std::string::npos);
  EXPECT_EQ(line.find(ToHex(View(HandleOf(1)))), std::string::npos);
}

TEST_F(ProvisionReportTest, PagesOfManyEventsJoin) {
  std::vector<DraftEvent> events;
  for (int i = 0; i < 1'005; ++i) {
    DraftEvent event;
    event.kind = v1::EVENT_KIND_PROVISION;
    event.retention = v1::RETENTION_CLASS_OPERATION;
    event.payload = Counted(Provision("boe", std::to_string(i)), 1, 0, 0, 0).SerializeAsString();
    events.push_back(event);
  }
  const v1::Receipt receipt = p().Submit(Provider(), events);
  std::vector<Position> positions;
  for (auto at = receipt.first_position(); at <= receipt.last_position(); ++at) positions.push_back(Position(at));
  EXPECT_EQ(Listed([](auto&) {}), Words(positions));
  EXPECT_EQ(Csv("2026-11-01", "2026-11-30"),
            std::vector<std::string>{"\"boe\",\"\",\"提供\",\"2026-11\",\"30-15-2/6-3\",\"電気通信回線\",1005,0,1005,0,0,0,0"});
}

TEST_F(ProvisionReportTest, CountsByAgencyMonthBasisAndMethod) {
  Wait("2026-11-30");
  Provide(Counted(Provision("boe", "1"), 2, 1, 0, 1), {});
  v1::Provision second_chunk = Counted(Provision("boe", "1"), 1, 0, 2, 0);
  second_chunk.set_chunk(1);
  Provide(second_chunk, {});
  v1::Provision refused = Provision("boe", "2");
  refused.set_refusal(v1::REFUSAL_REASON_DUTY);
  Provide(refused, {});
  v1::Provision follow_up = Counted(Provision("boe", "3", v1::PROVISION_MODE_STANDING), 1, 0, 0, 0);
  follow_up.set_cause_position(7);
  Provide(follow_up, {});
  v1::Provision medium = Counted(Provision("tax", "1"), 5, 0, 0, 0);
  medium.set_method(v1::DELIVERY_METHOD_MEDIUM);
  medium.set_basis("=1+1");
  Provide(medium, {}, v1::EVENT_KIND_TRANSFER);
  Wait("2026-12-01");
  Provide(Counted(Provision("boe", "4"), 0, 1, 0, 0), {});
  const std::string november = "\"boe\",\"\",\"提供\",\"2026-11\",\"30-15-2/6-3\",\"電気通信回線\",1,1,4,1,2,1,1";
  const std::string december = "\"boe\",\"\",\"提供\",\"2026-12\",\"30-15-2/6-3\",\"電気通信回線\",1,0,0,1,0,0,0";
  const std::string transfer = "\"tax\",\"\",\"移転\",\"2026-11\",\"'=1+1\",\"磁気ディスク\",1,0,5,0,0,0,0";
  EXPECT_EQ(Csv("2026-04-01", "2027-03-31"), (std::vector<std::string>{november, december, transfer}));
  EXPECT_EQ(Csv("2026-12-01", "2026-12-31"), std::vector<std::string>{december});
  EXPECT_EQ(Csv("2025-04-01", "2026-03-31"), std::vector<std::string>{});
}

// --- of one resident -----------------------------------------------------------------------------

class ReadProvisionsTest : public ProvisionReportTest {
 protected:
  ReadProvisionsTest() {
    std::vector<DraftEvent> events;
    for (const auto& [name, permission] : std::map<std::string, v1::Permission>{
             {"auditor", v1::PERMISSION_AUDIT}, {"discloser", v1::PERMISSION_DISCLOSE}, {"reader", v1::PERMISSION_READ_RECORD}}) {
      v1::RoleDefined role;
      role.set_role(name);
      role.add_duties("5-1");
      role.add_permissions(permission);
      events.push_back(Administration(v1::EVENT_KIND_ROLE_DEFINED, role.SerializeAsString()));
      keys_[name] = SigningKey::Generate();
      v1::OperatorRegistered registered;
      registered.set_operator_id(name);
      registered.set_public_key(std::string(View(keys_[name].public_key())));
      registered.add_roles(name);
      events.push_back(Administration(v1::EVENT_KIND_OPERATOR_REGISTERED, registered.SerializeAsString()));
    }
    Retaining::ExpectAdmitted(p().Submit(Prefecture::Registrar(), events));
    r_.Admit(Birth(hanako_, kMaebashi));
    hanako_handle_ = p().Entries().back().leaf.keys(0).subject();
  }

  v1::ReadRequest Request(const std::string& operator_id) {
    v1::ReadRequest request;
    request.set_version(1);
    request.set_ledger(std::string(View(p().ledger_id())));
    request.set_operator_id(operator_id);
    request.set_duty("5-1");
    request.mutable_condition()->set_resident_code(hanako_.code);
    request.set_requested_at(p().clock().Now().value());
    request.set_nonce(std::string(View(RandomArray<16>())));
    return request;
  }
  // What is shown; "denied 6" with the reason that is recorded.
  std::string Ask(const v1::ReadRequest& request, std::string_view tag = kReadProvisionsTag) {
    const std::shared_ptr<const Projector> projector = r_.CaughtUp("reading");
    Reading reading({p().ledger_id(), [&] { return projector; }, &p().clock(), [&](const DraftEvent& event) {
                       if (!ledger_answers_) return Unavailable("no sequencer");
                       Retaining::ExpectAdmitted(p().Submit(Retaining::Records(), {event}));
                       return Status();
                     }});
    const std::string bytes = request.SerializeAsString();
    const auto answer =
        reading.ReadProvisions(bytes, keys_[request.operator_id()].Sign(std::string(tag) + bytes));
    if (answer.ok()) return answer->lines;
    if (answer.status().code() != Code::kDenied) return std::string(CodeName(answer.status().code()));
    return "denied " + std::to_string(LastEvent().refusal());
  }
  v1::SearchPerformed LastEvent() {
    const auto entries = p().Entries();
    v1::SearchPerformed event;
    EXPECT_EQ(entries.back().header.kind(), v1::EVENT_KIND_SEARCH);
    EXPECT_TRUE(event.ParseFromString(p().Open(entries.back()).value()));
    return event;
  }
  Position ProvideHanako(v1::Provision provision) {
    provision.set_result_count(1);
    DraftEvent event;
    event.kind = v1::EVENT_KIND_PROVISION;
    event.retention = v1::RETENTION_CLASS_OPERATION;
    event.payload = provision.SerializeAsString();
    event.further.push_back({Result(1).second.SerializeAsString(), hanako_handle_});
    const v1::Receipt receipt = p().Submit(Provider(), {event});
    Retaining::ExpectAdmitted(receipt);
    return Position(receipt.first_position());
  }

  const Person hanako_{1};
  std::string hanako_handle_;
  std::map<std::string, SigningKey> keys_;
  bool ledger_answers_ = true;
};

TEST_F(ReadProvisionsTest, WhatIsShownIsInTheLedgerUnderThePerson) {
  const Position position = ProvideHanako(Provision("boe", "R8-0001"));
  for (const char* who : {"auditor", "discloser"}) {
    const std::string shown = Ask(Request(who));
    const auto line = ordered_json::parse(shown);
    EXPECT_EQ(line["position"], position.value());
    EXPECT_EQ(line["agency"], "boe");
    EXPECT_EQ(line["fields"], ordered_json::array({"address"}));
    const v1::SearchPerformed event = LastEvent();
    EXPECT_EQ(event.operator_id(), who);
    EXPECT_EQ(event.result_count(), 1u);
    EXPECT_EQ(event.result_digest(), View(Sha256Of({shown})));
    EXPECT_EQ(event.released_fields(0), "provisions");
    EXPECT_EQ(p().Entries().back().leaf.keys(0).subject(), hanako_handle_);
  }
  v1::ReadRequest by_handle = Request("auditor");
  by_handle.mutable_condition()->Clear();
  by_handle.mutable_condition()->set_subject(hanako_handle_);
  EXPECT_EQ(ordered_json::parse(Ask(by_handle))["position"], position.value());
}

TEST_F(ReadProvisionsTest, NoneIsAnAnswerThatIsRecordedToo) {
  EXPECT_EQ(Ask(Request("auditor")), "");
  EXPECT_EQ(LastEvent().result_count(), 0u);
  EXPECT_EQ(LastEvent().evaluated_at(), p().Size() - 2);
  ledger_answers_ = false;
  EXPECT_EQ(Ask(Request("auditor")), "unavailable");
}

TEST_F(ReadProvisionsTest, IsRefusedToOthersAndForARequestThatAskedForTheRecord) {
  ProvideHanako(Provision("boe", "R8-0001"));
  EXPECT_EQ(Ask(Request("reader")), "denied " + std::to_string(v1::REFUSAL_REASON_PERMISSION));
  EXPECT_EQ(Ask(Request("auditor"), kReadRequestTag), "denied " + std::to_string(v1::REFUSAL_REASON_SIGNATURE));
  const std::uint64_t size = p().Size();
  v1::ReadRequest search = Request("auditor");
  search.mutable_condition()->Clear();
  search.mutable_condition()->set_name("渡邊");
  EXPECT_EQ(Ask(search), "invalid");
  v1::ReadRequest history = Request("auditor");
  history.set_history(true);
  EXPECT_EQ(Ask(history), "invalid");
  EXPECT_EQ(p().Size(), size);
}

}  // namespace
}  // namespace daicho
