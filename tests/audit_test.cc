// The auditor finds every attack on a ledger and names it. Method: a real prefecture, notary and witness make a
// ledger; an insider who holds every key but the witness's alters its records and checkpoints, writes them to a
// fresh log, and re-signs what helps him. A table says which kind of finding must be among those found. Then bytes
// are flipped at random, wherever there are any.
#include "consumers/audit.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "consumers/audit_report.h"
#include "consumers/evidence.h"
#include "consumers/export.h"
#include "events/evidence.pb.h"
#include "events/tree_proof.h"
#include "ledger/files.h"
#include "ledger/kafka_log.h"
#include "ledger/notary.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

constexpr char kWitness[] = "witness/1";

// What stands in the two topics.
struct Ledger {
  std::vector<Received> entries;
  std::vector<std::string> checkpoints;
};

// Two topics in memory, for reading.
class MemoryLog final : public Log {
 public:
  explicit MemoryLog(const Ledger& ledger) : ledger_(ledger) {}  // borrowed
  Status CreateTopic(const std::string&) override { return Denied("for reading"); }
  Status Append(const std::string&, const Record&) override { return Denied("for reading"); }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string&) override { return Denied("for reading"); }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    return std::unique_ptr<LogReader>(std::make_unique<Reader>(ledger_));
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    const bool entries = topic == Prefecture::LedgerTopic();
    return Bounds{Cursor(0), Cursor(entries ? ledger_.entries.size() : ledger_.checkpoints.size())};
  }
  Result<Received> ReadLast(const std::string&) override { return NotFound("not here"); }

 private:
  class Reader final : public LogReader {
   public:
    explicit Reader(const Ledger& ledger) : ledger_(ledger) {}
    Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
      entries_ = topic == Prefecture::LedgerTopic();
      next_ = from;
      return 0u;
    }
    Result<std::vector<Received>> Poll(std::size_t most, std::chrono::milliseconds) override {
      std::vector<Received> out;
      const std::size_t end = entries_ ? ledger_.entries.size() : ledger_.checkpoints.size();
      for (; out.size() < most && next_.value() < end; next_ = next_.Next()) {
        const std::size_t at = next_.value();
        out.push_back({0, next_, next_.Next(), entries_ ? ledger_.entries[at].key : "",
                       entries_ ? ledger_.entries[at].value : ledger_.checkpoints[at]});
      }
      return out;
    }
    Cursor Next(std::uint32_t) const override { return next_; }

   private:
    const Ledger& ledger_;
    bool entries_ = false;
    Cursor next_;
  };
  const Ledger& ledger_;
};

// A broker's topics under other names, so that every test has fresh ones.
class RenamedLog final : public Log {
 public:
  explicit RenamedLog(std::unique_ptr<Log> log) : log_(std::move(log)) {}
  Status CreateTopic(const std::string& topic) override { return log_->CreateTopic(Name(topic)); }
  Status Append(const std::string& topic, const Record& record) override {
    return log_->Append(Name(topic), record);
  }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override {
    return log_->OpenWriter(Name(name));
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    ASSIGN_OR_RETURN(auto reader, log_->OpenReader());
    return std::unique_ptr<LogReader>(std::make_unique<Reader>(*this, std::move(reader)));
  }
  Result<Bounds> GetBounds(const std::string& topic) override { return log_->GetBounds(Name(topic)); }
  Result<Received> ReadLast(const std::string& topic) override { return log_->ReadLast(Name(topic)); }

 private:
  class Reader final : public LogReader {
   public:
    Reader(const RenamedLog& log, std::unique_ptr<LogReader> reader) : log_(log), reader_(std::move(reader)) {}
    Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
      return reader_->Assign(log_.Name(topic), from);
    }
    Result<std::vector<Received>> Poll(std::size_t most, std::chrono::milliseconds wait) override {
      return reader_->Poll(most, wait);
    }
    Cursor Next(std::uint32_t source) const override { return reader_->Next(source); }

   private:
    const RenamedLog& log_;
    std::unique_ptr<LogReader> reader_;
  };
  std::string Name(const std::string& name) const { return prefix_ + name; }

  std::unique_ptr<Log> log_;
  const std::string prefix_ = "audit-" + ToHex(View(RandomArray<6>())) + ".";
};

std::unique_ptr<Log> OpenFreshLog(const std::string& which, const std::string& dir) {
  if (which == "Local") return OpenLocal(dir);
  const char* broker = std::getenv("DAICHO_TEST_KAFKA");
  CHECK(broker != nullptr);
  KafkaLogOptions options;
  options.brokers = broker;
  return std::make_unique<RenamedLog>(KafkaLog::Open(options).value());
}

