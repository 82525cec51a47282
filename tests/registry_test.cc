// What the registry admits of the administration's events, and which key holds where. Method: a registry is
// opened and told one event after the other, each at the next position; what breaks a rule must be refused with
// exactly its message and change nothing. After every story the rows that it would have saved, restored one by
// one, must amount to the same keys.
#include "ledger/registry.h"

#include <gtest/gtest.h>

#include "events/clock.h"
#include "events/dates.h"
#include "events/tree_head.h"
#include "tests/agency_certificate.h"

namespace daicho {
namespace {

constexpr char kMaebashi[] = "102016";
constexpr char kAgency[] = "gunma-tax";
constexpr char kWitness[] = "witness.example/102024";

const std::string kCertificate = AgencyCertificate();

std::string Bytes(const Key256& key) { return std::string(View(key)); }
std::string Fresh() { return Bytes(SigningKey::Generate().public_key()); }

const TimeMicros kNow = ParseTimestamp("2190-01-01T00:00:00+09:00").value();

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() {
    opened_.set_prefecture(10);
    opened_.set_ledger(std::string(16, 'L'));
    opened_.set_registrar_public_key(Bytes(registrar_.public_key()));
    opened_.set_sequencer_public_key(Bytes(sequencer_.public_key()));
    opened_.set_intake_public_key(Bytes(HpkeKeyPair::Generate().public_key));
    *opened_.mutable_algorithms() = OwnAlgorithms();
    v1::IssuerRegistered issuer = Issuer();
    v1::RoleDefined role;
    role.set_role("consenter");
    role.add_permissions(v1::PERMISSION_CONSENT);
    EXPECT_EQ(Apply(v1::EVENT_KIND_LEDGER_OPENED, opened_), "ok");              // 0
    EXPECT_EQ(Apply(v1::EVENT_KIND_ISSUER_REGISTERED, issuer), "ok");           // 1
    EXPECT_EQ(Apply(v1::EVENT_KIND_ROLE_DEFINED, role), "ok");                  // 2
    EXPECT_EQ(Apply(v1::EVENT_KIND_AGENCY_REGISTERED, Agency()), "ok");         // 3
    EXPECT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, Operator("sato")), "ok");    // 4
    EXPECT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, Operator("suzuki")), "ok");  // 5
  }
  ~RegistryTest() override { ExpectRestoredTheSame(); }

  v1::IssuerRegistered Issuer() {
    v1::IssuerRegistered out;
    out.set_issuer(kMaebashi);
    out.set_public_key(Bytes(maebashi_.public_key()));
    out.set_role(v1::ISSUER_ROLE_MUNICIPALITY);
    return out;
  }
  v1::AgencyRegistered Agency() {
    v1::AgencyRegistered out;
    out.set_agency(kAgency);
    out.set_recipient(v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY);
    out.set_certificate(kCertificate);
    out.set_public_key(Bytes(agency_.public_key()));
    return out;
  }
  // A person of the same name.
  v1::OperatorRegistered Operator(const std::string& id) {
    if (!operators_.contains(id)) operators_[id] = SigningKey::Generate();
    v1::OperatorRegistered out;
    out.set_operator_id(id);
    out.set_public_key(Bytes(operators_[id].public_key()));
    out.add_roles("consenter");
    out.set_verification_id("person-" + id);
    return out;
  }
  v1::KeyChanged Change(v1::KeyUse use, const std::string& holder, v1::KeyAction action) {
    v1::KeyChanged out;
    out.set_use(use);
    out.set_holder(holder);
    out.set_action(action);
    if (const auto current = registry_.CurrentKey(use, holder); current.ok()) out.set_old_key_id(current->key_id);
    out.set_reason("by plan");
    return out;
  }
  v1::KeyChanged Give(v1::KeyUse use, const std::string& holder, v1::KeyAction action, const std::string& key) {
    v1::KeyChanged out = Change(use, holder, action);
    out.set_new_public_key(key);
    out.set_new_key_id(registry_.KeyIdOf(use, holder, key));
    out.set_algorithm(use == v1::KEY_USE_INTAKE              ? "x25519"
                      : use == v1::KEY_USE_AGENCY_ENCRYPTION ? "p256"
                                                             : "ed25519");
    return out;
  }
  v1::KeyChanged Rotation(v1::KeyUse use, const std::string& holder, const std::string& key) {
    return Give(use, holder, v1::KEY_ACTION_ROTATE, key);
  }
  v1::Consent Consent(const std::string& id, v1::EventKind kind, const std::string& what,
                      const std::function<void(v1::ConsentStatement&)>& change = {}) {
    v1::ConsentStatement statement;
    statement.set_version(1);
    statement.set_ledger(opened_.ledger());
    statement.set_operator_id(id);
    statement.set_kind(kind);
    statement.set_digest(std::string(View(Sha256Of({what}))));
    statement.set_signed_at(ParseTimestamp("2026-11-24T10:00:00+09:00")->value());
    if (change) change(statement);
    v1::Consent out;
    out.set_statement(statement.SerializeAsString());
    out.set_key_id(NoteKeyId(id, operators_[id].public_key()));
    out.set_signature(operators_[id].Sign(std::string(kConsentTag) + out.statement()));
    return out;
  }
  static v1::PolicyRules Rules(std::uint32_t version) {
    v1::PolicyRules out;
    out.set_version(version);
    return out;
  }
  std::string Set(const v1::PolicyRules& rules, const std::vector<std::string>& consenting) {
    v1::PolicySet set;
    set.set_rules(rules.SerializeAsString());
    for (const std::string& id : consenting) *set.add_consents() = Consent(id, v1::EVENT_KIND_POLICY_SET, set.rules());
    return Apply(v1::EVENT_KIND_POLICY_SET, set);
  }

  // 前橋市's, for its tax office.
  static v1::Agreement Agreement() {
    v1::Agreement out;
    out.set_agreement("2026-1");
    out.set_municipality(kMaebashi);
    out.add_agencies("maebashi-tax");
    out.set_ordinance("条例2条");
    out.add_duties("o-city-1");
    out.set_concluded_on("2026-03-20");
    out.set_valid_from("2026-04-01");
    out.set_document_digest(std::string(32, 'd'));
    return out;
  }
  std::string Conclude(const v1::Agreement& agreement, const std::vector<std::string>& consenting) {
    v1::AgreementSet set;
    set.set_agreement(agreement.SerializeAsString());
    for (const std::string& id : consenting) {
      *set.add_consents() = Consent(id, v1::EVENT_KIND_AGREEMENT_SET, set.agreement());
    }
    return Apply(v1::EVENT_KIND_AGREEMENT_SET, set);
  }
  // The rules' first version with this one of provision, changed.
  std::string SetProvision(const std::function<void(v1::ProvisionRule&)>& change) {
    v1::PolicyRules rules = Rules(1);
    v1::ProvisionRule& rule = *rules.add_provision_rules();
    rule.set_basis("30-15-1/5-6");
    rule.set_recipient(v1::RECIPIENT_CLASS_DEPARTMENT);
    rule.add_agencies("gunma-passport");
    rule.add_duties("5-6-1");
    rule.add_modes(v1::PROVISION_MODE_IMMEDIATE);
    rule.add_methods(v1::DELIVERY_METHOD_LINE);
    rule.add_condition_keys("name");
    rule.add_fields("address");
    rule.set_valid_from("2015-10-05");
    change(rule);
    return Set(rules, {});
  }

  // "ok", or the code and the message. At the next position.
  std::string Apply(v1::EventKind kind, const google::protobuf::Message& event) {
    const std::size_t rows = registry_.unsaved().size();
    const std::string keys = Keys(registry_);
    const Status status = registry_.Apply(kind, event.SerializeAsString(), Position(next_), kNow);
    if (status.ok()) {
      ++next_;
      return "ok";
    }
    EXPECT_EQ(registry_.unsaved().size(), rows) << "refused and yet kept";
    EXPECT_EQ(Keys(registry_), keys) << "refused and yet changed";
    return std::string(CodeName(status.code())) + ": " + status.message();
  }
  std::string Apply(const v1::KeyChanged& change) { return Apply(v1::EVENT_KIND_KEY_CHANGED, change); }

  static std::string Keys(const Registry& registry) {
    std::string out;
    for (int use = v1::KEY_USE_ISSUER; use <= v1::KEY_USE_WITNESS; ++use) {
      for (const std::string& holder : registry.Holders(static_cast<v1::KeyUse>(use))) {
        for (const KeySpan& span : registry.Keys(static_cast<v1::KeyUse>(use), holder)) {
          out += std::to_string(use) + holder + ToHex(span.key) + ToHex(span.key_id) +
                 std::to_string(span.from.value()) + "-" + (span.until ? std::to_string(span.until->value()) : "") +
                 (span.leaked_from ? "!" + std::to_string(span.leaked_from->value()) : "") + "\n";
        }
      }
    }
    return out;
  }
  void ExpectRestoredTheSame() {
    Registry restored;
    for (const auto& [position, row] : registry_.unsaved()) {
      const Status status = restored.Restore(position, row);
      EXPECT_TRUE(status.ok()) << status.ToString();
    }
    EXPECT_EQ(Keys(restored), Keys(registry_));
    EXPECT_EQ(restored.erasures(), registry_.erasures());
    ASSERT_EQ(restored.agreements().size(), registry_.agreements().size());
    for (const auto& [number, in_force] : registry_.agreements()) {
      EXPECT_EQ(restored.agreements().at(number).position, in_force.position);
      EXPECT_EQ(restored.agreements().at(number).agreement.SerializeAsString(), in_force.agreement.SerializeAsString());
    }
    EXPECT_EQ(restored.policy() == nullptr, registry_.policy() == nullptr);
    if (restored.policy() != nullptr && registry_.policy() != nullptr) {
      EXPECT_EQ(restored.policy()->position, registry_.policy()->position);
      EXPECT_EQ(restored.policy()->rules.version(), registry_.policy()->rules.version());
    }
  }
  std::string KeyAt(v1::KeyUse use, const std::string& holder, std::uint64_t at) {
    auto found = registry_.KeyAt(use, holder, Position(at));
    return found.ok() ? found->key : std::string(CodeName(found.status().code()));
  }

  const SigningKey registrar_ = SigningKey::Generate(), sequencer_ = SigningKey::Generate();
  const SigningKey maebashi_ = SigningKey::Generate(), agency_ = SigningKey::Generate();
  std::map<std::string, SigningKey> operators_;
  v1::LedgerOpened opened_;
  Registry registry_;
  std::uint64_t next_ = 0;
};

