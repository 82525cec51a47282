// The keys of a node's home: what happens to a home that was restored from before its intake key rotated, and how the
// keys of its roles rotate. Method: real nodes on a local log; what a municipality sends is sent by hand.
#include "consumers/node.h"

#include <gtest/gtest.h>

#include "consumers/audit.h"
#include "consumers/backup.h"
#include "consumers/kikou_line.h"
#include "ledger/files.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

class NodeTest : public ::testing::Test {
 protected:
  NodeTest() {
    home_ = CreateHome(Path("home"), 10, LogName(), "", "").value();
    EXPECT_TRUE(Found(home_, {}).ok());
    Start();
    v1::IssuerRegistered issuer;
    issuer.set_issuer(kMaebashi);
    issuer.set_public_key(std::string(View(maebashi_.public_key())));
    issuer.set_role(v1::ISSUER_ROLE_MUNICIPALITY);
    EXPECT_TRUE(node_->Administer(v1::EVENT_KIND_ISSUER_REGISTERED, issuer.SerializeAsString()).ok());
  }

  std::string Path(const std::string& name) const { return directory_ / name; }
  std::string LogName() const { return "local:" + Path("log"); }
  std::string Registrar() const { return RoleIssuer(10, "registrar"); }

  void Start(const std::string& dir = "home") {
    NodeOptions options;
    options.roles = {"sequencer", "projector"};
    home_ = OpenHome(Path(dir)).value();
    auto started = Node::Start(home_, options);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    node_ = std::move(*started);
  }
  void Stop() { node_.reset(); }

  // What is in force by the ledger's own account, replayed.
  Registry RegistryNow() { return Replay().registry(); }
  MerkleEdge TreeOf(const std::string& issuer) { return Replay().FindIssuer(issuer)->tree; }
  LedgerReplay Replay() {
    LedgerReplay replay(home_.ledger, home_.root);
    auto reader = node_->log().OpenReader().value();
    EXPECT_TRUE(reader->Assign(Topics{10}.Ledger(), Cursor(0)).ok());
    const Cursor end = node_->log().GetBounds(Topics{10}.Ledger()).value().end;
    while (reader->Next(0) < end) {
      const auto records = reader->Poll(1'000, std::chrono::milliseconds(100)).value();
      for (const Received& record : records) EXPECT_TRUE(replay.Next(record.value).ok());
    }
    EXPECT_TRUE(replay.VerifyHeads().ok());
    return replay;
  }
  std::string KeyInForce(v1::KeyUse use, const std::string& holder = "") {
    return RegistryNow().CurrentKey(use, holder).value().key;
  }

  SubmitterOptions Outbox(const std::string& issuer, const SigningKey& key, Log& log) {
    SubmitterOptions o;
    o.dir = Path("outbox/" + issuer);
    o.issuer = issuer;
    o.prefecture = 10;
    o.key = key;
    o.log = &log;
    o.clock = &clock_;
    return o;
  }
  v1::Receipt Send(const v1::UpdateNotice& notice) {
    auto submitter = Submitter::Open(Outbox(kMaebashi, maebashi_, node_->log())).value();
    return submitter->Submit({Update(notice)}).value();
  }
  static void ExpectAdmitted(const v1::Receipt& receipt) {
    EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
  }
  void Backup() {
    node::Request request;
    request.mutable_make_backup()->set_dir(Path("copy"));
    request.mutable_make_backup()->set_key(std::string(View(backup_key_)));
    request.mutable_make_backup()->set_keep_days(1);
    ASSERT_EQ(node_->Answer(request).code(), 0);
  }
  void Restore() {
    const auto restored = RestoreBackup(Path("copy"), backup_key_, Path("restored"), LogName(), "");
    ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  }
  void AwaitGone(const std::string& path) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    EXPECT_TRUE(node_->Wait([&] { return !FileExists(path) || std::chrono::steady_clock::now() > deadline; }).ok());
    EXPECT_FALSE(FileExists(path)) << path;
  }
  // By what was known of the ledger when it was founded.
  AuditResult Audited() {
    AuditOptions options;
    options.ledger = ReadLedgerPublic(home_.Path("ledger.pub.json")).value();
    options.ledger.registrar = home_.root;
    options.log = &node_->log();
    options.clock = &clock_;
    return Audit(options).value();
  }

  TemporaryDirectory directory_;
  SystemClock clock_;
  const SigningKey maebashi_ = SigningKey::Generate();
  const Key256 backup_key_ = RandomArray<32>();
  Home home_;
  std::unique_ptr<Node> node_;
  Person hanako_{1};
};

// --- a home from before the role kikou ---

