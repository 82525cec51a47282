// An agency's end. Method: a prefecture that the test plays itself encrypts answers as consumers/README.md says, records
// them as leaves of a tree, and serves the tree over HTTP; the agency receives from a real log. Every pair of things that
// must agree is made to disagree once. A crash is a receiver that is thrown away, or a state that is put back.
#include "consumers/agency.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "consumers/http.h"
#include "consumers/provision_request.h"
#include "events/event.h"
#include "events/topics.h"
#include "ledger/files.h"
#include "ledger/local_log.h"
#include "ledger/tree_store.h"

namespace daicho {
namespace {

constexpr char kAgency[] = "gunma-boe";
const TimeMicros kNow(1'795'651'200'000'000);

// The prefecture: its ledger's tree, and what it says of an answer.
class Prefecture {
 public:
  Prefecture() : key_(SigningKey::Generate()) {
    for (int i = 0; i < 300; ++i) leaves_.push_back("entry " + std::to_string(i));
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.handler = [this](const HttpRequest& request) { return Answer(request.target.substr(1)); };
    server_ = HttpServer::Listen(options).value();
  }

  LedgerPublic Public() const { return {10, ledger_, key_.public_key(), key_.public_key(), key_.public_key()}; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }

  struct Message {
    v1::Provision provision;
    std::string lines = "{\"id\":\"1\",\"result\":\"none\"}\n";
    std::string ledger_hex, agency = kAgency;
  };
  static Message Plain(const std::string& reference, std::uint32_t chunk = 0, std::uint32_t chunks = 1) {
    Message out;
    v1::Provision& p = out.provision;
    p.set_agency(kAgency);
    p.set_recipient(v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY);
    p.set_basis("30-15-2/6-3");
    p.set_duty("6-3-1");
    p.set_mode(v1::PROVISION_MODE_BATCH);
    p.set_method(v1::DELIVERY_METHOD_LINE);
    p.set_reference(reference);
    p.set_evaluated_at(7);
    p.set_chunk(chunk);
    p.set_chunk_count(chunks);
    p.set_result_count(1);
    p.set_none_count(1);
    p.set_result_digest(std::string(View(Sha256Of({out.lines}))));
    return out;
  }

  // The encrypted message; its entry lies behind the last.
  std::string Deliver(const CmsRecipient& to, Message message) {
    const Salt salt = RandomArray<16>();
    v1::Provision& p = message.provision;
    const std::string prefix = p.SerializeAsString();
    if (message.ledger_hex.empty()) message.ledger_hex = ToHex(View(ledger_));
    std::string content = "{\"format\":\"daicho-answer/1\",\"ledger\":\"" + message.ledger_hex + "\",\"agency\":\"" +
                          message.agency + "\",\"basis\":\"30-15-2/6-3\",\"duty\":\"6-3-1\",\"reference\":\"" +
                          said_.reference.value_or(p.reference()) + "\",\"mode\":\"batch\",\"chunk\":" +
                          std::to_string(p.chunk()) + ",\"chunk_count\":" + std::to_string(p.chunk_count()) +
                          ",\"count\":1,\"evaluated_at\":" + std::to_string(said_.evaluated_at.value_or(7)) +
                          ",\"provision\":\"" + ToBase64(prefix) + "\",\"salt\":\"" + ToHex(View(salt)) + "\"}\n";
    const std::string cms = to.Encrypt(content + message.lines);
    p.set_delivered_digest(std::string(View(Sha256Of({cms}))));
    v1::EventHeader header;
    header.set_kind(kind_);
    header.set_issuer("100005.provider");
    header.set_sequence(1);
    header.set_retention(v1::RETENTION_CLASS_OPERATION);
    header.set_schema_version(1);
    const std::string recorded = recorded_.value_or(p.SerializeAsString());
    header.add_commitments(std::string(View(Commit(View(salt), recorded))));
    header.add_commitments(std::string(32, 'c'));
    v1::EntryLeaf leaf;
    leaf.set_version(kLeafVersion);
    leaf.set_ledger(std::string(View(ledger_)));
    leaf.set_position(leaves_.size());
    leaf.set_admitted_at(kNow.value());
    leaf.set_header(header.SerializeAsString());
    for (std::uint64_t slot : {1, 2}) {
      v1::KeyReference* key = leaf.add_keys();
      key->set_subject(std::string(16, 's'));
      key->set_slot(slot);
      leaf.add_part_digests(std::string(32, 'd'));
    }
    leaves_.push_back(leaf.SerializeAsString());
    return cms;
  }

  Position last() const { return Position(leaves_.size() - 1); }
  void Forget(std::size_t entries) { leaves_.resize(leaves_.size() - entries); }
  void Rewrite(std::size_t index) { leaves_[index] += "!"; }
  void SignWithAnother() { key_ = SigningKey::Generate(); }

  // What line 1 says in place of what the event says.
  struct Said {
    std::optional<std::string> reference;
    std::optional<std::uint64_t> evaluated_at;
  } said_;
  std::optional<std::string> recorded_;  // in the ledger, in place of the event
  v1::EventKind kind_ = v1::EVENT_KIND_PROVISION;

 private:
  NodeSource Nodes() const {
    return [this](int level, std::uint64_t index) -> Result<Digest> { return Node(level, index); };
  }
  Digest Node(int level, std::uint64_t index) const {
    if (level == 0) return LeafHash(leaves_[index]);
    return NodeHash(Node(level - 1, 2 * index), Node(level - 1, 2 * index + 1));
  }

  HttpResponse Answer(const std::string& path) const {
    if (path == "checkpoint") {
      TreeHead head{LedgerOrigin(10), leaves_.size(), RootOf(leaves_.size(), Nodes()).value(),
                    std::string(View(ledger_)), kNow};
      return {200, "text/plain", SignTreeHead(head, key_), {}};
    }
    const auto tile = ParseTilePath(path);
    if (!tile.ok()) return {404, "text/plain", "", {}};
    std::string out;
    for (std::uint64_t i = tile->index * kTileWidth; i < tile->index * kTileWidth + tile->width; ++i) {
      if (tile->entries) {
        out.push_back(static_cast<char>(leaves_[i].size() >> 8));
        out.push_back(static_cast<char>(leaves_[i].size()));
        out += leaves_[i];
      } else {
        out += View(Node(8 * tile->level, i));
      }
    }
    return {200, "application/octet-stream", out, {}};
  }

  SigningKey key_;
  LedgerId ledger_ = RandomArray<16>();
  std::vector<std::string> leaves_;
  std::unique_ptr<HttpServer> server_;
};

class AgencyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = ::testing::TempDir() + "daicho_agency_" + std::to_string(::getpid());
    ASSERT_TRUE(CreateAgencyHome(dir_ + "/home", kAgency, 3650, kNow).ok());
    ASSERT_TRUE(WriteFileDurably(dir_ + "/ledger.pub.json", FormatLedgerPublic(prefecture_.Public())).ok());
    ASSERT_TRUE(PinLedger(dir_ + "/home", dir_ + "/ledger.pub.json").ok());
    home_ = OpenAgencyHome(dir_ + "/home").value();
    recipient_ = CmsRecipient::From(CertificateDer()).value();
    log_ = LocalLog::Open(dir_ + "/log").value();
    for (const std::string& topic : {topics_.Provision(kAgency), topics_.Request(kAgency), topics_.Reply(kAgency)}) {
      ASSERT_TRUE(log_->CreateTopic(topic).ok());
    }
    Restart();
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string CertificateDer() const {
    const std::string pem = ReadFile(dir_ + "/home/agency.pem").value();
    std::string base64;
    for (std::size_t at = pem.find('\n') + 1; pem[at] != '-'; ++at) {
      if (pem[at] != '\n') base64.push_back(pem[at]);
    }
    return FromBase64(base64).value();
  }

  // What a process begins with.
  void Restart() {
    inbox_.reset();
    ledger_.emplace(home_.ledger, prefecture_.url(), "");
    const auto kept = ReadFile(home_.Path("checkpoint"));
    if (kept.ok()) {
      EXPECT_TRUE(ledger_->Remember(*kept).ok());
    }
    inbox_ = AgencyInbox::Open(home_, *log_, clock_).value();
  }
  void Publish(const std::string& cms, std::optional<Position> position = std::nullopt) {
    const std::string key = std::to_string(position.value_or(prefecture_.last()).value());
    ASSERT_TRUE(log_->Append(topics_.Provision(kAgency), {key, cms, {}}).ok());
  }
  void Deliver(const Prefecture::Message& message) { Publish(prefecture_.Deliver(recipient_, message)); }

  // Files written, in order, or the failure.
  Result<std::vector<std::string>> Receive(bool prove = true) {
    std::vector<std::string> out;
    ReceiveOptions options;
    options.out = dir_ + "/out";
    options.ledger = prove ? &*ledger_ : nullptr;
    options.proof_wait = std::chrono::milliseconds(0);
    options.received = [&](const Delivery& delivery) {
      EXPECT_EQ(delivery.proven, prove);
      out.push_back(std::filesystem::path(delivery.file).filename().string());
      return Status();
    };
    options.refused = [&](const Status& status, const std::string& path) {
      EXPECT_TRUE(FileExists(path));
      out.push_back(status.ToString());
    };
    while (true) {
      ASSIGN_OR_RETURN(const std::size_t received, inbox_->Receive(options));
      if (received == 0) return out;
    }
  }
  // The one message's.
  std::string Refusal() {
    const auto out = Receive();
    EXPECT_TRUE(out.ok()) << out.status().ToString();
    EXPECT_EQ(out->size(), 1u);
    return out->empty() ? "" : out->front();
  }

  std::vector<Received> On(const std::string& topic) {
    const auto reader = log_->OpenReader().value();
    EXPECT_TRUE(reader->Assign(topic, Cursor(0)).ok());
    return reader->Poll(1'000, std::chrono::milliseconds(0)).value();
  }

  std::string dir_;
  Prefecture prefecture_;
  AgencyHome home_;
  CmsRecipient recipient_;
  std::unique_ptr<LocalLog> log_;
  Topics topics_{10};
  SimulatedClock clock_{kNow};
  std::optional<TlogClient> ledger_;
  std::unique_ptr<AgencyInbox> inbox_;
};

using Files = std::vector<std::string>;

// --- asking --------------------------------------------------------------------------------------

TEST_F(AgencyTest, ARequestCarriesTheAgencysSignature) {
  RequestHeader header;
  header.agency = kAgency;
  header.basis = "30-15-2/6-3";
  header.duty = "6-3-1";
  header.reference = "R8-0001";
  header.count = 1;
  const std::string request = WriteRequest(header, "{\"id\":\"1\",\"name\":\"新井 一郎\"}\n");
  EXPECT_EQ(AskByLine(home_, *log_, request).value(), Sha256Of({request}));
  const auto records = On(topics_.Request(kAgency));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].key, "R8-0001");
  EXPECT_EQ(records[0].value.substr(64), request);
  const VerifyingKey key = VerifyingKey::From(home_.signing.public_key()).value();
  EXPECT_TRUE(key.Verify("daicho/request/1\n" + std::string(View(Sha256Of({request}))), records[0].value.substr(0, 64)).ok());
}

TEST_F(AgencyTest, ARequestThatBreaksTheFormatIsNotSent) {
  EXPECT_EQ(AskByLine(home_, *log_, "{}\n").status().code(), Code::kInvalid);
  RequestHeader header;
  header.agency = "gunma-tax";
  header.basis = header.duty = header.reference = "x";
  header.count = 1;
  EXPECT_EQ(AskByLine(home_, *log_, WriteRequest(header, "{\"id\":\"1\"}\n")).status().message().substr(0, 6), "agency");
  header.agency = kAgency;
  header.count = 2;
  EXPECT_EQ(AskByLine(home_, *log_, WriteRequest(header, "{\"id\":\"1\"}\n")).status().code(), Code::kInvalid);
  EXPECT_TRUE(On(topics_.Request(kAgency)).empty());
}

// --- receiving -----------------------------------------------------------------------------------

TEST_F(AgencyTest, ReceivesWhatTheLedgerRecords) {
  Deliver(Prefecture::Plain("R8-0001", 0, 2));
  Deliver(Prefecture::Plain("R8-0001", 1, 2));
  Deliver(Prefecture::Plain("R8-0002"));
  EXPECT_EQ(Receive().value(), (Files{"R8-0001.0.ndjson", "R8-0001.1.ndjson", "R8-0002.0.ndjson"}));
  const std::string content = ReadFile(dir_ + "/out/R8-0002.0.ndjson").value();
  EXPECT_EQ(content.substr(content.find('\n') + 1), "{\"id\":\"1\",\"result\":\"none\"}\n");
  Restart();
  EXPECT_EQ(Receive().value(), Files{});
}

TEST_F(AgencyTest, AFurtherAnswerUnderTheSameReferenceHasAFileOfItsOwn) {
  Deliver(Prefecture::Plain("R8-0001"));
  Prefecture::Message later = Prefecture::Plain("R8-0001");
  Deliver(later);
  EXPECT_EQ(Receive().value(), (Files{"R8-0001.0.ndjson", "R8-0001.0.301.ndjson"}));
}

TEST_F(AgencyTest, AfterACrashBehindTheFileTheSameFileIsWrittenAgain) {
  for (const char* reference : {"R8-0001", "R8-0001", "R8-0002"}) Deliver(Prefecture::Plain(reference));
  const Files first = Receive().value();
  for (const std::string& file : first) ASSERT_TRUE(FileExists(dir_ + "/out/" + file));
  // The crash was before the state was written: there is none.
  ASSERT_TRUE(RemoveFile(home_.Path("state")).ok());
  Restart();
  EXPECT_EQ(Receive().value(), first);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ + "/out"), {}), 3);
  EXPECT_EQ(inbox_->Reply().value(), 3u);
}

