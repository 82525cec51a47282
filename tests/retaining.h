// A prefecture that erases: its retention rules and two operators who consent, readings of
// residents, and the orders that its retention role submits.
#pragma once

#include "consumers/consent.h"
#include "projections/projector.h"
#include "projections/retention.h"
#include "tests/prefecture.h"

namespace daicho {

class Retaining {
 public:
  explicit Retaining(OpenLogFunction open_log = OpenLocal) : p(std::move(open_log)) {
    p.Found();
    v1::RoleDefined role;
    role.set_role("consenter");
    role.add_permissions(v1::PERMISSION_CONSENT);
    v1::PolicySet policy;
    policy.set_rules(Rules().SerializeAsString());
    ExpectAdmitted(
        p.Submit(Prefecture::Registrar(),
                 {p.Registration(Records(), v1::ISSUER_ROLE_RECORDS),
                  p.Registration(Retention(), v1::ISSUER_ROLE_RETENTION),
                  Administration(v1::EVENT_KIND_ROLE_DEFINED, role.SerializeAsString()),
                  Operator("sato"), Operator("suzuki"),
                  Administration(v1::EVENT_KIND_POLICY_SET, policy.SerializeAsString())}));
  }

  static std::string Records() { return RoleIssuer(Prefecture::kNumber, "records"); }
  static std::string Retention() { return RoleIssuer(Prefecture::kNumber, "retention"); }

  // Notices 150 years, readings 7.
  static v1::PolicyRules Rules() {
    v1::PolicyRules rules;
    rules.set_version(1);
    const auto add = [&](const char* name, v1::RetentionClass retention,
                         std::initializer_list<v1::NoticeKind> kinds, v1::RetentionStart start,
                         std::uint32_t years) {
      v1::RetentionRule& rule = *rules.add_retention_rules();
      rule.set_rule(name);
      rule.set_retention(retention);
      for (const auto kind : kinds) rule.add_notice_kinds(kind);
      rule.set_start(start);
      rule.set_years(years);
    };
    add("notice", v1::RETENTION_CLASS_NOTICE, {v1::NOTICE_KIND_ENTRY, v1::NOTICE_KIND_AMEND},
        v1::RETENTION_START_SUPERSEDED, 150);
    add("removal", v1::RETENTION_CLASS_NOTICE, {v1::NOTICE_KIND_REMOVAL},
        v1::RETENTION_START_RECEIVED, 150);
    add("operation", v1::RETENTION_CLASS_OPERATION, {}, v1::RETENTION_START_ADMITTED, 7);
    return rules;
  }

  // A person of the same name, unless it is said whose second name it is.
  DraftEvent Operator(const std::string& id, const std::string& person = "") {
    operators_[id] = SigningKey::Generate();
    v1::OperatorRegistered out;
    out.set_operator_id(id);
    out.set_public_key(std::string(View(operators_[id].public_key())));
    out.add_roles("consenter");
    out.set_verification_id(person.empty() ? id : person);
    return Administration(v1::EVENT_KIND_OPERATOR_REGISTERED, out.SerializeAsString());
  }

  // By consent of both operators.
  void SetPolicy(const v1::PolicyRules& rules) {
    v1::PolicySet policy;
    policy.set_rules(rules.SerializeAsString());
    for (const char* id : {"sato", "suzuki"}) {
      *policy.add_consents() =
          GiveConsent(p.ledger_id(), id, operators_[id], v1::EVENT_KIND_POLICY_SET,
                      Sha256Of({policy.rules()}), p.clock().Now())
              .value();
    }
    ExpectAdmitted(p.Submit(Prefecture::Registrar(), {Administration(v1::EVENT_KIND_POLICY_SET,
                                                                     policy.SerializeAsString())}));
  }

  static void ExpectAdmitted(const v1::Receipt& receipt) {
    EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
  }
  void Admit(const v1::UpdateNotice& notice) {
    ExpectAdmitted(p.Notify(notice.record().address().municipality(), {notice}));
  }
  // A reading of that subject is recorded.
  void RecordReading(const std::string& handle, const std::string& purpose = "case 7") {
    v1::SearchPerformed search;
    search.set_purpose(purpose);
    DraftEvent event;
    event.kind = v1::EVENT_KIND_SEARCH;
    event.retention = v1::RETENTION_CLASS_OPERATION;
    event.payload = search.SerializeAsString();
    event.subject = handle;
    ExpectAdmitted(p.Submit(Records(), {event}));
  }

  ProjectorOptions OptionsOf(const std::string& name, Log& log, const KeyStore& keys) const {
    ProjectorOptions o;
    o.matching = Matching::Shipped();
    o.prefecture = Prefecture::kNumber;
    o.ledger = p.ledger_id();
    o.registrar_public_key = p.registrar_key().public_key();
    o.dir = p.Path(name);
    o.log = &log;
    o.keys = &keys;
    o.bulk_buffer_bytes = 1u << 20;
    return o;
  }
  std::unique_ptr<Projector> CaughtUp(const std::string& name) {
    auto projector = Projector::Open(OptionsOf(name, p.log(), p.key_store())).value();
    const Status status = projector->CatchUp();
    EXPECT_TRUE(status.ok()) << status.ToString();
    return projector;
  }

  // Waits for that day.
  v1::ErasurePlan Plan(const Projector& projector, const std::string& today) {
    const std::int64_t ahead = DayNumber(ParseDate(today).value()) - DayNumber(JapanDate(p.clock().Now()));
    if (ahead > 0) p.clock().Advance(std::chrono::hours(24 * ahead));
    const std::shared_ptr<const Registry> in_force = projector.registry();
    const Registry& registry = *in_force;
    v1::ErasurePlan plan;
    plan.set_version(1);
    plan.set_ledger(std::string(View(p.ledger_id())));
    plan.set_run(std::string(View(RandomArray<16>())));
    plan.set_chunk_count(1);
    plan.set_judged_on(today);
    plan.set_evaluated_at(projector.position().value() - 1);
    plan.set_policy_position(registry.policy()->position.value());
    const auto expired =
        FindExpired(projector.store(), registry.policy()->rules, ParseDate(today).value(), 1'000);
    EXPECT_TRUE(expired.ok()) << expired.status().ToString();
    for (const v1::ErasedKeys& keys : *expired) *plan.add_keys() = keys;
    return plan;
  }
  v1::Erasure Order(const v1::ErasurePlan& plan,
                    const std::vector<std::string>& consenting = {"sato", "suzuki"}) {
    v1::Erasure order;
    order.set_plan(plan.SerializeAsString());
    for (const std::string& id : consenting) {
      *order.add_consents() = GiveConsent(p.ledger_id(), id, operators_[id], v1::EVENT_KIND_ERASURE,
                                          Sha256Of({order.plan()}), p.clock().Now())
                                  .value();
    }
    return order;
  }
  v1::Receipt Submit(const v1::Erasure& order) {
    return p.Submit(Retention(),
                    {Administration(v1::EVENT_KIND_ERASURE, order.SerializeAsString())});
  }

  // Ordered, and carried out by the sequencer.
  void Erase(const v1::ErasurePlan& plan) {
    const v1::Receipt receipt = Submit(Order(plan));
    ExpectAdmitted(receipt);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (p.key_store().erased_through() <= Position(receipt.last_position())) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }

  Prefecture p;

 private:
  std::map<std::string, SigningKey> operators_;
};

}  // namespace daicho
