// Whom the shipped policy provides for, with what. Method: a ledger with the rules that every new one begins with and one
// agency of each kind; every request is first one that is permitted, and each test then takes one thing from it or
// adds one to it that the law does not let through. Its reason must be the one told.
#include "projections/provision_policy.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "consumers/consent.h"
#include "consumers/policy/first_rules.h"
#include "events/tree_head.h"
#include "tests/agency_certificate.h"

namespace daicho {
namespace {

using Words = std::vector<std::string>;

const Words kPersonal = {"name", "kana", "former_name", "alias", "latin_name", "birth", "sex", "address",
                         "external_glyphs"};

// A request of one condition.
struct Question : ProvisionRequest {
  Words condition_keys;
  bool consent = false;
};

class ProvisionPolicyTest : public ::testing::Test {
 protected:
  ProvisionPolicyTest() {
    v1::LedgerOpened opened;
    opened.set_prefecture(10);
    opened.set_ledger(std::string(View(ledger_)));
    for (std::string* key : {opened.mutable_registrar_public_key(), opened.mutable_sequencer_public_key()}) {
      *key = View(SigningKey::Generate().public_key());
    }
    opened.set_intake_public_key(std::string(View(HpkeKeyPair::Generate().public_key)));
    *opened.mutable_algorithms() = OwnAlgorithms();
    Apply(v1::EVENT_KIND_LEDGER_OPENED, opened);
    v1::RoleDefined role;
    role.set_role("consenter");
    role.add_permissions(v1::PERMISSION_CONSENT);
    Apply(v1::EVENT_KIND_ROLE_DEFINED, role);
    for (const auto& [id, key] : operators_) {
      v1::OperatorRegistered registered;
      registered.set_operator_id(id);
      registered.set_public_key(std::string(View(key.public_key())));
      registered.add_roles("consenter");
      Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, registered);
    }
    for (const char* agency : {"gunma-tax", "gunma-passport", "gunma-welfare", "gunma-statistics"}) {
      Register(agency, v1::RECIPIENT_CLASS_DEPARTMENT);
    }
    Register("gunma-boe", v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY);
    Register("maebashi-tax", v1::RECIPIENT_CLASS_MUNICIPAL_AGENCY, "102016");
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(std::string(policy::k_first_rules), &rules_).ok());
    rules_.set_version(1);
    SetRules();
  }