TEST_F(AgencyTest, OneProcessReceivesAtATime) {
  EXPECT_EQ(AgencyInbox::Open(home_, *log_, clock_).status().code(), Code::kUnavailable);
}

TEST_F(AgencyTest, WaitsForACheckpointThatCoversTheAnswer) {
  Deliver(Prefecture::Plain("R8-0001"));
  const std::string cms = prefecture_.Deliver(recipient_, Prefecture::Plain("R8-0002"));
  Publish(cms);
  prefecture_.Forget(1);
  EXPECT_EQ(Receive().status().code(), Code::kUnavailable);
  EXPECT_EQ(inbox_->Reply().value(), 1u);  // of the first
  prefecture_.Deliver(recipient_, Prefecture::Plain("elsewhere"));
  EXPECT_NE(Refusal().find("records another answer"), std::string::npos);
}

// --- what does not agree ---------------------------------------------------------------------------

TEST_F(AgencyTest, AMessageForSomebodyElseIsPutAsideAndThoseBehindItAreReceived) {
  Publish("no CMS", Position(12));
  Publish(CmsRecipient::From(CertificateDer()).value().Encrypt("no answer"), Position(12));
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_EQ(Receive().value(), (Files{"tampered: the encrypted message cannot be opened", "tampered: answer: no line",
                                      "R8-0001.0.ndjson"}));
  EXPECT_EQ(inbox_->Reply().value(), 1u);
}

