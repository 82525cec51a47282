// The state of a past day as an auditor makes it, and entries as an auditor reads them. Method: a real prefecture with
// a notary; checkpoints are forged by appending to their topic; a ledger's own schemas are left out or registered.
#include "consumers/audit_replay.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "consumers/audit_show.h"
#include "events/note.h"
#include "events/tree_head.h"
#include "ledger/files.h"
#include "ledger/notary.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

using nlohmann::json;
using std::chrono::hours;

class AuditedPrefecture : public ::testing::Test {
 protected:
  AuditedPrefecture() {
    p_.Found();
    NotaryOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p_.ledger_id();
    o.registrar_public_key = p_.registrar_key().public_key();
    o.key_of = [this](const Key256& public_key) -> Result<SigningKey> {
      for (const SigningKey& key : p_.held().receipts) {
        if (key.public_key() == public_key) return key;
      }
      return Denied("no such key");
    };
    o.dir = p_.Path("notary");
    o.log = &p_.log();
    o.clock = &p_.clock();
    o.interval = std::chrono::milliseconds(0);
    notary_ = Notary::Open(std::move(o)).value();
  }

  void Admit(const std::vector<v1::UpdateNotice>& notices) {
    const v1::Receipt receipt = p_.Notify(kMaebashi, notices);
    ASSERT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
  }
  void Certify() { ASSERT_TRUE(notary_->CatchUp().ok()); }
  Date Today() { return JapanDate(p_.clock().Now()); }
  void PassDays(int days) { p_.clock().Advance(hours(24 * days)); }
  MerkleEdge Tree() {
    LedgerReplay replay = p_.NewReplay();
    p_.Entries(&replay);
    return replay.tree();
  }
  // A checkpoint of what the ledger holds now, as whoever has `key` signs it.
  void Forge(const SigningKey& key, const std::function<void(TreeHead&)>& change) {
    TreeHead head{LedgerOrigin(Prefecture::kNumber), Tree().size(), Tree().Root(), std::string(View(p_.ledger_id())),
                  p_.clock().Now()};
    change(head);
    ASSERT_TRUE(p_.log().Append(Topics{Prefecture::kNumber}.Checkpoint(), Record{"", SignTreeHead(head, key), {}}).ok());
  }

  ReplayOptions Options(const std::string& out) {
    ReplayOptions o;
    o.ledger.prefecture = Prefecture::kNumber;
    o.ledger.ledger = p_.ledger_id();
    o.ledger.registrar = p_.registrar_key().public_key();
    o.ledger.sequencer = p_.ledger_key().public_key();
    o.log = &p_.log();
    o.keys = &p_.key_store();
    o.out = p_.Path(out);
    return o;
  }
  Result<json> At(const std::string& out, Position position, const std::string& from = "") {
    ReplayOptions o = Options(out);
    o.position = position;
    if (!from.empty()) o.from = p_.Path(from);
    return Run(o);
  }
  Result<json> AsOf(const std::string& out, Date day) {
    ReplayOptions o = Options(out);
    o.as_of = day;
    return Run(o);
  }
  static Result<json> Run(const ReplayOptions& options) {
    ASSIGN_OR_RETURN(const std::string state, ReplayTo(options));
    EXPECT_EQ(ReadFile(options.out + "/state.json").value(), state);
    return json::parse(state);
  }
  std::vector<json> Records(const std::string& out) {
    std::vector<json> lines;
    std::istringstream text(ReadFile(p_.Path(out) + "/records.ndjson").value());
    for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
    return lines;
  }
  Position Last() { return Position(p_.Size() - 1); }

  Prefecture p_;
  std::unique_ptr<Notary> notary_;
  Person hanako_{1}, taro_{2};
};

// --- replay --------------------------------------------------------------------------------------

using AuditReplay = AuditedPrefecture;

TEST_F(AuditReplay, TheStateOfADayHoldsWhatWasAdmittedByItsEnd) {
  Admit({Birth(hanako_, kMaebashi)});
  const Date day = Today();
  const MerkleEdge tree = Tree();
  Certify();
  PassDays(1);
  Admit({AddressChange(hanako_, 2, kMaebashi)});
  Admit({Birth(taro_, kMaebashi)});
  Certify();

  const auto state = AsOf("then", day);
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  EXPECT_EQ((*state)["size"], tree.size());
  EXPECT_EQ((*state)["root"], ToHex(View(tree.Root())));
  ASSERT_EQ(Records("then").size(), 1u);
  EXPECT_EQ(Records("then")[0]["update_number"], 1);

  ASSERT_TRUE(AsOf("now", Today()).ok());
  ASSERT_EQ(Records("now").size(), 2u);
}