  void Apply(v1::EventKind kind, const google::protobuf::Message& event) {
    const Status status = registry_.Apply(kind, event.SerializeAsString(), Position(next_++), TimeMicros(0));
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  void Register(const std::string& agency, v1::RecipientClass recipient, const std::string& municipality = "",
                bool closed = false) {
    if (!agencies_.contains(agency)) agencies_[agency] = SigningKey::Generate();
    v1::AgencyRegistered out;
    out.set_agency(agency);
    out.set_recipient(recipient);
    out.set_municipality(municipality);
    out.set_certificate(AgencyCertificate());
    out.set_public_key(std::string(View(agencies_[agency].public_key())));
    out.set_closed(closed);
    Apply(v1::EVENT_KIND_AGENCY_REGISTERED, out);
  }
  template <typename Event>
  void Consent(v1::EventKind kind, const std::string& what, Event& event) {
    for (const auto& [id, key] : operators_) {
      *event.add_consents() = GiveConsent(ledger_, id, key, kind, Sha256Of({what}), TimeMicros(0)).value();
    }
  }
  void SetRules() {
    v1::PolicySet set;
    set.set_rules(rules_.SerializeAsString());
    if (rules_.version() > 1) Consent(v1::EVENT_KIND_POLICY_SET, set.rules(), set);
    Apply(v1::EVENT_KIND_POLICY_SET, set);
  }
  void Conclude(const std::string& from, const std::string& until, const std::string& duty = "o-city-1") {
    v1::Agreement agreement;
    agreement.set_agreement("2026-1");
    agreement.set_municipality("102016");
    agreement.add_agencies("maebashi-tax");
    agreement.set_ordinance("条例2条");
    agreement.add_duties(duty);
    agreement.set_concluded_on(from);
    agreement.set_valid_from(from);
    agreement.set_valid_until(until);
    agreement.set_document_digest(std::string(32, 'd'));
    v1::AgreementSet set;
    set.set_agreement(agreement.SerializeAsString());
    Consent(v1::EVENT_KIND_AGREEMENT_SET, set.agreement(), set);
    Apply(v1::EVENT_KIND_AGREEMENT_SET, set);
  }

  static Question Ask(const char* agency, const char* basis, const char* duty, Words keys) {
    Question out;
    out.agency = agency;
    out.basis = basis;
    out.duty = duty;
    out.mode = v1::PROVISION_MODE_IMMEDIATE;
    out.method = v1::DELIVERY_METHOD_LINE;
    out.condition_keys = std::move(keys);
    out.on = ParseDate("2026-11-26").value();
    return out;
  }
  static Question Tax() { return Ask("gunma-tax", "30-15-1/5-tax", "5-tax-1", {"individual_number"}); }
  static Question City() { return Ask("maebashi-tax", "30-13-1", "o-city-1", {"name", "birth", "address"}); }

  ProvisionDecision Decided(const Question& question) {
    ProvisionDecision out = Decide(registry_, question);
    if (!out.permitted()) return out;
    if (auto refusal = CheckCondition(*out.rule, question.condition_keys, question.consent)) {
      out.refusal = refusal->reason;
      out.message = refusal->message;
      out.fields.clear();
    }
    return out;
  }
  // "" when it is permitted; else the field that the reason begins with, and the reason's name.
  std::string Refusal(const Question& request) {
    const ProvisionDecision decision = Decided(request);
    if (decision.permitted()) return "";
    EXPECT_TRUE(decision.fields.empty());
    return decision.message.substr(0, decision.message.find(": ")) + " " + v1::RefusalReason_Name(decision.refusal).substr(15);
  }
  std::string Refusal(Question request, const std::function<void(Question&)>& change) {
    change(request);
    return Refusal(request);
  }

  const LedgerId ledger_ = RandomArray<16>();
  std::map<std::string, SigningKey> operators_ = {{"sato", SigningKey::Generate()}, {"suzuki", SigningKey::Generate()}};
  std::map<std::string, SigningKey> agencies_;
  v1::PolicyRules rules_;
  Registry registry_;
  std::uint64_t next_ = 0;
};

TEST_F(ProvisionPolicyTest, EachRequesterGetsTheFieldsOfItsBasis) {
  Words with_number = kPersonal;
  with_number.push_back("individual_number");
  EXPECT_EQ(Decided(Tax()).fields, with_number);
  EXPECT_EQ(Decided(Ask("gunma-boe", "30-15-2/6-3", "6-3-1", {"individual_number"})).fields, with_number);
  EXPECT_EQ(Decided(Ask("gunma-boe", "30-15-2/o-1", "o-boe-1", {"name", "birth", "address"})).fields, kPersonal)
      << "an ordinance gives no 個人番号";
  EXPECT_EQ(Decided(Ask("gunma-passport", "30-15-1/5-6", "5-6-1", {"name", "birth"})).fields, kPersonal);
  Conclude("2026-04-01", "");
  EXPECT_EQ(Decided(City()).fields, kPersonal);
  Question counts = Ask("gunma-statistics", "30-15-1-4", "statistics-1", {"municipality", "sex"});
  counts.mode = v1::PROVISION_MODE_BATCH;
  ASSERT_EQ(Refusal(counts), "");
  EXPECT_TRUE(Decided(counts).fields.empty());
  EXPECT_TRUE(Decided(counts).rule->counts_only());
}

TEST_F(ProvisionPolicyTest, NobodyIsGivenTheResidentCode) {
  for (const v1::ProvisionRule& rule : rules_.provision_rules()) {
    if (rule.recipient() == v1::RECIPIENT_CLASS_KIKOU || rule.recipient() == v1::RECIPIENT_CLASS_RESIDENT) continue;
    EXPECT_EQ(std::ranges::count(rule.fields(), "resident_code"), 0) << rule.basis();
  }
}

TEST_F(ProvisionPolicyTest, WhoIsNotProvidedForIsRefused) {
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.agency = "gunma-hats"; }), "agency UNKNOWN_AGENCY");
  Register("gunma-tax", v1::RECIPIENT_CLASS_DEPARTMENT, "", true);
  EXPECT_EQ(Refusal(Tax()), "agency UNKNOWN_AGENCY") << "closed";
  v1::KeyChanged revoked;
  revoked.set_use(v1::KEY_USE_AGENCY_SIGNING);
  revoked.set_holder("gunma-passport");
  revoked.set_action(v1::KEY_ACTION_REVOKE);
  revoked.set_old_key_id(NoteKeyId("gunma-passport", agencies_["gunma-passport"].public_key()));
  revoked.set_reason("lost");
  const Question passport = Ask("gunma-passport", "30-15-1/5-6", "5-6-1", {"name", "birth"});
  EXPECT_EQ(Refusal(passport), "");
  Apply(v1::EVENT_KIND_KEY_CHANGED, revoked);
  EXPECT_EQ(Refusal(passport), "agency UNKNOWN_AGENCY") << "without a key nobody can tell who asks";
}