// The ledger that is attacked, made once.
//   opening, registrations, schemas, policy │ 3 of Maebashi, one submission │ 1 of Takasaki │ 2 of Maebashi │ …
class World {
 public:
  static World& Get() {
    static World* const world = new World;  // outlives RocksDB's statics
    return *world;
  }

  World() {
    prefecture.Found();
    prefecture.Submit(Prefecture::Registrar(), {prefecture.Registration(RoleIssuer(10, "retention"),
                                                                        v1::ISSUER_ROLE_RETENTION)});
    std::vector<DraftEvent> schemas;
    for (const v1::EventKind kind :
         {v1::EVENT_KIND_UPDATE, v1::EVENT_KIND_LEDGER_OPENED, v1::EVENT_KIND_ISSUER_REGISTERED,
          v1::EVENT_KIND_POLICY_SET, v1::EVENT_KIND_SCHEMA_REGISTERED, v1::EVENT_KIND_KEY_CHANGED,
          v1::EVENT_KIND_ERASURE}) {
      v1::SchemaRegistered schema;
      schema.set_name(std::string(FindKind(kind)->message));
      schema.set_file_descriptor_set(EncodeSchema(*FindKind(kind)));
      schema.set_sha256(std::string(View(Sha256Of({schema.file_descriptor_set()}))));
      schemas.push_back(Administration(v1::EVENT_KIND_SCHEMA_REGISTERED, schema.SerializeAsString()));
    }
    prefecture.Submit(Prefecture::Registrar(), schemas);
    const v1::Receipt receipt = prefecture.Submit(Prefecture::Registrar(), {Policy()});
    EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
    OpenNotary();
    Certify();
    first_update = prefecture.Size();
    prefecture.Notify(kMaebashi,
                      {Birth(Person(1), kMaebashi), Birth(Person(2), kMaebashi), Birth(Person(3), kMaebashi)});
    Certify();
    prefecture.Notify(kTakasaki, {Birth(Person(4), kTakasaki)});
    prefecture.Notify(kMaebashi, {AddressChange(Person(1), 2, kMaebashi), MoveOut(Person(1), 3, kMaebashi)});
    Certify();
    prefecture.Notify(kTakasaki, {AddressChange(Person(4), 2, kTakasaki)});
    Certify();
    EXPECT_TRUE(prefecture.Stop().ok());
    good.entries = prefecture.ReadTopic(Prefecture::LedgerTopic());
    for (const Received& record : prefecture.ReadTopic(Topics{10}.Checkpoint())) {
      good.checkpoints.push_back(record.value);
    }
    notary.reset();
    public_part.prefecture = 10;
    public_part.ledger = prefecture.ledger_id();
    public_part.registrar = prefecture.registrar_key().public_key();
    public_part.sequencer = prefecture.ledger_key().public_key();
    v1::LedgerOpened opened;
    EXPECT_TRUE(opened.ParseFromString(prefecture.Opening().payload));
    public_part.intake = ToArray<32>(opened.intake_public_key()).value();
  }

  DraftEvent Policy() const {
    v1::PolicyRules rules;
    rules.set_version(1);
    v1::RetentionRule& removal = *rules.add_retention_rules();
    removal.set_rule("removal");
    removal.set_retention(v1::RETENTION_CLASS_NOTICE);
    removal.add_notice_kinds(v1::NOTICE_KIND_REMOVAL);
    removal.set_start(v1::RETENTION_START_RECEIVED);
    removal.set_years(150);
    v1::RetentionRule& record = *rules.add_retention_rules();
    record.set_rule("record");
    record.set_retention(v1::RETENTION_CLASS_NOTICE);
    record.add_notice_kinds(v1::NOTICE_KIND_ENTRY);
    record.add_notice_kinds(v1::NOTICE_KIND_AMEND);
    record.set_start(v1::RETENTION_START_SUPERSEDED);
    record.set_years(150);
    rules.set_standing_erasure(true);
    rules.set_standing_order("gunma-1");
    rules.set_witness_policy("witness w1 " + FormatNoteKey(WitnessKey()) + "\nquorum w1\n");
    v1::PolicySet set;
    set.set_rules(rules.SerializeAsString());
    return Administration(v1::EVENT_KIND_POLICY_SET, set.SerializeAsString());
  }
  NoteKey WitnessKey() const {
    return {kWitness, NoteAlgorithm::kCosignatureV1, VerifyingKey::From(witness.public_key()).value()};
  }
  void OpenNotary() {
    NotaryOptions o;
    o.prefecture = 10;
    o.ledger = prefecture.ledger_id();
    o.registrar_public_key = prefecture.registrar_key().public_key();
    o.key_of = [key = prefecture.ledger_key()](const Key256&) -> Result<SigningKey> { return key; };
    o.dir = prefecture.Path("notary");
    o.log = &prefecture.log();
    o.clock = &prefecture.clock();
    o.interval = std::chrono::milliseconds(0);
    notary = Notary::Open(std::move(o)).value();
  }
  // A checkpoint of all there is, cosigned.
  void Certify() {
    const Status covered = notary->CatchUp();
    ASSERT_TRUE(covered.ok()) << covered.ToString();
    const std::string note = notary->checkpoint();
    const std::uint64_t size = ParseTreeHead(note).value().size;
    const auto line = Cosign(note, kWitness, witness, prefecture.clock().Now());
    ASSERT_TRUE(notary->AddCosignature(size, WitnessKey(), *line).ok());
  }

