// The notary: one history, signed. Method: a real prefecture notifies; the notary covers it, is
// closed at every step of its work by a log that fails there, reopened from copies of its store,
// and given a ledger or a checkpoint topic that says something else. What it published is read from
// the topic and checked against an oracle that holds every leaf.
#include "ledger/notary.h"

#include <gtest/gtest.h>

#include "events/tree_proof.h"
#include "ledger/kafka_log.h"
#include "tests/log_wrappers.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

// A log whose appends to one topic fail, before or after they have been done.
class FailingTopic : public Log {
 public:
  FailingTopic(Log& log, std::string topic) : log_(log), topic_(std::move(topic)) {}
  Status CreateTopic(const std::string& topic) override { return log_.CreateTopic(topic); }
  Status Append(const std::string& topic, const Record& record) override {
    if (topic != topic_ || failures == 0) return log_.Append(topic, record);
    --failures;
    if (acts) static_cast<void>(log_.Append(topic, record).ok());
    return Unavailable("injected");
  }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override {
    return log_.OpenWriter(name);
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override { return log_.OpenReader(); }
  Result<Bounds> GetBounds(const std::string& topic) override { return log_.GetBounds(topic); }
  Result<Received> ReadLast(const std::string& topic) override { return log_.ReadLast(topic); }

  int failures = 0;
  bool acts = false;

 private:
  Log& log_;
  std::string topic_;
};

class NotaryTest : public ::testing::Test {
 protected:
  explicit NotaryTest(OpenLogFunction open_log = OpenLocal) : prefecture_(std::move(open_log)) {
    prefecture_.Found();
  }

  static std::string Topic() { return Topics{Prefecture::kNumber}.Checkpoint(); }

  static std::function<Result<SigningKey>(const Key256&)> Only(const SigningKey& key) {
    return [key](const Key256& wanted) -> Result<SigningKey> {
      return wanted == key.public_key() ? Result<SigningKey>(key) : Denied("no such key");
    };
  }
  NotaryOptions Options() {
    NotaryOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = prefecture_.ledger_id();
    o.registrar_public_key = prefecture_.registrar_key().public_key();
    o.key_of = Only(prefecture_.ledger_key());
    o.dir = prefecture_.Path(dir_);
    o.log = log_ != nullptr ? log_ : &prefecture_.log();
    o.clock = &prefecture_.clock();
    o.interval = milliseconds(0);
    return o;
  }
  void Open() {
    auto opened = Notary::Open(Options());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    notary_ = std::move(*opened);
  }
  Status OpenAndCatchUp() {
    Open();
    return notary_->CatchUp();
  }
  Status Reopen() {
    notary_.reset();
    return OpenAndCatchUp();
  }
  void Birth(int from, int count, const std::string& issuer = kMaebashi) {
    std::vector<v1::UpdateNotice> notices;
    for (int n = from; n < from + count; ++n) notices.push_back(daicho::Birth(Person(n), issuer));
    EXPECT_EQ(prefecture_.Notify(issuer, notices).outcome(), v1::OUTCOME_ADMITTED);
  }

  VerifyingKey Key() const {
    return VerifyingKey::From(prefecture_.ledger_key().public_key()).value();
  }
  TreeHead Verified(const std::string& note) {
    auto head = VerifyCheckpoint(note, Prefecture::kNumber, prefecture_.ledger_id(), Key());
    EXPECT_TRUE(head.ok()) << head.status().ToString();
    return head.ok() ? *head : TreeHead();
  }
  std::vector<std::string> Published() {
    std::vector<std::string> out;
    for (Received& record : prefecture_.ReadTopic(Topic())) out.push_back(std::move(record.value));
    return out;
  }
  // Of the ledger's first `size` entries, from the records themselves.
  Digest OracleRoot(std::uint64_t size) {
    MerkleEdge tree;
    for (const std::string& record : prefecture_.Records()) {
      if (tree.size() == size) break;
      EntryView entry;
      EXPECT_TRUE(ParseEntry(record, entry).ok());
      tree.Append(LeafHash(entry.leaf));
    }
    return tree.Root();
  }
  // Sizes never fall (what is said again for a cosignature left out), and a size and time have one
  // text.
  void ExpectOneHistory() {
    std::map<std::uint64_t, std::string> text_of;
    for (const std::string& note : Published()) {
      const TreeHead head = Verified(note);
      EXPECT_EQ(head.root, OracleRoot(head.size));
      const std::string text(ParseNote(note).value().text);
      const auto [found, fresh] = text_of.try_emplace(head.size, text);
      EXPECT_EQ(found->second, text);
      EXPECT_TRUE(!fresh || text_of.rbegin()->first == head.size)
          << "a smaller size after a larger one";
    }
  }
  void CopyStore(const std::string& to) {
    std::filesystem::remove_all(prefecture_.Path(to));
    std::filesystem::copy(prefecture_.Path(dir_), prefecture_.Path(to),
                          std::filesystem::copy_options::recursive);
  }
  std::string Sign(std::uint64_t size, const Digest& root) {
    TreeHead head;
    head.origin = LedgerOrigin(Prefecture::kNumber);
    head.size = size;
    head.root = root;
    head.ledger = View(prefecture_.ledger_id());
    head.time = prefecture_.clock().Now();
    return SignTreeHead(head, prefecture_.ledger_key());
  }
  void Publish(const std::string& note) {
    ASSERT_TRUE(prefecture_.log().Append(Topic(), {"", note, {}}).ok());
  }