TEST_F(ProvisionPolicyTest, ABasisIsOfItsAgencyDutyAndTime) {
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.basis = "30-15-1/99"; }), "basis BASIS");
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.basis = "30-15-1/5-6"; }), "basis BASIS") << "another department's";
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.basis = "30-15-2/6-3"; }), "basis BASIS") << "another kind of recipient's";
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.duty = "5-6-1"; }), "duty DUTY");
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.on = ParseDate("2015-10-05").value(); }), "");
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.on = ParseDate("2015-10-04").value(); }), "basis BASIS");
  for (v1::ProvisionRule& rule : *rules_.mutable_provision_rules()) rule.set_valid_until("2026-11-25");
  rules_.set_version(2);
  SetRules();
  EXPECT_EQ(Refusal(Tax()), "basis BASIS");
  EXPECT_EQ(Refusal(Tax(), [](auto& r) { r.on = ParseDate("2026-11-25").value(); }), "");
}

TEST_F(ProvisionPolicyTest, AMunicipalityNeedsAnAgreementInForce) {
  EXPECT_EQ(Refusal(City()), "agreement AGREEMENT") << "none";
  Conclude("2026-04-01", "2026-11-25");
  EXPECT_EQ(Refusal(City()), "agreement AGREEMENT") << "ended";
  EXPECT_EQ(Refusal(City(), [](auto& r) { r.on = ParseDate("2026-11-25").value(); }), "");
  Conclude("2026-11-27", "");
  EXPECT_EQ(Refusal(City()), "agreement AGREEMENT") << "not begun";
  Conclude("2026-04-01", "", "o-city-2");
  EXPECT_EQ(Refusal(City()), "agreement AGREEMENT") << "for another 事務";
  Conclude("2026-04-01", "");
  EXPECT_EQ(Refusal(City()), "");
  EXPECT_EQ(Decided(City()).agreement, Position(next_ - 1));
  EXPECT_EQ(Decided(Tax()).agreement, std::nullopt);
}

TEST_F(ProvisionPolicyTest, ConsentModeAndMethodAreAskedFor) {
  Question welfare = Ask("gunma-welfare", "30-15-1-3", "consent-1", {"name", "birth"});
  EXPECT_EQ(Refusal(welfare), "consent CONSENT");
  welfare.consent = true;
  EXPECT_EQ(Refusal(welfare), "");
  const Question passport = Ask("gunma-passport", "30-15-1/5-6", "5-6-1", {"name", "birth"});
  EXPECT_EQ(Refusal(passport, [](auto& r) { r.mode = v1::PROVISION_MODE_BATCH; }), "mode MODE");
  EXPECT_EQ(Refusal(passport, [](auto& r) { r.mode = v1::PROVISION_MODE_UNSPECIFIED; }), "mode MODE");
  EXPECT_EQ(Refusal(passport, [](auto& r) { r.method = v1::DELIVERY_METHOD_MEDIUM; }), "method MODE");
}

TEST_F(ProvisionPolicyTest, AConditionUsesThePermittedKeysAndEnoughOfThem) {
  const auto with = [&](Question request, Words keys) {
    request.condition_keys = std::move(keys);
    return Refusal(request);
  };
  const Question passport = Ask("gunma-passport", "30-15-1/5-6", "5-6-1", {});
  EXPECT_EQ(with(passport, {}), "condition CONDITION");
  EXPECT_EQ(with(passport, {"individual_number"}), "condition.individual_number CONDITION");
  EXPECT_EQ(with(passport, {"name"}), "condition CONDITION");
  EXPECT_EQ(with(passport, {"name", "kana"}), "condition CONDITION") << "氏名 and its reading are one item";
  EXPECT_EQ(with(passport, {"name", "municipality"}), "condition CONDITION") << "a municipality is none";
  EXPECT_EQ(with(passport, {"kana", "birth"}), "");
  EXPECT_EQ(with(Tax(), {"individual_number"}), "") << "a number is enough";
  EXPECT_EQ(with(Tax(), {"resident_code"}), "condition.resident_code CONDITION");
}

TEST_F(ProvisionPolicyTest, FieldsAreThoseAskedForInTheRulesOrder) {
  Question request = Tax();
  request.fields = {"address", "name"};
  EXPECT_EQ(Decided(request).fields, Words({"name", "address"}));
  request.fields = {"name", "resident_code"};
  EXPECT_EQ(Refusal(request), "fields.resident_code FIELD");
  request = Ask("gunma-passport", "30-15-1/5-6", "5-6-1", {"name", "birth"});
  request.fields = {"individual_number"};
  EXPECT_EQ(Refusal(request), "fields.individual_number FIELD");
}

TEST_F(ProvisionPolicyTest, WithoutRulesEverythingIsRefused) {
  Registry bare;
  EXPECT_EQ(Decide(bare, Tax()).refusal, v1::REFUSAL_REASON_UNKNOWN_AGENCY);
  rules_.clear_provision_rules();
  rules_.set_version(2);
  SetRules();
  EXPECT_EQ(Refusal(Tax()), "basis BASIS");
}

}  // namespace
}  // namespace daicho