  Prefecture prefecture;
  const SigningKey witness = SigningKey::Generate();
  std::unique_ptr<Notary> notary;
  LedgerPublic public_part;
  Ledger good;
  std::size_t first_update = 0;
};

// What an insider does to a ledger.
class Attack {
 public:
  Attack() : world_(World::Get()), ledger(world_.good) {}

  void Entry(std::size_t at, const std::function<void(v1::Entry&)>& change) {
    v1::Entry entry;
    EXPECT_TRUE(entry.ParseFromString(ledger.entries[at].value));
    change(entry);
    ledger.entries[at].value = entry.SerializeAsString();
  }
  void Leaf(std::size_t at, const std::function<void(v1::EntryLeaf&)>& change) {
    Entry(at, [&](v1::Entry& entry) {
      v1::EntryLeaf leaf;
      EXPECT_TRUE(leaf.ParseFromString(entry.leaf()));
      change(leaf);
      entry.set_leaf(leaf.SerializeAsString());
    });
  }
  void Header(std::size_t at, const std::function<void(v1::EventHeader&)>& change) {
    Leaf(at, [&](v1::EntryLeaf& leaf) {
      v1::EventHeader header;
      EXPECT_TRUE(header.ParseFromString(leaf.header()));
      change(header);
      leaf.set_header(header.SerializeAsString());
    });
  }
  void Drop(std::size_t first, std::size_t count) {
    const auto at = ledger.entries.begin() + static_cast<long>(first);
    ledger.entries.erase(at, at + static_cast<long>(count));
  }
  void Insert(std::size_t at, const Received& record) {
    ledger.entries.insert(ledger.entries.begin() + static_cast<long>(at), record);
  }
  std::size_t size() const { return ledger.entries.size(); }
  std::size_t update() const { return world_.first_update; }