// --- keys by position ----------------------------------------------------------------------------

TEST_F(RegistryTest, AKeyHoldsFromBehindTheEventThatGaveIt) {
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 1), "denied");
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 2), Bytes(maebashi_.public_key()));
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, "100005.registrar", 0), Bytes(registrar_.public_key()))
      << "the opening is signed by the key it names";
}

TEST_F(RegistryTest, OnEitherSideOfARotationAnotherKeyHolds) {
  const std::string next = Fresh();
  ASSERT_EQ(Apply(Rotation(v1::KEY_USE_ISSUER, kMaebashi, next)), "ok");  // at 6
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 6), Bytes(maebashi_.public_key()));
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 7), next);
  EXPECT_EQ(registry_.CurrentKey(v1::KEY_USE_ISSUER, kMaebashi)->key, next);
}

TEST_F(RegistryTest, EveryUseRotates) {
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_SEQUENCER, "", Fresh())), "ok");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_INTAKE, "", Bytes(HpkeKeyPair::Generate().public_key))), "ok");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_OPERATOR, "sato", Fresh())), "ok");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_AGENCY_SIGNING, kAgency, Fresh())), "ok");
  EXPECT_EQ(Apply(Give(v1::KEY_USE_WITNESS, kWitness, v1::KEY_ACTION_ADD, Fresh())), "ok");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_WITNESS, kWitness, Fresh())), "ok");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_ISSUER, "100005.registrar", Fresh())), "ok");
  EXPECT_EQ(registry_.Holders(v1::KEY_USE_WITNESS), std::vector<std::string>{kWitness});
}