  Prefecture prefecture_;
  std::string dir_ = "notary";
  Log* log_ = nullptr;
  std::unique_ptr<Notary> notary_;
};

// --- what it signs

TEST_F(NotaryTest, CoversWhatTheLedgerHoldsAndSaysSoOnTheTopic) {
  Birth(0, 3);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  const TreeHead head = Verified(notary_->checkpoint());
  EXPECT_EQ(head.size, prefecture_.Size());
  EXPECT_EQ(head.root, OracleRoot(head.size));
  EXPECT_EQ(head.time, prefecture_.clock().Now());
  EXPECT_EQ(Published(), std::vector<std::string>{notary_->checkpoint()});
}

TEST_F(NotaryTest, AnEmptyLedgerHasNoCheckpoint) {
  Prefecture empty;
  NotaryOptions options = Options();
  options.log = &empty.log();
  options.dir = empty.Path("notary");
  auto notary = Notary::Open(options).value();
  EXPECT_TRUE(notary->CatchUp().ok());
  EXPECT_EQ(notary->checkpoint(), "");
}

TEST_F(NotaryTest, SignsAgainOnlyWhenTheLedgerHasGrown) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(notary_->CatchUp().ok());
  EXPECT_EQ(Published().size(), 1u);
  Birth(0, 1);
  ASSERT_TRUE(notary_->CatchUp().ok());
  EXPECT_EQ(Published().size(), 2u);
  ExpectOneHistory();
}

TEST_F(NotaryTest, ItsTimeNeverFallsBehindThatOfTheEntriesItCovers) {
  SimulatedClock slow(TimeMicros(1));
  NotaryOptions options = Options();
  options.clock = &slow;
  notary_ = Notary::Open(options).value();
  ASSERT_TRUE(notary_->CatchUp().ok());
  EXPECT_EQ(Verified(notary_->checkpoint()).time.value(),
            prefecture_.Entries().back().leaf.admitted_at());
}

TEST_F(NotaryTest, FollowsWhileItRuns) {
  Open();
  Status ended;
  std::jthread running([&](std::stop_token stop) { ended = notary_->Run(stop); });
  for (int n = 0; n < 5; ++n) {
    Birth(n, 1);
    const std::uint64_t size = prefecture_.Size();
    ASSERT_TRUE(notary_->WaitFor(size, std::chrono::seconds(20)));
    EXPECT_GE(Verified(notary_->checkpoint()).size, size);
  }
  running.request_stop();
  running.join();
  EXPECT_TRUE(ended.ok()) << ended.ToString();
  ExpectOneHistory();
}