  // A submission of one clear or sealed event, as the sequencer would write it; `key` signs.
  void Append(const std::string& issuer, const SigningKey& key, const DraftEvent& event) {
    LedgerReplay replay = world_.prefecture.NewReplay();
    for (const Received& record : ledger.entries) EXPECT_TRUE(replay.Next(record.value).ok());
    MerkleEdge tree = replay.FindIssuer(issuer)->tree;
    const v1::Draft draft = MakeDraft(event, issuer, Sequence(tree.size() + 1));
    tree.Append(LeafHash(draft.header()));
    v1::EntryLeaf leaf;
    leaf.set_version(kLeafVersion);
    leaf.set_ledger(std::string(View(world_.prefecture.ledger_id())));
    leaf.set_position(size());
    leaf.set_admitted_at(world_.prefecture.clock().Now().value());
    leaf.set_header(draft.header());
    const std::string subject(16, event.clear ? '\0' : 's');
    if (!event.clear) {
      leaf.set_effect(v1::EFFECT_ENTERED);
      leaf.add_keys()->set_subject(subject);
      leaf.mutable_keys(0)->set_slot(1'000);
    }
    const TreeHead head{IssuerOrigin(10, issuer), tree.size(), tree.Root(), leaf.ledger(), world_.prefecture.clock().Now()};
    leaf.set_head(DetachHead(SignTreeHead(head, key)).value());
    v1::Entry entry;
    leaf.SerializeToString(entry.mutable_leaf());
    if (event.clear) {
      entry.add_parts(draft.parts(0).salt() + draft.parts(0).payload());
    } else {
      entry.add_parts(SealPart(RandomArray<32>(), entry.leaf(), draft.parts(0).salt(), event.payload));
      AppendDigests(*entry.mutable_leaf(), {entry.parts(0)});
    }
    ledger.entries.push_back({0, Cursor(size()), Cursor(size() + 1), subject, entry.SerializeAsString()});
  }
  void Append(const std::string& issuer, const DraftEvent& event) {
    Append(issuer, world_.prefecture.SubmitterFor(issuer).key, event);
  }
  // Signs what the ledger has become, in place of its newest checkpoint or behind it.
  void SignCheckpoint() { ledger.checkpoints.push_back(Checkpoint(size(), Root(size()))); }
  std::string Checkpoint(std::uint64_t of_size, const Digest& root) {
    return SignTreeHead({LedgerOrigin(10), of_size, root, std::string(View(world_.prefecture.ledger_id())),
                         world_.prefecture.clock().Now()},
                        world_.prefecture.ledger_key());
  }
  Digest Root(std::uint64_t of_size) {
    MerkleEdge tree;
    for (const Received& record : ledger.entries) {
      EntryView entry;
      if (tree.size() == of_size || !ParseEntry(record.value, entry).ok()) break;
      tree.Append(LeafHash(entry.leaf));
    }
    return tree.Root();
  }
  // The leaf at `at` follows what was done to its part, and all checkpoints are signed anew.
  void Resign() {
    for (std::string& note : ledger.checkpoints) {
      const TreeHead head = ParseTreeHead(note).value();
      note = Checkpoint(head.size, Root(head.size));
    }
  }

  World& world_;
  Ledger ledger;
};

AuditOptions OptionsFor(Log& log) {
  AuditOptions o;
  o.ledger = World::Get().public_part;
  o.log = &log;
  o.clock = &World::Get().prefecture.clock();
  return o;
}

std::string Found(const AuditResult& result) {
  std::string out;
  for (const Finding& finding : result.findings) {
    out += std::string(InfoOf(finding.kind).id) + " at " + std::to_string(finding.position.value()) + ": " +
           finding.detail + "\n";
  }
  return out;
}

AuditResult AuditOf(const Ledger& ledger, bool first_only = false) {
  MemoryLog log(ledger);
  AuditOptions options = OptionsFor(log);
  options.first_only = first_only;
  return Audit(options).value();
}

void Flip(std::string& bytes, std::size_t at) { bytes[at] = static_cast<char>(bytes[at] ^ 1); }

v1::KeyChanged Revocation(const std::string& issuer, const KeySpan& key, std::uint64_t from) {
  v1::KeyChanged change;
  change.set_use(v1::KEY_USE_ISSUER);
  change.set_holder(issuer);
  change.set_action(v1::KEY_ACTION_REVOKE);
  change.set_old_key_id(key.key_id);
  change.set_from_position(from);
  change.set_reason("lost");
  return change;
}
DraftEvent RevokeTakasaki(Attack& a, std::uint64_t from) {
  LedgerReplay replay = a.world_.prefecture.NewReplay();
  for (const Received& record : a.ledger.entries) EXPECT_TRUE(replay.Next(record.value).ok());
  const auto key = replay.registry().CurrentKey(v1::KEY_USE_ISSUER, kTakasaki).value();
  return Administration(v1::EVENT_KIND_KEY_CHANGED, Revocation(kTakasaki, key, from).SerializeAsString());
}
// Orders the keys of row 0 to be erased under the standing order.
DraftEvent Erasure(Attack& a, const std::string& order) {
  v1::ErasurePlan plan;
  plan.set_version(1);
  plan.set_ledger(std::string(View(a.world_.prefecture.ledger_id())));
  plan.set_run(std::string(16, 'r'));
  plan.set_chunk_count(1);
  plan.set_judged_on("2026-11-24");
  plan.set_evaluated_at(a.size() - 1);
  plan.set_policy_position(a.update() - 1);
  v1::ErasedKeys& keys = *plan.add_keys();
  v1::Entry entry;
  v1::EntryLeaf leaf;
  EXPECT_TRUE(entry.ParseFromString(a.ledger.entries[a.update()].value) && leaf.ParseFromString(entry.leaf()));
  keys.set_subject(leaf.keys(0).subject());
  keys.set_slot(leaf.keys(0).slot());
  keys.set_rule("record");
  v1::Erasure erasure;
  erasure.set_plan(plan.SerializeAsString());
  erasure.set_standing_order(order);
  return Administration(v1::EVENT_KIND_ERASURE, erasure.SerializeAsString());
}

struct Row {
  const char* name;
  std::function<void(Attack&)> attack;
  FindingKind kind;
};

const std::vector<Row>& Attacks() {
  using K = FindingKind;
  static const std::vector<Row>* const rows = new std::vector<Row>{
      {"a record cut short", [](Attack& a) { a.ledger.entries[a.update()].value.resize(40); }, K::kUndecodable},
      {"a newer leaf", [](Attack& a) { a.Leaf(a.update(), [](auto& l) { l.set_version(2); }); }, K::kUnsupported},
      {"another position", [](Attack& a) { a.Leaf(a.update(), [](auto& l) { l.set_position(99); }); }, K::kPosition},
      {"a later time",
       [](Attack& a) { a.Leaf(a.update(), [](auto& l) { l.set_admitted_at(l.admitted_at() + 1); }); },
       K::kCheckpointRoot},
      {"an earlier time", [](Attack& a) { a.Leaf(a.update(), [](auto& l) { l.set_admitted_at(1); }); }, K::kTime},
      {"another effect",
       [](Attack& a) { a.Leaf(a.update(), [](auto& l) { l.set_effect(v1::EFFECT_REMOVED); }); }, K::kCheckpointRoot},
      {"another sequence", [](Attack& a) { a.Header(a.update(), [](auto& h) { h.set_sequence(7); }); }, K::kSequence},
      {"another issuer", [](Attack& a) { a.Header(a.update() + 3, [](auto& h) { h.set_issuer("102032"); }); },
       K::kIssuer},
      {"another kind",
       [](Attack& a) { a.Header(a.update(), [](auto& h) { h.set_kind(v1::EVENT_KIND_SEARCH); }); }, K::kAuthority},
      {"another commitment",
       [](Attack& a) { a.Header(a.update(), [](auto& h) { Flip(*h.mutable_commitments(0), 0); }); }, K::kSignature},
      {"another commitment of a clear part",
       [](Attack& a) { a.Header(1, [](auto& h) { Flip(*h.mutable_commitments(0), 0); }); }, K::kCommitment},
      {"another digest", [](Attack& a) { a.Leaf(a.update(), [](auto& l) { Flip(*l.mutable_part_digests(0), 0); }); },
       K::kPart},
      {"another ciphertext", [](Attack& a) { a.Entry(a.update(), [](auto& e) { Flip(*e.mutable_parts(0), 30); }); },
       K::kPart},
      {"another salt", [](Attack& a) { a.Entry(1, [](auto& e) { Flip(*e.mutable_parts(0), 3); }); }, K::kCommitment},
      {"another record key", [](Attack& a) { Flip(a.ledger.entries[a.update()].key, 0); }, K::kRecordKey},
      {"another time of a head that a later one covers",
       [](Attack& a) { a.Leaf(a.update() + 3, [](auto& l) { Flip(*l.mutable_head(), 7); }); }, K::kCheckpointRoot},
      {"a head cut short", [](Attack& a) { a.Leaf(a.update() + 3, [](auto& l) { l.mutable_head()->pop_back(); }); },
       K::kHead},
      {"a head signed by another key",
       [](Attack& a) {
         a.Append(kTakasaki, SigningKey::Generate(), Update("x"));
         a.SignCheckpoint();
       },
       K::kSignature},
      {"the tail dropped", [](Attack& a) { a.Drop(a.size() - 1, 1); }, K::kCheckpointBeyond},
      {"the middle dropped", [](Attack& a) { a.Drop(a.update() + 3, 1); }, K::kPosition},
      {"a submission's end dropped", [](Attack& a) { a.Drop(a.update() + 2, 1); }, K::kSubmission},
      {"two entries in another order",
       [](Attack& a) { std::swap(a.ledger.entries[a.update() + 3], a.ledger.entries[a.update() + 4]); },
       K::kPosition},
      {"an entry twice", [](Attack& a) { a.Insert(a.update() + 4, a.ledger.entries[a.update() + 3]); }, K::kPosition},
      {"content of two entries exchanged",
       [](Attack& a) {
         v1::Entry other;
         ASSERT_TRUE(other.ParseFromString(a.ledger.entries[a.update() + 1].value));
         a.Entry(a.update(), [&](auto& e) { e.set_parts(0, other.parts(0)); });
       },
       K::kPart},
      {"content erased without an order", [](Attack& a) { a.Entry(a.update(), [](auto& e) { e.set_parts(0, ""); }); },
       K::kErasedWithoutOrder},
      {"an entry of another ledger",
       [](Attack& a) {
         a.Leaf(a.update() + 3, [](auto& l) { l.set_ledger(std::string(16, 'x')); });
       },
       K::kForeign},
      {"rewritten with new checkpoints",
       [](Attack& a) {
         a.Leaf(a.update(), [](auto& l) { l.set_admitted_at(l.admitted_at() + 1); });
         a.Resign();
       },
       K::kPolicy},
      {"checkpoints signed by a new key",
       [](Attack& a) {
         const SigningKey other = SigningKey::Generate();
         for (std::string& note : a.ledger.checkpoints) note = SignTreeHead(ParseTreeHead(note).value(), other);
       },
       K::kCheckpointSignature},
      {"all checkpoints dropped", [](Attack& a) { a.ledger.checkpoints.clear(); }, K::kStale},
      {"rolled back to an old checkpoint",
       [](Attack& a) {
         std::string old = a.ledger.checkpoints[1];
         a.ledger.checkpoints.erase(a.ledger.checkpoints.begin(), a.ledger.checkpoints.begin() + 2);
         a.ledger.checkpoints.push_back(old);
       },
       K::kCheckpointOrder},
      {"two views of one size",
       [](Attack& a) { a.ledger.checkpoints.push_back(a.Checkpoint(a.size(), Digest{1, 2, 3})); },
       K::kTwoHistories},
      {"a cosignature changed",
       [](Attack& a) {
         std::string& note = a.ledger.checkpoints.back();
         const std::size_t at = note.size() - 10;
         note[at] = note[at] == 'A' ? 'B' : 'A';
       },
       K::kCosignature},
      {"a revoked key's later submission",
       [](Attack& a) {
         a.Append(Prefecture::Registrar(), RevokeTakasaki(a, 0));
         a.Append(kTakasaki, Update("x"));
         a.SignCheckpoint();
       },
       K::kKey},
      {"events under a leaked key",
       [](Attack& a) {
         a.Append(Prefecture::Registrar(), RevokeTakasaki(a, a.update()));
         a.SignCheckpoint();
       },
       K::kKey},
      {"an erasure that nobody consented to",
       [](Attack& a) {
         a.Append(RoleIssuer(10, "retention"), Erasure(a, ""));
         a.SignCheckpoint();
       },
       K::kRule},
      {"an erasure of what had not expired",
       [](Attack& a) {
         a.Append(RoleIssuer(10, "retention"), Erasure(a, "gunma-1"));
         a.SignCheckpoint();
       },
       K::kNotExpired},
  };
  return *rows;
}

class AuditAttack : public ::testing::TestWithParam<const char*> {};

TEST_P(AuditAttack, IsFoundAndNamed) {
  for (const Row& row : Attacks()) {
    SCOPED_TRACE(row.name);
    Attack attack;
    row.attack(attack);
    // Time passes: what is missing is late by now.
    TemporaryDirectory directory;
    auto log = OpenFreshLog(GetParam(), directory / "log");
    for (const std::string& topic : {Prefecture::LedgerTopic(), Topics{10}.Checkpoint()}) {
      ASSERT_TRUE(log->CreateTopic(topic).ok());
    }
    for (const Received& entry : attack.ledger.entries) {
      ASSERT_TRUE(log->Append(Prefecture::LedgerTopic(), {entry.key, entry.value, {}}).ok());
    }
    for (const std::string& note : attack.ledger.checkpoints) {
      ASSERT_TRUE(log->Append(Topics{10}.Checkpoint(), {"", note, {}}).ok());
    }
    SimulatedClock later(TimeMicros(World::Get().prefecture.clock().Now().value() + 600'000'000));
    AuditOptions options = OptionsFor(*log);
    options.clock = &later;
    const auto result = Audit(options);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_TRUE(std::any_of(result->findings.begin(), result->findings.end(),
                            [&](const Finding& f) { return f.kind == row.kind; }))
        << "expected " << InfoOf(row.kind).id << ", found:\n" << Found(*result);
    EXPECT_LE(result->findings_total, 12) << "one cause, few findings:\n" << Found(*result);
  }
}

INSTANTIATE_TEST_SUITE_P(Local, AuditAttack, ::testing::Values("Local"));
INSTANTIATE_TEST_SUITE_P(Kafka, AuditAttack, ::testing::Values("Kafka"));

TEST(Audit, AnUntouchedLedgerHasNoFindings) {
  const AuditResult result = AuditOf(World::Get().good);
  EXPECT_TRUE(result.good()) << Found(result);
  EXPECT_EQ(result.size, World::Get().good.entries.size());
  EXPECT_EQ(result.covered, result.size);
  ASSERT_TRUE(result.checkpoint);
  EXPECT_EQ(result.checkpoint->cosigners.size(), 1);
  EXPECT_TRUE(result.checkpoint->verdict.satisfied);
  EXPECT_EQ(result.kinds.at(v1::EVENT_KIND_UPDATE), 7);
}

TEST(Audit, ALedgerThatDoesNotExtendAKeptCheckpointIsFound) {
  Attack a;
  a.Drop(a.size() - 1, 1);
  a.ledger.checkpoints.resize(a.ledger.checkpoints.size() - 2);  // of the dropped entry, and its cosignature
  EXPECT_TRUE(AuditOf(a.ledger).good()) << Found(AuditOf(a.ledger));
  MemoryLog log(a.ledger);
  AuditOptions options = OptionsFor(log);
  options.kept_checkpoint = World::Get().good.checkpoints.back();
  const auto result = Audit(options);
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->findings.size(), 1) << Found(*result);
  EXPECT_EQ(result->findings[0].kind, FindingKind::kCheckpointBeyond);
}