TEST_F(RegistryTest, AWitnesssKeyIsNamedAsItsCosignaturesNameIt) {
  const SigningKey key = SigningKey::Generate();
  EXPECT_EQ(registry_.KeyIdOf(v1::KEY_USE_WITNESS, kWitness, Bytes(key.public_key())),
            NoteKeyId(kWitness, key.public_key(), NoteAlgorithm::kCosignatureV1));
}

TEST_F(RegistryTest, ARevokedHolderHasNoKeyUntilItIsGivenAnother) {
  ASSERT_EQ(Apply(Change(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_REVOKE)), "ok");  // at 6
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 6), Bytes(maebashi_.public_key()));
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 7), "denied");
  EXPECT_EQ(registry_.CurrentKey(v1::KEY_USE_ISSUER, kMaebashi).status().message(), "no key of 102016 is in force");
  const std::string next = Fresh();
  ASSERT_EQ(Apply(Give(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_ADD, next)), "ok");  // at 7
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 7), "denied");
  EXPECT_EQ(KeyAt(v1::KEY_USE_ISSUER, kMaebashi, 8), next);
}

TEST_F(RegistryTest, ALeakIsRememberedFromThePositionNamed) {
  v1::KeyChanged leaked = Change(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_REVOKE);
  leaked.set_from_position(7);
  EXPECT_EQ(Apply(leaked), "invalid: from_position: lies ahead");
  leaked.set_from_position(3);
  ASSERT_EQ(Apply(leaked), "ok");
  EXPECT_EQ(registry_.Keys(v1::KEY_USE_ISSUER, kMaebashi)[0].leaked_from, Position(3));
}

TEST_F(RegistryTest, AKeyThatWasTakenNeverComesBack) {
  const std::string first = Bytes(maebashi_.public_key()), second = Fresh();
  ASSERT_EQ(Apply(Rotation(v1::KEY_USE_ISSUER, kMaebashi, second)), "ok");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_ISSUER, kMaebashi, first)), "invalid: public_key: the holder had it before");
  ASSERT_EQ(Apply(Change(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_REVOKE)), "ok");
  EXPECT_EQ(Apply(Give(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_ADD, second)),
            "invalid: public_key: the holder had it before");
  ASSERT_EQ(Apply(Change(v1::KEY_USE_OPERATOR, "sato", v1::KEY_ACTION_REVOKE)), "ok");
  EXPECT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, Operator("sato")),
            "invalid: public_key: the holder had it before");
  ASSERT_EQ(Apply(Change(v1::KEY_USE_AGENCY_SIGNING, kAgency, v1::KEY_ACTION_REVOKE)), "ok");
  EXPECT_EQ(Apply(v1::EVENT_KIND_AGENCY_REGISTERED, Agency()), "invalid: public_key: the holder had it before");
}

// --- rules of a change ---------------------------------------------------------------------------

TEST_F(RegistryTest, AChangeNamesItsUseHolderActionAndReason) {
  const auto refused = [&](const std::function<void(v1::KeyChanged&)>& change) {
    v1::KeyChanged out = Rotation(v1::KEY_USE_ISSUER, kMaebashi, Fresh());
    change(out);
    return Apply(out);
  };
  EXPECT_EQ(refused([](auto& c) { c.clear_use(); }), "invalid: use: unknown");
  EXPECT_EQ(refused([](auto& c) { c.set_use(static_cast<v1::KeyUse>(99)); }), "invalid: use: unknown");
  EXPECT_EQ(refused([](auto& c) { c.set_holder("102024"); }), "invalid: holder: not registered");
  EXPECT_EQ(refused([](auto& c) { c.set_use(v1::KEY_USE_SEQUENCER); }), "invalid: holder: not registered");
  EXPECT_EQ(refused([](auto& c) { c.clear_action(); }), "invalid: action: unknown");
  EXPECT_EQ(refused([](auto& c) { c.clear_reason(); }), "invalid: reason: missing or too long");
  EXPECT_EQ(refused([](auto& c) { c.set_reason(std::string(1'001, 'x')); }), "invalid: reason: missing or too long");
  EXPECT_EQ(refused([](auto& c) { c.set_old_key_id("nope"); }), "invalid: old_key_id: not of the key in force");
  EXPECT_EQ(refused([](auto& c) { c.set_new_key_id("nope"); }), "invalid: new_key_id: not of the new key");
  EXPECT_EQ(refused([](auto& c) { c.set_from_position(1); }), "invalid: from_position: only of a revocation");
  EXPECT_EQ(Apply(Give(v1::KEY_USE_WITNESS, "two words", v1::KEY_ACTION_ADD, Fresh())),
            "invalid: holder: not registered");
  EXPECT_EQ(registry_.Apply(v1::EVENT_KIND_KEY_CHANGED, "\xff", Position(next_), kNow).message(),
            "the payload cannot be decoded");
}

TEST_F(RegistryTest, AnActionFitsWhatTheHolderHas) {
  EXPECT_EQ(Apply(Give(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_ADD, Fresh())),
            "invalid: action: the holder has a key; rotate it");
  v1::KeyChanged first = Give(v1::KEY_USE_WITNESS, kWitness, v1::KEY_ACTION_ADD, Fresh());
  first.set_old_key_id("1234");
  EXPECT_EQ(Apply(first), "invalid: old_key_id: not with a first key");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_WITNESS, kWitness, Fresh())), "invalid: action: the holder has no key");
  EXPECT_EQ(Apply(Change(v1::KEY_USE_WITNESS, kWitness, v1::KEY_ACTION_REVOKE)),
            "invalid: action: the holder has no key");
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_ISSUER, kMaebashi, Bytes(maebashi_.public_key()))),
            "invalid: new_public_key: it is the old one");
  EXPECT_EQ(Apply(Give(v1::KEY_USE_ISSUER, kMaebashi, v1::KEY_ACTION_REVOKE, Fresh())),
            "invalid: new_public_key: not with a revocation");
}