TEST_F(NodeTest, ALedgerFromBeforeTheRoleHasItRegisteredAtItsFirstUse) {
  Stop();
  home_ = CreateHome(Path("old"), 10, "local:" + Path("old-log"), "", "").value();
  {
    auto log = LocalLog::Open(Path("old-log")).value();
    ASSERT_TRUE(CreateLedgerTopics(*log, 10).ok());
  }
  for (const char* key : {"kikou", "reconciler"}) ASSERT_TRUE(RemoveFile(home_.Path("keys/" + std::string(key) + ".key")).ok());
  Start("old");
  v1::LedgerOpened opened;
  opened.set_prefecture(10);
  opened.set_ledger(std::string(View(home_.ledger)));
  opened.set_registrar_public_key(std::string(View(home_.registrar.public_key())));
  opened.set_sequencer_public_key(std::string(View(home_.receipts.public_key())));
  opened.set_intake_public_key(std::string(View(home_.intake.public_key)));
  *opened.mutable_algorithms() = OwnAlgorithms();
  ASSERT_TRUE(node_->Administer(v1::EVENT_KIND_LEDGER_OPENED, opened.SerializeAsString()).ok());
  Stop();

  const KikouPeer peer{"http://127.0.0.1:1", home_.kikou.public_key(), ""};
  ASSERT_TRUE(WriteKikouPeer(home_, peer).ok());
  NodeOptions options;
  options.roles = {"sequencer", "projector", "kikou"};
  node_ = Node::Start(home_, options).value();
  EXPECT_EQ(RegistryNow().issuers().count(RoleIssuer(10, "kikou")), 0u);
  node::Request notify;
  notify.mutable_notify_kikou();
  for (int i = 0; i < 2; ++i) {
    const node::Response response = node_->Answer(notify);  // nothing is outstanding, so that nobody is called
    EXPECT_EQ(response.code(), 0) << response.message();
  }
  EXPECT_EQ(KeyInForce(v1::KEY_USE_ISSUER, RoleIssuer(10, "kikou")), View(home_.kikou.public_key()));
}

// --- a restored home -----------------------------------------------------------------------------

TEST_F(NodeTest, ARestoredHomeWithoutTheIntakeKeyInForceMakesAnother) {
  ExpectAdmitted(Send(Birth(hanako_, kMaebashi)));
  Backup();
  ASSERT_TRUE(node_->RotateKey(HomeKey::kIntake, "by plan").ok());
  ExpectAdmitted(Send(AddressChange(hanako_, 2, kMaebashi)));
  const std::string lost = KeyInForce(v1::KEY_USE_INTAKE);
  Stop();

  Restore();
  EXPECT_NE(View(OpenHome(Path("restored")).value().intake.public_key), lost);
  Start("restored");
  const std::string now = KeyInForce(v1::KEY_USE_INTAKE);
  EXPECT_NE(now, lost);
  EXPECT_EQ(View(OpenHome(Path("restored")).value().intake.public_key), now);
  EXPECT_EQ(View(ReadLedgerPublic(Path("restored") + "/ledger.pub.json").value().intake), now);
  ExpectAdmitted(Send(AddressChange(hanako_, 3, kMaebashi)));
  AwaitGone(Path("restored") + "/keys/intake.old.key");
}