TEST_F(NotaryTest, ProvesEveryEntryAndEveryIssuersEvent) {
  Birth(0, 300);
  Birth(1000, 5, kTakasaki);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  const TreeHead head = Verified(notary_->checkpoint());
  const NodeSource nodes = notary_->trees().Nodes(kLedgerTree);
  for (const auto& entry : prefecture_.Entries()) {
    EntryView view;
    ASSERT_TRUE(ParseEntry(entry.record, view).ok());
    const std::uint64_t at = entry.position.value();
    const TreeProof proof{"", at, InclusionProof(at, head.size, nodes).value(),
                          notary_->checkpoint()};
    ASSERT_TRUE(VerifyTreeProof(LeafHash(view.leaf), proof, Key()).ok()) << at;

    const std::string& issuer = entry.header.issuer();
    const std::string issuer_head = notary_->IssuerHead(issuer).value();
    const std::uint64_t index = entry.header.sequence() - 1;
    const std::uint64_t size = ParseTreeHead(issuer_head).value().size;
    ASSERT_EQ(notary_->trees().Size(issuer).value(), size);
    const TreeProof event{"", index,
                          InclusionProof(index, size, notary_->trees().Nodes(issuer)).value(),
                          issuer_head};
    const VerifyingKey key =
        VerifyingKey::From(prefecture_.SubmitterFor(issuer).key.public_key()).value();
    ASSERT_TRUE(VerifyTreeProof(LeafHash(entry.leaf.header()), event, key).ok())
        << issuer << " " << index;
  }
  for (std::uint64_t old = 1; old <= head.size; old += 7) {
    EXPECT_TRUE(VerifyConsistency(old, OracleRoot(old), head.size, head.root,
                                  ConsistencyProof(old, head.size, nodes).value())
                    .ok());
  }
  EXPECT_EQ(notary_->IssuerHead("102041").status().code(), Code::kNotFound);
}

TEST_F(NotaryTest, BundlesOfEntriesHashToTheirTile) {
  Birth(0, 300);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  const std::uint64_t size = prefecture_.Size();
  for (const auto& [index, width] :
       std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 256}, {0, 3}, {1, size - 256}}) {
    const std::string bundle = notary_->EntryBundle(index, width).value();
    const std::string tile = notary_->trees().Tile(kLedgerTree, 0, index, width).value();
    std::string_view rest = bundle;
    for (std::uint64_t i = 0; i < width; ++i) {
      const std::size_t bytes =
          static_cast<std::uint8_t>(rest[0]) * 256u + static_cast<std::uint8_t>(rest[1]);
      ASSERT_EQ(View(LeafHash(rest.substr(2, bytes))), tile.substr(32 * i, 32));
      rest.remove_prefix(2 + bytes);
    }
    EXPECT_TRUE(rest.empty());
  }
  EXPECT_EQ(notary_->EntryBundle(1).status().code(), Code::kNotFound) << "not full";
  EXPECT_EQ(notary_->EntryBundle(2, 1).status().code(), Code::kNotFound);
  EXPECT_EQ(notary_->EntryBundle(0, 0).status().code(), Code::kInvalid);
}

TEST_F(NotaryTest, ACheckpointOfAnotherLedgerPrefectureOrKeyIsRefused) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  const std::string note = notary_->checkpoint();
  EXPECT_EQ(VerifyCheckpoint(note, 11, prefecture_.ledger_id(), Key()).status().code(),
            Code::kTampered);
  EXPECT_EQ(VerifyCheckpoint(note, 10, LedgerId{}, Key()).status().code(), Code::kTampered);
  const VerifyingKey other = VerifyingKey::From(SigningKey::Generate().public_key()).value();
  EXPECT_EQ(VerifyCheckpoint(note, 10, prefecture_.ledger_id(), other).status().code(),
            Code::kTampered);
}

TEST_F(NotaryTest, AKeyThatIsNotTheLedgersSignsNothing) {
  NotaryOptions options = Options();
  options.key_of = [](const Key256&) -> Result<SigningKey> { return Denied("no such key"); };
  notary_ = Notary::Open(options).value();
  EXPECT_EQ(notary_->CatchUp().code(), Code::kDenied);
  EXPECT_TRUE(Published().empty());
}

// --- crashes

TEST_F(NotaryTest, RestartedAtAnyPointItSaysTheSame) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  for (int n = 0; n < 4; ++n) {
    Birth(n, 1 + 100 * n);
    ASSERT_TRUE(Reopen().ok());
    EXPECT_EQ(Verified(notary_->checkpoint()).size, prefecture_.Size());
    const std::string before = notary_->checkpoint();
    prefecture_.clock().Advance(std::chrono::hours(1));
    ASSERT_TRUE(Reopen().ok());
    EXPECT_EQ(notary_->checkpoint(), before);
  }
  EXPECT_EQ(Published().size(), 5u);
  ExpectOneHistory();
}