TEST_F(RegistryTest, TheLedgerIsNeverWithoutItsOwnKeys) {
  for (const v1::KeyUse use : {v1::KEY_USE_SEQUENCER, v1::KEY_USE_INTAKE}) {
    EXPECT_EQ(Apply(Change(use, "", v1::KEY_ACTION_REVOKE)),
              "invalid: action: the ledger cannot be without this key; rotate it");
  }
  EXPECT_EQ(Apply(Change(v1::KEY_USE_ISSUER, "100005.registrar", v1::KEY_ACTION_REVOKE)),
            "invalid: action: the ledger cannot be without this key; rotate it");
}

TEST_F(RegistryTest, AKeyThatIsNoneOfItsUseIsRefused) {
  const auto with = [&](v1::KeyUse use, const std::string& holder, const std::string& key, const char* algorithm) {
    v1::KeyChanged out = Rotation(use, holder, key);
    out.set_algorithm(algorithm);
    return Apply(out);
  };
  EXPECT_EQ(with(v1::KEY_USE_ISSUER, kMaebashi, Fresh(), "ml-dsa-65"), "unsupported: algorithm: not ed25519");
  EXPECT_EQ(with(v1::KEY_USE_INTAKE, "", Fresh(), "ed25519"), "unsupported: algorithm: not x25519");
  EXPECT_EQ(with(v1::KEY_USE_AGENCY_ENCRYPTION, kAgency, kCertificate, "rsa"), "unsupported: algorithm: not p256");
  EXPECT_EQ(with(v1::KEY_USE_INTAKE, "", "short", "x25519"), "invalid: new_public_key: 32 bytes");
  EXPECT_EQ(with(v1::KEY_USE_ISSUER, kMaebashi, "short", "ed25519"), "invalid: public_key: 32 bytes");
  EXPECT_EQ(with(v1::KEY_USE_AGENCY_ENCRYPTION, kAgency, kCertificate + "x", "p256"),
            "invalid: no X.509 certificate in DER");
}

TEST_F(RegistryTest, AKeyOfSmallOrderIsRefusedWhereverItComesFrom) {
  Key256 neutral{};
  neutral[0] = 1;
  ASSERT_FALSE(VerifyingKey::From(neutral).ok());
  const std::string why = "invalid: public_key: " + VerifyingKey::From(neutral).status().message();
  EXPECT_EQ(Apply(Rotation(v1::KEY_USE_ISSUER, kMaebashi, Bytes(neutral))), why);
  EXPECT_EQ(Apply(Give(v1::KEY_USE_WITNESS, kWitness, v1::KEY_ACTION_ADD, Bytes(neutral))), why);
  v1::OperatorRegistered registered = Operator("ito");
  registered.set_public_key(Bytes(neutral));
  EXPECT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, registered), why);
  Registry other;
  opened_.set_sequencer_public_key(Bytes(neutral));
  EXPECT_EQ(other.Apply(v1::EVENT_KIND_LEDGER_OPENED, opened_.SerializeAsString(), Position(0), kNow).message(),
            "sequencer: " + why.substr(9));
}

TEST_F(RegistryTest, TheOldKeysWordForTheNewIsCheckedWhenItIsGiven) {
  const std::string next = Fresh();
  v1::KeyChanged change = Rotation(v1::KEY_USE_ISSUER, kMaebashi, next);
  change.set_old_key_signature(sequencer_.Sign(std::string(kKeyChangeTag) + next));
  EXPECT_EQ(Apply(change), "invalid: old_key_signature: not of the old key");
  change.set_old_key_signature(maebashi_.Sign(std::string(kKeyChangeTag) + Fresh()));
  EXPECT_EQ(Apply(change), "invalid: old_key_signature: not of the old key");
  v1::KeyChanged intake = Rotation(v1::KEY_USE_AGENCY_ENCRYPTION, kAgency, kCertificate);
  change.set_old_key_signature(maebashi_.Sign(std::string(kKeyChangeTag) + next));
  EXPECT_EQ(Apply(change), "ok");
  v1::KeyChanged first = Give(v1::KEY_USE_WITNESS, kWitness, v1::KEY_ACTION_ADD, Fresh());
  first.set_old_key_signature("any");
  EXPECT_EQ(Apply(first), "invalid: old_key_signature: no key to check it");
}

// --- registrations -------------------------------------------------------------------------------

TEST_F(RegistryTest, ARegistrationNamesTheIdOfItsKeyOrNone) {
  v1::OperatorRegistered registered = Operator("ito");
  registered.set_key_id("nope");
  EXPECT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, registered), "invalid: key_id: not of the key");
  registered.set_key_id(NoteKeyId("ito", operators_["ito"].public_key()));
  EXPECT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, registered), "ok");
}

TEST_F(RegistryTest, AnIssuerIsRegisteredOnceAndThenChangesItsKey) {
  EXPECT_EQ(Apply(v1::EVENT_KIND_ISSUER_REGISTERED, Issuer()), "invalid: issuer: registered already");
  v1::IssuerRegistered wrong = Issuer();
  wrong.set_issuer("102017");
  EXPECT_EQ(Apply(v1::EVENT_KIND_ISSUER_REGISTERED, wrong), "invalid: issuer: not a municipality's code");
  wrong.clear_role();
  EXPECT_EQ(Apply(v1::EVENT_KIND_ISSUER_REGISTERED, wrong), "invalid: role: missing or unknown");
  wrong.set_role(v1::ISSUER_ROLE_RECORDS);
  EXPECT_EQ(Apply(v1::EVENT_KIND_ISSUER_REGISTERED, wrong),
            "invalid: issuer: not the prefecture's code and a role's name");
}

TEST_F(RegistryTest, AnAgencyIsRegisteredWithWhatItTakesToReachIt) {
  const auto refused = [&](const std::function<void(v1::AgencyRegistered&)>& change) {
    v1::AgencyRegistered out = Agency();
    change(out);
    return Apply(v1::EVENT_KIND_AGENCY_REGISTERED, out);
  };
  EXPECT_EQ(refused([](auto& a) { a.set_agency("Tax"); }), "invalid: agency: 1 to 40 of a-z 0-9 -");
  EXPECT_EQ(refused([](auto& a) { a.clear_recipient(); }), "invalid: recipient: missing or unknown");
  EXPECT_EQ(refused([](auto& a) { a.set_municipality("102017"); }),
            "invalid: municipality: not a municipality's code");
  EXPECT_EQ(refused([](auto& a) { a.set_certificate("x"); }),
            "invalid: certificate: no X.509 certificate in DER");
  EXPECT_EQ(refused([](auto& a) { a.set_closed(true); }), "ok");
  EXPECT_TRUE(registry_.agencies().at(kAgency).closed());
}