TEST_F(AgencyTest, AnAnswerOfAnotherLedgerOrAgencyIsRefused) {
  Prefecture::Message message = Prefecture::Plain("R8-0001");
  message.ledger_hex = std::string(32, '0');
  Deliver(message);
  EXPECT_EQ(Refusal(), "tampered: answer: another ledger's");
  message = Prefecture::Plain("R8-0001");
  message.agency = "gunma-tax";
  Deliver(message);
  EXPECT_EQ(Refusal(), "tampered: answer: another agency's");
  message = Prefecture::Plain("R8-0001");
  message.provision.set_agency("gunma-tax");
  Deliver(message);
  EXPECT_EQ(Refusal(), "tampered: answer: agency disagrees with the event");
}

TEST_F(AgencyTest, AnAnswerThatIsNotTheEventsIsRefused) {
  Prefecture::Message message = Prefecture::Plain("R8-0001");
  message.lines = "{\"id\":\"1\",\"result\":\"found\"}\n";
  Deliver(message);
  EXPECT_EQ(Refusal(), "tampered: answer: result_digest disagrees with the event");
  message = Prefecture::Plain("R8-0001");
  message.provision.set_none_count(0);
  message.provision.set_found_count(1);
  Deliver(message);
  EXPECT_EQ(Refusal(), "tampered: answer: found disagrees with the event");
  prefecture_.said_ = {.reference = "R8-0009", .evaluated_at = {}};
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_EQ(Refusal(), "tampered: answer: reference disagrees with the event");
  prefecture_.said_ = {.reference = {}, .evaluated_at = 8};
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_EQ(Refusal(), "tampered: answer: evaluated_at disagrees with the event");
  prefecture_.said_ = {.reference = "../../etc/cron", .evaluated_at = {}};
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_EQ(Refusal(), "tampered: answer: reference");
}