// The append to the topic is the last step: done or not, its outcome is unknown.
TEST_F(NotaryTest, AnAppendOfUnknownOutcomeIsMadeGoodWithTheSameText) {
  for (const bool acts : {false, true}) {
    FailingTopic failing(prefecture_.log(), Topic());
    failing.failures = 1;
    failing.acts = acts;
    log_ = &failing;
    Birth(acts ? 1 : 0, 1);
    notary_.reset();
    Open();
    EXPECT_EQ(notary_->CatchUp().code(), Code::kUnavailable);
    prefecture_.clock().Advance(std::chrono::hours(1));
    Birth(acts ? 11 : 10, 1);  // the ledger goes on meanwhile
    log_ = nullptr;
    ASSERT_TRUE(Reopen().ok());
    ExpectOneHistory();
    EXPECT_EQ(Published().back(), notary_->checkpoint());
  }
  EXPECT_EQ(Published().size(), 4u) << "each of them once";
}

TEST_F(NotaryTest, ATokenOutOfReachIsAskedForTheSameSignatureLater) {
  int failures = 1;
  std::vector<std::string> asked;
  NotaryOptions options = Options();
  options.key_of = Only(SigningKey::External(prefecture_.ledger_key().public_key(),
                                             [&](std::string_view text) -> Result<std::string> {
                                               asked.emplace_back(text);
                                               if (failures-- > 0) return Unavailable("token");
                                               return prefecture_.ledger_key().Sign(text);
                                             }));
  notary_ = Notary::Open(options).value();
  EXPECT_EQ(notary_->CatchUp().code(), Code::kUnavailable);
  EXPECT_EQ(notary_->checkpoint(), "");
  prefecture_.clock().Advance(std::chrono::hours(1));
  ASSERT_TRUE(notary_->CatchUp().ok());
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0], asked[1]);
  ExpectOneHistory();
}

TEST_F(NotaryTest, ItsStoreMayBeEncrypted) {
  NotaryOptions options = Options();
  options.file_key = Key256{7};
  for (int round = 0; round < 2; ++round) {
    notary_.reset();
    notary_ = Notary::Open(options).value();
    ASSERT_TRUE(notary_->CatchUp().ok());
  }
  EXPECT_EQ(Published().size(), 1u);
  notary_.reset();
  EXPECT_EQ(Notary::Open(Options()).status().code(), Code::kInvalid);
}

// Between the synced head and the stored signature: the store as it was then is made from one that
// went on.
TEST_F(NotaryTest, AHeadThatWasStoredAndNotYetSignedIsSignedAsItWas) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  Birth(0, 2);
  FailingTopic failing(prefecture_.log(), Topic());
  failing.failures = 1;
  log_ = &failing;
  notary_.reset();
  Open();
  ASSERT_EQ(notary_->CatchUp().code(), Code::kUnavailable);
  const std::uint64_t size = prefecture_.Size();
  const std::string signed_before = notary_->checkpoint(size).value();
  notary_.reset();
  log_ = nullptr;
  {
    StoreOptions options;
    options.path = prefecture_.Path(dir_);
    options.families = {"meta", "trees", "notes"};
    auto store = Store::Open(options).value();
    std::string key;
    AppendU64(key, size);
    StoreBatch batch;
    batch.Delete(2, key);
    ASSERT_TRUE(store->Write(batch, true).ok());
  }
  prefecture_.clock().Advance(std::chrono::hours(1));
  Birth(10, 1);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  const auto notes = Published();
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_EQ(notes[1], signed_before);
  ExpectOneHistory();
}

TEST_F(NotaryTest, AnOlderCopyOfItsStoreCatchesUpWithItsOwnCheckpointsFirst) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  notary_.reset();
  CopyStore("older");
  for (int n = 0; n < 3; ++n) {
    Birth(n, 3);
    ASSERT_TRUE(Reopen().ok());
  }
  const std::string newest = notary_->checkpoint();
  notary_.reset();
  dir_ = "older";
  prefecture_.clock().Advance(std::chrono::hours(1));
  ASSERT_TRUE(OpenAndCatchUp().ok());
  EXPECT_EQ(notary_->checkpoint(), newest);
  EXPECT_EQ(Published().size(), 4u);
  Birth(9, 1);
  ASSERT_TRUE(notary_->CatchUp().ok());
  ASSERT_TRUE(Reopen().ok());
  ExpectOneHistory();
}

TEST_F(NotaryTest, WithoutItsStoreItBuildsTheSameTreesAndSignsNothingTwice) {
  Birth(0, 280);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  const std::string before = notary_->checkpoint();
  notary_.reset();
  dir_ = "fresh";
  prefecture_.clock().Advance(std::chrono::hours(1));
  ASSERT_TRUE(OpenAndCatchUp().ok());
  EXPECT_EQ(notary_->checkpoint(), before);
  EXPECT_EQ(Published().size(), 1u);
  EXPECT_EQ(RootOf(prefecture_.Size(), notary_->trees().Nodes(kLedgerTree)).value(),
            OracleRoot(prefecture_.Size()));
}