TEST(Audit, AnotherRegistrarOrLedgerKeyThanThePinnedOneIsFound) {
  MemoryLog log(World::Get().good);
  for (Key256 LedgerPublic::*key : {&LedgerPublic::registrar, &LedgerPublic::sequencer, &LedgerPublic::intake}) {
    AuditOptions options = OptionsFor(log);
    options.ledger.*key = SigningKey::Generate().public_key();
    const auto result = Audit(options);
    ASSERT_TRUE(result.ok());
    ASSERT_FALSE(result->good());
    EXPECT_EQ(result->findings[0].kind, FindingKind::kForeign) << Found(*result);
  }
}

TEST(Audit, TwoAuditorsAgreeOrTheFirstDifferenceIsNamed) {
  const std::string whole = AuditJson(AuditOf(World::Get().good));
  Attack shorter, other;
  shorter.Drop(shorter.size() - 1, 1);
  other.Leaf(other.update(), [](auto& l) { l.set_admitted_at(l.admitted_at() + 1); });
  const auto same = CompareAudits(whole, whole);
  EXPECT_TRUE(same->equal);
  const auto extended = CompareAudits(AuditJson(AuditOf(shorter.ledger)), whole);
  EXPECT_TRUE(extended->consistent);
  EXPECT_FALSE(extended->equal);
  EXPECT_EQ(extended->agreed, shorter.size());
  const auto split = CompareAudits(whole, AuditJson(AuditOf(other.ledger)));
  EXPECT_FALSE(split->consistent);
  EXPECT_EQ(split->agreed, other.update());
  EXPECT_EQ(split->differs, other.update() + 1);
  EXPECT_FALSE(CompareAudits(whole, "{}").ok());
}