TEST_F(NodeTest, WhatWasSealedToTheLostKeyIsAnsweredAfterTheWelcomeThatNamesTheNewOne) {
  ExpectAdmitted(Send(Birth(hanako_, kMaebashi)));
  Backup();
  ASSERT_TRUE(node_->RotateKey(HomeKey::kIntake, "by plan").ok());
  ExpectAdmitted(Send(AddressChange(hanako_, 2, kMaebashi)));
  Stop();
  {
    const auto log = LocalLog::Open(Path("log")).value();
    SubmitterOptions options = Outbox(kMaebashi, maebashi_, *log);
    options.receipt_wait = std::chrono::milliseconds(1);
    auto submitter = Submitter::Open(options).value();
    EXPECT_EQ(submitter->Submit({Update(AddressChange(hanako_, 3, kMaebashi))}).status().code(), Code::kUnavailable);
  }
  Restore();
  Start("restored");
  auto submitter = Submitter::Open(Outbox(kMaebashi, maebashi_, node_->log())).value();
  const auto pending = submitter->SettlePending().value();
  ASSERT_TRUE(pending.has_value());
  EXPECT_EQ(ErrorsOf(*pending), "0 body sealed");
  // It has read of the new key on the way: the next is not refused.
  const std::uint64_t size = TreeOf(kMaebashi).size();
  ExpectAdmitted(submitter->Submit({Update(AddressChange(hanako_, 3, kMaebashi))}).value());
  EXPECT_EQ(TreeOf(kMaebashi).size(), size + 1);
  std::set<std::string> refused;  // behind the newest welcome
  auto reader = node_->log().OpenReader().value();
  ASSERT_TRUE(reader->Assign(Topics{10}.Receipt(kMaebashi), Cursor(0)).ok());
  const VerifyingKey key = VerifyingKey::From(home_.receipts.public_key()).value();
  const auto receipts = reader->Poll(1'000, std::chrono::milliseconds(100)).value();
  for (const Received& record : receipts) {
    const v1::Receipt receipt = VerifyReceipt(record.value, key).value();
    if (receipt.outcome() == v1::OUTCOME_REGISTERED) refused.clear();
    if (receipt.outcome() == v1::OUTCOME_REJECTED) refused.insert(receipt.submission());
  }
  EXPECT_EQ(refused, std::set<std::string>{pending->submission()});
}

TEST_F(NodeTest, ABackupFromTheMidstOfARotationIsRestoredAllTheSame) {
  ExpectAdmitted(Send(Birth(hanako_, kMaebashi)));
  ASSERT_TRUE(PrepareNextKey(home_, HomeKey::kIntake, "").ok());
  Backup();
  ASSERT_TRUE(node_->RotateKey(HomeKey::kIntake, "by plan").ok());
  AwaitGone(home_.Path("keys/intake.old.key"));
  ASSERT_TRUE(node_->RotateKey(HomeKey::kIntake, "by plan").ok());
  Stop();
  Restore();
  ASSERT_TRUE(FileExists(Path("restored") + "/keys/intake.next.key"));
  Start("restored");
  EXPECT_EQ(View(OpenHome(Path("restored")).value().intake.public_key), KeyInForce(v1::KEY_USE_INTAKE));
  ExpectAdmitted(Send(AddressChange(hanako_, 2, kMaebashi)));
}

TEST_F(NodeTest, AHomeThatHoldsItsIntakeKeyKeepsIt) {
  Backup();
  const std::string before = KeyInForce(v1::KEY_USE_INTAKE);
  Stop();
  Restore();
  Start("restored");
  EXPECT_EQ(KeyInForce(v1::KEY_USE_INTAKE), before);
}

// --- keys of roles -------------------------------------------------------------------------------

TEST_F(NodeTest, EveryRoleGetsANewKeyWhichTheHomeHoldsFromThenOn) {
  for (const HomeKey key : kRoleKeys) {
    const std::string holder = RoleIssuer(10, NameOf(key));
    const Key256 before = RoleKey(home_, key).public_key();
    ASSERT_TRUE(node_->RotateKey(key, "by plan").ok()) << NameOf(key);
    Home held = OpenHome(Path("home")).value();
    EXPECT_NE(RoleKey(held, key).public_key(), before);
    EXPECT_EQ(View(RoleKey(held, key).public_key()), KeyInForce(v1::KEY_USE_ISSUER, holder));
    EXPECT_FALSE(FileExists(NextKeyPath(held, key)));
  }
}

TEST_F(NodeTest, TheRegistrarsSuccessorGoesOnAndTheLedgerIsStillKnownByItsFirst) {
  const Key256 first = home_.registrar.public_key();
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(node_->RotateKey(HomeKey::kRegistrar, "by plan").ok());
    ASSERT_TRUE(node_->RotateKey(HomeKey::kRecords, "by plan").ok());
    Stop();
    Start();
  }
  EXPECT_EQ(RegistryNow().Keys(v1::KEY_USE_ISSUER, Registrar()).size(), 3u);
  EXPECT_EQ(home_.root, first);
  EXPECT_NE(home_.registrar.public_key(), first);
  EXPECT_EQ(ReadLedgerPublic(home_.Path("ledger.pub.json")).value().registrar, first);
  const AuditResult audited = Audited();
  EXPECT_TRUE(audited.good()) << audited.findings[0].detail;
}

TEST_F(NodeTest, TheRegistrarsOldKeyIsRefused) {
  const SigningKey old = home_.registrar;
  ASSERT_TRUE(node_->RotateKey(HomeKey::kRegistrar, "by plan").ok());
  SubmitterOptions options = Outbox(Registrar(), old, node_->log());
  options.pin = LedgerPin{home_.ledger, home_.intake.public_key, home_.receipts.public_key()};
  options.tree = TreeOf(Registrar());
  v1::IssuerRegistered issuer;
  issuer.set_issuer(kTakasaki);
  issuer.set_public_key(std::string(View(SigningKey::Generate().public_key())));
  issuer.set_role(v1::ISSUER_ROLE_MUNICIPALITY);
  auto submitter = Submitter::Open(options).value();
  EXPECT_EQ(ErrorsOf(submitter
                         ->Submit({Administration(v1::EVENT_KIND_ISSUER_REGISTERED, issuer.SerializeAsString())})
                         .value()),
            "0 head signature");
  EXPECT_TRUE(node_->Administer(v1::EVENT_KIND_ISSUER_REGISTERED, issuer.SerializeAsString()).ok())
      << "the successor's";
}

TEST_F(NodeTest, ANextKeyThatACrashLeftIsTheOneThatComesIntoForce) {
  const Key256 next = PrepareNextKey(home_, HomeKey::kRegistrar, "").value();
  Stop();
  Start();
  ASSERT_TRUE(node_->RotateKey(HomeKey::kRegistrar, "by plan").ok());
  EXPECT_EQ(KeyInForce(v1::KEY_USE_ISSUER, Registrar()), View(next));
}

}  // namespace
}  // namespace daicho