TEST_F(NotaryTest, AfterAFailureItGoesOnWithoutBeingOpenedAnew) {
  FailingTopic failing(prefecture_.log(), Topic());
  log_ = &failing;
  Open();
  for (int n = 0; n < 4; ++n) {
    Birth(n, 1);
    failing.acts = n % 2 == 1;
    failing.failures = failing.acts ? 1 : 2;
    while (failing.failures > 0) EXPECT_EQ(notary_->CatchUp().code(), Code::kUnavailable);
    prefecture_.clock().Advance(std::chrono::hours(1));
    ASSERT_TRUE(notary_->CatchUp().ok());
    EXPECT_EQ(Published().back(), notary_->checkpoint());
    EXPECT_EQ(Verified(notary_->checkpoint()).size, prefecture_.Size());
  }
  ExpectOneHistory();
  notary_.reset();
}

TEST_F(NotaryTest, ALogOutOfReachLosesNothing) {
  Faults faults;
  FaultyLog faulty(prefecture_.log(), faults);
  log_ = &faulty;
  for (std::uint64_t failing = 0; failing < 10; ++failing) {
    Birth(static_cast<int>(failing), 1);
    notary_.reset();
    Open();
    faults.Set(std::uint64_t{1} << failing, false);
    const Status status = notary_->CatchUp();
    EXPECT_TRUE(status.ok() || status.retriable()) << status.ToString();
    faults.Set(0, false);
    ASSERT_TRUE(Reopen().ok());
    EXPECT_EQ(Verified(notary_->checkpoint()).size, prefecture_.Size());
  }
  ExpectOneHistory();
}

// --- another history

TEST_F(NotaryTest, ACheckpointOfAnotherRootStopsIt) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  Publish(Sign(2, LeafHash("forged")));
  const Status status = Reopen();
  EXPECT_EQ(status.code(), Code::kTampered);
  EXPECT_NE(status.message().find("refuses to sign a different history"), std::string::npos)
      << status.message();
  const std::size_t published = Published().size();
  Birth(0, 1);
  EXPECT_EQ(notary_->CatchUp().code(), Code::kTampered);
  EXPECT_EQ(Published().size(), published) << "nothing is signed";
}

TEST_F(NotaryTest, ACheckpointBeyondTheLedgerStopsIt) {
  Publish(Sign(prefecture_.Size() + 1, LeafHash("more")));
  const Status status = OpenAndCatchUp();
  EXPECT_EQ(status.code(), Code::kTampered);
  EXPECT_NE(status.message().find("the ledger has only"), std::string::npos) << status.message();
  EXPECT_EQ(Published().size(), 1u);
}

TEST_F(NotaryTest, ACheckpointOfAnotherKeyStopsIt) {
  TreeHead head = ParseTreeHead(Sign(2, OracleRoot(2))).value();
  Publish(SignTreeHead(head, SigningKey::Generate()));
  EXPECT_EQ(OpenAndCatchUp().code(), Code::kTampered);
  Publish("no note\n");
  EXPECT_EQ(Reopen().code(), Code::kTampered);
}

// A log of the prefecture's first `count` entries, and its checkpoints.
class OtherLog {
 public:
  OtherLog(Prefecture& prefecture, std::size_t count, bool with_checkpoints) {
    log = LocalLog::Open(directory / "log").value();
    EXPECT_TRUE(CreateLedgerTopics(*log, Prefecture::kNumber).ok());
    auto records = prefecture.Records();
    records.resize(count);
    for (std::string& record : records) Append(record);
    if (!with_checkpoints) return;
    for (const Received& note : prefecture.ReadTopic(Topics{Prefecture::kNumber}.Checkpoint())) {
      EXPECT_TRUE(log->Append(Topics{Prefecture::kNumber}.Checkpoint(), {"", note.value, {}}).ok());
    }
  }
  void Append(const std::string& record) {
    EXPECT_TRUE(log->Append(Prefecture::LedgerTopic(), {"", record, {}}).ok());
  }
  TemporaryDirectory directory;
  std::unique_ptr<Log> log;
};