// --- exports

class ExportTest : public ::testing::Test {
 protected:
  ExportTest() {
    World& world = World::Get();
    const std::string pinned = directory_ / "ledger.pub.json";
    std::ofstream(pinned) << FormatLedgerPublic(world.public_part);
    options_.prefecture = 10;
    options_.public_part = pinned;
    options_.to = directory_ / "export";
  }
  Status ExportOf(const Ledger& ledger) {
    MemoryLog log(ledger);
    options_.log = &log;
    return Export(options_).status();
  }
  AuditResult Audited(bool first_only = false) {
    MemoryLog unused(World::Get().good);
    AuditOptions options = OptionsFor(unused);
    options.first_only = first_only;
    auto result = AuditExport(options_.to, options);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return std::move(result).value();
  }

  TemporaryDirectory directory_;
  ExportOptions options_;
};

TEST_F(ExportTest, IsAuditedWithNothingElse) {
  ASSERT_TRUE(ExportOf(World::Get().good).ok());
  const AuditResult result = Audited();
  EXPECT_TRUE(result.good()) << Found(result);
  EXPECT_EQ(result.state, AuditOf(World::Get().good).state);
}

TEST_F(ExportTest, IsContinuedWhereAnEarlierOneEnded) {
  Attack earlier;
  earlier.Drop(earlier.size() - 1, 1);
  earlier.ledger.checkpoints.resize(earlier.ledger.checkpoints.size() - 2);
  ASSERT_TRUE(ExportOf(earlier.ledger).ok());
  EXPECT_TRUE(Audited().good()) << Found(Audited());
  ASSERT_TRUE(ExportOf(World::Get().good).ok());
  EXPECT_TRUE(Audited().good()) << Found(Audited());
}