TEST_F(RegistryTest, AnOperatorsRoleTerminalsAndLastDayAreChecked) {
  const auto refused = [&](const std::function<void(v1::OperatorRegistered&)>& change) {
    v1::OperatorRegistered out = Operator("ito");
    change(out);
    return Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, out);
  };
  EXPECT_EQ(refused([](auto& o) { o.clear_operator_id(); }), "invalid: operator_id: missing");
  EXPECT_EQ(refused([](auto& o) { o.add_roles("king"); }), "invalid: roles: no such role: king");
  EXPECT_EQ(refused([](auto& o) { o.add_terminals(""); }), "invalid: terminals: one without a name");
  EXPECT_EQ(refused([](auto& o) { o.set_valid_until("2026-02-30"); }), "invalid: valid_until: not a date");
  EXPECT_EQ(refused([](auto& o) {
              o.add_terminals("T-1");
              o.set_valid_until("2027-03-31");
            }),
            "ok");
  EXPECT_EQ(registry_.FindOperator("ito")->terminals, std::set<std::string>{"T-1"});
  EXPECT_EQ(registry_.FindOperator("ito")->valid_until, "2027-03-31");
}

TEST_F(RegistryTest, AnOperatorWithoutRolesOrKeyIsDenied) {
  EXPECT_EQ(registry_.FindOperator("nobody").status().code(), Code::kDenied);
  v1::OperatorRegistered without = Operator("sato");
  without.clear_roles();
  ASSERT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, without), "ok");
  EXPECT_EQ(registry_.FindOperator("sato").status().code(), Code::kDenied);
  ASSERT_EQ(Apply(Change(v1::KEY_USE_OPERATOR, "suzuki", v1::KEY_ACTION_REVOKE)), "ok");
  EXPECT_EQ(registry_.FindOperator("suzuki").status().code(), Code::kDenied);
}

TEST_F(RegistryTest, WhatIsNotCarriedOutIsRefused) {
  EXPECT_EQ(Apply(v1::EVENT_KIND_SELF_INSPECTION, v1::SelfInspection()),
            "unsupported: this version does not carry out events of this kind");
  EXPECT_EQ(Apply(v1::EVENT_KIND_LEDGER_OPENED, opened_), "invalid: ledger: the ledger was opened already");
}

TEST_F(RegistryTest, AnOpeningIsOfAPrefectureAndOfThisVersionsAlgorithms) {
  const auto refused = [&](const std::function<void(v1::LedgerOpened&)>& change) {
    v1::LedgerOpened other = opened_;
    change(other);
    Registry fresh;
    const Status status = fresh.Apply(v1::EVENT_KIND_LEDGER_OPENED, other.SerializeAsString(), Position(0), kNow);
    return std::string(CodeName(status.code())) + ": " + status.message();
  };
  EXPECT_EQ(refused([](auto& o) { o.set_prefecture(48); }), "invalid: prefecture: 1 to 47");
  EXPECT_EQ(refused([](auto& o) { o.set_ledger("short"); }), "invalid: ledger: 16 bytes");
  EXPECT_EQ(refused([](auto& o) { o.set_intake_public_key("short"); }), "invalid: intake_public_key: 32 bytes");
  EXPECT_EQ(refused([](auto& o) { o.mutable_algorithms()->set_signature("ml-dsa-65"); }),
            "unsupported: algorithms: not those of this version");
}

TEST_F(RegistryTest, ASchemaIsKnownByTheNameOfItsMessage) {
  v1::SchemaRegistered schema;
  schema.set_file_descriptor_set("set");
  schema.set_sha256(std::string(View(Sha256Of({"other"}))));
  EXPECT_EQ(Apply(v1::EVENT_KIND_SCHEMA_REGISTERED, schema), "invalid: name: missing");
  schema.set_name("daicho.events.v1.UpdateNotice");
  EXPECT_EQ(Apply(v1::EVENT_KIND_SCHEMA_REGISTERED, schema), "invalid: sha256: not the schema's");
  schema.set_sha256(std::string(View(Sha256Of({"set"}))));
  EXPECT_EQ(Apply(v1::EVENT_KIND_SCHEMA_REGISTERED, schema), "ok");
  EXPECT_TRUE(registry_.KnowsSchema("daicho.events.v1.UpdateNotice"));
}

// --- rules and consents --------------------------------------------------------------------------

TEST_F(RegistryTest, RulesAreSetByTwoPersonsAfterTheFirst) {
  EXPECT_EQ(Set(Rules(1), {"sato", "suzuki"}), "invalid: consents: not to the rules that a ledger begins with");
  ASSERT_EQ(Set(Rules(1), {}), "ok");
  EXPECT_EQ(Set(Rules(2), {}), "invalid: consents: of two operators, two persons");
  EXPECT_EQ(Set(Rules(2), {"sato"}), "invalid: consents: of two operators, two persons");
  EXPECT_EQ(Set(Rules(2), {"sato", "sato"}), "invalid: consents: of two operators, two persons");
  EXPECT_EQ(Set(Rules(3), {"sato", "suzuki"}), "invalid: version: 2 comes next");
  EXPECT_EQ(Set(Rules(2), {"sato", "suzuki"}), "ok");
  EXPECT_EQ(registry_.policy()->rules.version(), 2);
}

TEST_F(RegistryTest, TwoOperatorsOfOnePersonDoNotConsentTwice) {
  ASSERT_EQ(Set(Rules(1), {}), "ok");
  v1::OperatorRegistered second = Operator("sato-2");
  second.set_verification_id("person-sato");
  ASSERT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, second), "ok");
  EXPECT_EQ(Set(Rules(2), {"sato", "sato-2"}), "invalid: consents: of two operators, two persons");
}