TEST_F(NotaryTest, ALedgerShorterThanItWasStopsIt) {
  Birth(0, 1);
  Birth(1, 1);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  for (const bool with_checkpoints : {true, false}) {
    for (const std::size_t lost : {1, 2}) {
      OtherLog shorter(prefecture_, prefecture_.Size() - lost, with_checkpoints);
      log_ = shorter.log.get();
      const Status status = Reopen();
      EXPECT_EQ(status.code(), Code::kTampered) << lost;
      EXPECT_NE(status.message().find("shorter"), std::string::npos) << status.message();
      notary_.reset();
    }
  }
}

TEST_F(NotaryTest, ALedgerShorterThanItsCheckpointsStopsANewNotary) {
  Birth(0, 1);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  notary_.reset();
  OtherLog shorter(prefecture_, prefecture_.Size() - 1, true);
  log_ = shorter.log.get();
  dir_ = "fresh";
  EXPECT_EQ(OpenAndCatchUp().code(), Code::kTampered);
  notary_.reset();
}

TEST_F(NotaryTest, ALedgerThatWasCutAndGrewAgainStopsIt) {
  Birth(0, 1);
  const std::size_t fork = prefecture_.Size();
  Birth(1, 1);
  ASSERT_TRUE(OpenAndCatchUp().ok());
  OtherLog other(prefecture_, fork, false);
  // What would be admitted in a second life of the ledger.
  v1::Entry entry;
  ASSERT_TRUE(entry.ParseFromString(prefecture_.Records().back()));
  v1::EntryLeaf leaf = ParseLeaf(entry.leaf()).value();
  leaf.set_admitted_at(leaf.admitted_at() + 1);
  entry.set_leaf(leaf.SerializeAsString());
  other.Append(entry.SerializeAsString());
  other.Append(entry.SerializeAsString());
  log_ = other.log.get();
  const Status status = Reopen();
  EXPECT_EQ(status.code(), Code::kTampered);
  EXPECT_NE(status.message().find("another entry than the tree's"), std::string::npos)
      << status.message();
  notary_.reset();
}

TEST_F(NotaryTest, ALedgerThatEndsInsideASubmissionStopsIt) {
  Birth(0, 3);
  OtherLog torn(prefecture_, prefecture_.Size() - 1, false);
  log_ = torn.log.get();
  EXPECT_EQ(OpenAndCatchUp().code(), Code::kTampered);
  notary_.reset();
}

TEST_F(NotaryTest, AStoreOfAnotherLedgerOrADamagedOneDoesNotOpen) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  notary_.reset();
  NotaryOptions other = Options();
  other.ledger = RandomArray<16>();
  EXPECT_EQ(Notary::Open(other).status().code(), Code::kTampered);
  const auto damage = [&](Family family, const std::string& key, const std::string& value) {
    CopyStore("damaged");
    StoreOptions options;
    options.path = prefecture_.Path("damaged");
    options.families = {"meta", "trees", "notes"};
    auto store = Store::Open(options).value();
    StoreBatch batch;
    batch.Put(family, key, value);
    EXPECT_TRUE(store->Write(batch, true).ok());
    store.reset();
    NotaryOptions damaged = Options();
    damaged.dir = options.path;
    return Notary::Open(damaged).status().code();
  };
  std::string size;
  AppendU64(size, prefecture_.Size());
  EXPECT_EQ(damage(0, "cursor", "x"), Code::kCorrupt);
  EXPECT_EQ(damage(0, "head", "x"), Code::kCorrupt);
  EXPECT_EQ(damage(0, "head", size + std::string(40, 'x')), Code::kCorrupt);
  EXPECT_EQ(damage(1, std::string(1, '\0'), std::string(8, '\0')), Code::kCorrupt);
  EXPECT_EQ(damage(2, size, "no note"), Code::kCorrupt);
  EXPECT_EQ(damage(2, size, Sign(1, OracleRoot(1))), Code::kCorrupt);
}

// --- on Kafka

const char* Broker() { return std::getenv("DAICHO_TEST_KAFKA"); }

OpenLogFunction OnKafka() {
  const std::string prefix = "t" + ToHex(View(RandomArray<8>())) + ".";
  return [prefix](const std::string&) -> std::unique_ptr<Log> {
    KafkaLogOptions options;
    options.brokers = Broker();
    return std::make_unique<PrefixedLog>(KafkaLog::Open(options).value(), prefix);
  };
}

// Whose ledger has gaps between its cursors.
class NotaryOnKafka : public NotaryTest {
 protected:
  NotaryOnKafka() : NotaryTest(Broker() != nullptr ? OnKafka() : OpenLogFunction(OpenLocal)) {}
  void SetUp() override {
    if (Broker() == nullptr)
      FAIL() << "DAICHO_TEST_KAFKA=host:port must name a broker for this test";
  }
};