TEST_F(ExportTest, WhatIsMissingOrAddedIsFound) {
  ASSERT_TRUE(ExportOf(World::Get().good).ok());
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(options_.to)) {
    if (file.is_regular_file()) files.push_back(file.path());
  }
  for (const auto& file : files) {
    // Later checkpoints cover what an older one did; its absence tells only where it leaves a gap.
    if (file.parent_path().filename() == "checkpoints" && !file.filename().string().ends_with("-0")) continue;
    const std::string moved = directory_ / "moved";
    std::filesystem::rename(file, moved);
    EXPECT_FALSE(Audited().good()) << file;
    std::filesystem::rename(moved, file);
  }
  std::ofstream(options_.to + "/tile/0/001") << "more";
  const AuditResult result = Audited();
  ASSERT_EQ(result.findings.size(), 1);
  EXPECT_EQ(result.findings[0].kind, FindingKind::kExport);
}

// --- evidence

TEST(Evidence, OfEveryEntryHoldsUnderTheLedgersKeyAlone) {
  World& world = World::Get();
  MemoryLog log(world.good);
  const NoteKey key{LedgerOrigin(10), NoteAlgorithm::kEd25519,
                    VerifyingKey::From(world.public_part.sequencer).value()};
  const auto policy = WitnessPolicy::Parse("witness w1 " + FormatNoteKey(world.WitnessKey()) + "\nquorum w1\n");
  for (std::size_t at = 0; at < world.good.entries.size(); ++at) {
    const auto proof = ProveEntry(world.public_part, log, Position(at));
    ASSERT_TRUE(proof.ok()) << at << ": " << proof.status().ToString();
    const auto proven = CheckEvidence(*proof, key, *policy);
    ASSERT_TRUE(proven.ok()) << at << ": " << proven.status().ToString();
    EXPECT_EQ(proven->position, Position(at));
    EXPECT_TRUE(proven->verdict.satisfied);
    EXPECT_EQ(proven->payload.empty(), proven->header.kind() == v1::EVENT_KIND_UPDATE);
  }
  EXPECT_EQ(ProveEntry(world.public_part, log, Position(world.good.entries.size())).status().code(), Code::kNotFound);
}