TEST_F(AgencyTest, AnAnswerThatTheLedgerDoesNotRecordIsRefused) {
  prefecture_.recorded_ = "something else";
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_NE(Refusal().find("tampered: entry: the ledger records another answer"), std::string::npos);
  prefecture_.recorded_.reset();
  prefecture_.kind_ = v1::EVENT_KIND_TRANSFER;
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_EQ(Refusal(), "tampered: entry: of another kind");
  prefecture_.kind_ = v1::EVENT_KIND_PROVISION;
  Publish(prefecture_.Deliver(recipient_, Prefecture::Plain("R8-0001")), Position(300));
  EXPECT_NE(Refusal().find("tampered: entry"), std::string::npos);
  EXPECT_EQ(inbox_->Reply().value(), 0u);
}

TEST_F(AgencyTest, AnEntryThatIsNotInTheCheckpointsTreeIsRefused) {
  Deliver(Prefecture::Plain("R8-0001"));
  ASSERT_TRUE(ledger_->Refresh().ok());
  prefecture_.Rewrite(prefecture_.last().value());
  EXPECT_EQ(Receive().status().code(), Code::kTampered);
}

TEST_F(AgencyTest, UnderAnotherKeyOfTheLedgerNothingIsReceivedUntilTheAgencyHasIt) {
  Deliver(Prefecture::Plain("R8-0000"));
  ASSERT_EQ(Receive().value().size(), 1u);
  prefecture_.SignWithAnother();
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_NE(Receive().status().ToString().find("tampered: checkpoint"), std::string::npos);
  ASSERT_TRUE(WriteFileDurably(dir_ + "/ledger.pub.json", FormatLedgerPublic(prefecture_.Public())).ok());
  ASSERT_TRUE(PinLedger(dir_ + "/home", dir_ + "/ledger.pub.json").ok());
  home_ = OpenAgencyHome(dir_ + "/home").value();
  Restart();
  EXPECT_EQ(Receive().value(), Files{"R8-0001.0.ndjson"});
}