TEST_F(NotaryOnKafka, FollowsAndSaysTheSameAfterARestart) {
  for (int n = 0; n < 3; ++n) {
    Birth(100 * n, 1 + 90 * n);
    ASSERT_TRUE(Reopen().ok());
    EXPECT_EQ(Verified(notary_->checkpoint()).size, prefecture_.Size());
    const std::string before = notary_->checkpoint();
    ASSERT_TRUE(Reopen().ok());
    EXPECT_EQ(notary_->checkpoint(), before);
  }
  EXPECT_EQ(Published().size(), 3u);
  EXPECT_TRUE(notary_->EntryBundle(0).ok());
  EXPECT_TRUE(notary_->EntryBundle(1, prefecture_.Size() - 256).ok());
  ExpectOneHistory();
}

TEST_F(NotaryOnKafka, AnotherRootOrSizeOnTheTopicStopsIt) {
  ASSERT_TRUE(OpenAndCatchUp().ok());
  Publish(Sign(prefecture_.Size() + 1, LeafHash("more")));
  EXPECT_EQ(Reopen().code(), Code::kTampered);
}

// --- cosignatures

class CosignedTest : public NotaryTest {
 protected:
  CosignedTest() {
    EXPECT_TRUE(OpenAndCatchUp().ok());
    size_ = prefecture_.Size();
  }
  static NoteKey WitnessKey(int n) {
    return {NameOf(n), NoteAlgorithm::kCosignatureV1,
            VerifyingKey::From(Witness(n).public_key()).value()};
  }
  static std::string NameOf(int n) { return "witness/" + std::to_string(n); }
  static SigningKey Witness(int n) {
    return SigningKey::FromSeed(Key256{static_cast<std::uint8_t>(n)});
  }
  std::string Line(int n, std::int64_t seconds = 1'795'000'000) {
    return Cosign(notary_->checkpoint(size_).value(), NameOf(n), Witness(n),
                  TimeMicros(seconds * 1'000'000))
        .value();
  }
  std::uint64_t size_ = 0;
};

TEST_F(CosignedTest, LinesAreAddedAndPublishedAndOutliveARestart) {
  for (int n = 1; n <= 3; ++n) {
    ASSERT_TRUE(notary_->AddCosignature(size_, WitnessKey(n), Line(n)).ok());
    EXPECT_EQ(Published().back(), notary_->checkpoint());
  }
  const std::string cosigned = notary_->checkpoint();
  EXPECT_EQ(Verified(cosigned).size, size_);
  ASSERT_TRUE(Reopen().ok());
  EXPECT_EQ(notary_->checkpoint(), cosigned);
  const Note note = ParseNote(cosigned).value();
  for (int n = 1; n <= 3; ++n) EXPECT_TRUE(VerifyCosignature(note, WitnessKey(n)).ok());
  EXPECT_EQ(Published().size(), 4u);
}

TEST_F(CosignedTest, AWitnessActsOnEachCheckpointWhileTheNotaryRuns) {
  Status ended;
  std::jthread running([&](std::stop_token stop) { ended = notary_->Run(stop); });
  std::vector<std::uint64_t> cosigned;
  std::jthread witness([&](std::stop_token stop) {
    for (std::uint64_t seen = 0; !stop.stop_requested();) {
      if (!notary_->WaitFor(seen + 1, milliseconds(50))) continue;
      const std::string note = notary_->checkpoint();
      seen = ParseTreeHead(note).value().size;
      const std::string line = Cosign(note, NameOf(1), Witness(1), TimeMicros(1)).value();
      EXPECT_TRUE(notary_->AddCosignature(seen, WitnessKey(1), line).ok());
      cosigned.push_back(seen);
    }
  });
  for (int n = 0; n < 5; ++n) {
    Birth(n, 1);
    ASSERT_TRUE(notary_->WaitFor(prefecture_.Size(), std::chrono::seconds(20)));
  }
  running.request_stop();
  running.join();
  witness.request_stop();
  witness.join();
  EXPECT_TRUE(ended.ok()) << ended.ToString();
  ExpectOneHistory();
  ASSERT_FALSE(cosigned.empty());
  for (const std::uint64_t size : cosigned) {
    const std::string note = notary_->checkpoint(size).value();
    EXPECT_TRUE(VerifyCosignature(ParseNote(note).value(), WitnessKey(1)).ok()) << size;
  }
}