TEST(Evidence, IsRefusedUnderAnotherKeyOrWithAnyFieldOfAnotherEntry) {
  World& world = World::Get();
  MemoryLog log(world.good);
  const NoteKey key{LedgerOrigin(10), NoteAlgorithm::kEd25519,
                    VerifyingKey::From(world.public_part.sequencer).value()};
  const std::string text = ProveEntry(world.public_part, log, Position(world.first_update)).value();
  const NoteKey other{LedgerOrigin(10), NoteAlgorithm::kEd25519,
                      VerifyingKey::From(SigningKey::Generate().public_key()).value()};
  EXPECT_EQ(CheckEvidence(text, other, WitnessPolicy()).status().code(), Code::kTampered);
  const TreeProof proof = ParseTreeProof(text).value();
  v1::Evidence good, swapped;
  ASSERT_TRUE(good.ParseFromString(proof.extra));
  ASSERT_TRUE(swapped.ParseFromString(
      ParseTreeProof(ProveEntry(world.public_part, log, Position(world.first_update + 3)).value()).value().extra));
  for (const int field : {2, 4, 5, 6, 7, 8}) {
    v1::Evidence changed = good;
    const auto* descriptor = v1::Evidence::descriptor()->FindFieldByNumber(field);
    const auto* reflection = changed.GetReflection();
    reflection->ClearField(&changed, descriptor);
    if (!descriptor->is_repeated()) {
      reflection->SetString(&changed, descriptor, reflection->GetString(swapped, descriptor));
    }
    TreeProof forged = proof;
    forged.extra = changed.SerializeAsString();
    EXPECT_FALSE(CheckEvidence(FormatTreeProof(forged), key, WitnessPolicy()).ok()) << descriptor->name();
  }
}

// --- any byte

// Flips one bit of one byte, any.
template <typename Random>
void FlipOne(std::string& bytes, Random& random) {
  bytes[random() % bytes.size()] ^= static_cast<char>(1u << random() % 8);
}

TEST(AuditFlips, NoneOfEightThousandInRecordsAndCheckpointsIsMissed) {
  std::mt19937_64 random(Seed());
  Ledger ledger = World::Get().good;
  for (int i = 0; i < 8'000; ++i) {
    const bool checkpoint = random() % 4 == 0;
    Received& entry = ledger.entries[random() % ledger.entries.size()];
    std::string& bytes = checkpoint ? ledger.checkpoints[random() % ledger.checkpoints.size()]
                                    : (random() % 16 == 0 ? entry.key : entry.value);
    const std::string before = bytes;
    FlipOne(bytes, random);
    ASSERT_FALSE(AuditOf(ledger, true).good()) << "flip " << i << (checkpoint ? " of a checkpoint" : " of an entry");
    bytes = before;
  }
}

TEST_F(ExportTest, NoneOfTwoThousandFlipsInItsFilesIsMissed) {
  std::mt19937_64 random(Seed());
  ASSERT_TRUE(ExportOf(World::Get().good).ok());
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(options_.to)) {
    if (file.is_regular_file()) files.push_back(file.path());
  }
  for (int i = 0; i < 2'000; ++i) {
    const auto& file = files[random() % files.size()];
    std::string bytes = ReadFile(file).value();
    const std::string before = bytes;
    FlipOne(bytes, random);
    std::ofstream(file, std::ios::binary) << bytes;
    ASSERT_FALSE(Audited(true).good()) << "flip " << i << " of " << file;
    std::ofstream(file, std::ios::binary) << before;
  }
}

}  // namespace
}  // namespace daicho