TEST_F(AuditReplay, ASubmissionIsTakenWhole) {
  const std::uint64_t before = p_.Size();
  Admit({Birth(hanako_, kMaebashi), Birth(taro_, kMaebashi)});
  const std::uint64_t after = p_.Size();
  Admit({AddressChange(hanako_, 2, kMaebashi)});
  EXPECT_EQ(At("one", Position(before)).value()["size"], after);
}

TEST_F(AuditReplay, TheFirstCheckpointThatCoversTheStateStandsInIt) {
  Certify();
  Admit({Birth(hanako_, kMaebashi)});
  const Position position = Last();
  Admit({Birth(taro_, kMaebashi)});
  Certify();
  const std::uint64_t covered = p_.Size();
  Admit({AddressChange(hanako_, 2, kMaebashi)});
  Certify();
  const auto state = At("out", position);
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  const auto head = VerifyCheckpoint((*state)["checkpoint"].get<std::string>(), Prefecture::kNumber, p_.ledger_id(),
                                     VerifyingKey::From(p_.ledger_key().public_key()).value());
  ASSERT_TRUE(head.ok()) << head.status().ToString();
  EXPECT_EQ(head->size, covered);
}

TEST_F(AuditReplay, ACheckpointByAKeyThatWasRotatedSinceIsTaken) {
  Admit({Birth(hanako_, kMaebashi)});
  const Position position = Last();
  p_.RotateSequencerKey();
  Certify();
  const auto state = At("out", position);
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  EXPECT_TRUE(VerifyTreeHead((*state)["checkpoint"].get<std::string>(),
                             VerifyingKey::From(p_.held().receipts.front().public_key()).value())
                  .ok());
}

TEST_F(AuditReplay, WhatNoCheckpointCoversYetHasNone) {
  Certify();
  Admit({Birth(hanako_, kMaebashi)});
  EXPECT_EQ(At("out", Last()).value()["checkpoint"], "");
}

TEST_F(AuditReplay, ACoveringCheckpointOfAnotherKeyIsRefusedAndNothingIsWritten) {
  Admit({Birth(hanako_, kMaebashi)});
  Forge(SigningKey::Generate(), [](TreeHead&) {});
  EXPECT_EQ(At("out", Last()).status().code(), Code::kTampered);
  EXPECT_FALSE(FileExists(p_.Path("out")));
}

TEST_F(AuditReplay, ACoveringCheckpointOfAnotherHistoryIsRefused) {
  Admit({Birth(hanako_, kMaebashi)});
  const Position position = Last();
  Admit({Birth(taro_, kMaebashi)});
  Forge(p_.ledger_key(), [](TreeHead& head) { head.root[0] ^= 1; });
  EXPECT_EQ(At("out", position).status().code(), Code::kTampered);
}

TEST_F(AuditReplay, ACheckpointOfMoreThanTheLedgerHoldsIsRefused) {
  Admit({Birth(hanako_, kMaebashi)});
  Forge(p_.ledger_key(), [](TreeHead& head) { head.size += 5; });
  EXPECT_EQ(At("out", Last()).status().code(), Code::kTampered);
}

TEST_F(AuditReplay, WhatTheLedgerHasNotIsNotFound) {
  EXPECT_EQ(At("out", Position(p_.Size())).status().code(), Code::kNotFound);
  EXPECT_EQ(AsOf("out", Date{2020, 1, 1}).status().code(), Code::kNotFound);
}

TEST_F(AuditReplay, GoneOnFromAnEarlierStateItIsTheSameAsFromTheBeginning) {
  Admit({Birth(hanako_, kMaebashi)});
  const Position then = Last();
  ASSERT_TRUE(At("then", then).ok());
  Admit({AddressChange(hanako_, 2, kMaebashi), Birth(taro_, kMaebashi)});
  Certify();
  const auto direct = At("direct", Last()), continued = At("continued", Last(), "then");
  ASSERT_TRUE(direct.ok() && continued.ok()) << continued.status().ToString();
  EXPECT_EQ(*direct, *continued);
  EXPECT_EQ(Records("direct"), Records("continued"));
  EXPECT_EQ(At("back", then, "direct").status().code(), Code::kInvalid);
}