TEST_F(RegistryTest, AConsentIsToExactlyThisByWhoMayGiveIt) {
  ASSERT_EQ(Set(Rules(1), {}), "ok");
  const std::string rules = Rules(2).SerializeAsString();
  const auto refused = [&](const v1::Consent& consent) {
    v1::PolicySet set;
    set.set_rules(rules);
    *set.add_consents() = Consent("suzuki", v1::EVENT_KIND_POLICY_SET, rules);
    *set.add_consents() = consent;
    return Apply(v1::EVENT_KIND_POLICY_SET, set);
  };
  const auto with = [&](const std::function<void(v1::ConsentStatement&)>& change) {
    return refused(Consent("sato", v1::EVENT_KIND_POLICY_SET, rules, change));
  };
  EXPECT_EQ(refused(Consent("sato", v1::EVENT_KIND_POLICY_SET, "other")), "invalid: consents.digest: to something else");
  EXPECT_EQ(refused(Consent("sato", v1::EVENT_KIND_ERASURE, rules)), "invalid: consents.digest: to something else");
  EXPECT_EQ(with([](auto& s) { s.set_ledger(std::string(16, 'X')); }), "invalid: consents.digest: to something else");
  EXPECT_EQ(with([](auto& s) { s.set_version(2); }), "unsupported: consents.version: unknown");
  EXPECT_EQ(with([](auto& s) { s.set_operator_id("nobody"); }), "invalid: consents.operator_id: not registered");
  EXPECT_EQ(with([](auto& s) { s.set_operator_id("suzuki"); }), "invalid: consents.signature: not of the operator's key");
  v1::Consent changed = Consent("sato", v1::EVENT_KIND_POLICY_SET, rules);
  changed.set_key_id("nope");
  EXPECT_EQ(refused(changed), "invalid: consents.signature: not of the operator's key");
  v1::RoleDefined clerk;
  clerk.set_role("clerk");
  ASSERT_EQ(Apply(v1::EVENT_KIND_ROLE_DEFINED, clerk), "ok");
  v1::OperatorRegistered without = Operator("ito");
  without.clear_roles();
  without.add_roles("clerk");
  ASSERT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, without), "ok");
  EXPECT_EQ(refused(Consent("ito", v1::EVENT_KIND_POLICY_SET, rules)), "invalid: consents.operator_id: may not consent");
}

TEST_F(RegistryTest, NobodyConsentsAfterTheLastDayOrUnderARevokedKey) {
  ASSERT_EQ(Set(Rules(1), {}), "ok");
  v1::OperatorRegistered until = Operator("sato");
  until.set_valid_until("2026-11-24");
  ASSERT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, until), "ok");
  EXPECT_EQ(Set(Rules(2), {"sato", "suzuki"}), "ok") << "signed on the last day";
  until.set_valid_until("2026-11-23");
  ASSERT_EQ(Apply(v1::EVENT_KIND_OPERATOR_REGISTERED, until), "ok");
  EXPECT_EQ(Set(Rules(3), {"sato", "suzuki"}), "invalid: consents.operator_id: valid no longer");
  ASSERT_EQ(Apply(Change(v1::KEY_USE_OPERATOR, "suzuki", v1::KEY_ACTION_REVOKE)), "ok");
  EXPECT_EQ(Set(Rules(3), {"suzuki", "sato"}), "invalid: consents.operator_id: not registered");
}

TEST_F(RegistryTest, AfterARotationOnlyTheNewKeyConsents) {
  ASSERT_EQ(Set(Rules(1), {}), "ok");
  const SigningKey next = SigningKey::Generate();
  ASSERT_EQ(Apply(Rotation(v1::KEY_USE_OPERATOR, "sato", Bytes(next.public_key()))), "ok");
  EXPECT_EQ(Set(Rules(2), {"sato", "suzuki"}), "invalid: consents.signature: not of the operator's key");
  operators_["sato"] = next;
  EXPECT_EQ(Set(Rules(2), {"sato", "suzuki"}), "ok");
}