TEST_F(CosignedTest, AWitnessHasOneLineAndItsNewestCounts) {
  ASSERT_TRUE(notary_->AddCosignature(size_, WitnessKey(1), Line(1, 100)).ok());
  ASSERT_TRUE(notary_->AddCosignature(size_, WitnessKey(2), Line(2)).ok());
  ASSERT_TRUE(notary_->AddCosignature(size_, WitnessKey(1), Line(1, 200)).ok());
  const std::string cosigned = notary_->checkpoint();
  const Note note = ParseNote(cosigned).value();
  EXPECT_EQ(note.signatures.size(), 3u);
  EXPECT_EQ(VerifyCosignature(note, WitnessKey(1)).value(), TimeMicros(200'000'000));
}

TEST_F(CosignedTest, WhatDoesNotVerifyIsRefusedAndChangesNothing) {
  const std::string before = notary_->checkpoint();
  const auto code = [&](const std::string& line) {
    return notary_->AddCosignature(size_, WitnessKey(1), line).code();
  };
  EXPECT_EQ(code(""), Code::kInvalid);
  EXPECT_EQ(code("nonsense\n"), Code::kInvalid);
  EXPECT_EQ(code(Line(1) + Line(2)), Code::kInvalid) << "two lines";
  EXPECT_EQ(code(Line(2)), Code::kInvalid) << "another's";
  EXPECT_EQ(code("more\n\n" + Line(1)), Code::kInvalid) << "more text";
  EXPECT_EQ(code(SignatureLine(NameOf(1), WitnessKey(1).id(), std::string(72, 'x'))),
            Code::kTampered);
  EXPECT_EQ(notary_->AddCosignature(size_ + 1, WitnessKey(1), Line(1)).code(), Code::kNotFound);
  EXPECT_EQ(notary_->checkpoint(), before);
  EXPECT_EQ(Published().size(), 1u);
}

TEST_F(CosignedTest, AnOlderCheckpointIsCosignedToo) {
  Birth(0, 1);
  ASSERT_TRUE(notary_->CatchUp().ok());
  const std::string newest = notary_->checkpoint();
  ASSERT_TRUE(notary_->AddCosignature(size_, WitnessKey(1), Line(1)).ok());
  EXPECT_EQ(notary_->checkpoint(), newest);
  EXPECT_EQ(Published().back(), notary_->checkpoint(size_).value());
  prefecture_.clock().Advance(std::chrono::hours(1));
  ASSERT_TRUE(Reopen().ok()) << "the topic ends with a smaller size";
  EXPECT_EQ(notary_->checkpoint(), newest);
  EXPECT_EQ(Published().size(), 3u);
}

TEST_F(CosignedTest, ALineWhosePublicationFailedIsPublishedOnRestart) {
  FailingTopic failing(prefecture_.log(), Topic());
  log_ = &failing;
  ASSERT_TRUE(Reopen().ok());
  failing.failures = 1;
  EXPECT_EQ(notary_->AddCosignature(size_, WitnessKey(1), Line(1)).code(), Code::kUnavailable);
  ASSERT_TRUE(Reopen().ok());
  EXPECT_EQ(Published().back(), notary_->checkpoint());
  EXPECT_TRUE(VerifyCosignature(ParseNote(Published().back()).value(), WitnessKey(1)).ok());
}

TEST_F(CosignedTest, OnlyTheNewestCheckpointsAreKept) {
  for (std::size_t n = 0; n < kCheckpointsKept; ++n) {
    Birth(static_cast<int>(n), 1);
    ASSERT_TRUE(notary_->CatchUp().ok());
    EXPECT_EQ(notary_->checkpoint(size_).ok(), n + 1 < kCheckpointsKept) << n;
  }
  EXPECT_TRUE(notary_->checkpoint(size_ + 1).ok());
  ASSERT_TRUE(Reopen().ok());
  EXPECT_FALSE(notary_->checkpoint(size_).ok());
}

TEST_F(CosignedTest, ACheckpointHasRoomForSoManyLines) {
  Status status;
  int added = 0;
  for (int n = 1; n < 80 && status.ok(); ++n) {
    status = notary_->AddCosignature(size_, WitnessKey(n), Line(n));
    added += status.ok();
  }
  EXPECT_EQ(status.code(), Code::kInvalid);
  EXPECT_EQ(added, static_cast<int>(kNoteSignaturesMax) - 1);
}

}  // namespace
}  // namespace daicho