TEST_F(AuditReplay, AnEarlierStateThatWasChangedIsRefused) {
  Admit({Birth(hanako_, kMaebashi)});
  ASSERT_TRUE(At("then", Last()).ok());
  const std::string path = p_.Path("then") + "/state.json", text = ReadFile(path).value();
  Admit({Birth(taro_, kMaebashi)});
  for (const char* field : {"root", "digest"}) {
    json state = json::parse(text);
    std::string value = state[field];
    value[0] = value[0] == '0' ? '1' : '0';
    state[field] = value;
    ASSERT_TRUE(WriteFileDurably(path, state.dump()).ok());
    EXPECT_EQ(At(std::string("from-") + field, Last(), "then").status().code(), Code::kTampered) << field;
  }
}

TEST_F(AuditReplay, AnAuditorsEarlierStateCarriesHisSignature) {
  Admit({Birth(hanako_, kMaebashi)});
  ReplayOptions first = Options("then");
  first.position = Last();
  first.auditor = SigningKey::Generate();
  ASSERT_TRUE(ReplayTo(first).ok());
  Admit({Birth(taro_, kMaebashi)});
  ReplayOptions next = Options("now");
  next.position = Last();
  next.from = first.out;
  next.auditor = SigningKey::Generate();
  EXPECT_EQ(ReplayTo(next).status().code(), Code::kTampered);
  next.auditor = first.auditor;
  EXPECT_TRUE(ReplayTo(next).ok());
}

// --- show ----------------------------------------------------------------------------------------

class AuditShow : public AuditedPrefecture {
 protected:
  DraftEvent Schema(std::string_view message, std::string schema) {
    v1::SchemaRegistered registered;
    registered.set_name(std::string(message));
    registered.set_sha256(std::string(View(Sha256Of({schema}))));
    registered.set_file_descriptor_set(std::move(schema));
    return Administration(v1::EVENT_KIND_SCHEMA_REGISTERED, registered.SerializeAsString());
  }
  void Register(std::vector<DraftEvent> schemas) {
    ASSERT_EQ(p_.Submit(Prefecture::Registrar(), schemas).outcome(), v1::OUTCOME_ADMITTED);
  }
  DraftEvent Envelope() {
    return Schema(v1::Entry::descriptor()->full_name(), EncodeSchema(*v1::Entry::descriptor()));
  }
  DraftEvent Of(v1::EventKind kind) { return Schema(FindKind(kind)->message, EncodeSchema(*FindKind(kind))); }
  Result<std::vector<json>> Show(std::optional<Position> position = {}) {
    std::vector<json> out;
    RETURN_IF_ERROR(ShowEntries(p_.log(), Prefecture::kNumber, position,
                                [&](const std::string& line) { out.push_back(json::parse(line)); }));
    return out;
  }
};

TEST_F(AuditShow, ReadsEveryEntryWithTheSchemasOfTheLedger) {
  Register({Envelope(), Of(v1::EVENT_KIND_ISSUER_REGISTERED)});
  Admit({Birth(hanako_, kMaebashi)});
  const auto lines = Show();
  ASSERT_TRUE(lines.ok()) << lines.status().ToString();
  ASSERT_EQ(lines->size(), p_.Size());
  const json& issuer = (*lines)[1];
  EXPECT_EQ(issuer["header"]["kind"], "EVENT_KIND_ISSUER_REGISTERED");
  EXPECT_EQ(issuer["parts"][0]["payload"]["issuer"], kMaebashi);
  EXPECT_TRUE(IsDetachedHead(FromBase64(issuer["leaf"]["head"].get<std::string>()).value()));
  const json& update = lines->back();
  EXPECT_EQ(update["header"]["issuer"], kMaebashi);
  EXPECT_EQ(update["leaf"]["position"], std::to_string(p_.Size() - 1));
  EXPECT_GT(update["parts"][0]["sealed_bytes"], 0);
}

TEST_F(AuditShow, AKindWhoseSchemaTheLedgerLacksIsShownWithoutItsPayload) {
  Register({Envelope()});
  const auto lines = Show(Position(1));
  ASSERT_TRUE(lines.ok()) << lines.status().ToString();
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ((*lines)[0]["header"]["kind"], "EVENT_KIND_ISSUER_REGISTERED");
  EXPECT_TRUE((*lines)[0]["parts"][0]["payload"].is_null());
}

TEST_F(AuditShow, OneEntryByItsPosition) {
  Register({Envelope()});
  EXPECT_EQ(Show(Last()).value().size(), 1u);
  EXPECT_EQ(Show(Position(p_.Size())).status().code(), Code::kNotFound);
}

TEST_F(AuditShow, ALedgerWithoutTheSchemaOfItsEnvelopeCannotBeRead) {
  EXPECT_EQ(Show().status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daicho