TEST_F(RegistryTest, EveryRuleOfRetentionIsSound) {
  const auto refused = [&](const std::function<void(v1::RetentionRule&)>& change, int times = 1) {
    v1::PolicyRules rules = Rules(1);
    for (int i = 0; i < times; ++i) {
      v1::RetentionRule& rule = *rules.add_retention_rules();
      rule.set_rule("r" + std::to_string(i));
      rule.set_retention(v1::RETENTION_CLASS_OPERATION);
      rule.set_start(v1::RETENTION_START_ADMITTED);
      rule.set_years(7);
      change(rule);
    }
    return Set(rules, {});
  };
  EXPECT_EQ(refused([](auto& r) { r.clear_rule(); }), "invalid: retention_rules[].rule: missing or twice");
  EXPECT_EQ(refused([](auto& r) { r.set_rule("r"); }, 2), "invalid: retention_rules[r].rule: missing or twice");
  EXPECT_EQ(refused([](auto& r) { r.clear_retention(); }), "invalid: retention_rules[r0].retention: unknown");
  EXPECT_EQ(refused([](auto& r) { r.set_years(0); }), "invalid: retention_rules[r0].years: 1 to 1000, or permanent");
  EXPECT_EQ(refused([](auto& r) { r.set_years(1'001); }), "invalid: retention_rules[r0].years: 1 to 1000, or permanent");
  EXPECT_EQ(refused([](auto& r) { r.set_permanent(true); }), "invalid: retention_rules[r0].years: 1 to 1000, or permanent");
  EXPECT_EQ(refused([](auto& r) { r.set_retention(v1::RETENTION_CLASS_ADMINISTRATION); }),
            "invalid: retention_rules[r0].permanent: what verifies the ledger stays as long as it");
  EXPECT_EQ(refused([](auto& r) { r.set_start(v1::RETENTION_START_RECEIVED); }),
            "invalid: retention_rules[r0].start: not one of this class");
  EXPECT_EQ(refused([](auto& r) { r.add_notice_kinds(v1::NOTICE_KIND_ENTRY); }),
            "invalid: retention_rules[r0].notice_kinds: of notices, and only of them");
  EXPECT_EQ(refused([](auto&) {}, 2), "invalid: retention_rules[r1]: another rule covers the same");
}

TEST_F(RegistryTest, AStandingOrderIsNamedWhereErasureIsStanding) {
  v1::PolicyRules rules = Rules(1);
  rules.set_standing_erasure(true);
  EXPECT_EQ(Set(rules, {}), "invalid: standing_order: with standing_erasure, and only with it");
  rules = Rules(1);
  rules.set_standing_order("order 1");
  EXPECT_EQ(Set(rules, {}), "invalid: standing_order: with standing_erasure, and only with it");
}

TEST_F(RegistryTest, APolicyForWitnessesIsOneThatCanBeRead) {
  v1::PolicyRules rules = Rules(1);
  rules.set_witness_policy("quorum nobody\n");
  const std::string refused = Set(rules, {});
  EXPECT_EQ(refused.rfind("invalid: witness_policy: line 1: ", 0), 0u) << refused;
  rules.set_witness_policy("quorum none\n");
  EXPECT_EQ(Set(rules, {}), "ok");
}

// --- erasures ------------------------------------------------------------------------------------

class ErasureTest : public RegistryTest {
 protected:
  ErasureTest() {
    v1::PolicyRules rules = Rules(1);
    v1::RetentionRule& rule = *rules.add_retention_rules();
    rule.set_rule("operation");
    rule.set_retention(v1::RETENTION_CLASS_OPERATION);
    rule.set_start(v1::RETENTION_START_ADMITTED);
    rule.set_years(7);
    EXPECT_EQ(Set(rules, {}), "ok");  // at 6
  }
  v1::ErasurePlan Plan(std::uint32_t chunk, std::uint32_t chunks) const {
    v1::ErasurePlan plan;
    plan.set_version(1);
    plan.set_ledger(opened_.ledger());
    plan.set_run(std::string(16, 'R'));
    plan.set_chunk(chunk);
    plan.set_chunk_count(chunks);
    plan.set_judged_on("2026-11-24");
    plan.set_evaluated_at(next_ - 1);
    plan.set_policy_position(6);
    v1::ErasedKeys& keys = *plan.add_keys();
    keys.set_rule("operation");
    keys.set_subject(std::string(16, 'S'));
    return plan;
  }
  std::string Order(const v1::ErasurePlan& plan, const std::vector<std::string>& consenting = {"sato", "suzuki"}) {
    v1::Erasure erasure;
    erasure.set_plan(plan.SerializeAsString());
    for (const std::string& id : consenting) *erasure.add_consents() = Consent(id, v1::EVENT_KIND_ERASURE, erasure.plan());
    return Apply(v1::EVENT_KIND_ERASURE, erasure);
  }
  std::string Refused(const std::function<void(v1::ErasurePlan&)>& change) {
    v1::ErasurePlan plan = Plan(0, 2);
    change(plan);
    return Order(plan);
  }
};

TEST_F(ErasureTest, ARunIsOrderedChunkByChunkAlsoAfterARestart) {
  EXPECT_EQ(Order(Plan(1, 2)), "invalid: plan.chunk: not the next of its run");
  ASSERT_EQ(Order(Plan(0, 2)), "ok");
  EXPECT_EQ(Order(Plan(0, 2)), "invalid: plan.chunk: not the next of its run");
  Registry restored;
  for (const auto& [position, row] : registry_.unsaved()) ASSERT_TRUE(restored.Restore(position, row).ok());
  restored.unsaved() = registry_.unsaved();
  registry_ = restored;
  ASSERT_EQ(Order(Plan(1, 2)), "ok");
  v1::ErasureCompleted done;
  done.set_run(std::string(16, 'R'));
  done.set_erased_through(1);
  done.set_epoch_begun(2);
  done.set_epoch_destroyed(1);
  EXPECT_EQ(Apply(v1::EVENT_KIND_ERASURE_COMPLETED, done), "invalid: erased_through: no erasure is there");
  done.set_erased_through(8);
  done.set_epoch_begun(1);
  EXPECT_EQ(Apply(v1::EVENT_KIND_ERASURE_COMPLETED, done), "invalid: epoch_begun: not after epoch_destroyed");
  done.set_epoch_begun(2);
  EXPECT_EQ(Apply(v1::EVENT_KIND_ERASURE_COMPLETED, done), "ok");
  EXPECT_EQ(registry_.erasures(), (std::vector<Position>{Position(7), Position(8)}));
}

TEST_F(ErasureTest, APlanThatBreaksARuleIsRefused) {
  EXPECT_EQ(Refused([](auto& p) { p.set_version(2); }), "unsupported: plan.version: unknown");
  EXPECT_EQ(Refused([](auto& p) { p.set_ledger("other"); }), "invalid: plan.ledger: of another ledger");
  EXPECT_EQ(Refused([](auto& p) { p.set_run("short"); }), "invalid: plan.run: 16 bytes");
  EXPECT_EQ(Refused([](auto& p) { p.set_chunk_count(0); }), "invalid: plan.chunk: not the next of its run");
  EXPECT_EQ(Refused([](auto& p) { p.set_judged_on("today"); }), "invalid: plan.judged_on: not a date");
  EXPECT_EQ(Refused([](auto& p) { p.set_judged_on("2190-01-02"); }), "invalid: plan.judged_on: has not come yet");
  EXPECT_EQ(Refused([](auto& p) { p.set_evaluated_at(99); }), "invalid: plan.evaluated_at: lies ahead");
  EXPECT_EQ(Refused([](auto& p) { p.set_policy_position(5); }), "invalid: plan.policy_position: not the rules in force");
  EXPECT_EQ(Refused([](auto& p) { p.clear_keys(); }), "invalid: plan.keys: none");
  EXPECT_EQ(Refused([](auto& p) { p.mutable_keys(0)->set_rule("none"); }),
            "invalid: plan.keys.rule: no rule by which anything ends");
  EXPECT_EQ(Refused([](auto& p) { p.mutable_keys(0)->set_subject("short"); }), "invalid: plan.keys.subject: 16 bytes");
  EXPECT_EQ(Refused([](auto& p) { p.mutable_keys(0)->set_first_step(1); }),
            "invalid: plan.keys.last_step: before first_step");
  EXPECT_EQ(Order(Plan(0, 1), {"sato"}), "invalid: consents: of two operators, two persons");
}

// --- rules of provision, agreements --------------------------------------------------------------

TEST_F(RegistryTest, ARuleOfProvisionMayNotGoBeyondTheLaw) {
  const std::string in = "invalid: provision_rules[30-15-1/5-6]";
  EXPECT_EQ(SetProvision([](auto& r) { r.clear_basis(); }),
            "invalid: provision_rules[].basis: missing, or twice for a recipient");
  EXPECT_EQ(SetProvision([](auto& r) { r.clear_recipient(); }), in + ": recipient: missing or unknown");
  EXPECT_EQ(SetProvision([](auto& r) { r.add_agencies("税務課"); }), in + ": agencies: 1 to 40 of a-z 0-9 -");
  EXPECT_EQ(SetProvision([](auto& r) { r.add_modes(v1::PROVISION_MODE_UNSPECIFIED); }), in + ": modes: unknown");
  EXPECT_EQ(SetProvision([](auto& r) { r.add_methods(v1::DELIVERY_METHOD_UNSPECIFIED); }), in + ": methods: unknown");
  EXPECT_EQ(SetProvision([](auto& r) { r.add_condition_keys("hat"); }), in + ": condition_keys: no such key: hat");
  EXPECT_EQ(SetProvision([](auto& r) { r.set_condition_keys_min(5); }), in + ": condition_keys_min: at most 4");
  EXPECT_EQ(SetProvision([](auto& r) { r.add_fields("hat"); }), in + ": fields: no such field: hat");
  EXPECT_EQ(SetProvision([](auto& r) { r.add_fields("resident_code"); }),
            in + ": fields: 住民票コード is not released under this article");
  const std::string number = ": fields: 個人番号 is not released without a basis in 番号法, nor to a municipality";
  EXPECT_EQ(SetProvision([](auto& r) { r.add_fields("individual_number"); }), in + number);
  EXPECT_EQ(SetProvision([](auto& r) {
              r.set_recipient(v1::RECIPIENT_CLASS_MUNICIPAL_AGENCY);
              r.set_number_basis("番号法9条1項");
              r.add_fields("individual_number");
            }),
            in + number);
  EXPECT_EQ(SetProvision([](auto& r) {
              r.set_recipient(v1::RECIPIENT_CLASS_MUNICIPAL_AGENCY);
              r.set_ordinance("条例2条");
            }),
            in + ": requires_agreement: a municipality's agency needs 条例 and 協定");
  EXPECT_EQ(SetProvision([](auto& r) { r.set_counts_only(true); }), in + ": fields: none where only counts are given");
  EXPECT_EQ(SetProvision([](auto& r) { r.set_valid_from("soon"); }), in + ": valid_from: not a date");
  EXPECT_EQ(SetProvision([](auto& r) { r.set_valid_until("2015-10-04"); }),
            in + ": valid_until: not a date on or after valid_from");
  EXPECT_EQ(registry_.policy(), nullptr);
  EXPECT_EQ(SetProvision([](auto& r) {
              r.set_number_basis("番号法9条1項");
              r.add_fields("individual_number");
            }),
            "ok");
}

TEST_F(RegistryTest, AnAgreementIsConcludedWithAMunicipalityForItsOwnAgencies) {
  v1::AgencyRegistered office = Agency();
  office.set_agency("maebashi-tax");
  office.set_recipient(v1::RECIPIENT_CLASS_MUNICIPAL_AGENCY);
  office.set_municipality(kMaebashi);
  EXPECT_EQ(Conclude(Agreement(), {"sato", "suzuki"}),
            "invalid: agencies: maebashi-tax is no agency of the municipality");
  ASSERT_EQ(Apply(v1::EVENT_KIND_AGENCY_REGISTERED, office), "ok");
  const auto refused = [&](const std::function<void(v1::Agreement&)>& change) {
    v1::Agreement agreement = Agreement();
    change(agreement);
    return Conclude(agreement, {"sato", "suzuki"});
  };
  EXPECT_EQ(refused([](auto& a) { a.clear_agreement(); }), "invalid: agreement: missing or too long");
  EXPECT_EQ(refused([](auto& a) { a.set_municipality("102017"); }), "invalid: municipality: not a municipality's code");
  EXPECT_EQ(refused([](auto& a) { a.set_municipality("102024"); }),
            "invalid: agencies: maebashi-tax is no agency of the municipality");
  EXPECT_EQ(refused([](auto& a) { a.clear_agencies(); }), "invalid: agencies: none");
  EXPECT_EQ(refused([](auto& a) { a.add_agencies(kAgency); }),
            "invalid: agencies: gunma-tax is no agency of the municipality");
  EXPECT_EQ(refused([](auto& a) { a.clear_ordinance(); }), "invalid: ordinance: missing");
  EXPECT_EQ(refused([](auto& a) { a.add_duties(""); }), "invalid: duties: none, or one without a code");
  EXPECT_EQ(refused([](auto& a) { a.set_concluded_on("2026-02-29"); }), "invalid: concluded_on: not a date");
  EXPECT_EQ(refused([](auto& a) { a.set_valid_from("2026-03-19"); }), "invalid: valid_from: before concluded_on");
  EXPECT_EQ(refused([](auto& a) { a.set_valid_until("2026-03-31"); }),
            "invalid: valid_until: not a date on or after valid_from");
  EXPECT_EQ(refused([](auto& a) { a.clear_document_digest(); }), "invalid: document_digest: 32 bytes");
  EXPECT_EQ(Conclude(Agreement(), {"sato"}), "invalid: consents: of two operators, two persons");
  EXPECT_TRUE(registry_.agreements().empty());
  ASSERT_EQ(Conclude(Agreement(), {"sato", "suzuki"}), "ok");
  v1::Agreement ended = Agreement();
  ended.set_valid_until("2027-03-31");
  ASSERT_EQ(Conclude(ended, {"sato", "suzuki"}), "ok");
  ASSERT_EQ(registry_.agreements().size(), 1u) << "a later one of its number takes its place";
  EXPECT_EQ(registry_.agreements().at("2026-1").agreement.valid_until(), "2027-03-31");
}

}  // namespace
}  // namespace daicho