TEST_F(AgencyTest, ALedgerThatRewritesItsHistoryIsFoundOutAlsoLater) {
  Deliver(Prefecture::Plain("R8-0001"));
  ASSERT_EQ(Receive().value().size(), 1u);
  prefecture_.Rewrite(5);
  Deliver(Prefecture::Plain("R8-0002"));
  Restart();
  EXPECT_NE(Receive().status().ToString().find("tampered: checkpoint"), std::string::npos);
}

TEST_F(AgencyTest, WithoutTheLedgerAnAnswerIsReceivedUnproven) {
  Deliver(Prefecture::Plain("R8-0001"));
  EXPECT_EQ(Receive(false).value(), Files{"R8-0001.0.ndjson"});
}

// --- acknowledging ---------------------------------------------------------------------------------

TEST_F(AgencyTest, AcknowledgesEachMessageOnce) {
  Deliver(Prefecture::Plain("R8-0001", 0, 2));
  Deliver(Prefecture::Plain("R8-0001", 1, 2));
  ASSERT_EQ(Receive().value().size(), 2u);
  Restart();
  EXPECT_EQ(inbox_->Reply().value(), 2u);
  EXPECT_EQ(inbox_->Reply().value(), 0u);
  Restart();
  EXPECT_EQ(inbox_->Reply().value(), 0u);
  const auto records = On(topics_.Reply(kAgency));
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].key, "301");
  v1::DeliveryReceived received;
  v1::AgencyReceipt receipt;
  ASSERT_TRUE(received.ParseFromString(records[1].value) && receipt.ParseFromString(received.receipt()));
  EXPECT_EQ(receipt.version(), 1u);
  EXPECT_EQ(receipt.ledger(), View(home_.ledger.ledger));
  EXPECT_EQ(receipt.agency(), kAgency);
  EXPECT_EQ(receipt.reference(), "R8-0001");
  EXPECT_EQ(receipt.chunk(), 1u);
  EXPECT_EQ(receipt.provision_position(), 301u);
  EXPECT_EQ(receipt.delivered_digest(), View(Sha256Of({On(topics_.Provision(kAgency))[1].value})));
  EXPECT_EQ(receipt.result_count(), 1u);
  EXPECT_EQ(receipt.received_at(), kNow.value());
  EXPECT_EQ(received.key_id(), home_.key_id());
  const VerifyingKey key = VerifyingKey::From(home_.signing.public_key()).value();
  EXPECT_TRUE(key.Verify("daicho/agency-receipt/1\n" + received.receipt(), received.signature()).ok());
}

// --- the home --------------------------------------------------------------------------------------

TEST_F(AgencyTest, AHomeStaysWithItsLedger) {
  const Prefecture other;
  ASSERT_TRUE(WriteFileDurably(dir_ + "/other.json", FormatLedgerPublic(other.Public())).ok());
  EXPECT_EQ(PinLedger(dir_ + "/home", dir_ + "/other.json").code(), Code::kConflict);
  EXPECT_EQ(OpenAgencyHome(dir_ + "/nowhere").status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daicho
